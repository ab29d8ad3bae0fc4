//! Whether a file ends as a run does: with the end of run that belongs to its begin.
//!
//! That the file is whole says not yet that the run is over: a subrun ends so as well.

use std::io::{self, Read, Seek, SeekFrom};

use crate::event::{ByteOrder, Event, EventHeader, EventKind, HEADER_BYTES, SYSTEM_MASK};

/// Looked at first at the end of a file; real dumps have about 200 kB.
const FIRST_LOOK: u64 = 512 << 10;

/// Looked at at the most: an ODB has 100 MB at the largest, and its dump far less.
const LAST_LOOK: u64 = 32 << 20;

/// Follows begin and end of run through the events of a file.
#[derive(Debug, Default)]
pub(crate) struct RunWatch {
    begun: Option<u32>,
    ended: Option<u32>,
}

impl RunWatch {
    pub(crate) fn see(&mut self, event: &Event<'_>) {
        let run = event.run_number();
        self.ended = None;
        match event.kind() {
            EventKind::BeginOfRun => self.begun = run,
            EventKind::EndOfRun => self.ended = run.filter(|_| run == self.begun),
            _ => {}
        }
    }

    /// A damage: what came before it is no longer the end of the file.
    pub(crate) fn interrupt(&mut self) {
        self.ended = None;
    }

    pub(crate) fn ended(&self) -> Option<u32> {
        self.ended
    }
}

/// The run that a plain file begins and ends with, by a look at its first bytes and at
/// its tail; `None` where it is open, cut or compressed. What lies between is not looked
/// at.
///
/// # Errors
/// If the file cannot be read.
pub fn ended_run(file: &mut (impl Read + Seek)) -> io::Result<Option<u32>> {
    let size = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(0))?;
    let mut head = [0; HEADER_BYTES];
    if size < head.len() as u64 {
        return Ok(None);
    }
    file.read_exact(&mut head)?;
    let Some((order, run)) = [ByteOrder::Little, ByteOrder::Big]
        .into_iter()
        .find_map(|order| Some((order, boundary(order, &head, EventKind::BeginOfRun)?.0)))
    else {
        return Ok(None);
    };
    let mut look = FIRST_LOOK;
    let mut tail = Vec::new();
    loop {
        let begin = size.saturating_sub(look);
        file.seek(SeekFrom::Start(begin))?;
        tail.clear();
        file.take(size - begin).read_to_end(&mut tail)?;
        if ends_with_end_of_run(order, run, &tail) {
            return Ok(Some(run));
        }
        if begin == 0 || look >= LAST_LOOK {
            return Ok(None);
        }
        look *= 8;
    }
}

fn ends_with_end_of_run(order: ByteOrder, run: u32, tail: &[u8]) -> bool {
    tail.windows(HEADER_BYTES).enumerate().any(|(at, head)| {
        let head = head
            .first_chunk()
            .and_then(|head| boundary(order, head, EventKind::EndOfRun));
        let after = tail.len() - at - HEADER_BYTES;
        head.is_some_and(|(of, size)| of == run && size as usize == after)
    })
}

/// Run number and size of payload of a begin or end of run.
fn boundary(order: ByteOrder, head: &[u8; HEADER_BYTES], kind: EventKind) -> Option<(u32, u32)> {
    let header = EventHeader::from_bytes(order, head);
    (header.kind() == kind && header.trigger_mask == SYSTEM_MASK)
        .then_some((header.serial_number, header.data_size))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::reader::Reader;
    use crate::writer::Writer;

    /// Asks the tail and a whole pass, which must agree.
    fn ended(file: &[u8]) -> Option<u32> {
        let by_tail = ended_run(&mut Cursor::new(file)).unwrap();
        let mut reader = Reader::new(file);
        while !matches!(reader.read_event(), Ok(None)) {}
        assert_eq!(reader.ended_run(), by_tail);
        by_tail
    }

    #[test]
    fn only_the_end_of_its_own_run_ends_a_file() {
        let mut writer = Writer::new(Vec::new());
        writer.begin_of_run(7, 1, b"{}").unwrap();
        let begin = writer.offset() as usize;
        writer.raw(1, 0, 0, 1, &vec![0; 2_000_000]).unwrap();
        let data = writer.offset() as usize;
        writer.end_of_run(7, 2, &vec![b' '; 700_000]).unwrap();
        let file = writer.into_inner();
        assert_eq!(ended(&file), Some(7));
        assert_eq!(ended(&file[..file.len() - 1]), None, "cut");
        assert_eq!(ended(&file[..data]), None, "open");
        assert_eq!(ended(&file[begin..]), None, "no begin of run");
        assert_eq!(ended(&[&file[..], b"more"].concat()), None, "goes on");
        assert_eq!(ended(&file[..begin]), None);
        assert_eq!(ended(b""), None);
        let mut other = Writer::new(file[..begin].to_vec());
        other.end_of_run(8, 2, b"{}").unwrap();
        assert_eq!(ended(&other.into_inner()), None, "another run");
    }
}
