//! `aquifer catalogue rebuild`: the catalogue from the manifests in object storage alone.
//!
//! Nothing that is in the database is replaced or announced. It goes on where it was
//! broken off. What happened to runs after they were stored (other copies, orders to free
//! the buffer, products, the history) is in no manifest and does not come back.

mod manifests;

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use aquifer_catalogue::{Catalogue, ElementKind, RestoredRun, RunFilter};
use aquifer_m2c::Keys;
use aquifer_schemas::{RunId, Site};
use aquifer_storage::{S3Element, StorageElement as _};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Serialize;

use self::manifests::{Found, Overwritten, Told, Unusable, WHO};
use super::open_catalogue;
use crate::cli::RebuildArgs;
use crate::config::Config;
use crate::failure::Hinted;
use crate::output;

/// Runs whose manifests are read at a time.
const READERS: usize = 16;

/// Runs that are recorded at a time.
const WRITERS: usize = 4;

/// Runs that are named where many could be.
const MOST_NAMED: usize = 5;

/// What was done.
#[derive(Debug, Default, Serialize)]
struct Report {
    dry_run: bool,
    /// Manifests found.
    manifests: usize,
    /// Runs that were not in the catalogue, or not all of it.
    restored: usize,
    /// Runs that were there.
    unchanged: usize,
    files: usize,
    /// Decoded bytes of these files.
    bytes: u64,
    /// Sites that were registered, with UTC as their time zone.
    sites: BTreeSet<Site>,
    /// Manifests that could not be used.
    unusable: Vec<Unusable>,
    /// Runs that the catalogue refused.
    refused: Vec<Refused>,
}

/// A run that the catalogue did not take.
#[derive(Debug, Serialize)]
struct Refused {
    run: RunId,
    why: String,
}

