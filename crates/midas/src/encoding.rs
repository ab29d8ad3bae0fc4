//! How a file's bytes are made from a run's, told by the first bytes, never by the name:
//! a logger that died leaves names that lie.

use std::fmt;

/// How the bytes of a file are made from the run's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// The same bytes.
    Identity,
    /// One or more gzip members (RFC 1952).
    Gzip,
    /// One or more bzip2 streams.
    Bzip2,
    /// One or more LZ4 frames.
    Lz4,
    /// One or more Zstandard frames (RFC 8878).
    Zstd,
    /// xz: known, so that nobody takes it for a damaged run, and not decoded here.
    Xz,
}

impl Encoding {
    /// Enough bytes to tell every encoding.
    pub const MAGIC_BYTES: usize = 6;

    /// Tells the encoding by the first bytes of a file.
    pub fn detect(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            [0x04, 0x22, 0x4d, 0x18, ..] => Self::Lz4,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0x00, ..] => Self::Xz,
            _ => Self::Identity,
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
        })
    }
}
