//! Whether conditions hold when several write at the same moment.
//!
//! A server may refuse a second write that comes later and still let two at one moment
//! pass: it looks whether the key is free and writes in two steps. Only trying tells,
//! and only ever in one direction: a race that was not lost proves nothing.

use std::collections::BTreeMap;

use aquifer_digest::Digests;
use bytes::Bytes;
use futures::future::join_all;
use serde::{Deserialize, Serialize};

use super::S3Element;
use super::failure::{Failure, Why};
use super::probe::FOLDER;
use crate::error::StorageError;

/// Writers of one race. `SeaweedFS`, AWS and others queue far more.
const WRITERS: u32 = 8;

/// What came of writers of different bytes under one key at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Races {
    /// Races of each kind.
    pub rounds: u32,
    /// Writers of each race.
    pub writers: u32,
    /// Races of conditional writes that had not exactly one winner.
    pub lost_by_put: u32,
    /// Races of conditional completions that had not exactly one winner.
    pub lost_by_complete: u32,
}

/// In which way an object is written.
#[derive(Clone, Copy)]
enum Write {
    Put,
    Complete,
}

impl S3Element {
    /// Holds `rounds` races of each kind under keys of its own, and removes what they
    /// leave.
    pub async fn race(&self, rounds: u32) -> Result<Races, StorageError> {
        let mut races = Races {
            rounds,
            writers: WRITERS,
            ..Races::default()
        };
        for _ in 0..rounds {
            let failed = |failure| self.failed("race", FOLDER, failure);
            let winners = self.race_once(Write::Put).await.map_err(failed)?;
            races.lost_by_put += u32::from(winners != 1);
            let winners = self.race_once(Write::Complete).await.map_err(failed)?;
            races.lost_by_complete += u32::from(winners != 1);
        }
        Ok(races)
    }

    /// One race; how many won it.
    async fn race_once(&self, write: Write) -> Result<u32, Failure> {
        let name = uuid::Uuid::now_v7();
        let key = self.full_prefix(&format!("{FOLDER}/{name}/race"));
        let bodies = (0..WRITERS).map(|writer| Bytes::from(format!("writer {writer} of a race")));
        let writers = bodies.map(|body| async {
            match write {
                Write::Put => self.put_in_race(&key, body).await,
                Write::Complete => self.complete_in_race(&key, body).await,
            }
        });
        let results = join_all(writers).await;
        let cleaned = self.bucket.delete(&key).await;
        let mut winners = 0;
        for result in results {
            match result {
                Ok(()) => winners += 1,
                Err(failure) if failure.why == Why::Rejected || failure.outcome_is_unknown() => {}
                Err(failure) => return Err(failure),
            }
        }
        cleaned.map(|()| winners)
    }

    async fn put_in_race(&self, key: &str, body: Bytes) -> Result<(), Failure> {
        let crc64nvme = Digests::of(&body).crc64nvme;
        let metadata = BTreeMap::new();
        let bucket = &self.bucket;
        bucket.put(key, body, crc64nvme, &metadata, true).await
    }

    async fn complete_in_race(&self, key: &str, body: Bytes) -> Result<(), Failure> {
        let whole = Digests::of(&body);
        let bucket = &self.bucket;
        let id = bucket.begin(key, &BTreeMap::new()).await?;
        let part = bucket.part(key, &id, 1, body, whole.crc64nvme).await?;
        let completed = bucket.complete(key, &id, &[part], &whole, true).await;
        if completed.is_err() {
            bucket.abort(key, &id).await?;
        }
        completed
    }
}
