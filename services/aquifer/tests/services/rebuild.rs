//! The catalogue from the manifests alone: the same runs, files and copies.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use aquifer_bus::Producer;
use aquifer_digest::Digests;
use aquifer_midas::{Encoder, Encoding};
use aquifer_storage::{ObjectKey, ObjectMeta, StorageElement};
use serde_json::Value;

use crate::deployment::{Deployment, take};
use crate::slow_run::AwaitOn;

/// The database that is rebuilt.
const OTHER: &str = "_rebuilt";

impl Deployment {
    fn rebuilt(&self) -> String {
        let database = &self.stack.endpoints().mariadb.database;
        format!("catalogue.database={database}{OTHER}")
    }

    /// A closed file of the buffer.
    fn close_file(&self, name: &str, bytes: &[u8], crc32c_of: &[u8]) {
        let path = self.buffer().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        let crc32c = Digests::of(crc32c_of).crc32c;
        let line = format!("{crc32c} {} {}\n", bytes.len(), path.display());
        fs::write(path.with_extension("mid.crc32c"), line).unwrap();
    }

    /// All that a catalogue says of a run, without what is the database's own.
    fn dump(&self, flags: &[&str], run: &str) -> Value {
        let args = [flags, &["runs", "show", run, "--json"]].concat();
        let mut shown: Value = serde_json::from_str(&self.expect(&args)).unwrap();
        shown.as_object_mut().unwrap().remove("transitions");
        forget(&mut shown);
        shown
    }

    fn runs(&self, flags: &[&str]) -> Vec<String> {
        let args = [flags, &["runs", "list", "--json"]].concat();
        let runs: Vec<Value> = serde_json::from_str(&self.expect(&args)).unwrap();
        let name = |run: &Value| {
            let (number, version) = (&run["id"]["number"], &run["id"]["version"]);
            format!("LAB/{number}.v{version}")
        };
        let mut names: Vec<_> = runs.iter().map(name).collect();
        names.sort();
        names
    }
}

/// Rows and revisions are the database's own; so is when it was told.
fn forget(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for own in ["row", "revision", "created_at", "updated_at"] {
                members.remove(own);
            }
            members.values_mut().for_each(forget);
        }
        Value::Array(items) => items.iter_mut().for_each(forget),
        _ => {}
    }
}

fn bytes_of(number: u8) -> Vec<u8> {
    (0..10_000_u32).map(|at| (at >> 3) as u8 ^ number).collect()
}

/// Runs of every kind: announced with attributes, found, compressed, in two pieces of
/// which the second came late, with a file that cannot be trusted, and under a number
/// that was used again.
fn take_runs(deployment: &Deployment) {
    let producer = Producer::connect(&deployment.kafka()).unwrap();
    let mut daq = deployment.daq(|config| config.frames_per_run = 1);
    let announced = take(&mut daq);
    // Heard of when its manifest is put already: the news get one of their own.
    deployment.wait_until("the first is stored", || deployment.count("stored") == 1);
    deployment.announce(&producer, &announced);
    deployment.wait_until("the announcement is recorded", || {
        let run = deployment.dump(&[], "1");
        run["run"]["closed_by"] == "daq" && run["run"]["manifest_key"] != Value::Null
    });
    take(&mut daq);
    deployment.close_file("run00003.mid", &bytes_of(3), &bytes_of(3));
    let mut encoder = Encoder::new(Vec::new(), Encoding::Gzip).unwrap();
    encoder.write_all(&bytes_of(4)).unwrap();
    let packed = encoder.finish().unwrap();
    fs::write(deployment.buffer().join("run00004.mid.gz"), packed).unwrap();
    deployment.close_file("run00005/sub0000.mid", &bytes_of(5), &bytes_of(5));
    deployment.close_file("run00005/sub0001.mid", &bytes_of(6), &bytes_of(7));
    deployment.wait_until("stored", || deployment.count("stored") == 4);
    deployment.wait_until("quarantined", || deployment.count("quarantined") == 1);
    // A late file, and other data under a used number.
    deployment.close_file("run00005/sub0002.mid", &bytes_of(8), &bytes_of(8));
    deployment.close_file("run00003.mid", &bytes_of(9), &bytes_of(9));
    deployment.wait_until("all there", || {
        let late = deployment.expect(&["files", "5", "--json"]);
        let late = late.contains("v1/run00005/sub0002.mid");
        late && deployment.runs(&[]).len() == 6 && deployment.count("stored") == 5
    });
}

