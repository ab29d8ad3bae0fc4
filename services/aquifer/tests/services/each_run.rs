//! What is done with each run: products that are recorded, hooks that are run.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::Stdio;

use aquifer_storage::{ObjectMeta, StorageElement};
use serde_json::Value;

use crate::deployment::{Deployment, Service, take};
use crate::slow_run::AwaitOn;

impl Deployment {
    /// Serves a hook.
    fn hook(&self, name: &str, args: &[&str]) -> Service {
        let flags = [&["run-stored", "--name", name], args].concat();
        self.service_with("on", &flags, None)
    }

    fn jobs(&self, name: &str) -> Vec<Value> {
        let shown = self.run(&["on", "show", name, "--json", "-n", "1000"]);
        serde_json::from_slice(&shown.stdout).unwrap_or_default()
    }

    fn wait_jobs(&self, name: &str, state: &str, count: usize) {
        self.wait_until(&format!("{count} jobs of {name} {state}"), || {
            let jobs = self.jobs(name);
            jobs.iter().filter(|job| job["state"] == state).count() == count
        });
    }
}

#[test]
fn a_hook_is_run_for_each_run_and_misses_none_while_it_is_not_served() {
    let deployment = Deployment::start();
    let m2c = deployment.service("m2c", None);
    let relay = deployment.service("relay", None);
    let mut daq = deployment.daq(|config| config.frames_per_run = 1);
    take(&mut daq);
    deployment.wait_stored(1);
    let log = deployment.folder.path().join("hook.log");
    let command = format!(
        "echo \"$AQUIFER_RUN_ID $AQUIFER_KEYS\" | tee -a {}; grep -c crc64nvme",
        log.display()
    );
    let ran = || fs::read_to_string(&log).unwrap_or_default();
    let hook = deployment.hook("reco", &["--exec", &command]);
    deployment.wait_until("served", || {
        deployment.expect(&["on", "list"]).contains("reco")
    });
    take(&mut daq);
    deployment.wait_jobs("reco", "done", 1);
    assert_eq!(ran(), "LAB/2 raw/LAB/00000002/v1/run00002.mid\n");
    hook.stop();
    take(&mut daq);
    deployment.wait_stored(3);
    // Two share the work.
    let hooks = [(); 2].map(|()| deployment.hook("reco", &["--exec", &command]));
    deployment.wait_jobs("reco", "done", 2);
    assert_eq!(ran().lines().count(), 2, "{}", ran());
    // Another name is another consumer; this one wants all there are.
    let all = deployment.hook("all", &["--exec", "true", "--from-begin"]);
    deployment.wait_jobs("all", "done", 3);
    let listed = deployment.expect(&["on", "list"]);
    insta::with_settings!({filters => vec![(r"tee -a \S+;", "tee -a LOG;")]}, {
        insta::assert_snapshot!("on_list", listed);
    });
    let shown = deployment.expect(&["on", "show", "reco"]);
    assert!(shown.contains("| LAB/2 raw/LAB/00000002"), "{shown}");
    hooks.into_iter().for_each(Service::stop);
    all.stop();
    drop((m2c, relay));
}

