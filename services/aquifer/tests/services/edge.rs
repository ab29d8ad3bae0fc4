//! The ingester alone at the detector: started while nothing of the middle can be
//! reached, for days, and told of runs by a script.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use aquifer_stack::{LinkMode, LinkProxy, Server};
use serde_json::Value;

use crate::deployment::{Deployment, Service, pause, take};
use crate::web::{ask, free_address};

/// Four days of a run every hour and a half, in seconds that pass at once: the files are
/// that old.
const RUNS_WITHOUT_NETWORK: usize = 64;
const HOURS_WITHOUT_NETWORK: u64 = 96;

/// An ingester that may take so much of a core while it has nothing to do but wait.
const IDLE_CPU: f64 = 0.25;

/// And so much memory, in MiB.
const IDLE_MEMORY_MIB: u64 = 200;

/// The ways to the middle, which can be cut.
struct Links {
    storage: LinkProxy,
    catalogue: LinkProxy,
    bus: LinkProxy,
}

impl Links {
    fn set_all(&self, mode: LinkMode) {
        for link in [&self.storage, &self.catalogue, &self.bus] {
            link.set(mode);
        }
    }
}

impl Deployment {
    /// Links to every server, and an ingester's settings that go through them.
    fn linked(&self, mode: LinkMode) -> (Links, Vec<String>) {
        let link = |server| self.stack.link(server, mode).unwrap();
        let links = Links {
            storage: link(Server::SeaweedFs),
            catalogue: link(Server::MariaDb),
            bus: link(Server::Kafka),
        };
        let settings = [
            format!("storage.endpoint=http://{}", links.storage.address()),
            "storage.connect-timeout-secs=1".to_owned(),
            "storage.request-timeout-secs=5".to_owned(),
            format!("catalogue.port={}", links.catalogue.address().port()),
            "catalogue.timeout-secs=3".to_owned(),
            format!("kafka.bootstrap-servers={}", links.bus.address()),
        ];
        (links, settings.into())
    }

    fn ingester(&self, listen: SocketAddr, settings: &[String], crash_at: Option<&str>) -> Service {
        let listen = format!("m2c.listen={listen}");
        let settings = settings.iter().chain([&listen]);
        let flags: Vec<_> = settings.flat_map(|set| ["--set", set]).collect();
        let crash_at = crash_at.map(|step| ("AQUIFER_CRASH_AT", step));
        self.service_with("m2c", &flags, crash_at)
    }
}

/// CPU seconds and resident MiB of a process.
fn used(pid: u32) -> (f64, u64) {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: f64 = fields[11..13]
        .iter()
        .map(|field| field.parse::<f64>().unwrap())
        .sum();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let kib: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    (ticks / 100.0, kib / 1024)
}

