//! `aquifer verify`: what copies and local files really hold, compared with the
//! catalogue.
//!
//! A copy that is read back and right has evidence E4 from then on; one that is wrong is
//! bad from then on, and somebody is told. A copy that could not be read is neither: an
//! outage says nothing of the data.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use aquifer_catalogue::{Catalogue, CopyEvidence, FileFilter, ReplicaRow, RunDetail, RunFile};
use aquifer_digest::Digests;
use aquifer_runtime::retry::{Classify, ErrorClass, RetryPolicy, retry};
use aquifer_schemas::{
    AlertSignal, Encoding, EvidenceLevel, FileName, ReplicaState, RunId, Severity, event_id,
};
use aquifer_storage::{ObjectKey, S3Element, StorageElement as _, StorageError};
use futures::stream::{self, StreamExt as _};
use jiff::Timestamp;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::local::{self, blocking};
use super::{open_catalogue, operator, select};
use crate::cli::VerifyArgs;
use crate::config::Config;
use crate::output;

/// How often a read that fails is tried.
const PATIENCE: RetryPolicy = RetryPolicy {
    min_delay: Duration::from_millis(200),
    max_delay: Duration::from_secs(4),
    max_attempts: 5,
};

/// Files of one content that are named.
const MOST_NAMED: u32 = 10;

/// What was found.
#[derive(Debug, Serialize)]
struct Found {
    /// The run, if it is about one.
    run: Option<RunId>,
    /// The file of the run, or on the local disk.
    file: String,
    /// Storage element, or nothing of a local file.
    element: Option<String>,
    verdict: Verdict,
    detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    /// As the catalogue says.
    Good,
    /// Not as the catalogue says.
    Bad,
    /// The catalogue says nothing of it.
    Unknown,
    /// It could not be read.
    Unread,
}

/// Verifies copies of runs, or local files. Exit code 1 if anything is not good.
pub(super) async fn run(config: Config, args: VerifyArgs) -> anyhow::Result<ExitCode> {
    let catalogue = open_catalogue(&config).await?;
    // A path that is there is meant before a run is.
    let (paths, runs): (Vec<_>, Vec<_>) = args
        .what
        .iter()
        .cloned()
        .partition(|word| Path::new(word).is_file());
    let mut found = Vec::new();
    for path in &paths {
        found.push(local_file(&catalogue, path).await?);
    }
    if !runs.is_empty() {
        let element = S3Element::new(config.storage.clone())?;
        for detail in select::runs(&config, &catalogue, &runs).await? {
            found.extend(copies(&catalogue, &element, &detail, args.jobs.into()).await?);
        }
    }
    if args.json {
        output::json(&found)?;
    } else {
        print(&found)?;
    }
    Ok(
        if found.iter().all(|found| found.verdict == Verdict::Good) {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        },
    )
}

/// Reads back the copies that a run has at `element`, and tells the catalogue.
async fn copies(
    catalogue: &Catalogue,
    element: &S3Element,
    detail: &RunDetail,
    jobs: usize,
) -> anyhow::Result<Vec<Found>> {
    use ReplicaState::{Available, Bad, Suspect};
    let run = &detail.row.id;
    let copies = detail.replicas.iter().filter(|copy| {
        copy.element == element.name() && matches!(copy.state, Available | Suspect | Bad)
    });
    let looks = stream::iter(copies).map(|copy| look(element, copy));
    let looks: Vec<_> = looks.buffered(jobs).collect().await;
    let mut found: Vec<Found> = Vec::new();
    let (mut known, mut signals) = (Vec::new(), Vec::new());
    for (copy, look) in looks {
        let (verdict, detail) = match &look {
            Ok(look) if is_same(copy, &look.evidence) => (
                Verdict::Good,
                format!("read back, {}", output::size(look.evidence.size)),
            ),
            Ok(look) => {
                let found = &look.evidence;
                let what = format!(
                    "{} bytes, crc64nvme {}; the catalogue has {} and {}",
                    found.size,
                    shown(Some(&found.crc64nvme)),
                    copy.stored_size,
                    shown(copy.stored_crc64nvme.as_ref()),
                );
                signals.push(copy_bad(run, copy, &what));
                (Verdict::Bad, what)
            }
            Err(error) => (Verdict::Unread, error.to_string()),
        };
        known.extend(look.ok().map(Look::aged));
        found.push(Found {
            run: Some(run.clone()),
            file: copy.file.to_string(),
            element: Some(copy.element.clone()),
            verdict,
            detail,
        });
    }
    if !known.is_empty() {
        catalogue
            .record_looks(run, &known, &operator(), &signals)
            .await?;
    }
    let looked_at = |name: &FileName| found.iter().any(|found| found.file == name.as_str());
    let rest = detail.files.iter().filter(|file| !looked_at(&file.name));
    let rest: Vec<_> = rest
        .map(|file| Found {
            run: Some(run.clone()),
            file: file.name.to_string(),
            element: None,
            verdict: Verdict::Unread,
            detail: format!("it is {}: {} has no copy of it", file.state, element.name()),
        })
        .collect();
    found.extend(rest);
    Ok(found)
}

