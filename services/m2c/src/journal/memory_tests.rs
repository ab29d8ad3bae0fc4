//! How much memory the files of a full buffer take, as the system counts it: in a process
//! of its own, because a test's neighbours allocate too.

use std::process::Command;

use aquifer_digest::{Digests, FileIdentity};
use aquifer_schemas::{ClosedBy, EvidenceLevel, FileName, RunNumber};
use jiff::Timestamp;

use super::*;

const RUNS: u64 = 200_000;

/// Bytes that a settled run of one file may take.
const MOST_PER_RUN: u64 = 256;

/// What a rewrite of the whole journal may take beside.
const MOST_TO_REWRITE: u64 = 8 << 20;

/// A figure of this process, in bytes.
fn status(figure: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with(figure))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

fn settle(ledger: &mut Ledger, run: RunNumber) {
    let name: FileName = format!("run{run:06}.mid").parse().unwrap();
    let closure = Closure {
        closed_by: ClosedBy::Logger,
        started_at: None,
        ended_at: Timestamp::UNIX_EPOCH,
        run_type: None,
        events: None,
        attributes: std::collections::BTreeMap::new(),
        files: vec![ExpectedFile::named(name.clone())],
        trace: None,
        learnt_at: Timestamp::UNIX_EPOCH,
        instead: None,
    };
    let facts = StoredFacts {
        identity: FileIdentity {
            dev: 1,
            ino: run,
            size: 3_000_000_000,
            mtime_ns: 1_700_000_000_000_000_000,
            ctime_ns: 1_700_000_000_000_000_000,
        },
        disk: None,
        digests: Digests::of(&run.to_le_bytes()),
        encoded: None,
        element: "S3".to_owned(),
        bucket: "experiment-data".to_owned(),
        key: format!("raw/LNGS/{run:08}/v1/{name}"),
        evidence: EvidenceLevel::E2,
        evidence_method: "written with crc64nvme".to_owned(),
        stored_at: Timestamp::UNIX_EPOCH,
    };
    let version = 1;
    let key = format!("raw/LNGS/{run:08}/v1/manifest.r1.json");
    ledger.apply(Record::Closed {
        run,
        version,
        closure,
    });
    ledger.apply(Record::Stored { run, name, facts });
    ledger.apply(Record::Manifested { run, key });
    let facts = ledger.active(run).unwrap().facts;
    ledger.apply(Record::Recorded { run, facts });
    assert!(ledger.active(run).is_none());
}

#[test]
#[ignore = "runs in a process of its own, started by the test below"]
fn fill_and_rewrite() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(folder.path(), &mut |_| ()).unwrap();
    let before = status("VmRSS");
    let mut ledger = Ledger::default();
    for run in 0..RUNS {
        settle(&mut ledger, run);
    }
    let full = status("VmRSS");
    let mut writer = Writer {
        log,
        ledger: Arc::new(Mutex::new(ledger)),
        changed: Arc::default(),
        rewrite_above: 0,
    };
    writer.rewrite_if_long();
    let peak = status("VmHWM");
    assert!(
        writer.log.length() > RUNS * 100,
        "the journal was rewritten"
    );
    println!("figures {} {}", (full - before) / RUNS, peak - full);
}

#[test]
fn a_settled_run_takes_little_memory_and_a_rewrite_no_more_the_longer_the_journal() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "journal::memory_tests::fill_and_rewrite"])
        .args(["--ignored", "--nocapture"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.split_once("figures "));
    let (_, figures) = line.unwrap_or_else(|| panic!("{text}"));
    let figures: Vec<u64> = figures
        .split(' ')
        .map(|f| f.trim().parse().unwrap())
        .collect();
    println!(
        "{} bytes per settled run, {} to rewrite",
        figures[0], figures[1]
    );
    assert!(figures[0] <= MOST_PER_RUN, "{} bytes per run", figures[0]);
    assert!(
        figures[1] <= MOST_TO_REWRITE,
        "{} bytes to rewrite",
        figures[1]
    );
}
