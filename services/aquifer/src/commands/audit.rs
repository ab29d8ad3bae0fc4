//! `aquifer audit`: asks every source what it has and prints what does not add up, the
//! worst first, and what to do. Exit code 1 when anything is unaccounted for.
//!
//! Runs are looked at by the page, so that the years of an experiment fit into little
//! memory; of all that was seen only the numbers are kept, to know at the end what no
//! run of the catalogue has claimed.

mod buffer;
mod bytes;
mod daq;
mod orphans;
mod print;
mod rows;
mod sources;

use std::collections::{BTreeMap, HashSet};
use std::process::ExitCode;

use aquifer_audit::{Deadlines, Finding, Gravity, Tally, Upload, reconcile};
use aquifer_catalogue::HeldRun;
use aquifer_schemas::{FileName, FileState, RunId, RunNumber, Site};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

pub(super) use self::orphans::orphaned_uploads;
use self::sources::{Held, Sources, versions};
use super::open_catalogue;
use crate::cli::AuditArgs;
use crate::config::Config;
use crate::output;

/// Runs that are read from the catalogue, and looked at, at a time.
const RUNS_A_PAGE: u32 = 500;

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
        print::report(&report)?;
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
    let seconds = |seconds: u64| SignedDuration::from_secs(seconds.cast_signed());
    let patience = if strict {
        0
    } else {
        config.audit.stored_within_secs
    };
    let deadlines = Deadlines {
        now,
        stored_within: seconds(patience),
        run_at_most: seconds(config.audit.run_at_most_secs),
    };
    let catalogue = open_catalogue(config).await?;
    let mut audit = Audit {
        sources: Sources::of(config, &catalogue, read_back)?,
        deadlines,
        known: BTreeMap::new(),
        claimed: HashSet::new(),
        tally: Tally::default(),
        findings: Vec::new(),
        quarantined: Vec::new(),
    };
    for site in catalogue.sites().await? {
        let mut from = Some(0);
        while let Some(number) = from {
            let page = catalogue.held_runs(&site.name, number, RUNS_A_PAGE).await?;
            let held = by_number(page);
            from = held
                .last_key_value()
                .and_then(|(last, _)| last.checked_add(1));
            audit.look_at(&site.name, &held).await?;
        }
    }
    let strangers = audit
        .sources
        .strangers(&audit.known, &audit.claimed)
        .await?;
    for of_site in strangers.runs.chunk_by(|one, next| one.0 == next.0) {
        for page in of_site.chunks(RUNS_A_PAGE as usize) {
            let mut held = Held::new();
            for (site, number) in page {
                held.insert(*number, versions(&catalogue, site, *number).await?);
            }
            audit.look_at(&page[0].0, &held).await?;
        }
    }
    let outbox = catalogue.outbox_status().await?;
    let overdue = outbox
        .oldest_at
        .is_some_and(|oldest| now.duration_since(oldest) > deadlines.stored_within);
    let announcements_overdue = if overdue { outbox.rows } else { 0 };
    let at_most = seconds(config.audit.upload_at_most_secs);
    let orphaned_uploads = orphaned_uploads(config, &catalogue, at_most).await?;
    let mut findings = audit.findings;
    findings.sort_by(|one, other| {
        let place = |finding: &Finding| (finding.gravity, finding.site.clone(), finding.run);
        place(one).cmp(&place(other))
    });
    let untidy = findings.iter().filter(|finding| is_untidy(finding)).count();
    let unaccounted = findings.len() - untidy
        + strangers.files.len()
        + strangers.objects.len()
        + orphaned_uploads.len()
        + announcements_overdue as usize;
    Ok(Report {
        tally: audit.tally,
        unaccounted,
        untidy,
        findings,
        quarantined: audit.quarantined,
        unrecognised: strangers.files,
        foreign_objects: strangers.objects,
        orphaned_uploads,
        announcements_overdue,
    })
}

/// An audit on its way.
struct Audit<'a> {
    sources: Sources<'a>,
    deadlines: Deadlines,
    /// Numbers that were looked at.
    known: BTreeMap<Site, HashSet<RunNumber>>,
    /// Objects that books and listings claim, under keys that are not of ours.
    claimed: HashSet<String>,
    tally: Tally,
    findings: Vec<Finding>,
    quarantined: Vec<Quarantined>,
}

impl Audit<'_> {
    /// Looks at runs of a site, of which the catalogue just said what it holds.
    async fn look_at(&mut self, site: &Site, held: &Held) -> anyhow::Result<()> {
        for (number, evidence) in self.sources.evidence(site, held).await? {
            let (counted, found) = reconcile(site, number, &evidence, &self.deadlines);
            self.tally += counted;
            self.findings.extend(found);
        }
        let known = self.known.entry(site.clone()).or_default();
        known.extend(held.keys());
        for run in held.values().flatten() {
            self.quarantined.extend(quarantined(run));
            self.claimed.extend(self.sources.claimed(run));
        }
        Ok(())
    }
}

fn by_number(page: Vec<HeldRun>) -> Held {
    let mut held = Held::new();
    for run in page {
        held.entry(run.row.id.number).or_default().push(run);
    }
    held
}

fn is_untidy(finding: &Finding) -> bool {
    finding.gravity == Gravity::Untidy
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
