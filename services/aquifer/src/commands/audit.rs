//! `aquifer audit`: asks every source what it has and prints what does not add up, the
//! worst first, and what to do. Exit code 1 when anything is unaccounted for.

mod bytes;
mod rows;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::process::ExitCode;

use anyhow::Context as _;
use aquifer_audit::{
    BufferFile, DaqFile, DaqRun, Deadlines, Finding, FindingKind, Gravity, NumberEvidence, Object,
    Tally, Upload, reconcile,
};
use aquifer_catalogue::{Catalogue, HeldRun};
use aquifer_m2c::{Keys, Rules, TRASH};
use aquifer_schemas::{FileName, FileState, RunId, RunNumber, Site};
use aquifer_sim::{listed_runs, read_run_list};
use aquifer_storage::{S3Element, StorageElement, StorageError};
use futures::TryStreamExt;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use self::bytes::{checksums, digest};
use self::rows::{Place, catalogue_run, claimed, orders_of};
use super::open_catalogue;
use crate::cli::AuditArgs;
use crate::config::Config;
use crate::output;

/// Runs that are read from the catalogue at a time.
const RUNS_A_PAGE: u32 = 500;

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
    /// What is left of uploads that nobody will finish.
    pub orphaned_uploads: Vec<Upload>,
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
    collected.leaving(&catalogue, config).await?;
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
    let at_most = SignedDuration::from_secs(config.audit.upload_at_most_secs.cast_signed());
    let orphaned_uploads = collected.orphaned_uploads(config, now, at_most).await?;
    let unaccounted = findings.len() - untidy
        + collected.unrecognised.len()
        + collected.foreign_objects.len()
        + orphaned_uploads.len()
        + announcements_overdue as usize;
    Ok(Report {
        tally,
        unaccounted,
        untidy,
        findings,
        quarantined: collected.quarantined,
        unrecognised: collected.unrecognised,
        foreign_objects: collected.foreign_objects,
        orphaned_uploads,
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
    /// Objects that books and listings claim, under keys that are not of ours.
    claimed: HashMap<String, (Site, RunNumber)>,
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
        // A buffer that is not there is not an empty one.
        std::fs::metadata(folder).with_context(|| folder.display().to_string())?;
        self.folder(&site, &rules, read_back, |number| &mut number.buffer)?;
        let Some(orders) = existing(std::fs::read_dir(folder.join(TRASH)))? else {
            return Ok(());
        };
        for order in orders {
            let trash = Rules {
                folder: order?.path(),
                ..rules.clone()
            };
            self.folder(&site, &trash, read_back, |number| &mut number.trash)?;
        }
        Ok(())
    }

    /// Run files of the folder of `rules`; one that has gone meanwhile is empty.
    fn folder(
        &mut self,
        site: &Site,
        rules: &Rules,
        read_back: bool,
        into: impl Fn(&mut NumberEvidence) -> &mut Vec<BufferFile>,
    ) -> anyhow::Result<()> {
        let folder = &rules.folder;
        let mut names = Vec::new();
        existing(rules.files(&mut |name| names.push(name.to_owned())))
            .with_context(|| folder.display().to_string())?;
        for text in names {
            let path = folder.join(&text);
            let metadata = existing(std::fs::symlink_metadata(&path));
            let Some(metadata) = metadata.with_context(|| path.display().to_string())? else {
                continue;
            };
            match rules.naming.recognise(&text) {
                Some(name) => {
                    // Of a file in another form only what it decodes to could be compared.
                    let in_its_own_form = name.disk == name.file;
                    let file = BufferFile {
                        in_its_own_form,
                        name: name.file,
                        size: metadata.len(),
                        modified_at: Timestamp::try_from(metadata.modified()?)?,
                        crc64nvme: digest(&path, read_back && in_its_own_form)?,
                    };
                    into(self.of(site.clone(), name.run)).push(file);
                }
                None => self.unrecognised.push(text),
            }
        }
        Ok(())
    }

    /// Asks the catalogue again for runs of which it said more than the buffer showed: an
    /// order may have taken their files away meanwhile.
    async fn leaving(&mut self, catalogue: &Catalogue, config: &Config) -> anyhow::Result<()> {
        let buffer = config.m2c.element_name();
        let place = Place::of(config);
        for ((site, number), evidence) in &mut self.evidence {
            let seen = |name: &FileName| evidence.buffer.iter().any(|file| file.name == *name);
            let mut files = evidence.catalogue.iter().flat_map(|run| &run.files);
            let is_gone = files.any(|file| file.in_buffer && !seen(&file.name));
            if !is_gone && evidence.trash.is_empty() {
                continue;
            }
            evidence.catalogue.clear();
            for held in catalogue.held_runs(site, *number, 1).await? {
                if held.row.id.number == *number {
                    let orders = orders_of(catalogue, &held).await?;
                    let run = catalogue_run(&held, &orders, &buffer, &place);
                    evidence.catalogue.push(run);
                }
            }
        }
        Ok(())
    }

    async fn catalogue(&mut self, catalogue: &Catalogue, config: &Config) -> anyhow::Result<()> {
        let buffer = config.m2c.element_name();
        let place = Place::of(config);
        for site in catalogue.sites().await? {
            let mut from = Some(0);
            while let Some(number) = from {
                let page = catalogue.held_runs(&site.name, number, RUNS_A_PAGE).await?;
                from = page
                    .last()
                    .and_then(|last| last.row.id.number.checked_add(1));
                for held in page {
                    self.quarantined.extend(quarantined(&held));
                    let orders = orders_of(catalogue, &held).await?;
                    let run = catalogue_run(&held, &orders, &buffer, &place);
                    self.claimed.extend(claimed(&held, &place));
                    let number = held.row.id.number;
                    self.of(site.name.clone(), number).catalogue.push(run);
                }
            }
        }
        Ok(())
    }

    /// Asked after the catalogue: a run that comes on its way while this reads began
    /// its uploads just now.
    async fn orphaned_uploads(
        &self,
        config: &Config,
        now: Timestamp,
        at_most: SignedDuration,
    ) -> anyhow::Result<Vec<Upload>> {
        let element = S3Element::new(config.storage.clone())?;
        let keys = Keys::under(&config.m2c.key_prefix);
        let mut orphans = Vec::new();
        let mut pages = element.list_unfinished("");
        loop {
            let page = match pages.try_next().await {
                Ok(Some(page)) => page,
                // The probe says of a server that cannot list them.
                Ok(None) | Err(StorageError::Rejected { .. }) => return Ok(orphans),
                Err(error) => return Err(error.into()),
            };
            for unfinished in page {
                let versions = keys
                    .run_of(&unfinished.key)
                    .and_then(|number| self.evidence.get(&number))
                    .map_or(&[][..], |evidence| &evidence.catalogue);
                let states: Vec<_> = versions.iter().map(|version| version.state).collect();
                let upload = Upload {
                    key: unfinished.key,
                    upload_id: unfinished.upload_id,
                    begun_at: unfinished.initiated,
                };
                if upload.is_orphan(&states, now, at_most) {
                    orphans.push(upload);
                }
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
                let of_ours = keys.run_of(&listed.key);
                let run = of_ours.or_else(|| self.claimed.get(&listed.key).cloned());
                let Some((site, number)) = run else {
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

/// What is left of uploads that nobody will finish, as far as the storage and the
/// catalogue tell.
pub(super) async fn orphaned_uploads(
    config: &Config,
    at_most: SignedDuration,
) -> anyhow::Result<Vec<Upload>> {
    let catalogue = open_catalogue(config).await?;
    let mut collected = Collected::default();
    let now = Timestamp::now();
    collected.catalogue(&catalogue, config).await?;
    collected.orphaned_uploads(config, now, at_most).await
}

/// The run's files that cannot be trusted.
fn quarantined(held: &HeldRun) -> impl Iterator<Item = Quarantined> {
    let files = held.files.iter();
    let bad = files.filter(|file| matches!(file.state, FileState::Changed | FileState::Vanished));
    bad.map(|file| Quarantined {
        run: held.row.id.clone(),
        file: file.name.clone(),
        reason: file.reason.clone().unwrap_or_default(),
    })
}

/// What is there, or `None` if it is gone.
fn existing<T>(found: std::io::Result<T>) -> std::io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn print(report: &Report) -> anyhow::Result<()> {
    let tally = report.tally;
    output::line(format!(
        "{} runs, {} of them in progress; files: {} stored, {} quarantined, {} in progress",
        tally.runs, tally.runs_in_progress, tally.stored, tally.quarantined, tally.in_progress
    ))?;
    if tally.adopted + tally.missing > 0 {
        output::line(format!(
            "from run books and listings: {} files adopted, {} missing; {} runs never ended",
            tally.adopted, tally.missing, tally.never_ended
        ))?;
    }
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
    for upload in &report.orphaned_uploads {
        let begun = output::time_or_dash(upload.begun_at);
        let what = format!("{}: begun {begun} and never finished", upload.key);
        elsewhere("storage", FindingKind::OrphanedUpload, &what)?;
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
