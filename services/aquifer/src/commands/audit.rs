//! `aquifer audit`: asks every source what it has and prints what does not add up.
//! Exit code 1 when anything is unaccounted for.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Context as _;
use aquifer_audit::{
    BufferFile, CatalogueFile, CatalogueRun, DaqFile, DaqRun, Deadlines, Finding, NumberEvidence,
    Object, Ordered, Tally, Upload, reconcile,
};
use aquifer_catalogue::{Catalogue, PurgeOrderFilter, PurgeOrderRow, RunDetail, RunFilter};
use aquifer_m2c::{Keys, Rules, TRASH};
use aquifer_schemas::{FileName, FileState, PurgeState, ReplicaState, RunNumber, Site};
use aquifer_sim::{listed_runs, read_run_list};
use aquifer_storage::{ObjectKey, S3Element, StorageElement, StorageError};
use futures::TryStreamExt;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

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
    /// Each of them.
    pub findings: Vec<Finding>,
    /// Files of the buffer that belong to no run.
    pub unrecognised: Vec<String>,
    /// Objects whose keys belong to no run.
    pub foreign_objects: Vec<String>,
    /// What is left of uploads that nobody will finish.
    pub orphaned_uploads: Vec<Upload>,
    /// Announcements that wait for longer than they may.
    pub announcements_overdue: u64,
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
    collected.buffer(config)?;
    collected.leaving(&catalogue, config).await?;
    collected.daq_list(config)?;
    let mut tally = Tally::default();
    let mut findings = Vec::new();
    for ((site, number), evidence) in &collected.evidence {
        let (counted, found) = reconcile(site, *number, evidence, &deadlines);
        tally += counted;
        findings.extend(found);
    }
    let outbox = catalogue.outbox_status().await?;
    let overdue = outbox
        .oldest_at
        .is_some_and(|oldest| now.duration_since(oldest) > deadlines.stored_within);
    let announcements_overdue = if overdue { outbox.rows } else { 0 };
    let at_most = SignedDuration::from_secs(config.audit.upload_at_most_secs.cast_signed());
    let orphaned_uploads = collected.orphaned_uploads(config, now, at_most).await?;
    let unaccounted = findings.len()
        + collected.unrecognised.len()
        + collected.foreign_objects.len()
        + orphaned_uploads.len()
        + announcements_overdue as usize;
    Ok(Report {
        tally,
        unaccounted,
        findings,
        unrecognised: collected.unrecognised,
        foreign_objects: collected.foreign_objects,
        orphaned_uploads,
        announcements_overdue,
    })
}

#[derive(Default)]
struct Collected {
    evidence: Evidence,
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

    fn buffer(&mut self, config: &Config) -> anyhow::Result<()> {
        let folder = &config.m2c.buffer;
        if folder.as_os_str().is_empty() {
            return Ok(());
        }
        let site: Site = config.m2c.site.parse()?;
        let rules = config.m2c.rules()?;
        // A buffer that is not there is not an empty one.
        std::fs::metadata(folder).with_context(|| folder.display().to_string())?;
        self.folder(&site, &rules, |number| &mut number.buffer)?;
        let Some(orders) = existing(std::fs::read_dir(folder.join(TRASH)))? else {
            return Ok(());
        };
        for order in orders {
            let trash = Rules {
                folder: order?.path(),
                ..rules.clone()
            };
            self.folder(&site, &trash, |number| &mut number.trash)?;
        }
        Ok(())
    }

