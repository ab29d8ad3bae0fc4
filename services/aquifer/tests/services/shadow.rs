//! A rehearsal, alone and beside the ingester in service.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::Path;

use aquifer_bus::{Topology, read_all};
use aquifer_digest::{Digests, FileIdentity};
use aquifer_storage::StorageElement as _;
use futures::TryStreamExt as _;
use serde_json::Value;

use crate::deployment::{Deployment, take};

/// Everything in a folder: what each file is and holds.
fn contents(folder: &Path) -> BTreeMap<String, (FileIdentity, Digests)> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let files = entries.map(|entry| {
        let identity = FileIdentity::from(&entry.metadata().unwrap());
        let digests = Digests::of(&fs::read(entry.path()).unwrap());
        let name = entry.file_name().into_string().unwrap();
        (name, (identity, digests))
    });
    files.collect()
}

impl Deployment {
    /// What a rehearsal at `url` tells, file by file, and the exit code.
    fn rehearsed(&self, url: &str, more: &[&str]) -> (Vec<Value>, Option<i32>) {
        let args = ["m2c", "shadow", "--json", "--url", url];
        let output = self.run(&[&args[..], more].concat());
        let lines = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (lines, output.status.code())
    }

    fn nothing_was_written(&self) {
        let runs = self.expect(&["runs", "list", "--json"]);
        assert_eq!(runs.trim(), "[]");
        let storage = self.storage();
        self.runtime.block_on(async {
            let objects = storage.list("").try_concat().await.unwrap();
            assert!(objects.is_empty(), "{objects:?}");
            let topics = include_str!("../../../../topology/topics.toml");
            for topic in Topology::parse(topics).unwrap().topics {
                let records = read_all(&self.kafka(), &topic.name).await.unwrap();
                assert!(records.is_empty(), "{}: {records:?}", topic.name);
            }
        });
        let journal = self.folder.path().join("journal");
        assert!(!journal.try_exists().unwrap(), "the service's journal");
    }
}

#[test]
fn a_rehearsal_tells_what_it_would_do_and_writes_nothing() {
    let deployment = Deployment::start();
    let mut daq = deployment.daq(|config| config.frames_per_run = 1);
    let good = take(&mut daq);
    let bad = take(&mut daq);
    let path = |name: &str| deployment.buffer().join(name);
    let bad_file = path(bad.files[0].name.as_str());
    let mut bytes = fs::read(&bad_file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&bad_file, bytes).unwrap();
    let before = contents(&deployment.buffer());

    let port = {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let url = format!("http://127.0.0.1:{port}");
    let listen = format!("m2c.listen=127.0.0.1:{port}");
    let flags = ["--shadow", "--set", &listen];
    let rehearsal = deployment.service_with("m2c", &flags, None);
    let is_through = |files: usize| {
        let (lines, _) = deployment.rehearsed(&url, &[]);
        lines.len() == files && lines.iter().all(|line| line["fate"] != "waiting")
    };
    deployment.wait_until("two files rehearsed", || is_through(2));
    let (lines, code) = deployment.rehearsed(&url, &[]);
    let name = good.files[0].name.as_str();
    let digests = before[name].1;
    assert_eq!(lines[0]["fate"], "stored");
    assert_eq!(lines[0]["key"], format!("raw/LAB/00000001/v1/{name}"));
    assert_eq!(lines[0]["crc64nvme"], digests.crc64nvme.to_string());
    assert_eq!(lines[0]["adler32"], digests.adler32.to_string());
    assert_eq!(lines[0]["service"]["is"], "missing");
    assert_eq!(lines[1]["fate"], "quarantined", "{lines:#?}");
    assert_eq!(code, Some(1), "the service has not stored the first");
    let args = ["m2c", "status", "--url", &url];
    let shown = String::from_utf8(deployment.run(&args).stdout).unwrap();
    assert!(shown.starts_with("REHEARSAL"), "{shown}");
    assert_eq!(contents(&deployment.buffer()), before);
    deployment.nothing_was_written();

    // Now the service takes the same buffer, which the rehearsal does not hold.
    let m2c = deployment.service("m2c", None);
    let relay = deployment.service("relay", None);
    deployment.wait_stored(1);
    take(&mut daq);
    deployment.wait_stored(2);
    deployment.wait_until("three files rehearsed", || is_through(3));
    let (lines, code) = deployment.rehearsed(&url, &[]);
    assert_eq!(code, Some(0), "{lines:#?}");
    for (line, found) in lines.iter().zip(["same", "open", "same"]) {
        assert_eq!(line["service"]["is"], found, "{line:#}");
    }
    let bucket = ["--compare-bucket", "aquifer", "--key-template"];
    for (template, found) in [("raw/LAB/{run:8}/v1/{file}", "same"), ("{disk}", "missing")] {
        let (lines, code) = deployment.rehearsed(&url, &[&bucket[..], &[template]].concat());
        assert_eq!(lines[0]["service"]["is"], found, "{lines:#?}");
        assert_eq!(code, Some(i32::from(found != "same")));
    }
    // A service has nothing to rehearse, and says so where it is asked.
    assert_eq!(deployment.rehearsed("http://127.0.0.1:1", &[]).1, Some(2));
    rehearsal.stop();
    m2c.stop();
    relay.stop();
}
