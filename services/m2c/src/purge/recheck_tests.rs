//! What voids an order, and what does not.

use std::fs;
use std::io::Write as _;

use aquifer_digest::Digests;
use aquifer_schemas::{EvidenceLevel, FileState, PurgeState};
use jiff::{Timestamp, ToSpan as _};
use uuid::Uuid;

use super::*;

const BYTES: &[u8] = b"what the logger wrote";
const CRC: &str = "0123456789abcdef";

fn now() -> Timestamp {
    "2026-11-22T06:00:00Z".parse().unwrap()
}

fn ordered_file() -> PurgeOrderFile {
    PurgeOrderFile {
        name: "run1.mid".parse().unwrap(),
        state: FileState::PurgeOrdered,
        size: BYTES.len() as u64,
        crc64nvme: Digests::of(BYTES).crc64nvme.to_string(),
        identity: None,
        element: "S3".to_owned(),
        evidence: EvidenceLevel::E4,
        evidence_method: "read-back".to_owned(),
        evidence_value: format!("crc64nvme:{CRC} size:7"),
        evidence_at: now() - 5.minutes(),
        copy_state: ReplicaState::Available,
        copy_evidence: EvidenceLevel::E4,
        copy_location: "raw/1".to_owned(),
        copy_size: 7,
        copy_crc64nvme: Some(CRC.to_owned()),
    }
}

fn order() -> PurgeOrderRow {
    PurgeOrderRow {
        row: 1,
        order: Uuid::nil(),
        run: "LNGS/1".parse().unwrap(),
        run_state: RunState::Safe,
        held: false,
        buffer: "BUFFER".to_owned(),
        state: PurgeState::Proposed,
        policy: "by-hand".to_owned(),
        reason: String::new(),
        required: EvidenceLevel::E3,
        evidence_max_age: Duration::from_mins(10),
        ordered_by: "test".to_owned(),
        note: None,
        cancelled_because: None,
        restore_by: None,
        restore_reason: None,
        proposed_at: now() - 4.minutes(),
        checked_at: None,
        trashed_at: None,
        unlinking_at: None,
        ended_at: None,
        read_at: now(),
        files: vec![ordered_file()],
    }
}

#[test]
fn an_order_that_nothing_speaks_against_stands() {
    assert_eq!(freshness(&order(), Duration::from_mins(5)), Ok(()));
    assert_eq!(standing(&order()), Ok(()));
}

type Change = fn(&mut PurgeOrderRow);

#[test]
fn whatever_weakens_the_proof_voids_the_order() {
    let changes: [(&str, Change); 10] = [
        ("held", |order| order.held = true),
        ("degraded", |order| order.run_state = RunState::Degraded),
        ("quarantined", |order| {
            order.run_state = RunState::Quarantined;
        }),
        ("no file", |order| order.files.clear()),
        ("suspect", |order| {
            order.files[0].copy_state = ReplicaState::Suspect;
        }),
        ("written", |order| {
            order.files[0].copy_state = ReplicaState::Written;
        }),
        ("below", |order| {
            order.files[0].copy_evidence = EvidenceLevel::E2;
        }),
        ("below", |order| order.files[0].evidence = EvidenceLevel::E1),
        ("size:8 now", |order| order.files[0].copy_size = 8),
        ("unknown", |order| order.files[0].copy_crc64nvme = None),
    ];
    for (why, change) in changes {
        let mut order = order();
        change(&mut order);
        let void = standing(&order).unwrap_err();
        assert!(void.reason.contains(why), "{why}: {void:?}");
    }
}

#[test]
fn what_is_old_is_not_begun() {
    let void = freshness(&order(), Duration::from_mins(3)).unwrap_err();
    assert!(void.reason.contains("the order is"), "{void:?}");
    let mut stale = order();
    stale.evidence_max_age = Duration::from_mins(4);
    let void = freshness(&stale, Duration::from_mins(5)).unwrap_err();
    assert!(void.reason.contains("evidence of run1.mid"), "{void:?}");
}

#[test]
fn a_copy_that_is_gone_or_other_is_told_loudest() {
    let info = |size: u64, crc64nvme: Option<&str>| ObjectInfo {
        key: "raw/1".parse().unwrap(),
        size,
        etag: None,
        crc64nvme: crc64nvme.map(|text| text.parse().unwrap()),
        metadata: std::collections::BTreeMap::new(),
        last_modified: None,
    };
    let file = ordered_file();
    assert_eq!(copy(&file, Some(&info(7, Some(CRC)))), Ok(()));
    assert_eq!(copy(&file, Some(&info(7, None))), Ok(()));
    let gone = [
        None,
        Some(info(8, Some(CRC))),
        Some(info(7, Some("f123456789abcdef"))),
    ];
    for info in gone {
        let void = copy(&file, info.as_ref()).unwrap_err();
        assert_eq!(void.severity, Some(Severity::Critical), "{void:?}");
    }
}