/// What was found of a copy, and when the look began.
struct Look {
    evidence: CopyEvidence,
    began: Instant,
}

impl Look {
    fn aged(mut self) -> CopyEvidence {
        self.evidence.age = self.began.elapsed();
        self.evidence
    }
}

/// Reads a copy back. One that is not there is found, too: with no bytes.
async fn look<'a>(
    element: &S3Element,
    copy: &'a ReplicaRow,
) -> (&'a ReplicaRow, anyhow::Result<Look>) {
    let looked = async {
        let key: ObjectKey = copy.location.parse()?;
        let began = Instant::now();
        let never = CancellationToken::new();
        let read = retry("read-back", &PATIENCE, &never, || async {
            let read = element.read_back(&key).await;
            read.map_err(Impatient)
        });
        let (method, size, crc64nvme) = match read.await {
            Ok(read) => ("read-back", read.size, read.crc64nvme.to_string()),
            Err(error) => match error.into_last() {
                Some(Impatient(StorageError::NotFound { .. })) => {
                    ("no object has the key", 0, String::new())
                }
                Some(Impatient(error)) => return Err(error.into()),
                None => anyhow::bail!("given up"),
            },
        };
        let evidence = CopyEvidence {
            file: copy.file.clone(),
            element: copy.element.clone(),
            level: EvidenceLevel::E4,
            method: method.to_owned(),
            size,
            crc64nvme,
            age: Duration::ZERO,
        };
        Ok(Look { evidence, began })
    };
    (copy, looked.await)
}

fn is_same(copy: &ReplicaRow, found: &CopyEvidence) -> bool {
    let recorded = copy.stored_crc64nvme.as_ref();
    let same_sum = recorded.is_none_or(|recorded| *recorded == found.crc64nvme);
    copy.stored_size == found.size && same_sum && !found.crc64nvme.is_empty()
}

fn shown(sum: Option<&String>) -> &str {
    match sum.map(String::as_str) {
        None | Some("") => "none",
        Some(sum) => sum,
    }
}

/// An outage is not waited out for ever by somebody who sits and waits.
#[derive(Debug)]
struct Impatient(StorageError);

impl std::fmt::Display for Impatient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Classify for Impatient {
    fn class(&self) -> ErrorClass {
        match self.0.class() {
            ErrorClass::Unavailable => ErrorClass::Transient,
            class => class,
        }
    }
}

/// Somebody has to make the copy anew.
fn copy_bad(run: &RunId, copy: &ReplicaRow, what: &str) -> AlertSignal {
    let subject = format!("{run} {}", copy.file);
    let about = format!("copy:{run}:{}:{}", copy.file, copy.element);
    let now = Timestamp::now();
    let details = BTreeMap::from([
        ("file".to_owned(), copy.file.to_string()),
        ("element".to_owned(), copy.element.clone()),
        ("location".to_owned(), copy.location.clone()),
    ]);
    AlertSignal {
        event_id: event_id(&about, "copy-bad", now.as_microsecond().cast_unsigned()),
        name: "copy-bad".to_owned(),
        severity: Severity::Critical,
        subject,
        site: Some(run.site.clone()),
        run: Some(run.number),
        summary: format!(
            "the copy of `{}` of run {run} at {} is bad: {what}",
            copy.file, copy.element
        ),
        details,
        cleared: false,
        occurred_at: now,
        producer: operator(),
    }
}

