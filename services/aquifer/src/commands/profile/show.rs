//! `aquifer profile show`: a profile at a glance.

use std::process::ExitCode;

use aquifer_profile::{AttributeDef, shipped};
use serde_json::json;

use super::read;
use crate::config::Config;
use crate::output;

/// Shows the profile that a configuration has.
pub(super) fn run(config: &Config, json: bool) -> anyhow::Result<ExitCode> {
    let experiment = &config.experiment;
    let m2c = &config.m2c;
    if json {
        output::json(&json!({
            "experiment": experiment,
            "m2c": {
                "files": m2c.files,
                "format": m2c.format,
                "encodings": m2c.encodings,
                "temporary": m2c.temporary,
                "closed-by": m2c.closed_by,
                "markers": m2c.markers,
            },
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::line(format!("{}: {}", experiment.name, experiment.description))?;
    output::line("")?;
    let sites = experiment.sites.iter().map(|site| {
        [&site.name, &site.time_zone, &site.buffer, &site.description]
            .map(String::clone)
            .into()
    });
    output::table(&["SITE", "TIME ZONE", "BUFFER", "DESCRIPTION"], sites)?;
    output::line("")?;
    let files = m2c.files.iter().map(|template| vec![template.clone()]);
    output::table(&["FILES"], files)?;
    output::line("")?;
    let attributes = experiment.attributes.iter().map(attribute);
    output::table(
        &["ATTRIBUTE", "KIND", "UNIT", "FROM", "DESCRIPTION"],
        attributes,
    )?;
    output::line("")?;
    let types = experiment.run_types.iter().map(|run_type| {
        [&run_type.name, &run_type.when, &run_type.description]
            .map(String::clone)
            .into()
    });
    output::table(&["RUN TYPE", "WHEN", "DESCRIPTION"], types)?;
    output::line("")?;
    let periods = experiment.periods.iter().map(|period| {
        vec![
            period.name.clone(),
            period.site.clone(),
            period
                .from
                .map_or_else(output::dash, |edge| edge.to_string()),
            period.to.map_or_else(output::dash, |edge| edge.to_string()),
            period.description.clone(),
        ]
    });
    output::table(&["PERIOD", "SITE", "FROM", "TO", "DESCRIPTION"], periods)?;
    Ok(ExitCode::SUCCESS)
}

fn attribute(def: &AttributeDef) -> Vec<String> {
    let sources = def
        .sources()
        .map(|source| format!("{} {}", source.key(), source.place()));
    vec![
        def.name.clone(),
        def.kind.to_string(),
        def.unit.clone(),
        sources.collect::<Vec<_>>().join(", "),
        def.description.clone(),
    ]
}

/// Lists the profiles that come with the program.
pub(super) fn list(json: bool) -> anyhow::Result<ExitCode> {
    let described = shipped().iter().map(|shipped| {
        let description = read(shipped.name)?.experiment.description;
        anyhow::Ok((shipped.name, description))
    });
    let described = described.collect::<anyhow::Result<Vec<_>>>()?;
    if json {
        let described = described
            .iter()
            .map(|(name, description)| json!({ "name": name, "description": description }));
        output::json(&described.collect::<Vec<_>>())?;
    } else {
        let rows = described
            .into_iter()
            .map(|(name, description)| vec![name.to_owned(), description]);
        output::table(&["PROFILE", "DESCRIPTION"], rows)?;
    }
    Ok(ExitCode::SUCCESS)
}
