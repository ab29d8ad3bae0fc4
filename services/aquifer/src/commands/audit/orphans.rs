//! Uploads that nobody will finish, as far as the storage and the catalogue tell.

use std::collections::HashSet;

use aquifer_audit::Upload;
use aquifer_catalogue::Catalogue;
use aquifer_m2c::Keys;
use aquifer_storage::{S3Element, StorageElement as _, StorageError};
use futures::TryStreamExt as _;
use jiff::{SignedDuration, Timestamp};

use crate::config::Config;

/// Those that are older than `at_most`.
pub(in crate::commands) async fn orphaned_uploads(
    config: &Config,
    catalogue: &Catalogue,
    at_most: SignedDuration,
) -> anyhow::Result<Vec<Upload>> {
    let now = Timestamp::now();
    let element = S3Element::new(config.storage.clone())?;
    let keys = Keys::under(&config.m2c.key_prefix);
    let mut orphans = Vec::new();
    for upload in unfinished(&element).await? {
        let versions = match keys.run_of(&upload.key) {
            Some((site, number)) => catalogue.versions(&site, number).await?,
            None => Vec::new(),
        };
        let states: Vec<_> = versions.iter().map(|version| version.state).collect();
        if upload.is_orphan(&states, now, at_most) {
            orphans.push(upload);
        }
    }
    if !orphans.is_empty() {
        // One that was finished after it was listed is no orphan of a run that is stored.
        let still = unfinished(&element).await?;
        let still: HashSet<_> = still.into_iter().map(|upload| upload.upload_id).collect();
        orphans.retain(|upload| still.contains(&upload.upload_id));
    }
    Ok(orphans)
}

async fn unfinished(element: &S3Element) -> anyhow::Result<Vec<Upload>> {
    let mut uploads = Vec::new();
    let mut pages = element.list_unfinished("");
    loop {
        let page = match pages.try_next().await {
            Ok(Some(page)) => page,
            // The probe says of a server that cannot list them.
            Ok(None) | Err(StorageError::Rejected { .. }) => return Ok(uploads),
            Err(error) => return Err(error.into()),
        };
        uploads.extend(page.into_iter().map(|unfinished| Upload {
            key: unfinished.key,
            upload_id: unfinished.upload_id,
            begun_at: unfinished.initiated,
        }));
    }
}
