//! Where events begin and end: the one rule that the reader and the splitter share.
//!
//! Nothing marks an event, so a header is believed on evidence: the payload is built as
//! its size says, or another event follows where it ends. What has no evidence is
//! damage, up to the next place that carries the marks of an event. Works on a window
//! of bytes that others fill; keeps no bytes, and each step makes progress.

use crate::bank::{BankFormat, Banks};
use crate::damage::{Damage, DamageKind};
use crate::event::{ByteOrder, EventHeader, EventKind, HEADER_BYTES, SYSTEM_MASK};
use crate::scalar::Scalar;

/// Header of an event, of its list, and of the largest first bank: all that is looked at
/// to tell an event by its marks.
const MARK_BYTES: usize = HEADER_BYTES + 8 + 16;

/// Banks that are looked at to believe a list. So many in a row are no accident.
const BANKS_LOOKED_AT: usize = 64;

/// Events without marks that follow each other are at most so many seconds apart.
const NEIGHBOUR_SECS: u32 = 86_400;

/// Message types are bits below this (`MT_…` of `midas.h`).
const MESSAGE_TYPES: u16 = 0x80;

/// What to do with the window.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Come again with at least so many bytes, or say that the file has ended. Never
    /// after that was said.
    Need(usize),
    /// So many bytes at the front belong to a damage; drop them.
    Skip(usize),
    /// A damage is complete. Nothing to drop: its bytes were skipped.
    Damage(Damage),
    /// An event of `length` bytes is at the front; drop it.
    Event {
        header: EventHeader,
        byte_order: ByteOrder,
        /// Where it begins in the file.
        offset: u64,
        length: usize,
    },
    /// Nothing is left.
    End,
}

/// Walks through one file.
#[derive(Debug)]
pub(crate) struct Framer {
    pub(crate) limit: u32,
    /// Whether an event with a sound payload must also be followed by another, or else
    /// hold none. It finds events that swallow others, and costs that an event is only
    /// given out when the next one begins.
    look_ahead: bool,
    byte_order: Option<ByteOrder>,
    /// Position of the window's front in the file.
    offset: u64,
    lost: Option<Lost>,
}

/// Between a place that should be an event and is not, and the next event.
#[derive(Debug)]
struct Lost {
    begin: u64,
    kind: DamageKind,
}

/// The front of the window, looked at as an event.
enum Front {
    Need(usize),
    Event(EventHeader, ByteOrder, usize),
    NoEvent(DamageKind),
}

impl Framer {
    pub(crate) fn new(limit: u32, look_ahead: bool) -> Self {
        Self {
            limit,
            look_ahead,
            byte_order: None,
            offset: 0,
            lost: None,
        }
    }

    /// The order of bytes, once an event has been found.
    pub(crate) fn byte_order(&self) -> Option<ByteOrder> {
        self.byte_order
    }

    /// Bytes of the file before the window.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Looks at a window that begins where the last step left it.
    pub(crate) fn step(&mut self, window: &[u8], ended: bool) -> Step {
        if let Some(lost) = self.lost.take() {
            return self.search(lost, window, ended);
        }
        if window.is_empty() {
            return if ended {
                Step::End
            } else {
                Step::Need(HEADER_BYTES)
            };
        }
        match self.front(window, ended) {
            Front::Need(bytes) => Step::Need(bytes),
            Front::Event(header, byte_order, length) => {
                self.byte_order = Some(byte_order);
                let offset = self.offset;
                self.offset += length as u64;
                Step::Event {
                    header,
                    byte_order,
                    offset,
                    length,
                }
            }
            Front::NoEvent(kind) => {
                let begin = self.offset;
                self.search(Lost { begin, kind }, window, ended)
            }
        }
    }

