//! `aquifer runs reclassify`: another type for runs that are in the catalogue, by hand or
//! by the profile's expressions. The history keeps the old one.

use std::process::ExitCode;

use aquifer_catalogue::{Catalogue, CatalogueError, Retyped, RunFilter, RunRow};
use aquifer_profile::{Classifier, Value};
use aquifer_schemas::RunId;
use serde::Serialize;

use super::{open_catalogue, operator, periods, run_id};
use crate::cli::ReclassifyArgs;
use crate::config::Config;
use crate::failure::Hinted;
use crate::output;

/// Runs that are judged at a time.
const PAGE: u32 = 500;

/// What a run was, and what it is to be.
#[derive(Debug, Serialize)]
struct Change {
    run: RunId,
    from: Option<String>,
    to: String,
    /// Who has set the type by hand: then the profile changes nothing.
    by_hand: Option<String>,
}

/// Reclassifies runs.
pub(super) async fn run(config: Config, args: ReclassifyArgs) -> anyhow::Result<ExitCode> {
    let catalogue = open_catalogue(&config).await?;
    let (changes, why) = if args.by_profile {
        let why = args.why.clone();
        let why = why.unwrap_or_else(|| "the profile's expressions say so".to_owned());
        (by_profile(&config, &catalogue, &args).await?, why)
    } else {
        let run_type = args.run_type.clone().unwrap_or_default();
        if run_type.trim().is_empty() {
            return Err(Hinted::usage("a type has a name", "`--type pedestal`").into());
        }
        let why = args.why.clone().unwrap_or_default();
        (by_hand(&config, &catalogue, &args, &run_type).await?, why)
    };
    let by_hand = !args.by_profile;
    let kept = |change: &Change| !by_hand && change.by_hand.is_some();
    let count = changes.iter().filter(|change| !kept(change)).count();
    if !args.dry_run {
        for change in changes.iter().filter(|change| !kept(change)) {
            let retyped = Retyped {
                run_type: change.to.clone(),
                why: why.clone(),
                by_hand,
            };
            catalogue.retype(&change.run, &retyped, &operator()).await?;
        }
    }
    if args.json {
        output::json(&changes)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = changes.iter().map(|change| {
        let from = change.from.clone().unwrap_or_else(output::dash);
        let (to, note) = match &change.by_hand {
            Some(who) if kept(change) => {
                let note = format!("set by {who}; the profile says {}", change.to);
                (from.clone(), note)
            }
            _ => (change.to.clone(), String::new()),
        };
        vec![change.run.to_string(), from, to, note]
    });
    output::table(&["RUN", "WAS", "BECOMES", "NOTE"], rows)?;
    let done = if args.dry_run { "would be" } else { "are" };
    output::line(format!("{count} {done} of another type"))?;
    Ok(ExitCode::SUCCESS)
}

async fn by_hand(
    config: &Config,
    catalogue: &Catalogue,
    args: &ReclassifyArgs,
    run_type: &str,
) -> anyhow::Result<Vec<Change>> {
    // All of them are looked up before any is changed.
    let mut changes = Vec::new();
    for row in named(config, catalogue, &args.runs).await? {
        if row.run_type.as_deref() == Some(run_type) && row.type_by.is_some() {
            continue;
        }
        changes.push(Change {
            run: row.id,
            from: row.run_type,
            to: run_type.to_owned(),
            by_hand: row.type_by,
        });
    }
    Ok(changes)
}

async fn named(
    config: &Config,
    catalogue: &Catalogue,
    runs: &[String],
) -> anyhow::Result<Vec<RunRow>> {
    let mut rows = Vec::new();
    for text in runs {
        let id = run_id(config, text)?;
        let row = catalogue.run(&id).await?;
        rows.push(row.ok_or(CatalogueError::UnknownRun { run: id })?);
    }
    Ok(rows)
}

async fn by_profile(
    config: &Config,
    catalogue: &Catalogue,
    args: &ReclassifyArgs,
) -> anyhow::Result<Vec<Change>> {
    if config.experiment.run_types.is_empty() {
        let what = "the configuration's profile has no run types";
        let hint = "`profile = \"NAME\"` in the configuration chooses one";
        return Err(Hinted::usage(what, hint).into());
    }
    let classifier = config.classifier()?;
    let period = match &args.period {
        Some(name) => Some(periods::find(catalogue, name).await?),
        None => None,
    };
    let wanted = |run: &RunRow| {
        let of_site = args.site.as_ref().is_none_or(|site| *site == run.id.site);
        of_site && period.as_ref().is_none_or(|period| period.covers(run))
    };
    if !args.runs.is_empty() {
        let runs = named(config, catalogue, &args.runs).await?;
        let runs = runs.into_iter().filter(wanted).collect();
        return differing(catalogue, &classifier, runs).await;
    }
    let mut changes = Vec::new();
    let mut filter = RunFilter {
        site: args.site.clone(),
        period: period.as_ref().map(|row| row.period.clone()),
        limit: PAGE,
        ..RunFilter::default()
    };
    loop {
        let page = catalogue.runs(&filter).await?;
        let Some(last) = page.last() else {
            return Ok(changes);
        };
        filter.before = Some(last.cursor());
        changes.extend(differing(catalogue, &classifier, page).await?);
    }
}

/// The runs whose type is not what the profile says. One of which it says nothing keeps
/// the type that it has.
async fn differing(
    catalogue: &Catalogue,
    classifier: &Classifier,
    runs: Vec<RunRow>,
) -> anyhow::Result<Vec<Change>> {
    let mut attributes = catalogue.attributes_of(&runs).await?;
    let judge = |run: RunRow| {
        let attributes = attributes.remove(&run.row).unwrap_or_default();
        let value_of = |name: &str| Some(Value::from(&attributes.get(name)?.value));
        let to = classifier.run_type(&run.id, run.closed_by, value_of)?;
        let to = to.to_owned();
        (run.run_type.as_ref() != Some(&to)).then_some(Change {
            run: run.id,
            from: run.run_type,
            to,
            by_hand: run.type_by,
        })
    };
    Ok(runs.into_iter().filter_map(judge).collect())
}
