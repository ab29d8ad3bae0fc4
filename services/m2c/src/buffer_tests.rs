//! The scan on a real folder: what is closed is found, once; what is open is left; what
//! is another form of a stored file is recognised; what is gone is missed, unless the
//! whole folder is.

use std::io::Write as _;

use aquifer_digest::Digests;
use aquifer_midas::{Encoder, Encoding, Writer};
use aquifer_profile::FileTemplate;
use aquifer_schemas::{EvidenceLevel, FileState};
use tempfile::TempDir;

use std::path::PathBuf;

use super::*;
use crate::close_rule::CloseRule;
use crate::examiner::Examination;
use crate::journal::{
    Closure, ExpectedFile, Ledger, Purge, PurgePhase, PurgedFile, Record, StoredFacts,
};
use crate::naming::{Marker, Naming, Temporary};
use crate::purge::TRASH;

#[path = "buffer_schedules.rs"]
mod schedules;

struct Folder {
    root: TempDir,
    buffer: Buffer,
    examination: Examination,
    ledger: Ledger,
}

const NEVER: Duration = Duration::from_hours(1);

fn rules(folder: &Path, templates: &[&str], quiet: Duration) -> BufferRules {
    let templates = templates
        .iter()
        .map(|text| FileTemplate::parse(text).unwrap());
    BufferRules {
        folder: folder.to_owned(),
        midas: true,
        naming: Naming {
            templates: templates.collect(),
            encodings: vec![".gz".to_owned()],
            temporary: vec![Temporary::parse(".*").unwrap()],
            markers: vec![
                Marker::parse("{name}.done").unwrap(),
                Marker::parse("run{run}.end").unwrap(),
            ],
            side_files_close: true,
            ignore_suffixes: Vec::new(),
        },
        close: CloseRule {
            announce_grace: Duration::ZERO,
            settle: Duration::ZERO,
            quiet,
            by_final_name: false,
            by_end_of_run: false,
        },
    }
}

fn name(text: &str) -> FileName {
    text.parse().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new(), Encoding::Gzip).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

impl Folder {
    fn new(templates: &[&str], quiet: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rules = rules(folder.path(), templates, quiet);
        Self::with(folder, rules)
    }

    fn with(folder: TempDir, rules: BufferRules) -> Self {
        let (examiner, examination) = Examiner::new();
        Self {
            root: folder,
            buffer: Buffer::new(rules, examiner),
            examination,
            ledger: Ledger::default(),
        }
    }

