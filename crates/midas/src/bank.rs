//! The banks inside an event.
//!
//! Three layouts exist and one file mixes them. A bank that does not fit into its event
//! ends the iteration with a typed error; the banks before it have been given out. Types
//! that are not known and sizes that are no multiple of their type are no damage.

use std::fmt;

use thiserror::Error;

use crate::event::{ByteOrder, EventKind};
use crate::scalar::Scalar;
use crate::tid::Tid;

/// Size of the head of a list of banks.
const LIST_HEADER_BYTES: usize = 8;

/// Bank data are padded to this, and the padding is not counted in the bank's size.
const ALIGNMENT: usize = 8;

/// What is wrong inside an event. Offsets count from the start of the payload.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum BankError {
    /// Begin and end of run, messages and fragments hold no banks.
    #[error("the event is no list of banks but {kind:?}")]
    NotBanks {
        /// What it is.
        kind: EventKind,
    },
    /// Too short for the head of a list.
    #[error("payload of {found} bytes is too short for a list of banks")]
    NoList {
        /// Bytes of the payload.
        found: usize,
    },
    /// The head of the list has flags that no MIDAS version writes.
    #[error("unknown bank flags {flags:#x}")]
    UnknownFlags {
        /// The flags.
        flags: u32,
    },
    /// The list says that it is longer than the event.
    #[error("list of banks of {declared} bytes in {available} bytes of event")]
    ListTooLong {
        /// Bytes that the list claims.
        declared: u32,
        /// Bytes that follow the list's head.
        available: usize,
    },
    /// The bytes left are too few for the head of a bank.
    #[error("bank header cut at byte {offset}: {found} bytes are left")]
    HeaderCut {
        /// Where the bank begins.
        offset: usize,
        /// Bytes left in the list.
        found: usize,
    },
    /// A bank says that it is longer than what is left of the list.
    #[error("bank {name} at byte {offset} claims {size} bytes and {found} are left")]
    Overrun {
        /// The bank.
        name: BankName,
        /// Where the bank begins.
        offset: usize,
        /// Bytes that the bank claims.
        size: u32,
        /// Bytes left after its head.
        found: usize,
    },
}

impl BankError {
    /// Where it begins, from the start of the payload.
    pub fn offset(&self) -> usize {
        match self {
            Self::NotBanks { .. }
            | Self::NoList { .. }
            | Self::UnknownFlags { .. }
            | Self::ListTooLong { .. } => 0,
            Self::HeaderCut { offset, .. } | Self::Overrun { offset, .. } => *offset,
        }
    }

    /// Whether a list of banks is broken, as opposed to a payload that is no such list:
    /// equipments may send what they like.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::NotBanks { .. } | Self::NoList { .. } | Self::UnknownFlags { .. } => false,
            Self::ListTooLong { .. } | Self::HeaderCut { .. } | Self::Overrun { .. } => true,
        }
    }
}

/// Four bytes, as a rule ASCII, that may end in NULs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BankName(pub [u8; 4]);

impl fmt::Display for BankName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.iter().rposition(|byte| *byte != 0);
        let name = &self.0[..end.map_or(0, |last| last + 1)];
        f.pad(&name.escape_ascii().to_string())
    }
}

impl fmt::Debug for BankName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BankName({})", self.0.escape_ascii())
    }
}

/// The layout of a list of banks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BankFormat {
    /// `BANK`: head of 8 bytes, at most 65535 bytes of data.
    Bank16,
    /// `BANK32`: head of 12 bytes.
    Bank32,
    /// `BANK32A`: head of 16 bytes, so that the data of every bank begin at a multiple of 8.
    Bank32A,
}

impl BankFormat {
    /// The flags in the head of a list of this layout.
    pub fn flags(self) -> u32 {
        match self {
            Self::Bank16 => 0x01,
            Self::Bank32 => 0x11,
            Self::Bank32A => 0x31,
        }
    }

