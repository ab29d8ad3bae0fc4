//! What the writer writes the reader reads, whole, cut, damaged or compressed.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests, not only tests, stop at once"
)]

use std::io::{Read, Write};

use aquifer_midas::{
    BankError, BankFormat, BankName, EventBuilder, EventKind, ReadError, Reader, Tid, Writer,
    decode,
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

/// Every whole event, and what ended the file.
fn read(bytes: impl Read) -> (Vec<(EventKind, PlainEvent)>, Option<ReadError>) {
    let mut reader = Reader::new(bytes);
    let mut events = Vec::new();
    loop {
        match reader.read_event() {
            Ok(None) => return (events, None),
            Err(error) => return (events, Some(error)),
            Ok(Some(event)) => {
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
                events.push((event.kind(), plain));
            }
        }
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

fn gzip(members: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for member in members {
        let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
        encoder.write_all(member).unwrap();
        out = encoder.finish().unwrap();
    }
    out
}

proptest! {
    #[test]
    fn any_events_come_back(
        events in proptest::collection::vec(an_event(), 0..8),
        odb in proptest::collection::vec(any::<u8>(), 0..64),
        step in 1_usize..64,
    ) {
        let (bytes, _) = write(42, &odb, &events);
        let (found, error) = read(Dribble { bytes: &bytes, step });
        prop_assert!(error.is_none(), "{:?}", error);
        prop_assert_eq!(found.first().unwrap().0, EventKind::BeginOfRun);
        prop_assert_eq!(found.last().unwrap().0, EventKind::EndOfRun);
        let inner: Vec<_> = found[1..found.len() - 1].iter().map(|(_, e)| e.clone()).collect();
        prop_assert_eq!(inner, events);
    }

    #[test]
    fn any_cut_keeps_the_events_before_it_and_says_where(
        events in proptest::collection::vec(an_event(), 0..6),
        position in any::<proptest::sample::Index>(),
        compressed in any::<bool>(),
    ) {
        let (bytes, ends) = write(42, b"{}", &events);
        let cut = position.index(bytes.len() + 1);
        let (found, error) = if compressed {
            // The cut is in the middle of the second member's trailer or data.
            let whole = gzip(&[&bytes[..cut]]);
            read(decode(std::io::Cursor::new(whole)).unwrap().unwrap())
        } else {
            read(&bytes[..cut])
        };
        let whole = ends.iter().filter(|end| **end <= cut as u64).count();
        let begin = if whole == 0 { 0 } else { ends[whole - 1] };
        prop_assert_eq!(found.len(), whole);
        match error {
            None => prop_assert_eq!(begin, cut as u64),
            Some(ReadError::Truncated { offset, expected, found }) => {
                prop_assert_eq!(offset, begin);
                prop_assert_eq!(found, cut as u64 - begin);
                let size = if found < 16 { 16 } else { ends[whole] - begin };
                prop_assert_eq!(expected, size);
            }
            Some(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn a_cut_gzip_is_a_truncation(
        events in proptest::collection::vec(an_event(), 1..6),
        position in any::<proptest::sample::Index>(),
    ) {
        let (bytes, _) = write(42, b"{}", &events);
        let whole = gzip(&[&bytes]);
        // Shorter than its magic it is not known to be gzip.
        let cut = 2 + position.index(whole.len() - 2);
        let cut = whole[..cut].to_vec();
        let (found, error) = read(decode(std::io::Cursor::new(cut)).unwrap().unwrap());
        let error = error.expect("a gzip without its end is never a whole file");
        prop_assert!(matches!(error, ReadError::Truncated { .. }), "{error}");
        prop_assert!(found.len() <= events.len() + 2);
        for (have, want) in found.iter().skip(1).zip(&events) {
            prop_assert_eq!(&have.1, want);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut reader = Reader::new(&bytes[..]);
        while let Ok(Some(event)) = reader.read_event() {
            if let Ok(banks) = event.banks() {
                for bank in banks.flatten() {
                    let _ = bank.values::<u16>().map(Iterator::count);
                }
            }
            let _ = event.odb().map(|odb| odb.parse().is_ok());
        }
        if let Ok(Ok(mut stream)) = decode(std::io::Cursor::new(bytes)) {
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

    #[test]
    fn skimming_sees_the_same_headers(
        events in proptest::collection::vec(an_event(), 0..8),
        step in 1_usize..64,
        position in any::<proptest::sample::Index>(),
    ) {
        let (bytes, _) = write(42, b"{}", &events);
        let bytes = &bytes[..position.index(bytes.len() + 1)];
        let mut full = Reader::new(bytes);
        let mut skim = Reader::new(Dribble { bytes, step });
        loop {
            match (full.read_event(), skim.skim()) {
                (Ok(None), Ok(None)) => break,
                (Ok(Some(event)), Ok(Some(seen))) => {
                    prop_assert_eq!((event.header, event.offset), (seen.header, seen.offset));
                }
                (Err(left), Err(right)) => {
                    prop_assert_eq!(left.to_string(), right.to_string());
                }
                (left, right) => prop_assert!(false, "{left:?} {right:?}"),
            }
        }
        prop_assert_eq!(full.offset(), skim.offset());
    }
}

#[test]
fn gzip_of_many_members_is_one_file() {
    let (bytes, _) = write(7, b"{}", &[]);
    let (head, tail) = bytes.split_at(20);
    let whole = gzip(&[head, tail]);
    let (found, error) = read(decode(std::io::Cursor::new(whole)).unwrap().unwrap());
    assert_eq!((found.len(), error.is_none()), (2, true));
}

#[test]
fn a_wrong_gzip_checksum_is_damage() {
    let (bytes, _) = write(7, b"{}", &[]);
    let mut whole = gzip(&[&bytes]);
    let checksum = whole.len() - 8;
    whole[checksum] ^= 1;
    let (found, error) = read(decode(std::io::Cursor::new(whole)).unwrap().unwrap());
    let error = error.unwrap();
    assert!(matches!(error, ReadError::Corrupt { .. }), "{error}");
    assert!(error.is_damage());
    assert_eq!(found.len(), 2, "the events themselves were whole");
}

#[test]
fn a_size_that_no_event_has_is_refused() {
    let (bytes, _) = write(7, b"{}", &[]);
    let mut reader = Reader::new(&bytes[..]).with_event_limit(1);
    assert_eq!(
        reader.read_event().unwrap_err().to_string(),
        "event at byte 0 claims 2 bytes, more than the limit of 1"
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
