//! Runs that are uploaded, compressed, while the DAQ writes them: complete soon after
//! their end, whoever is killed, and never other than the file.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use aquifer_bus::Producer;
use aquifer_digest::Digests;
use aquifer_storage::StorageElement;

use crate::deployment::{Deployment, take};
use crate::slow_run::{AwaitOn, SlowRun};

/// Everything of a megabyte or more is streamed and compressed.
const STREAM: &str = r#"
    [m2c.stream]
    encoding = "gzip"
    level = 1
    part-input-mib = 1
    min-size-mib = 1
    min-age-secs = 0
    poll-ms = 50
"#;

impl Deployment {
    fn m2c_log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("m2c.log")).unwrap_or_default()
    }

    /// Waits until the ingester has said so.
    fn wait_said(&self, words: &str) {
        self.wait_until(words, || self.m2c_log().contains(words));
    }

    fn file(&self, run: u64) -> PathBuf {
        self.buffer().join(format!("run{run:05}.mid"))
    }

    /// Waits until the file has so many bytes.
    fn wait_size(&self, run: u64, bytes: u64) {
        self.wait_until("the run grows", || {
            std::fs::metadata(self.file(run)).is_ok_and(|file| file.len() >= bytes)
        });
    }

    /// The object of a run's file, as it is and as any other program would decode it.
    fn object(&self, run: u64) -> (Vec<u8>, Vec<u8>) {
        let key = format!("raw/LAB/{run:08}/v1/run{run:05}.mid.gz");
        let read = self
            .storage()
            .read_all(&key.parse().unwrap(), 1 << 30)
            .await_on(self);
        let mut decoded = Vec::new();
        flate2::read::MultiGzDecoder::new(&read[..])
            .read_to_end(&mut decoded)
            .unwrap();
        (read.to_vec(), decoded)
    }
}

#[test]
fn an_open_run_is_uploaded_goes_on_after_a_kill_and_is_stored_soon_after_its_end() {
    let deployment = Deployment::start();
    deployment.configure(STREAM);
    deployment.quiet_after(60);
    let producer = Producer::connect(&deployment.kafka()).unwrap();
    let relay = deployment.service("relay", None);
    let mut m2c = deployment.service("m2c", Some("m2c.part-journaled:2"));
    let run = SlowRun::begin(&deployment);
    deployment.wait_until("death after two parts", || m2c.is_killed());
    let m2c = deployment.service("m2c", None);
    deployment.wait_said("upload in parts goes on");
    assert!(
        deployment.m2c_log().contains("parts=2"),
        "{}",
        deployment.logs()
    );
    deployment.wait_until("the upload is seen", || {
        let shown = deployment.expect(&["runs", "show", "1"]);
        shown.contains("streaming") && shown.contains("open")
    });
    let report = deployment.audit(&["--strict"]);
    assert_eq!(
        report["unaccounted"], 0,
        "an open run is no fault: {report:#}"
    );
    let truth = run.end();
    let ended = Instant::now();
    deployment.announce(&producer, &truth);
    deployment.wait_until("stored", || deployment.count("stored") == 1);
    let took = ended.elapsed();
    assert!(
        took < Duration::from_secs(15),
        "{took:?} after the end of the run"
    );
    let (object, decoded) = deployment.object(1);
    assert!(object.len() < decoded.len() * 3 / 4);
    assert!(decoded == std::fs::read(deployment.file(1)).unwrap());
    deployment.wait_stored(1);
    deployment.check_conserved(1);
    let announced = deployment.announced();
    let file = &announced[&1][0].files[0];
    assert_eq!(file.encoding.as_str(), "gzip");
    assert_eq!(file.stored_size, object.len() as u64);
    assert_eq!(file.crc64nvme, Digests::of(&decoded).crc64nvme.to_string());
    drop((m2c, relay));
}

