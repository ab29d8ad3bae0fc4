//! `aquifer audit`: asks every source what it has and prints what does not add up, the
//! worst first, and what to do. Exit code 1 when anything is unaccounted for.

mod bytes;

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use anyhow::Context as _;
use aquifer_audit::{
    BufferFile, CatalogueFile, CatalogueRun, DaqFile, DaqRun, Deadlines, Finding, FindingKind,
    Gravity, NumberEvidence, Object, Tally, reconcile,
};
use aquifer_catalogue::{Catalogue, RunDetail, RunFilter};
use aquifer_m2c::{Keys, Rules};
use aquifer_schemas::{Encoding, FileName, FileState, ReplicaState, RunId, RunNumber, Site};
use aquifer_sim::{listed_runs, read_run_list};
use aquifer_storage::{S3Element, StorageElement};
use futures::TryStreamExt;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use self::bytes::{checksums, digest};
use super::open_catalogue;
use crate::cli::AuditArgs;
use crate::config::Config;
use crate::output;

/// Everything that is said, by site and run number.
type Evidence = BTreeMap<(Site, RunNumber), NumberEvidence>;

/// The result.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// What was counted.
    pub tally: Tally,
    /// Findings: what is unaccounted for.
    pub unaccounted: usize,
    /// Findings that are merely untidy.
    pub untidy: usize,
    /// Each of both, the worst first.
    pub findings: Vec<Finding>,
    /// Quarantined files, and why.
    pub quarantined: Vec<Quarantined>,
    /// Files of the buffer that belong to no run.
    pub unrecognised: Vec<String>,
    /// Objects whose keys belong to no run.
    pub foreign_objects: Vec<String>,
    /// Announcements that wait for longer than they may.
    pub announcements_overdue: u64,
}

/// A file that cannot be trusted; someone was told.
#[derive(Debug, Serialize)]
pub(super) struct Quarantined {
    /// The run, with its version.
    pub run: RunId,
    /// The file.
    pub file: FileName,
    /// Why.
    pub reason: String,
}

