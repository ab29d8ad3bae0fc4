//! The way of a run from the buffer to the announcement, undisturbed.

use aquifer_bus::Producer;

use crate::deployment::{Deployment, take};

#[test]
fn every_closed_run_is_stored_catalogued_and_announced() {
    goes_its_way(&Deployment::start());
}

/// With TLS and passwords on the way to Kafka, and TLS to MariaDB, which takes nobody
/// without.
#[test]
fn a_run_goes_its_way_over_encrypted_links() {
    goes_its_way(&Deployment::start_secure());
}

/// Into an S3 server of another maker, and what it does and does not do is said.
#[test]
#[ignore = "needs versitygw: `make test-full` installs it"]
fn a_run_goes_its_way_into_the_storage_of_another_maker() {
    let deployment = Deployment::start_on_versitygw();
    goes_its_way(&deployment);
    let probed = deployment.run(&["storage", "probe"]);
    println!("{}", String::from_utf8_lossy(&probed.stdout));
}

fn goes_its_way(deployment: &Deployment) {
    let producer = Producer::connect(&deployment.kafka()).unwrap();
    let m2c = deployment.service("m2c", None);
    let relay = deployment.service("relay", None);
    let mut daq = deployment.daq(|config| config.frames_per_run = 3);
    // Announced, found by the scan, and larger than one part.
    let announced = take(&mut daq);
    deployment.announce(&producer, &announced);
    take(&mut daq);
    let mut large = deployment.daq(|config| config.frames_per_run = 800);
    let large = take(&mut large);
    assert!(large.files[0].size > 6_000_000, "several parts");
    deployment.wait_stored(3);
    deployment.check_conserved(3);
    // Spans of every process, from the close to the announcement; they are written in
    // batches, so the last ones take a moment.
    for part in ["closed → stored", "store file", "announce", "trace "] {
        deployment.wait_until(part, || {
            deployment.expect(&["explain", "LAB/1"]).contains(part)
        });
    }
    let shown = deployment.expect(&["runs", "show", "1"]);
    assert!(shown.contains("E2"), "{shown}");
    m2c.stop();
    relay.stop();
}

#[test]
fn a_run_whose_daq_died_is_closed_by_inference_and_told() {
    let deployment = Deployment::start();
    let m2c = deployment.service("m2c", None);
    let relay = deployment.service("relay", None);
    let mut daq = deployment.daq(|config| config.crash_probability = 1.0);
    assert!(take(&mut daq).crashed);
    deployment.wait_stored(1);
    deployment.check_conserved(1);
    let shown = deployment.expect(&["runs", "show", "1", "--json"]);
    assert!(shown.contains("\"inferred\""), "{shown}");
    assert!(!shown.contains("\"started_at\": null"), "{shown}");
    let signals = deployment.signals();
    assert_eq!(signals.len(), 1, "{signals:?}");
    assert_eq!(signals[0].name, "run-closed-by-inference");
    drop((m2c, relay));
}

#[test]
fn bytes_that_the_logger_did_not_write_are_quarantined_and_told() {
    let deployment = Deployment::start();
    let mut daq = deployment.daq(|config| config.frames_per_run = 1);
    let truth = take(&mut daq);
    let path = deployment.buffer().join(truth.files[0].name.as_str());
    let right = std::fs::read(&path).unwrap();
    let mut bytes = right.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let m2c = deployment.service("m2c", None);
    let relay = deployment.service("relay", None);
    deployment.wait_until("quarantined", || deployment.count("quarantined") == 1);
    deployment.wait_until("signal out", || !deployment.signals().is_empty());
    assert_eq!(deployment.signals()[0].name, "file-changed");
    let report = deployment.audit(&["--strict"]);
    assert_eq!(report["tally"]["stored"], 0);
    let reason = report["quarantined"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("crc32c"), "{report:#}");
    for command in [&["runs", "show", "1"][..], &["explain", "1"]] {
        let shown = deployment.expect(command);
        assert!(shown.contains(reason), "{shown}");
    }
    // The way out: the right bytes, and an ingester that has forgotten the wrong ones.
    m2c.stop();
    std::fs::write(&path, right).unwrap();
    let journal = deployment.folder.path().join("journal");
    std::fs::rename(&journal, journal.with_extension("aside")).unwrap();
    let m2c = deployment.service("m2c", None);
    deployment.wait_until("stored", || deployment.count("stored") == 1);
    deployment.wait_told();
    deployment.expect(&["audit", "--strict"]);
    drop((m2c, relay));
}

#[test]
fn a_run_number_used_again_is_the_next_version() {
    let deployment = Deployment::start();
    let m2c = deployment.service("m2c", None);
    let relay = deployment.service("relay", None);
    take(&mut deployment.daq(|config| config.frames_per_run = 1));
    deployment.wait_stored(1);
    m2c.stop();
    // The DAQ is reset: other data under the same number, and an ingester that has
    // lost its memory.
    std::fs::remove_dir_all(deployment.buffer()).unwrap();
    std::fs::remove_dir_all(deployment.folder.path().join("journal")).unwrap();
    std::fs::remove_file(deployment.folder.path().join("daq-runs.jsonl")).unwrap();
    let mut daq = deployment.daq(|config| {
        config.frames_per_run = 1;
        config.seed = 2;
    });
    take(&mut daq);
    let m2c = deployment.service("m2c", None);
    deployment.wait_until("two versions", || deployment.count("stored") == 2);
    let shown = deployment.expect(&["runs", "show", "LAB/1.v2"]);
    assert!(shown.contains("stored"), "{shown}");
    deployment.wait_until("signal out", || !deployment.signals().is_empty());
    assert_eq!(deployment.signals()[0].name, "run-number-reused");
    drop((m2c, relay));
}

#[test]
fn a_message_that_makes_no_sense_is_buried_and_listed() {
    let deployment = Deployment::start();
    let producer = Producer::connect(&deployment.kafka()).unwrap();
    let mut daq = deployment.daq(|config| config.frames_per_run = 1);
    let mut truth = take(&mut daq);
    truth.files[0].name = "passwd".parse().unwrap();
    deployment.announce(&producer, &truth);
    let m2c = deployment.service("m2c", None);
    deployment.wait_until("buried", || {
        deployment
            .expect(&["dead-letters", "list"])
            .contains("passwd")
    });
    let letters: serde_json::Value =
        serde_json::from_str(&deployment.expect(&["dead-letters", "list", "--json"])).unwrap();
    let id = letters[0]["event_id"].as_str().unwrap();
    // It makes no more sense the second time: the old letter goes, a new one comes.
    deployment.expect(&["dead-letters", "replay", id]);
    deployment.wait_until("buried again", || {
        let listed = deployment.expect(&["dead-letters", "list"]);
        listed.contains("passwd") && !listed.contains(id)
    });
    let letters: serde_json::Value =
        serde_json::from_str(&deployment.expect(&["dead-letters", "list", "--json"])).unwrap();
    assert_eq!(letters.as_array().unwrap().len(), 1, "{letters:#}");
    let id = letters[0]["event_id"].as_str().unwrap();
    deployment.expect(&["dead-letters", "dismiss", id]);
    let listed = deployment.expect(&["dead-letters", "list"]);
    assert!(!listed.contains("passwd"), "{listed}");
    drop(m2c);
}
