//! What every source says of some runs, asked in an order in which a run that is on its
//! way is at worst in progress, and never missing: the catalogue, then the storage, then
//! the buffer, then the DAQ.

use std::collections::{BTreeMap, HashSet};

use aquifer_audit::{NumberEvidence, Object};
use aquifer_catalogue::{Catalogue, HeldRun};
use aquifer_m2c::Keys;
use aquifer_schemas::{FileName, FileState, RunNumber, Site};
use aquifer_storage::{ListedObject, S3Element, StorageElement as _};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;

use super::buffer::Buffer;
use super::bytes::checksums;
use super::daq::DaqList;
use super::rows::{Place, catalogue_run, claimed, orders_of};
use crate::config::Config;

/// Runs of which the storage is asked at the same time, and files of each of them.
const AT_A_TIME: usize = 4;

/// Runs of a site, by number, with all their versions.
pub(super) type Held = BTreeMap<RunNumber, Vec<HeldRun>>;

/// Everything that is said of some runs of a site.
pub(super) type Evidence = BTreeMap<RunNumber, NumberEvidence>;

/// All sources.
pub(super) struct Sources<'a> {
    catalogue: &'a Catalogue,
    element: S3Element,
    keys: Keys,
    place: Place<'a>,
    /// How the catalogue calls the buffer.
    buffer_element: String,
    buffer: Option<Buffer>,
    daq: Option<DaqList>,
    read_back: bool,
}

/// What lies where no run of the catalogue has anything.
#[derive(Default)]
pub(super) struct Strangers {
    /// Runs that the catalogue did not name.
    pub(super) runs: Vec<(Site, RunNumber)>,
    /// Objects whose keys belong to no run.
    pub(super) objects: Vec<String>,
    /// Files of the buffer that belong to no run.
    pub(super) files: Vec<String>,
}

impl<'a> Sources<'a> {
    /// What the configuration names.
    pub(super) fn of(
        config: &'a Config,
        catalogue: &'a Catalogue,
        read_back: bool,
    ) -> anyhow::Result<Self> {
        let mut buffer = Buffer::of(config, read_back)?;
        if let Some(buffer) = &mut buffer {
            buffer.list()?;
        }
        Ok(Self {
            catalogue,
            element: S3Element::new(config.storage.clone())?,
            keys: Keys::under(&config.m2c.key_prefix),
            place: Place::of(config),
            buffer_element: config.m2c.element_name(),
            buffer,
            daq: DaqList::of(config),
            read_back,
        })
    }

    /// Keys under which the run's copies are said to lie, that are not of our making.
    pub(super) fn claimed(&self, held: &HeldRun) -> Vec<String> {
        let keys = claimed(held, &self.place);
        let keys = keys.filter(|key| self.keys.run_of(key).is_none());
        keys.map(ToOwned::to_owned).collect()
    }

    /// All evidence about runs of a site, of which the catalogue just said what it holds.
    pub(super) async fn evidence(&mut self, site: &Site, held: &Held) -> anyhow::Result<Evidence> {
        let mut all = self.stored(site, held).await?;
        self.look_into_buffer(site, &mut all).await?;
        if let Some(daq) = &mut self.daq {
            daq.read()?;
            for (number, evidence) in &mut all {
                evidence.daq = daq.of_number(site, *number);
            }
        }
        Ok(all)
    }

    /// What the catalogue and the storage say.
    async fn stored(&self, site: &Site, held: &Held) -> anyhow::Result<Evidence> {
        let runs = held.iter().map(|(number, versions)| async move {
            let mut evidence = self.rows(versions).await?;
            evidence.objects = self.objects(site, *number, versions).await?;
            Ok((*number, evidence))
        });
        stream::iter(runs).buffered(AT_A_TIME).try_collect().await
    }

    async fn rows(&self, versions: &[HeldRun]) -> anyhow::Result<NumberEvidence> {
        let mut evidence = NumberEvidence::default();
        for held in versions {
            let orders = orders_of(self.catalogue, held).await?;
            let run = catalogue_run(held, &orders, &self.buffer_element, &self.place);
            evidence.catalogue.push(run);
        }
        Ok(evidence)
    }

