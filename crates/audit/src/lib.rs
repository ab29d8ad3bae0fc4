//! Conservation: does every file that the DAQ wrote end in exactly one place?
//!
//! [`reconcile`] takes what *independent* sources say of one run number (the DAQ's
//! own list, the buffer, the catalogue, the object storage) and says what does not
//! add up. It believes none of them: a run that only one source knows is found by
//! whichever source still knows it. Anything in progress has a deadline, after which
//! it counts. Pure: no I/O, no clock.

mod digests;
mod evidence;
mod finding;
mod hearsay;
mod reconcile;
mod remedy;
mod upload;

pub use evidence::{
    BufferFile, CatalogueFile, CatalogueRun, DaqFile, DaqRun, Deadlines, NumberEvidence, Object,
    Ordered,
};
pub use finding::{Finding, FindingKind, Tally};
pub use reconcile::reconcile;
pub use remedy::Gravity;
pub use upload::Upload;