#[test]
fn a_hook_that_fails_is_tried_again_given_up_told_and_retried_by_hand() {
    let deployment = Deployment::start();
    let m2c = deployment.service("m2c", None);
    let relay = deployment.service("relay", None);
    take(&mut deployment.daq(|config| config.frames_per_run = 1));
    deployment.wait_stored(1);
    let flag = deployment.folder.path().join("mended");
    let command = format!(
        "test -e {} || {{ echo no licence >&2; exit 3; }}",
        flag.display()
    );
    let args = [
        "--exec",
        &command,
        "--from-begin",
        "--attempts",
        "2",
        "--retry-after",
        "0s",
    ];
    let hook = deployment.hook("fails", &args);
    deployment.wait_jobs("fails", "failed", 1);
    deployment.wait_until("told", || {
        deployment
            .signal_names()
            .contains(&"hook-given-up".to_owned())
    });
    let shown = deployment.expect(&["on", "show", "fails"]);
    insta::with_settings!({filters => vec![(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME")]}, {
        insta::assert_snapshot!("on_show", shown);
    });
    fs::write(&flag, "").unwrap();
    deployment.expect(&["on", "retry", "fails"]);
    deployment.wait_jobs("fails", "done", 1);
    let unknown = [&["on", "show", "none"][..], &["on", "retry", "none"]];
    let answers = unknown.map(|args| deployment.said(args));
    insta::assert_snapshot!("on_unknown", answers.join("\n"));
    hook.stop();
    drop((m2c, relay));
}

#[test]
fn a_webhook_gets_the_run_as_json_when_it_is_there() {
    let deployment = Deployment::start();
    let m2c = deployment.service("m2c", None);
    take(&mut deployment.daq(|config| config.frames_per_run = 1));
    deployment.wait_until("stored", || deployment.count("stored") == 1);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/runs", listener.local_addr().unwrap());
    let args = [
        "--webhook",
        &url,
        "--from-begin",
        "--retry-after",
        "0s",
        "--attempts",
        "1",
    ];
    let hook = deployment.hook("web", &args);
    // The first answer is an outage, and does not count; the second is taken.
    let mut runs = Vec::new();
    for answer in ["503 Service Unavailable", "204 No Content"] {
        let mut stream = None;
        deployment.wait_until("a call", || {
            stream = listener.accept().ok();
            stream.is_some()
        });
        let (mut stream, _) = stream.unwrap();
        stream.set_nonblocking(false).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut line, mut length) = (String::new(), 0);
        while reader.read_line(&mut line).unwrap() > 2 {
            if let Some(value) = line.to_lowercase().strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        write!(stream, "HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n").unwrap();
        runs.push(serde_json::from_slice::<Value>(&body).unwrap());
    }
    deployment.wait_jobs("web", "done", 1);
    assert_eq!(runs[1]["run_id"], "LAB/1");
    assert_eq!(runs[1]["attempt"], 2);
    assert_eq!(
        runs[1]["files"][0]["key"],
        "raw/LAB/00000001/v1/run00001.mid"
    );
    hook.stop();
    drop(m2c);
}

#[test]
fn products_are_recorded_once_listed_and_fetched() {
    let deployment = Deployment::start();
    let m2c = deployment.service("m2c", None);
    take(&mut deployment.daq(|config| config.frames_per_run = 1));
    deployment.wait_until("stored", || deployment.count("stored") == 1);
    let folder = deployment.folder.path();
    fs::write(folder.join("reco.root"), "reconstructed").unwrap();
    fs::write(folder.join("other.root"), "otherwise").unwrap();
    let add = |source: &str, more: &[&str]| {
        let args = [
            "products", "add", "1", source, "--level", "reco", "--pass", "std",
        ];
        deployment.said(&[&args[..], more].concat())
    };
    let storage = deployment.storage();
    let key = "elsewhere/reco-2.root".parse().unwrap();
    let meta = ObjectMeta::new();
    let put = storage.put(&key, "reconstructed anew".into(), &meta);
    deployment.runtime.block_on(put).unwrap();
    let bucket = storage.location().to_owned();
    let there = format!("s3://{bucket}/elsewhere/reco-2.root");
    let answers = [
        add("reco.root", &[]),
        add("reco.root", &[]),
        add("other.root", &[]),
        add(&there, &["--version", "2"]),
        add("s3://other/key", &["--version", "3"]),
        add("none.root", &["--version", "3"]),
        deployment.said(&["products", "list", "1"]),
        deployment.said(&["get", "1", "--product", "reco", "-o", "out"]),
        deployment.said(&["get", "1", "--product", "minitree", "-o", "out"]),
    ];
    insta::assert_snapshot!(
        "products",
        answers
            .join("\n")
            .replace(&format!("s3://{bucket}"), "s3://BUCKET")
    );
    let got = fs::read_to_string(folder.join("out/reco-2.root")).unwrap();
    assert_eq!(got, "reconstructed anew", "the newest version");
    let report = deployment.audit(&[]);
    assert_eq!(report["unaccounted"], 0, "{report:#}");
    let mut child = deployment
        .command(&["products", "list", "1", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let listed: Value = serde_json::from_reader(child.stdout.take().unwrap()).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(listed.as_array().unwrap().len(), 2);
    storage.head(&key).await_on(&deployment);
    drop(m2c);
}
