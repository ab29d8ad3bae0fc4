//! Run files as mlogger writes them, little endian.
//!
//! The writer only puts events one after the other; what belongs into a run, and the
//! side files of the logger, are for others. Its output reads back with the reader.

use std::io::{self, Write};

use thiserror::Error;

use crate::bank::{BankFormat, BankName};
use crate::event::{EventHeader, EventKind, SYSTEM_MASK};
use crate::scalar::Scalar;
use crate::tid::Tid;

/// Bank data are padded to a multiple of this.
const ALIGNMENT: usize = 8;

/// Why an event cannot be written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// A bank's data are more than its layout can say.
    #[error("bank {name} of {size} bytes does not fit into {format:?}")]
    BankTooLarge {
        /// The bank.
        name: BankName,
        /// Bytes of data.
        size: usize,
        /// The event's layout.
        format: BankFormat,
    },
    /// A payload of 4 GiB or more.
    #[error("payload of {size} bytes does not fit into an event")]
    EventTooLarge {
        /// Bytes of payload.
        size: usize,
    },
    /// The bytes could not be put away.
    #[error("cannot write event: {0}")]
    Io(#[from] io::Error),
}

/// Writes the events of one file, in order.
pub struct Writer<W: Write> {
    inner: W,
    offset: u64,
}

impl<W: Write> Writer<W> {
    /// A writer at the start of a file. It does no buffering.
    pub fn new(inner: W) -> Self {
        Self { inner, offset: 0 }
    }

    /// Opens the run: `time` in seconds since 1970, `odb` the dump as text.
    pub fn begin_of_run(&mut self, run: u32, time: u32, odb: &[u8]) -> Result<(), WriteError> {
        self.raw(EventKind::BEGIN_OF_RUN, SYSTEM_MASK, run, time, odb)
    }

    /// Closes the run.
    pub fn end_of_run(&mut self, run: u32, time: u32, odb: &[u8]) -> Result<(), WriteError> {
        self.raw(EventKind::END_OF_RUN, SYSTEM_MASK, run, time, odb)
    }

    /// Writes a data event.
    pub fn event(&mut self, event: &EventBuilder) -> Result<(), WriteError> {
        self.raw(
            event.id,
            event.trigger_mask,
            event.serial_number,
            event.time_stamp,
            event.payload(),
        )
    }

    /// Writes an event of any kind; `data_size` is that of `payload`.
    pub fn raw(
        &mut self,
        id: u16,
        trigger_mask: u16,
        serial_number: u32,
        time_stamp: u32,
        payload: &[u8],
    ) -> Result<(), WriteError> {
        let size = payload.len();
        let data_size = u32::try_from(size).map_err(|_| WriteError::EventTooLarge { size })?;
        let header = EventHeader {
            id,
            trigger_mask,
            serial_number,
            time_stamp,
            data_size,
        };
        let header = header.to_le_bytes();
        self.inner.write_all(&header)?;
        self.inner.write_all(payload)?;
        self.offset += (header.len() + size) as u64;
        Ok(())
    }

    /// Bytes written so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What it writes to.
    pub fn get_ref(&self) -> &W {
        &self.inner
    }

    /// Gives back what it wrote to.
    pub fn into_inner(self) -> W {
        self.inner
    }
}

/// A data event in the making; its buffer serves many events.
#[derive(Debug, Clone)]
pub struct EventBuilder {
    /// The equipment's number.
    pub id: u16,
    /// Which trigger.
    pub trigger_mask: u16,
    /// Counts the events of the equipment.
    pub serial_number: u32,
    /// Seconds since 1970.
    pub time_stamp: u32,
    format: BankFormat,
    payload: Vec<u8>,
}

impl EventBuilder {
    /// An event without banks, whose banks will have the layout `format`.
    pub fn new(id: u16, format: BankFormat) -> Self {
        let mut event = Self {
            id,
            trigger_mask: 0,
            serial_number: 0,
            time_stamp: 0,
            format,
            payload: Vec::new(),
        };
        event.begin(0, 0);
        event
    }

