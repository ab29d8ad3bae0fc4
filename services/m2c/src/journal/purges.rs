//! What the journal remembers of orders to free the buffer: which files an order has
//! under way, so that the scan keeps its hands off them, and which file each of them is,
//! so that nothing else is removed in its place. An order that is over is not remembered.

use std::collections::BTreeMap;

use aquifer_digest::FileIdentity;
use aquifer_schemas::{FileName, RunNumber, RunVersion};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ledger::Knowledge;
use super::record::Record;

/// How far an order is, on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PurgePhase {
    /// Its files may be anywhere between the buffer and the trash.
    Moving,
    /// Its files are in the trash.
    Trashed,
    /// Its files may be anywhere on the way back.
    Restoring,
}

/// How an order ended, on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PurgeEnd {
    /// Its files are gone for good.
    Gone,
    /// Its files are where they were.
    Restored,
}

/// A file of an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PurgedFile {
    /// Its own name.
    pub name: FileName,
    /// Its name in the buffer and in the trash, where that is not its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<FileName>,
    /// Which file it is.
    pub identity: FileIdentity,
}

impl PurgedFile {
    /// Its name in the buffer and in the trash.
    pub(crate) fn disk(&self) -> &FileName {
        self.disk.as_ref().unwrap_or(&self.name)
    }
}

/// An order that is under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Purge {
    /// Version of the run.
    pub version: RunVersion,
    /// How far it is.
    pub phase: PurgePhase,
    /// Its files.
    pub files: Vec<PurgedFile>,
}

/// Every order under way, by run.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Purges(BTreeMap<RunNumber, BTreeMap<Uuid, Purge>>);

impl Purges {
    pub(super) fn set(&mut self, run: RunNumber, order: Uuid, purge: Purge) {
        self.0.entry(run).or_default().insert(order, purge);
    }

    pub(super) fn end(&mut self, run: RunNumber, order: Uuid) {
        if let Some(orders) = self.0.get_mut(&run) {
            orders.remove(&order);
            if orders.is_empty() {
                self.0.remove(&run);
            }
        }
    }

    pub(super) fn get(&self, order: Uuid) -> Option<&Purge> {
        self.0.values().find_map(|orders| orders.get(&order))
    }

    /// Every order with its run.
    pub(super) fn all(&self) -> impl Iterator<Item = (RunNumber, Uuid)> + '_ {
        let of_run = |(run, orders): (&RunNumber, &BTreeMap<Uuid, Purge>)| {
            let run = *run;
            let orders: Vec<_> = orders.keys().map(|order| (run, *order)).collect();
            orders
        };
        self.0.iter().flat_map(of_run)
    }

    /// Whether an order under way is about this name in the buffer, in whichever version
    /// of the run.
    pub(super) fn has(&self, run: RunNumber, disk: &str) -> bool {
        let mut orders = self.0.get(&run).into_iter().flat_map(BTreeMap::values);
        orders.any(|purge| {
            let mut files = purge.files.iter();
            files.any(|file| file.disk().as_str() == disk)
        })
    }

    /// What an order under way makes of a name in the buffer. A later version of the run
    /// has files of its own under the same names.
    pub(super) fn knowledge(
        &self,
        run: RunNumber,
        version: RunVersion,
        disk: &FileName,
    ) -> Option<Knowledge> {
        let of_file = |purge: &&Purge| {
            purge.version >= version && purge.files.iter().any(|file| file.disk() == disk)
        };
        let purge = self.0.get(&run)?.values().find(of_file)?;
        Some(match purge.phase {
            PurgePhase::Trashed => Knowledge::Trashed,
            PurgePhase::Moving | PurgePhase::Restoring => Knowledge::Moving,
        })
    }

    pub(super) fn compact_into(&self, records: &mut Vec<Record>) {
        for (&run, orders) in &self.0 {
            for (&order, purge) in orders {
                records.push(Record::Purge {
                    run,
                    order,
                    purge: purge.clone(),
                });
            }
        }
    }
}
