//! The audit is not a tautology: what is removed behind its back, from any source, is
//! found.

use aquifer_storage::{ObjectMeta, StorageElement};
use serde_json::Value;

use crate::deployment::{Deployment, take};
use crate::web::{ask, free_address};

fn kinds(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap();
    let kinds = findings
        .iter()
        .map(|finding| finding["kind"].as_str().unwrap().to_owned());
    kinds.collect()
}

#[test]
fn what_is_removed_behind_its_back_is_found() {
    let deployment = Deployment::start();
    let m2c = deployment.service("m2c", None);
    let relay = deployment.service("relay", None);
    let mut daq = deployment.daq(|config| config.frames_per_run = 1);
    let truths: Vec<_> = (0..5).map(|_| take(&mut daq)).collect();
    deployment.wait_stored(5);
    deployment.check_conserved(5);
    m2c.stop();
    relay.stop();

    let file = |n: usize| truths[n].files[0].name.to_string();
    std::fs::remove_file(deployment.buffer().join(file(0))).unwrap();
    deployment.delete_object(&format!("raw/LAB/00000002/v1/{}", file(1)));
    deployment.delete_object("raw/LAB/00000003/v1/manifest.r1.json");
    deployment.sql("DELETE r FROM replica r JOIN file f ON r.file_id = f.id JOIN run ON f.run_id = run.id WHERE run.number = 4");
    deployment.sql("DELETE f FROM file f JOIN run ON f.run_id = run.id WHERE run.number = 4");
    deployment.sql("DELETE r FROM replica r JOIN file f ON r.file_id = f.id JOIN run ON f.run_id = run.id WHERE run.number = 5");
    deployment.sql("DELETE f FROM file f JOIN run ON f.run_id = run.id WHERE run.number = 5");
    deployment
        .sql("DELETE a FROM run_attribute a JOIN run ON a.run_id = run.id WHERE run.number = 5");
    deployment.sql("DELETE FROM run WHERE number = 5");
    std::fs::write(deployment.buffer().join("stray.dat"), b"?").unwrap();

    let report = deployment.audit(&["--strict"]);
    let kinds = kinds(&report);
    for kind in [
        "buffer-file-missing",
        "object-missing",
        "manifest-missing",
        "file-rows-missing",
        "buffer-file-uncatalogued",
        "object-uncatalogued",
    ] {
        assert!(
            kinds.iter().any(|found| found == kind),
            "{kind} in {report:#}"
        );
    }
    assert_eq!(report["unrecognised"][0], "stray.dat");
    let gone = &report["findings"].as_array().unwrap().last().unwrap();
    assert_eq!(gone["kind"], "buffer-file-missing");
    assert_eq!(gone["gravity"], "untidy", "the storage has it: {gone:#}");
    let output = deployment.run(&["audit", "--strict"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("what to do"), "{said}");

    // The remedy that it names: an ingester without memory finds everything anew.
    let journal = deployment.folder.path().join("journal");
    std::fs::rename(&journal, journal.with_extension("aside")).unwrap();
    std::fs::remove_file(deployment.buffer().join("stray.dat")).unwrap();
    let listen = free_address();
    let address = format!("m2c.listen={listen}");
    let m2c = deployment.service_set("m2c", &[&address], None);
    let relay = deployment.service("relay", None);
    // Also what the catalogue still had is found anew, recorded and announced.
    deployment.wait_until("the ingester has nothing to do", || {
        let (_, status) = ask(listen, "GET", "/v1/status", "").unwrap_or_default();
        let backlog = &status["backlog"];
        status["files"]["stored"] == 4 && backlog["runs"] == 0 && backlog["to_record"] == 0
    });
    deployment.wait_until("all is back", || {
        let report = deployment.audit(&["--strict", "--read-back"]);
        report["unaccounted"] == 0 && report["tally"]["stored"] == 5
    });
    deployment.wait_told();
    let report = deployment.audit(&["--strict"]);
    assert_eq!(report["untidy"], 1, "{report:#}");
    let output = deployment.run(&["audit", "--strict"]);
    assert!(output.status.success(), "{output:?}");
    drop((m2c, relay));
}

#[test]
fn rows_and_bytes_that_were_changed_are_found() {
    let deployment = Deployment::start();
    let m2c = deployment.service("m2c", None);
    let relay = deployment.service("relay", None);
    let mut daq = deployment.daq(|config| config.frames_per_run = 1);
    let truths: Vec<_> = (0..3).map(|_| take(&mut daq)).collect();
    deployment.wait_stored(3);
    m2c.stop();
    relay.stop();
    let change = |number: u32, column: &str, value: &str| {
        deployment.sql(&format!(
            "UPDATE file f JOIN run ON f.run_id = run.id SET f.{column} = '{value}' WHERE run.number = {number}"
        ));
    };
    change(1, "crc64nvme", "0000000000000000");
    change(2, "crc32c", "00000000");
    let path = deployment.buffer().join(truths[2].files[0].name.as_str());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&path, bytes).unwrap();

    let report = deployment.audit(&["--strict"]);
    assert_eq!(kinds(&report), ["daq-file-differs", "digests-differ"]);
    let report = deployment.audit(&["--strict", "--read-back"]);
    assert_eq!(
        kinds(&report),
        [
            "daq-file-differs",
            "digests-differ",
            "digests-differ",
            "buffer-file-differs"
        ]
    );
}

#[test]
fn a_run_that_only_one_source_remembers_is_found() {
    let deployment = Deployment::start();
    let truth = take(&mut deployment.daq(|config| config.frames_per_run = 1));
    std::fs::remove_file(deployment.buffer().join(truth.files[0].name.as_str())).unwrap();
    let report = deployment.audit(&["--strict"]);
    assert_eq!(kinds(&report), ["daq-run-unknown"]);

    std::fs::write(deployment.buffer().join("run00077.mid"), b"?").unwrap();
    let element = deployment.storage();
    let key = "raw/LAB/00000078/v1/run00078.mid".parse().unwrap();
    let meta = ObjectMeta::new();
    let put = element.put(&key, b"?".as_slice().into(), &meta);
    deployment.runtime.block_on(put).unwrap();
    let report = deployment.audit(&["--strict"]);
    let found = [
        "daq-run-unknown",
        "buffer-file-uncatalogued",
        "object-uncatalogued",
    ];
    assert_eq!(kinds(&report), found);
}

impl Deployment {
    pub(crate) fn delete_object(&self, key: &str) {
        let element = self.storage();
        let key = key.parse().unwrap();
        self.runtime
            .block_on(element.delete_for_good(&key))
            .unwrap();
    }

    /// Runs statements behind the back of all services; gives what they select, in fields
    /// between tabs.
    pub(crate) fn sql(&self, statement: &str) -> String {
        let db = &self.stack.endpoints().mariadb;
        let output = std::process::Command::new("mariadb")
            .args(["--no-defaults", "-h", &db.host, "-P", &db.port.to_string()])
            .args(["-u", &db.user, &format!("-p{}", db.password), &db.database])
            .args(["--batch", "--skip-column-names", "-e", statement])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{statement}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }
}
