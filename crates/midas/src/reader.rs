//! Events out of a stream of bytes, one in memory at a time.
//!
//! Whatever was whole before a damage has been given out; the damage is a typed error
//! with the byte where it begins, and ends the file. Memory grows with bytes that really
//! came, never with what a header claims.

use std::io::{self, BufRead, BufReader, Read};

use thiserror::Error;

use crate::event::{ByteOrder, Event, EventHeader, HEADER_BYTES};

/// The largest payload that a reader takes unless told otherwise. The largest events
/// known, six cameras at once, have 113 MB.
pub const DEFAULT_EVENT_LIMIT: u32 = 256 << 20;

/// Reads ahead this much; larger payloads go straight to their place.
const READ_AHEAD: usize = 128 << 10;

/// The event buffer grows by at most this before the bytes for it have come.
const GROWTH: usize = 1 << 20;

/// Why no further event can be read. Offsets count decoded bytes from the start.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The file ends inside an event.
    #[error("file ends inside the event at byte {offset}: {found} of {expected} bytes are there")]
    Truncated {
        /// Where the event begins.
        offset: u64,
        /// Bytes of the whole event, or of its header where even that is cut.
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// A size that no event has: the header is not a header.
    #[error("event at byte {offset} claims {data_size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Where the event begins.
        offset: u64,
        /// The claim.
        data_size: u32,
        /// The reader's limit.
        limit: u32,
    },
    /// The compressed form is damaged.
    #[error("compressed data are damaged after byte {offset}: {source}")]
    Corrupt {
        /// Decoded bytes up to the damage.
        offset: u64,
        /// What the decoder said.
        source: io::Error,
    },
    /// The bytes could not be had. Nothing is known about the data.
    #[error("cannot read on after byte {offset}: {source}")]
    Io {
        /// Decoded bytes up to the failure.
        offset: u64,
        /// What the operating system said.
        source: io::Error,
    },
}

impl ReadError {
    /// Whether the file itself is damaged, as opposed to a disk or a server that failed.
    pub fn is_damage(&self) -> bool {
        !matches!(self, Self::Io { .. })
    }

    /// Decoded bytes up to where the trouble begins.
    pub fn offset(&self) -> u64 {
        match self {
            Self::Truncated { offset, .. }
            | Self::TooLarge { offset, .. }
            | Self::Corrupt { offset, .. }
            | Self::Io { offset, .. } => *offset,
        }
    }
}

/// An event of which only the header was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SkimmedEvent {
    /// Its header.
    pub header: EventHeader,
    /// Where its header begins.
    pub offset: u64,
}

/// Reads the events of one file, in order.
///
/// The order of bytes is told by the first event: a begin of run looks different in
/// each, and any other event is taken as little endian unless only big endian gives it
/// a size within the limit.
pub struct Reader<R: Read> {
    inner: BufReader<R>,
    payload: Vec<u8>,
    offset: u64,
    ordinal: u64,
    limit: u32,
    byte_order: Option<ByteOrder>,
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// A reader of decoded bytes; it does its own buffering.
    pub fn new(inner: R) -> Self {
        Self {
            inner: BufReader::with_capacity(READ_AHEAD, inner),
            payload: Vec::new(),
            offset: 0,
            ordinal: 0,
            limit: DEFAULT_EVENT_LIMIT,
            byte_order: None,
            ended: false,
        }
    }

    /// Takes payloads of at most `bytes`.
    #[must_use]
    pub fn with_event_limit(mut self, bytes: u32) -> Self {
        self.limit = bytes;
        self
    }

    /// The order of bytes, once the first event has been read.
    pub fn byte_order(&self) -> Option<ByteOrder> {
        self.byte_order
    }

