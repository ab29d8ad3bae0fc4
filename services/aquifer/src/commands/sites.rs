//! `aquifer sites`: a run of a site that is not registered is refused.

use std::process::ExitCode;

use aquifer_schemas::Site;

use super::open_catalogue;
use crate::cli::SitesCommand;
use crate::config::Config;
use crate::output;

/// Registers or lists sites.
pub(super) async fn run(config: Config, command: SitesCommand) -> anyhow::Result<ExitCode> {
    let catalogue = open_catalogue(&config).await?;
    match command {
        SitesCommand::Add {
            site,
            time_zone,
            description,
        } => {
            let site: Site = site.parse()?;
            jiff::tz::TimeZone::get(&time_zone)?;
            let new = catalogue
                .register_site(&site, &time_zone, &description)
                .await?;
            let word = if new {
                "registered"
            } else {
                "was registered already"
            };
            output::line(format!("site {site} {word}"))?;
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
