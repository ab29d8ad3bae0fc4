//! Numbers as they lie in a bank.
//!
//! One trait ties a Rust number to its MIDAS type and its bytes, so that a bank is
//! written and read by the same rule.

use crate::event::ByteOrder;
use crate::tid::Tid;

mod sealed {
    pub trait Sealed {}
}

/// A number that a bank can hold.
pub trait Scalar: Copy + Default + sealed::Sealed {
    /// Its MIDAS type.
    const TID: Tid;
    /// Its size in bytes.
    const WIDTH: usize;

    /// Reads one from [`Self::WIDTH`] bytes.
    ///
    /// # Panics
    /// If `bytes` has another length.
    fn read(order: ByteOrder, bytes: &[u8]) -> Self;

    /// Writes itself, little endian, to [`Self::WIDTH`] bytes.
    ///
    /// # Panics
    /// If `bytes` has another length.
    fn write_le(self, bytes: &mut [u8]);
}

macro_rules! scalars {
    ($($number:ty = $tid:expr,)+) => { $(
        impl sealed::Sealed for $number {}

        impl Scalar for $number {
            const TID: Tid = $tid;
            const WIDTH: usize = size_of::<$number>();

            #[inline]
            fn read(order: ByteOrder, bytes: &[u8]) -> Self {
                let mut array = [0; size_of::<$number>()];
                array.copy_from_slice(bytes);
                match order {
                    ByteOrder::Little => Self::from_le_bytes(array),
                    ByteOrder::Big => Self::from_be_bytes(array),
                }
            }

            #[inline]
            fn write_le(self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.to_le_bytes());
            }
        }
    )+ };
}

scalars! {
    u8 = Tid::U8,
    i8 = Tid::I8,
    u16 = Tid::U16,
    i16 = Tid::I16,
    u32 = Tid::U32,
    i32 = Tid::I32,
    f32 = Tid::F32,
    f64 = Tid::F64,
    i64 = Tid::I64,
    u64 = Tid::U64,
}
