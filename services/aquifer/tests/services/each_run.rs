//! What is done with each run: products that are recorded, hooks that are run.

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::Arc;

use aquifer_storage::{ObjectMeta, StorageElement};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
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
    check_webhook(&Deployment::start(), "http", &[], |stream| Box::new(stream));
}

#[test]
fn a_webhook_is_called_by_https_if_its_certificate_is_trusted() {
    let deployment = Deployment::start_secure();
    let etc = deployment.folder.path().join("stack/etc");
    let provider = rustls::crypto::ring::default_provider();
    let chain = CertificateDer::pem_file_iter(etc.join("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(etc.join("server.key")).unwrap();
    let server = ServerConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.map(Result::unwrap).collect(), key)
        .unwrap();
    let server = Arc::new(server);
    let secured = |stream: TcpStream| -> Box<dyn Wire> {
        let connection = ServerConnection::new(Arc::clone(&server)).unwrap();
        Box::new(StreamOwned::new(connection, stream))
    };
    let authority = etc.join("ca.pem");
    let authority = authority.to_str().unwrap();
    check_webhook(&deployment, "https", &["--ca-file", authority], secured);

    // A stranger's certificate is an outage: the run stays to be done.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let args = ["--webhook", &url, "--from-begin", "--timeout", "2s"];
    let hook = deployment.hook("strange", &args);
    let (mut stream, _) = deployment.accept(&listener);
    let mut connection = ServerConnection::new(server).unwrap();
    let refused = connection.complete_io(&mut stream);
    assert!(refused.is_err(), "it went on: {refused:?}");
    deployment.wait_until("it is told why", || {
        let shown = deployment.expect(&["on", "show", "strange"]);
        shown.contains("certificate")
    });
    hook.stop();
}

/// A connection, whatever is below.
trait Wire: Read + Write {}

impl<T: Read + Write> Wire for T {}

impl Deployment {
    fn accept(&self, listener: &TcpListener) -> (TcpStream, SocketAddr) {
        let mut accepted = None;
        self.wait_until("a call", || {
            accepted = listener.accept().ok();
            accepted.is_some()
        });
        let (stream, from) = accepted.unwrap();
        stream.set_nonblocking(false).unwrap();
        (stream, from)
    }
}

fn check_webhook(
    deployment: &Deployment,
    scheme: &str,
    more: &[&str],
    wire: impl Fn(TcpStream) -> Box<dyn Wire>,
) {
    let m2c = deployment.service("m2c", None);
    take(&mut deployment.daq(|config| config.frames_per_run = 1));
    deployment.wait_until("stored", || deployment.count("stored") == 1);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("{scheme}://{}/runs", listener.local_addr().unwrap());
    let args = [
        "--webhook",
        &url,
        "--from-begin",
        "--retry-after",
        "0s",
        "--attempts",
        "1",
    ];
    let hook = deployment.hook("web", &[&args[..], more].concat());
    // The first answer is an outage, and does not count; the second is taken.
    let mut runs = Vec::new();
    for answer in ["503 Service Unavailable", "204 No Content"] {
        let mut reader = BufReader::new(wire(deployment.accept(&listener).0));
        let (mut line, mut length) = (String::new(), 0);
        while reader.read_line(&mut line).unwrap() > 2 {
            if let Some(value) = line.to_lowercase().strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let said = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        reader.get_mut().write_all(said.as_bytes()).unwrap();
        reader.get_mut().flush().unwrap();
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
