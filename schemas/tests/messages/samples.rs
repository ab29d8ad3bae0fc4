//! One of each message with every field filled: what the golden bytes are made of.

use std::collections::BTreeMap;

use aquifer_schemas::{
    AlertSignal, ClosedBy, ClosedFile, DeadLetter, DeadLetterReason, Encoding, EventsTaken,
    EvidenceLevel, FileStored, OrderedFile, PurgeOrder, PurgeOutcome, Purged, RunClosed, RunOpened,
    RunStored, Severity, SlowSample, StoredFile, TakenEvent, event_id,
};
use jiff::Timestamp;
use uuid::Uuid;

fn time(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(1_790_000_000_000_000 + micros).unwrap()
}

fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    let entries = entries.iter();
    entries
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

pub(crate) fn stored_file() -> StoredFile {
    StoredFile {
        name: "run00042.mid.gz".parse().unwrap(),
        size: 12_345_678_901,
        crc64nvme: "ae8b14860a799888".to_owned(),
        adler32: "11e60398".to_owned(),
        crc32c: "e3069283".to_owned(),
        element: "cloud".to_owned(),
        bucket: "raw".to_owned(),
        key: "LNGS/00042/run00042.mid.gz".to_owned(),
        encoding: Encoding::Identity,
        stored_size: 12_345_678_901,
        evidence: EvidenceLevel::E3t,
    }
}

pub(crate) fn run_opened() -> RunOpened {
    RunOpened {
        event_id: event_id("LNGS/42", "opened", 1),
        site: "LNGS".parse().unwrap(),
        run: 42,
        version: 0,
        started_at: time(0),
        run_type: Some("pedestal".to_owned()),
        attributes: map(&[("operator", "Ada"), ("trigger", "free")]),
        producer: "daq@host".to_owned(),
    }
}

pub(crate) fn run_closed() -> RunClosed {
    RunClosed {
        event_id: event_id("LNGS/42", "closed", 3),
        site: "LNGS".parse().unwrap(),
        run: 42,
        version: 1,
        revision: 3,
        started_at: Some(time(0)),
        ended_at: time(3_600_000_001),
        run_type: Some("pedestal".to_owned()),
        closed_by: ClosedBy::Inferred,
        buffer: Some("buffer-a".to_owned()),
        files: vec![
            ClosedFile {
                name: "run00042.mid.gz".parse().unwrap(),
                size: Some(12_345_678_901),
                crc32c: Some("e3069283".to_owned()),
            },
            ClosedFile {
                name: "run00042 – late.mid".parse().unwrap(),
                size: None,
                crc32c: None,
            },
        ],
        events: Some(1_000_000),
        attributes: map(&[("operator", "Ada")]),
        producer: "m2c@host".to_owned(),
    }
}

pub(crate) fn file_stored() -> FileStored {
    FileStored {
        event_id: event_id("LNGS/42.v2/run00042.mid.gz", "stored", 5),
        site: "LNGS".parse().unwrap(),
        run: 42,
        version: 2,
        revision: 5,
        file: stored_file(),
        stored_at: time(3_700_000_000),
        producer: "m2c@host".to_owned(),
    }
}

pub(crate) fn run_stored() -> RunStored {
    RunStored {
        event_id: event_id("LNGS/42", "stored", 7),
        site: "LNGS".parse().unwrap(),
        run: 42,
        version: 1,
        revision: 7,
        run_type: None,
        closed_by: ClosedBy::Daq,
        started_at: None,
        ended_at: Some(time(3_600_000_001)),
        stored_at: time(3_700_000_000),
        files: vec![stored_file()],
        manifest: Some("LNGS/00042/manifest.json".to_owned()),
        producer: "m2c@host".to_owned(),
    }
}

const ORDER: Uuid = Uuid::from_u128(0x0193_5b1c_6a2e_7d43_9f00_5d2c_8b1a_4e77);

