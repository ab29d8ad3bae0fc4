//! Crashes at any point of an upload, against a storage that remembers parts: the object
//! decodes to the file, and what both sides know is not sent again.

use std::collections::BTreeMap;

use aquifer_schemas::Encoding;
use proptest::prelude::*;

use super::*;
use crate::stream::encode::Decoder;
use crate::stream::parts::{Gatherer, Part};

const MEMBER: usize = 64;
const LEAST: u64 = 100;

/// What the storage keeps of an upload.
#[derive(Default)]
struct Server {
    parts: BTreeMap<u32, (PartReceipt, Vec<u8>)>,
    /// How often each part was taken.
    taken: BTreeMap<u32, usize>,
}

impl Server {
    fn take(&mut self, part: &Part) -> PartReceipt {
        let receipt = PartReceipt {
            number: part.number,
            size: part.body.len() as u64,
            etag: format!("{:?}", part.output.crc64nvme),
            crc64nvme: part.output.crc64nvme,
        };
        *self.taken.entry(part.number).or_default() += 1;
        let kept = (receipt.clone(), part.body.to_vec());
        self.parts.insert(part.number, kept);
        receipt
    }

    fn list(&self) -> Vec<ListedPart> {
        let parts = self.parts.values().map(|(receipt, _)| ListedPart {
            number: receipt.number,
            size: receipt.size,
            etag: receipt.etag.clone(),
            crc64nvme: Some(receipt.crc64nvme),
        });
        parts.collect()
    }

    fn object(&self, receipts: &[PartReceipt]) -> Vec<u8> {
        let bodies = receipts.iter().map(|receipt| {
            let (kept, body) = &self.parts[&receipt.number];
            assert_eq!(kept, receipt, "completed with a part that is not there");
            body.as_slice()
        });
        bodies.collect::<Vec<_>>().concat()
    }
}

/// Where a process dies.
#[derive(Debug, Clone, Copy)]
enum Death {
    /// The storage has the part, the journal does not.
    AfterSending(u32),
    /// Both have it.
    AfterJournaling(u32),
    /// The storage has lost a part that the journal has.
    PartLost(u32),
}

fn deaths() -> impl Strategy<Value = Death> {
    prop_oneof![
        (1u32..12).prop_map(Death::AfterSending),
        (1u32..12).prop_map(Death::AfterJournaling),
        (1u32..12).prop_map(Death::PartLost),
    ]
}

fn start(encoder: Encoder) -> Start {
    Start {
        upload: GrowingUpload {
            key: "k".parse().unwrap(),
            upload_id: "u".to_owned(),
        },
        encoder,
        member_size: MEMBER as u64,
        least_part: LEAST,
        inode: Inode { dev: 1, ino: 2 },
        while_open: true,
        run_started_at: None,
    }
}

/// One life of the process: from what the journal says to the end or to its death.
fn live(
    file: &[u8],
    journal: &mut Vec<SentPart>,
    server: &mut Server,
    encoder: Encoder,
    death: Option<Death>,
) -> Option<Stream> {
    let mut stream = Stream::new(start(encoder));
    for part in journal.iter() {
        stream.add(part.clone());
    }
    stream.resume(&server.list());
    let begun_at = stream.input().size;
    let mut gatherer = Gatherer::at(stream.next_number(), begun_at, LEAST);
    let mut ready: Vec<Part> = Vec::new();
    for piece in file[begun_at as usize..].chunks(MEMBER) {
        let member = encoder.member(Digests::of(piece), piece.to_vec()).unwrap();
        ready.extend(gatherer.push(member));
    }
    ready.extend(gatherer.finish());
    for part in ready {
        let receipt = server.take(&part);
        if matches!(death, Some(Death::AfterSending(n)) if n == part.number) {
            return None;
        }
        let sent = SentPart {
            receipt,
            offset: part.offset,
            input: part.input,
            output: part.output,
        };
        journal.push(sent.clone());
        stream.add(sent);
        match death {
            Some(Death::AfterJournaling(n)) if n == part.number => return None,
            Some(Death::PartLost(n)) if n == part.number => {
                server.parts.remove(&n);
                return None;
            }
            _ => {}
        }
    }
    Some(stream)
}

proptest! {
    #[test]
    fn whatever_dies_the_object_is_the_file_and_little_is_sent_twice(
        file in proptest::collection::vec(0u8..4, 1..1500),
        deaths in proptest::collection::vec(deaths(), 0..6),
        compressed: bool,
    ) {
        let encoding = if compressed { Encoding::Gzip } else { Encoding::Identity };
        let encoder = Encoder { encoding, level: 6 };
        let (mut journal, mut server) = (Vec::new(), Server::default());
        let mut resent = 0;
        let mut finished = None;
        for death in deaths.iter().copied().map(Some).chain([None]) {
            finished = live(&file, &mut journal, &mut server, encoder, death);
            if finished.is_some() {
                break;
            }
            resent += 1;
        }
        let stream = finished.expect("the last life has no death");
        let object = server.object(&stream.receipts());
        prop_assert_eq!(stream.output(), Digests::of(&object));
        prop_assert_eq!(stream.input(), Digests::of(&file));
        let mut decoder = Decoder::new(encoding).unwrap();
        decoder.update(&object).unwrap();
        prop_assert_eq!(decoder.finish().unwrap().1, Digests::of(&file));
        // Each death costs the part that one side did not know, and, where the storage
        // has lost one, those after it.
        let losses = deaths.iter().filter(|death| matches!(death, Death::PartLost(_)));
        if losses.count() == 0 {
            let twice: usize = server.taken.values().map(|times| times - 1).sum();
            prop_assert!(twice <= resent, "{} parts again after {} deaths", twice, resent);
        }
    }
}

#[test]
fn a_part_that_both_know_differently_does_not_count() {
    let encoder = Encoder {
        encoding: Encoding::Identity,
        level: 1,
    };
    let (mut journal, mut server) = (Vec::new(), Server::default());
    let stream = live(&[7; 640], &mut journal, &mut server, encoder, None).unwrap();
    assert_eq!(stream.parts().len(), 5);
    let mut found = server.list();
    found[2].etag = "another".to_owned();
    let mut resumed = stream.clone();
    resumed.resume(&found);
    assert_eq!(resumed.parts(), &stream.parts()[..2]);
    // A hole is no place to go on from, and order is by number.
    resumed = stream.clone();
    resumed.resume(&[server.list()[0].clone(), server.list()[2].clone()]);
    assert_eq!(resumed.parts().len(), 1);
    resumed.resume(&[]);
    assert!(resumed.parts().is_empty());
}

#[test]
fn a_record_that_leaves_a_hole_is_not_believed() {
    let encoder = Encoder {
        encoding: Encoding::Identity,
        level: 1,
    };
    let (mut journal, mut server) = (Vec::new(), Server::default());
    live(&[7; 640], &mut journal, &mut server, encoder, None).unwrap();
    let mut stream = Stream::new(start(encoder));
    stream.add(journal[1].clone());
    assert!(stream.parts().is_empty());
    stream.add(journal[0].clone());
    stream.add(journal[1].clone());
    stream.add(journal[0].clone());
    assert_eq!(stream.parts().len(), 1);
}