    /// Looks for the marks of an event behind the place where one should be.
    fn search(&mut self, lost: Lost, window: &[u8], ended: bool) -> Step {
        // The place itself was refused: without this, nothing would move.
        let first = usize::from(self.offset == lost.begin);
        let reach = if ended {
            window.len()
        } else {
            (window.len() + 1).saturating_sub(MARK_BYTES)
        };
        let found = (first..reach).find(|at| self.has_marks(&window[*at..]));
        let skipped = found.unwrap_or(reach).max(first.min(reach));
        if skipped > 0 {
            self.offset += skipped as u64;
            self.lost = Some(lost);
            return Step::Skip(skipped);
        }
        if found.is_none() && !ended {
            self.lost = Some(lost);
            return Step::Need(first + MARK_BYTES);
        }
        let kind = match lost.kind {
            // What follows shows that the file goes on.
            DamageKind::Truncated { .. } if found.is_some() => DamageKind::NoEvent,
            kind => kind,
        };
        Step::Damage(Damage {
            kind,
            offset: lost.begin,
            length: self.offset - lost.begin,
            compressed_offset: None,
        })
    }

    fn front(&self, window: &[u8], ended: bool) -> Front {
        let want = |bytes: usize| (window.len() < bytes && !ended).then_some(Front::Need(bytes));
        if let Some(need) = want(HEADER_BYTES) {
            return need;
        }
        let Some(bytes) = window.first_chunk() else {
            let expected = HEADER_BYTES as u64;
            return Front::NoEvent(DamageKind::Truncated { expected });
        };
        if *bytes == [0; HEADER_BYTES] {
            return Front::NoEvent(DamageKind::Blank);
        }
        let order = match self.byte_order.or_else(|| order_of_boundary(bytes)) {
            Some(order) => order,
            None => match want(MARK_BYTES) {
                Some(need) => return need,
                None => self.detect_order(window, bytes),
            },
        };
        let header = EventHeader::from_bytes(order, bytes);
        let (data_size, limit) = (header.data_size, self.limit);
        if data_size > limit {
            return Front::NoEvent(DamageKind::TooLarge { data_size, limit });
        }
        let length = HEADER_BYTES + data_size as usize;
        if let Some(need) = want(length) {
            return need;
        }
        let Some((event, rest)) = window.split_at_checked(length) else {
            let expected = length as u64;
            return Front::NoEvent(DamageKind::Truncated { expected });
        };
        let sound = || is_sound(&header, &event[HEADER_BYTES..], order);
        if !self.look_ahead && sound() {
            return Front::Event(header, order, length);
        }
        if let Some(need) = want(length + MARK_BYTES) {
            return need;
        }
        let marked = |bytes: &[u8]| has_marks(order, bytes, limit);
        let accepted = rest.is_empty()
            || marked(rest)
            || (sound() || self.follows(&header, order, rest))
                // An event that was cut has swallowed those that come after it.
                && !(1..length).any(|at| marked(&window[at..]));
        if accepted {
            Front::Event(header, order, length)
        } else {
            Front::NoEvent(DamageKind::NoEvent)
        }
    }

    /// Whether `rest` may be what comes after the event of `header`: another one without
    /// marks, or one that is cut.
    fn follows(&self, header: &EventHeader, order: ByteOrder, rest: &[u8]) -> bool {
        let Some(bytes) = rest.first_chunk::<HEADER_BYTES>() else {
            return true;
        };
        let next = EventHeader::from_bytes(order, bytes);
        if *bytes == [0; HEADER_BYTES] || next.data_size > self.limit {
            return false;
        }
        let near = next.time_stamp.abs_diff(header.time_stamp) <= NEIGHBOUR_SECS;
        match next.kind() {
            EventKind::BeginOfRun | EventKind::EndOfRun => next.trigger_mask == SYSTEM_MASK,
            EventKind::Message => near && next.trigger_mask < MESSAGE_TYPES,
            EventKind::Fragment | EventKind::Data => near,
        }
    }