/// Looks a local file up by what is in it: by its bytes, then by what they decode to.
async fn local_file(catalogue: &Catalogue, path: &str) -> anyhow::Result<Found> {
    let found = |run, verdict, detail| Found {
        run,
        file: path.to_owned(),
        element: None,
        verdict,
        detail,
    };
    let file = path.to_owned();
    let digested = blocking(move || {
        let path = Path::new(&file);
        let mut contents = vec![("", local::digest(path)?)];
        // What cannot be decoded has its bytes, all the same.
        let decoded = local::digest_decoded(path).ok().flatten();
        contents.extend(decoded.map(|decoded| (", compressed", decoded)));
        Ok(contents)
    });
    let contents = match digested.await {
        Ok(contents) => contents,
        Err(error) => return Ok(found(None, Verdict::Unread, format!("{error:#}"))),
    };
    for (form, digests) in &contents {
        let known = of_content(catalogue, digests).await?;
        if let Some(first) = known.first() {
            let names = known
                .iter()
                .map(|known| format!("{} of {}", known.file.name, known.run));
            let names = names.collect::<Vec<_>>().join(" and ");
            let detail = format!("it is {names}{form}");
            return Ok(found(Some(first.run.clone()), Verdict::Good, detail));
        }
    }
    Ok(if let Some(known) = of_name(catalogue, path).await? {
        let have = shown(known.file.crc64nvme.as_ref()).to_owned();
        let got = contents.last().map(|(_, digests)| digests.crc64nvme);
        let got = got.map_or_else(|| "none".to_owned(), |sum| sum.to_string());
        let detail = format!(
            "{} of {} has crc64nvme {have}, this file {got}",
            known.file.name, known.run
        );
        found(Some(known.run), Verdict::Bad, detail)
    } else {
        let detail = "no file in the catalogue has these bytes or this name";
        found(None, Verdict::Unknown, detail.to_owned())
    })
}

async fn of_content(catalogue: &Catalogue, digests: &Digests) -> anyhow::Result<Vec<RunFile>> {
    let filter = FileFilter {
        crc64nvme: Some(digests.crc64nvme),
        ..FileFilter::default()
    };
    let mut known = catalogue.find_files(&filter, MOST_NAMED).await?;
    known.retain(|known| known.file.size == Some(digests.size));
    Ok(known)
}

/// A file of the same name, with or without the ending of an encoding.
async fn of_name(catalogue: &Catalogue, path: &str) -> anyhow::Result<Option<RunFile>> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let (plain, encoding) = Encoding::split(name);
    let plain = (encoding != Encoding::Identity).then_some(plain);
    for name in [Some(name), plain].into_iter().flatten() {
        let Ok(glob) = name.parse();
        let filter = FileFilter {
            name: Some(glob),
            ..FileFilter::default()
        };
        if let Some(known) = catalogue.find_files(&filter, 1).await?.pop() {
            return Ok(Some(known));
        }
    }
    Ok(None)
}

fn print(found: &[Found]) -> anyhow::Result<()> {
    let rows = found.iter().map(|found| {
        let run = found
            .run
            .as_ref()
            .map_or_else(output::dash, RunId::to_string);
        let verdict = match found.verdict {
            Verdict::Good => "good",
            Verdict::Bad => "BAD",
            Verdict::Unknown => "UNKNOWN",
            Verdict::Unread => "NOT READ",
        };
        vec![
            verdict.to_owned(),
            run,
            found.file.clone(),
            found.element.clone().unwrap_or_else(output::dash),
            found.detail.clone(),
        ]
    });
    output::table(&["", "RUN", "FILE", "AT", "WHAT WAS FOUND"], rows)?;
    let good = found.iter().filter(|found| found.verdict == Verdict::Good);
    let (good, all) = (good.count(), found.len());
    output::line(format!("{good} of {all} are what the catalogue says"))?;
    Ok(())
}
