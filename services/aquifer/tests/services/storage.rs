//! What people are told of the storage: what it really does, and what is left in it.

use std::collections::BTreeSet;

use aquifer_catalogue::{Catalogue, CatalogueConfig};
use aquifer_storage::{GrowingUploads as _, ObjectMeta, StorageElement as _};
use futures::TryStreamExt as _;
use serde_json::Value;

use crate::deployment::{Deployment, take};

/// One server for both: it takes long to start.
#[test]
fn the_storage_is_probed_and_orphans_are_found_and_dropped() {
    let deployment = Deployment::start();
    let m2c = deployment.service("m2c", None);
    deployment.probe_is_recorded();
    m2c.stop();
    deployment.orphans_are_found_and_dropped();
}

impl Deployment {
    fn probe_is_recorded(&self) {
        self.wait_until("m2c registered the element", || {
            let shown = self.run(&["storage", "probe", "--races", "0"]);
            let shown = String::from_utf8(shown.stdout).unwrap();
            assert!(shown.contains("refuses a wrong checksum"), "{shown}");
            shown.contains("\nrecorded in the catalogue")
        });
        let output = self.run(&["storage", "probe", "--json", "--races", "1"]);
        let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{findings:#}");
        for does in [
            "refuses_wrong_checksum",
            "conditional_put",
            "unsigned_payload",
        ] {
            assert_eq!(findings["capabilities"][does], true, "{findings:#}");
        }
        assert_eq!(findings["races"]["writers"], 8);
        let recorded = self.recorded_capabilities();
        assert_eq!(recorded, findings);
    }

    fn orphans_are_found_and_dropped(&self) {
        let element = self.storage();
        let meta = ObjectMeta::new();
        let alone = "raw/LAB/00000009/v1/alone.mid".parse().unwrap();
        let beside = "raw/LAB/00000009/v1/beside.mid".parse().unwrap();
        let body = b"x".to_vec().into();
        self.runtime.block_on(async {
            element.put(&beside, body, &meta).await.unwrap();
            for key in [&alone, &beside] {
                element.begin_upload(key, &meta).await.unwrap();
            }
        });
        let orphans = |report: &Value| report["orphaned_uploads"].as_array().unwrap().len();
        assert_eq!(orphans(&self.audit(&[])), 0, "they are young");
        let old = ["--set", "audit.upload-at-most-secs=0"];
        let found = self.audit(&old);
        assert_eq!(orphans(&found), 2, "{found:#}");

        let abort = |more: &[&str]| {
            let args = ["storage", "abort-orphans", "--older-than", "0s", "--json"];
            let output = self.run(&[&args[..], more].concat());
            let report: Value = serde_json::from_slice(&output.stdout).unwrap();
            let dropped = report.as_array().unwrap().iter();
            let dropped = dropped.filter(|orphan| orphan["dropped"] == true).count();
            (output.status.code().unwrap(), dropped)
        };
        assert_eq!(abort(&[]), (1, 0), "only listed");
        assert_eq!(abort(&["--yes"]), (1, 1), "an object has the other's key");
        assert_eq!(abort(&["--yes", "--beside-objects"]), (0, 1));
        assert_eq!(abort(&[]), (0, 0));
        assert_eq!(orphans(&self.audit(&old)), 0);
        let left = self.runtime.block_on(element.head(&beside)).unwrap();
        assert_eq!(left.unwrap().size, 1);
    }

    fn recorded_capabilities(&self) -> Value {
        let db = &self.stack.endpoints().mariadb;
        let config = CatalogueConfig {
            host: db.host.clone(),
            port: db.port,
            database: db.database.clone(),
            user: db.user.clone(),
            password: db.password.clone().into(),
            ..CatalogueConfig::default()
        };
        let catalogue = Catalogue::connect(&config);
        self.runtime.block_on(async {
            let recorded = catalogue.await.unwrap().capabilities("S3").await;
            recorded.unwrap().unwrap()
        })
    }
}

/// Where the storage is not trusted to keep two writers apart, what a journal's ingester
/// writes carries its journal's number, and a start on the same journal goes on with it.
#[test]
fn where_writers_are_not_kept_apart_each_has_keys_of_its_own() {
    let deployment = Deployment::start();
    deployment.configure("[m2c.stream]\nencoding = \"zstd\"\nmin-size-mib = 1\n");
    let relay = deployment.service("relay", None);
    for (runs, frames) in [(1, 1), (2, 200)] {
        let set = ["storage.trust-conditional-writes=false"];
        let m2c = deployment.service_set("m2c", &set, None);
        take(&mut deployment.daq(|config| config.frames_per_run = frames));
        deployment.wait_stored(runs);
        m2c.stop();
    }
    deployment.check_conserved(2);
    let element = deployment.storage();
    let listing = element.list("raw/").try_concat();
    let objects = deployment.runtime.block_on(listing).unwrap();
    let own = |key: &str| key.rsplit_once(".g").map(|(_, number)| number.parse());
    let numbers: BTreeSet<u64> = objects
        .iter()
        .map(|object| own(&object.key).and_then(Result::ok).unwrap())
        .collect();
    assert_eq!(objects.len(), 4, "two files, two manifests: {objects:?}");
    assert_eq!(numbers.len(), 1, "one journal: {objects:?}");
    drop(relay);
}
