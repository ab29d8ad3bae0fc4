//! The messages and the words everybody uses.
//!
//! One `.avsc` per message lies in `avsc/`; this crate embeds them and gives each a
//! typed event, one codec, and the rules by which a schema may change. It knows no
//! broker and no clock.

mod announcement;
pub mod codec;
pub mod compat;
pub mod events;
mod fingerprint;
mod foreign;
mod message;
mod period;
pub mod redact;
pub mod template;
mod wire;
pub mod words;

pub use announcement::Announcement;
pub use codec::{CodecError, Decoder, encode, frame_with_id};
pub use events::{
    AlertSignal, ClosedFile, DeadLetter, DeadLetterReason, EventsTaken, FileStored, OrderedFile,
    PurgeOrder, Purged, RunClosed, RunOpened, RunStored, SlowSample, StoredFile, TakenEvent,
    schemas,
};
pub use message::{EVENT_NAMESPACE, Message, MessageSchema, event_id};
pub use period::{Period, PeriodEdge, PeriodError};
pub use words::{
    ClosedBy, Encoding, EvidenceLevel, FileName, FileState, PurgeOutcome, PurgeState, ReplicaState,
    RunId, RunNumber, RunState, RunVersion, Severity, Site, WordError,
};
