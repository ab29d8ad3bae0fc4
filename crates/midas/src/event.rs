//! One event as it lies in a file: its header, its payload, and what kind it is.

use crate::bank::{Bank, BankError, BankName, Banks};
use crate::odb::OdbDump;
use crate::scalar::Scalar;

/// Size of an event's header.
pub const HEADER_BYTES: usize = 16;

/// The trigger mask of begin and end of run: `MIDAS_MAGIC` of `midas.h`, "MI".
pub const SYSTEM_MASK: u16 = 0x494d;

/// The order of the bytes of the host that ran the DAQ; one per file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ByteOrder {
    /// Least significant byte first: nearly every DAQ.
    Little,
    /// Most significant byte first.
    Big,
}

/// The 16 bytes before each payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventHeader {
    /// What was read out: the equipment's number, or a system event's.
    pub id: u16,
    /// Which trigger; the type of a message; [`SYSTEM_MASK`] at begin and end of run.
    pub trigger_mask: u16,
    /// Counts the events of an equipment. It may repeat or begin with a leftover of the
    /// run before, so it is only a label; at begin and end of run it is the run's number.
    pub serial_number: u32,
    /// Seconds since 1970 UTC on most DAQs; some count from the begin of the run.
    pub time_stamp: u32,
    /// Bytes of the payload, without this header.
    pub data_size: u32,
}

impl EventHeader {
    /// Reads a header.
    pub fn from_bytes(order: ByteOrder, bytes: &[u8; HEADER_BYTES]) -> Self {
        Self {
            id: u16::read(order, &bytes[0..2]),
            trigger_mask: u16::read(order, &bytes[2..4]),
            serial_number: u32::read(order, &bytes[4..8]),
            time_stamp: u32::read(order, &bytes[8..12]),
            data_size: u32::read(order, &bytes[12..16]),
        }
    }

    /// Writes the header, little endian.
    pub fn to_le_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        self.id.write_le(&mut bytes[0..2]);
        self.trigger_mask.write_le(&mut bytes[2..4]);
        self.serial_number.write_le(&mut bytes[4..8]);
        self.time_stamp.write_le(&mut bytes[8..12]);
        self.data_size.write_le(&mut bytes[12..16]);
        bytes
    }

    /// What kind of event follows.
    pub fn kind(&self) -> EventKind {
        EventKind::of(self.id)
    }
}

/// What an event's payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// An ODB dump, taken when the file was opened.
    BeginOfRun,
    /// An ODB dump, taken when the file was closed.
    EndOfRun,
    /// A line of text for people.
    Message,
    /// A piece of an event that was too large for one; not a list of banks.
    Fragment,
    /// A readout, nearly always a list of banks.
    Data,
}

impl EventKind {
    /// Id of a begin of run.
    pub const BEGIN_OF_RUN: u16 = 0x8000;
    /// Id of an end of run.
    pub const END_OF_RUN: u16 = 0x8001;
    /// Id of a message.
    pub const MESSAGE: u16 = 0x8002;

    /// The kind that `id` stands for.
    pub fn of(id: u16) -> Self {
        match id {
            Self::BEGIN_OF_RUN => Self::BeginOfRun,
            Self::END_OF_RUN => Self::EndOfRun,
            Self::MESSAGE => Self::Message,
            // EVENTID_FRAG1 and EVENTID_FRAG are added to the equipment's id.
            0xc000..=0xdfff => Self::Fragment,
            _ => Self::Data,
        }
    }
}

/// One whole event, borrowed from the reader's buffer.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// Its header.
    pub header: EventHeader,
    /// How many whole events come before it in the file. With the file it is the event's
    /// identity.
    pub ordinal: u64,
    /// Where its header begins, in bytes from the start of the decoded file.
    pub offset: u64,
    /// The bytes after the header.
    pub payload: &'a [u8],
    /// The order of its numbers' bytes.
    pub byte_order: ByteOrder,
}

impl<'a> Event<'a> {
    /// Its bytes in the file, header and payload.
    pub fn length(&self) -> u64 {
        (HEADER_BYTES + self.payload.len()) as u64
    }

    /// What kind of event it is.
    pub fn kind(&self) -> EventKind {
        self.header.kind()
    }

    /// The run's number, at begin and end of run.
    pub fn run_number(&self) -> Option<u32> {
        matches!(self.kind(), EventKind::BeginOfRun | EventKind::EndOfRun)
            .then_some(self.header.serial_number)
    }

    /// The banks of a data event.
    ///
    /// # Errors
    /// If the payload is not a list of banks. Damage further inside comes from the
    /// iterator. Either concerns this event only.
    pub fn banks(&self) -> Result<Banks<'a>, BankError> {
        match self.kind() {
            EventKind::Data => Banks::new(self.payload, self.byte_order),
            kind => Err(BankError::NotBanks { kind }),
        }
    }

    /// The first bank called `name`, or `None` where the event has none.
    ///
    /// # Errors
    /// If the list is damaged before such a bank.
    pub fn bank(&self, name: BankName) -> Result<Option<Bank<'a>>, BankError> {
        for bank in self.banks()? {
            let bank = bank?;
            if bank.name == name {
                return Ok(Some(bank));
            }
        }
        Ok(None)
    }

    /// The ODB dump of a begin or end of run, where the logger wrote one.
    pub fn odb(&self) -> Option<OdbDump<'a>> {
        self.run_number()?;
        OdbDump::detect(self.payload)
    }

    /// The text of a message, without its NUL.
    pub fn message(&self) -> Option<&'a [u8]> {
        (self.kind() == EventKind::Message)
            .then(|| self.payload.split(|byte| *byte == 0).next())
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_sixteen_bytes_in_the_order_of_midas_h() {
        let header = EventHeader {
            id: 0x8000,
            trigger_mask: SYSTEM_MASK,
            serial_number: 407,
            time_stamp: 0x6225_c855,
            data_size: 194_105,
        };
        let bytes = *b"\x00\x80MI\x97\x01\0\0\x55\xc8\x25\x62\x39\xf6\x02\0";
        assert_eq!(header.to_le_bytes(), bytes);
        assert_eq!(EventHeader::from_bytes(ByteOrder::Little, &bytes), header);
    }

    #[test]
    fn kinds_follow_the_id() {
        assert_eq!(EventKind::of(1), EventKind::Data);
        assert_eq!(EventKind::of(0x8000), EventKind::BeginOfRun);
        assert_eq!(EventKind::of(0x8001), EventKind::EndOfRun);
        assert_eq!(EventKind::of(0x8002), EventKind::Message);
        assert_eq!(EventKind::of(0xc001), EventKind::Fragment);
        assert_eq!(EventKind::of(0xd001), EventKind::Fragment);
    }
}
