//! The buffer folder and the list of runs, as they look from outside.

#![allow(clippy::unwrap_used, reason = "helpers of tests stop at once")]

use std::collections::BTreeSet;
use std::path::PathBuf;

use aquifer_digest::Digests;
use aquifer_sim::{Daq, DaqError, DaqEvent, DetectorConfig, RunTruth, listed_runs, read_run_list};
use tempfile::TempDir;

struct Site {
    folder: TempDir,
    config: DetectorConfig,
}

impl Site {
    fn new(crash_probability: f64) -> Self {
        let config = DetectorConfig {
            first_run: 42,
            frames_per_run: 2,
            crash_probability,
            ..DetectorConfig::small("LAB".parse().unwrap())
        };
        Self {
            folder: tempfile::tempdir().unwrap(),
            config,
        }
    }

    fn buffer(&self) -> PathBuf {
        self.folder.path().join("buffer")
    }

    fn list(&self) -> PathBuf {
        self.folder.path().join("daq-runs.jsonl")
    }

    fn daq(&self) -> Daq {
        Daq::new(self.config.clone(), &self.buffer(), &self.list()).unwrap()
    }

    fn names(&self) -> BTreeSet<String> {
        let entries = std::fs::read_dir(self.buffer()).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    fn names_are(&self, wanted: &[&str]) {
        let wanted = wanted.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(self.names(), wanted);
    }
}

fn take(daq: &mut Daq) -> RunTruth {
    daq.take_run(&mut |_| {}).unwrap()
}

#[test]
fn a_finished_run_has_the_loggers_side_files() {
    for fsync in [false, true] {
        let mut site = Site::new(0.0);
        site.config.fsync = fsync;
        let truth = take(&mut site.daq());
        site.names_are(&["run00042.crc32c", "run00042.mid", "run00042.mid.crc32c"]);
        let read = |name| std::fs::read(site.buffer().join(name)).unwrap();
        let digests = Digests::of(&read("run00042.mid"));
        assert_eq!(truth.files[0].crc32c, digests.crc32c);
        let line = |path: &str| {
            let (checksum, bytes) = (digests.crc32c, digests.size);
            let buffer = site.buffer();
            format!("{checksum} {bytes} {}/{path}\n", buffer.display()).into_bytes()
        };
        assert_eq!(read("run00042.crc32c"), line("run00042"));
        assert_eq!(read("run00042.mid.crc32c"), line("run00042.mid"));
    }
}

#[test]
fn announcements_come_when_they_are_true() {
    let site = Site::new(0.0);
    let mut heard = Vec::new();
    let truth = site
        .daq()
        .take_run(&mut |event| {
            let listed = read_run_list(&site.list()).unwrap();
            match event {
                DaqEvent::Opened(start) => {
                    heard.push(("opened", start.number));
                    site.names_are(&["run00042.mid"]);
                    assert_eq!(listed.last().unwrap().ended_at, None);
                }
                DaqEvent::Closed(truth) => {
                    heard.push(("closed", truth.start.number));
                    assert_eq!(site.names().len(), 3);
                    assert_eq!(listed.last().unwrap().ended_at, Some(truth.ended_at));
                }
            }
        })
        .unwrap();
    assert_eq!(heard, [("opened", 42), ("closed", 42)]);
    let listed = listed_runs(read_run_list(&site.list()).unwrap());
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].files[0].size, Some(truth.files[0].size));
    assert_eq!(listed[0].files[0].crc32c, Some(truth.files[0].crc32c));
    assert!(!listed[0].crashed);
}

