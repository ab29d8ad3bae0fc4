//! MIDAS run files: streaming reader and writer.
//!
//! A file is a plain concatenation of events: no header, no index, no trailer. The
//! [`Reader`] holds one event at a time, gives out every event that is whole and names
//! every byte that belongs to none; the [`Splitter`] does the same for a file that is
//! still growing. The [`Writer`] makes files as mlogger does. None of them looks at a
//! clock, and only [`open`] touches a disk. Whether a run is over, and which files belong
//! to it, is for others to say: an end of run in a file may only end a subrun.
//!
//! Format: `MidasWiki` "Event Structure", `midas.h` and `mlogger.cxx` of MIDAS.

mod bank;
mod damage;
mod decode;
mod encode;
mod encoding;
mod event;
mod framer;
mod lz4;
mod odb;
mod reader;
mod scalar;
mod splitter;
mod tid;
mod window;
mod writer;

pub use bank::{Bank, BankError, BankFormat, BankName, Banks};
pub use damage::{Damage, DamageKind};
pub use decode::{BrokenEncoding, DecodeError, Decoded, OpenError, decode, open};
pub use encode::{Encoder, UnwritableEncoding};
pub use encoding::Encoding;
pub use event::{ByteOrder, Event, EventHeader, EventKind, HEADER_BYTES, SYSTEM_MASK};
pub use odb::{Odb, OdbDump, OdbError, OdbFormat, OdbNode};
pub use reader::{DEFAULT_EVENT_LIMIT, ReadError, Reader};
pub use scalar::Scalar;
pub use splitter::{SplitEvent, Splitter};
pub use tid::Tid;
pub use writer::{EventBuilder, WriteError, Writer};