    /// Decoded bytes of the whole events so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next event, or `None` at the end of the file and after an error.
    pub fn read_event(&mut self) -> Result<Option<Event<'_>>, ReadError> {
        let Some((byte_order, header)) = self.read_header()? else {
            return Ok(None);
        };
        let size = header.data_size as usize;
        let mut found = 0;
        while found < size {
            let step = (size - found).min(GROWTH.max(self.payload.len().saturating_sub(found)));
            if self.payload.len() < found + step {
                self.payload.resize(found + step, 0);
            }
            match fill(&mut self.inner, &mut self.payload[found..found + step]) {
                (count, None) => found += count,
                (count, Some(end)) => return Err(self.cut(end, size, found + count)),
            }
        }
        let ordinal = self.ordinal;
        Ok(Some(Event {
            header,
            ordinal,
            offset: self.pass(size),
            payload: &self.payload[..size],
            byte_order,
        }))
    }

    /// Like [`Self::read_event`], but the payload is passed over without being kept.
    pub fn skim(&mut self) -> Result<Option<SkimmedEvent>, ReadError> {
        let Some((_, header)) = self.read_header()? else {
            return Ok(None);
        };
        let size = header.data_size as usize;
        let mut found = 0;
        while found < size {
            let stop = match self.inner.fill_buf() {
                Ok([]) => Stop::End,
                Ok(bytes) => {
                    let step = bytes.len().min(size - found);
                    self.inner.consume(step);
                    found += step;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Stop::Failed(error),
            };
            return Err(self.cut(stop, size, found));
        }
        Ok(Some(SkimmedEvent {
            header,
            offset: self.pass(size),
        }))
    }

    /// Goes beyond an event of `size` bytes of payload; gives where it began.
    fn pass(&mut self, size: usize) -> u64 {
        let begin = self.offset;
        self.ordinal += 1;
        self.offset += (HEADER_BYTES + size) as u64;
        begin
    }

    fn read_header(&mut self) -> Result<Option<(ByteOrder, EventHeader)>, ReadError> {
        if self.ended {
            return Ok(None);
        }
        let mut bytes = [0; HEADER_BYTES];
        match fill(&mut self.inner, &mut bytes) {
            (_, None) => {}
            (0, Some(Stop::End)) => {
                self.ended = true;
                return Ok(None);
            }
            (found, Some(stop)) => {
                return Err(self.stopped(stop, HEADER_BYTES as u64, found as u64));
            }
        }
        let order = *self
            .byte_order
            .get_or_insert_with(|| detect_order(&bytes, self.limit));
        let header = EventHeader::from_bytes(order, &bytes);
        if header.data_size > self.limit {
            self.ended = true;
            return Err(ReadError::TooLarge {
                offset: self.offset,
                data_size: header.data_size,
                limit: self.limit,
            });
        }
        Ok(Some((order, header)))
    }

    /// The error of a payload of `size` bytes of which `found` came.
    fn cut(&mut self, stop: Stop, size: usize, found: usize) -> ReadError {
        let whole = |bytes: usize| (HEADER_BYTES + bytes) as u64;
        self.stopped(stop, whole(size), whole(found))
    }

    fn stopped(&mut self, stop: Stop, expected: u64, found: u64) -> ReadError {
        self.ended = true;
        let offset = self.offset;
        let source = match stop {
            Stop::End => {
                return ReadError::Truncated {
                    offset,
                    expected,
                    found,
                };
            }
            Stop::Failed(source) => source,
        };
        match source.kind() {
            // A decoder whose input ends early.
            io::ErrorKind::UnexpectedEof => ReadError::Truncated {
                offset,
                expected,
                found,
            },
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => ReadError::Corrupt {
                offset: offset + found,
                source,
            },
            _ => ReadError::Io {
                offset: offset + found,
                source,
            },
        }
    }
}

/// Why fewer bytes came than were wanted.
enum Stop {
    End,
    Failed(io::Error),
}

/// Fills `bytes` as far as the stream goes.
fn fill(inner: &mut impl Read, bytes: &mut [u8]) -> (usize, Option<Stop>) {
    let mut found = 0;
    while found < bytes.len() {
        match inner.read(&mut bytes[found..]) {
            Ok(0) => return (found, Some(Stop::End)),
            Ok(count) => found += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (found, Some(Stop::Failed(error))),
        }
    }
    (found, None)
}

fn detect_order(header: &[u8; HEADER_BYTES], limit: u32) -> ByteOrder {
    let size = |order| EventHeader::from_bytes(order, header).data_size;
    let big = match header[..2] {
        [0x80, 0x00] => true,
        [0x00, 0x80] => false,
        _ => size(ByteOrder::Little) > limit && size(ByteOrder::Big) <= limit,
    };
    if big {
        ByteOrder::Big
    } else {
        ByteOrder::Little
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(matches!(error, ReadError::Truncated { found: 16, .. }));
        assert!(reader.payload.capacity() <= 2 * GROWTH);
        assert!(reader.read_event().unwrap().is_none(), "ends after damage");
    }

    #[test]
    fn a_failing_disk_is_no_damage() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::from(io::ErrorKind::StaleNetworkFileHandle))
            }
        }
        let mut reader = Reader::new(Broken);
        let error = reader.read_event().unwrap_err();
        assert!(!error.is_damage(), "{error}");
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
