//! `aquifer sites`: a run of a site that is not registered is refused.

use std::process::ExitCode;

use aquifer_catalogue::{Catalogue, SiteRow};
use aquifer_schemas::Site;

use super::open_catalogue;
use crate::cli::SitesCommand;
use crate::config::Config;
use crate::failure::Hinted;
use crate::output;

/// Registers, corrects or lists sites.
pub(super) async fn run(config: Config, command: SitesCommand) -> anyhow::Result<ExitCode> {
    let catalogue = open_catalogue(&config).await?;
    match command {
        SitesCommand::Add {
            site,
            time_zone,
            description,
            json,
        } => {
            let new = add(&catalogue, &site, &time_zone, &description).await?;
            let done = if new {
                "registered"
            } else {
                "was registered already"
            };
            say(&catalogue, &site, done, json).await?;
        }
        SitesCommand::Set {
            site,
            time_zone,
            description,
            json,
        } => {
            let known = find(&catalogue, &site).await?.ok_or_else(|| {
                let hint = format!("`aquifer sites add {site}` registers it");
                Hinted::new(format!("site {site} is not registered"), hint)
            })?;
            let time_zone = time_zone.unwrap_or(known.time_zone);
            let description = description.unwrap_or(known.description);
            catalogue
                .register_site(&site, &time_zone, &description)
                .await?;
            say(&catalogue, &site, "is set", json).await?;
        }
        SitesCommand::List { json } => {
            let sites = catalogue.sites().await?;
            if json {
                output::json(&sites)?;
            } else {
                let rows = sites
                    .into_iter()
                    .map(|site| vec![site.name.to_string(), site.time_zone, site.description]);
                output::table(&["SITE", "TIME ZONE", "DESCRIPTION"], rows)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What stands now: for people what was done, for programs all of it.
async fn say(catalogue: &Catalogue, site: &Site, done: &str, json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(&find(catalogue, site).await?);
    }
    Ok(output::line(format!("site {site} {done}"))?)
}

async fn find(catalogue: &Catalogue, site: &Site) -> anyhow::Result<Option<SiteRow>> {
    let known = catalogue.sites().await?;
    Ok(known.into_iter().find(|known| known.name == *site))
}

/// Registers a site; true if it is new. One that is registered with something else is not
/// changed in passing: the times of its runs were read by its time zone.
async fn add(
    catalogue: &Catalogue,
    site: &Site,
    time_zone: &str,
    description: &str,
) -> anyhow::Result<bool> {
    let Some(known) = find(catalogue, site).await? else {
        catalogue
            .register_site(site, time_zone, description)
            .await?;
        return Ok(true);
    };
    let same_text = description.is_empty() || known.description == description;
    if known.time_zone == time_zone && same_text {
        return Ok(false);
    }
    let (zone, text) = (known.time_zone, known.description);
    let what = format!(
        "site {site} is registered already, with time zone {zone} and description `{text}`"
    );
    let hint = format!("`aquifer sites set {site}` changes them");
    Err(Hinted::new(what, hint).into())
}
