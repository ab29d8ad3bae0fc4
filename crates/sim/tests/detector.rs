//! What a simulated run file holds is what its truth says.

#![allow(clippy::unwrap_used, reason = "helpers of tests stop at once")]

use aquifer_digest::Digests;
use aquifer_midas::{BankName, EventKind, ReadError, Reader};
use aquifer_sim::{Detector, DetectorConfig, FrameSize, RunKind, RunTruth, TrackKind};
use jiff::Timestamp;

fn small() -> DetectorConfig {
    DetectorConfig::small("LAB".parse().unwrap())
}

fn take(detector: &mut Detector) -> (Vec<u8>, RunTruth) {
    let mut bytes = Vec::new();
    let start = detector.planned_start();
    let run = detector.next_run(start).unwrap();
    let truth = run.write(&mut bytes, &mut |due| due).unwrap();
    (bytes, truth)
}

/// One event as the reader sees it.
struct Seen {
    kind: EventKind,
    id: u16,
    serial: u32,
    time: u32,
    size: u32,
    odb_run: Option<u64>,
    banks: Vec<(String, String, usize)>,
    frame: Vec<u16>,
}

fn read(bytes: &[u8]) -> (Vec<Seen>, Option<ReadError>) {
    let mut reader = Reader::new(bytes);
    let mut all = Vec::new();
    loop {
        match reader.read_event() {
            Ok(None) => return (all, None),
            Err(error) => return (all, Some(error)),
            Ok(Some(event)) => {
                let banks = event.banks().into_iter().flatten().map(Result::unwrap);
                let frame = match event.kind() {
                    EventKind::Data => event.bank(BankName(*b"CAM0")).unwrap(),
                    _ => None,
                };
                all.push(Seen {
                    kind: event.kind(),
                    id: event.header.id,
                    serial: event.header.serial_number,
                    time: event.header.time_stamp,
                    size: event.header.data_size,
                    odb_run: event.odb().map(|odb| {
                        let odb = odb.parse().unwrap();
                        odb.get("/Runinfo/Run number").unwrap().as_u64().unwrap()
                    }),
                    banks: banks
                        .map(|b| (b.name.to_string(), b.tid.to_string(), b.data.len()))
                        .collect(),
                    frame: frame.map_or_else(Vec::new, |b| b.values().unwrap().collect()),
                });
            }
        }
    }
}

#[test]
fn a_run_file_reads_back_as_its_truth() {
    let config = DetectorConfig {
        first_run: 407,
        triggers_per_frame: 2,
        ..small()
    };
    let mut detector = Detector::new(config).unwrap();
    let (bytes, truth) = take(&mut detector);
    let (seen, error) = read(&bytes);
    assert!(error.is_none());
    assert!(!truth.crashed);
    let [first, inner @ .., last] = seen.as_slice() else {
        panic!("no begin or end of run");
    };
    assert_eq!((first.kind, first.serial), (EventKind::BeginOfRun, 407));
    assert_eq!((last.kind, last.serial), (EventKind::EndOfRun, 407));
    assert_eq!((first.odb_run, last.odb_run), (Some(407), Some(407)));
    assert_eq!(i64::from(first.time), truth.start.started_at.as_second());
    assert_eq!(i64::from(last.time), truth.ended_at.as_second());
    assert_eq!(inner.len() as u64, truth.events);
    assert_eq!((truth.frames.len(), truth.slow_events), (9, 3));
    let words = |boards: &[(usize, usize)], each: usize| -> usize {
        boards
            .iter()
            .map(|(channels, cells)| 6 + channels + each * (1 + cells))
            .sum()
    };
    let camera: Vec<_> = inner.iter().filter(|event| event.id == 1).collect();
    assert_eq!(camera.len(), truth.frames.len());
    for (event, frame) in camera.iter().zip(&truth.frames) {
        assert_eq!(event.serial, frame.serial_number);
        assert_eq!(frame.triggers.len(), 2);
        let head = 4 * (1 + words(&[(32, 1), (8, 0)], 2));
        let wanted = [
            ("CAM0", "UINT16", 64 * 64 * 2),
            ("DGH0", "UINT32", head),
            ("DIG0", "UINT16", 2 * 2 * (32 * 1024 + 8 * 4000)),
        ];
        let wanted = wanted.map(|(name, tid, size)| (name.to_owned(), tid.to_owned(), size));
        assert_eq!(event.banks, wanted);
    }
    for event in inner.iter().filter(|event| event.id != 1) {
        assert_eq!(event.id, 5);
        assert_eq!(event.banks, [("INPT".to_owned(), "FLOAT".to_owned(), 96)]);
    }
    let digests = Digests::of(&bytes);
    assert_eq!(truth.files[0].name.as_str(), "run00407.mid");
    assert_eq!(truth.files[0].size, digests.size);
    assert_eq!(truth.files[0].crc32c, digests.crc32c);
}