    /// The layout that the flags of a list stand for.
    pub fn from_flags(flags: u32) -> Option<Self> {
        [Self::Bank16, Self::Bank32, Self::Bank32A]
            .into_iter()
            .find(|format| format.flags() == flags)
    }

    /// Size of the head of a bank of this layout.
    pub fn header_bytes(self) -> usize {
        match self {
            Self::Bank16 => 8,
            Self::Bank32 => 12,
            Self::Bank32A => 16,
        }
    }
}

/// One bank, borrowed from its event.
#[derive(Debug, Clone, Copy)]
pub struct Bank<'a> {
    /// Its name. The same name may occur twice in an event.
    pub name: BankName,
    /// The type of its values.
    pub tid: Tid,
    /// Its data, without padding.
    pub data: &'a [u8],
    /// The layout of the list it is in.
    pub format: BankFormat,
    /// The order of its numbers' bytes.
    pub byte_order: ByteOrder,
}

impl<'a> Bank<'a> {
    /// The bank's values, or `None` where they are of another type than `T`. Bytes at the
    /// end that are too few for a value are left out; [`Self::data`] has them.
    pub fn values<T: Scalar>(&self) -> Option<impl ExactSizeIterator<Item = T> + use<'a, T>> {
        let order = self.byte_order;
        let chunks = self.data.chunks_exact(T::WIDTH);
        (self.tid == T::TID).then(|| chunks.map(move |bytes| T::read(order, bytes)))
    }
}

/// The banks of one event, in order. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Banks<'a> {
    /// The payload up to the end of the list.
    list: &'a [u8],
    slack: &'a [u8],
    position: usize,
    format: BankFormat,
    byte_order: ByteOrder,
}

impl<'a> Banks<'a> {
    /// The banks of a data event's `payload`. An empty payload has none.
    pub(crate) fn new(payload: &'a [u8], byte_order: ByteOrder) -> Result<Self, BankError> {
        if payload.is_empty() {
            return Ok(Self {
                list: payload,
                slack: payload,
                position: 0,
                format: BankFormat::Bank16,
                byte_order,
            });
        }
        let found = payload.len();
        if found < LIST_HEADER_BYTES {
            return Err(BankError::NoList { found });
        }
        let declared = u32::read(byte_order, &payload[0..4]);
        let flags = u32::read(byte_order, &payload[4..8]);
        let format = BankFormat::from_flags(flags).ok_or(BankError::UnknownFlags { flags })?;
        let available = found - LIST_HEADER_BYTES;
        if declared as usize > available {
            return Err(BankError::ListTooLong {
                declared,
                available,
            });
        }
        let (list, slack) = payload.split_at(LIST_HEADER_BYTES + declared as usize);
        Ok(Self {
            list,
            slack,
            position: LIST_HEADER_BYTES,
            format,
            byte_order,
        })
    }

    /// The layout of the list.
    pub fn format(&self) -> BankFormat {
        self.format
    }

    /// Bytes of the event after the end of the list; as a rule none.
    pub fn slack(&self) -> &'a [u8] {
        self.slack
    }

    /// The bank at the current position, and where the next one begins.
    fn parse(&self) -> Result<(Bank<'a>, usize), BankError> {
        let (offset, order) = (self.position, self.byte_order);
        let rest = &self.list[offset..];
        let header_bytes = self.format.header_bytes();
        if rest.len() < header_bytes {
            return Err(BankError::HeaderCut {
                offset,
                found: rest.len(),
            });
        }
        let (header, body) = rest.split_at(header_bytes);
        let name = BankName([header[0], header[1], header[2], header[3]]);
        let (tid, size) = match self.format {
            BankFormat::Bank16 => (
                u32::from(u16::read(order, &header[4..6])),
                u32::from(u16::read(order, &header[6..8])),
            ),
            BankFormat::Bank32 | BankFormat::Bank32A => (
                u32::read(order, &header[4..8]),
                u32::read(order, &header[8..12]),
            ),
        };
        let data = body.get(..size as usize).ok_or(BankError::Overrun {
            name,
            offset,
            size,
            found: body.len(),
        })?;
        // Beyond the end where a front end leaves the padding of the last bank out.
        let next = offset + header_bytes + (size as usize).next_multiple_of(ALIGNMENT);
        let bank = Bank {
            name,
            tid: Tid(tid),
            data,
            format: self.format,
            byte_order: order,
        };
        Ok((bank, next))
    }
}

