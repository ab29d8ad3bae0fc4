//! Each scenario is a process of its own: signals and exit codes are facts of processes.
//! The tests watch its log and its pages and wait for conditions, never for a time.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;

use axum::routing::get;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value as Json;
use tokio::sync::Notify;

use super::*;
use crate::telemetry::LogFormat;

const SCENARIO: &str = "AQUIFER_TEST_SCENARIO";
const LISTEN: &str = "AQUIFER_TEST_LISTEN";

/// Beyond this a test has failed; it is never waited for otherwise.
const PATIENCE: Duration = Duration::from_secs(30);

fn options() -> ServiceOptions {
    let listen = std::env::var(LISTEN).unwrap_or_else(|_| "127.0.0.1:0".to_owned());
    ServiceOptions {
        name: "doll",
        listen: listen.parse().unwrap(),
        drain_timeout: PATIENCE,
        telemetry: TelemetryConfig {
            log_format: LogFormat::Json,
            ..TelemetryConfig::default()
        },
    }
}

/// The process that the tests look at.
#[test]
#[ignore = "run by the other tests as a process of its own"]
#[allow(clippy::exit, reason = "the exit code is what the tests look at")]
fn process() {
    let Ok(scenario) = std::env::var(SCENARIO) else {
        return;
    };
    let code = match scenario.as_str() {
        "held" => held(),
        "stubborn" => stubborn(),
        "blocked" => live(options(), Router::new(), blocked),
        "blocked-briefly" => live(briefly(), Router::new(), blocked),
        "finishes" => live(options(), Router::new(), async |_| Ok(())),
        "fails" => live(options(), Router::new(), async |_| {
            Err(anyhow!("table missing").context("cannot read the catalogue"))
        }),
        "panics" => live(options(), Router::new(), async |_| panic!("out of cheese")),
        "task-fails" => live(options(), Router::new(), async |context: Context| {
            let failing = async { Err(anyhow!("no broker")) };
            context.tasks.spawn("poller", TaskKind::Critical, failing);
            context.shutdown.cancelled().await;
            Ok(())
        }),
        "flush-fails" => live(options(), Router::new(), async |context: Context| {
            context.shutdown.cancelled().await;
            Err(anyhow!("3 messages were not delivered"))
        }),
        other => panic!("no scenario `{other}`"),
    };
    std::process::exit(i32::from(code));
}

/// Drains until its page `/release` is asked for.
fn held() -> u8 {
    let release = Arc::new(Notify::new());
    let released = Arc::clone(&release);
    let page = get(async move || release.notify_one());
    let routes = Router::new().route("/release", page);
    live(options(), routes, async move |context: Context| {
        context.health.component("store").ready();
        context.shutdown.cancelled().await;
        released.notified().await;
        Ok(())
    })
}

fn briefly() -> ServiceOptions {
    ServiceOptions {
        drain_timeout: Duration::from_millis(100),
        ..options()
    }
}

/// A task that does not listen.
fn stubborn() -> u8 {
    live(briefly(), Router::new(), async |context: Context| {
        context.health.component("store").ready();
        let forever = std::future::pending();
        context.tasks.spawn("poller", TaskKind::Background, forever);
        context.shutdown.cancelled().await;
        Ok(())
    })
}

/// Leaves no worker to the runtime.
async fn blocked(context: Context) -> anyhow::Result<()> {
    let workers = Handle::current().metrics().num_workers();
    for _ in 0..workers {
        let blocking = async {
            tracing::info!("worker blocked");
            loop {
                std::thread::park();
            }
        };
        context.tasks.spawn("rude", TaskKind::Critical, blocking);
    }
    Ok(())
}

struct Doll {
    child: Child,
    log: BufReader<ChildStderr>,
    seen: Vec<Json>,
    address: String,
}

impl Doll {
    fn start(scenario: &str) -> Self {
        let mut doll = Self::spawn(scenario, "127.0.0.1:0");
        let line = doll.await_line("started");
        doll.address = line["address"].as_str().unwrap().to_owned();
        doll
    }

    fn spawn(scenario: &str, listen: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture"])
            .arg("service::tests::process")
            .env(SCENARIO, scenario)
            .env(LISTEN, listen)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Self {
            child,
            log,
            seen: Vec::new(),
            address: String::new(),
        }
    }

