//! Whether a run file ends with the end-of-run record of its run: a cheap look at its
//! tail. MIDAS files have no trailer that leads back to the last event, so that its
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
    let (file, identity) = open_regular(path)?;
    let length = identity.size.min(FURTHEST);
    let mut tail = vec![0; length as usize];
    match file.read_exact_at(&mut tail, identity.size - length) {
        Ok(()) => Ok(is_end_of_run(&tail, run)),
        // It shrank: it is not closed.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_end_of_run(tail: &[u8], run: RunNumber) -> bool {
    let headers = tail.windows(HEADER_BYTES).enumerate();
    headers.into_iter().any(|(at, bytes)| {
        // Most bytes are told by the event's id alone.
        let order = match bytes[..2] {
            [0x01, 0x80] => ByteOrder::Little,
            [0x80, 0x01] => ByteOrder::Big,
            _ => return false,
        };
        let bytes = bytes.try_into().expect("windows have the header's size");
        let header = EventHeader::from_bytes(order, bytes);
        header.kind() == EventKind::EndOfRun
            && u64::from(header.serial_number) == run
            && at + HEADER_BYTES + header.data_size as usize == tail.len()
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
