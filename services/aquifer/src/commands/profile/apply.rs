//! `aquifer profile apply`: sites and periods of the profile become rows of the catalogue.
//! Doing it again changes nothing. What a person has set otherwise is not changed in passing.

use std::process::ExitCode;

use aquifer_catalogue::Catalogue;
use aquifer_schemas::Site;

use crate::commands::{open_catalogue, operator};
use crate::config::Config;
use crate::failure::Hinted;
use crate::output;

/// What became of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    New,
    Same,
    Changed,
    /// Left as it is.
    Differs,
}

pub(super) async fn run(config: Config, update: bool) -> anyhow::Result<ExitCode> {
    if config.experiment.sites.is_empty() && config.experiment.periods.is_empty() {
        let what = "the configuration's profile has neither sites nor periods";
        let hint = "`profile = \"NAME\"` in the configuration chooses one";
        return Err(Hinted::usage(what, hint).into());
    }
    // Checked whole before anything is written.
    config.classifier()?;
    let catalogue = open_catalogue(&config).await?;
    let mut differing = 0;
    for (what, fate) in register(&catalogue, &config, update).await? {
        let said = match fate {
            Fate::New => "registered",
            Fate::Same => "is there already",
            Fate::Changed => "changed",
            Fate::Differs => "differs in the catalogue, where it is left as it is",
        };
        output::line(format!("{what} {said}"))?;
        differing += usize::from(fate == Fate::Differs);
    }
    if differing == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    let what = format!("the catalogue differs from the profile in {differing} of these");
    let hint = "`--update` makes them what the profile says; `aquifer profile show` shows that";
    Err(Hinted::new(what, hint).into())
}

/// Registers the sites and periods of the profile.
pub(crate) async fn register(
    catalogue: &Catalogue,
    config: &Config,
    update: bool,
) -> anyhow::Result<Vec<(String, Fate)>> {
    let mut done = Vec::new();
    let known = catalogue.sites().await?;
    for def in &config.experiment.sites {
        let site: Site = def.name.parse()?;
        let have = known.iter().find(|known| known.name == site);
        let same =
            have.map(|have| have.time_zone == def.time_zone && have.description == def.description);
        let fate = fate(same, update);
        if matches!(fate, Fate::New | Fate::Changed) {
            let (zone, text) = (&def.time_zone, &def.description);
            catalogue.register_site(&site, zone, text).await?;
        }
        done.push((format!("site {site}"), fate));
    }
    let known = catalogue.periods().await?;
    let periods = config.experiment.periods();
    for period in periods.map_err(|fault| config.unusable(&fault.key, &fault.why, fault.hint))? {
        let have = known.iter().find(|known| known.period.name == period.name);
        let fate = fate(have.map(|have| have.period == period), update);
        if matches!(fate, Fate::New | Fate::Changed) {
            catalogue.set_period(&period, &operator()).await?;
        }
        done.push((format!("period {}", period.name), fate));
    }
    Ok(done)
}

/// What is to be done with an entry that is the same, another one, or not there.
fn fate(same: Option<bool>, update: bool) -> Fate {
    match same {
        None => Fate::New,
        Some(true) => Fate::Same,
        Some(false) if update => Fate::Changed,
        Some(false) => Fate::Differs,
    }
}
