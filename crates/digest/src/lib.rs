//! One pass over the bytes, many checksums; seals.
//!
//! A [`Digester`] computes crc64nvme, adler32 and crc32c of the bytes that it is shown;
//! [`Digests`] of neighbouring pieces combine into those of the whole, so that pieces
//! can be digested apart. A [`SumDigester`] computes one more where it is asked for.
//! A [`SealedFile`] ties digests to a file that was the same before and after the pass. Nothing here reads a file or a clock.

mod checksum;
mod combine;
mod digester;
mod seal;
mod sum;

pub use checksum::{Adler32, ChecksumError, Crc32c, Crc64Nvme};
pub use digester::{Digester, Digests, PIECE};
pub use seal::{Change, Changed, FileIdentity, Seal, SealedFile};
pub use sum::{Algorithm, SumDigester};
