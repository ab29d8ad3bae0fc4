//! MIDAS run files: streaming reader and writer.
//!
//! A file is a plain concatenation of events: no header, no index, no trailer. The
//! [`Reader`] holds one event at a time, keeps every event before a damage and says at
//! which byte the damage begins; the [`Writer`] makes files as mlogger does. Neither
//! looks at a clock, and only [`open`] touches a disk. Whether a run is over, and which
//! files belong to it, is for others to say: an end of run in a file may only end a subrun.
//!
//! Format: `MidasWiki` "Event Structure", `midas.h` and `mlogger.cxx` of MIDAS.

mod bank;
mod damage;
mod event;
mod framer;
mod odb;
mod open;
mod reader;
mod scalar;
mod splitter;
mod tid;
mod writer;

pub use bank::{Bank, BankError, BankFormat, BankName, Banks};
pub use damage::{Damage, DamageKind};
pub use event::{ByteOrder, Event, EventHeader, EventKind, HEADER_BYTES, SYSTEM_MASK};
pub use odb::{Odb, OdbDump, OdbError, OdbFormat, OdbNode};
pub use open::{Encoding, OpenError, decode, open};
pub use reader::{DEFAULT_EVENT_LIMIT, ReadError, Reader, SkimmedEvent};
pub use scalar::Scalar;
pub use splitter::{SplitEvent, Splitter};
pub use tid::Tid;
pub use writer::{EventBuilder, WriteError, Writer};
