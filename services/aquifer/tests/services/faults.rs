//! What may befall a buffer: nothing of it is lost silently, and nobody is told twice.

use std::fs;

use crate::deployment::{Deployment, take};
use crate::web::{ask, free_address};

#[test]
fn a_buffer_that_is_unmounted_is_an_outage_and_nothing_has_vanished() {
    let deployment = Deployment::start();
    let m2c = deployment.service("m2c", None);
    let relay = deployment.service("relay", None);
    let mut daq = deployment.daq(|config| config.frames_per_run = 1);
    take(&mut daq);
    deployment.wait_stored(1);
    let away = deployment.folder.path().join("away");
    fs::rename(deployment.buffer(), &away).unwrap();
    deployment.wait_until("the outage is told", || !deployment.signals().is_empty());
    fs::rename(&away, deployment.buffer()).unwrap();
    deployment.wait_until("its end is told", || {
        deployment.signals().iter().any(|signal| signal.cleared)
    });
    take(&mut daq);
    deployment.wait_stored(2);
    assert_eq!(deployment.signal_names(), ["buffer-unavailable"]);
    deployment.check_conserved(2);
    drop((m2c, relay));
}

#[test]
fn a_file_that_cannot_be_read_is_told_once_and_stored_when_it_can() {
    let deployment = Deployment::start();
    take(&mut deployment.daq(|config| config.frames_per_run = 1));
    let fault = Some(("AQUIFER_READ_FAULT", "run00001"));
    let m2c = deployment.service_with("m2c", &[], fault);
    let relay = deployment.service("relay", None);
    deployment.wait_until("it is told", || !deployment.signals().is_empty());
    assert_eq!(deployment.signal_names(), ["file-not-stored"]);
    m2c.stop();
    let m2c = deployment.service_with("m2c", &[], fault);
    // The disk is as bad as before: that was said.
    deployment.wait_until("it is tried again", || {
        deployment.logs().matches("cannot be read at byte").count() > 1
    });
    m2c.stop();
    let m2c = deployment.service("m2c", None);
    deployment.wait_stored(1);
    deployment.wait_until("its end is told", || {
        deployment.signals().iter().any(|signal| signal.cleared)
    });
    assert_eq!(deployment.signal_names(), ["file-not-stored"]);
    deployment.check_conserved(1);
    drop((m2c, relay));
}

#[test]
fn the_status_names_a_file_that_a_broken_side_file_holds_up() {
    let deployment = Deployment::start();
    let truth = take(&mut deployment.daq(|config| config.frames_per_run = 1));
    let path = deployment.buffer().join(truth.files[0].name.as_str());
    let side_file = path.with_extension("mid.crc32c");
    let right = fs::read(&side_file).unwrap();
    fs::write(&side_file, "no checksum").unwrap();
    let listen = free_address();
    let address = format!("m2c.listen={listen}");
    let m2c = deployment.service_set("m2c", &[&address], None);
    let held_up = || {
        let (_, status) = ask(listen, "GET", "/v1/status", "").unwrap_or_default();
        status["held_up"].clone()
    };
    deployment.wait_until("it is named", || held_up()[0]["run"]["number"] == 1);
    let why = held_up()[0]["why"].as_str().unwrap().to_owned();
    assert!(why.contains("run00001.mid.crc32c"), "{why}");
    fs::write(&side_file, right).unwrap();
    deployment.wait_until("stored", || deployment.count("stored") == 1);
    assert_eq!(held_up(), serde_json::json!([]));
    drop(m2c);
}

#[test]
fn a_file_that_is_appended_to_after_it_was_stored_is_the_next_version() {
    use std::io::Write as _;
    let deployment = Deployment::start();
    let m2c = deployment.service("m2c", None);
    let relay = deployment.service("relay", None);
    let truth = take(&mut deployment.daq(|config| config.frames_per_run = 1));
    deployment.wait_stored(1);
    m2c.stop();
    let path = deployment.buffer().join(truth.files[0].name.as_str());
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"late").unwrap();
    // The side files speak of what was there before.
    fs::remove_file(path.with_extension("mid.crc32c")).unwrap();
    fs::remove_file(path.with_extension("crc32c")).unwrap();
    let m2c = deployment.service("m2c", None);
    deployment.wait_until("two versions", || deployment.count("stored") == 2);
    deployment.wait_until("it is told", || {
        deployment
            .signal_names()
            .contains(&"run-appended-to".to_owned())
    });
    let report = deployment.audit(&["--read-back"]);
    assert_eq!(report["unaccounted"], 0, "{report:#}");
    drop((m2c, relay));
}

#[test]
fn a_second_ingester_is_refused_even_with_a_journal_of_its_own() {
    let deployment = Deployment::start();
    let m2c = deployment.service("m2c", None);
    take(&mut deployment.daq(|config| config.frames_per_run = 1));
    deployment.wait_until("the first one works", || deployment.count("stored") == 1);
    let journal = format!(
        "m2c.journal={}/journal2",
        deployment.folder.path().display()
    );
    let second = deployment.service_with("m2c", &["--set", &journal], None);
    assert!(!second.ended());
    let said = deployment.logs();
    assert!(said.contains("in use by another ingester"), "{said}");
    m2c.stop();
}