#[test]
fn slow_control_begins_a_run_with_the_count_of_the_run_before() {
    let mut detector = Detector::new(small()).unwrap();
    for wanted in [[0, 0, 1], [2, 0, 1]] {
        let (seen, _) = read(&take(&mut detector).0);
        let slow = seen.iter().filter(|event| event.id == 5);
        assert_eq!(slow.map(|event| event.serial).collect::<Vec<_>>(), wanted);
    }
}

#[test]
fn the_seed_decides_every_byte() {
    let runs = |seed| {
        let mut detector = Detector::new(DetectorConfig { seed, ..small() }).unwrap();
        (take(&mut detector), take(&mut detector))
    };
    assert_eq!(runs(7), runs(7));
    let ((first, _), (second, _)) = runs(7);
    let frames = |bytes: &[u8]| -> Vec<_> { read(bytes).0.into_iter().map(|e| e.frame).collect() };
    assert_ne!(
        frames(&first),
        frames(&second),
        "each run has its own noise"
    );
    assert_ne!(first, runs(8).0.0);
}

#[test]
fn runs_are_made_again_alone() {
    let config = DetectorConfig {
        slow_every: 0,
        ..small()
    };
    let mut detector = Detector::new(config.clone()).unwrap();
    take(&mut detector);
    let start = detector.planned_start();
    let (second, truth) = take(&mut detector);
    let mut again = Detector::new(config).unwrap();
    again.resume_at(truth.start.number);
    let mut bytes = Vec::new();
    let run = again.next_run(start).unwrap();
    assert_eq!(run.write(&mut bytes, &mut |due| due).unwrap(), truth);
    assert_eq!(bytes, second);
}

#[test]
fn a_crash_leaves_whole_events_and_a_piece() {
    let config = DetectorConfig {
        crash_probability: 1.0,
        ..small()
    };
    let mut detector = Detector::new(config).unwrap();
    let mut cut = 0;
    for _ in 0..40 {
        let (bytes, truth) = take(&mut detector);
        assert!(truth.crashed);
        assert_eq!(truth.files[0].size, bytes.len() as u64);
        assert_eq!(truth.files[0].crc32c, Digests::of(&bytes).crc32c);
        let (seen, error) = read(&bytes);
        cut += u32::from(matches!(error, Some(ReadError::Damaged(_))));
        assert!(seen.iter().all(|event| event.kind != EventKind::EndOfRun));
        let events = seen.iter().filter(|event| event.kind == EventKind::Data);
        assert_eq!(events.count() as u64, truth.events);
        let frames = seen.iter().filter(|event| event.id == 1).count();
        assert_eq!(frames, truth.frames.len());
    }
    assert!(cut >= 38, "a random byte is seldom an event's end: {cut}");
}

