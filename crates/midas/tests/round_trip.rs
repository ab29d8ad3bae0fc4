//! What the writer writes the reader reads, whole, cut, damaged or compressed.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests, not only tests, stop at once"
)]

use std::io::{Read, Write};

use aquifer_midas::{
    BankError, BankFormat, BankName, Damage, DamageKind, Encoder, Encoding, EventBuilder,
    EventKind, Reader, Tid, Writer, decode,
};
use proptest::prelude::*;

#[derive(Debug, Clone, PartialEq)]
struct PlainBank {
    name: [u8; 4],
    tid: u32,
    data: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq)]
struct PlainEvent {
    id: u16,
    serial: u32,
    time: u32,
    format: BankFormat,
    banks: Vec<PlainBank>,
}

fn a_bank() -> impl Strategy<Value = PlainBank> {
    let data = proptest::collection::vec(any::<u8>(), 0..40);
    (any::<[u8; 4]>(), any::<u16>(), data).prop_map(|(name, tid, data)| PlainBank {
        name,
        tid: u32::from(tid),
        data,
    })
}

fn an_event() -> impl Strategy<Value = PlainEvent> {
    let format = prop_oneof![
        Just(BankFormat::Bank16),
        Just(BankFormat::Bank32),
        Just(BankFormat::Bank32A)
    ];
    let banks = proptest::collection::vec(a_bank(), 0..5);
    (0_u16..0x4000, any::<u32>(), any::<u32>(), format, banks).prop_map(
        |(id, serial, time, format, banks)| PlainEvent {
            id,
            serial,
            time,
            format,
            banks,
        },
    )
}

/// A run file and where each of its events ends.
fn write(run: u32, odb: &[u8], events: &[PlainEvent]) -> (Vec<u8>, Vec<u64>) {
    let mut writer = Writer::new(Vec::new());
    let mut ends = Vec::new();
    writer.begin_of_run(run, 1, odb).unwrap();
    ends.push(writer.offset());
    for event in events {
        let mut builder = EventBuilder::new(event.id, event.format);
        builder.begin(event.serial, event.time);
        for bank in &event.banks {
            builder
                .bank(BankName(bank.name), Tid(bank.tid), &bank.data)
                .unwrap();
        }
        writer.event(&builder).unwrap();
        ends.push(writer.offset());
    }
    writer.end_of_run(run, 2, odb).unwrap();
    ends.push(writer.offset());
    (writer.into_inner(), ends)
}

/// Every whole event, and every damage.
fn read(bytes: impl Read) -> (Vec<(EventKind, PlainEvent)>, Vec<Damage>) {
    let mut reader = Reader::new(bytes);
    let mut events = Vec::new();
    let mut damages = Vec::new();
    loop {
        let event = match reader.read_event() {
            Ok(None) => return (events, damages),
            Ok(Some(event)) => event,
            Err(error) => {
                damages.push(error.damage().unwrap().clone());
                continue;
            }
        };
        let mut format = BankFormat::Bank16;
        let mut banks = Vec::new();
        if event.kind() == EventKind::Data {
            let all = event.banks().unwrap();
            format = all.format();
            assert!(all.slack().is_empty());
            banks.extend(all.map(|bank| {
                let bank = bank.unwrap();
                PlainBank {
                    name: bank.name.0,
                    tid: bank.tid.0,
                    data: bank.data.to_vec(),
                }
            }));
        }
        let header = event.header;
        let plain = PlainEvent {
            id: header.id,
            serial: header.serial_number,
            time: header.time_stamp,
            format,
            banks,
        };
        assert_eq!(event.ordinal, events.len() as u64);
        events.push((event.kind(), plain));
    }
}

/// Gives its bytes in pieces of at most `step`, as pipes and networks do.
struct Dribble<'a> {
    bytes: &'a [u8],
    step: usize,
}

impl Read for Dribble<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.step.min(buffer.len());
        self.bytes.read(&mut buffer[..count])
    }
}

/// Each member, frame or stream on its own, one after the other.
fn encode(encoding: Encoding, members: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for member in members {
        let mut encoder = Encoder::new(out, encoding).unwrap();
        encoder.write_all(member).unwrap();
        out = encoder.finish().unwrap();
    }
    out
}

