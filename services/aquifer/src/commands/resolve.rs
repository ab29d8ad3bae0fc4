//! `aquifer resolve`: files of which two sides say different things, side by side, and
//! the word of a person on them.
//!
//! Nothing is ever overwritten, so a person decides little: which side is believed. Bytes
//! of the buffer get into the storage through the ingester alone, as the run they are of
//! or as its next version.

use std::process::ExitCode;

use aquifer_catalogue::{Catalogue, FileRow, RunFile};
use aquifer_schemas::{FileName, FileState, ReplicaState, RunId};
use serde::Serialize;

use super::{open_catalogue, operator, run_id};
use crate::cli::{ResolveArgs, Side};
use crate::config::Config;
use crate::failure::Hinted;
use crate::output;

/// Files read at a time.
const PAGE: u32 = 1000;

/// Two sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Conflict {
    run: RunId,
    file: FileName,
    kind: Kind,
    stored: String,
    buffer: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    /// Nothing is stored of it: it cannot be trusted, or is gone.
    Quarantined,
    /// It is stored, and the buffer holds something else under its name.
    CopyInDoubt,
    /// The DAQ used the number again: both are kept, under their versions.
    NumberUsedAgain,
}

impl Kind {
    fn remedy(self) -> &'static str {
        match self {
            Self::Quarantined => {
                "put the right bytes into the buffer under the file's name; if they are right and \
                 the logger's checksum file is wrong, correct that one and touch the file: m2c \
                 looks at it again"
            }
            Self::CopyInDoubt => {
                "`aquifer verify RUN` says whether the stored copy is sound; then `aquifer resolve \
                 RUN FILE --keep stored --why WORDS`. Other data are stored by m2c as the run's \
                 next version"
            }
            Self::NumberUsedAgain => {
                "nothing: both are kept. Say which one is meant by its version, such as LNGS/42.v2"
            }
        }
    }
}

/// Lists conflicts, or resolves one.
pub(super) async fn run(config: Config, args: ResolveArgs) -> anyhow::Result<ExitCode> {
    let catalogue = open_catalogue(&config).await?;
    let (Some(run), Some(file), Some(keep)) = (&args.run, &args.file, args.keep) else {
        return list(&catalogue, args.json).await;
    };
    let run = run_id(&config, run)?;
    let why = args.why.as_deref().unwrap_or_default();
    keep_side(&catalogue, (&run, file), keep, why).await?;
    if args.json {
        output::json(&catalogue.run_detail(&run).await?)?;
    } else {
        output::line(format!(
            "{file} of {run}: the stored copy stands, the buffer's is bad"
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn keep_side(
    catalogue: &Catalogue,
    (run, file): (&RunId, &FileName),
    keep: Side,
    why: &str,
) -> anyhow::Result<()> {
    if keep == Side::Buffer {
        return Err(Hinted::new(
            "the buffer's bytes are not put in the place of stored ones",
            "put them into the buffer under the file's name: m2c stores them as the run's next version",
        )
        .into());
    }
    let resolved = catalogue.keep_stored(run, file, why, &operator()).await?;
    if !resolved {
        return Err(Hinted::new(
            format!("{file} of {run} is stored nowhere, or nothing is in doubt"),
            "`aquifer resolve` lists the conflicts, and what to do",
        )
        .into());
    }
    Ok(())
}

/// Exit code 1 where there is something to resolve.
async fn list(catalogue: &Catalogue, json: bool) -> anyhow::Result<ExitCode> {
    let mut conflicts = Vec::new();
    let mut again = Vec::new();
    catalogue
        .for_each_run_file(None, PAGE, |found| {
            if found.run.version > 1 {
                again.push((found.run.clone(), found.file.clone()));
            }
            conflicts.extend(conflict(found));
        })
        .await?;
    for (run, file) in again {
        conflicts.push(used_again(catalogue, run, &file).await?);
    }
    conflicts.sort_by(|one, other| (one.kind, &one.run).cmp(&(other.kind, &other.run)));
    if json {
        output::json(&conflicts)?;
    } else {
        print(&conflicts)?;
    }
    let open = |conflict: &Conflict| conflict.kind != Kind::NumberUsedAgain;
    Ok(if conflicts.iter().any(open) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// What is wrong with a file, if anything is.
fn conflict(found: RunFile) -> Option<Conflict> {
    let file = found.file;
    let reason = file.reason.clone().unwrap_or_default();
    if matches!(file.state, FileState::Changed | FileState::Vanished) {
        return Some(Conflict {
            run: found.run,
            kind: Kind::Quarantined,
            stored: "nothing".to_owned(),
            buffer: format!("{}: {reason}", file.state),
            file: file.name,
        });
    }
    let doubtful = found.replicas.iter().any(|copy| {
        copy.state == ReplicaState::Suspect && Some(&copy.element) == file.buffer.as_ref()
    });
    doubtful.then(|| Conflict {
        run: found.run,
        kind: Kind::CopyInDoubt,
        stored: content(&file),
        buffer: reason,
        file: file.name,
    })
}

/// What the number's version before has under the same name.
async fn used_again(catalogue: &Catalogue, run: RunId, file: &FileRow) -> anyhow::Result<Conflict> {
    let before = RunId {
        version: run.version - 1,
        ..run.clone()
    };
    let detail = catalogue.run_detail(&before).await?;
    let files = detail.map(|detail| detail.files).unwrap_or_default();
    let older = files.iter().find(|older| older.name == file.name);
    let older = older.map_or_else(|| "no such file".to_owned(), content);
    Ok(Conflict {
        file: file.name.clone(),
        kind: Kind::NumberUsedAgain,
        stored: format!("{before} has {older}"),
        buffer: format!("{run} has {}", content(file)),
        run,
    })
}

fn content(file: &FileRow) -> String {
    match (file.size, &file.crc64nvme) {
        (Some(size), Some(sum)) => format!("{size} bytes, crc64nvme {sum}"),
        _ => "nothing".to_owned(),
    }
}

fn print(conflicts: &[Conflict]) -> anyhow::Result<()> {
    let mut said = None;
    for conflict in conflicts {
        if said != Some(conflict.kind) {
            let title = match conflict.kind {
                Kind::Quarantined => "quarantined",
                Kind::CopyInDoubt => "the buffer's copy is in doubt",
                Kind::NumberUsedAgain => "numbers that were used again",
            };
            output::line(format!("{title}; {}", conflict.kind.remedy()))?;
            said = Some(conflict.kind);
        }
        let (one, other) = match conflict.kind {
            Kind::NumberUsedAgain => ("before", "now"),
            _ => ("stored", "buffer"),
        };
        output::line(format!("  {}  {}", conflict.run, conflict.file))?;
        output::line(format!("    {one:<7} {}", conflict.stored))?;
        output::line(format!("    {other:<7} {}", conflict.buffer))?;
    }
    let open = conflicts.iter();
    let open = open.filter(|conflict| conflict.kind != Kind::NumberUsedAgain);
    output::line(format!("{} conflicts to resolve", open.count()))?;
    Ok(())
}