#[test]
fn times_are_those_of_the_pace() {
    let mut detector = Detector::new(small()).unwrap();
    let begin: Timestamp = "2030-05-06T07:08:09Z".parse().unwrap();
    let mut now = begin;
    let mut due = Vec::new();
    let mut bytes = Vec::new();
    let run = detector.next_run(begin).unwrap();
    let truth = run
        .write(&mut bytes, &mut |planned| {
            due.push(planned);
            now += std::time::Duration::from_secs(1);
            now
        })
        .unwrap();
    assert!(due.is_sorted() && due[0] > begin);
    assert_eq!(due.last(), Some(&(begin + detector.config().run_duration)));
    assert_eq!(truth.ended_at, now);
    assert_eq!(detector.planned_start(), now + detector.config().pause);
    let (seen, _) = read(&bytes);
    let times: Vec<_> = seen
        .iter()
        .filter(|event| event.id == 1)
        .map(|e| e.time)
        .collect();
    let first = begin.as_second() as u32 + 1;
    assert_eq!(times, (first..first + 9).collect::<Vec<_>>());
}

#[test]
fn a_pedestal_event_of_the_full_camera_has_the_real_size() {
    let config = DetectorConfig {
        first_run: 10,
        slow_every: 0,
        frames_per_run: 1,
        ..DetectorConfig::full("LAB".parse().unwrap())
    };
    let (bytes, truth) = take(&mut Detector::new(config).unwrap());
    assert_eq!(truth.start.kind, RunKind::Pedestal);
    let (seen, _) = read(&bytes);
    // As measured on events of the real DAQ, header included.
    assert_eq!(seen[1].size + 16, 10_616_868);
}

#[test]
fn the_truths_light_is_in_the_frames() {
    let frame = FrameSize {
        rows: 512,
        columns: 512,
    };
    let take_frames = |first_run, tracks_per_frame| {
        let config = DetectorConfig {
            first_run,
            frame,
            tracks_per_frame,
            frames_per_run: 30,
            slow_every: 0,
            pedestal_every: 10,
            ..small()
        };
        let (bytes, truth) = take(&mut Detector::new(config).unwrap());
        let frames = read(&bytes).0.into_iter().filter(|event| event.id == 1);
        (frames.map(|event| event.frame).collect::<Vec<_>>(), truth)
    };
    // The pedestal of each pixel, from a pedestal run of the same detector.
    let (dark, truth) = take_frames(10, 0.0);
    assert!(truth.frames.iter().all(|frame| frame.tracks.is_empty()));
    let pedestal: Vec<f64> = (0..frame.pixels())
        .map(|i| dark.iter().map(|frame| f64::from(frame[i])).sum::<f64>() / 30.0)
        .collect();
    let mean = pedestal.iter().sum::<f64>() / pedestal.len() as f64;
    assert!((mean - 100.0).abs() < 0.1, "{mean}");
    let (lit, truth) = take_frames(11, 3.0);
    let mut spots = 0;
    for (image, truth) in lit.iter().zip(&truth.frames) {
        let light = |rows: std::ops::Range<usize>, columns: std::ops::Range<usize>| -> f64 {
            rows.flat_map(|row| columns.clone().map(move |column| row * 512 + column))
                .map(|i| f64::from(image[i]) - pedestal[i])
                .sum()
        };
        let all: u64 = truth.tracks.iter().map(|track| track.counts).sum();
        // Noise of 2.8 counts in 512 x 512 pixels, and the pedestals' error: 1500 counts.
        let found = light(0..512, 0..512);
        assert!((found - all as f64).abs() < 8000.0, "{found} {all}");
        let far = |a: (f32, f32), b: (f32, f32)| (a.0 - b.0).hypot(a.1 - b.1) > 200.0;
        for (index, spot) in truth.tracks.iter().enumerate() {
            let alone = truth
                .tracks
                .iter()
                .enumerate()
                .all(|(other, track)| other == index || far(track.begin, spot.begin));
            let inside = |x: f32| (40.0..470.0).contains(&x);
            let inside = inside(spot.begin.0) && inside(spot.begin.1);
            if spot.kind == TrackKind::Spot && alone && inside && spot.counts > 4000 {
                let (row, column) = (spot.begin.0 as usize, spot.begin.1 as usize);
                let found = light(row - 35..row + 35, column - 35..column + 35);
                let ratio = found / spot.counts as f64;
                assert!((ratio - 1.0).abs() < 0.25, "{spot:?} {found}");
                spots += 1;
            }
        }
    }
    assert!(spots >= 3, "too few spots to tell: {spots}");
}