#[test]
fn bytes_that_the_logger_did_not_write_are_read_again_and_then_quarantined() {
    let deployment = Deployment::start();
    deployment.configure(STREAM);
    deployment.quiet_after(60);
    let relay = deployment.service("relay", None);
    let flip = |run: u64| {
        let path = deployment.file(run);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, 300_000).unwrap();
        file.write_all_at(&[byte[0] ^ 1], 300_000).unwrap();
    };
    // The disk gives a wrong byte while the run is open, and the right one later.
    let run = SlowRun::begin(&deployment);
    deployment.wait_size(1, 20_000_000);
    flip(1);
    let mut m2c = deployment.service("m2c", Some("m2c.stream-dropped"));
    deployment.wait_until("uploaded so far", || deployment.streamed_parts(1) >= 2);
    flip(1);
    run.end();
    deployment.wait_until("death with the upload dropped", || m2c.is_killed());
    let m2c = deployment.service("m2c", None);
    deployment.wait_stored(1);
    deployment.check_conserved(1);
    m2c.stop();
    // The disk gives the wrong byte for good.
    let run = SlowRun::begin(&deployment);
    deployment.wait_size(2, 20_000_000);
    flip(2);
    let m2c = deployment.service("m2c", None);
    deployment.wait_until("uploaded so far", || deployment.streamed_parts(2) >= 2);
    run.end();
    deployment.wait_until("quarantined", || deployment.count("quarantined") == 1);
    deployment.wait_until("signal out", || !deployment.signals().is_empty());
    assert_eq!(deployment.signals()[0].name, "file-changed");
    let left = deployment.unfinished();
    assert!(left.is_empty(), "{left:?}");
    drop((m2c, relay));
}

#[test]
fn a_file_that_is_cut_or_written_anew_is_begun_again() {
    let deployment = Deployment::start();
    deployment.configure(STREAM);
    deployment.quiet_after(15);
    let m2c = deployment.service("m2c", None);
    let relay = deployment.service("relay", None);
    let bytes = |seed: u64| -> Vec<u8> {
        // A sequence without period that does not compress.
        let mut state = seed;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as u8
        };
        (0..14_000_000).map(|_| next()).collect()
    };
    let (first, second) = (bytes(1), bytes(2));
    let path = deployment.file(1);
    let mut file = File::create(&path).unwrap();
    file.write_all(&first).unwrap();
    deployment.wait_until("uploaded so far", || deployment.streamed_parts(1) >= 2);
    file.set_len(1_000_000).unwrap();
    deployment.wait_said("shrank");
    // Another run is written under the name, by a DAQ that dies: nobody says what it is.
    let other = deployment.buffer().join(".other");
    std::fs::write(&other, &second).unwrap();
    std::fs::rename(&other, &path).unwrap();
    deployment.wait_until("uploaded anew", || deployment.streamed_parts(1) >= 2);
    // One byte that was read already: only another look at the disk shows it.
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[!second[7]], 7).unwrap();
    deployment.wait_said("written anew after they had been read");
    deployment.wait_stored(1);
    let (_, decoded) = deployment.object(1);
    assert!(decoded == std::fs::read(&path).unwrap());
    assert!(decoded[7] == !second[7] && decoded[8..] == second[8..]);
    let left = deployment.unfinished();
    assert!(left.is_empty(), "{left:?}");
    drop((m2c, relay));
}

#[test]
fn a_file_that_was_closed_before_anybody_looked_is_compressed_alike() {
    let deployment = Deployment::start();
    // Nothing is followed, and all that is large is compressed.
    let alone = STREAM.replace("[m2c.stream]", "[m2c.stream]\n    enabled = false");
    deployment.configure(&alone);
    let mut daq = deployment.daq(|config| config.frames_per_run = 800);
    take(&mut daq);
    // Dies with the object complete and nobody knowing it.
    let mut m2c = deployment.service("m2c", Some("storage.completed"));
    deployment.wait_until("death after completion", || m2c.is_killed());
    let mut small = deployment.daq(|config| config.frames_per_run = 1);
    take(&mut small);
    let m2c = deployment.service("m2c", None);
    let relay = deployment.service("relay", None);
    deployment.wait_stored(2);
    deployment.check_conserved(2);
    let (object, decoded) = deployment.object(1);
    assert!(decoded == std::fs::read(deployment.file(1)).unwrap());
    let adopted = || deployment.m2c_log().matches("outcome=\"adopted\"").count();
    assert_eq!(adopted(), 1, "{}", deployment.logs());
    m2c.stop();
    // An ingester that has lost its memory finds its own object.
    std::fs::remove_dir_all(deployment.folder.path().join("journal")).unwrap();
    let m2c = deployment.service("m2c", None);
    deployment.wait_until("both are found", || adopted() == 3);
    assert!(deployment.object(1).0 == object);
    deployment.check_conserved(2);
    drop((m2c, relay));
}