    fn has_marks(&self, bytes: &[u8]) -> bool {
        match self.byte_order {
            Some(order) => has_marks(order, bytes, self.limit),
            None => [ByteOrder::Little, ByteOrder::Big]
                .into_iter()
                .any(|order| has_marks(order, bytes, self.limit)),
        }
    }

    /// Tells the order of bytes by a first event that is no begin of run. A list of banks
    /// looks different in each; other events are little endian unless only big endian
    /// gives them a size within the limit.
    fn detect_order(&self, window: &[u8], header: &[u8; HEADER_BYTES]) -> ByteOrder {
        let size = |order| EventHeader::from_bytes(order, header).data_size;
        let marked = |order| has_marks(order, window, self.limit);
        let only_big =
            || size(ByteOrder::Little) > self.limit && size(ByteOrder::Big) <= self.limit;
        if !marked(ByteOrder::Little) && (marked(ByteOrder::Big) || only_big()) {
            ByteOrder::Big
        } else {
            ByteOrder::Little
        }
    }
}

/// The order of bytes that a begin or end of run tells.
fn order_of_boundary(header: &[u8; HEADER_BYTES]) -> Option<ByteOrder> {
    match header[..4] {
        [0x00 | 0x01, 0x80, b'M', b'I'] | [0x80, 0x00 | 0x01, b'I', b'M'] => {}
        _ => return None,
    }
    Some(if header[0] == 0x80 {
        ByteOrder::Big
    } else {
        ByteOrder::Little
    })
}

/// Whether the payload is built as an event of its kind and size is.
fn is_sound(header: &EventHeader, payload: &[u8], order: ByteOrder) -> bool {
    match header.kind() {
        EventKind::BeginOfRun | EventKind::EndOfRun => header.trigger_mask == SYSTEM_MASK,
        EventKind::Message | EventKind::Fragment => false,
        EventKind::Data => {
            !payload.is_empty() && {
                Banks::new(payload, order).is_ok_and(|mut banks| {
                    banks.slack().is_empty()
                        && banks.by_ref().take(BANKS_LOOKED_AT).all(|b| b.is_ok())
                })
            }
        }
    }
}

/// Whether `bytes` begin with what hardly anything but an event begins with: a begin or
/// end of run with MIDAS's magic number and a dump, or a list of banks of the event's
/// size whose first bank fits.
fn has_marks(order: ByteOrder, bytes: &[u8], limit: u32) -> bool {
    let Some(head) = bytes.first_chunk::<HEADER_BYTES>() else {
        return false;
    };
    let header = EventHeader::from_bytes(order, head);
    if header.data_size > limit {
        return false;
    }
    let payload = &bytes[HEADER_BYTES..];
    match header.kind() {
        EventKind::BeginOfRun | EventKind::EndOfRun => {
            header.trigger_mask == SYSTEM_MASK
                && (header.data_size == 0
                    || matches!(payload.first(), None | Some(b'{' | b'<' | b'[' | b'\0')))
        }
        EventKind::Message | EventKind::Fragment => false,
        EventKind::Data => begins_list(order, payload, header.data_size),
    }
}

fn begins_list(order: ByteOrder, payload: &[u8], data_size: u32) -> bool {
    let Some(list) = payload.first_chunk::<8>() else {
        return false;
    };
    let declared = u32::read(order, &list[0..4]);
    let Some(format) = BankFormat::from_flags(u32::read(order, &list[4..8])) else {
        return false;
    };
    if data_size.checked_sub(8) != Some(declared) {
        return false;
    }
    let header_bytes = format.header_bytes();
    let Some(bank) = payload.get(8..8 + header_bytes) else {
        return declared == 0 || declared as usize >= header_bytes;
    };
    let size = match format {
        BankFormat::Bank16 => u32::from(u16::read(order, &bank[6..8])),
        BankFormat::Bank32 | BankFormat::Bank32A => u32::read(order, &bank[8..12]),
    };
    declared == 0 || u64::from(size) + header_bytes as u64 <= u64::from(declared)
}
