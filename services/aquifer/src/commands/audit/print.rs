//! What an audit found, for people: the worst first, and what to do.

use std::collections::BTreeSet;

use aquifer_audit::{FindingKind, Gravity};

use super::Report;
use crate::output;

/// Prints it.
pub(super) fn report(report: &Report) -> anyhow::Result<()> {
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
