//! `aquifer storage`: what the object storage really does, and what is left in it that
//! nobody will finish.

use std::process::ExitCode;

use aquifer_audit::Upload;
use aquifer_storage::{ObjectKey, S3Element, StorageElement, UnfinishedUpload};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{audit, open_catalogue};
use crate::cli::{AbortOrphansArgs, StorageCommand};
use crate::config::Config;
use crate::failure::Hinted;
use crate::output;
use crate::view::storage::Findings;

/// Probes, or drops orphans.
pub(super) async fn run(config: Config, command: StorageCommand) -> anyhow::Result<ExitCode> {
    match command {
        StorageCommand::Probe { races, json } => probe(&config, races, json).await,
        StorageCommand::AbortOrphans(args) => abort_orphans(&config, &args).await,
    }
}

/// Exit code 1 where the server does not do what safe storage rests upon.
async fn probe(config: &Config, races: u32, json: bool) -> anyhow::Result<ExitCode> {
    let element = S3Element::new(config.storage.clone())?;
    element.ensure_location().await?;
    let capabilities = element.probe().await?;
    let races = element.race(races).await?;
    let names = (
        element.name(),
        config.storage.endpoint.as_str(),
        element.location(),
    );
    let findings = Findings::new(names, Timestamp::now(), capabilities, races);
    let recorded = record(config, &findings).await;
    if json {
        output::json(&findings)?;
    } else {
        output::line(format!(
            "{}: bucket `{}` at {}",
            findings.element, findings.bucket, findings.endpoint
        ))?;
        let rows = findings.answers().into_iter().map(|answer| {
            let yes = if answer.yes { "yes" } else { "NO" };
            vec![
                answer.question.to_owned(),
                yes.to_owned(),
                answer.meaning.to_owned(),
            ]
        });
        output::table(&["THE SERVER", "", "WHICH MEANS"], rows)?;
        output::line(findings.races())?;
        match recorded {
            Ok(()) => output::line("recorded in the catalogue")?,
            Err(error) => output::line(format!("not recorded in the catalogue: {error:#}"))?,
        }
    }
    Ok(if findings.is_safe() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Keeps the findings where everybody sees them. At the edge there may be no catalogue.
async fn record(config: &Config, findings: &Findings) -> anyhow::Result<()> {
    let catalogue = open_catalogue(config).await?;
    let json = serde_json::to_value(findings)?;
    let known = catalogue.record_capabilities(&findings.element, &json);
    if known.await? {
        return Ok(());
    }
    anyhow::bail!("the element is not registered; m2c registers it when it first starts")
}

/// What became of an orphan.
#[derive(Debug, Serialize)]
struct Orphan {
    #[serde(flatten)]
    upload: Upload,
    /// Whether an object stands under the key.
    beside_object: bool,
    /// Whether its parts were dropped now.
    dropped: bool,
}

/// Exit code 1 where orphans are left.
async fn abort_orphans(config: &Config, args: &AbortOrphansArgs) -> anyhow::Result<ExitCode> {
    let usual = SignedDuration::from_secs(config.audit.upload_at_most_secs.cast_signed());
    let at_most = args.older_than.unwrap_or(usual);
    let element = S3Element::new(config.storage.clone())?;
    let mut orphans = Vec::new();
    let catalogue = open_catalogue(config).await?;
    for upload in audit::orphaned_uploads(config, &catalogue, at_most).await? {
        let beside_object = stands(&element, &upload.key).await?;
        let dropped = args.yes && (args.beside_objects || !beside_object);
        if dropped {
            abort(&element, &upload, beside_object).await?;
        }
        orphans.push(Orphan {
            upload,
            beside_object,
            dropped,
        });
    }
    if args.json {
        output::json(&orphans)?;
    } else {
        print(&orphans, args)?;
    }
    Ok(if orphans.iter().all(|orphan| orphan.dropped) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Whether an object has the key. What is no key of ours may be anyone's.
async fn stands(element: &S3Element, key: &str) -> anyhow::Result<bool> {
    match key.parse::<ObjectKey>() {
        Ok(key) => Ok(element.head(&key).await?.is_some()),
        Err(_) => Ok(false),
    }
}

/// Drops the parts. Beside an object, which could be made of them, it is read back.
async fn abort(element: &S3Element, upload: &Upload, beside_object: bool) -> anyhow::Result<()> {
    let unfinished = UnfinishedUpload {
        key: upload.key.clone(),
        upload_id: upload.upload_id.clone(),
        initiated: upload.begun_at,
    };
    element.abort_unfinished(&unfinished).await?;
    if !beside_object {
        return Ok(());
    }
    let key: ObjectKey = upload.key.parse()?;
    let damaged = |what: String| {
        Hinted::new(
            format!("`{key}` was damaged when an upload beside it was dropped: {what}"),
            "store it anew from the buffer or another copy; drop no more of them on this server",
        )
    };
    let told = element.head(&key).await?.and_then(|info| info.crc64nvme);
    let read = element.read_back(&key).await;
    let read = read.map_err(|error| damaged(error.to_string()))?.crc64nvme;
    match told {
        Some(told) if told != read => {
            Err(damaged(format!("crc64nvme {read}, it was {told}")).into())
        }
        _ => Ok(()),
    }
}

fn print(orphans: &[Orphan], args: &AbortOrphansArgs) -> anyhow::Result<()> {
    let rows = orphans.iter().map(|orphan| {
        let done = match orphan {
            Orphan { dropped: true, .. } => "dropped",
            Orphan {
                beside_object: true,
                ..
            } => "left: an object has its key",
            _ => "left",
        };
        vec![
            orphan.upload.key.clone(),
            output::time_or_dash(orphan.upload.begun_at),
            done.to_owned(),
        ]
    });
    if !orphans.is_empty() {
        output::table(&["UPLOAD FOR", "BEGUN", ""], rows)?;
    }
    let left = orphans.iter().filter(|orphan| !orphan.dropped).count();
    output::line(format!("{left} orphaned uploads left"))?;
    if left > 0 && !args.yes {
        output::line("hint: --yes drops them")?;
    } else if left > 0 {
        output::line("hint: --beside-objects drops those for keys that hold an object, too")?;
    }
    Ok(())
}
