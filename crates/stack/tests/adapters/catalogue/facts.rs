//! Facts about runs of LNGS, as an observer of the buffer would bring them.

use std::collections::BTreeMap;

use aquifer_catalogue::{Attribute, ClosedFile, ClosedRun, OpenedRun, StoredFileFacts, StoredRun};
use aquifer_digest::FileIdentity;
use aquifer_schemas::{
    AlertSignal, ClosedBy, Encoding, EvidenceLevel, FileName, RunId, Severity, Site, event_id,
};
use jiff::Timestamp;

pub(crate) const WHO: &str = "test@here";

pub(crate) fn lngs() -> Site {
    "LNGS".parse().unwrap()
}

pub(crate) fn run(number: u64) -> RunId {
    RunId::first(lngs(), number)
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn name(text: &str) -> FileName {
    text.parse().unwrap()
}

pub(crate) fn signal(id: &RunId, kind: &str) -> AlertSignal {
    AlertSignal {
        event_id: event_id(&id.to_string(), kind, 1),
        name: kind.to_owned(),
        severity: Severity::Warning,
        subject: id.to_string(),
        site: Some(id.site.clone()),
        run: Some(id.number),
        summary: kind.to_owned(),
        details: BTreeMap::new(),
        cleared: false,
        occurred_at: at("2026-11-22T06:00:00Z"),
        producer: WHO.to_owned(),
    }
}

pub(crate) fn opened(id: &RunId) -> OpenedRun {
    OpenedRun {
        id: id.clone(),
        started_at: at("2026-11-22T05:00:00.123456789Z"),
        run_type: Some("physics".to_owned()),
        attributes: BTreeMap::from([("shifter".to_owned(), Attribute::text("Ada"))]),
        streaming: Vec::new(),
        trace: None,
        who: WHO.to_owned(),
    }
}

pub(crate) fn closed(id: &RunId, files: &[&str]) -> ClosedRun {
    ClosedRun {
        id: id.clone(),
        started_at: Some(at("2026-11-22T05:00:00.123456789Z")),
        ended_at: at("2026-11-22T06:00:00.5Z"),
        run_type: Some("physics".to_owned()),
        closed_by: ClosedBy::Daq,
        events: Some(400),
        attributes: BTreeMap::from([
            ("GEM1_V".to_owned(), Attribute::number(440.5).with_unit("V")),
            ("pedestal".to_owned(), Attribute::bool(false)),
            ("flow".to_owned(), Attribute::number(f64::NAN)),
        ]),
        files: files
            .iter()
            .map(|file| ClosedFile {
                name: name(file),
                size: Some(1000),
            })
            .collect(),
        buffer: "BUFFER".to_owned(),
        trace: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        who: WHO.to_owned(),
        announce: true,
        signals: vec![signal(id, "closed")],
    }
}

pub(crate) fn facts(id: &RunId, file: &str, size: u64) -> StoredFileFacts {
    StoredFileFacts {
        name: name(file),
        size,
        crc64nvme: "0123456789abcdef".to_owned(),
        adler32: "01234567".to_owned(),
        crc32c: "89abcdef".to_owned(),
        identity: FileIdentity {
            dev: u64::MAX,
            ino: 12,
            size,
            mtime_ns: 1_795_000_000_000_000_001,
            ctime_ns: 1_795_000_000_000_000_002,
        },
        element: "S3".to_owned(),
        bucket: "raw".to_owned(),
        key: format!("{}/{}/{file}", id.site, id.number),
        encoding: Encoding::Identity,
        stored_size: size,
        stored_crc64nvme: "0123456789abcdef".to_owned(),
        evidence: EvidenceLevel::E2,
        evidence_method: "head-object".to_owned(),
        sealed_at: at("2026-11-22T06:00:01Z"),
        stored_at: at("2026-11-22T06:00:02Z"),
    }
}

/// A run of these files, of which these are stored.
pub(crate) fn stored(id: &RunId, files: &[&str], now: &[&str]) -> StoredRun {
    StoredRun {
        closed: closed(id, files),
        files: now.iter().map(|file| facts(id, file, 1000)).collect(),
        manifest_key: Some("manifest.json".to_owned()),
        signals: vec![signal(id, "stored")],
    }
}