impl<'a> Iterator for Banks<'a> {
    type Item = Result<Bank<'a>, BankError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.position >= self.list.len() {
            return None;
        }
        match self.parse() {
            Ok((bank, next)) => {
                self.position = next;
                Some(Ok(bank))
            }
            Err(error) => {
                self.position = self.list.len();
                Some(Err(error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(flags: u32, declared: u32, body: &[u8]) -> Vec<u8> {
        [&declared.to_le_bytes()[..], &flags.to_le_bytes(), body].concat()
    }

    fn banks(payload: &[u8]) -> Result<Vec<Bank<'_>>, BankError> {
        Banks::new(payload, ByteOrder::Little)?.collect()
    }

    #[test]
    fn a_name_may_hold_nuls() {
        assert_eq!(BankName(*b"PMT\0").to_string(), "PMT");
        assert_eq!(BankName(*b"\0\0\0\0").to_string(), "");
        assert_eq!(BankName(*b"A\0B\n").to_string(), "A\\x00B\\n");
    }

    #[test]
    fn the_last_bank_may_lack_its_padding() {
        let payload = list(0x01, 11, b"ABCD\x01\0\x03\0xyz");
        let found = banks(&payload).unwrap();
        assert_eq!((found.len(), found[0].data), (1, &b"xyz"[..]));
    }

    #[test]
    fn a_bank_that_does_not_fit_is_named() {
        let payload = list(0x01, 24, b"GOOD\x01\0\x01\0.\0\0\0\0\0\0\0EVIL\x01\0\x09\0");
        let mut all = Banks::new(&payload, ByteOrder::Little).unwrap();
        assert_eq!(all.next().unwrap().unwrap().name, BankName(*b"GOOD"));
        let error = all.next().unwrap().unwrap_err();
        assert_eq!(
            error.to_string(),
            "bank EVIL at byte 24 claims 9 bytes and 0 are left"
        );
        assert!(all.next().is_none(), "iteration ends after the damage");
    }

    #[test]
    fn a_list_must_fit_its_event() {
        assert_eq!(
            banks(&list(0x11, 9, b"12345678")).unwrap_err(),
            BankError::ListTooLong {
                declared: 9,
                available: 8
            }
        );
        assert_eq!(
            banks(&list(0x10, 0, b"")).unwrap_err(),
            BankError::UnknownFlags { flags: 0x10 }
        );
        assert_eq!(banks(b"1234").unwrap_err(), BankError::NoList { found: 4 });
        assert_eq!(
            banks(&list(0x31, 5, b"12345")).unwrap_err(),
            BankError::HeaderCut {
                offset: 8,
                found: 5
            }
        );
        assert!(banks(b"").unwrap().is_empty());
    }

    #[test]
    fn bytes_after_the_list_are_kept_apart() {
        let payload = list(0x01, 0, b"tail");
        let banks = Banks::new(&payload, ByteOrder::Little).unwrap();
        assert_eq!(banks.slack(), b"tail");
        assert_eq!(banks.count(), 0);
    }

    #[test]
    fn values_come_in_the_files_byte_order() {
        let payload = b"\0\0\0\x10\0\0\0\x01ADC0\0\x04\0\x03\x01\x02\xff\0\0\0\0\0";
        let mut all = Banks::new(payload, ByteOrder::Big).unwrap();
        let bank = all.next().unwrap().unwrap();
        assert_eq!(bank.values::<u16>().unwrap().collect::<Vec<_>>(), [0x0102]);
        assert!(bank.values::<f32>().is_none());
    }
}
