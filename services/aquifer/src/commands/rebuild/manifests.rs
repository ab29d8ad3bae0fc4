//! The manifests in object storage: found, read, and held against what was written.

use std::collections::BTreeMap;

use aquifer_catalogue::RestoredRun;
use aquifer_digest::Digests;
use aquifer_m2c::{Keys, Manifest};
use aquifer_schemas::{FileName, RunId};
use aquifer_storage::{ObjectKey, S3Element, StorageElement as _};
use futures::TryStreamExt as _;
use serde::Serialize;

/// The largest manifest that is read, in bytes: a thousand files take half a megabyte.
const LARGEST: u64 = 64 << 20;

/// Who restores, in the history.
pub(super) const WHO: &str = "rebuild";

/// Keys of the manifests of each run, by their number and the generation of their writer.
pub(super) type Found = BTreeMap<RunId, BTreeMap<(u32, u64), String>>;

/// An object that has the key of a manifest and is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Unusable {
    pub key: String,
    pub why: String,
}

/// What the manifests of a run say.
#[derive(Debug)]
pub(super) struct Told {
    /// Nothing if none of them can be used.
    pub run: Option<RestoredRun>,
    /// The buffers and the elements with their buckets that they name.
    pub buffers: Vec<String>,
    pub elements: Vec<(String, String)>,
    /// The run whose copies in the buffer lost their places to this one's.
    pub overwritten: Option<Overwritten>,
    pub unusable: Vec<Unusable>,
}

/// Files of a version that lie in the buffer no more: those of the next lie there.
#[derive(Debug)]
pub(super) struct Overwritten {
    pub run: RunId,
    pub names: Vec<FileName>,
    pub buffer: String,
}

/// Looks for manifests.
pub(super) async fn find(element: &S3Element, keys: &Keys) -> anyhow::Result<Found> {
    let mut found = Found::new();
    let mut pages = element.list(keys.prefix());
    while let Some(page) = pages.try_next().await? {
        for listed in page {
            if let Some((run, n, writer)) = keys.manifest_of(&listed.key) {
                found
                    .entry(run)
                    .or_default()
                    .insert((n, writer), listed.key);
            }
        }
    }
    Ok(found)
}

/// Reads the manifests of a run, in the order in which they were written. An outage is an
/// error; a manifest that cannot be used is not.
pub(super) async fn read(
    element: &S3Element,
    run: &RunId,
    keys: &BTreeMap<(u32, u64), String>,
) -> anyhow::Result<Told> {
    let mut told = Told {
        run: None,
        buffers: Vec::new(),
        elements: Vec::new(),
        overwritten: None,
        unusable: Vec::new(),
    };
    for key in keys.values() {
        match read_one(element, run, key).await? {
            Ok(manifest) => told.add(manifest, key),
            Err(why) => told.unusable.push(Unusable {
                key: key.clone(),
                why,
            }),
        }
    }
    Ok(told)
}

/// The inner error is why the object is of no use.
async fn read_one(
    element: &S3Element,
    run: &RunId,
    key: &str,
) -> anyhow::Result<Result<Manifest, String>> {
    let key: ObjectKey = key.parse()?;
    let bytes = element.read_all(&key, LARGEST).await?;
    let digests = Digests::of(&bytes);
    let recorded = element.head(&key).await?.and_then(|info| info.crc64nvme);
    if let Some(recorded) = recorded.filter(|recorded| *recorded != digests.crc64nvme) {
        let found = digests.crc64nvme;
        return Ok(Err(format!(
            "it was written with crc64nvme {recorded} and has {found}"
        )));
    }
    Ok(match Manifest::read(&bytes) {
        Ok(manifest) if manifest.run == *run => Ok(manifest),
        Ok(manifest) => Err(format!("it is about run {}", manifest.run)),
        Err(error) => Err(error.to_string()),
    })
}

impl Told {
    fn add(&mut self, manifest: Manifest, key: &str) {
        let run = self.run.get_or_insert_with(|| RestoredRun {
            id: manifest.run.clone(),
            stored: Vec::new(),
            quarantined: Vec::new(),
            manifest_key: String::new(),
            who: WHO.to_owned(),
        });
        run.stored.push(manifest.to_stored(WHO));
        key.clone_into(&mut run.manifest_key);
        // What a later one says of a file counts.
        for bad in manifest.quarantined {
            run.quarantined.retain(|(name, ..)| *name != bad.name);
            run.quarantined.push((bad.name, bad.state, bad.reason));
        }
        if manifest.took_places {
            let announced = manifest.announced.iter();
            self.overwritten = Some(Overwritten {
                run: RunId {
                    version: manifest.run.version.saturating_sub(1),
                    ..manifest.run
                },
                names: announced.map(|file| file.name.clone()).collect(),
                buffer: manifest.buffer.clone(),
            });
        }
        self.buffers.push(manifest.buffer);
        for file in manifest.files {
            self.elements.push((file.element, file.bucket));
        }
    }
}
