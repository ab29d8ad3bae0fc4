//! Events out of a stream of bytes, one in memory at a time.
//!
//! Whatever is whole is given out, before and after a damage. The damage comes in
//! between, as a typed error with its range of bytes; the reader goes on after it. Only
//! a stream that fails ends the reading: then nothing is known of the rest.

use std::io::{self, Read};

use thiserror::Error;

use crate::damage::{Damage, DamageKind};
use crate::decode::BrokenEncoding;
use crate::event::{ByteOrder, Event, HEADER_BYTES};
use crate::framer::{Framer, Step};
use crate::window::Window;

/// The largest payload that a reader takes unless told otherwise. The largest events
/// known, six cameras at once, have 113 MB.
pub const DEFAULT_EVENT_LIMIT: u32 = 256 << 20;

/// What may come in place of an event.
#[derive(Debug, Error)]
pub enum ReadError {
    /// Bytes that belong to no event. Reading may go on.
    #[error("{0}")]
    Damaged(Damage),
    /// The bytes could not be had. Nothing is known about the rest.
    #[error("cannot read on after byte {offset}: {source}")]
    Io {
        /// Decoded bytes up to the failure.
        offset: u64,
        /// What the operating system said.
        source: io::Error,
    },
}

impl ReadError {
    /// The damage, as opposed to a disk or a server that failed.
    pub fn damage(&self) -> Option<&Damage> {
        match self {
            Self::Damaged(damage) => Some(damage),
            Self::Io { .. } => None,
        }
    }
}

/// Reads the events of one file, in order.
///
/// Together, the events and the damages cover the decoded bytes without holes. The order
/// of bytes is told by the first event.
pub struct Reader<R: Read> {
    window: Window<R>,
    framer: Framer,
    ordinal: u64,
    /// Why the stream ended, if not well; told after what came before it.
    failure: Option<io::Error>,
    done: bool,
}

impl<R: Read> Reader<R> {
    /// A reader of decoded bytes; it does its own buffering.
    pub fn new(inner: R) -> Self {
        Self {
            window: Window::new(inner),
            framer: Framer::new(DEFAULT_EVENT_LIMIT, true),
            ordinal: 0,
            failure: None,
            done: false,
        }
    }

    /// Takes payloads of at most `bytes`.
    #[must_use]
    pub fn with_event_limit(mut self, bytes: u32) -> Self {
        self.framer.limit = bytes;
        self
    }

    /// The order of bytes, once the first event has been read.
    pub fn byte_order(&self) -> Option<ByteOrder> {
        self.framer.byte_order()
    }

    /// Decoded bytes of the events and damages so far.
    pub fn offset(&self) -> u64 {
        self.framer.offset()
    }

    /// The next event, or `None` at the end.
    ///
    /// # Errors
    /// A damage, after which reading goes on; or a stream that failed, which ends it.
    pub fn read_event(&mut self) -> Result<Option<Event<'_>>, ReadError> {
        if self.done {
            return Ok(None);
        }
        loop {
            let step = self.framer.step(self.window.bytes(), self.window.ended());
            match step {
                Step::Need(bytes) => self.failure = self.window.fill(bytes).err(),
                Step::Event {
                    header,
                    byte_order,
                    offset,
                    length,
                } => {
                    let ordinal = self.ordinal;
                    self.ordinal += 1;
                    let event = self.window.take(length);
                    return Ok(Some(Event {
                        header,
                        ordinal,
                        offset,
                        payload: &event[HEADER_BYTES..],
                        byte_order,
                    }));
                }
                Step::Skip(bytes) => {
                    self.window.take(bytes);
                }
                Step::Damage(damage) => {
                    // An event of which the rest could not be had is not damaged.
                    let cut = self.window.bytes().is_empty();
                    let outage = if cut { self.outage() } else { None };
                    return Err(match outage {
                        Some(source) => self.end(damage.offset, source),
                        None => ReadError::Damaged(damage),
                    });
                }
                Step::End => {
                    self.done = true;
                    let offset = self.framer.offset();
                    let failure = self.failure.take();
                    return failure.map_or(Ok(None), |source| Err(self.end(offset, source)));
                }
            }
        }
    }

    /// Why the stream ended, if the reason is none of the file's.
    fn outage(&mut self) -> Option<io::Error> {
        self.failure
            .take_if(|error| broken_encoding(error).is_none())
    }

    fn end(&mut self, offset: u64, source: io::Error) -> ReadError {
        self.done = true;
        let Some(broken) = broken_encoding(&source) else {
            return ReadError::Io { offset, source };
        };
        ReadError::Damaged(Damage {
            kind: DamageKind::Compression {
                encoding: broken.encoding,
                reason: broken.reason.clone(),
            },
            offset,
            length: 0,
            compressed_offset: Some(broken.compressed_offset),
        })
    }
}

fn broken_encoding(error: &io::Error) -> Option<&BrokenEncoding> {
    error.get_ref()?.downcast_ref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventHeader;

    #[test]
    fn a_claim_costs_no_memory() {
        let header = EventHeader {
            id: 1,
            trigger_mask: 0,
            serial_number: 0,
            time_stamp: 0,
            data_size: DEFAULT_EVENT_LIMIT,
        }
        .to_le_bytes();
        let mut reader = Reader::new(&header[..]);
        let error = reader.read_event().unwrap_err();
        let damage = error.damage().unwrap();
        assert!(matches!(damage.kind, DamageKind::Truncated { .. }));
        assert_eq!(damage.length, 16);
        assert!(reader.window.capacity() <= 2 << 20);
        assert!(reader.read_event().unwrap().is_none(), "nothing is left");
    }

    #[test]
    fn a_failing_disk_is_no_damage() {
        /// A file of one and a half events on a server that goes away.
        struct Broken(usize);
        impl Read for Broken {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                const BYTES: &[u8] = b"\0\x80MI\x07\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0";
                if self.0 == BYTES.len() {
                    return Err(io::Error::from(io::ErrorKind::StaleNetworkFileHandle));
                }
                let count = (&BYTES[self.0..]).read(buffer)?;
                self.0 += count;
                Ok(count)
            }
        }
        let mut reader = Reader::new(Broken(0));
        assert_eq!(reader.read_event().unwrap().unwrap().run_number(), Some(7));
        let error = reader.read_event().unwrap_err();
        assert!(error.damage().is_none(), "{error}");
        assert!(
            error
                .to_string()
                .starts_with("cannot read on after byte 16"),
            "{error}"
        );
        assert!(reader.read_event().unwrap().is_none(), "ends after it");
    }

    #[test]
    fn big_endian_is_seen_without_a_begin_of_run() {
        let bytes = b"\0\x01\0\0\0\0\0\0\0\0\0\x02\0\0\0\x18\0\0\0\x10\0\0\0\x01ADC0\0\x04\0\x02\x01\x02\0\0\0\0\0\0";
        let mut reader = Reader::new(&bytes[..]);
        assert_eq!(reader.read_event().unwrap().unwrap().header.id, 1);
        assert_eq!(reader.byte_order(), Some(ByteOrder::Big));
    }
}
