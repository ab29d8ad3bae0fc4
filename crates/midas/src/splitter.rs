//! Events out of pieces of a file that is still growing.
//!
//! Fed with a plain file's bytes in pieces of any size, it gives out each event as soon
//! as its last byte has come. Events that lie within one piece are not copied; of others
//! only the beginning is kept. How the file is cut into pieces makes no difference.

use crate::damage::Damage;
use crate::event::{ByteOrder, Event, HEADER_BYTES};
use crate::framer::{Framer, Step};
use crate::reader::DEFAULT_EVENT_LIMIT;

/// Taken at once to complete an event that lies across pieces: more than is needed for
/// a header, so that a damage is not searched byte by byte.
const TOP_UP: usize = 4 << 10;

/// What a [`Splitter`] finds.
#[derive(Debug)]
pub enum SplitEvent<'a> {
    /// A whole event.
    Whole(Event<'a>),
    /// Bytes that belong to no event.
    Damage(Damage),
}

/// Cuts a growing file into its events.
///
/// An event whose payload proves it (begin and end of run, a list of banks) is given out
/// at once. Any other, such as a message or a fragment, is given out when the header of
/// the next event has come, for nothing else tells it from garbage; [`Self::finish`]
/// gives out the last one.
#[derive(Debug)]
pub struct Splitter {
    framer: Framer,
    ordinal: u64,
    /// The beginning of an event that is not whole yet.
    carry: Vec<u8>,
    /// How many bytes `carry` needs before it is worth looking again.
    wanted: usize,
}

impl Default for Splitter {
    fn default() -> Self {
        Self::new()
    }
}

impl Splitter {
    /// A splitter at the start of a file.
    pub fn new() -> Self {
        Self::with_event_limit(DEFAULT_EVENT_LIMIT)
    }

    /// Takes payloads of at most `bytes`; a larger claim is damage.
    pub fn with_event_limit(bytes: u32) -> Self {
        Self {
            framer: Framer::new(bytes, false),
            ordinal: 0,
            carry: Vec::new(),
            wanted: HEADER_BYTES,
        }
    }

    /// Where the next piece must begin: bytes fed so far.
    pub fn fed(&self) -> u64 {
        self.framer.offset() + self.carry.len() as u64
    }

    /// Bytes of the file that have been given out, as events or as damage, or that are
    /// known to belong to a damage.
    pub fn settled(&self) -> u64 {
        self.framer.offset()
    }

    /// Events given out so far: the ordinal of the next one.
    pub fn events(&self) -> u64 {
        self.ordinal
    }

    /// The order of bytes, once an event has been found.
    pub fn byte_order(&self) -> Option<ByteOrder> {
        self.framer.byte_order()
    }

    /// Takes the next bytes of the file and gives out what they complete, in order.
    pub fn feed(&mut self, chunk: &[u8], mut on_event: impl FnMut(SplitEvent<'_>)) {
        let mut taken = 0;
        while !self.carry.is_empty() {
            let missing = self.wanted.saturating_sub(self.carry.len());
            let step = missing.max(TOP_UP).min(chunk.len() - taken);
            self.carry.extend_from_slice(&chunk[taken..taken + step]);
            taken += step;
            if self.carry.len() < self.wanted {
                return;
            }
            let carry = std::mem::take(&mut self.carry);
            let used = self.split(&carry, false, &mut on_event);
            self.carry = carry;
            let left = self.carry.len() - used;
            if left <= taken {
                // All that is left came with this piece: go on in the piece itself.
                taken -= left;
                self.carry.clear();
            } else {
                self.carry.drain(..used);
                if taken == chunk.len() {
                    return;
                }
            }
        }
        let rest = &chunk[taken..];
        let used = self.split(rest, false, &mut on_event);
        self.carry.extend_from_slice(&rest[used..]);
    }

    /// The file has ended: gives out what is left.
    pub fn finish(mut self, mut on_event: impl FnMut(SplitEvent<'_>)) {
        let carry = std::mem::take(&mut self.carry);
        self.split(&carry, true, &mut on_event);
    }

    /// Gives out what is in `window`; returns how many of its bytes are done with.
    fn split(
        &mut self,
        window: &[u8],
        ended: bool,
        on_event: &mut impl FnMut(SplitEvent<'_>),
    ) -> usize {
        let mut used = 0;
        loop {
            match self.framer.step(&window[used..], ended) {
                Step::End => return used,
                Step::Need(bytes) => {
                    self.wanted = bytes;
                    return used;
                }
                Step::Skip(bytes) => used += bytes,
                Step::Damage(damage) => on_event(SplitEvent::Damage(damage)),
                Step::Event {
                    header,
                    byte_order,
                    offset,
                    length,
                } => {
                    let event = &window[used..used + length];
                    on_event(SplitEvent::Whole(Event {
                        header,
                        ordinal: self.ordinal,
                        offset,
                        payload: &event[HEADER_BYTES..],
                        byte_order,
                    }));
                    self.ordinal += 1;
                    used += length;
                }
            }
        }
    }
}