pub(crate) fn purge_order() -> PurgeOrder {
    PurgeOrder {
        event_id: event_id(&format!("purge order {ORDER}"), "purge-order", 8),
        order: ORDER,
        site: "LNGS".parse().unwrap(),
        run: 42,
        version: 1,
        revision: 8,
        buffer: "LNGS-buffer".to_owned(),
        files: vec![OrderedFile {
            name: "run00042.mid.gz".parse().unwrap(),
            size: 12_345_678_901,
            crc64nvme: "ae8b14860a799888".to_owned(),
            element: "cloud".to_owned(),
            evidence: EvidenceLevel::E4,
            evidence_method: "read-back".to_owned(),
            evidence_at: time(5_400_000_000),
        }],
        required: EvidenceLevel::E3,
        policy: "science.v3".to_owned(),
        reason: "the buffer is 81 % full".to_owned(),
        ordered_at: time(5_500_000_000),
        producer: "tape-r@host".to_owned(),
    }
}

pub(crate) fn purged() -> Purged {
    Purged {
        event_id: event_id(&format!("purge order {ORDER}"), "cancelled", 9),
        order: ORDER,
        site: "LNGS".parse().unwrap(),
        run: 42,
        version: 1,
        revision: 9,
        buffer: "LNGS-buffer".to_owned(),
        outcome: PurgeOutcome::Cancelled,
        files: vec!["run00042.mid.gz".parse().unwrap()],
        bytes: 0,
        reason: "run00042.mid.gz grew".to_owned(),
        ended_at: time(5_600_000_000),
        producer: "m2c@host".to_owned(),
    }
}

pub(crate) fn alert_signal() -> AlertSignal {
    AlertSignal {
        event_id: event_id("LNGS/42", "closed-by-inference", 3),
        name: "run-closed-by-inference".to_owned(),
        severity: Severity::Warning,
        subject: "LNGS/42".to_owned(),
        site: Some("LNGS".parse().unwrap()),
        run: Some(42),
        summary: "run LNGS/42 was closed because its file was quiet for 10 min".to_owned(),
        details: map(&[("quiet_secs", "600")]),
        cleared: false,
        occurred_at: time(4_200_000_000),
        producer: "m2c@host".to_owned(),
    }
}

pub(crate) fn dead_letter() -> DeadLetter {
    DeadLetter {
        event_id: event_id("aquifer.daq.run-closed/3/77", "buried by m2c.LNGS.a", 0),
        origin_topic: "aquifer.daq.run-closed".to_owned(),
        origin_partition: 3,
        origin_offset: 77,
        consumer: "m2c.LNGS.a".to_owned(),
        reason: DeadLetterReason::RefersToNothing,
        error: "unknown site `LNGX`".to_owned(),
        attempts: 5,
        key: Some(b"LNGX/42".to_vec()),
        value: vec![0xC3, 0x01, 0x00, 0xFF],
        headers: BTreeMap::from([("traceparent".to_owned(), b"00-aa-bb-01".to_vec())]),
        failed_at: time(5_000_000_000),
        producer: "m2c@host".to_owned(),
    }
}

pub(crate) fn slow_sample() -> SlowSample {
    let site = "LNGS".parse().unwrap();
    let source = "odb:/Equipment/Gas/Variables/Measured".to_owned();
    let values = [
        ("Measured[14]", 910.25),
        ("Measured[255]", f64::INFINITY),
        ("Measured[283]", -0.5),
    ];
    SlowSample {
        event_id: SlowSample::id(&site, &source, time(6_000_000)),
        site,
        source,
        run: Some(42),
        at: time(6_000_000),
        values: values.map(|(name, value)| (name.to_owned(), value)).into(),
        producer: "m2c@host".to_owned(),
    }
}

pub(crate) fn events_taken() -> EventsTaken {
    let event = |ordinal: u64| TakenEvent {
        ordinal,
        offset: ordinal * 10_616_868,
        length: 10_616_868,
        id: 1,
        serial: ordinal % 2,
    };
    EventsTaken {
        event_id: event_id("LNGS/42.v1/live/object", "taken", 0),
        site: "LNGS".parse().unwrap(),
        run: 42,
        version: 1,
        block: 3,
        file: "run00042.mid".parse().unwrap(),
        element: "cloud".to_owned(),
        bucket: "raw".to_owned(),
        key: "live/LNGS/00000042/v1/run00042.mid/3".to_owned(),
        size: 21_233_736,
        crc64nvme: "ae8b14860a799888".to_owned(),
        events: vec![event(3), event(7)],
        taken_at: time(0),
        producer: "m2c@host".to_owned(),
    }
}
