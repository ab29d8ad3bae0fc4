//! The scan on a real folder: what is closed is found, once; what is open is left.

use aquifer_digest::Crc64Nvme;
use tempfile::TempDir;

use super::*;
use crate::journal::KnownFile;

struct Folder {
    folder: TempDir,
    buffer: Buffer,
}

impl Folder {
    fn new(quiet: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let buffer = Buffer::new(BufferRules {
            folder: folder.path().to_owned(),
            templates: vec![FileTemplate::parse("run{run}.mid").unwrap()],
            ignore_suffixes: vec![".crc32c".to_owned()],
            side_file_suffix: ".crc32c".to_owned(),
            close: CloseRule {
                announce_grace: Duration::ZERO,
                quiet,
            },
        });
        Self { folder, buffer }
    }

    fn write(&self, name: &str) {
        fs::write(self.folder.path().join(name), name).unwrap();
    }

    fn known(&self, name: &str) -> KnownFile {
        KnownFile {
            identity: identity(&self.folder.path().join(name)).unwrap().unwrap(),
            crc64nvme: Crc64Nvme(1),
        }
    }

    fn scan_new(&mut self) -> Scan {
        self.buffer.scan(|_, _| (Knowledge::New, 1)).unwrap()
    }
}

const NEVER: Duration = Duration::from_hours(1);

#[test]
fn a_side_file_closes_and_an_open_file_is_left() {
    let mut folder = Folder::new(NEVER);
    folder.write("run00001.mid");
    folder.write("run00001.mid.crc32c");
    folder.write("run00002.mid");
    let scan = folder.scan_new();
    assert_eq!(scan.files, 2);
    assert_eq!(scan.found.len(), 1);
    assert_eq!(scan.found[0].run, 1);
    assert_eq!(scan.found[0].closed_by, ClosedBy::Logger);
}

#[test]
fn a_quiet_file_is_closed_by_inference() {
    let mut folder = Folder::new(Duration::ZERO);
    folder.write("run7.mid");
    let scan = folder.scan_new();
    assert_eq!(scan.found[0].closed_by, ClosedBy::Inferred);
}

#[test]
fn a_file_that_grows_is_never_quiet() {
    let mut folder = Folder::new(Duration::from_millis(1));
    for content in ["a", "ab", "abc"] {
        fs::write(folder.folder.path().join("run7.mid"), content).unwrap();
        assert_eq!(folder.scan_new().found, [], "after {content}");
    }
}

#[test]
fn stored_files_are_left_and_a_number_used_again_is_the_next_version() {
    let mut folder = Folder::new(Duration::ZERO);
    folder.write("run1.mid");
    let known = folder.known("run1.mid");
    let stored = |_: RunNumber, _: &FileName| (Knowledge::Stored(known), 1);
    assert_eq!(folder.buffer.scan(stored).unwrap().found, []);
    // Another file under the name: the recheck finds it.
    fs::remove_file(folder.folder.path().join("run1.mid")).unwrap();
    fs::write(folder.folder.path().join("run1.mid"), "other bytes").unwrap();
    folder.buffer.rechecked = None;
    let scan = folder.buffer.scan(stored).unwrap();
    assert_eq!((scan.found[0].run, scan.found[0].version), (1, 2));
}

#[test]
fn files_of_no_run_are_reported_and_side_files_are_not() {
    let mut folder = Folder::new(NEVER);
    for name in ["notes.txt", "run1.mid.crc32c", "run1.crc32c"] {
        folder.write(name);
    }
    fs::create_dir(folder.folder.path().join("run3.mid")).unwrap();
    let scan = folder.scan_new();
    assert_eq!(scan.unrecognised, ["notes.txt"]);
    assert_eq!(scan.files, 0);
}
