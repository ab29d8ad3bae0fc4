//! The types of bank data and of ODB keys, by MIDAS's numbers.
//!
//! A number that this version does not know stays that number: the bytes of such a
//! bank are as good as any other's.

use std::fmt;

/// The type of a bank's values or of an ODB key: `TID_…` of `midas.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tid(pub u32);

impl Tid {
    /// Unsigned byte.
    pub const U8: Self = Self(1);
    /// Signed byte.
    pub const I8: Self = Self(2);
    /// Single character.
    pub const CHAR: Self = Self(3);
    /// Unsigned, two bytes.
    pub const U16: Self = Self(4);
    /// Signed, two bytes.
    pub const I16: Self = Self(5);
    /// Unsigned, four bytes.
    pub const U32: Self = Self(6);
    /// Signed, four bytes.
    pub const I32: Self = Self(7);
    /// Truth value, four bytes.
    pub const BOOL: Self = Self(8);
    /// IEEE 754 number, four bytes.
    pub const F32: Self = Self(9);
    /// IEEE 754 number, eight bytes.
    pub const F64: Self = Self(10);
    /// Bits, four bytes.
    pub const BITFIELD: Self = Self(11);
    /// Text ended by a NUL.
    pub const STRING: Self = Self(12);
    /// Array without a known element type.
    pub const ARRAY: Self = Self(13);
    /// Structure.
    pub const STRUCT: Self = Self(14);
    /// ODB directory.
    pub const KEY: Self = Self(15);
    /// ODB link.
    pub const LINK: Self = Self(16);
    /// Signed, eight bytes.
    pub const I64: Self = Self(17);
    /// Unsigned, eight bytes.
    pub const U64: Self = Self(18);

    const NAMES: [&'static str; 18] = [
        "UINT8", "INT8", "CHAR", "UINT16", "INT16", "UINT32", "INT32", "BOOL", "FLOAT", "DOUBLE",
        "BITFIELD", "STRING", "ARRAY", "STRUCT", "KEY", "LINK", "INT64", "UINT64",
    ];

    /// What older versions of MIDAS call some of them.
    const OLD_NAMES: [(&'static str, Self); 7] = [
        ("BYTE", Self::U8),
        ("SBYTE", Self::I8),
        ("WORD", Self::U16),
        ("SHORT", Self::I16),
        ("DWORD", Self::U32),
        ("INT", Self::I32),
        ("QWORD", Self::U64),
    ];

    /// The type of that name, in the words of this or of older versions of MIDAS.
    pub fn from_name(name: &str) -> Option<Self> {
        let known = Self::NAMES.iter().position(|known| *known == name);
        known.map(|index| Self(index as u32 + 1)).or_else(|| {
            let old = Self::OLD_NAMES.iter().find(|(old, _)| *old == name);
            old.map(|(_, tid)| *tid)
        })
    }

    /// MIDAS's name of the type, or `None` where the number is not known.
    pub fn name(self) -> Option<&'static str> {
        let index = usize::try_from(self.0).ok()?.checked_sub(1)?;
        Self::NAMES.get(index).copied()
    }
}

impl fmt::Display for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => f.pad(&format!("TID {}", self.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_those_of_midas() {
        assert_eq!(Tid::U8.to_string(), "UINT8");
        assert_eq!(Tid::F32.to_string(), "FLOAT");
        assert_eq!(Tid::U64.to_string(), "UINT64");
        for name in Tid::NAMES {
            assert_eq!(Tid::from_name(name).unwrap().name(), Some(name));
        }
        assert_eq!(Tid::from_name("DWORD"), Some(Tid::U32));
        assert_eq!(Tid::from_name("dword"), None);
        assert_eq!(Tid(0).name(), None);
        assert_eq!(Tid(99).to_string(), "TID 99");
    }
}
