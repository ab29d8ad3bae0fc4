//! `aquifer get`: files of runs from object storage to the local disk, each proven by the
//! checksum that the catalogue has before it gets its name. What is broken off goes on
//! where it was.

mod plan;
mod progress;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use aquifer_catalogue::Catalogue;
use aquifer_schemas::RunId;
use aquifer_storage::{DownloadOptions, S3Element, StorageElement as _, Wanted, download};
use futures::stream::{self, StreamExt as _};
use nix::sys::statvfs::statvfs;
use serde::Serialize;

use self::plan::{Decoded, Item, Source, files, products, refuse_clashes};
use super::local::{self, blocking};
use super::{open_catalogue, select};
use crate::cli::GetArgs;
use crate::config::Config;
use crate::failure::Hinted;
use crate::output;

/// Bytes that are left free on a disk: what else lives there must go on.
const LEFT_FREE: u64 = 64 << 20;

/// What became of one file.
#[derive(Debug, Serialize)]
struct Outcome {
    run: RunId,
    file: String,
    path: PathBuf,
    size: Option<u64>,
    crc64nvme: Option<String>,
    #[serde(flatten)]
    fate: Fate,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "fate", content = "why")]
enum Fate {
    /// Brought now, and proven.
    Fetched,
    /// It was there, and is the right one.
    WasThere,
    /// It is not there, and would not be if it were tried again.
    Impossible(String),
    /// It is not there.
    Failed(String),
}

impl Fate {
    fn is_failure(&self) -> bool {
        matches!(self, Self::Impossible(_) | Self::Failed(_))
    }
}

