//! Which events go into which live object. Pure, on an injected clock.
//!
//! The same events of a run are chosen whoever chooses, evenly spread. Beyond the budget
//! events are dropped, so that a run of any rate costs no more than was allowed.

use std::time::{Duration, Instant};

use aquifer_midas::{ByteOrder, Event, EventKind, HEADER_BYTES};
use aquifer_schemas::TakenEvent;

use super::config::TapConfig;

/// Most events of an object: its message lists each of them.
const MOST_EVENTS: usize = 10_000;

/// Events that share an object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Block {
    /// Where each lies in its file.
    pub events: Vec<TakenEvent>,
    /// The events, end to end.
    pub bytes: Vec<u8>,
}

/// What became of an event that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It goes into the next object.
    Taken,
    /// It is none of those that are asked for.
    Passed,
    /// There was no budget for it.
    Dropped,
}

/// Gathers the events of one file.
#[derive(Debug)]
pub(crate) struct Collector {
    fraction: f64,
    event_ids: Vec<u16>,
    largest: usize,
    delay: Duration,
    budget: Budget,
    block: Option<(Instant, Block)>,
}

/// Bytes that may be copied: a second's worth at a time, or one object.
#[derive(Debug)]
struct Budget {
    per_sec: f64,
    most: f64,
    left: f64,
    since: Instant,
}

impl Collector {
    /// Gathers as configured, from `now` on.
    pub(crate) fn new(config: &TapConfig, now: Instant) -> Self {
        let per_sec = config.most_mib_per_sec * f64::from(1 << 20);
        let largest = (config.object_mib << 20) as usize;
        let most = per_sec.max(largest as f64);
        Self {
            fraction: config.fraction,
            event_ids: config.event_ids.clone(),
            largest,
            delay: Duration::from_millis(config.delay_ms),
            budget: Budget {
                per_sec,
                most,
                left: if per_sec > 0.0 { most } else { 0.0 },
                since: now,
            },
            block: None,
        }
    }

    /// Takes an event if it is asked for and there is budget. Gives the block that is
    /// complete without it.
    pub(crate) fn offer(&mut self, event: &Event<'_>, now: Instant) -> (Fate, Option<Block>) {
        let asked = self.event_ids.is_empty() || self.event_ids.contains(&event.header.id);
        let listed = matches!(event.kind(), EventKind::Data | EventKind::Fragment);
        if !listed || !asked || !is_chosen(event.ordinal, self.fraction) {
            return (Fate::Passed, None);
        }
        let length = event.length() as usize;
        if length > self.largest || !self.budget.spend(length as f64, now) {
            return (Fate::Dropped, None);
        }
        let full = self.block.as_ref().is_some_and(|(_, block)| {
            block.bytes.len() + length > self.largest || block.events.len() >= MOST_EVENTS
        });
        let complete = if full { self.take() } else { None };
        let (_, block) = self.block.get_or_insert_with(|| (now, Block::empty()));
        block.add(event);
        (Fate::Taken, complete)
    }

    /// The block whose first event has waited long enough.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Block> {
        let (since, _) = self.block.as_ref()?;
        (now.duration_since(*since) >= self.delay)
            .then(|| self.take())
            .flatten()
    }

    /// What is left.
    pub(crate) fn take(&mut self) -> Option<Block> {
        self.block.take().map(|(_, block)| block)
    }
}

impl Block {
    fn empty() -> Self {
        Self {
            events: Vec::new(),
            bytes: Vec::new(),
        }
    }

    fn add(&mut self, event: &Event<'_>) {
        self.events.push(TakenEvent {
            ordinal: event.ordinal,
            offset: event.offset,
            length: event.length(),
            id: event.header.id.into(),
            serial: event.header.serial_number.into(),
        });
        self.bytes.extend_from_slice(&header_bytes(event));
        self.bytes.extend_from_slice(event.payload);
    }
}

impl Budget {
    fn spend(&mut self, bytes: f64, now: Instant) -> bool {
        let earned = now.duration_since(self.since).as_secs_f64() * self.per_sec;
        self.left = (self.left + earned).min(self.most);
        self.since = now;
        let enough = bytes <= self.left;
        if enough {
            self.left -= bytes;
        }
        enough
    }
}

/// Whether an event belongs to a part of all events: of any number in a row as many as
/// the part says, give or take one.
fn is_chosen(ordinal: u64, fraction: f64) -> bool {
    let before = (ordinal as f64 * fraction).floor();
    ((ordinal + 1) as f64 * fraction).floor() > before
}

