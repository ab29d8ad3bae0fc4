//! What a run file says of its own begin, for runs that nobody announced.
//!
//! A file that is not MIDAS, or is damaged at its begin, says nothing; that is no
//! reason not to store it.

use std::io::Read as _;
use std::path::Path;

use aquifer_midas::{ByteOrder, EventHeader, EventKind, HEADER_BYTES};
use aquifer_schemas::RunNumber;
use jiff::Timestamp;

use crate::examine::open_regular;

/// When the run in the file began, by the header of its begin-of-run event, if that is
/// of `run`. The event itself may be torn: its DAQ died. Blocking.
pub(crate) fn started_at(path: &Path, run: RunNumber) -> Option<Timestamp> {
    let mut bytes = [0; HEADER_BYTES];
    // Not by its path: under a run file's name may stand a pipe that nobody writes to.
    let (file, _) = open_regular(path).ok()?;
    aquifer_midas::decode(file)
        .ok()?
        .read_exact(&mut bytes)
        .ok()?;
    let header = [ByteOrder::Little, ByteOrder::Big]
        .map(|order| EventHeader::from_bytes(order, &bytes))
        .into_iter()
        .find(|header| header.kind() == EventKind::BeginOfRun)?;
    // MIDAS gives the run's number as the event's serial number.
    if u64::from(header.serial_number) != run {
        return None;
    }
    Timestamp::from_second(i64::from(header.time_stamp)).ok()
}

#[cfg(test)]
mod tests {
    use aquifer_midas::Writer;

    use super::*;

    #[test]
    fn only_the_runs_own_begin_is_believed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run7.mid");
        let mut writer = Writer::new(Vec::new());
        writer.begin_of_run(7, 1_700_000_000, b"{}").unwrap();
        std::fs::write(&path, writer.into_inner()).unwrap();
        let began = Timestamp::from_second(1_700_000_000).unwrap();
        assert_eq!(started_at(&path, 7), Some(began));
        assert_eq!(started_at(&path, 8), None);
        std::fs::write(&path, b"no MIDAS").unwrap();
        assert_eq!(started_at(&path, 7), None);
        assert_eq!(started_at(&folder.path().join("none"), 7), None);
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(started_at(&pipe, 7), None);
    }
}