/// Fetches what is wanted. Exit code 1 if something of it is not there in the end.
pub(super) async fn run(config: Config, args: GetArgs) -> anyhow::Result<ExitCode> {
    let catalogue = open_catalogue(&config).await?;
    let element = S3Element::new(config.storage.clone())?;
    let items = wanted(&config, &catalogue, element.name(), &args).await?;
    refuse_clashes(&items)?;
    let folder = args.output.clone();
    let fetched_later = items.clone();
    blocking(move || refuse_small_disk(&folder, &fetched_later)).await?;
    let options = DownloadOptions::with_requests(args.jobs.into());
    let total = items.iter().filter_map(bytes_to_come).sum();
    let fetch = async {
        let fates = stream::iter(items).map(|item| fetch(&element, item, &args, &options));
        let mut fates = fates.buffered(args.jobs.into());
        let mut outcomes = Vec::new();
        while let Some(outcome) = fates.next().await {
            outcomes.push(outcome);
        }
        outcomes
    };
    let outcomes = tokio::select! {
        outcomes = fetch => outcomes,
        () = progress::draw(options.arrived.clone(), total) => {
            unreachable!("it draws until it is dropped")
        }
    };
    if args.json.json {
        output::json(&outcomes)?;
    } else {
        print(&outcomes)?;
    }
    let failed = |outcome: &Outcome| outcome.fate.is_failure();
    Ok(if outcomes.iter().any(failed) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// All that the words on the command line mean; at least one file.
async fn wanted(
    config: &Config,
    catalogue: &Catalogue,
    element: &str,
    args: &GetArgs,
) -> anyhow::Result<Vec<Item>> {
    let mut items = Vec::new();
    for detail in select::runs(config, catalogue, &args.runs).await? {
        if args.product.is_some() {
            let known = catalogue.products(&detail.row.id).await?;
            items.extend(products(&detail.row.id, known, element, args));
        } else {
            items.extend(files(&detail, element, args));
        }
    }
    if items.is_empty() {
        return Err(Hinted::new(
            "these runs have no such file",
            "`aquifer files RUN` lists files, `aquifer products list RUN` products",
        )
        .into());
    }
    Ok(items)
}

/// Bytes of the object, if there is one.
fn bytes_to_come(item: &Item) -> Option<u64> {
    match &item.source {
        Source::Object(wanted) | Source::Encoded(wanted, _) => Some(wanted.size),
        Source::Missing(_) => None,
    }
}

/// Refuses to begin what the disk cannot hold. Blocking.
fn refuse_small_disk(folder: &Path, items: &[Item]) -> anyhow::Result<()> {
    let name = || folder.display().to_string();
    std::fs::create_dir_all(folder).with_context(name)?;
    let mut needed: u64 = 0;
    for item in items {
        if local::size(&item.target)?.is_none() {
            needed = needed.saturating_add(item.space());
        }
    }
    let disk = statvfs(folder).with_context(name)?;
    let free = disk.blocks_available().saturating_mul(disk.fragment_size());
    if needed == 0 || needed.saturating_add(LEFT_FREE) <= free {
        return Ok(());
    }
    let what = format!(
        "{} are to be fetched, and `{}` has {} free",
        output::size(needed),
        folder.display(),
        output::size(free)
    );
    Err(Hinted::new(
        what,
        "`--output` names another folder, `--file` fewer files",
    )
    .into())
}

async fn fetch(
    element: &S3Element,
    item: Item,
    args: &GetArgs,
    options: &DownloadOptions,
) -> Outcome {
    let fate = bring(element, &item, args.replace, options).await;
    let expected = item.expected();
    Outcome {
        run: item.run,
        file: item.name,
        path: item.target,
        size: expected.map(|expected| expected.size),
        crc64nvme: expected.map(|expected| expected.crc64nvme.to_string()),
        fate: fate.unwrap_or_else(|error| Fate::Failed(format!("{error:#}"))),
    }
}

async fn bring(
    element: &S3Element,
    item: &Item,
    replace: bool,
    options: &DownloadOptions,
) -> anyhow::Result<Fate> {
    if let Source::Missing(why) = &item.source {
        return Ok(Fate::Impossible(why.clone()));
    }
    let (target, expected) = (item.target.clone(), item.expected());
    let lies_there = blocking(move || lies_there(&target, expected)).await?;
    match lies_there {
        Some(true) => {
            let come = bytes_to_come(item).unwrap_or_default();
            let arrived = &options.arrived;
            arrived.fetch_add(come, std::sync::atomic::Ordering::Relaxed);
            return Ok(Fate::WasThere);
        }
        Some(false) if !replace => {
            let target = item.target.display();
            let why =
                format!("`{target}` is there and holds something else; `--replace` replaces it");
            return Ok(Fate::Impossible(why));
        }
        _ => {}
    }
    match &item.source {
        Source::Object(wanted) => {
            let proven = download(element, wanted, &item.target, options).await?;
            let target = item.target.clone();
            blocking(move || Ok(proven.keep_as(&target)?)).await?;
        }
        Source::Encoded(wanted, decoded) => {
            decode(element, (wanted, *decoded), &item.target, options).await?;
        }
        Source::Missing(_) => {}
    }
    Ok(Fate::Fetched)
}

/// Whether the right bytes lie under the target; `None` if nothing does. Blocking.
fn lies_there(target: &Path, expected: Option<Decoded>) -> anyhow::Result<Option<bool>> {
    let Some(size) = local::size(target)? else {
        return Ok(None);
    };
    let Some(expected) = expected.filter(|expected| expected.size == size) else {
        return Ok(Some(false));
    };
    Ok(Some(local::digest(target)?.crc64nvme == expected.crc64nvme))
}

/// Fetches an object, decodes it, and holds what comes out against the file's own
/// checksum. The object's bytes are dropped once that is proven.
async fn decode(
    element: &S3Element,
    (wanted, decoded): (&Wanted, Decoded),
    target: &Path,
    options: &DownloadOptions,
) -> anyhow::Result<()> {
    let proven = download(element, wanted, target, options).await?;
    let target = target.to_owned();
    blocking(move || {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let beside = target.with_file_name(format!(".{name}.aquifer-decoded"));
        let found = local::decode_to(proven.path(), &beside)?;
        if (found.size, found.crc64nvme) != (decoded.size, decoded.crc64nvme) {
            let _ = std::fs::remove_file(&beside);
            proven.discard()?;
            anyhow::bail!(
                "it decodes to {} bytes, crc64nvme {}, and should to {}, {}",
                found.size,
                found.crc64nvme,
                decoded.size,
                decoded.crc64nvme
            );
        }
        std::fs::rename(&beside, &target).with_context(|| target.display().to_string())?;
        Ok(proven.discard()?)
    })
    .await
}

fn print(outcomes: &[Outcome]) -> anyhow::Result<()> {
    let rows = outcomes.iter().map(|outcome| {
        let size = outcome.size.map_or_else(output::dash, output::size);
        let fate = match &outcome.fate {
            Fate::Fetched => "fetched".to_owned(),
            Fate::WasThere => "was there".to_owned(),
            Fate::Impossible(why) | Fate::Failed(why) => format!("FAILED: {why}"),
        };
        let path = outcome.path.display().to_string();
        vec![outcome.run.to_string(), size, path, fate]
    });
    output::table(&["RUN", "SIZE", "FILE", ""], rows)?;
    let count = |wanted: fn(&Fate) -> bool| {
        let fates = outcomes.iter().filter(|outcome| wanted(&outcome.fate));
        fates.count()
    };
    let failed = count(Fate::is_failure);
    output::line(format!(
        "{} fetched and proven, {} were there, {failed} failed",
        count(|fate| *fate == Fate::Fetched),
        count(|fate| *fate == Fate::WasThere),
    ))?;
    if count(|fate| matches!(fate, Fate::Failed(_))) > 0 {
        output::line("hint: the same command tries again what failed, and goes on where it was")?;
    }
    Ok(())
}