struct Buffer {
    folder: tempfile::TempDir,
    known: Known,
}

impl Buffer {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run1.mid");
        fs::write(&path, BYTES).unwrap();
        let name: FileName = "run1.mid".parse().unwrap();
        let known = Known {
            name: BufferName {
                run: 1,
                subrun: None,
                of_many: false,
                file: name.clone(),
                disk: name,
                packed: false,
                temporary: false,
            },
            as_stored: KnownFile {
                identity: FileIdentity::from(&fs::symlink_metadata(&path).unwrap()),
                crc64nvme: Digests::of(BYTES).crc64nvme,
            },
        };
        Self { folder, known }
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("run1.mid")
    }

    /// Why the file voids an order; `None` if it is the sealed one.
    fn verdict(&self) -> Option<String> {
        let buffer = BufferDir::open(self.folder.path()).unwrap();
        match file(&buffer, &ordered_file(), &self.known).unwrap() {
            FileCheck::Sealed(_) => None,
            FileCheck::Void(void) => {
                assert!(void.suspect.is_some(), "{void:?}");
                Some(void.reason)
            }
        }
    }
}

#[test]
fn a_file_is_the_sealed_one_by_identity_or_by_its_bytes() {
    let buffer = Buffer::new();
    assert_eq!(buffer.verdict(), None);
    // Moved there and back: another time of change.
    let aside = buffer.folder.path().join("aside");
    fs::rename(buffer.path(), &aside).unwrap();
    fs::rename(&aside, buffer.path()).unwrap();
    assert_eq!(buffer.verdict(), None);
    // A copy: another inode, the same bytes.
    fs::copy(buffer.path(), &aside).unwrap();
    fs::rename(&aside, buffer.path()).unwrap();
    assert_eq!(buffer.verdict(), None);
}

#[test]
fn a_file_that_another_program_compressed_is_the_sealed_one_by_what_it_decodes_to() {
    let mut buffer = Buffer::new();
    let packed = |bytes: &[u8]| {
        let gzip = aquifer_midas::Encoding::Gzip;
        let mut encoder = aquifer_midas::Encoder::new(Vec::new(), gzip).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    buffer.known.name.disk = "run1.mid.gz".parse().unwrap();
    buffer.known.name.packed = true;
    let path = buffer.folder.path().join("run1.mid.gz");
    fs::write(&path, packed(BYTES)).unwrap();
    assert_eq!(buffer.verdict(), None);
    fs::write(&path, packed(b"other")).unwrap();
    assert!(buffer.verdict().unwrap().contains("run1.mid.gz has other"));
    // One that never decoded was stored as it is.
    fs::write(&path, BYTES).unwrap();
    assert_eq!(buffer.verdict(), None);
}

#[test]
fn any_other_file_voids_the_order() {
    let says = |buffer: &Buffer, what: &str| {
        let verdict = buffer.verdict().unwrap();
        assert!(verdict.contains(what), "{verdict}");
    };
    let buffer = Buffer::new();
    fs::write(buffer.path(), b"WHAT the logger wrote").unwrap();
    says(&buffer, "other bytes");
    fs::write(buffer.path(), b"longer than what the logger wrote").unwrap();
    says(&buffer, "33 bytes, and 21");
    fs::remove_file(buffer.path()).unwrap();
    says(&buffer, "not in the buffer");
    std::os::unix::fs::symlink("/etc/hostname", buffer.path()).unwrap();
    says(&buffer, "not a regular file");

    let buffer = Buffer::new();
    fs::hard_link(buffer.path(), buffer.folder.path().join("kept")).unwrap();
    says(&buffer, "2 names");

    let mut buffer = Buffer::new();
    buffer.known.as_stored.crc64nvme = Digests::of(b"other").crc64nvme;
    says(&buffer, "other bytes than the catalogue");
}

#[test]
fn who_has_a_file_open_is_seen() {
    let buffer = Buffer::new();
    let identity = [buffer.known.as_stored.identity];
    assert_eq!(
        users(&identity),
        Vec::<u32>::new(),
        "this process does not count"
    );
    let open = fs::File::open(buffer.path()).unwrap();
    let mut child = std::process::Command::new("cat")
        .stdin(std::process::Stdio::piped())
        .stdout(open)
        .spawn()
        .unwrap();
    assert!(users(&identity).contains(&child.id()));
    drop(child.stdin.take());
    child.wait().unwrap();
    assert!(!users(&identity).contains(&child.id()));
}