/// Audits and prints.
pub(super) async fn run(config: Config, args: AuditArgs) -> anyhow::Result<ExitCode> {
    let report = audit(&config, args.read_back, args.strict).await?;
    if args.json {
        output::json(&report)?;
    } else {
        print(&report)?;
    }
    Ok(if report.unaccounted == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Collects what each source says and reconciles it.
pub(super) async fn audit(
    config: &Config,
    read_back: bool,
    strict: bool,
) -> anyhow::Result<Report> {
    let now = Timestamp::now();
    let patience = if strict {
        0
    } else {
        config.audit.stored_within_secs
    };
    let deadlines = Deadlines {
        now,
        stored_within: SignedDuration::from_secs(patience.cast_signed()),
        run_at_most: SignedDuration::from_secs(config.audit.run_at_most_secs.cast_signed()),
    };
    let catalogue = open_catalogue(config).await?;
    let mut collected = Collected::default();
    // The catalogue first: what it names existed before, so that a run that arrives
    // while the audit reads is at worst in progress, never missing.
    collected.catalogue(&catalogue, config).await?;
    collected.storage(config, read_back).await?;
    collected.buffer(config, read_back)?;
    collected.daq_list(config)?;
    let mut tally = Tally::default();
    let mut findings = Vec::new();
    for ((site, number), evidence) in &collected.evidence {
        let (counted, found) = reconcile(site, *number, evidence, &deadlines);
        tally += counted;
        findings.extend(found);
    }
    findings.sort_by_key(|finding| finding.gravity);
    let untidy = findings.iter().filter(|finding| is_untidy(finding)).count();
    let outbox = catalogue.outbox_status().await?;
    let overdue = outbox
        .oldest_at
        .is_some_and(|oldest| now.duration_since(oldest) > deadlines.stored_within);
    let announcements_overdue = if overdue { outbox.rows } else { 0 };
    let unaccounted = findings.len() - untidy
        + collected.unrecognised.len()
        + collected.foreign_objects.len()
        + announcements_overdue as usize;
    Ok(Report {
        tally,
        unaccounted,
        untidy,
        findings,
        quarantined: collected.quarantined,
        unrecognised: collected.unrecognised,
        foreign_objects: collected.foreign_objects,
        announcements_overdue,
    })
}

fn is_untidy(finding: &Finding) -> bool {
    finding.gravity == Gravity::Untidy
}

#[derive(Default)]
struct Collected {
    evidence: Evidence,
    quarantined: Vec<Quarantined>,
    unrecognised: Vec<String>,
    foreign_objects: Vec<String>,
}

impl Collected {
    fn of(&mut self, site: Site, number: RunNumber) -> &mut NumberEvidence {
        self.evidence.entry((site, number)).or_default()
    }

    fn daq_list(&mut self, config: &Config) -> anyhow::Result<()> {
        let path = &config.audit.daq_run_list;
        if path.as_os_str().is_empty() || !path.is_file() {
            return Ok(());
        }
        for record in listed_runs(read_run_list(path)?) {
            let run = DaqRun {
                started_at: record.started_at,
                ended_at: record.ended_at,
                files: record
                    .files
                    .into_iter()
                    .map(|file| DaqFile {
                        name: file.name,
                        size: file.size,
                        crc32c: file.crc32c.map(|crc32c| crc32c.to_string()),
                    })
                    .collect(),
            };
            self.of(record.site, record.number).daq.push(run);
        }
        Ok(())
    }

    fn buffer(&mut self, config: &Config, read_back: bool) -> anyhow::Result<()> {
        let folder = &config.m2c.buffer;
        if folder.as_os_str().is_empty() {
            return Ok(());
        }
        let site = config.site()?;
        let rules = config.m2c.rules()?;
        let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
        for entry in entries {
            let entry = entry?;
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => {
                    return Err(error).with_context(|| entry.path().display().to_string());
                }
            };
            let text = entry.file_name().to_string_lossy().into_owned();
            if metadata.is_dir() || rules.is_ignored(&text) {
                continue;
            }
            match run_of(&rules, &text) {
                Some((name, number)) => {
                    let file = BufferFile {
                        name,
                        size: metadata.len(),
                        modified_at: Timestamp::try_from(metadata.modified()?)?,
                        crc64nvme: digest(&entry.path(), read_back)?,
                    };
                    self.of(site.clone(), number).buffer.push(file);
                }
                None => self.unrecognised.push(text),
            }
        }
        Ok(())
    }

    async fn catalogue(&mut self, catalogue: &Catalogue, config: &Config) -> anyhow::Result<()> {
        let buffer = config.m2c.element_name();
        let mut before = None;
        loop {
            let filter = RunFilter {
                limit: 1000,
                before,
                ..RunFilter::default()
            };
            let runs = catalogue.runs(&filter).await?;
            let Some(last) = runs.last() else {
                return Ok(());
            };
            before = Some(last.cursor());
            for run in runs {
                let Some(detail) = catalogue.run_detail(&run.id).await? else {
                    continue;
                };
                let (site, number) = (detail.row.id.site.clone(), detail.row.id.number);
                self.quarantined.extend(quarantined(&detail));
                let run = catalogue_run(&detail, &buffer);
                self.of(site, number).catalogue.push(run);
            }
        }
    }

    async fn storage(&mut self, config: &Config, read_back: bool) -> anyhow::Result<()> {
        let element = S3Element::new(config.storage.clone())?;
        let keys = Keys::under(&config.m2c.key_prefix);
        let prefix = keys.prefix().to_owned();
        let mut pages = element.list(&prefix);
        while let Some(page) = pages.try_next().await? {
            for listed in page {
                let Some((site, number)) = keys.run_of(&listed.key) else {
                    self.foreign_objects.push(listed.key);
                    continue;
                };
                let (crc64nvme, crc32c) = checksums(&element, &listed.key, read_back).await?;
                let object = Object {
                    key: listed.key,
                    size: listed.size,
                    modified_at: listed.last_modified.unwrap_or(Timestamp::UNIX_EPOCH),
                    crc64nvme,
                    crc32c,
                };
                self.of(site, number).objects.push(object);
            }
        }
        Ok(())
    }
}

/// The run's files that cannot be trusted.
fn quarantined(detail: &RunDetail) -> impl Iterator<Item = Quarantined> {
    let files = detail.files.iter();
    let bad = files.filter(|file| matches!(file.state, FileState::Changed | FileState::Vanished));
    bad.map(|file| Quarantined {
        run: detail.row.id.clone(),
        file: file.name.clone(),
        reason: file.reason.clone().unwrap_or_default(),
    })
}

fn run_of(rules: &Rules, text: &str) -> Option<(FileName, RunNumber)> {
    let name: FileName = text.parse().ok()?;
    let number = rules.run_of(&name)?;
    Some((name, number))
}

fn catalogue_run(detail: &RunDetail, buffer: &str) -> CatalogueRun {
    let copy_at = |name: &FileName, at_buffer: bool| {
        detail.replicas.iter().find(|replica| {
            let held = !matches!(replica.state, ReplicaState::Deleted | ReplicaState::Planned);
            replica.file == *name && (replica.element == buffer) == at_buffer && held
        })
    };
    let decoded = |name: &FileName| {
        copy_at(name, false).is_none_or(|replica| replica.encoding == Encoding::Identity)
    };
    let files = detail.files.iter().map(|file| CatalogueFile {
        name: file.name.clone(),
        state: file.state,
        size: file.size,
        crc32c: file.crc32c.clone(),
        crc64nvme: file.crc64nvme.clone().filter(|_| decoded(&file.name)),
        in_buffer: copy_at(&file.name, true).is_some(),
        object: copy_at(&file.name, false).map(|replica| {
            let crc64nvme = replica.stored_crc64nvme.clone().unwrap_or_default();
            (replica.location.clone(), replica.stored_size, crc64nvme)
        }),
    });
    CatalogueRun {
        version: detail.row.id.version,
        state: detail.row.state,
        updated_at: detail.row.updated_at,
        file_count: u64::from(detail.row.files),
        files: files.collect(),
        manifest_key: detail.row.manifest_key.clone(),
    }
}

fn print(report: &Report) -> anyhow::Result<()> {
    let tally = report.tally;
    output::line(format!(
        "{} runs, {} of them in progress; files: {} stored, {} quarantined, {} in progress",
        tally.runs, tally.runs_in_progress, tally.stored, tally.quarantined, tally.in_progress
    ))?;
    let mut kinds = BTreeSet::new();
    for finding in &report.findings {
        let run = format!("{}/{}", finding.site, finding.run);
        let what = format!("{}: {}", finding.subject, finding.detail);
        say(finding.gravity, &run, finding.kind, &what)?;
        kinds.insert(finding.kind);
    }
    let mut elsewhere = |place: &str, kind: FindingKind, what: &str| {
        kinds.insert(kind);
        say(kind.gravity(false), place, kind, what)
    };
    for name in &report.unrecognised {
        elsewhere("buffer", FindingKind::UnrecognisedFile, name)?;
    }
    for key in &report.foreign_objects {
        elsewhere("storage", FindingKind::ForeignObject, key)?;
    }
    if report.announcements_overdue > 0 {
        let what = format!("{} wait", report.announcements_overdue);
        elsewhere("catalogue", FindingKind::AnnouncementsOverdue, &what)?;
    }
    for file in &report.quarantined {
        output::line(format!(
            "quarantined  {}  {}: {}",
            file.run, file.file, file.reason
        ))?;
    }
    if !kinds.is_empty() {
        output::line("what to do")?;
    }
    for kind in kinds {
        output::line(format!("  {}: {}", kind.as_str(), kind.remedy()))?;
    }
    output::line(format!(
        "{} unaccounted, {} untidy",
        report.unaccounted, report.untidy
    ))?;
    Ok(())
}

fn say(gravity: Gravity, place: &str, kind: FindingKind, what: &str) -> std::io::Result<()> {
    let (gravity, kind) = (gravity.as_str(), kind.as_str());
    output::line(format!("{gravity:<6}  {place}  {kind}  {what}"))
}
