//! `aquifer catalogue history`: what the history takes, and old months of it into the
//! object storage.
//!
//! A month is written as one JSON object per step, compressed with zstd, under
//! `history/<month>.jsonl.zst`; stored as run files are; read back and compared; and only
//! then dropped from the database, if it still has as many steps as were written.

use std::io::{BufWriter, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use aquifer_catalogue::{Catalogue, HistoryMonth, Month};
use aquifer_digest::Digests;
use aquifer_storage::{
    ObjectKey, ObjectMeta, S3Element, SourceFile, StorageElement as _, StoreOptions,
};
use jiff::Timestamp;
use serde::Serialize;

use super::open_catalogue;
use crate::cli::{ArchiveArgs, HistoryCommand};
use crate::config::Config;
use crate::failure::Hinted;
use crate::output;

/// What keys of archived months begin with.
const PREFIX: &str = "history";

/// Text that repeats itself much: the ratio hardly grows beyond.
const LEVEL: i32 = 6;

/// A month that was moved.
#[derive(Debug, Serialize)]
struct Archived {
    month: Month,
    steps: u64,
    key: String,
    size: u64,
    crc64nvme: String,
}

/// Lists months, or moves them.
pub(super) async fn run(config: Config, command: HistoryCommand) -> anyhow::Result<ExitCode> {
    let catalogue = open_catalogue(&config).await?;
    match command {
        HistoryCommand::Months { json } => months(&catalogue.history_months().await?, json)?,
        HistoryCommand::Archive(args) => archive(&config, &catalogue, &args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn months(months: &[HistoryMonth], json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(&months);
    }
    let rows = months.iter().map(|month| {
        vec![
            month.month.to_string(),
            month.rows_about.to_string(),
            output::size(month.bytes_about),
        ]
    });
    output::table(&["MONTH", "STEPS, ABOUT", "SIZE, ABOUT"], rows)?;
    Ok(())
}

async fn archive(config: &Config, catalogue: &Catalogue, args: &ArchiveArgs) -> anyhow::Result<()> {
    if args.before > Month::of(Timestamp::now()) {
        let what = format!("{} is still to come", args.before);
        return Err(Hinted::usage(what, "months that are over can be moved").into());
    }
    let all = catalogue.history_months().await?;
    let old: Vec<HistoryMonth> = all
        .into_iter()
        .filter(|month| month.month < args.before)
        .collect();
    if !args.yes {
        months(&old, args.json)?;
        if !old.is_empty() && !args.json {
            output::line("nothing was moved: `--yes` does it")?;
        }
        return Ok(());
    }
    let element = S3Element::new(config.storage.clone())?;
    element.probe().await?;
    let mut archived = Vec::new();
    for month in old {
        let moved = one(catalogue, &element, month.month).await;
        let moved = moved.with_context(|| format!("history of {}", month.month))?;
        if !args.json {
            output::line(format!(
                "{}: {} steps in s3://{}/{}, {}, crc64nvme {}",
                moved.month,
                moved.steps,
                element.location(),
                moved.key,
                output::size(moved.size),
                moved.crc64nvme
            ))?;
        }
        archived.push(moved);
    }
    if args.json {
        output::json(&archived)?;
    }
    Ok(())
}

async fn one(catalogue: &Catalogue, element: &S3Element, month: Month) -> anyhow::Result<Archived> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("history");
    let steps = write(catalogue, month, &path).await?;
    let key: ObjectKey = format!("{PREFIX}/{month}.jsonl.zst").parse()?;
    let file = SourceFile::open(&path).await?;
    let stored = element
        .store_file(&file, &key, &ObjectMeta::new(), StoreOptions::default())
        .await?;
    let written: Digests = stored.sealed.digests();
    let read = element.read_back(&key).await?;
    ensure!(
        read == written,
        "{} reads back as other bytes than were written",
        element.url_of(&key)
    );
    if let Err(has) = catalogue.drop_history(month, steps).await? {
        anyhow::bail!("the month has {has} steps now, {steps} were stored: it stays");
    }
    Ok(Archived {
        month,
        steps,
        key: key.to_string(),
        size: written.size,
        crc64nvme: written.crc64nvme.to_string(),
    })
}

/// Writes every step of a month; says how many there are.
async fn write(catalogue: &Catalogue, month: Month, path: &std::path::Path) -> anyhow::Result<u64> {
    let file = BufWriter::new(std::fs::File::create(path)?);
    let mut out = zstd::Encoder::new(file, LEVEL)?;
    let (mut steps, mut after) = (0, 0);
    loop {
        let page = catalogue.history(month, after).await?;
        let Some(last) = page.last() else { break };
        after = last.step.row;
        for step in &page {
            serde_json::to_writer(&mut out, step)?;
            out.write_all(b"\n")?;
            steps += 1;
        }
    }
    out.finish()?
        .into_inner()
        .map_err(std::io::IntoInnerError::into_error)?
        .sync_all()?;
    Ok(steps)
}
