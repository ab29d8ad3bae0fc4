//! Files of the opaque detectors, as they look from outside.

#![allow(clippy::unwrap_used, reason = "helpers of tests stop at once")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aquifer_digest::Digests;
use aquifer_profile::{FileTemplate, RunNumbers};
use aquifer_sim::{
    Content, OpaqueConfig, OpaqueDaq, OpaqueEvent, OpaqueRun, listed_runs, read_run_list,
};
use jiff::Timestamp;

fn template(text: &str) -> FileTemplate {
    FileTemplate::parse(text).unwrap()
}

fn config(content: Content, files: &str) -> OpaqueConfig {
    OpaqueConfig {
        site: "LAB".parse().unwrap(),
        content,
        files: template(files),
        metadata: None,
        marker: None,
        temporary: ".tmp".to_owned(),
        numbers: RunNumbers::Counter,
        first_run: 26_760,
        seed: 1,
        first_start: Timestamp::from_second(1_305_853_512).unwrap(),
        run_duration: Duration::from_millis(300),
        pause: Duration::from_millis(100),
        events_per_run: 250,
        events_per_file: 100,
        fsync: false,
    }
}

fn folders() -> OpaqueConfig {
    OpaqueConfig {
        metadata: Some(template("{run:06}/run.json")),
        marker: Some(template("{run:06}/finished")),
        ..config(Content::Pulses, "{run:06}/e{run}-{subrun:04}.bin")
    }
}

fn daq(config: OpaqueConfig, folder: &Path) -> OpaqueDaq {
    OpaqueDaq::new(config, &folder.join("buffer"), &folder.join("list")).unwrap()
}

fn take(daq: &mut OpaqueDaq) -> OpaqueRun {
    daq.take_run(&mut |_| {}).unwrap()
}

/// Every file of the buffer.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let buffer = folder.join("buffer");
    let mut waiting = vec![buffer.clone()];
    let mut found = BTreeMap::new();
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                let name = path.strip_prefix(&buffer).unwrap().to_str().unwrap();
                found.insert(name.to_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn a_run_has_the_files_that_its_truth_says_and_a_marker() {
    let folder = tempfile::tempdir().unwrap();
    let mut daq = daq(folders(), folder.path());
    let mut heard = Vec::new();
    let run = daq
        .take_run(&mut |event| match event {
            OpaqueEvent::Opened(run) => heard.push((run.files.len(), run.opened("daq").run)),
            OpaqueEvent::Closed(run) => heard.push((run.files.len(), run.closed("daq", None).run)),
        })
        .unwrap();
    assert_eq!(heard, [(0, 26_760), (4, 26_760)]);
    let mut found = files(folder.path());
    assert_eq!(found.remove("026760/finished"), Some(Vec::new()));
    assert_eq!(found.len(), 4, "{:?}", found.keys());
    for file in &run.files {
        let digests = Digests::of(&found[file.name.as_str()]);
        assert_eq!((digests.size, digests.crc32c), (file.size, file.crc32c));
    }
    let description: serde_json::Value = serde_json::from_slice(&found["026760/run.json"]).unwrap();
    assert_eq!(
        (&description["events"], &description["run"]),
        (&250.into(), &26_760.into())
    );
    let list = listed_runs(read_run_list(&folder.path().join("list")).unwrap());
    assert_eq!(list.len(), 1);
    assert_eq!(list[0].files.len(), 4);
    assert_eq!(list[0].ended_at, Some(run.ended_at));
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_every_event_is_there() {
    let taken: Vec<_> = [1, 1, 2]
        .iter()
        .map(|seed| {
            let folder = tempfile::tempdir().unwrap();
            let config = OpaqueConfig {
                seed: *seed,
                ..folders()
            };
            take(&mut daq(config, folder.path()));
            files(folder.path())
        })
        .collect();
    assert_eq!(taken[0], taken[1]);
    assert_ne!(taken[0], taken[2]);
    let mut numbers = Vec::new();
    for part in 0..3 {
        let mut rest = taken[0][&format!("026760/e26760-{part:04}.bin")].as_slice();
        while let Some((length, after)) = rest.split_first_chunk() {
            let (event, after) = after.split_at(u32::from_le_bytes(*length) as usize);
            numbers.push(u32::from_le_bytes(*event.first_chunk().unwrap()));
            rest = after;
        }
    }
    assert_eq!(numbers, (0..250).collect::<Vec<u32>>());
}

#[test]
fn telemetry_comes_by_two_streams_and_runs_are_numbered_by_their_first_second() {
    let folder = tempfile::tempdir().unwrap();
    let config = OpaqueConfig {
        numbers: RunNumbers::StartSecond,
        first_run: 0,
        ..config(Content::Blocks, "HRDL{stream}/{run:010}-{subrun:03}.blk")
    };
    let mut daq = daq(config, folder.path());
    let numbers = [take(&mut daq).number, take(&mut daq).number];
    assert_eq!(numbers, [1_305_853_512, 1_305_853_513], "two in one second");
    let found = files(folder.path());
    assert_eq!(found.len(), 12);
    for stream in ["A", "B"] {
        assert!(found.contains_key(&format!("HRDL{stream}/1305853512-002.blk")));
    }
}

#[test]
fn a_daq_that_was_killed_goes_on_and_lists_what_was_complete() {
    let folder = tempfile::tempdir().unwrap();
    let run = take(&mut daq(folders(), folder.path()));
    // As if it had died before the last file had its name.
    let list = folder.path().join("list");
    let text = std::fs::read_to_string(&list).unwrap();
    std::fs::write(&list, text.lines().next().unwrap().to_owned() + "\n").unwrap();
    let buffer = folder.path().join("buffer/026760");
    std::fs::rename(buffer.join("run.json"), buffer.join("run.json.tmp")).unwrap();
    let mut again = daq(folders(), folder.path());
    assert_eq!(take(&mut again).number, 26_761);
    let runs = listed_runs(read_run_list(&list).unwrap());
    assert!(runs[0].crashed && runs[0].ended_at.is_some());
    let names: Vec<_> = runs[0].files.iter().map(|file| &file.name).collect();
    let complete: Vec<_> = run.files[..3].iter().map(|file| &file.name).collect();
    assert_eq!(names, complete);
}

#[test]
fn nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    take(&mut daq(folders(), folder.path()));
    std::fs::remove_file(folder.path().join("list")).unwrap();
    let mut reset = daq(folders(), folder.path());
    let error = reset.take_run(&mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("026760/e26760-0000.bin"), "{error}");
}
