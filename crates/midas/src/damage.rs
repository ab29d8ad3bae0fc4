//! What is wrong with a file, and where.
//!
//! Damage is a value: it names the range of decoded bytes that belongs to no intact
//! event, so that intact events and damages together cover the file. A disk or a server
//! that fails is no damage of the file and is not told here.

use std::fmt;

use crate::bank::BankError;
use crate::encoding::Encoding;

/// A range of bytes that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// What is wrong.
    pub kind: DamageKind,
    /// Where it begins, in bytes from the start of the decoded file.
    pub offset: u64,
    /// Decoded bytes that it takes; 0 where they could not be had at all.
    pub length: u64,
    /// Where a compressed form is broken: bytes of it that were taken until then, at the
    /// most a decoder's block too many.
    pub compressed_offset: Option<u64>,
}

/// The kinds of damage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DamageKind {
    /// The file ends inside an event.
    Truncated {
        /// Bytes of the whole event, or of its header where even that is cut.
        expected: u64,
    },
    /// Where an event should begin is a size that no event has.
    TooLarge {
        /// The claim.
        data_size: u32,
        /// The limit.
        limit: u32,
    },
    /// Where an event should begin are zeros, as a file system leaves after a crash.
    Blank,
    /// Where an event should begin is something else, or an event that does not end where
    /// another begins.
    NoEvent,
    /// The compressed form is broken; what it held from here on is not known.
    Compression {
        /// The encoding.
        encoding: Encoding,
        /// What the decoder said.
        reason: String,
    },
    /// The event itself is whole, but the banks in it are not.
    Banks(BankError),
}

impl fmt::Display for DamageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { expected } => {
                write!(f, "file ends inside an event of {expected} bytes")
            }
            Self::TooLarge { data_size, limit } => write!(
                f,
                "no event: it would have {data_size} bytes, more than the limit of {limit}"
            ),
            Self::Blank => f.write_str("no event but zeros"),
            Self::NoEvent => f.write_str("no event"),
            Self::Compression { encoding, reason } => {
                write!(f, "{encoding} data are broken: {reason}")
            }
            Self::Banks(error) => write!(f, "{error}"),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, offset, .. } = self;
        write!(f, "damage at byte {offset}, {} bytes: {kind}", self.length)
    }
}
