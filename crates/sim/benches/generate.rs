//! Speed of making runs: frames of the full camera, and small runs into a folder.

use std::io;

use aquifer_sim::{Daq, Detector, DetectorConfig};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

fn site() -> aquifer_schemas::Site {
    "LAB".parse().expect("a site")
}

/// One frame with its tracks and waveforms, digested and given away.
#[divan::bench(args = [0, 2])]
fn full_frame(bencher: Bencher<'_, '_>, triggers: u32) {
    let config = DetectorConfig {
        frames_per_run: 1,
        triggers_per_frame: triggers,
        pedestal_every: 0,
        ..DetectorConfig::full(site())
    };
    let mut detector = Detector::new(config).expect("a detector");
    bencher
        .counter(BytesCount::new(2304 * 2304 * 2_usize))
        .bench_local(|| {
            let start = detector.planned_start();
            let run = detector.next_run(start).expect("a number");
            black_box(run.write(io::sink(), &mut |due| due).expect("a sink"))
        });
}

/// A run of some 100 kB with its side files and lines of the list.
#[divan::bench]
fn small_run(bencher: Bencher<'_, '_>) {
    let folder = tempfile::tempdir().expect("a folder");
    let list = folder.path().join("daq-runs.jsonl");
    let buffer = folder.path().join("buffer");
    let mut daq = Daq::new(DetectorConfig::small(site()), &buffer, &list).expect("a DAQ");
    bencher
        .counter(ItemsCount::new(1_usize))
        .bench_local(|| black_box(daq.take_run(&mut |_| {}).expect("room")));
}
