//! `aquifer import bucket` and `aquifer import listing`: what really lies where a book
//! says that it does.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::process::ExitCode;

use anyhow::Context as _;
use aquifer_catalogue::{Adoption, Catalogue, ElementKind, ElementRow, Sighting};
use aquifer_m2c::Keys;
use aquifer_storage::{S3Element, StorageElement as _};
use futures::TryStreamExt as _;
use jiff::Timestamp;
use serde::Serialize;

use super::compare::{Comparing, Comparison, Place};
use super::report::{runs, some_runs};
use super::{bucket_of, introduce, registered};
use crate::cli::{ImportBucketArgs, ImportListingArgs};
use crate::commands::{open_catalogue, operator};
use crate::config::Config;
use crate::failure::Hinted;
use crate::output;

/// Copies of one transaction.
const BATCH: usize = 256;

/// Files that are read from the catalogue at a time.
const PAGE: u32 = 5000;

/// Longest line of a listing, in bytes: a name and a number.
const LONGEST_LINE: usize = 4096;

/// What an import of a listing did.
#[derive(Debug, Serialize)]
struct Said {
    #[serde(flatten)]
    comparison: Comparison,
    /// Runs that were not known.
    added: usize,
    /// Runs of which something changed.
    changed: usize,
}

/// Writes what a listing says, some hundred copies in a transaction.
struct Writer<'a> {
    catalogue: &'a Catalogue,
    place: &'a Place,
    who: String,
    /// Whether nothing is to be written.
    dry: bool,
    waiting: Vec<Sighting>,
    added: usize,
    changed: usize,
}

impl Writer<'_> {
    async fn tell(&mut self, sighting: Sighting) -> anyhow::Result<()> {
        self.waiting.push(sighting);
        if self.waiting.len() >= BATCH {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> anyhow::Result<()> {
        let batch = std::mem::take(&mut self.waiting);
        if self.dry || batch.is_empty() {
            return Ok(());
        }
        let site = &self.place.site;
        let done = self
            .catalogue
            .adopt_listing(site, &batch, &self.who)
            .await?;
        for outcome in done.values() {
            match outcome {
                Adoption::Added => self.added += 1,
                Adoption::Changed => self.changed += 1,
                Adoption::AsItWas => {}
            }
        }
        Ok(())
    }
}

/// Imports the objects of a bucket.
pub(super) async fn bucket(config: &Config, args: &ImportBucketArgs) -> anyhow::Result<ExitCode> {
    let (element, bucket) = bucket_of(config, &args.place)?;
    let catalogue = open_catalogue(config).await?;
    registered(&catalogue, &args.site).await?;
    let storage = S3Element::new(config.storage.at_bucket(&bucket))?;
    let place = Place {
        site: args.site.clone(),
        element,
        bucket: Some(bucket.clone()),
        prefix: args.prefix.clone(),
        keys: args.place.key_template.clone(),
        method: format!("listing of bucket {bucket}"),
        at: Timestamp::now(),
    };
    if !args.dry_run {
        introduce(&catalogue, &place.element, ElementKind::S3, &storage.url()).await?;
    }
    let ours = (bucket == config.storage.bucket).then(|| Keys::under(&config.m2c.key_prefix));
    let (mut comparing, mut writer) = begin(&catalogue, &place, args.dry_run).await?;
    let mut pages = storage.list(&args.prefix);
    while let Some(page) = pages.try_next().await? {
        for object in page {
            // What the ingester wrote is for the audit.
            let is_ours = |keys: &Keys| keys.run_of(&object.key).is_some();
            if ours.as_ref().is_some_and(is_ours) {
                continue;
            }
            if let Some(sighting) = comparing.line(&object.key, Some(object.size)) {
                writer.tell(sighting).await?;
            }
        }
    }
    finish(comparing, writer, args.json).await
}

/// Imports a listing.
pub(super) async fn file(config: &Config, args: &ImportListingArgs) -> anyhow::Result<ExitCode> {
    let shown = || args.file.display().to_string();
    let file = File::open(&args.file).with_context(shown)?;
    let made_at = Timestamp::try_from(file.metadata().with_context(shown)?.modified()?)?;
    let catalogue = open_catalogue(config).await?;
    registered(&catalogue, &args.site).await?;
    let elements = catalogue.elements().await?;
    let is_it = |element: &ElementRow| element.name == args.element;
    if elements
        .iter()
        .any(|it| is_it(it) && it.kind == ElementKind::S3)
    {
        let what = format!("storage element {} is a bucket", args.element);
        let hint = "`aquifer import bucket` compares what really lies there; a list of names does not say in which bucket they are";
        return Err(Hinted::usage(what, hint).into());
    }
    let name = args.file.file_name().unwrap_or_default().to_string_lossy();
    let place = Place {
        site: args.site.clone(),
        element: args.element.clone(),
        bucket: None,
        prefix: String::new(),
        keys: args.key_template.clone(),
        method: format!("listing {name}").chars().take(128).collect(),
        at: made_at,
    };
    if !args.dry_run {
        introduce(&catalogue, &args.element, ElementKind::Tape, "").await?;
    }
    let (mut comparing, mut writer) = begin(&catalogue, &place, args.dry_run).await?;
    for (number, line) in (1..).zip(BufReader::new(file).split(b'\n')) {
        let line = line.with_context(shown)?;
        match read(&line) {
            Some(("", _)) => {}
            Some((name, size)) => {
                if let Some(sighting) = comparing.line(name, size) {
                    writer.tell(sighting).await?;
                }
            }
            None => {
                let text = String::from_utf8_lossy(&line);
                let text: String = text.chars().take(80).collect();
                let line = format!("line {number}: {text}");
                comparing.result.unreadable.add(line);
            }
        }
    }
    finish(comparing, writer, args.json).await
}

/// Name and size of a line; the name is empty where the line is.
fn read(line: &[u8]) -> Option<(&str, Option<u64>)> {
    let line = std::str::from_utf8(line).ok()?;
    if line.len() > LONGEST_LINE {
        return None;
    }
    let mut words = line.split_whitespace();
    let name = words.next().unwrap_or("");
    let size = words.next().map(str::parse).transpose().ok()?;
    words.next().is_none().then_some((name, size))
}

/// Reads what the catalogue knows.
async fn begin<'a>(
    catalogue: &'a Catalogue,
    place: &'a Place,
    dry: bool,
) -> anyhow::Result<(Comparing<'a>, Writer<'a>)> {
    let mut comparing = Comparing::new(place);
    catalogue
        .for_each_run_file(Some(&place.site), PAGE, |file| comparing.know(file))
        .await?;
    let writer = Writer {
        catalogue,
        place,
        who: operator(),
        dry,
        waiting: Vec::new(),
        added: 0,
        changed: 0,
    };
    Ok((comparing, writer))
}