    fn change_rules(self, change: impl FnOnce(&mut BufferRules)) -> Self {
        let mut rules = self.buffer.rules.clone();
        change(&mut rules);
        Self::with(self.root, rules)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    fn scan(&mut self) -> Scan {
        self.buffer.rechecked = None;
        self.buffer.scan(&self.ledger).unwrap()
    }

    /// Scans until what had to be examined has been.
    fn scan_again(&mut self) -> Scan {
        self.scan();
        self.examination.run_now();
        self.scan()
    }

    /// The file under this name is stored and the catalogue knows it.
    fn stored(&mut self, run: RunNumber, own: &str) {
        let path = self.path(own);
        let bytes = fs::read(&path).unwrap();
        let digests = Digests::of(&bytes);
        let facts = StoredFacts {
            identity: identity(&path).unwrap().unwrap(),
            disk: None,
            digests,
            encoded: None,
            element: "S3".to_owned(),
            bucket: "b".to_owned(),
            key: own.to_owned(),
            evidence: EvidenceLevel::E2,
            evidence_method: "put".to_owned(),
            stored_at: Timestamp::UNIX_EPOCH,
        };
        for record in [
            closed(run, &[own]),
            Record::Stored {
                run,
                name: name(own),
                facts,
            },
            Record::Manifested {
                run,
                key: String::new(),
            },
        ] {
            self.ledger.apply(record);
        }
        self.recorded(run);
    }

    fn recorded(&mut self, run: RunNumber) {
        let facts = self.ledger.active(run).unwrap().facts;
        self.ledger.apply(Record::Recorded { run, facts });
    }

    fn quarantined(&mut self, run: RunNumber, own: &str, identity: Option<FileIdentity>) {
        self.ledger.apply(closed(run, &[own]));
        self.ledger.apply(Record::Quarantined {
            run,
            name: name(own),
            state: FileState::Vanished,
            reason: "test".to_owned(),
            identity,
        });
        self.recorded(run);
    }
}

fn closed(run: RunNumber, files: &[&str]) -> Record {
    Record::Closed {
        run,
        version: 1,
        closure: Closure {
            closed_by: ClosedBy::Daq,
            started_at: None,
            ended_at: Timestamp::UNIX_EPOCH,
            run_type: None,
            events: None,
            attributes: BTreeMap::new(),
            files: files.iter().map(|f| ExpectedFile::named(name(f))).collect(),
            trace: None,
            learnt_at: Timestamp::UNIX_EPOCH,
            instead: None,
        },
    }
}

fn found(scan: &Scan) -> Vec<(RunNumber, ClosedBy, Vec<&str>)> {
    let found = scan.found.iter();
    found
        .map(|found| {
            let files = found.files.iter().map(|file| file.name.as_str()).collect();
            (found.run, found.closed_by, files)
        })
        .collect()
}

const PLAIN: &[&str] = &["run{run}.mid"];

#[test]
fn a_side_file_closes_and_an_open_file_is_left() {
    for side in [
        "run00001.mid.crc32c",
        "run00001.crc32c",
        "run00001.mid.sha512",
    ] {
        let mut folder = Folder::new(PLAIN, NEVER);
        folder.write("run00001.mid", "x");
        folder.write(side, "");
        folder.write("run00002.mid", "x");
        let scan = folder.scan();
        assert_eq!(scan.files, 2);
        assert_eq!(found(&scan), [(1, ClosedBy::Logger, vec!["run00001.mid"])]);
    }
}

#[test]
fn runs_are_found_in_the_order_of_their_numbers() {
    let mut folder = Folder::new(PLAIN, Duration::ZERO);
    for run in ["run99999", "run100000", "run4294967296", "run0000000007"] {
        folder.write(&format!("{run}.mid"), "x");
    }
    let scan = folder.scan();
    let runs: Vec<_> = scan.found.iter().map(|found| found.run).collect();
    assert_eq!(runs, [7, 99_999, 100_000, 4_294_967_296]);
}

#[test]
fn markers_close_a_file_or_a_run() {
    let mut folder = Folder::new(PLAIN, NEVER);
    for text in [
        "run1.mid",
        "run1.mid.done",
        "run2.mid",
        "run2.end",
        "run3.mid",
    ] {
        folder.write(text, "");
    }
    let scan = folder.scan();
    assert_eq!(scan.unrecognised, [""; 0]);
    let runs: Vec<_> = scan.found.iter().map(|found| found.run).collect();
    assert_eq!(runs, [1, 2]);
}

#[test]
fn the_final_name_closes_where_it_is_trusted_and_a_temporary_one_never() {
    let folder = Folder::new(PLAIN, NEVER);
    let mut folder = folder.change_rules(|rules| rules.close.by_final_name = true);
    folder.write(".run1.mid", "x");
    assert_eq!(folder.scan().found, []);
    fs::rename(folder.path(".run1.mid"), folder.path("run1.mid")).unwrap();
    assert_eq!(folder.scan().found.len(), 1);
}

#[test]
fn a_temporary_file_whose_daq_died_is_closed_by_inference_under_its_final_name() {
    let mut folder = Folder::new(PLAIN, Duration::ZERO);
    folder.write(".run1.mid", "x");
    let scan = folder.scan();
    assert_eq!(found(&scan), [(1, ClosedBy::Inferred, vec!["run1.mid"])]);
    let lies_as = folder
        .buffer
        .rules
        .lies_as(&ExpectedFile::named(name("run1.mid")))
        .unwrap();
    assert_eq!(lies_as.disk, name(".run1.mid"));
}

#[test]
fn an_end_of_run_record_closes_where_it_is_trusted() {
    let folder = Folder::new(PLAIN, NEVER);
    let mut folder = folder.change_rules(|rules| rules.close.by_end_of_run = true);
    let mut writer = Writer::new(Vec::new());
    writer.begin_of_run(1, 1_700_000_000, b"{}").unwrap();
    folder.write("run1.mid", writer.into_inner());
    assert_eq!(folder.scan().found, [], "it may go on");
    let mut writer = Writer::new(Vec::new());
    writer.begin_of_run(1, 1_700_000_000, b"{}").unwrap();
    writer.end_of_run(1, 1_700_000_001, b"{}").unwrap();
    folder.write("run1.mid", writer.into_inner());
    assert_eq!(folder.scan().found.len(), 1);
}

#[test]
fn a_quiet_file_is_closed_by_inference() {
    let mut folder = Folder::new(PLAIN, Duration::ZERO);
    folder.write("run7.mid", "x");
    assert_eq!(folder.scan().found[0].closed_by, ClosedBy::Inferred);
}

#[test]
fn a_file_that_grows_is_never_quiet() {
    let mut folder = Folder::new(PLAIN, Duration::from_millis(1));
    for content in ["a", "ab", "abc"] {
        folder.write("run7.mid", content);
        assert_eq!(folder.scan().found, [], "after {content}");
    }
}

#[test]
fn a_compressed_file_is_closed_when_it_is_whole_and_not_before() {
    let mut folder = Folder::new(PLAIN, NEVER);
    let whole = gzip(b"some bytes of a run");
    folder.write("run1.mid.gz", &whole[..whole.len() - 1]);
    assert_eq!(folder.scan_again().found, []);
    folder.write("run1.mid.gz", &whole);
    let scan = folder.scan_again();
    assert_eq!(found(&scan), [(1, ClosedBy::Logger, vec!["run1.mid"])]);
}

#[test]
fn beside_the_plain_file_the_compressed_one_closes_nothing() {
    let mut folder = Folder::new(PLAIN, NEVER);
    folder.write("run1.mid", "still open");
    folder.write("run1.mid.gz", gzip(b"still o"));
    assert_eq!(folder.scan_again().found, []);
}

#[test]
fn a_stored_file_that_was_compressed_and_removed_is_the_same_file() {
    let mut folder = Folder::new(PLAIN, NEVER);
    folder.write("run1.mid", "bytes");
    folder.stored(1, "run1.mid");
    assert_eq!(folder.scan().found, []);
    let whole = gzip(b"bytes");
    // While it is written it is nothing.
    folder.write("run1.mid.gz", &whole[..5]);
    let scan = folder.scan_again();
    assert_eq!(
        (scan.found, scan.formed, scan.gone),
        (vec![], vec![], vec![])
    );
    folder.write("run1.mid.gz", &whole);
    let scan = folder.scan_again();
    assert_eq!(scan.found, []);
    let [(1, own, form)] = &scan.formed[..] else {
        panic!("{scan:?}");
    };
    assert_eq!(form.encoded.unwrap().digests, Digests::of(&whole));
    let (name, form) = (own.clone(), form.clone());
    folder.ledger.apply(Record::Formed { run: 1, name, form });
    folder.recorded(1);
    folder.remove("run1.mid");
    let scan = folder.scan();
    assert_eq!(scan.gone, [(1, self::name("run1.mid"))]);
    let (run, at) = (1, Timestamp::UNIX_EPOCH);
    let disk = self::name("run1.mid");
    folder.ledger.apply(Record::Gone { run, disk, at });
    assert_eq!(folder.ledger.active(1).unwrap().vanished().count(), 0);
    folder.recorded(1);
    let scan = folder.scan_again();
    assert_eq!(
        (scan.found, scan.formed, scan.gone),
        (vec![], vec![], vec![])
    );
}

#[test]
fn a_stored_file_that_was_only_touched_is_the_same_file() {
    let mut folder = Folder::new(PLAIN, Duration::ZERO);
    folder.write("run1.mid", "bytes");
    folder.stored(1, "run1.mid");
    folder.remove("run1.mid");
    folder.write("run1.mid", "bytes");
    let scan = folder.scan_again();
    assert_eq!(scan.found, []);
    assert_eq!(scan.formed.len(), 1);
}

#[test]
fn other_bytes_under_a_stored_name_are_the_next_version() {
    for (content, instead) in [
        ("other bytes", Instead::Other),
        ("bytes and more", Instead::Appended),
        ("byt", Instead::Other),
    ] {
        let mut folder = Folder::new(PLAIN, Duration::ZERO);
        folder.write("run1.mid", "bytes");
        folder.stored(1, "run1.mid");
        assert_eq!(folder.scan().found, []);
        folder.write("run1.mid", content);
        let scan = folder.scan_again();
        let found = &scan.found[0];
        assert_eq!((found.run, found.version), (1, 2), "{content}");
        assert_eq!(found.instead, Some(instead), "{content}");
    }
}

#[test]
fn another_run_under_a_compressed_name_is_the_next_version() {
    let mut folder = Folder::new(PLAIN, NEVER);
    folder.write("run1.mid", "bytes");
    folder.stored(1, "run1.mid");
    folder.remove("run1.mid");
    folder.write("run1.mid.gz", gzip(b"others"));
    let scan = folder.scan_again();
    let found = &scan.found[0];
    assert_eq!((found.version, found.instead), (2, Some(Instead::Other)));
}

#[test]
fn what_was_quarantined_gets_another_chance_when_it_changes() {
    let mut folder = Folder::new(PLAIN, Duration::ZERO);
    folder.write("run1.mid", "bad");
    let bad = identity(&folder.path("run1.mid")).unwrap();
    folder.quarantined(1, "run1.mid", bad);
    folder.quarantined(2, "run2.mid", None);
    assert_eq!(folder.scan().found, []);
    folder.write("run1.mid", "mended");
    folder.write("run2.mid", "came back");
    assert_eq!(folder.scan().found.len(), 2);
}

#[test]
fn subruns_are_closed_one_by_one_and_their_run_when_the_daq_moves_on() {
    let mut folder = Folder::new(&["run{run}sub{subrun}.mid"], NEVER);
    folder.write("run1sub0.mid", "x");
    folder.write("run1sub0.mid.crc32c", "");
    folder.write("run1sub1.mid", "x");
    let scan = folder.scan();
    assert!(!scan.found[0].over);
    assert_eq!(
        scan.found[0].files,
        [ExpectedFile::named(name("run1sub0.mid"))]
    );
    let close = |folder: &mut Folder, scan: Scan| {
        for found in scan.found {
            folder.ledger.apply(Record::FilesClosed {
                run: found.run,
                version: found.version,
                files: found.files,
                started_at: Timestamp::UNIX_EPOCH,
            });
        }
    };
    close(&mut folder, scan);
    folder.write("run2sub0.mid", "x");
    assert_eq!(folder.scan().found, [], "its second file is open");
    folder.write("run1sub1.mid.crc32c", "");
    let scan = folder.scan();
    close(&mut folder, scan);
    let scan = folder.scan();
    assert!(scan.found[0].over);
    assert_eq!(
        (scan.found[0].run, scan.found[0].closed_by),
        (1, ClosedBy::Logger)
    );
}

#[test]
fn a_folder_per_run_is_closed_by_its_marker() {
    let mut folder = Folder::new(&["run{run}/part_{subrun}.bin"], NEVER);
    folder.write("run00001/part_0.bin", "x");
    folder.write("run00001/part_1.bin", "y");
    folder.write("elsewhere/part_0.bin", "z");
    let scan = folder.scan();
    assert_eq!((scan.files, scan.found.len()), (2, 0));
    assert_eq!(scan.unrecognised, ["elsewhere/"]);
    folder.write("run1.end", "");
    let scan = folder.scan();
    let files = scan.found[0].files.iter();
    let files: Vec<_> = files.map(|file| file.name.as_str()).collect();
    assert_eq!(files, ["run00001/part_0.bin", "run00001/part_1.bin"]);
}

#[test]
fn a_file_without_a_number_ends_its_run_unless_it_lies_in_the_runs_own_folder() {
    let templates = ["{run}/part_{subrun}.bin", "{run}/about.json", "{run}.json"];
    let mut folder = Folder::new(&templates, NEVER);
    for text in ["1/part_0.bin", "1/about.json", "2.json"] {
        folder.write(text, "x");
        folder.write(&format!("{text}.done"), "");
    }
    let scan = folder.scan();
    let over: Vec<_> = scan
        .found
        .iter()
        .map(|found| (found.run, found.over))
        .collect();
    assert_eq!(over, [(1, false), (2, true)]);
    assert_eq!(scan.found[0].files.len(), 2);
}

#[test]
fn files_of_no_run_are_reported_and_side_files_are_not() {
    let mut folder = Folder::new(PLAIN, NEVER);
    for text in ["notes.txt", "run1.mid.crc32c", "run1.sha256"] {
        folder.write(text, "");
    }
    fs::create_dir(folder.path("run3.mid")).unwrap();
    fs::create_dir(folder.path("lost+found")).unwrap();
    fs::create_dir(folder.path(".trash")).unwrap();
    let mut scan = folder.scan();
    scan.unrecognised.sort_unstable();
    assert_eq!(scan.unrecognised, ["notes.txt", "run3.mid/"]);
    assert_eq!(scan.files, 0);
}

#[test]
fn names_that_are_no_text_are_reported_and_harm_nothing() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let mut folder = Folder::new(PLAIN, Duration::ZERO);
    let path = folder.root.path();
    fs::write(path.join(OsStr::from_bytes(b"run\xff1.mid")), "x").unwrap();
    fs::write(path.join("run1\n.mid"), "x").unwrap();
    folder.write("run2.mid", "x");
    let scan = folder.scan();
    assert_eq!(scan.unrecognised.len(), 2);
    assert_eq!(scan.found.len(), 1);
}