#[test]
fn what_the_manifests_tell_is_what_the_catalogue_was_told() {
    let deployment = Deployment::start();
    let flags = [
        "--set",
        "m2c.files=[\"run{run:05}.mid\", \"run{run:05}/sub{subrun:04}.mid\"]",
    ];
    let m2c = deployment.service_with("m2c", &flags, None);
    take_runs(&deployment);
    m2c.stop();
    let runs = deployment.runs(&[]);
    let told: Vec<_> = runs.iter().map(|run| deployment.dump(&[], run)).collect();
    assert!(
        told[0]["attributes"]
            .as_object()
            .is_some_and(|all| !all.is_empty())
    );

    let elsewhere = deployment.rebuilt();
    let other = ["--set", elsewhere.as_str()];
    let rebuild = |more: &[&str]| {
        let args = [&other, &["catalogue", "rebuild"], more].concat();
        // How many there are depends on what came together.
        let said = deployment.said(&args);
        let count = said
            .split(" manifests:")
            .next()
            .and_then(|said| said.lines().last());
        said.replace(
            &format!("{} manifests:", count.unwrap_or("-")),
            "N manifests:",
        )
    };
    deployment.expect(&[&other[..], &["migrate"]].concat());
    insta::assert_snapshot!("rebuild_dry", rebuild(&["--dry-run"]));
    assert_eq!(deployment.runs(&other), [""; 0], "nothing was done");
    insta::assert_snapshot!("rebuild", rebuild(&[]));
    assert_eq!(deployment.runs(&other), runs);
    for (run, told) in runs.iter().zip(&told) {
        let restored = deployment.dump(&other, run);
        assert_eq!(restored, *told, "{run}: {restored:#}\n{told:#}");
    }
    let audit = [&other, &flags, &["audit", "--json", "--strict"][..]].concat();
    let outbox: Value = serde_json::from_str(&deployment.expect(&audit)).unwrap();
    assert_eq!(outbox["unaccounted"], 0, "{outbox:#}");
    assert_eq!(
        outbox["announcements_overdue"], 0,
        "nothing is announced again"
    );

    // Again, nothing is new.
    let revisions = |flags: &[&str]| {
        let runs = deployment.expect(&[flags, &["runs", "list", "--json"]].concat());
        let runs: Vec<Value> = serde_json::from_str(&runs).unwrap();
        let revisions = runs.iter().map(|run| run["revision"].clone());
        revisions.collect::<Vec<_>>()
    };
    let before = revisions(&other);
    insta::assert_snapshot!("rebuild_again", rebuild(&[]));
    assert_eq!(revisions(&other), before);

    // The catalogue in use has nothing that the manifests do not tell.
    deployment.expect(&["catalogue", "rebuild"]);
    let m2c = deployment.service_with("m2c", &flags, None);
    deployment.close_file("run00077.mid", &bytes_of(7), &bytes_of(8));
    deployment.wait_until("a stranger", || deployment.count("quarantined") == 2);
    m2c.stop();
    insta::assert_snapshot!(
        "rebuild_strangers",
        deployment.said(&["catalogue", "rebuild"])
    );
}

#[test]
fn manifests_that_cannot_be_used_are_named_and_stop_nothing() {
    let deployment = Deployment::start();
    let m2c = deployment.service("m2c", None);
    take(&mut deployment.daq(|config| config.frames_per_run = 1));
    deployment.wait_until("stored", || deployment.count("stored") == 1);
    m2c.stop();
    let storage = deployment.storage();
    let key = |number: u32| format!("raw/LAB/{number:08}/v1/manifest.r1.json");
    let meta = ObjectMeta::new();
    let first = key(1).parse().unwrap();
    let good = storage.read_all(&first, 1 << 20);
    let good = String::from_utf8(good.await_on(&deployment).to_vec()).unwrap();
    let bad = [
        (90, good.split("\"files\"").next().unwrap().to_owned()),
        (91, good.replace("\"format\": 2", "\"format\": 99")),
        (92, good.replace("\"number\": 1,", "\"number\": 2,")),
        (93, "no manifest".to_owned()),
    ];
    for (number, text) in bad {
        let put = key(number).parse().unwrap();
        let put = storage.put(&put, text.into_bytes().into(), &meta);
        put.await_on(&deployment);
    }
    // Where nothing keeps two writers from one key, each has keys of its own.
    let own: ObjectKey = key(94).parse().unwrap();
    let own = own.with_generation(7).unwrap();
    let text = good.replace("\"number\": 1,", "\"number\": 94,");
    let put = storage.put(&own, text.into_bytes().into(), &meta);
    put.await_on(&deployment);
    let elsewhere = deployment.rebuilt();
    let other = ["--set", elsewhere.as_str()];
    deployment.expect(&[&other[..], &["migrate"]].concat());
    let said = deployment.said(&[&other[..], &["catalogue", "rebuild"]].concat());
    let size = said
        .split("files, ")
        .nth(1)
        .and_then(|rest| rest.lines().next());
    let said = said.replace(size.unwrap_or("none"), "SIZE");
    insta::assert_snapshot!("rebuild_with_bad_ones", said);
    assert_eq!(deployment.runs(&other), ["LAB/1.v1", "LAB/94.v1"]);
    assert!(
        Path::new(&deployment.buffer()).is_dir(),
        "nothing else was touched"
    );
}