#[test]
fn a_crashed_run_is_left_as_it_was_and_never_announced_as_closed() {
    let site = Site::new(1.0);
    let mut daq = site.daq();
    let mut closed = 0;
    for number in 42..45 {
        let truth = daq
            .take_run(&mut |event| {
                closed += u32::from(matches!(event, DaqEvent::Closed(_)));
            })
            .unwrap();
        assert!(truth.crashed);
        assert_eq!(truth.start.number, number);
    }
    assert_eq!(closed, 0);
    site.names_are(&["run00042.mid", "run00043.mid", "run00044.mid"]);
    let listed = listed_runs(read_run_list(&site.list()).unwrap());
    assert_eq!(listed.len(), 3);
    for run in listed {
        assert!(run.crashed && run.ended_at.is_some());
        let file = &run.files[0];
        let bytes = std::fs::read(site.buffer().join(file.name.as_str())).unwrap();
        assert_eq!(file.size, Some(bytes.len() as u64));
        assert_eq!(file.crc32c, Some(Digests::of(&bytes).crc32c));
    }
}

#[test]
fn a_daq_made_anew_goes_on_with_the_next_number() {
    let site = Site::new(0.0);
    take(&mut site.daq());
    take(&mut site.daq());
    let listed = listed_runs(read_run_list(&site.list()).unwrap());
    let numbers: Vec<_> = listed.iter().map(|run| run.number).collect();
    assert_eq!(numbers, [42, 43]);
}

#[test]
fn a_killed_daqs_run_is_ended_as_it_stands() {
    let site = Site::new(0.0);
    let mut daq = site.daq();
    take(&mut daq);
    take(&mut daq);
    take(&mut daq);
    // Killed: within the second run, and before the third one's file was made.
    let list = std::fs::read_to_string(site.list()).unwrap();
    let began: Vec<_> = list.lines().step_by(2).collect();
    std::fs::write(site.list(), began.join("\n") + "\n").unwrap();
    let file = |name| site.buffer().join(name);
    std::fs::write(file("run00043.mid"), b"123456789").unwrap();
    for name in ["run00043.crc32c", "run00043.mid.crc32c", "run00044.mid"] {
        std::fs::remove_file(file(name)).unwrap();
    }
    let truth = take(&mut site.daq());
    assert_eq!(truth.start.number, 45);
    let listed = listed_runs(read_run_list(&site.list()).unwrap());
    let [whole, cut, none, _] = listed.as_slice() else {
        panic!("{listed:?}");
    };
    assert!(!whole.crashed && whole.ended_at.is_some());
    assert!(cut.crashed && cut.ended_at.is_some());
    assert_eq!(cut.files[0].size, Some(9));
    assert_eq!(cut.files[0].crc32c.unwrap().to_string(), "e3069283");
    assert!(none.crashed && none.ended_at.is_some() && none.files.is_empty());
}

#[test]
fn an_older_run_of_the_same_number_is_never_overwritten() {
    let site = Site::new(0.0);
    take(&mut site.daq());
    let before = std::fs::read(site.buffer().join("run00042.mid")).unwrap();
    // The counter is set back: the list is gone, the buffer is not.
    std::fs::remove_file(site.list()).unwrap();
    let error = site.daq().take_run(&mut |_| {}).unwrap_err();
    assert!(matches!(error, DaqError::Io { .. }), "{error}");
    let after = std::fs::read(site.buffer().join("run00042.mid")).unwrap();
    assert_eq!(before, after);
    assert!(read_run_list(&site.list()).unwrap().is_empty());
}

#[test]
fn the_checksum_of_the_file_comes_last_and_no_run_ends_without_it() {
    let site = Site::new(0.0);
    let mut daq = site.daq();
    // In the way of the second side file.
    std::fs::create_dir(site.buffer().join("run00042.mid.crc32c")).unwrap();
    let mut closed = false;
    let result = daq.take_run(&mut |event| closed |= matches!(event, DaqEvent::Closed(_)));
    assert!(result.is_err() && !closed);
    assert!(site.names().contains("run00042.crc32c"));
    let listed = read_run_list(&site.list()).unwrap();
    assert_eq!(listed.last().unwrap().ended_at, None);
    // Without the first there is no second.
    std::fs::create_dir(site.buffer().join("run00043.crc32c")).unwrap();
    assert!(daq.take_run(&mut |_| {}).is_err());
    assert!(!site.names().contains("run00043.mid.crc32c"));
}