    /// Drops the banks and begins the next event of the same equipment.
    pub fn begin(&mut self, serial_number: u32, time_stamp: u32) -> &mut Self {
        self.serial_number = serial_number;
        self.time_stamp = time_stamp;
        self.payload.clear();
        self.payload.extend_from_slice(&0_u32.to_le_bytes());
        self.payload
            .extend_from_slice(&self.format.flags().to_le_bytes());
        self
    }

    /// Adds a bank of bytes of any type.
    pub fn bank(&mut self, name: BankName, tid: Tid, data: &[u8]) -> Result<&mut Self, WriteError> {
        self.add(name, tid, data.len(), |place| place.copy_from_slice(data))
    }

    /// Adds a bank of numbers.
    pub fn values<T: Scalar>(
        &mut self,
        name: BankName,
        values: &[T],
    ) -> Result<&mut Self, WriteError> {
        self.add(name, T::TID, size_of_val(values), |place| {
            for (bytes, value) in place.chunks_exact_mut(T::WIDTH).zip(values) {
                value.write_le(bytes);
            }
        })
    }

    /// The payload as it stands: the head of the list and its banks.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    fn add(
        &mut self,
        name: BankName,
        tid: Tid,
        size: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<&mut Self, WriteError> {
        let format = self.format;
        let padded = size.next_multiple_of(ALIGNMENT);
        let list = self.payload.len() - 8 + format.header_bytes() + padded;
        let too_large = || WriteError::BankTooLarge { name, size, format };
        let list = u32::try_from(list).map_err(|_| too_large())?;
        self.payload.extend_from_slice(&name.0);
        if format == BankFormat::Bank16 {
            let fits = |number: u32| u16::try_from(number).ok();
            let head = fits(tid.0).zip(fits(size as u32));
            let Some((tid, size)) = head else {
                self.payload.truncate(self.payload.len() - name.0.len());
                return Err(too_large());
            };
            self.payload.extend_from_slice(&tid.to_le_bytes());
            self.payload.extend_from_slice(&size.to_le_bytes());
        } else {
            self.payload.extend_from_slice(&tid.0.to_le_bytes());
            self.payload.extend_from_slice(&(size as u32).to_le_bytes());
        }
        if format == BankFormat::Bank32A {
            self.payload.extend_from_slice(&0_u32.to_le_bytes());
        }
        let start = self.payload.len();
        self.payload.resize(start + padded, 0);
        fill(&mut self.payload[start..start + size]);
        list.write_le(&mut self.payload[0..4]);
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layout_is_that_of_midas_h() {
        let payload = |format| {
            let mut event = EventBuilder::new(1, format);
            event.values(BankName(*b"ADC0"), &[1_u16, 2, 3]).unwrap();
            event.payload().to_vec()
        };
        assert_eq!(
            payload(BankFormat::Bank16),
            b"\x10\0\0\0\x01\0\0\0ADC0\x04\0\x06\0\x01\0\x02\0\x03\0\0\0"
        );
        assert_eq!(
            payload(BankFormat::Bank32),
            b"\x14\0\0\0\x11\0\0\0ADC0\x04\0\0\0\x06\0\0\0\x01\0\x02\0\x03\0\0\0"
        );
        assert_eq!(
            payload(BankFormat::Bank32A),
            b"\x18\0\0\0\x31\0\0\0ADC0\x04\0\0\0\x06\0\0\0\0\0\0\0\x01\0\x02\0\x03\0\0\0"
        );
    }

    #[test]
    fn a_bank_beyond_its_layout_is_refused_and_leaves_the_event_whole() {
        let mut event = EventBuilder::new(1, BankFormat::Bank16);
        event.values(BankName(*b"GOOD"), &[1.5_f32]).unwrap();
        let before = event.payload().to_vec();
        let huge = vec![0; 65536];
        let error = event.bank(BankName(*b"HUGE"), Tid::U8, &huge).unwrap_err();
        assert_eq!(
            error.to_string(),
            "bank HUGE of 65536 bytes does not fit into Bank16"
        );
        assert_eq!(event.payload(), before);
        assert!(event.bank(BankName(*b"FULL"), Tid::U8, &huge[1..]).is_ok());
    }
}
