//! The catalogue of runs in `MariaDB` (10.5 or newer): schema, writers, readers, leases,
//! work and outbox.
//!
//! It promises that a fact, its history and its announcement are committed together or
//! not at all; that every writer may be called again; that no step is taken which the
//! state machines do not have; and that an outage is never taken for an error of the
//! data. Relaying announcements is for the bus, deciding what copies a run needs for the
//! policy.

mod adopt;
mod announce;
mod apply;
mod catalogue;
mod config;
mod draft;
mod error;
mod facts;
mod find;
mod fit;
mod history;
mod hook;
mod journal;
mod lease;
mod load;
mod look;
pub mod machine;
mod migrate;
mod outbox;
mod period;
mod product;
mod purge;
mod read;
mod registry;
mod resolve;
mod restore;
mod rows;
mod save;
mod search;
mod sql;
mod walk;
mod work;
mod writers;

pub use adopt::{
    Adopted, AdoptedCopy, AdoptedRun, Adoption, BOOK_AMBIGUOUS, BOOK_CLOCK, BOOK_NEGATIVE_DURATION,
    BOOK_NEVER_ENDED, BOOK_START, BOOK_STOP, Sighting,
};
pub use catalogue::Catalogue;
pub use config::{CatalogueConfig, Tls};
pub use error::CatalogueError;
pub use facts::{
    Attribute, AttributeValue, BufferCopy, ClosedFile, ClosedRun, OpenedRun, StoredFileFacts,
    StoredRun,
};
pub use find::FileFilter;
pub use history::{HistoryMonth, Month, NotAMonth, ToldStep};
pub use hook::{HookJob, HookRow, NewHook, hook_kind, hook_run};
pub use journal::JournalAdvance;
pub use lease::Lease;
pub use migrate::{MigrationReport, SCHEMA_VERSION};
pub use outbox::{OUTBOX_LEASE, OutboxStatus};
pub use period::PeriodRow;
pub use product::Product;
pub use purge::{
    BY_HAND, BufferFound, CopyEvidence, HOLD, NewPurgeOrder, PurgeOrderFile, PurgeOrderFilter,
    PurgeOrderRow, PurgeStep,
};
pub use restore::RestoredRun;
pub use rows::{
    ElementKind, ElementRow, FileRow, ReplicaRow, RunCursor, RunDetail, RunFile, RunFilter, RunRow,
    SiteRow, TransitionRow,
};
pub use walk::HeldRun;
pub use work::{NewWork, WorkLease};
pub use writers::{Retyped, StoredOutcome};
