//! How far the upload of one file has come, as the journal knows it. Pure.
//!
//! A part counts when both the journal and the storage have it: what only the storage
//! has is sent again under the same number, which replaces it, and what only the journal
//! has is sent again, too. The digests of the parts combine into those of the file, so
//! that bytes which were sent are not read again.

use aquifer_digest::Digests;
use aquifer_storage::{GrowingUpload, ListedPart, PartReceipt};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::encode::Encoder;
use super::tail::Inode;

/// An upload that was begun.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Start {
    /// Names it towards the storage.
    pub upload: GrowingUpload,
    /// How the file's bytes are encoded.
    pub encoder: Encoder,
    /// Bytes of the file in one member.
    pub member_size: u64,
    /// Least size of the first parts.
    pub least_part: u64,
    /// Which file it is.
    pub inode: Inode,
    /// Whether the DAQ was still writing: then nothing but the logger's word or a second
    /// look shows that the bytes that were read stayed as they were.
    pub while_open: bool,
    /// When the run began, as the file says.
    pub run_started_at: Option<Timestamp>,
}

/// A part that the storage has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SentPart {
    /// What the storage said.
    pub receipt: PartReceipt,
    /// Where its input begins in the file.
    pub offset: u64,
    /// Digests of its input.
    pub input: Digests,
    /// Digests of the part.
    pub output: Digests,
}

/// An upload under way.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stream {
    /// How it was begun.
    pub start: Start,
    parts: Vec<SentPart>,
}

impl Stream {
    /// An upload without parts.
    pub(crate) fn new(start: Start) -> Self {
        let parts = Vec::new();
        Self { start, parts }
    }

    /// Adds a part. One that was known is replaced, and those after it are forgotten;
    /// one that would leave a hole is not believed.
    pub(crate) fn add(&mut self, part: SentPart) {
        let place = part.receipt.number.saturating_sub(1) as usize;
        if place <= self.parts.len() {
            self.parts.truncate(place);
            if part.offset == self.sent() {
                self.parts.push(part);
            }
        }
    }

    /// Its parts in order.
    pub(crate) fn parts(&self) -> &[SentPart] {
        &self.parts
    }

    /// Number of the next part.
    pub(crate) fn next_number(&self) -> u32 {
        self.parts.len() as u32 + 1
    }

    /// Bytes of the file that were sent: where to go on.
    pub(crate) fn sent(&self) -> u64 {
        self.parts
            .last()
            .map_or(0, |last| last.offset + last.input.size)
    }

    /// Digests of the file's bytes that were sent.
    pub(crate) fn input(&self) -> Digests {
        let inputs = self.parts.iter().map(|part| &part.input);
        inputs.fold(Digests::EMPTY, |whole, part| whole.then(part))
    }

    /// Digests of the object so far.
    pub(crate) fn output(&self) -> Digests {
        let outputs = self.parts.iter().map(|part| &part.output);
        outputs.fold(Digests::EMPTY, |whole, part| whole.then(part))
    }

    /// What the completion is given.
    pub(crate) fn receipts(&self) -> Vec<PartReceipt> {
        let receipts = self.parts.iter().map(|part| part.receipt.clone());
        receipts.collect()
    }

    /// Goes back to the last part that the storage has, too.
    pub(crate) fn resume(&mut self, found: &[ListedPart]) {
        let mut found = found.iter().peekable();
        let both = self.parts.iter().take_while(|part| {
            while found
                .next_if(|has| has.number < part.receipt.number)
                .is_some()
            {}
            found.next().is_some_and(|has| has.is(&part.receipt))
        });
        let both = both.count();
        self.parts.truncate(both);
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
