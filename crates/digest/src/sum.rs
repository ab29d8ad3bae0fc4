//! Checksums that a pass computes only where somebody asks for them: because a side
//! file gives one to compare with. Spelt as lower-case hexadecimal.

use std::fmt::{self, Write as _};

use crc_fast::CrcAlgorithm;
use sha2::{Digest as _, Sha256, Sha512};

/// The algorithms of MIDAS' logger (mlogger.cxx, `Data checksum` and `File checksum`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// CRC-32C (Castagnoli).
    Crc32c,
    /// CRC-32 as in zlib and gzip (RFC 1952 §8).
    Crc32,
    /// SHA-256 (FIPS 180-4).
    Sha256,
    /// SHA-512 (FIPS 180-4).
    Sha512,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 4] = [Self::Crc32c, Self::Crc32, Self::Sha256, Self::Sha512];

    /// How many hexadecimal digits a value has.
    pub fn digits(self) -> usize {
        match self {
            Self::Crc32c | Self::Crc32 => 8,
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Crc32c => "crc32c",
            Self::Crc32 => "crc32",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        })
    }
}

/// Computes one checksum of the bytes that it is shown.
#[derive(Debug, Clone)]
pub struct SumDigester {
    algorithm: Algorithm,
    size: u64,
    state: State,
}

#[derive(Clone)]
enum State {
    Crc(crc_fast::Digest),
    Sha256(Sha256),
    Sha512(Box<Sha512>),
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("State")
    }
}

impl SumDigester {
    /// Has seen nothing yet.
    pub fn new(algorithm: Algorithm) -> Self {
        let state = match algorithm {
            Algorithm::Crc32c => State::Crc(crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi)),
            Algorithm::Crc32 => State::Crc(crc_fast::Digest::new(CrcAlgorithm::Crc32IsoHdlc)),
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Box::new(Sha512::new())),
        };
        Self {
            algorithm,
            size: 0,
            state,
        }
    }

    /// Which checksum it computes.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Shows the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Crc(digest) => digest.update(bytes),
            State::Sha256(digest) => digest.update(bytes),
            State::Sha512(digest) => digest.update(bytes),
        }
        self.size += bytes.len() as u64;
    }

    /// How many bytes it has seen.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The checksum of all bytes seen.
    pub fn finish(&self) -> String {
        match &self.state {
            // A 32-bit CRC comes back in the low half.
            State::Crc(digest) => format!("{:08x}", digest.finalize() as u32),
            State::Sha256(digest) => hex(&digest.clone().finalize()),
            State::Sha512(digest) => hex(&digest.as_ref().clone().finalize()),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_values_of_the_standards() {
        let sum = |algorithm, bytes: &[u8]| {
            let mut digester = SumDigester::new(algorithm);
            for piece in bytes.chunks(4) {
                digester.update(piece);
            }
            assert_eq!(digester.size(), bytes.len() as u64);
            assert_eq!(digester.finish().len(), algorithm.digits());
            digester.finish()
        };
        assert_eq!(sum(Algorithm::Crc32c, b"123456789"), "e3069283");
        assert_eq!(sum(Algorithm::Crc32, b"123456789"), "cbf43926");
        // FIPS 180-4 examples: the message `abc`.
        assert_eq!(
            sum(Algorithm::Sha256, b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        let sha512 = sum(Algorithm::Sha512, b"abc");
        assert!(sha512.starts_with("ddaf35a193617abacc417349ae204131"));
        assert!(sha512.ends_with("2a9ac94fa54ca49f"));
        assert_eq!(sum(Algorithm::Crc32c, b""), "00000000");
    }
}
