//! The logger's checksum side files.
//!
//! MIDAS' mlogger writes `<file>.crc32c` after the last byte of `<file>`: one line
//! `<hex> <bytes> <path>` (mlogger.cxx, `WriterCRC32C`). Its presence says that the
//! file is closed, and its content says what the logger wrote: the first link of the
//! chain of checksums that ends on tape.

use aquifer_digest::{Crc32c, Digests};
use thiserror::Error;

/// What the logger says that it wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoggerChecksum {
    /// CRC-32C of all bytes.
    pub crc32c: Crc32c,
    /// Number of bytes.
    pub size: u64,
}

/// A side file that says nothing usable.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{line}` is not a logger checksum (`<crc32c hex> <bytes> <path>`)")]
pub(crate) struct NotAChecksum {
    /// The first line found.
    pub line: String,
}

impl LoggerChecksum {
    /// Reads the content of a side file.
    pub(crate) fn parse(content: &str) -> Result<Self, NotAChecksum> {
        let line = content.lines().next().unwrap_or("");
        let parsed = line.split_once(' ').and_then(|(hex, rest)| {
            let bytes = rest.split(' ').next()?;
            Some(Self {
                crc32c: hex.parse().ok()?,
                size: bytes.parse().ok()?,
            })
        });
        parsed.ok_or_else(|| NotAChecksum {
            line: line.chars().take(80).collect(),
        })
    }

    /// Whether the bytes that were read are the bytes that the logger wrote; if not,
    /// the difference in words.
    pub(crate) fn verify(&self, digests: &Digests) -> Result<(), String> {
        if digests.size != self.size {
            Err(format!(
                "{} bytes were read where the logger wrote {}",
                digests.size, self.size
            ))
        } else if digests.crc32c != self.crc32c {
            Err(format!(
                "crc32c {} was read where the logger wrote {}",
                digests.crc32c, self.crc32c
            ))
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aquifer_digest::Digester;

    #[test]
    fn a_line_of_the_logger_is_read() {
        let checksum =
            LoggerChecksum::parse("06c13546 793827 /data/run00407sub0000.mid\n").unwrap();
        assert_eq!(checksum.crc32c, Crc32c(0x06c1_3546));
        assert_eq!(checksum.size, 793_827);
    }

    #[test]
    fn half_written_side_files_are_not_believed() {
        for content in [
            "",
            "\n",
            "06c13546",
            "06c13546 ",
            "xyz 12 /p",
            "06c13546 12x /p",
        ] {
            assert!(LoggerChecksum::parse(content).is_err(), "{content:?}");
        }
    }

    #[test]
    fn other_bytes_are_refused_with_the_reason() {
        let mut digester = Digester::new();
        digester.update(b"123456789");
        let digests = digester.finish();
        let good = LoggerChecksum::parse("e3069283 9 /data/run1.mid").unwrap();
        assert_eq!(good.verify(&digests), Ok(()));
        let bad = LoggerChecksum::parse("e3069284 9 /data/run1.mid").unwrap();
        assert!(bad.verify(&digests).unwrap_err().contains("e3069284"));
        let short = LoggerChecksum::parse("e3069283 10 /data/run1.mid").unwrap();
        assert!(short.verify(&digests).unwrap_err().contains("10"));
    }
}
