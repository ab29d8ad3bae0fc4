//! What must hold for any bytes at all: the promises that fuzzing tries to break. The
//! fuzz targets and the tests call the same functions.

use std::io::Read;

use aquifer_midas::{
    BankName, Encoding, Event, Odb, OdbNode, Reader, SplitEvent, Splitter, decode,
};

/// Small, so that a claim beyond it is often met.
const EVENT_LIMIT: u32 = 1 << 16;

/// A few bytes can decode to very many; the promises hold for the first of them.
const DECODED_LIMIT: u64 = 4 << 20;

/// Reads the events of a plain file: events and damages cover it without holes.
pub(crate) fn plain(bytes: &[u8]) {
    assert_eq!(read(bytes), bytes.len() as u64);
}

/// Reads a file of a certain encoding; other files are passed over.
pub(crate) fn encoded(encoding: Encoding, bytes: &[u8]) {
    if Encoding::detect(bytes) == encoding
        && let Ok(decoded) = decode(bytes)
    {
        read(decoded.take(DECODED_LIMIT));
    }
}

/// Cuts a file into its events, at once and in pieces as the first bytes tell.
pub(crate) fn split(bytes: &[u8]) {
    let (steps, file) = bytes.split_at(bytes.len().min(4));
    let mut covered = 0;
    let mut whole = Vec::new();
    run_splitter(&mut [file].into_iter(), |offset, length, is_event| {
        assert_eq!(offset, covered);
        covered += length;
        whole.push((offset, length, is_event));
    });
    assert_eq!(covered, file.len() as u64);
    let mut rest = file;
    let mut steps = steps.iter().cycle();
    let mut pieces = std::iter::from_fn(|| {
        let step = usize::from(*steps.next()?) + 1;
        let (piece, after) = rest.split_at(step.min(rest.len()));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    });
    let mut found = Vec::new();
    run_splitter(&mut pieces, |offset, length, is_event| {
        found.push((offset, length, is_event));
    });
    assert_eq!(found, whole, "pieces make a difference");
}

/// Reads a JSON dump.
pub(crate) fn odb_json(bytes: &[u8]) {
    visit(Odb::from_json(bytes).ok());
}

/// Reads an XML dump.
pub(crate) fn odb_xml(bytes: &[u8]) {
    visit(Odb::from_xml(bytes).ok());
}

/// Reads a text dump.
pub(crate) fn odb_text(bytes: &[u8]) {
    visit(Odb::from_text(bytes).ok());
}

/// The bytes that events and damages cover.
fn read(bytes: impl Read) -> u64 {
    let mut reader = Reader::new(bytes).with_event_limit(EVENT_LIMIT);
    let mut covered = 0;
    loop {
        match reader.read_event() {
            Ok(None) => break,
            Ok(Some(event)) => {
                assert_eq!(event.offset, covered);
                covered += event.length();
                look_into(&event);
            }
            Err(error) => {
                let damage = error.damage().expect("memory does not fail");
                assert_eq!(damage.offset, covered);
                covered += damage.length;
            }
        }
    }
    assert_eq!(reader.offset(), covered);
    covered
}

fn look_into(event: &Event<'_>) {
    match event.banks() {
        Ok(banks) => {
            for bank in banks {
                match bank {
                    Ok(bank) => {
                        let _ = bank.values::<u16>().map(Iterator::count);
                    }
                    Err(error) => {
                        let damage = event.damage(error).expect("inside a list it is damage");
                        let end = event.offset + event.length();
                        assert_eq!(damage.offset + damage.length, end);
                    }
                }
            }
        }
        Err(error) => {
            let _ = event.damage(error);
        }
    }
    let _ = event.bank(BankName(*b"DATA"));
    let _ = event.message();
    visit(event.odb().and_then(|dump| dump.parse().ok()));
}

/// Every directory and key can be reached by its path.
fn visit(odb: Option<Odb>) {
    let Some(odb) = odb else { return };
    let root = odb.get("/").expect("the root is always there");
    let mut waiting = vec![(String::new(), root)];
    // Paths of a strange dump may be long: only some are walked.
    for _ in 0..1000 {
        let Some((path, node)) = waiting.pop() else {
            break;
        };
        look_at(&node);
        for name in node.names().into_iter().flatten() {
            // What no path can name.
            if name.is_empty() || name.contains(['/', '[']) {
                continue;
            }
            let below = format!("{path}/{name}");
            let node = odb.get(&below).expect("it is in its directory");
            waiting.push((below, node));
        }
    }
}

fn look_at(node: &OdbNode<'_>) {
    for index in 0..node.count().unwrap_or(0).min(100) {
        let item = node.item(index).expect("within the count");
        let _ = (item.as_i64(), item.as_u64(), item.as_f64());
        let _ = (item.as_bool(), item.as_str(), item.to_text());
    }
}

fn run_splitter(pieces: &mut dyn Iterator<Item = &[u8]>, mut found: impl FnMut(u64, u64, bool)) {
    let mut splitter = Splitter::with_event_limit(EVENT_LIMIT);
    let mut each = |event: SplitEvent<'_>| match event {
        SplitEvent::Whole(event) => found(event.offset, event.length(), true),
        SplitEvent::Damage(damage) => found(damage.offset, damage.length, false),
    };
    for piece in pieces {
        splitter.feed(piece, &mut each);
    }
    splitter.finish(&mut each);
}