/// The header as it lies in the file.
fn header_bytes(event: &Event<'_>) -> [u8; HEADER_BYTES] {
    let header = event.header;
    let mut bytes = header.to_le_bytes();
    if event.byte_order == ByteOrder::Big {
        for (at, width) in [(0, 2), (2, 2), (4, 4), (8, 4), (12, 4)] {
            bytes[at..at + width].reverse();
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use aquifer_midas::EventHeader;
    use proptest::prelude::*;

    use super::*;

    fn config() -> TapConfig {
        TapConfig {
            most_mib_per_sec: 1024.0,
            object_mib: 1,
            ..TapConfig::default()
        }
    }

    fn event(id: u16, ordinal: u64, payload: &[u8]) -> Event<'_> {
        Event {
            header: EventHeader {
                id,
                trigger_mask: 1,
                serial_number: 7,
                time_stamp: 0,
                data_size: payload.len() as u32,
            },
            ordinal,
            offset: ordinal * 1000,
            payload,
            byte_order: ByteOrder::Little,
        }
    }

    #[test]
    fn a_block_is_events_end_to_end_as_they_lie_in_the_file() {
        let now = Instant::now();
        let mut collector = Collector::new(&config(), now);
        let (first, second) = (event(1, 3, b"12345678"), event(1, 4, b""));
        assert_eq!(collector.offer(&first, now), (Fate::Taken, None));
        assert_eq!(collector.offer(&second, now), (Fate::Taken, None));
        assert_eq!(collector.due(now), None);
        let block = collector.due(now + Duration::from_secs(1)).unwrap();
        let header = first.header.to_le_bytes();
        let second = second.header.to_le_bytes();
        assert_eq!(block.bytes, [&header[..], b"12345678", &second].concat());
        assert_eq!(block.events[0].length, 24);
        assert_eq!((block.events[1].ordinal, block.events[1].offset), (4, 4000));
        assert_eq!(collector.take(), None);
    }

    #[test]
    fn a_big_endian_header_stays_big_endian() {
        let mut event = event(1, 0, b"");
        event.byte_order = ByteOrder::Big;
        let bytes = header_bytes(&event);
        assert_eq!(&bytes[..8], [0, 1, 0, 1, 0, 0, 0, 7]);
        assert_eq!(
            EventHeader::from_bytes(ByteOrder::Big, &bytes),
            event.header
        );
    }

    #[test]
    fn only_what_is_asked_for_is_taken() {
        let now = Instant::now();
        let mut collector = Collector::new(
            &TapConfig {
                event_ids: vec![1],
                ..config()
            },
            now,
        );
        assert_eq!(collector.offer(&event(5, 0, b""), now).0, Fate::Passed);
        assert_eq!(collector.offer(&event(0x8000, 0, b""), now).0, Fate::Passed);
        assert_eq!(collector.offer(&event(1, 0, b""), now).0, Fate::Taken);
    }

    #[test]
    fn a_full_object_goes_before_the_event_that_does_not_fit() {
        let now = Instant::now();
        let mut collector = Collector::new(&config(), now);
        let payload = vec![0; 600 << 10];
        assert!(collector.offer(&event(1, 0, &payload), now).1.is_none());
        let (fate, block) = collector.offer(&event(1, 1, &payload), now);
        assert_eq!((fate, block.unwrap().events.len()), (Fate::Taken, 1));
        let larger = vec![0; 1 << 20];
        assert_eq!(collector.offer(&event(1, 2, &larger), now).0, Fate::Dropped);
    }

    proptest! {
        #[test]
        fn no_more_is_taken_than_the_budget_allows(
            gaps_ms in proptest::collection::vec(0u64..20, 1..200),
        ) {
            let mut now = Instant::now();
            let begin = now;
            let config = TapConfig { most_mib_per_sec: 2.0, ..config() };
            let mut collector = Collector::new(&config, now);
            let payload = vec![0; 100 << 10];
            let mut taken = 0.0;
            for (ordinal, gap) in gaps_ms.into_iter().enumerate() {
                now += Duration::from_millis(gap);
                let event = event(1, ordinal as u64, &payload);
                if collector.offer(&event, now).0 == Fate::Taken {
                    taken += event.length() as f64;
                }
                let allowed = f64::from(2 << 20) * (1.0 + (now - begin).as_secs_f64());
                prop_assert!(taken <= allowed + 1.0);
            }
        }

        #[test]
        fn a_fraction_is_spread_evenly(fraction in 0.0f64..=1.0, begin in 0u64..1_000_000) {
            let chosen = (begin..begin + 1000).filter(|&n| is_chosen(n, fraction)).count();
            prop_assert!((chosen as f64 - 1000.0 * fraction).abs() <= 1.01);
        }
    }
}
