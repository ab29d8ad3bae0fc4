//! `aquifer checksum`: digests of files, as the catalogue has them. Needs neither
//! configuration nor servers.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use aquifer_digest::{Algorithm, Digests, SumDigester};
use aquifer_midas::decode;
use md5::{Digest as _, Md5};
use serde::Serialize;

use super::local::digest_all;
use crate::cli::ChecksumArgs;
use crate::output;

/// What is said of one file.
#[derive(Debug, Serialize)]
struct Digested {
    file: String,
    #[serde(flatten)]
    digests: Option<Digests>,
    #[serde(skip_serializing_if = "Option::is_none")]
    md5: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Digests each file in one pass over its bytes. Exit code 1 if one cannot be read.
pub(super) fn run(args: &ChecksumArgs) -> anyhow::Result<ExitCode> {
    let all: Vec<_> = args.files.iter().map(|path| look_at(path, args)).collect();
    if args.json.json {
        output::json(&all)?;
    } else {
        print(&all, args)?;
    }
    Ok(if all.iter().all(|file| file.error.is_none()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn look_at(path: &Path, args: &ChecksumArgs) -> Digested {
    let file = path.display().to_string();
    digested(path, args).unwrap_or_else(|error| Digested {
        file,
        digests: None,
        md5: None,
        sha256: None,
        error: Some(format!("{error:#}")),
    })
}

fn digested(path: &Path, args: &ChecksumArgs) -> anyhow::Result<Digested> {
    let opened = File::open(path).context("cannot be opened")?;
    let bytes: Box<dyn Read> = if args.decoded {
        Box::new(decode(opened).context("cannot be decoded")?)
    } else {
        Box::new(opened)
    };
    let mut md5 = args.md5.then(Md5::new);
    let mut sha256 = args.sha256.then(|| SumDigester::new(Algorithm::Sha256));
    let digests = digest_all(bytes, &mut |piece| {
        if let Some(md5) = &mut md5 {
            md5.update(piece);
        }
        if let Some(sha256) = &mut sha256 {
            sha256.update(piece);
        }
        Ok(())
    });
    Ok(Digested {
        file: path.display().to_string(),
        digests: Some(digests.context("cannot be read")?),
        md5: md5.map(|md5| hex(&md5.finalize())),
        sha256: sha256.map(|sha256| sha256.finish()),
        error: None,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

fn print(all: &[Digested], args: &ChecksumArgs) -> anyhow::Result<()> {
    let mut titles = vec!["SIZE", "CRC64NVME", "ADLER32", "CRC32C"];
    titles.extend(args.md5.then_some("MD5"));
    titles.extend(args.sha256.then_some("SHA256"));
    titles.push("FILE");
    let rows = all.iter().filter_map(|file| {
        let digests = file.digests?;
        let mut row = vec![
            digests.size.to_string(),
            digests.crc64nvme.to_string(),
            digests.adler32.to_string(),
            digests.crc32c.to_string(),
        ];
        row.extend(file.md5.clone());
        row.extend(file.sha256.clone());
        row.push(file.file.clone());
        Some(row)
    });
    output::table(&titles, rows)?;
    for file in all {
        if let Some(error) = &file.error {
            output::line(format!("{}: {error}", file.file))?;
        }
    }
    Ok(())
}
