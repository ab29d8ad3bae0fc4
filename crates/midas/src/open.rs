//! From a file on disk to decoded bytes.
//!
//! The encoding is told by the first bytes, never by the name: a logger that died
//! leaves names that lie. Encodings that are known but cannot be decoded here are
//! refused by name, so that nobody takes them for damaged run files.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use thiserror::Error;

/// Enough bytes to tell every encoding.
const MAGIC_BYTES: usize = 6;

/// Compressed bytes are read in pieces of this size.
const READ_AHEAD: usize = 128 << 10;

/// How the bytes of a file are made from the run's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// The same bytes.
    Identity,
    /// One or more gzip members (RFC 1952).
    Gzip,
    /// bzip2.
    Bzip2,
    /// LZ4 frames.
    Lz4,
    /// Zstandard frames (RFC 8878).
    Zstd,
    /// xz.
    Xz,
}

impl Encoding {
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

/// Why a file cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The file or its first bytes could not be had.
    #[error("cannot open {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Recognised, and not decoded by this version.
    #[error("{} is {encoding}, which cannot be decoded here", path.display())]
    Encoding {
        /// The file.
        path: PathBuf,
        /// Its encoding.
        encoding: Encoding,
    },
}

/// Opens a run file and decodes it where it is gzip.
pub fn open(path: &Path) -> Result<Box<dyn Read + Send>, OpenError> {
    let failed = |source| OpenError::Io {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    decode(file)
        .map_err(failed)?
        .map_err(|encoding| OpenError::Encoding {
            path: path.to_owned(),
            encoding,
        })
}

/// Decodes a stream by its first bytes, or gives back the encoding that it cannot decode.
pub fn decode<R>(mut inner: R) -> io::Result<Result<Box<dyn Read + Send>, Encoding>>
where
    R: Read + Send + 'static,
{
    let mut head = Vec::with_capacity(MAGIC_BYTES);
    inner
        .by_ref()
        .take(MAGIC_BYTES as u64)
        .read_to_end(&mut head)?;
    let encoding = Encoding::detect(&head);
    let whole = Cursor::new(head).chain(inner);
    Ok(match encoding {
        Encoding::Identity => Ok(Box::new(whole)),
        Encoding::Gzip => {
            let buffered = BufReader::with_capacity(READ_AHEAD, whole);
            Ok(Box::new(MultiGzDecoder::new(buffered)))
        }
        other => Err(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &'static [u8]) -> Vec<u8> {
        let mut out = Vec::new();
        decode(bytes)
            .unwrap()
            .unwrap()
            .read_to_end(&mut out)
            .unwrap();
        out
    }

    #[test]
    fn plain_bytes_pass_unchanged() {
        for bytes in [&b""[..], b"\0", b"\0\x80MI\x07", b"\0\x80MI\x07\0\0\0\0\0"] {
            assert_eq!(decoded(bytes), bytes);
        }
    }

    #[test]
    fn what_cannot_be_decoded_is_refused_by_name() {
        let refused = |bytes: &'static [u8]| decode(bytes).unwrap().err().unwrap().to_string();
        assert_eq!(refused(b"BZh91AY"), "bzip2");
        assert_eq!(refused(b"\x04\x22\x4d\x18"), "lz4");
        assert_eq!(refused(b"\x28\xb5\x2f\xfd"), "zstd");
        assert_eq!(refused(b"\xfd7zXZ\0\0"), "xz");
    }
}