/// Tells of what is claimed and was not listed, and prints.
async fn finish(
    mut comparing: Comparing<'_>,
    mut writer: Writer<'_>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let rest = comparing.rest().map_err(|claims| {
        let place = writer.place;
        let what = format!(
            "the listing names none of the {claims} copies that are claimed on {}",
            place.element
        );
        let hint = format!(
            "is it of that place, and are names there made by `{}`? nothing was changed",
            place.keys
        );
        Hinted::new(what, hint)
    })?;
    for sighting in rest {
        writer.tell(sighting).await?;
    }
    writer.flush().await?;
    let said = Said {
        comparison: comparing.result,
        added: writer.added,
        changed: writer.changed,
    };
    if json {
        output::json(&said)?;
    } else {
        print(&said)?;
    }
    let found = &said.comparison;
    let wrong = !found.missing.is_empty()
        || !found.differing.is_empty()
        || found.unreadable.count + found.no_template.count > 0;
    Ok(ExitCode::from(u8::from(wrong)))
}

fn print(said: &Said) -> anyhow::Result<()> {
    let found = &said.comparison;
    let count = |count: u64, what: &str| output::line(format!("{count:>6}  {what}"));
    count(found.listed, "files of runs are listed")?;
    count(found.confirmed, "claimed, and there with the same size")?;
    count(found.without_size, "claimed, and there; no size to compare")?;
    let differing = found.differing.iter().map(|differs| {
        let (run, listed, claimed) = (&differs.run, differs.listed, differs.claimed);
        format!("{run} ({listed} bytes, {claimed} claimed)")
    });
    runs("there with another size", differing)?;
    runs("marked as there, and not there", found.missing.iter())?;
    runs("there, and not marked", found.unmarked.iter())?;
    runs("there, and in no book", found.without_entry.iter())?;
    let beside = &found.beside;
    let what = "beside a copy that is recorded";
    some_runs(beside.count, what, beside.first.iter())?;
    count(found.no_template.count as u64, "names are of no run")?;
    for name in found.no_template.first.iter().take(3) {
        output::line(format!("        {name}"))?;
    }
    for line in &found.unreadable.first {
        output::line(format!("cannot be read: {line}"))?;
    }
    if found.unreadable.count > found.unreadable.first.len() {
        let lines = found.unreadable.count;
        output::line(format!("{lines} lines in all cannot be read"))?;
    }
    output::line(format!(
        "runs: {} added, {} changed",
        said.added, said.changed
    ))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_name_and_perhaps_a_size() {
        assert_eq!(read(b"a/b.gz"), Some(("a/b.gz", None)));
        assert_eq!(read(b"  a/b.gz\t12 \r"), Some(("a/b.gz", Some(12))));
        assert_eq!(read(b""), Some(("", None)));
        for wrong in [&b"a b"[..], b"a 1 2", b"a -1", b"\xff"] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }
}
