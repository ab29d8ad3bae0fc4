//! The end-of-run record of its run at the end of a run file, by a cheap look at its tail. MIDAS files have no trailer that leads back to the last event, so that its
//! header is searched for: it must reach to the file's very end.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use aquifer_midas::{ByteOrder, EventHeader, EventKind, HEADER_BYTES};
use aquifer_schemas::RunNumber;

use crate::examine::open_regular;

/// The largest ODB dump that is looked for. Real ones have 0.2 MB.
const FURTHEST: u64 = 8 << 20;

/// Whether the plain file under `path` ends with the end of `run`. Blocking.
pub(crate) fn ends_with_end_of_run(path: &Path, run: RunNumber) -> io::Result<bool> {
    Ok(end_of_run(path, run)?.is_some())
}

/// What the end of `run` holds with which the plain file under `path` ends: a dump of the
/// ODB. Blocking.
pub(crate) fn end_of_run(path: &Path, run: RunNumber) -> io::Result<Option<Vec<u8>>> {
    let (file, identity) = open_regular(path)?;
    let length = identity.size.min(FURTHEST);
    let mut tail = vec![0; length as usize];
    match file.read_exact_at(&mut tail, identity.size - length) {
        Ok(()) => Ok(payload_at(&tail, run).map(|at| tail.split_off(at))),
        // It shrank: it is not closed.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where the payload of the end of `run` begins that reaches to the tail's very end.
fn payload_at(tail: &[u8], run: RunNumber) -> Option<usize> {
    let mut headers = tail.windows(HEADER_BYTES).enumerate();
    headers.find_map(|(at, bytes)| {
        // Most bytes are told by the event's id alone.
        let order = match bytes[..2] {
            [0x01, 0x80] => ByteOrder::Little,
            [0x80, 0x01] => ByteOrder::Big,
            _ => return None,
        };
        let bytes = bytes.try_into().expect("windows have the header's size");
        let header = EventHeader::from_bytes(order, bytes);
        let payload = at + HEADER_BYTES;
        let ends = header.kind() == EventKind::EndOfRun
            && u64::from(header.serial_number) == run
            && payload + header.data_size as usize == tail.len();
        ends.then_some(payload)
    })
}

#[cfg(test)]
mod tests {
    use aquifer_midas::Writer;

    use super::*;

    #[test]
    fn only_the_whole_record_of_the_run_at_the_very_end_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run7.mid");
        let mut writer = Writer::new(Vec::new());
        writer.begin_of_run(7, 1_700_000_000, b"{}").unwrap();
        writer.end_of_run(7, 1_700_000_100, &[b'x'; 1000]).unwrap();
        let whole = writer.into_inner();
        let ends = |bytes: &[u8], run| {
            std::fs::write(&path, bytes).unwrap();
            ends_with_end_of_run(&path, run).unwrap()
        };
        assert!(ends(&whole, 7));
        assert!(!ends(&whole, 8));
        assert!(!ends(&whole[..whole.len() - 1], 7));
        assert!(!ends(&[&whole[..], b"\0"].concat(), 7));
        assert!(!ends(b"", 7));
        assert!(ends_with_end_of_run(folder.path(), 7).is_err());
    }
}