    /// The objects under the keys of a run number, and those that are only claimed.
    async fn objects(
        &self,
        site: &Site,
        number: RunNumber,
        versions: &[HeldRun],
    ) -> anyhow::Result<Vec<Object>> {
        let folder = self.keys.folder_of(site, number);
        let mut listed: Vec<_> = self.element.list(&folder).try_concat().await?;
        for key in versions.iter().flat_map(|held| self.claimed(held)) {
            let found = self.element.list(&key).try_concat().await?;
            listed.extend(found.into_iter().filter(|found| found.key == key));
        }
        let objects = listed.into_iter().map(|listed| self.object(listed));
        stream::iter(objects)
            .buffered(AT_A_TIME)
            .try_collect()
            .await
    }

    async fn object(&self, listed: ListedObject) -> anyhow::Result<Object> {
        let (crc64nvme, crc32c) = checksums(&self.element, &listed.key, self.read_back).await?;
        Ok(Object {
            key: listed.key,
            size: listed.size,
            modified_at: listed.last_modified.unwrap_or(Timestamp::UNIX_EPOCH),
            crc64nvme,
            crc32c,
        })
    }

    async fn look_into_buffer(&mut self, site: &Site, all: &mut Evidence) -> anyhow::Result<()> {
        let Some(buffer) = self.buffer.as_mut().filter(|buffer| buffer.site == *site) else {
            return Ok(());
        };
        let touched = |number: &RunNumber, evidence| buffer.has(*number) || is_at_edge(evidence);
        if !all
            .iter()
            .any(|(number, evidence)| touched(number, evidence))
        {
            return Ok(());
        }
        buffer.list()?;
        for (number, evidence) in all.iter_mut() {
            let lying = buffer.files(*number)?;
            (evidence.buffer, evidence.trash) = (lying.in_buffer, lying.in_trash);
        }
        for (number, evidence) in all {
            if may_have_left(evidence) {
                let versions = versions(self.catalogue, site, *number).await?;
                evidence.catalogue = self.rows(&versions).await?.catalogue;
            }
        }
        Ok(())
    }

    /// What lies elsewhere. Asked after all runs of the catalogue: one that came meanwhile
    /// is looked at as it is then.
    pub(super) async fn strangers(
        &mut self,
        known: &BTreeMap<Site, HashSet<RunNumber>>,
        claimed: &HashSet<String>,
    ) -> anyhow::Result<Strangers> {
        let is_known = |site: &Site, number: RunNumber| {
            known.get(site).is_some_and(|known| known.contains(&number))
        };
        let mut found = Strangers::default();
        let mut pages = self.element.list(self.keys.prefix());
        while let Some(page) = pages.try_next().await? {
            for listed in page {
                match self.keys.run_of(&listed.key) {
                    Some((site, number)) if is_known(&site, number) => {}
                    Some(run) => found.runs.push(run),
                    None if claimed.contains(&listed.key) => {}
                    None => found.objects.push(listed.key),
                }
            }
        }
        drop(pages);
        if let Some(buffer) = &mut self.buffer {
            buffer.list()?;
            found.files = std::mem::take(&mut buffer.unrecognised);
            let new = buffer
                .numbers()
                .filter(|number| !is_known(&buffer.site, *number));
            found
                .runs
                .extend(new.map(|number| (buffer.site.clone(), number)));
        }
        if let Some(daq) = &mut self.daq {
            daq.read()?;
            let new = daq.runs().filter(|(site, number)| !is_known(site, *number));
            found.runs.extend(new.cloned());
        }
        found.runs.sort_unstable();
        found.runs.dedup();
        Ok(found)
    }
}

/// All versions of a run number.
pub(super) async fn versions(
    catalogue: &Catalogue,
    site: &Site,
    number: RunNumber,
) -> anyhow::Result<Vec<HeldRun>> {
    let mut versions = catalogue.held_runs(site, number, 1).await?;
    versions.retain(|held| held.row.id.number == number);
    Ok(versions)
}

/// Whether the catalogue says that files are in the buffer or in its trash.
fn is_at_edge(evidence: &NumberEvidence) -> bool {
    let mut files = evidence.catalogue.iter().flat_map(|run| &run.files);
    files.any(|file| file.in_buffer || file.state == FileState::Trashed)
}

/// Whether the catalogue said more than the buffer showed: an order may have taken files
/// away meanwhile.
fn may_have_left(evidence: &NumberEvidence) -> bool {
    let seen = |name: &FileName| evidence.buffer.iter().any(|file| file.name == *name);
    let mut files = evidence.catalogue.iter().flat_map(|run| &run.files);
    !evidence.trash.is_empty() || files.any(|file| file.in_buffer && !seen(&file.name))
}
