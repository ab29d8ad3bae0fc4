//! The buffer is freed by order only, on proof only, and whoever is killed meanwhile.

use std::path::PathBuf;

use aquifer_bus::read_all;
use aquifer_m2c::steps;
use aquifer_schemas::{Decoder, Message, PurgeOutcome, Purged};
use aquifer_sim::RunTruth;
use serde_json::Value;

use crate::deployment::{Deployment, Service, take};

/// Keys of an ingester that frees the buffer at once.
const AT_ONCE: &[&str] = &[
    "m2c.purge.armed=true",
    "m2c.purge.poll-secs=1",
    "m2c.purge.trash-grace-secs=0",
];

/// Keys of one that keeps the trash.
const LATER: &[&str] = &["m2c.purge.armed=true", "m2c.purge.poll-secs=1"];

/// Keys of one that says what it would do.
const DISARMED: &[&str] = &["m2c.purge.poll-secs=1"];

impl Deployment {
    fn m2c(&self, keys: &[&str], crash_at: Option<&str>) -> Service {
        self.service_set("m2c", keys, crash_at)
    }

    /// Takes a run and waits until it is stored and announced.
    fn stored_run(&self) -> RunTruth {
        let announced = self.announced().len();
        let truth = take(&mut self.daq(|config| config.frames_per_run = 1));
        self.wait_until("stored", || self.announced().len() > announced);
        truth
    }

    /// Orders that a run be freed, and gives the order's id.
    fn order(&self, truth: &RunTruth, more: &[&str]) -> String {
        let run = format!("LAB/{}", truth.start.number);
        let mut args = vec!["buffer", "purge-order", &run];
        args.extend(more);
        let said = self.expect(&args);
        let id = said.strip_prefix("order ").unwrap().split(':').next();
        id.unwrap().to_owned()
    }

    fn purge(&self, id: &str) -> Value {
        let orders = self.expect(&["buffer", "orders", "--json", "-n", "1000"]);
        let orders: Vec<Value> = serde_json::from_str(&orders).unwrap();
        let mut orders = orders.into_iter();
        orders.find(|order| order["order"] == id).unwrap()
    }

    fn wait_purge(&self, id: &str, state: &str) {
        self.wait_until(&format!("order {id} {state}"), || {
            self.purge(id)["state"] == state
        });
    }

    /// The run's file and its side file in the buffer.
    fn in_buffer(&self, truth: &RunTruth) -> [PathBuf; 2] {
        let name = &truth.files[0].name;
        let path = |name: String| self.buffer().join(name);
        [path(name.to_string()), path(format!("{name}.crc32c"))]
    }

    fn is_in_buffer(&self, truth: &RunTruth) -> bool {
        let there = self.in_buffer(truth).map(|path| path.try_exists().unwrap());
        assert_eq!(there[0], there[1], "a side file goes with its file");
        there[0]
    }

    fn ends(&self) -> Vec<Purged> {
        let kafka = self.kafka();
        let records = read_all(&kafka, Purged::TOPIC);
        let records = self.runtime.block_on(records).unwrap();
        let decoder = Decoder::new();
        let read = |value: &Vec<u8>| decoder.decode(value).unwrap();
        let values = records.iter().map(|record| record.value.as_ref().unwrap());
        values.map(read).collect()
    }
}

#[test]
fn a_run_leaves_the_buffer_by_order_and_may_come_back_until_then() {
    let deployment = Deployment::start();
    let relay = deployment.service("relay", None);
    let m2c = deployment.m2c(DISARMED, None);
    let truth = deployment.stored_run();
    let bytes = std::fs::read(&deployment.in_buffer(&truth)[0]).unwrap();

    // Disarmed: said, and nothing touched.
    let order = deployment.order(&truth, &["--evidence", "head"]);
    deployment.wait_until("said", || {
        let note = deployment.purge(&order)["note"].clone();
        note.as_str()
            .is_some_and(|note| note.contains("would free"))
    });
    assert_eq!(deployment.purge(&order)["state"], "proposed");
    assert!(deployment.is_in_buffer(&truth));
    let again = deployment.run(&["buffer", "purge-order", "LAB/1"]);
    assert!(!again.status.success(), "one order at a time");
    deployment.check_conserved(1);
    deployment.expect(&["buffer", "restore", &order, "--reason", "too early"]);
    assert_eq!(deployment.purge(&order)["state"], "cancelled");
    m2c.stop();

    // Armed: into the trash, and back.
    let m2c = deployment.m2c(LATER, None);
    let order = deployment.order(&truth, &[]);
    deployment.wait_purge(&order, "trashed");
    assert!(!deployment.is_in_buffer(&truth));
    deployment.check_conserved(1);
    let said = deployment.expect(&["buffer", "restore", &order, "--reason", "looked at again"]);
    assert!(said.contains("cancelled"), "{said}");
    assert!(deployment.is_in_buffer(&truth));
    assert_eq!(
        std::fs::read(&deployment.in_buffer(&truth)[0]).unwrap(),
        bytes
    );
    deployment.check_conserved(1);
    m2c.stop();

    // Armed, without grace: gone. The scan of the new process looks at every file anew:
    // what came back is no new version.
    let order = deployment.order(&truth, &[]);
    let m2c = deployment.m2c(AT_ONCE, None);
    deployment.wait_purge(&order, "deleted");
    assert!(!deployment.is_in_buffer(&truth));
    let trash = deployment.buffer().join(aquifer_m2c::TRASH);
    assert_eq!(std::fs::read_dir(trash).unwrap().count(), 0);
    assert_eq!(deployment.count("buffer_free"), 1);
    deployment.check_conserved(1);
    deployment.wait_until("told", || deployment.ends().len() == 3);
    let purged: Vec<_> = deployment
        .ends()
        .into_iter()
        .map(|end| end.outcome)
        .collect();
    let (cancelled, done) = (PurgeOutcome::Cancelled, PurgeOutcome::Purged);
    assert_eq!(purged, [cancelled, cancelled, done]);
    let story = deployment.expect(&["explain", "LAB/1"]);
    assert!(story.contains("trashed → purged"), "{story}");
    let late = deployment.run(&["buffer", "restore", &order]);
    assert!(
        String::from_utf8_lossy(&late.stderr).contains("deleted"),
        "{late:?}"
    );
    m2c.stop();
    relay.stop();
}

