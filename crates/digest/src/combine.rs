//! The CRC of a concatenation, from the CRCs of its pieces.
//!
//! With both ends inverted, as CRC-64/NVME and CRC-32C are, the CRC of `a` followed by `b`
//! is `crc(a) · x^(8·|b|) + crc(b)` modulo the polynomial (the way of zlib's
//! `crc32_combine`). The powers `x^(2^k)` are tables, so that a combination takes one
//! multiplication for each bit that is set in the length.
//!
//! Polynomials are reflected: the highest bit is the coefficient of `x^0`.

/// A polynomial of some degree, with its powers.
pub(crate) struct Modulus {
    polynomial: u64,
    /// `x^0`.
    one: u64,
    /// `x^(2^k)`.
    powers: [u64; POWERS],
}

/// Bits of a length in bytes, and three for the bits of a byte.
const POWERS: usize = u64::BITS as usize + 3;

/// CRC-64/NVME: 0xad93d23594c93659, reflected.
pub(crate) const CRC64_NVME: Modulus = Modulus::new(0x9a6c_9329_ac4b_c9b5, 64);

/// CRC-32C (Castagnoli): 0x1edc6f41, reflected.
pub(crate) const CRC32C: Modulus = Modulus::new(0x82f6_3b78, 32);

impl Modulus {
    const fn new(polynomial: u64, degree: u32) -> Self {
        let mut modulus = Self {
            polynomial,
            one: 1 << (degree - 1),
            powers: [0; POWERS],
        };
        modulus.powers[0] = modulus.one >> 1;
        let mut k = 1;
        while k < POWERS {
            let root = modulus.powers[k - 1];
            modulus.powers[k] = modulus.times(root, root);
            k += 1;
        }
        modulus
    }

    /// The product of two polynomials, modulo this one.
    const fn times(&self, a: u64, b: u64) -> u64 {
        let (mut product, mut a, mut b) = (0, a, b);
        while a != 0 {
            // Masks instead of branches: the bits are as good as random.
            product ^= b & mask(a & self.one != 0);
            a = (a << 1) & (self.one | (self.one - 1));
            b = (b >> 1) ^ (self.polynomial & mask(b & 1 != 0));
        }
        product
    }

    /// The CRC of `first` followed by `second`, which is of `size` bytes.
    pub(crate) const fn combine(&self, first: u64, second: u64, size: u64) -> u64 {
        let (mut shifted, mut left, mut k) = (first, size, 3);
        while left != 0 {
            if left & 1 != 0 {
                shifted = self.times(shifted, self.powers[k]);
            }
            left >>= 1;
            k += 1;
        }
        shifted ^ second
    }
}

const fn mask(bit: bool) -> u64 {
    (bit as u64).wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crc_fast::{CrcAlgorithm, checksum_combine};
    use proptest::prelude::*;

    proptest! {
        /// Against another's implementation, also of lengths that nobody has in memory.
        #[test]
        fn combinations_are_those_of_matrices(first: u64, second: u64, bits in 0u32..62, low: u64) {
            let size = low >> (63 - bits);
            let (first32, second32) = (first & 0xffff_ffff, second & 0xffff_ffff);
            prop_assert_eq!(
                CRC64_NVME.combine(first, second, size),
                checksum_combine(CrcAlgorithm::Crc64Nvme, first, second, size)
            );
            prop_assert_eq!(
                CRC32C.combine(first32, second32, size),
                checksum_combine(CrcAlgorithm::Crc32Iscsi, first32, second32, size)
            );
        }
    }

    #[test]
    fn nothing_added_changes_nothing() {
        assert_eq!(CRC64_NVME.combine(0x1234, 0, 0), 0x1234);
        assert_eq!(CRC32C.combine(0xffff_ffff, 0, 0), 0xffff_ffff);
    }
}
