//! What a run book or a listing says: facts that nobody here has seen.

use std::collections::BTreeMap;

use aquifer_schemas::{Encoding, FileName, RunId, RunNumber};
use jiff::Timestamp;
use serde::Serialize;

use crate::facts::Attribute;

/// Begin of a run in the words of its book: what tells runs under one number apart,
/// however the book's clock is read.
pub const BOOK_START: &str = "book.start_time";

/// End of a run in the words of its book.
pub const BOOK_STOP: &str = "book.stop_time";

/// Marks of what a book's reader found odd about a run. A later reading that does not
/// find it takes them away.
pub const BOOK_NEVER_ENDED: &str = "book.never_ended";
/// See [`BOOK_NEVER_ENDED`]: it ends before it begins.
pub const BOOK_NEGATIVE_DURATION: &str = "book.negative_duration";
/// See [`BOOK_NEVER_ENDED`]: how its times were told where the clock was not clear.
pub const BOOK_CLOCK: &str = "book.clock";
/// See [`BOOK_NEVER_ENDED`]: codes that may mean two things, with both.
pub const BOOK_AMBIGUOUS: &str = "book.ambiguous";

/// All marks.
pub(super) const BOOK_MARKS: [&str; 4] = [
    BOOK_NEVER_ENDED,
    BOOK_NEGATIVE_DURATION,
    BOOK_CLOCK,
    BOOK_AMBIGUOUS,
];

/// A run as its book has it. It began as [`BOOK_START`] among its attributes says.
#[derive(Debug, Clone, PartialEq)]
pub struct AdoptedRun {
    /// Its number; its version is found by its begin.
    pub number: RunNumber,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended; `None` where the book has no end of it.
    pub ended_at: Option<Timestamp>,
    /// The DAQ's word for its type.
    pub run_type: Option<String>,
    /// Number of events.
    pub events: Option<u64>,
    /// What else the book says.
    pub attributes: BTreeMap<String, Attribute>,
    /// The file that it must have had.
    pub file: FileName,
    /// Why there is no copy of it, where `copies` is empty.
    pub why_missing: String,
    /// Where the book says that it is.
    pub copies: Vec<AdoptedCopy>,
}

/// A copy that somebody says is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdoptedCopy {
    /// Storage element.
    pub element: String,
    /// Bucket, in object storage.
    pub bucket: Option<String>,
    /// Object key, or path below the element: where it lies, which is where it stays.
    pub location: String,
    /// How its bytes are made from the file's, by its name.
    pub encoding: Encoding,
    /// Its bytes, where that is said.
    pub size: Option<u64>,
    /// Whose word it is, such as `run book: storage_cloud_status 1`.
    pub method: String,
}

/// What a listing says of one copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The run.
    pub run: RunId,
    /// The file.
    pub file: FileName,
    /// The copy, with the size that is listed.
    pub copy: AdoptedCopy,
    /// Whether it is listed.
    pub found: bool,
    /// When the listing was made.
    pub at: Timestamp,
}

/// What was done with a run of a book.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Adopted {
    /// The run.
    pub run: RunId,
    /// What was done.
    pub outcome: Adoption,
    /// Whether it was recorded here before, from its data: then nothing of that was
    /// changed, and what was missing was added.
    pub recorded_here: bool,
}

/// What was done with a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Adoption {
    /// It was not known.
    Added,
    /// Something about it was.
    Changed,
    /// All of it was.
    AsItWas,
}
