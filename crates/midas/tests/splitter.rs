//! The splitter gives out the same whatever the pieces are.

#![allow(clippy::unwrap_used, reason = "helpers of tests stop at once")]

use aquifer_midas::{
    BankFormat, BankName, Damage, DamageKind, EventBuilder, SplitEvent, Splitter, Writer,
};
use proptest::prelude::*;

/// What came out: an event with its bytes, or a damage.
#[derive(Debug, Clone, PartialEq)]
enum Out {
    Event {
        ordinal: u64,
        offset: u64,
        length: u64,
        id: u16,
        payload: Vec<u8>,
    },
    Damage(Damage),
}

fn out(found: SplitEvent<'_>) -> Out {
    match found {
        SplitEvent::Damage(damage) => Out::Damage(damage),
        SplitEvent::Whole(event) => Out::Event {
            ordinal: event.ordinal,
            offset: event.offset,
            length: event.length(),
            id: event.header.id,
            payload: event.payload.to_vec(),
        },
    }
}

fn split<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Out> {
    let mut splitter = Splitter::with_event_limit(1 << 20);
    let mut all = Vec::new();
    for piece in pieces {
        splitter.feed(piece, |found| all.push(out(found)));
    }
    splitter.finish(|found| all.push(out(found)));
    all
}

#[derive(Debug, Clone)]
enum Part {
    Banked(Vec<u8>),
    Message,
    Fragment(Vec<u8>),
    Garbage(Vec<u8>),
}

fn parts() -> impl Strategy<Value = Vec<Part>> {
    let bytes = |most| proptest::collection::vec(any::<u8>(), 0..most);
    let part = prop_oneof![
        4 => bytes(300).prop_map(Part::Banked),
        1 => Just(Part::Message),
        1 => bytes(100).prop_map(Part::Fragment),
        1 => bytes(6000).prop_map(Part::Garbage),
    ];
    proptest::collection::vec(part, 0..12)
}

fn file(parts: &[Part]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    writer.begin_of_run(7, 100, b"{}").unwrap();
    for part in parts {
        match part {
            Part::Banked(data) => {
                let mut event = EventBuilder::new(1, BankFormat::Bank32);
                event.begin(0, 100);
                event.values(BankName(*b"DATA"), data).unwrap();
                writer.event(&event).unwrap();
            }
            Part::Message => writer.raw(0x8002, 2, 0, 100, b"hello\0").unwrap(),
            Part::Fragment(data) => writer.raw(0xc001, 0, 0, 100, data).unwrap(),
            Part::Garbage(data) => {
                let mut bytes = writer.into_inner();
                bytes.extend_from_slice(data);
                writer = Writer::new(bytes);
            }
        }
    }
    writer.end_of_run(7, 101, b"{}").unwrap();
    writer.into_inner()
}

proptest! {
    #[test]
    fn pieces_make_no_difference(
        parts in parts(),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..40),
        end in any::<proptest::sample::Index>(),
    ) {
        let bytes = file(&parts);
        let bytes = &bytes[..end.index(bytes.len() + 1)];
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let whole = split([bytes]);
        let pieces = split(cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]));
        prop_assert_eq!(&pieces, &whole);
        prop_assert_eq!(&split(bytes.chunks(1)), &whole);
        // Events and damages cover the file, without holes and overlaps.
        let mut at = 0;
        let mut events = 0;
        for found in &whole {
            let (offset, length) = match found {
                Out::Event { ordinal, offset, length, payload, .. } => {
                    prop_assert_eq!(*ordinal, events);
                    events += 1;
                    let begin = *offset as usize + 16;
                    prop_assert_eq!(&bytes[begin..begin + payload.len()], &payload[..]);
                    (*offset, *length)
                }
                Out::Damage(damage) => (damage.offset, damage.length),
            };
            prop_assert_eq!(offset, at);
            at += length;
        }
        prop_assert_eq!(at, bytes.len() as u64);
    }

    #[test]
    fn a_file_without_garbage_has_no_damage(parts in parts()) {
        let parts: Vec<_> = parts
            .into_iter()
            .filter(|part| !matches!(part, Part::Garbage(_)))
            .collect();
        let found = split([&file(&parts)[..]]);
        prop_assert_eq!(found.len(), parts.len() + 2);
        let whole = found.iter().all(|found| matches!(found, Out::Event { .. }));
        prop_assert!(whole, "{:?}", found);
    }
}

#[test]
fn an_event_with_banks_is_given_out_with_its_last_byte() {
    let bytes = file(&[Part::Banked(vec![1; 100])]);
    let end = bytes.len() - 18;
    let mut splitter = Splitter::new();
    let mut seen = 0;
    splitter.feed(&bytes[..end - 1], |_| seen += 1);
    assert_eq!((seen, splitter.settled()), (1, 18));
    assert_eq!(splitter.fed(), end as u64 - 1);
    splitter.feed(&bytes[end - 1..end], |_| seen += 1);
    assert_eq!((seen, splitter.settled()), (2, end as u64));
    assert_eq!(splitter.events(), 2);
}

#[test]
fn garbage_is_passed_over_to_the_next_event() {
    let garbage: Vec<u8> = (0..9999_u32).map(|i| ((i * i) >> 3) as u8 | 0x40).collect();
    let parts = [
        Part::Banked(vec![1; 50]),
        Part::Garbage(garbage),
        Part::Banked(vec![2; 50]),
    ];
    let found = split(file(&parts).chunks(100));
    let kinds: Vec<_> = found
        .iter()
        .map(|found| match found {
            Out::Event { id, .. } => format!("event {id:#x}"),
            Out::Damage(damage) => format!("{damage}"),
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "event 0x8000",
            "event 0x1",
            "damage at byte 110, 9999 bytes: no event: it would have 1549292882 bytes, more than the limit of 1048576",
            "event 0x1",
            "event 0x8001"
        ]
    );
}

#[test]
fn a_claim_costs_no_memory_and_zeros_are_named() {
    let mut writer = Writer::new(Vec::new());
    writer.begin_of_run(7, 100, b"{}").unwrap();
    let mut bytes = writer.into_inner();
    bytes.resize(bytes.len() + 5000, 0);
    let found = split([&bytes[..]]);
    let Some(Out::Damage(damage)) = found.last() else {
        panic!("{found:?}")
    };
    assert_eq!(damage.kind, DamageKind::Blank);
    assert_eq!((damage.offset, damage.length), (18, 5000));
}