#[test]
fn a_file_that_changed_stays_and_a_lost_copy_is_told() {
    let deployment = Deployment::start();
    let relay = deployment.service("relay", None);
    let m2c = deployment.service("m2c", None);
    let changed = deployment.stored_run();
    let lost = deployment.stored_run();
    m2c.stop();
    let orders = [
        deployment.order(&changed, &[]),
        deployment.order(&lost, &[]),
    ];
    let path = &deployment.in_buffer(&changed)[0];
    let mut bytes = std::fs::read(path).unwrap();
    bytes[100] ^= 1;
    std::fs::write(path, &bytes).unwrap();
    let key = format!("raw/LAB/00000002/v1/{}", lost.files[0].name);
    deployment.delete_object(&key);

    let m2c = deployment.m2c(AT_ONCE, None);
    for order in &orders {
        deployment.wait_purge(order, "cancelled");
    }
    assert_eq!(std::fs::read(path).unwrap(), bytes);
    assert!(deployment.is_in_buffer(&lost));
    let told = |severity: &str| {
        let signals = deployment.signals();
        let mut signals = signals.iter();
        signals
            .any(|signal| signal.name == "purge-cancelled" && signal.severity.as_str() == severity)
    };
    deployment.wait_until("told", || told("error") && told("critical"));
    let refused = deployment.run(&["buffer", "purge-order", "LAB/2"]);
    assert!(!refused.status.success(), "no copy, no order");
    drop((m2c, relay));
}

#[test]
fn what_the_journal_does_not_remember_goes_back() {
    let deployment = Deployment::start();
    let relay = deployment.service("relay", None);
    let m2c = deployment.m2c(LATER, None);
    let truth = deployment.stored_run();
    let order = deployment.order(&truth, &[]);
    deployment.wait_purge(&order, "trashed");
    m2c.stop();
    std::fs::remove_dir_all(deployment.folder.path().join("journal")).unwrap();
    let m2c = deployment.m2c(AT_ONCE, None);
    deployment.wait_purge(&order, "cancelled");
    assert!(deployment.is_in_buffer(&truth));
    // The scan finds the file again, and only then may it be freed.
    let order = deployment.order(&truth, &[]);
    deployment.wait_purge(&order, "deleted");
    deployment.check_conserved(1);
    drop((m2c, relay));
}

#[test]
fn an_order_is_finished_whoever_is_killed() {
    let deployment = Deployment::start();
    let relay = deployment.service("relay", None);
    let mut runs = 0;
    let died = |mut m2c: Service, step: &str| {
        deployment.wait_until(&format!("death at {step}"), || m2c.is_killed());
    };
    // The ingester that finished one order stores the next run.
    let mut m2c = deployment.m2c(AT_ONCE, None);
    for step in steps::PURGE {
        let truth = deployment.stored_run();
        runs += 1;
        m2c.stop();
        let order = deployment.order(&truth, &[]);
        died(deployment.m2c(AT_ONCE, Some(step)), step);
        m2c = deployment.m2c(AT_ONCE, None);
        deployment.wait_purge(&order, "deleted");
        assert!(!deployment.is_in_buffer(&truth), "{step}");
    }
    m2c.stop();
    m2c = deployment.m2c(LATER, None);
    for step in steps::RESTORE {
        let truth = deployment.stored_run();
        runs += 1;
        let order = deployment.order(&truth, &[]);
        deployment.wait_purge(&order, "trashed");
        m2c.stop();
        let asked = deployment.run(&["buffer", "restore", &order, "--wait-secs", "0"]);
        assert!(!asked.status.success(), "nobody is there to do it");
        died(deployment.m2c(LATER, Some(step)), step);
        m2c = deployment.m2c(LATER, None);
        deployment.wait_purge(&order, "cancelled");
        assert!(deployment.is_in_buffer(&truth), "{step}");
    }
    m2c.stop();
    // Once more through every journal, and nothing is left to do or done twice.
    let m2c = deployment.m2c(AT_ONCE, None);
    let last = deployment.stored_run();
    deployment.check_conserved(runs + 1);
    assert_eq!(deployment.count("buffer_free"), steps::PURGE.len());
    deployment.wait_until("told", || deployment.ends().len() >= runs);
    assert!(deployment.is_in_buffer(&last));
    assert!(deployment.signals().is_empty());
    drop((m2c, relay));
}
