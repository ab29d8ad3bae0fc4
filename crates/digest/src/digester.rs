//! All checksums of the bytes in one pass, and their combination.
//!
//! The digest of a concatenation follows from the digests of its pieces, for all
//! three algorithms: parts of a file can be digested apart, in any order, and each
//! byte is looked at once.

use crc_fast::CrcAlgorithm;
use serde::{Deserialize, Serialize};

use crate::combine::{CRC32C, CRC64_NVME};
use crate::{Adler32, Crc32c, Crc64Nvme};

/// Bytes that all checksums see before the next ones are fetched: small enough to
/// stay in the cache of one core.
pub const PIECE: usize = 256 * 1024;

/// The modulus of Adler-32: the largest prime below 2¹⁶ (RFC 1950 §8.2).
const ADLER_MODULUS: u64 = 65_521;

/// Size and checksums of a sequence of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Digests {
    /// Number of bytes.
    pub size: u64,
    /// What S3 keeps and checks.
    pub crc64nvme: Crc64Nvme,
    /// What grid storage and tape keep and check.
    pub adler32: Adler32,
    /// What object stores without crc64nvme and `XRootD` keep.
    pub crc32c: Crc32c,
}

impl Digests {
    /// The digests of no bytes at all: neutral in [`Digests::then`].
    pub const EMPTY: Self = Self {
        size: 0,
        crc64nvme: Crc64Nvme(0),
        adler32: Adler32(1),
        crc32c: Crc32c(0),
    };

    /// The digests of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut digester = Digester::new();
        digester.update(bytes);
        digester.finish()
    }

    /// The digests of these bytes followed by `next`.
    #[must_use]
    pub fn then(&self, next: &Self) -> Self {
        let crc64nvme = CRC64_NVME.combine(self.crc64nvme.0, next.crc64nvme.0, next.size);
        let crc32c = CRC32C.combine(self.crc32c.0.into(), next.crc32c.0.into(), next.size);
        Self {
            size: self.size + next.size,
            crc64nvme: Crc64Nvme(crc64nvme),
            adler32: adler32_then(self.adler32, next.adler32, next.size),
            // A 32-bit CRC comes back in the low half.
            crc32c: Crc32c(crc32c as u32),
        }
    }
}

/// Adler-32 of a concatenation. With `a = 1 + Σ dᵢ` and `b = Σ aᵢ` (RFC 1950 §8.2)
/// the second piece begins at `a₁` instead of 1, which adds `a₁ - 1` to each of its
/// `size` partial sums.
fn adler32_then(first: Adler32, second: Adler32, size: u64) -> Adler32 {
    let halves = |sum: Adler32| (u64::from(sum.0 & 0xffff), u64::from(sum.0 >> 16));
    let ((a1, b1), (a2, b2)) = (halves(first), halves(second));
    // The modulus is added so that no difference goes below zero.
    let raised = a1 + ADLER_MODULUS - 1;
    let a = (raised + a2) % ADLER_MODULUS;
    let b = (b1 + b2 + (size % ADLER_MODULUS) * (raised % ADLER_MODULUS)) % ADLER_MODULUS;
    Adler32((b << 16 | a) as u32)
}

/// Computes [`Digests`] of the bytes that it is shown.
#[derive(Clone)]
pub struct Digester {
    size: u64,
    crc64nvme: crc_fast::Digest,
    adler32: simd_adler32::Adler32,
    crc32c: crc_fast::Digest,
}

impl Digester {
    /// Has seen nothing yet.
    pub fn new() -> Self {
        Self {
            size: 0,
            crc64nvme: crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme),
            adler32: simd_adler32::Adler32::new(),
            crc32c: crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi),
        }
    }

    /// Shows the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(PIECE) {
            self.crc64nvme.update(piece);
            self.adler32.write(piece);
            self.crc32c.update(piece);
        }
        self.size += bytes.len() as u64;
    }

    /// The digests of all bytes seen.
    pub fn finish(&self) -> Digests {
        Digests {
            size: self.size,
            crc64nvme: Crc64Nvme(self.crc64nvme.finalize()),
            adler32: Adler32(self.adler32.finish()),
            // A 32-bit CRC comes back in the low half.
            crc32c: Crc32c(self.crc32c.finalize() as u32),
        }
    }
}

impl Default for Digester {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Adler-32 as RFC 1950 §9 defines it, byte by byte.
    fn adler32_by_definition(bytes: &[u8]) -> u32 {
        let (a, b) = bytes.iter().fold((1u32, 0u32), |(a, b), &byte| {
            let a = (a + u32::from(byte)) % 65_521;
            (a, (b + a) % 65_521)
        });
        b << 16 | a
    }

    /// A reflected CRC, bit by bit, with all ones before and after.
    fn crc_by_definition(bytes: &[u8], polynomial: u64, ones: u64) -> u64 {
        let mut crc = ones;
        for &byte in bytes {
            crc ^= u64::from(byte);
            for _ in 0..8 {
                crc = (crc >> 1) ^ if crc & 1 == 1 { polynomial } else { 0 };
            }
        }
        crc ^ ones
    }

    #[test]
    fn the_check_values_of_the_catalogues() {
        let digests = Digests::of(b"123456789");
        assert_eq!(digests.crc64nvme.to_string(), "ae8b14860a799888");
        assert_eq!(digests.crc32c.to_string(), "e3069283");
        assert_eq!(digests.adler32.to_string(), "091e01de");
        assert_eq!(digests.size, 9);
    }

    #[test]
    fn nothing_is_neutral() {
        assert_eq!(Digester::new().finish(), Digests::EMPTY);
        let some = Digests::of(b"some");
        assert_eq!(some.then(&Digests::EMPTY), some);
        assert_eq!(Digests::EMPTY.then(&some), some);
    }

    #[test]
    fn long_pieces_combine() {
        // Longer than the modulus of Adler-32 and than one piece, all bits set: the
        // sums wrap.
        let bytes = vec![0xff; 3 * PIECE + 17];
        let whole = Digests::of(&bytes);
        assert_eq!(whole.adler32.0, adler32_by_definition(&bytes));
        for cut in [1, 65_520, 65_521, 65_522, PIECE, 2 * PIECE + 1] {
            let (head, tail) = bytes.split_at(cut);
            assert_eq!(Digests::of(head).then(&Digests::of(tail)), whole, "{cut}");
        }
    }

    proptest! {
        #[test]
        fn the_definitions_agree(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let digests = Digests::of(&bytes);
            prop_assert_eq!(digests.adler32.0, adler32_by_definition(&bytes));
            let crc32c = crc_by_definition(&bytes, 0x82f6_3b78, u64::from(u32::MAX));
            prop_assert_eq!(u64::from(digests.crc32c.0), crc32c);
            let crc64 = crc_by_definition(&bytes, 0x9a6c_9329_ac4b_c9b5, u64::MAX);
            prop_assert_eq!(digests.crc64nvme.0, crc64);
        }

        #[test]
        fn any_cuts_give_the_digests_of_the_whole(
            bytes in proptest::collection::vec(any::<u8>(), 0..5000),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let whole = Digests::of(&bytes);
            let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            ends.push(bytes.len());
            ends.sort_unstable();
            let mut start = 0;
            let mut combined = Digests::EMPTY;
            let mut fed = Digester::new();
            for end in ends {
                combined = combined.then(&Digests::of(&bytes[start..end]));
                fed.update(&bytes[start..end]);
                start = end;
            }
            prop_assert_eq!(combined, whole);
            prop_assert_eq!(fed.finish(), whole);
        }
    }
}