    /// Run files of the folder of `rules`; one that has gone meanwhile is empty.
    fn folder(
        &mut self,
        site: &Site,
        rules: &Rules,
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
                    let file = BufferFile {
                        in_its_own_form: name.disk == name.file,
                        name: name.file,
                        size: metadata.len(),
                        modified_at: Timestamp::try_from(metadata.modified()?)?,
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
        for ((site, number), evidence) in &mut self.evidence {
            let seen = |name: &FileName| evidence.buffer.iter().any(|file| file.name == *name);
            let mut files = evidence.catalogue.iter().flat_map(|run| &run.files);
            let is_gone = files.any(|file| file.in_buffer && !seen(&file.name));
            if !is_gone && evidence.trash.is_empty() {
                continue;
            }
            evidence.catalogue.clear();
            for run in catalogue.versions(site, *number).await? {
                if let Some(detail) = catalogue.run_detail(&run.id).await? {
                    let orders = orders_of(catalogue, &detail).await?;
                    evidence
                        .catalogue
                        .push(catalogue_run(&detail, &orders, &buffer));
                }
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
                let orders = orders_of(catalogue, &detail).await?;
                let run = catalogue_run(&detail, &orders, &buffer);
                self.of(site, number).catalogue.push(run);
            }
        }
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
                let Some((site, number)) = keys.run_of(&listed.key) else {
                    self.foreign_objects.push(listed.key);
                    continue;
                };
                let crc64nvme = checksum(&element, &listed.key, read_back).await?;
                let object = Object {
                    key: listed.key,
                    size: listed.size,
                    modified_at: listed.last_modified.unwrap_or(Timestamp::UNIX_EPOCH),
                    crc64nvme,
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

/// The object's checksum: of its bytes if they are to be read, else as reported.
async fn checksum(
    element: &S3Element,
    key: &str,
    read_back: bool,
) -> anyhow::Result<Option<String>> {
    let key: ObjectKey = key.parse()?;
    let checksum = if read_back {
        Some(element.read_back(&key).await?.crc64nvme)
    } else {
        element.head(&key).await?.and_then(|info| info.crc64nvme)
    };
    Ok(checksum.map(|checksum| checksum.to_string()))
}

/// What is there, or `None` if it is gone.
fn existing<T>(found: std::io::Result<T>) -> std::io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Orders by which files of the run have left the buffer, newest first.
async fn orders_of(
    catalogue: &Catalogue,
    detail: &RunDetail,
) -> anyhow::Result<Vec<PurgeOrderRow>> {
    let left = |state| matches!(state, FileState::Trashed | FileState::Purged);
    if !detail.files.iter().any(|file| left(file.state)) {
        return Ok(Vec::new());
    }
    let filter = PurgeOrderFilter {
        run: Some(detail.row.id.clone()),
        states: vec![PurgeState::Trashed, PurgeState::Deleted],
        ..PurgeOrderFilter::default()
    };
    Ok(catalogue.purge_orders(&filter).await?)
}

fn ordered(orders: &[PurgeOrderRow], name: &FileName) -> Option<Ordered> {
    orders.iter().find_map(|order| {
        let file = order.files.iter().find(|file| file.name == *name)?;
        Some(Ordered {
            evidence: file.evidence,
            required: order.required,
            found: file.evidence_value.clone(),
        })
    })
}

fn catalogue_run(detail: &RunDetail, orders: &[PurgeOrderRow], buffer: &str) -> CatalogueRun {
    let copy_at = |name: &FileName, at_buffer: bool| {
        detail.replicas.iter().find(|replica| {
            let held = !matches!(
                replica.state,
                ReplicaState::Deleted | ReplicaState::Lost | ReplicaState::Planned
            );
            replica.file == *name && (replica.element == buffer) == at_buffer && held
        })
    };
    let files = detail.files.iter().map(|file| CatalogueFile {
        name: file.name.clone(),
        state: file.state,
        size: file.size,
        crc32c: file.crc32c.clone(),
        in_buffer: copy_at(&file.name, true).is_some(),
        ordered: ordered(orders, &file.name),
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
        "{} runs: {} files stored, {} quarantined, {} in progress",
        tally.runs, tally.stored, tally.quarantined, tally.in_progress
    ))?;
    for finding in &report.findings {
        let kind = serde_json::to_value(finding.kind)?;
        output::line(format!(
            "{}/{}  {}  {}: {}",
            finding.site,
            finding.run,
            kind.as_str().unwrap_or_default(),
            finding.subject,
            finding.detail
        ))?;
    }
    for name in &report.unrecognised {
        output::line(format!(
            "buffer  unrecognised-file  {name}: it belongs to no run; hint: m2c.files, m2c.ignore-suffixes"
        ))?;
    }
    for key in &report.foreign_objects {
        output::line(format!(
            "storage  foreign-object  {key}: its key belongs to no run"
        ))?;
    }
    for upload in &report.orphaned_uploads {
        output::line(format!(
            "storage  orphaned-upload  {}: begun {} and never finished; hint: aquifer storage abort-orphans",
            upload.key,
            output::time_or_dash(upload.begun_at)
        ))?;
    }
    if report.announcements_overdue > 0 {
        output::line(format!(
            "catalogue  announcements-overdue  {} wait; hint: is the relay running?",
            report.announcements_overdue
        ))?;
    }
    output::line(format!("{} unaccounted", report.unaccounted))?;
    Ok(())
}
