//! `aquifer import`: an experiment that moves in brings its past.
//!
//! Run books, buckets and listings are hearsay and are recorded as such: nothing is
//! copied, nothing is read, and nothing that was recorded from data is changed. Each
//! import may be made again, also one that was killed: what stands already stays.

mod adopt;
mod compare;
mod listing;
mod report;
mod runlog;
mod source;

use std::process::ExitCode;

use aquifer_catalogue::{Catalogue, ElementKind, SiteRow};
use aquifer_schemas::Site;

use crate::cli::{ImportCommand, PlaceArgs};
use crate::config::Config;
use crate::failure::Hinted;

pub(super) use runlog::dry_run;
pub(super) use source::read_book;

/// Imports from where it is said.
pub(super) async fn run(config: Config, command: ImportCommand) -> anyhow::Result<ExitCode> {
    match command {
        ImportCommand::Runlog(args) => runlog::run(&config, &args).await,
        ImportCommand::Bucket(args) => listing::bucket(&config, &args).await,
        ImportCommand::Listing(args) => listing::file(&config, &args).await,
    }
}

/// The site, which must be registered: its runs would be refused.
async fn registered(catalogue: &Catalogue, site: &Site) -> anyhow::Result<SiteRow> {
    let known = catalogue.sites().await?;
    let found = known.into_iter().find(|known| known.name == *site);
    found.ok_or_else(|| {
        let hint = format!("`aquifer sites add {site} --time-zone ZONE` registers it");
        Hinted::new(format!("site {site} is not registered"), hint).into()
    })
}

/// Registers a storage element that is not; one that is stays what it is.
async fn introduce(
    catalogue: &Catalogue,
    name: &str,
    kind: ElementKind,
    url: &str,
) -> anyhow::Result<()> {
    let known = catalogue.elements().await?;
    if !known.iter().any(|element| element.name == name) {
        catalogue.register_element(name, kind, None, url).await?;
    }
    Ok(())
}

/// Element and bucket of copies in object storage. A storage element is one bucket.
fn bucket_of(config: &Config, place: &PlaceArgs) -> anyhow::Result<(String, String)> {
    let configured = &config.storage;
    let bucket = place.bucket.as_ref().unwrap_or(&configured.bucket);
    let element = place.element.as_ref().unwrap_or(&configured.element);
    if bucket.is_empty() {
        let hint = "name it with --bucket, or configure `storage.bucket`";
        return Err(Hinted::usage("no bucket is named", hint).into());
    }
    let same_bucket = *bucket == configured.bucket;
    if !same_bucket && *element == configured.element {
        let what = format!(
            "storage element {element} is bucket `{}`, not `{bucket}`",
            configured.bucket
        );
        return Err(
            Hinted::usage(what, "give that bucket a name of its own with --element").into(),
        );
    }
    Ok((element.clone(), bucket.clone()))
}
