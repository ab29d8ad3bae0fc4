//! A password in the DAQ's settings and announcements is told about and goes nowhere.

use std::collections::BTreeMap;

use aquifer_bus::{Producer, read_all};
use aquifer_midas::Writer;
use aquifer_schemas::{
    AlertSignal, ClosedBy, ClosedFile, FileStored, Message, RunClosed, RunStored, event_id,
};
use aquifer_storage::StorageElement;
use jiff::Timestamp;

use crate::deployment::Deployment;

const SECRET: &str = "hunter2-XyZ9";

#[test]
fn a_secret_in_a_run_is_told_about_and_goes_nowhere() {
    let deployment = Deployment::start();
    let producer = Producer::connect(&deployment.kafka()).unwrap();
    let odb = format!(r#"{{"Logger":{{"SQL":{{"Password":"{SECRET}","Port":3306}}}}}}"#);
    let mut writer = Writer::new(Vec::new());
    writer
        .begin_of_run(1, 1_790_000_000, odb.as_bytes())
        .unwrap();
    let bytes = writer.into_inner();
    std::fs::write(deployment.buffer().join("run00001.mid"), &bytes).unwrap();
    let announced = BTreeMap::from([
        ("operator".to_owned(), "Ada".to_owned()),
        ("sql password".to_owned(), SECRET.to_owned()),
        (
            "elog".to_owned(),
            format!("https://daq:{SECRET}@elog/run/1"),
        ),
    ]);
    let closed = RunClosed {
        event_id: event_id("LAB/1", "closed", 1),
        site: "LAB".parse().unwrap(),
        run: 1,
        version: 1,
        revision: 0,
        started_at: None,
        ended_at: Timestamp::now(),
        run_type: Some(format!("test token={SECRET}")),
        closed_by: ClosedBy::Daq,
        buffer: None,
        files: vec![ClosedFile {
            name: "run00001.mid".parse().unwrap(),
            size: None,
            crc32c: None,
        }],
        events: None,
        attributes: announced,
        producer: "daq@LAB".to_owned(),
    };
    let publish = producer.publish(&closed, None);
    deployment.runtime.block_on(publish).unwrap();
    let m2c = deployment.service("m2c", None);
    let relay = deployment.service("relay", None);
    deployment.wait_stored(1);
    deployment.wait_until("told", || deployment.signals().len() == 2);

    // The bytes are what the DAQ wrote.
    let element = deployment.storage();
    let read = |key: &str| {
        let key = key.parse().unwrap();
        let object = element.read_all(&key, 1 << 20);
        deployment.runtime.block_on(object).unwrap()
    };
    assert_eq!(read("raw/LAB/00000001/v1/run00001.mid"), bytes);

    let signals = deployment.signals();
    let mut kinds: Vec<_> = signals.iter().map(|signal| signal.name.as_str()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["secret-in-announcement", "secret-in-run-data"]);
    let shown = deployment.expect(&["runs", "show", "LAB/1", "--json"]);
    for place in [
        "/Logger/SQL/Password (named)",
        "elog (url-user)",
        "run type (in-text)",
    ] {
        assert!(shown.contains(place), "{place} in {shown}");
    }
    assert!(shown.contains("Ada"), "{shown}");

    let manifest = read("raw/LAB/00000001/v1/manifest.r1.json");
    let journal = std::fs::read(deployment.folder.path().join("journal/journal")).unwrap();
    let mut told = vec![
        ("manifest", manifest.to_vec()),
        ("journal", journal),
        ("catalogue", shown.into_bytes()),
        (
            "story",
            deployment
                .expect(&["explain", "LAB/1", "--json"])
                .into_bytes(),
        ),
    ];
    for log in ["m2c.log", "relay.log"] {
        told.push((
            log,
            std::fs::read(deployment.folder.path().join(log)).unwrap(),
        ));
    }
    for topic in [RunStored::TOPIC, FileStored::TOPIC, AlertSignal::TOPIC] {
        let kafka = deployment.kafka();
        let records = deployment
            .runtime
            .block_on(read_all(&kafka, topic))
            .unwrap();
        assert!(!records.is_empty(), "{topic}");
        let values = records.into_iter().filter_map(|record| record.value);
        told.push((topic, values.collect::<Vec<_>>().concat()));
    }
    for (what, said) in told {
        let secret = SECRET.as_bytes();
        let leaks = said.windows(secret.len()).any(|window| window == secret);
        assert!(!leaks, "{what}: {}", String::from_utf8_lossy(&said));
    }
    drop((m2c, relay));
}