    /// The line with this message. Ends at the end of the log, so a process that dies
    /// early fails the test at once.
    fn await_line(&mut self, message: &str) -> Json {
        if let Some(line) = self.seen.iter().find(|line| line["message"] == message) {
            return line.clone();
        }
        loop {
            let line = self.next_line();
            let line = line.unwrap_or_else(|| panic!("no `{message}` in {:#?}", self.seen));
            if line["message"] == message {
                return line;
            }
        }
    }

    fn next_line(&mut self) -> Option<Json> {
        let mut text = String::new();
        if self.log.read_line(&mut text).unwrap() == 0 {
            return None;
        }
        let line = serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text}"));
        self.seen.push(line);
        self.seen.last().cloned()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    fn ask(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: doll\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).ok()?;
        Some(reply)
    }

    /// Reads the log to its end: the exit code, and the ERROR lines.
    fn end(mut self) -> (Option<i32>, Vec<String>) {
        while self.next_line().is_some() {}
        let code = self.child.wait().unwrap().code();
        let errors = self.seen.iter().filter(|line| line["level"] == "ERROR");
        (code, errors.map(ToString::to_string).collect())
    }
}

impl Drop for Doll {
    fn drop(&mut self) {
        // A test that failed leaves nothing behind; one that has ended cannot be killed.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn the_first_signal_drains_and_health_closes_last() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut doll = Doll::start("held");
        doll.await_line("ready");
        assert!(doll.ask("/readyz").unwrap().starts_with("HTTP/1.1 200"));
        doll.signal(signal);
        doll.await_line("draining");
        let reply = doll.ask("/readyz").expect("the endpoint closes last");
        assert!(reply.starts_with("HTTP/1.1 503"), "{reply}");
        assert!(reply.contains("\"draining\":true"), "{reply}");
        assert!(doll.ask("/livez").unwrap().starts_with("HTTP/1.1 200"));
        doll.ask("/release").unwrap();
        let (code, errors) = doll.end();
        assert_eq!((code, errors), (Some(0), vec![]));
    }
}

#[test]
fn whoever_holds_the_process_at_the_deadline_is_named() {
    let mut doll = Doll::start("stubborn");
    doll.await_line("ready");
    doll.signal(Signal::SIGTERM);
    let (code, errors) = doll.end();
    assert_eq!(code, Some(1));
    assert!(
        errors.len() == 1 && errors[0].contains("poller"),
        "{errors:?}"
    );
}

#[test]
fn the_deadline_holds_even_when_workers_are_blocked() {
    let (code, errors) = Doll::start("blocked-briefly").end();
    assert_eq!(code, Some(1));
    assert!(
        errors.len() == 1 && errors[0].contains("rude"),
        "{errors:?}"
    );
}

#[test]
fn a_second_signal_ends_even_a_process_whose_workers_are_blocked() {
    for (second, expected) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let mut doll = Doll::start("blocked");
        doll.await_line("worker blocked");
        doll.await_line("draining");
        doll.signal(Signal::SIGTERM);
        doll.await_line("told to stop");
        doll.signal(second);
        let (code, _) = doll.end();
        assert_eq!(code, Some(expected));
    }
}

#[test]
fn a_body_that_ends_by_itself_ends_the_process_well() {
    assert_eq!(Doll::start("finishes").end(), (Some(0), vec![]));
}

#[test]
fn failures_end_the_process_badly_and_say_why_once() {
    for (scenario, expected) in [
        ("fails", "cannot read the catalogue: table missing"),
        ("task-fails", "no broker"),
        ("panics", "out of cheese"),
    ] {
        let (code, errors) = Doll::start(scenario).end();
        assert_eq!(code, Some(1), "{scenario}");
        let saying = errors.iter().filter(|line| line.contains(expected));
        // A panic is told where it happens and again where it ends the service.
        let times = if scenario == "panics" { 2 } else { 1 };
        assert_eq!(saying.count(), times, "{scenario}: {errors:#?}");
    }
}

#[test]
fn an_error_while_draining_is_not_a_good_end() {
    let doll = Doll::start("flush-fails");
    doll.signal(Signal::SIGTERM);
    let (code, errors) = doll.end();
    assert_eq!(code, Some(1));
    assert!(
        errors.len() == 1 && errors[0].contains("3 messages"),
        "{errors:?}"
    );
}

#[test]
fn a_taken_port_is_named_at_once() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, errors) = Doll::spawn("held", &address).end();
    assert_eq!(code, Some(1));
    assert!(
        errors.len() == 1 && errors[0].contains(&address),
        "{errors:?}"
    );
}
