//! What the scan asks of the ledger.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use aquifer_schemas::{FileName, RunNumber, RunVersion};

use crate::journal::{GoingOn, Journal, Knowledge, Ledger};
use crate::naming::BufferName;

/// What is known of the buffer's files.
pub(crate) trait Memory {
    /// What is known under a name, and the version of its run.
    fn known(&self, name: &BufferName) -> (Knowledge, RunVersion);
    /// Device and inode of the folder that was last seen to be the buffer.
    fn place(&self) -> Option<(u64, u64)>;
    /// Runs that have files and no end.
    fn going_on(&self) -> Vec<GoingOn>;
    /// Whether anything should be in the buffer.
    fn expects_files(&self) -> bool;
    /// At most `limit` names that should be in the buffer and are not `seen`.
    fn missing(&self, seen: &HashSet<u64>, limit: usize) -> Vec<(RunNumber, FileName)>;
}

impl Memory for Ledger {
    fn known(&self, name: &BufferName) -> (Knowledge, RunVersion) {
        let knowledge = self.knowledge(name.run, &name.disk, &name.file);
        (knowledge, self.version(name.run))
    }

    fn place(&self) -> Option<(u64, u64)> {
        self.place()
    }

    fn going_on(&self) -> Vec<GoingOn> {
        self.going_on()
    }

    fn expects_files(&self) -> bool {
        self.in_buffer().next().is_some()
    }

    fn missing(&self, seen: &HashSet<u64>, limit: usize) -> Vec<(RunNumber, FileName)> {
        let expected = self.in_buffer();
        let missing = expected.filter(|(run, disk, _)| !seen.contains(&trace_of(*run, disk)));
        let missing = missing.filter_map(|(run, disk, _)| Some((run, disk.parse().ok()?)));
        missing.take(limit).collect()
    }
}

/// Each answer is of its own moment: the journal is not held for a whole scan.
impl Memory for Journal {
    fn known(&self, name: &BufferName) -> (Knowledge, RunVersion) {
        self.ledger().known(name)
    }

    fn place(&self) -> Option<(u64, u64)> {
        self.ledger().place()
    }

    fn going_on(&self) -> Vec<GoingOn> {
        self.ledger().going_on()
    }

    fn expects_files(&self) -> bool {
        self.ledger().expects_files()
    }

    fn missing(&self, seen: &HashSet<u64>, limit: usize) -> Vec<(RunNumber, FileName)> {
        self.ledger().missing(seen, limit)
    }
}

/// What stands for a name in the set of those seen. Two that are taken for one can only
/// delay that one of them is missed.
pub(crate) fn trace_of(run: RunNumber, disk: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (run, disk).hash(&mut hasher);
    hasher.finish()
}