const ENCODINGS: [Encoding; 5] = [
    Encoding::Identity,
    Encoding::Gzip,
    Encoding::Bzip2,
    Encoding::Lz4,
    Encoding::Zstd,
];

fn an_encoding() -> impl Strategy<Value = Encoding> {
    proptest::sample::select(&ENCODINGS[..])
}

fn a_compression() -> impl Strategy<Value = Encoding> {
    proptest::sample::select(&ENCODINGS[1..])
}

proptest! {
    #[test]
    fn any_events_come_back(
        events in proptest::collection::vec(an_event(), 0..8),
        odb in proptest::collection::vec(any::<u8>(), 0..64),
        step in 1_usize..64,
    ) {
        let (bytes, _) = write(42, &odb, &events);
        let (found, damages) = read(Dribble { bytes: &bytes, step });
        prop_assert!(damages.is_empty(), "{:?}", damages);
        prop_assert_eq!(found.first().unwrap().0, EventKind::BeginOfRun);
        prop_assert_eq!(found.last().unwrap().0, EventKind::EndOfRun);
        let inner: Vec<_> = found[1..found.len() - 1].iter().map(|(_, e)| e.clone()).collect();
        prop_assert_eq!(inner, events);
    }

    #[test]
    fn any_cut_keeps_the_events_before_it_and_says_where(
        events in proptest::collection::vec(an_event(), 0..6),
        position in any::<proptest::sample::Index>(),
        encoding in an_encoding(),
    ) {
        let (bytes, ends) = write(42, b"{}", &events);
        let cut = position.index(bytes.len() + 1);
        let whole = encode(encoding, &[&bytes[..cut]]);
        let (found, damages) = read(decode(&whole[..]).unwrap());
        let whole = ends.iter().filter(|end| **end <= cut as u64).count();
        let begin = if whole == 0 { 0 } else { ends[whole - 1] };
        let left = cut as u64 - begin;
        prop_assert_eq!(found.len(), whole);
        let expected = if left < 16 { 16 } else { ends[whole] - begin };
        let wanted = (left > 0).then_some(Damage {
            kind: DamageKind::Truncated { expected },
            offset: begin,
            length: left,
            compressed_offset: None,
        });
        prop_assert_eq!(damages, wanted.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn a_cut_compressed_file_is_never_taken_for_a_whole_one(
        events in proptest::collection::vec(an_event(), 1..6),
        split in any::<proptest::sample::Index>(),
        position in any::<proptest::sample::Index>(),
        encoding in a_compression(),
    ) {
        let (bytes, _) = write(42, b"{}", &events);
        let (left, right) = bytes.split_at(split.index(bytes.len()));
        let first = encode(encoding, &[left]);
        let whole = encode(encoding, &[left, right]);
        // Shorter than its magic it is not known to be compressed.
        let cut = 4 + position.index(whole.len() - 4);
        prop_assume!(cut != first.len());
        let (found, damages) = read(decode(&whole[..cut]).unwrap());
        let Some(Damage { kind, length, compressed_offset, .. }) = damages.last() else {
            return Err(TestCaseError::fail("no damage"));
        };
        let broken = matches!(kind, DamageKind::Compression { encoding: of, .. } if *of == encoding);
        prop_assert!(broken, "{:?}", damages);
        prop_assert_eq!(*length, 0);
        prop_assert!(compressed_offset.unwrap() <= cut as u64);
        prop_assert!(found.len() <= events.len() + 2);
        for (have, want) in found.iter().skip(1).zip(&events) {
            prop_assert_eq!(&have.1, want);
        }
    }

    #[test]
    fn events_behind_garbage_are_found(
        before in proptest::collection::vec(an_event(), 0..4),
        after in proptest::collection::vec(an_event(), 0..4),
        garbage in proptest::collection::vec(any::<u8>(), 1..3000),
    ) {
        let (bytes, ends) = write(42, b"{}", &before);
        // Without the end of run: the garbage is in its place.
        let begin = ends[before.len()];
        let (more, more_ends) = write(43, b"{}", &after);
        let file = [&bytes[..begin as usize], &garbage, &more].concat();
        let (found, damages) = read(&file[..]);
        let found: Vec<_> = found.into_iter().map(|(_, event)| event).collect();
        prop_assert_eq!(found.len(), 1 + before.len() + more_ends.len());
        prop_assert_eq!(&found[1..=before.len()], &before[..]);
        prop_assert_eq!(&found[before.len() + 2..found.len() - 1], &after[..]);
        let lost: Vec<_> = damages.iter().map(|damage| (damage.offset, damage.length)).collect();
        prop_assert_eq!(lost, vec![(begin, garbage.len() as u64)]);
    }

    #[test]
    fn an_event_that_was_cut_swallows_nothing_of_the_next_run(
        events in proptest::collection::vec(an_event(), 1..4),
        position in any::<proptest::sample::Index>(),
        size in 100_usize..5000,
    ) {
        let mut last = EventBuilder::new(1, BankFormat::Bank32);
        last.values(BankName(*b"CAM0"), &vec![0x55_u8; size]).unwrap();
        let mut writer = Writer::new(Vec::new());
        writer.begin_of_run(41, 1, b"{}").unwrap();
        let begin = writer.offset();
        writer.event(&last).unwrap();
        let mut file = writer.into_inner();
        let length = file.len() - begin as usize;
        let cut = 16 + position.index(length - 16);
        file.truncate(begin as usize + cut);
        let (next, ends) = write(42, b"{}", &events);
        // Where it ends with an event, it cannot be told from one that holds events.
        prop_assume!(!ends.contains(&((length - cut) as u64)));
        file.extend_from_slice(&next);
        let (found, damages) = read(&file[..]);
        prop_assert_eq!(found.len(), 1 + ends.len());
        prop_assert_eq!(damages.len(), 1);
        prop_assert_eq!((damages[0].offset, damages[0].length), (begin, cut as u64));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut reader = Reader::new(&bytes[..]);
        let mut covered = 0;
        loop {
            let event = match reader.read_event() {
                Ok(None) => break,
                Ok(Some(event)) => event,
                Err(error) => {
                    let damage = error.damage().unwrap();
                    prop_assert_eq!(damage.offset, covered);
                    covered += damage.length;
                    continue;
                }
            };
            prop_assert_eq!(event.offset, covered);
            covered += event.length();
            if let Ok(banks) = event.banks() {
                for bank in banks.flatten() {
                    let _ = bank.values::<u16>().map(Iterator::count);
                }
            }
            let _ = event.odb().map(|odb| odb.parse().is_ok());
        }
        prop_assert_eq!(covered, bytes.len() as u64);
        if let Ok(mut stream) = decode(&bytes[..]) {
            let _ = stream.read_to_end(&mut Vec::new());
        }
    }

    #[test]
    fn damage_inside_an_event_never_panics_and_never_costs_another_event(
        events in proptest::collection::vec(an_event(), 1..6),
        position in any::<proptest::sample::Index>(),
        noise in any::<u8>(),
    ) {
        let (mut bytes, ends) = write(42, b"{}", &events);
        // Somewhere in the payload of the first data event.
        let (begin, end) = (ends[0] as usize + 16, ends[1] as usize);
        bytes[begin + position.index(end - begin)] ^= noise;
        let mut reader = Reader::new(&bytes[..]);
        let mut count = 0;
        while let Some(event) = reader.read_event().unwrap() {
            count += 1;
            if let Ok(banks) = event.banks() {
                let _ = banks.count();
            }
        }
        prop_assert_eq!(count, ends.len());
    }
}

#[test]
fn many_members_are_one_file() {
    let (bytes, _) = write(7, b"{}", &[]);
    let (head, tail) = bytes.split_at(20);
    for encoding in ENCODINGS {
        let whole = encode(encoding, &[head, b"", tail]);
        let (found, damages) = read(decode(&whole[..]).unwrap());
        assert_eq!((found.len(), damages), (2, Vec::new()), "{encoding}");
    }
}

#[test]
fn a_wrong_checksum_of_the_compressed_form_is_damage() {
    let (bytes, _) = write(7, b"{}", &[]);
    for (encoding, from_the_end) in [(Encoding::Gzip, 8), (Encoding::Lz4, 1)] {
        let mut whole = encode(encoding, &[&bytes]);
        let checksum = whole.len() - from_the_end;
        whole[checksum] ^= 1;
        let (found, damages) = read(decode(&whole[..]).unwrap());
        assert_eq!(found.len(), 2, "the events themselves were whole");
        let kinds: Vec<_> = damages.iter().map(|damage| &damage.kind).collect();
        assert!(
            matches!(kinds[..], [DamageKind::Compression { .. }]),
            "{encoding} {kinds:?}"
        );
        assert_eq!(damages[0].offset, bytes.len() as u64);
    }
}

#[test]
fn a_failing_disk_under_a_decoder_is_no_damage() {
    struct Gone;
    impl Read for Gone {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StaleNetworkFileHandle.into())
        }
    }
    let (bytes, _) = write(7, b"{}", &[]);
    for encoding in ENCODINGS {
        let whole = encode(encoding, &[&bytes]);
        let begin = &whole[..whole.len() / 2];
        let mut reader = Reader::new(decode(begin.chain(Gone)).unwrap());
        let error = loop {
            match reader.read_event() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("{encoding}: half a file is not a file"),
                Err(error) => break error,
            }
        };
        assert!(error.damage().is_none(), "{encoding}: {error}");
    }
}

