//! `aquifer files`: files of runs, what is in them, and where their copies are.

use std::collections::HashMap;
use std::process::ExitCode;

use aquifer_catalogue::{Catalogue, FileFilter, RunDetail, RunFile};
use aquifer_schemas::{Encoding, EvidenceLevel, FileName, FileState, ReplicaState, RunId};
use serde::Serialize;

use super::{open_catalogue, select};
use crate::cli::FilesArgs;
use crate::config::Config;
use crate::output;

/// A file, for programs.
#[derive(Debug, Serialize)]
struct Listed {
    run: RunId,
    name: FileName,
    state: FileState,
    announced_size: Option<u64>,
    size: Option<u64>,
    crc64nvme: Option<String>,
    adler32: Option<String>,
    crc32c: Option<String>,
    /// Why it, or its copy in the buffer, is not trusted.
    reason: Option<String>,
    copies: Vec<Copy>,
}

/// One copy of it.
#[derive(Debug, Serialize)]
struct Copy {
    element: String,
    state: ReplicaState,
    /// `s3://bucket/key`, or a file's URL, as far as it is known how to reach it.
    url: String,
    bucket: Option<String>,
    location: String,
    encoding: Encoding,
    stored_size: u64,
    stored_crc64nvme: Option<String>,
    evidence: EvidenceLevel,
    evidence_at: jiff::Timestamp,
}

/// Lists files. Exit code 1 if there are none.
pub(super) async fn run(config: Config, args: FilesArgs) -> anyhow::Result<ExitCode> {
    let catalogue = open_catalogue(&config).await?;
    let limit = args.limit as usize;
    let mut files: Vec<RunFile> = if args.name.is_some() {
        let filter = FileFilter {
            site: args.site.clone(),
            name: args.name.clone(),
            ..FileFilter::default()
        };
        catalogue.find_files(&filter, args.limit).await?
    } else {
        let details = select::runs(&config, &catalogue, &args.runs).await?;
        details.into_iter().flat_map(run_files).collect()
    };
    // As many as were asked for may be all.
    let more = files.len() > limit || (args.name.is_some() && files.len() == limit);
    files.truncate(limit);
    let urls = urls(&catalogue).await?;
    let listed: Vec<_> = files.into_iter().map(|file| listed(file, &urls)).collect();
    if args.json {
        output::json(&listed)?;
    } else {
        print(&listed)?;
        if more {
            output::line(format!(
                "there may be more than {limit}; `--limit` shows them"
            ))?;
        }
    }
    Ok(if listed.is_empty() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn run_files(detail: RunDetail) -> Vec<RunFile> {
    let (run, run_state) = (detail.row.id, detail.row.state);
    let files = detail.files.into_iter();
    files
        .map(|file| RunFile {
            run: run.clone(),
            run_state,
            replicas: detail
                .replicas
                .iter()
                .filter(|copy| copy.file == file.name)
                .cloned()
                .collect(),
            file,
        })
        .collect()
}

/// How each storage element is reached, by its name.
pub(super) async fn urls(catalogue: &Catalogue) -> anyhow::Result<HashMap<String, String>> {
    let elements = catalogue.elements().await?.into_iter();
    Ok(elements
        .map(|element| (element.name, element.url))
        .collect())
}

fn listed(found: RunFile, urls: &HashMap<String, String>) -> Listed {
    let copies = found.replicas.into_iter().map(|copy| {
        let base = urls.get(&copy.element).map_or("", String::as_str);
        Copy {
            url: format!("{}/{}", base.trim_end_matches('/'), copy.location),
            element: copy.element,
            state: copy.state,
            bucket: copy.bucket,
            location: copy.location,
            encoding: copy.encoding,
            stored_size: copy.stored_size,
            stored_crc64nvme: copy.stored_crc64nvme,
            evidence: copy.evidence,
            evidence_at: copy.evidence_at,
        }
    });
    let file = found.file;
    Listed {
        copies: copies.collect(),
        run: found.run,
        name: file.name,
        state: file.state,
        announced_size: file.announced_size,
        size: file.size,
        crc64nvme: file.crc64nvme,
        adler32: file.adler32,
        crc32c: file.crc32c,
        reason: file.reason,
    }
}

/// One line for each copy, and one for a file without any.
fn print(files: &[Listed]) -> anyhow::Result<()> {
    let rows = files.iter().flat_map(|file| {
        let first = vec![
            file.run.to_string(),
            file.name.to_string(),
            file.state.to_string(),
            file.size.map_or_else(output::dash, output::size),
            file.crc64nvme.clone().unwrap_or_else(output::dash),
        ];
        let mut copies = file.copies.iter().map(move |copy| {
            vec![
                copy.element.clone(),
                copy.state.to_string(),
                copy.evidence.to_string(),
                copy.encoding.to_string(),
                copy.url.clone(),
            ]
        });
        let head = copies.next().unwrap_or_else(|| vec![output::dash(); 5]);
        let rest = copies.map(|copy| [vec![String::new(); 5], copy].concat());
        let head = [first, head].concat();
        std::iter::once(head).chain(rest).collect::<Vec<_>>()
    });
    let titles = [
        "RUN",
        "FILE",
        "STATE",
        "SIZE",
        "CRC64NVME",
        "AT",
        "COPY",
        "EVIDENCE",
        "ENCODING",
        "URL",
    ];
    output::table(&titles, rows)?;
    for file in files {
        if let Some(reason) = &file.reason {
            output::line(format!("{} of {}: {reason}", file.name, file.run))?;
        }
    }
    Ok(())
}
