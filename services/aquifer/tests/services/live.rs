//! What is seen of a run while it is taken: its events, and slow control.

use std::collections::{BTreeMap, BTreeSet};

use aquifer_bus::read_all;
use aquifer_digest::Digests;
use aquifer_schemas::{Decoder, EventsTaken, FileName, Message, SlowSample};
use aquifer_storage::StorageElement;

use crate::deployment::{Deployment, take};
use crate::slow_run::{AwaitOn, SlowRun};

const LIVE: &str = r#"
    [m2c.stream]
    min-size-mib = 1
    min-age-secs = 0
    poll-ms = 50
    [m2c.tap]
    enabled = true
    delay-ms = 100
    object-mib = 2
    event-ids = [1]
    [[m2c.slow]]
    bank = "INPT"
    event-id = 5
    names = "/Equipment/Environment/Settings/Names Input"
"#;

impl Deployment {
    fn messages<M: Message>(&self) -> Vec<M> {
        let records = self.runtime.block_on(read_all(&self.kafka(), M::TOPIC));
        let decoder = Decoder::new();
        let values = records.unwrap_or_default().into_iter();
        values
            .filter_map(|record| record.value)
            .map(|value| decoder.decode(&value).unwrap())
            .collect()
    }

    /// Readouts of a run by their identity.
    fn samples(&self, run: u64) -> BTreeMap<uuid::Uuid, SlowSample> {
        let samples = self.messages::<SlowSample>().into_iter();
        let of_run = samples.filter(|sample| sample.run == Some(run));
        of_run.map(|sample| (sample.event_id, sample)).collect()
    }
}

#[test]
fn an_open_run_is_seen_event_by_event_and_its_slow_control_is_complete() {
    let deployment = Deployment::start();
    deployment.configure(LIVE);
    deployment.quiet_after(60);
    // Closed before anybody looked.
    let early = take(&mut deployment.daq(|config| config.frames_per_run = 7));
    let m2c = deployment.service("m2c", None);
    let relay = deployment.service("relay", None);
    let run = SlowRun::begin(&deployment);
    deployment.wait_until("events are seen", || {
        deployment.messages::<EventsTaken>().len() >= 3
    });
    deployment.wait_until("slow control is seen", || deployment.samples(2).len() >= 10);
    // Dies while the run goes on, and reads it again from the begin.
    m2c.kill();
    let truth = run.end();
    let m2c = deployment.service("m2c", None);
    deployment.wait_stored(2);
    for (run, expected) in [(1, early.slow_events), (2, truth.slow_events)] {
        deployment.wait_until("all readouts", || {
            deployment.samples(run).len() as u64 >= expected
        });
        let samples = deployment.samples(run);
        assert_eq!(samples.len() as u64, expected, "each readout is one event");
        for sample in samples.values() {
            assert_eq!(
                (sample.source.as_str(), sample.values.len()),
                ("bank:INPT", 24)
            );
            assert!((9.0..10.0).contains(&sample.values["P0IIn0"]), "{sample:?}");
        }
    }
    // A file is open until it is known to be closed: the early one may be seen, too.
    let read = |name: &FileName| std::fs::read(deployment.buffer().join(name.as_str())).unwrap();
    let files = [&early, &truth].map(|truth| (truth.start.number, read(&truth.files[0].name)));
    let files = BTreeMap::from(files);
    let taken = deployment.messages::<EventsTaken>();
    let storage = deployment.storage();
    let mut keys = BTreeSet::new();
    for block in taken {
        let key = block.key.parse().unwrap();
        let object = storage.read_all(&key, 1 << 30).await_on(&deployment);
        assert_eq!(Digests::of(&object).crc64nvme.to_string(), block.crc64nvme);
        assert_eq!(object.len() as u64, block.size);
        let file = &files[&block.run];
        let mut bytes = Vec::new();
        for event in &block.events {
            assert_eq!(event.id, 1);
            let begin = event.offset as usize;
            bytes.extend_from_slice(&file[begin..begin + event.length as usize]);
        }
        assert!(object == bytes, "{}", block.key);
        assert_eq!(block.block, block.events[0].ordinal);
        keys.insert((block.run, block.key));
    }
    assert!(keys.iter().filter(|(run, _)| *run == 2).count() >= 3);
    deployment.check_conserved(2);
    drop((m2c, relay));
}
