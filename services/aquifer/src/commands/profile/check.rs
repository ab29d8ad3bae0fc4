//! `aquifer profile check`: whether a profile can be used, and what it makes of run files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use aquifer_m2c::{BufferName, Naming, Said, Told, UNREADABLE};
use aquifer_profile::{Classifier, Source, Value};
use aquifer_schemas::{FileName, RunId, RunNumber, Site};

use crate::config::Config;
use crate::failure::Hinted;
use crate::output;

/// The site of a profile that names none.
const SOME_SITE: &str = "LAB";

/// Files of one run, and what they say.
type Files = BTreeMap<FileName, Said>;

pub(super) fn run(config: &Config, files: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let classifier = config.classifier()?;
    let rules = config.m2c.rules();
    let rules = rules.map_err(|error| config.unusable("m2c", &error, None))?;
    let experiment = &config.experiment;
    output::line(format!(
        "profile {} can be used: {}, {}, {}, {}",
        experiment.name,
        count(experiment.sites.len(), "site"),
        count(experiment.attributes.len(), "attribute"),
        count(experiment.run_types.len(), "run type"),
        count(experiment.periods.len(), "period"),
    ))?;
    if files.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let mut runs: BTreeMap<RunNumber, Files> = BTreeMap::new();
    let mut rows = Vec::new();
    let mut strangers = Vec::new();
    for path in files {
        let shown = path.display().to_string();
        let Some(name) = recognise(&rules.naming, path) else {
            strangers.push(shown.clone());
            rows.push(vec![shown, "none".to_owned()]);
            continue;
        };
        let said = Said::of_closed(classifier.questions(), name.run, &name.file, path);
        let said = said.with_context(|| shown.clone())?;
        let template = rules.naming.template_of(&name.file);
        rows.push(vec![
            shown,
            template.unwrap_or_default().to_owned(),
            name.run.to_string(),
            name.subrun
                .map_or_else(String::new, |subrun| subrun.to_string()),
        ]);
        runs.entry(name.run).or_default().insert(name.file, said);
    }
    output::line("")?;
    output::table(&["FILE", "TEMPLATE", "RUN", "SUBRUN"], rows)?;
    let site = site(config)?;
    for (number, files) in runs {
        let run = RunId::first(site.clone(), number);
        say_run(&classifier, &rules.naming, &run, files)?;
    }
    let Some(first) = strangers.first() else {
        return Ok(ExitCode::SUCCESS);
    };
    let what = match strangers.len() {
        1 => format!("`{first}` fits no template"),
        several => format!("{several} files fit no template, such as `{first}`"),
    };
    let hint = "m2c.files lists the templates, m2c.encodings what may follow them";
    Err(Hinted::new(what, hint).into())
}

fn site(config: &Config) -> anyhow::Result<Site> {
    let first = config.experiment.sites.first();
    Ok(first.map_or(SOME_SITE, |site| &site.name).parse()?)
}

/// What a path means: as much of its end as a template has folders.
fn recognise(naming: &Naming, path: &Path) -> Option<BufferName> {
    let text = path.to_str()?;
    let slashes = text.match_indices('/').map(|(at, _)| at + 1);
    let mut begins = std::iter::once(0).chain(slashes);
    begins.find_map(|begin| naming.recognise(&text[begin..]))
}

fn say_run(
    classifier: &Classifier,
    naming: &Naming,
    run: &RunId,
    files: Files,
) -> anyhow::Result<()> {
    let told = Told::of_files(classifier, naming, run, files);
    output::line("")?;
    let run_type = told.run_type.as_deref();
    output::line(match run_type {
        Some(run_type) => format!("run {} is of type {run_type}", run.number),
        None => format!(
            "run {} is of no type, unless the DAQ announces one",
            run.number
        ),
    })?;
    if let Some(at) = told.started_at {
        output::line(format!("it began at {} UTC", output::time(at)))?;
    }
    let defs = &classifier.experiment().attributes;
    let rows = defs.iter().map(|def| {
        let found = told.extracted.get(&def.name);
        let source = |source: Source<'_>| format!("{} {}", source.key(), source.place());
        let sources: Vec<_> = def.sources().map(source).collect();
        let fits = found.is_none_or(|found| Value::from(&found.value).kind() == def.kind);
        let mut value = found.map_or_else(output::dash, |found| found.value.to_string());
        if !fits {
            value = format!("{value} (not a {})", def.kind);
        }
        vec![
            def.name.clone(),
            value,
            def.unit.clone(),
            sources.join(", "),
        ]
    });
    if !defs.is_empty() {
        output::table(&["ATTRIBUTE", "VALUE", "UNIT", "LOOKED FOR IN"], rows)?;
    }
    match told.extracted.get(UNREADABLE) {
        Some(why) => Err(Hinted::new(
            format!(
                "the metadata of run {} cannot be read: {}",
                run.number, why.value
            ),
            "the run would be stored, with this as its attribute `metadata.unreadable`",
        )
        .into()),
        None => Ok(()),
    }
}

fn count(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}
