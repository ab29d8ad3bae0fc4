//! The logger's checksum side files.
//!
//! MIDAS' mlogger writes `<file>.crc32c` (or `.sha256`, `.sha512`, `.crc32zlib`) after
//! the last byte of `<file>`: one line `<hex> <bytes> <path>` (mlogger.cxx,
//! `WriterCRC32C` and its siblings). Other loggers leave what `sha256sum` writes. Its presence says that the file is closed, and its
//! content says what the logger wrote: the first link of the chain of checksums that
//! ends on tape.

use std::io;
use std::path::Path;

use aquifer_digest::{Algorithm, Digests};
use thiserror::Error;

use crate::naming::{About, SideFile};

/// What the logger says that it wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoggerChecksum {
    /// Which checksum.
    pub algorithm: Algorithm,
    /// Of which bytes.
    pub about: About,
    /// Its value, lower-case hexadecimal.
    pub hex: String,
    /// Number of bytes, where it is said.
    pub size: Option<u64>,
}

/// A side file that says nothing usable.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "`{line}` is not a checksum (`<{algorithm} hex> <bytes> <path>`, or as sha256sum writes it)"
)]
pub(crate) struct NotAChecksum {
    /// The first line found.
    pub line: String,
    /// What was expected.
    pub algorithm: Algorithm,
}

/// What was read, as far as it can be held against what the logger wrote.
pub(crate) struct Read<'a> {
    /// Size and checksums that are always there.
    pub digests: &'a Digests,
    /// Checksums that were asked for.
    pub sums: &'a [(Algorithm, String)],
}

impl LoggerChecksum {
    /// Reads every side file that there is; an error in words if one cannot be used yet.
    pub(crate) fn read_all(folder: &Path, places: &[SideFile]) -> Result<Vec<Self>, String> {
        let mut found = Vec::new();
        for place in places {
            let path = folder.join(&place.name);
            let wrong =
                |error: &dyn std::fmt::Display| format!("side file `{}`: {error}", path.display());
            match std::fs::read_to_string(&path) {
                Ok(content) => {
                    found.push(Self::parse(&content, place).map_err(|error| wrong(&error))?);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(wrong(&error)),
            }
        }
        Ok(found)
    }

    /// Reads the content of a side file.
    pub(crate) fn parse(content: &str, place: &SideFile) -> Result<Self, NotAChecksum> {
        let algorithm = place.algorithm;
        let line = content.lines().next().unwrap_or("");
        let parsed = line.split_once(' ').and_then(|(hex, rest)| {
            // `sha256sum` and its siblings write `<hex>  <path>` or `<hex> *<path>`.
            let size = match rest.strip_prefix([' ', '*']) {
                Some(path) if !path.is_empty() => None,
                _ => Some(rest.split(' ').next()?.parse().ok()?),
            };
            let digits = hex.bytes().all(|b| b.is_ascii_hexdigit());
            let whole = digits && hex.len() == algorithm.digits();
            whole.then_some(Self {
                algorithm,
                about: place.about,
                hex: hex.to_ascii_lowercase(),
                size,
            })
        });
        parsed.ok_or_else(|| NotAChecksum {
            line: line.chars().take(80).collect(),
            algorithm,
        })
    }

    /// Whether the bytes that were read are the bytes that the logger wrote; if not,
    /// the difference in words.
    pub(crate) fn verify(&self, read: &Read<'_>) -> Result<(), String> {
        let digests = read.digests;
        if let Some(size) = self.size.filter(|size| *size != digests.size) {
            return Err(format!(
                "{} bytes were read where the logger wrote {size}",
                digests.size
            ));
        }
        let asked = || read.sums.iter().find(|(sum, _)| *sum == self.algorithm);
        let hex = match self.algorithm {
            Algorithm::Crc32c => digests.crc32c.to_string(),
            other => match asked() {
                Some((_, hex)) => hex.clone(),
                None => return Err(format!("its {other} was not computed")),
            },
        };
        if hex == self.hex {
            Ok(())
        } else {
            Err(format!(
                "{} {hex} was read where the logger wrote {}",
                self.algorithm, self.hex
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aquifer_digest::SumDigester;

    fn place(algorithm: Algorithm) -> SideFile {
        SideFile {
            name: "side".to_owned(),
            algorithm,
            about: About::Bytes,
            closes: true,
        }
    }

    fn parse(content: &str) -> Result<LoggerChecksum, NotAChecksum> {
        LoggerChecksum::parse(content, &place(Algorithm::Crc32c))
    }

    #[test]
    fn a_line_of_the_logger_is_read() {
        let checksum = parse("06c13546 793827 /data/run00407sub0000.mid\n").unwrap();
        assert_eq!(checksum.hex, "06c13546");
        assert_eq!(checksum.size, Some(793_827));
    }

    #[test]
    fn what_sha256sum_and_its_siblings_write_is_read() {
        for content in ["06c13546  run00407.mid\n", "06c13546 */data/run 7.mid\n"] {
            let checksum = parse(content).unwrap();
            assert_eq!((checksum.hex.as_str(), checksum.size), ("06c13546", None));
        }
        for half in ["06c13546  ", "06c13546 *", "06c1354  run00407.mid"] {
            assert!(parse(half).is_err(), "{half:?}");
        }
    }

    #[test]
    fn half_written_side_files_are_not_believed() {
        for content in [
            "",
            "\n",
            "06c13546",
            "06c13546 ",
            "6c13546 12 /p",
            "xyz 12 /p",
            "06c13546 12x /p",
        ] {
            assert!(parse(content).is_err(), "{content:?}");
        }
        let short = LoggerChecksum::parse("06c13546 12 /p", &place(Algorithm::Sha256));
        assert!(short.is_err());
    }

    #[test]
    fn other_bytes_are_refused_with_the_reason_for_every_algorithm() {
        let bytes = b"123456789";
        let digests = Digests::of(bytes);
        let sums: Vec<_> = Algorithm::ALL
            .iter()
            .map(|&algorithm| {
                let mut digester = SumDigester::new(algorithm);
                digester.update(bytes);
                (algorithm, digester.finish())
            })
            .collect();
        let read = Read {
            digests: &digests,
            sums: &sums,
        };
        for (algorithm, hex) in &sums {
            let line = |hex: &str, size: u64| {
                let line = format!("{hex} {size} /data/run1.mid");
                LoggerChecksum::parse(&line, &place(*algorithm)).unwrap()
            };
            assert_eq!(line(hex, 9).verify(&read), Ok(()), "{algorithm}");
            let other = format!("{}{}", u8::from(hex.starts_with('0')), &hex[1..]);
            let error = line(&other, 9).verify(&read).unwrap_err();
            assert!(error.contains(&other), "{error}");
            assert!(line(hex, 10).verify(&read).unwrap_err().contains("10"));
        }
        let nothing_asked = Read {
            digests: &digests,
            sums: &[],
        };
        let sha = LoggerChecksum::parse(&format!("{} 9 /p", sums[2].1), &place(Algorithm::Sha256));
        assert!(sha.unwrap().verify(&nothing_asked).is_err());
    }
}