#[test]
fn links_and_pipes_hold_up_nothing_and_are_handed_on_to_be_quarantined() {
    let folder = Folder::new(PLAIN, Duration::ZERO);
    let mut folder = folder.change_rules(|rules| rules.close.by_end_of_run = true);
    std::os::unix::fs::symlink("/etc/hostname", folder.path("run1.mid")).unwrap();
    nix::unistd::mkfifo(&folder.path("run2.mid"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    nix::unistd::mkfifo(&folder.path("run3.mid.gz"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(folder.scan_again().found.len(), 3);
}

#[test]
fn a_folder_that_is_away_is_an_outage_and_no_loss() {
    let mut folder = Folder::new(PLAIN, Duration::ZERO);
    folder.write("run1.mid", "bytes");
    folder.stored(1, "run1.mid");
    assert!(!folder.scan().replaced);
    let away = folder.root.path().with_extension("away");
    fs::rename(folder.root.path(), &away).unwrap();
    folder.buffer.rechecked = None;
    assert!(folder.buffer.scan(&folder.ledger).is_err());
    // The empty mount point: nothing is missed, and what comes is found.
    fs::create_dir(folder.root.path()).unwrap();
    folder.write("run2.mid", "new");
    let scan = folder.scan();
    assert!(scan.replaced);
    assert_eq!((scan.gone.len(), scan.found.len()), (0, 1));
    fs::remove_dir_all(folder.root.path()).unwrap();
    fs::rename(&away, folder.root.path()).unwrap();
    let scan = folder.scan();
    assert!(!scan.replaced);
    assert_eq!((scan.gone.len(), scan.found.len()), (0, 0));
    folder.remove("run1.mid");
    assert_eq!(
        folder.scan().gone.len(),
        1,
        "now it is the folder that it was in"
    );
}

#[test]
fn two_ingesters_do_not_watch_one_folder() {
    let mut folder = Folder::new(PLAIN, NEVER);
    folder.scan();
    let (examiner, _) = Examiner::new();
    let mut second = Buffer::new(folder.buffer.rules.clone(), examiner);
    let error = second.claim().unwrap_err();
    assert!(error.to_string().contains("in use by another ingester"));
}

/// The figures of `loadtest/results/buffer-scan.md`.
#[test]
#[ignore = "a measurement: cargo test -p aquifer-m2c --lib -- --ignored --nocapture hundred_thousand"]
fn a_hundred_thousand_files_cost_one_listing() {
    let mut folder = Folder::new(PLAIN, NEVER);
    for run in 1..=100_000_u64 {
        let own = format!("run{run:05}.mid");
        folder.write(&own, "x");
        folder.stored(run, &own);
    }
    let resident = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    let cpu = || {
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        let fields: Vec<_> = stat.split_whitespace().collect();
        // User and system time, in hundredths of a second.
        let ticks = fields[13..15].iter().map(|f| f.parse::<u64>().unwrap());
        ticks.sum::<u64>() * 10
    };
    let before = resident();
    for (what, recheck) in [
        ("first", true),
        ("usual", false),
        ("usual", false),
        ("recheck", true),
    ] {
        if recheck {
            folder.buffer.rechecked = None;
        }
        let (began, busy) = (Instant::now(), cpu());
        let scan = folder.buffer.scan(&folder.ledger).unwrap();
        let (took, busy) = (began.elapsed().as_secs_f64() * 1e3, cpu() - busy);
        assert_eq!(
            (scan.files, scan.found.len(), scan.gone.len()),
            (100_000, 0, 0)
        );
        println!(
            "{what} scan: {took:.0} ms, {busy} ms of CPU, {} kB more than before",
            resident().saturating_sub(before)
        );
    }
}

fn purge(run: RunNumber, own: &str, phase: PurgePhase, identity: FileIdentity) -> Record {
    Record::Purge {
        run,
        order: uuid::Uuid::nil(),
        purge: Purge {
            version: 1,
            phase,
            files: vec![PurgedFile {
                name: name(own),
                disk: None,
                identity,
            }],
        },
    }
}

#[test]
fn what_an_order_moves_is_neither_looked_at_nor_missed() {
    let mut folder = Folder::new(&["run{run}.mid"], Duration::ZERO);
    folder.write("run1.mid", "one");
    folder.write("run2.mid", "two");
    folder.stored(1, "run1.mid");
    folder.stored(2, "run2.mid");
    assert_eq!(folder.scan().gone, []);
    let sealed = identity(&folder.path("run1.mid")).unwrap().unwrap();
    folder
        .ledger
        .apply(purge(1, "run1.mid", PurgePhase::Moving, sealed));
    folder.write("run1.mid", "others");
    assert!(folder.scan_again().found.is_empty(), "the order judges it");
    folder.write(&format!("{TRASH}/7/run1.mid"), "one");
    folder.remove("run1.mid");
    let scan = folder.scan_again();
    assert_eq!((scan.gone, scan.unrecognised), (vec![], vec![]));
    folder.remove("run2.mid");
    assert_eq!(folder.scan().gone, [(2, name("run2.mid"))]);
}

#[test]
fn a_file_under_the_name_of_one_in_the_trash_is_of_the_next_version() {
    let mut folder = Folder::new(&["run{run}.mid"], Duration::ZERO);
    folder.write("run1.mid", "one");
    folder.stored(1, "run1.mid");
    let sealed = identity(&folder.path("run1.mid")).unwrap().unwrap();
    folder
        .ledger
        .apply(purge(1, "run1.mid", PurgePhase::Trashed, sealed));
    folder.write("run1.mid", "the number again");
    let scan = folder.scan_again();
    assert_eq!(scan.found.len(), 1, "{scan:?}");
    let found = &scan.found[0];
    assert_eq!((found.run, found.version), (1, 2));
    assert_eq!(found.instead, Some(Instead::Other));
}
