//! The messages as Rust types, one file each.
//!
//! Sizes and counts are `u64`, times [`jiff::Timestamp`] to the microsecond, names the
//! checked words of this crate: a message that decodes holds only values that are safe
//! to use. What a message means stands in its `avsc`, field by field.

mod alert_signal;
mod dead_letter;
mod events_taken;
mod file_stored;
mod purge_order;
mod purged;
mod run_closed;
mod run_opened;
mod run_stored;
mod slow_sample;

pub use alert_signal::AlertSignal;
pub use dead_letter::{DeadLetter, DeadLetterReason};
pub use events_taken::{EventsTaken, TakenEvent};
pub use file_stored::{FileStored, StoredFile};
pub use purge_order::{OrderedFile, PurgeOrder};
pub use purged::Purged;
pub use run_closed::{ClosedFile, RunClosed};
pub use run_opened::RunOpened;
pub use run_stored::RunStored;
pub use slow_sample::SlowSample;

use crate::message::{Message, MessageSchema};
use crate::words::{RunNumber, Site};

/// The current schema of every message.
pub fn schemas() -> [&'static MessageSchema; 10] {
    [
        RunOpened::schema(),
        RunClosed::schema(),
        FileStored::schema(),
        RunStored::schema(),
        EventsTaken::schema(),
        SlowSample::schema(),
        PurgeOrder::schema(),
        Purged::schema(),
        AlertSignal::schema(),
        DeadLetter::schema(),
    ]
}

/// Key of everything about a run: `<site>/<run>`, so that versions of a run share it.
fn run_key(site: &Site, run: RunNumber) -> String {
    format!("{site}/{run}")
}