#[test]
fn a_size_that_no_event_has_is_damage() {
    let (bytes, _) = write(7, b"{}", &[]);
    let mut reader = Reader::new(&bytes[..]).with_event_limit(1);
    assert_eq!(
        reader.read_event().unwrap_err().to_string(),
        "damage at byte 0, 36 bytes: no event: it would have 2 bytes, more than the limit of 1"
    );
}

#[test]
fn a_run_of_a_big_endian_daq_is_read() {
    let mut bytes = Vec::new();
    let odb = b"{ \"Runinfo\" : { \"Run number\" : 7 } }";
    let mut event = |id: u16, serial: u32, payload: &[u8]| {
        bytes.extend_from_slice(&id.to_be_bytes());
        bytes.extend_from_slice(&0x494d_u16.to_be_bytes());
        bytes.extend_from_slice(&serial.to_be_bytes());
        bytes.extend_from_slice(&9_u32.to_be_bytes());
        bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes());
        bytes.extend_from_slice(payload);
    };
    event(0x8000, 7, odb);
    event(
        1,
        0,
        b"\0\0\0\x14\0\0\0\x11ADC0\0\0\0\x04\0\0\0\x02\x01\x02\0\0\0\0\0\0",
    );
    event(0x8001, 7, odb);
    let mut reader = Reader::new(&bytes[..]);
    let begin = reader.read_event().unwrap().unwrap();
    assert_eq!(begin.run_number(), Some(7));
    let odb = begin.odb().unwrap().parse().unwrap();
    assert_eq!(odb.get("/Runinfo/Run number").unwrap().as_u64(), Some(7));
    let data = reader.read_event().unwrap().unwrap();
    let bank = data.bank(BankName(*b"ADC0")).unwrap().unwrap();
    assert_eq!(bank.values::<u16>().unwrap().collect::<Vec<_>>(), [0x0102]);
    assert!(data.bank(BankName(*b"NONE")).unwrap().is_none());
    let end = reader.read_event().unwrap().unwrap();
    assert!(matches!(end.banks(), Err(BankError::NotBanks { .. })));
    assert!(reader.read_event().unwrap().is_none());
}

#[test]
fn messages_and_fragments_are_given_out_as_they_are() {
    let mut writer = Writer::new(Vec::new());
    writer.raw(0x8002, 2, 0, 5, b"[Logger] hello\0").unwrap();
    writer.raw(0xc001, 0, 0, 5, b"piece").unwrap();
    let bytes = writer.into_inner();
    let mut reader = Reader::new(&bytes[..]);
    let message = reader.read_event().unwrap().unwrap();
    assert_eq!(message.message(), Some(&b"[Logger] hello"[..]));
    assert_eq!(message.run_number(), None);
    let fragment = reader.read_event().unwrap().unwrap();
    assert_eq!(fragment.kind(), EventKind::Fragment);
    assert_eq!(fragment.payload, b"piece");
    assert!(fragment.banks().is_err());
}
