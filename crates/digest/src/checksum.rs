//! The three checksums as types of their own, with their spellings.
//!
//! In text each is lower-case hexadecimal of fixed width; in the headers of S3 it is
//! the base64 of its big-endian bytes ("Checking object integrity", Amazon S3 User
//! Guide). Computing them is left to [`crate::Digester`].

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Text that is not the checksum it should be.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum ChecksumError {
    /// Not hexadecimal digits, or too few or too many of them.
    #[error("`{text}` is not a {algorithm} ({digits} hexadecimal digits)")]
    Hex {
        /// Which checksum was expected.
        algorithm: &'static str,
        /// How many digits it has.
        digits: usize,
        /// The text found.
        text: String,
    },
    /// Not the base64 of as many bytes as the checksum has.
    #[error("`{text}` is not a {algorithm} (base64 of {bytes} bytes)")]
    Base64 {
        /// Which checksum was expected.
        algorithm: &'static str,
        /// How many bytes it has.
        bytes: usize,
        /// The text found.
        text: String,
    },
}

/// A checksum with its two spellings. `$shortest` is the least number of digits
/// accepted when reading.
macro_rules! checksum {
    ($(#[$meta:meta])* $name:ident($int:ty), $algorithm:literal, digits $shortest:literal to $digits:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub $int);

        impl $name {
            /// The algorithm's name, as catalogues and servers spell it.
            pub const ALGORITHM: &'static str = $algorithm;

            /// The value as S3 writes it in headers: base64 of the big-endian bytes.
            pub fn to_base64(self) -> String {
                BASE64.encode(self.0.to_be_bytes())
            }

            /// Reads the value of an S3 header.
            pub fn from_base64(text: &str) -> Result<Self, ChecksumError> {
                BASE64
                    .decode(text)
                    .ok()
                    .and_then(|bytes| bytes.try_into().ok())
                    .map(|bytes| Self(<$int>::from_be_bytes(bytes)))
                    .ok_or_else(|| ChecksumError::Base64 {
                        algorithm: $algorithm,
                        bytes: size_of::<$int>(),
                        text: text.to_owned(),
                    })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&format!("{:0width$x}", self.0, width = $digits))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ChecksumError;

            fn from_str(text: &str) -> Result<Self, ChecksumError> {
                // `from_str_radix` also takes a sign: only digits may reach it.
                let digits = text.bytes().all(|b| b.is_ascii_hexdigit());
                let length = ($shortest..=$digits).contains(&text.len());
                <$int>::from_str_radix(text, 16)
                    .ok()
                    .filter(|_| digits && length)
                    .map(Self)
                    .ok_or_else(|| ChecksumError::Hex {
                        algorithm: $algorithm,
                        digits: $digits,
                        text: text.to_owned(),
                    })
            }
        }

        impl TryFrom<String> for $name {
            type Error = ChecksumError;

            fn try_from(text: String) -> Result<Self, ChecksumError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    };
}

checksum! {
    /// CRC-64/NVME, the full-object checksum of S3. Sixteen hexadecimal digits.
    Crc64Nvme(u64), "crc64nvme", digits 16 to 16
}

checksum! {
    /// Adler-32 (RFC 1950 §8.2), the checksum of grid storage and tape. Written with
    /// eight hexadecimal digits; read with one to eight, since some servers drop the
    /// leading zeros.
    Adler32(u32), "adler32", digits 1 to 8
}

checksum! {
    /// CRC-32C (Castagnoli, RFC 3720 §12.1). Eight hexadecimal digits.
    Crc32c(u32), "crc32c", digits 8 to 8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn adler32_is_read_without_its_leading_zeros_and_written_with_them() {
        let value: Adler32 = "9600001".parse().unwrap();
        assert_eq!(value, Adler32(0x0960_0001));
        assert_eq!(value.to_string(), "09600001");
        assert_eq!("40001".parse::<Adler32>().unwrap(), Adler32(0x0004_0001));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "+1", "-1", "0x1", "123456789", "xyz", "1 "] {
            assert!(text.parse::<Adler32>().is_err(), "{text:?}");
        }
        for text in ["e306928", "e30692833", "+3069283"] {
            assert!(text.parse::<Crc32c>().is_err(), "{text:?}");
        }
        assert!("ae8b14860a79988".parse::<Crc64Nvme>().is_err());
        assert!(Crc64Nvme::from_base64("AAAA").is_err());
        assert!(Crc64Nvme::from_base64("?").is_err());
    }

    #[test]
    fn base64_is_that_of_the_big_endian_bytes() {
        // "123456789" as `aws s3api put-object` answers it.
        assert_eq!(Crc64Nvme(0xae8b_1486_0a79_9888).to_base64(), "rosUhgp5mIg=");
        assert_eq!(Crc32c(0xe306_9283).to_base64(), "4waSgw==");
    }

    proptest! {
        #[test]
        fn every_value_reads_back(value: u64) {
            let crc = Crc64Nvme(value);
            prop_assert_eq!(crc.to_string().parse::<Crc64Nvme>().unwrap(), crc);
            prop_assert_eq!(Crc64Nvme::from_base64(&crc.to_base64()).unwrap(), crc);
            let adler = Adler32(value as u32);
            prop_assert_eq!(adler.to_string().len(), 8);
            prop_assert_eq!(adler.to_string().parse::<Adler32>().unwrap(), adler);
            let json = serde_json::to_string(&crc).unwrap();
            prop_assert_eq!(&json, &format!("\"{crc}\""));
            prop_assert_eq!(serde_json::from_str::<Crc64Nvme>(&json).unwrap(), crc);
        }
    }
}
