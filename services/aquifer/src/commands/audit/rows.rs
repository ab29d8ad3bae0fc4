//! What the catalogue's rows say to the audit.

use aquifer_audit::{CatalogueFile, CatalogueRun, Ordered};
use aquifer_catalogue::{Catalogue, HeldRun, PurgeOrderFilter, PurgeOrderRow, ReplicaRow};
use aquifer_m2c::Keys;
use aquifer_schemas::{ClosedBy, Encoding, FileName, FileState, PurgeState, ReplicaState};

use crate::config::Config;

/// What of the storage an audit lists.
pub(super) struct Place<'a> {
    element: &'a str,
    bucket: &'a str,
    prefix: String,
}

impl<'a> Place<'a> {
    pub(super) fn of(config: &'a Config) -> Self {
        Self {
            element: &config.storage.element,
            bucket: &config.storage.bucket,
            prefix: Keys::under(&config.m2c.key_prefix).prefix().to_owned(),
        }
    }

    fn has(&self, copy: &ReplicaRow) -> bool {
        copy.element == self.element
            && copy.bucket.as_deref() == Some(self.bucket)
            && copy.location.starts_with(&self.prefix)
    }
}

/// Orders by which files of the run have left the buffer, newest first.
pub(super) async fn orders_of(
    catalogue: &Catalogue,
    held: &HeldRun,
) -> anyhow::Result<Vec<PurgeOrderRow>> {
    let left = |state| matches!(state, FileState::Trashed | FileState::Purged);
    if !held.files.iter().any(|file| left(file.state)) {
        return Ok(Vec::new());
    }
    let filter = PurgeOrderFilter {
        run: Some(held.row.id.clone()),
        states: vec![PurgeState::Trashed, PurgeState::Deleted],
        ..PurgeOrderFilter::default()
    };
    Ok(catalogue.purge_orders(&filter).await?)
}

fn ordered(orders: &[PurgeOrderRow], name: &FileName) -> Option<Ordered> {
    orders.iter().find_map(|order| {
        let file = order.files.iter().find(|file| file.name == *name)?;
        Some(Ordered {
            evidence: file.evidence,
            required: order.required,
            found: file.evidence_value.clone(),
        })
    })
}

/// Keys of the run's copies that are only claimed, in the place that is listed.
pub(super) fn claimed<'a>(
    held: &'a HeldRun,
    place: &'a Place<'_>,
) -> impl Iterator<Item = &'a str> + 'a {
    let copies = held.replicas.iter();
    let copies = copies.filter(|copy| is_claimed(copy) && place.has(copy));
    copies.map(|copy| copy.location.as_str())
}

fn is_claimed(copy: &ReplicaRow) -> bool {
    matches!(copy.state, ReplicaState::Claimed | ReplicaState::Suspect)
}

pub(super) fn catalogue_run(
    held: &HeldRun,
    orders: &[PurgeOrderRow],
    buffer: &str,
    place: &Place<'_>,
) -> CatalogueRun {
    let copy_at = |name: &FileName, at_buffer: bool| {
        held.replicas.iter().find(|replica| {
            let kept = !matches!(
                replica.state,
                ReplicaState::Deleted
                    | ReplicaState::Lost
                    | ReplicaState::Absent
                    | ReplicaState::Planned
            );
            // A copy that is only claimed is compared where the storage was listed.
            let looked_at = at_buffer || !is_claimed(replica) || place.has(replica);
            let there = (replica.element == buffer) == at_buffer;
            replica.file == *name && there && kept && looked_at
        })
    };
    let decoded = |name: &FileName| {
        copy_at(name, false).is_none_or(|replica| replica.encoding == Encoding::Identity)
    };
    let files = held.files.iter().map(|file| CatalogueFile {
        name: file.name.clone(),
        state: file.state,
        size: file.size,
        crc32c: file.crc32c.clone(),
        crc64nvme: file.crc64nvme.clone().filter(|_| decoded(&file.name)),
        in_buffer: copy_at(&file.name, true).is_some(),
        ordered: ordered(orders, &file.name),
        object: copy_at(&file.name, false).map(|replica| {
            let crc64nvme = replica.stored_crc64nvme.clone().unwrap_or_default();
            (replica.location.clone(), replica.stored_size, crc64nvme)
        }),
    });
    CatalogueRun {
        version: held.row.id.version,
        state: held.row.state,
        started_at: held.row.started_at,
        never_ended: held.row.closed_by == Some(ClosedBy::Book)
            && held.row.started_at.is_some()
            && held.row.ended_at.is_none(),
        updated_at: held.row.updated_at,
        file_count: u64::from(held.row.files),
        files: files.collect(),
        manifest_key: held.row.manifest_key.clone(),
    }
}