#[test]
fn four_days_without_network_and_everything_catches_up_in_any_order() {
    let deployment = Deployment::start();
    let (links, mut settings) = deployment.linked(LinkMode::Refuse);
    settings.push("m2c.watch.unreachable-after-mins=0".to_owned());
    let listen = free_address();
    // Cold start: everything is missing, each in another way.
    links.bus.set(LinkMode::BlackHole);
    settings.push("catalogue.host=no-such-host.invalid".to_owned());
    let m2c = deployment.ingester(listen, &settings, None);
    let get = |page: &str| ask(listen, "GET", page, "");
    deployment.wait_until("a port", || get("/livez").is_some());
    let mut daq = deployment.daq(|config| config.frames_per_run = 1);
    let age = |n: usize| {
        let left = (RUNS_WITHOUT_NETWORK - n) as u64;
        Duration::from_secs(HOURS_WITHOUT_NETWORK * 3600 * left / RUNS_WITHOUT_NETWORK as u64)
    };
    for n in 0..RUNS_WITHOUT_NETWORK {
        let truth = take(&mut daq);
        for file in &truth.files {
            let file = fs::File::options()
                .append(true)
                .open(deployment.buffer().join(file.name.as_str()));
            file.unwrap()
                .set_modified(std::time::SystemTime::now() - age(n))
                .unwrap();
        }
    }
    let status = || {
        get("/v1/status")
            .map(|(_, status)| status)
            .unwrap_or_default()
    };
    deployment.wait_until("all runs journalled", || {
        status()["backlog"]["runs"] == RUNS_WITHOUT_NETWORK
    });
    let (code, ready) = get("/readyz").unwrap();
    assert_eq!(code, 503);
    for part in ["storage", "catalogue", "bus"] {
        assert_eq!(ready["components"][part]["state"], "not-ready", "{ready:#}");
    }
    assert_eq!(get("/livez").unwrap().0, 200);
    // It waits, and does not work at waiting.
    let (before, _) = used(m2c.id());
    let began = Instant::now();
    pause(Duration::from_secs(8));
    let (after, memory) = used(m2c.id());
    let cpu = (after - before) / began.elapsed().as_secs_f64();
    eprintln!("alone: {cpu:.3} of a core, {memory} MiB");
    assert!(cpu < IDLE_CPU, "{cpu} of a core");
    assert!(memory < IDLE_MEMORY_MIB, "{memory} MiB");
    let said = status();
    assert_eq!(said["safe_to_switch_off"], true, "{said:#}");
    let oldest = said["backlog"]["oldest"]["run"].clone();
    assert_eq!(oldest["number"], 1, "{said:#}");
    assert!(
        deployment.signals().is_empty(),
        "nobody can have been told yet"
    );

    // Switched off and on again, with another catalogue host, and the links come back in
    // the order that is worst: the bus first, the storage last.
    m2c.kill();
    settings.pop();
    let m2c = deployment.ingester(listen, &settings, None);
    let relay = deployment.service("relay", None);
    links.bus.set(LinkMode::Open);
    deployment.wait_until("signals of the outage", || {
        let names = deployment.signals();
        names
            .iter()
            .any(|signal| signal.subject.ends_with("/storage") && !signal.cleared)
    });
    links.catalogue.set(LinkMode::Open);
    deployment.wait_until("runs recorded", || {
        deployment.count("closed") == RUNS_WITHOUT_NETWORK
    });
    links.storage.set(LinkMode::CutAfter(300_000));
    pause(Duration::from_secs(1));
    links.storage.set(LinkMode::Open);
    deployment.wait_stored(RUNS_WITHOUT_NETWORK);
    deployment.wait_until("ready", || {
        get("/readyz").is_some_and(|(code, _)| code == 200)
    });
    deployment.wait_until("the end of the outage told", || {
        let signals = deployment.signals();
        signals
            .iter()
            .any(|signal| signal.subject.ends_with("/storage") && signal.cleared)
    });
    deployment.check_conserved(RUNS_WITHOUT_NETWORK);

    // The link drops again while runs are taken, and comes back.
    links.set_all(LinkMode::BlackHole);
    take(&mut daq);
    deployment.wait_until("journalled", || status()["backlog"]["runs"] == 1);
    links.set_all(LinkMode::Open);
    deployment.wait_stored(RUNS_WITHOUT_NETWORK + 1);
    deployment.check_conserved(RUNS_WITHOUT_NETWORK + 1);
    m2c.stop();
    relay.stop();
}

#[test]
fn a_run_announced_by_http_is_remembered_by_a_process_that_is_killed() {
    let deployment = Deployment::start();
    let (links, settings) = deployment.linked(LinkMode::Refuse);
    let listen = free_address();
    let m2c = deployment.ingester(listen, &settings, None);
    let mut daq = deployment.daq(|config| config.frames_per_run = 1);
    let truth = take(&mut daq);
    let message = truth.closed("sequencer@daq", None);
    let body = serde_json::to_string(&message).unwrap();
    let mut answer = None;
    deployment.wait_until("an answer", || {
        answer = ask(listen, "POST", "/v1/run-closed", &body);
        answer.as_ref().is_some_and(|(code, _)| *code != 503)
    });
    m2c.kill();
    let (code, answer) = answer.unwrap();
    assert_eq!(code, 202, "{answer}");
    assert_eq!(answer["run"], "LAB/1");
    // Nothing was reachable: only the journal can know who closed the run.
    links.set_all(LinkMode::Open);
    let m2c = deployment.ingester(listen, &settings, None);
    let relay = deployment.service("relay", None);
    deployment.wait_stored(1);
    deployment.check_conserved(1);
    let shown = deployment.expect(&["runs", "show", "1", "--json"]);
    assert!(shown.contains("\"closed_by\": \"daq\""), "{shown}");
    // The others on the bus hear it as if the DAQ had a client of its own.
    deployment.wait_until("the announcement on the bus", || {
        let closed = deployment.closed_on_bus();
        closed
            .iter()
            .any(|closed| closed.event_id == message.event_id)
    });
    // The command line asks the process on this host, not the middle.
    let url = format!("http://{listen}");
    let status = deployment.run(&["m2c", "status", "--url", &url]);
    let said = String::from_utf8(status.stdout).unwrap();
    assert!(said.starts_with("Safe to switch off: yes"), "{said}");
    assert_eq!(status.status.code(), Some(0));
    let opened = ask(listen, "POST", "/v1/run-opened", r#"{"run": 2}"#);
    assert_eq!(opened.unwrap().0, 202);
    let status = deployment.run(&["m2c", "status", "--url", &url, "--json"]);
    assert_eq!(status.status.code(), Some(1), "a run is open");
    let said: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(said["safe_to_switch_off"], false);
    drop((m2c, relay));
}