/// Works on the catalogue as a whole.
pub(super) async fn run(config: Config, args: RebuildArgs) -> anyhow::Result<ExitCode> {
    let catalogue = open_catalogue(&config).await?;
    let element = S3Element::new(config.storage.clone())?;
    let keys = Keys::under(&config.m2c.key_prefix);
    let found = manifests::find(&element, &keys).await?;
    refuse_strangers(&catalogue, &element, &found).await?;
    let mut report = Report {
        dry_run: args.dry_run,
        manifests: found.values().map(BTreeMap::len).sum(),
        ..Report::default()
    };
    let known: BTreeSet<Site> = catalogue
        .sites()
        .await?
        .into_iter()
        .map(|site| site.name)
        .collect();
    let sites = found.keys().map(|run| run.site.clone());
    report.sites = sites.filter(|site| !known.contains(site)).collect();
    if !args.dry_run {
        for site in &report.sites {
            let description = "restored from manifests: its time zone is not known";
            catalogue.register_site(site, "UTC", description).await?;
        }
    }
    restore(&catalogue, &element, &found, &mut report).await?;
    say(&args, &report)?;
    Ok(if report.unusable.is_empty() && report.refused.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A database with other runs, or with other bytes under their names, is not the one that
/// these manifests are of.
async fn refuse_strangers(
    catalogue: &Catalogue,
    element: &S3Element,
    found: &Found,
) -> anyhow::Result<()> {
    let mut strangers = Vec::new();
    let mut before = None;
    loop {
        let filter = RunFilter {
            limit: 1000,
            before,
            ..RunFilter::default()
        };
        let rows = catalogue.runs(&filter).await?;
        let Some(last) = rows.last() else {
            break;
        };
        before = Some(last.cursor());
        for row in rows {
            let is_same = match found.get(&row.id) {
                Some(keys) => {
                    let told = manifests::read(element, &row.id, keys).await?;
                    is_same(catalogue, &row.id, told.run.as_ref()).await?
                }
                None => false,
            };
            if !is_same {
                strangers.push(row.id.to_string());
            }
        }
    }
    if strangers.is_empty() {
        return Ok(());
    }
    let named = strangers.iter().take(MOST_NAMED).cloned();
    let named = named.collect::<Vec<_>>().join(", ");
    let more = match strangers.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Err(Hinted::new(
        format!("the database is not empty: it has runs that the manifests do not tell of, or tell otherwise ({named}{more})"),
        "`--set catalogue.database=NAME` names another one, which `aquifer migrate` makes",
    )
    .into())
}

/// Whether a run's files in the catalogue are those of its manifests.
async fn is_same(
    catalogue: &Catalogue,
    run: &RunId,
    told: Option<&RestoredRun>,
) -> anyhow::Result<bool> {
    let (Some(told), Some(detail)) = (told, catalogue.run_detail(run).await?) else {
        return Ok(false);
    };
    let sealed = detail.files.iter().filter(|file| file.crc64nvme.is_some());
    let mut all = sealed.map(|file| {
        let mut told = told.stored.iter().flat_map(|stored| &stored.files);
        told.any(|told| told.name == file.name && Some(&told.crc64nvme) == file.crc64nvme.as_ref())
    });
    Ok(all.all(|same| same))
}

/// Reads all manifests and records their runs, a few at a time.
async fn restore(
    catalogue: &Catalogue,
    element: &S3Element,
    found: &Found,
    report: &mut Report,
) -> anyhow::Result<()> {
    let elements = ElementsSeen::new(element);
    let dry_run = report.dry_run;
    let runs = stream::iter(found).map(|(run, keys)| manifests::read(element, run, keys));
    let told = runs.buffered(READERS);
    let recorded = told.map_ok(|told| record(catalogue, &elements, told, dry_run));
    let mut recorded = recorded.try_buffered(WRITERS);
    let mut overwritten = Vec::new();
    while let Some(one) = recorded.try_next().await? {
        report.unusable.extend(one.unusable);
        overwritten.extend(one.overwritten);
        let Some((run, files, bytes)) = one.run else {
            continue;
        };
        match one.outcome {
            Ok(changed) => {
                report.restored += usize::from(changed);
                report.unchanged += usize::from(!changed);
                report.files += files;
                report.bytes += bytes;
            }
            Err(why) => report.refused.push(Refused { run, why }),
        }
    }
    drop(recorded);
    // Now that every version is there.
    for Overwritten { run, names, buffer } in overwritten {
        if !dry_run && catalogue.run(&run).await?.is_some() {
            catalogue
                .record_overwritten(&run, &names, &buffer, WHO)
                .await?;
        }
    }
    Ok(())
}

/// What became of one run.
struct Recorded {
    /// The run, its files, and their bytes.
    run: Option<(RunId, usize, u64)>,
    /// Whether it was new; else why it was refused.
    outcome: Result<bool, String>,
    unusable: Vec<Unusable>,
    overwritten: Option<Overwritten>,
}

async fn record(
    catalogue: &Catalogue,
    elements: &ElementsSeen,
    told: Told,
    dry_run: bool,
) -> anyhow::Result<Recorded> {
    let Some(run) = told.run else {
        return Ok(Recorded {
            run: None,
            outcome: Ok(false),
            unusable: told.unusable,
            overwritten: None,
        });
    };
    let recorded = if dry_run {
        let known = catalogue.run(&run.id).await?;
        Ok(known.is_none())
    } else {
        elements
            .register(catalogue, &run.id.site, &told.buffers, &told.elements)
            .await?;
        match catalogue.restore_run(&run).await {
            Ok((_, changed)) => Ok(changed),
            Err(error) if is_outage(&error) => return Err(error.into()),
            Err(error) => Err(error.to_string()),
        }
    };
    let files: Vec<_> = run.stored.iter().flat_map(|stored| &stored.files).collect();
    let bytes = files.iter().map(|file| file.size).sum();
    Ok(Recorded {
        run: Some((run.id.clone(), files.len(), bytes)),
        outcome: recorded,
        unusable: told.unusable,
        overwritten: told.overwritten,
    })
}

fn is_outage(error: &aquifer_catalogue::CatalogueError) -> bool {
    use aquifer_runtime::retry::{Classify as _, ErrorClass};
    error.class() != ErrorClass::Permanent
}

/// Storage elements that are registered already.
struct ElementsSeen {
    /// Name and place of the configured storage.
    own: (String, String),
    seen: tokio::sync::Mutex<BTreeSet<String>>,
}

impl ElementsSeen {
    fn new(element: &S3Element) -> Self {
        Self {
            own: (element.name().to_owned(), element.url()),
            seen: tokio::sync::Mutex::default(),
        }
    }

    /// Registers the elements that a run's copies are at. Where a buffer is, its ingester
    /// says when it next starts.
    async fn register(
        &self,
        catalogue: &Catalogue,
        site: &Site,
        buffers: &[String],
        stores: &[(String, String)],
    ) -> anyhow::Result<()> {
        let mut seen = self.seen.lock().await;
        if seen.is_empty() {
            let known = catalogue.elements().await?;
            seen.extend(known.into_iter().map(|element| element.name));
        }
        for buffer in buffers {
            if seen.insert(buffer.clone()) {
                let kind = ElementKind::Buffer;
                catalogue
                    .register_element(buffer, kind, Some(site), "file:")
                    .await?;
            }
        }
        for (element, bucket) in stores {
            if seen.insert(element.clone()) {
                let (own, url) = &self.own;
                let url = if element == own {
                    url.clone()
                } else {
                    format!("s3://{bucket}")
                };
                catalogue
                    .register_element(element, ElementKind::S3, None, &url)
                    .await?;
            }
        }
        Ok(())
    }
}

fn say(args: &RebuildArgs, report: &Report) -> anyhow::Result<()> {
    if args.json {
        return output::json(report);
    }
    for unusable in &report.unusable {
        output::line(format!("not used  {}: {}", unusable.key, unusable.why))?;
    }
    for refused in &report.refused {
        output::line(format!("refused   {}: {}", refused.run, refused.why))?;
    }
    let done = if report.dry_run {
        "would be restored"
    } else {
        "restored"
    };
    output::line(format!(
        "{} manifests: {} runs {done}, {} were there; {} files, {}",
        report.manifests,
        report.restored,
        report.unchanged,
        report.files,
        output::size(report.bytes)
    ))?;
    output::line(format!(
        "{} manifests not used, {} runs refused",
        report.unusable.len(),
        report.refused.len()
    ))?;
    for site in &report.sites {
        output::line(format!(
            "hint: `aquifer sites set {site} --time-zone ZONE`: no manifest knows its time zone"
        ))?;
    }
    if !report.dry_run {
        output::line("hint: `aquifer audit` compares the catalogue with storage and buffer")?;
    }
    Ok(())
}
