//! SIGKILL at every named step and at random times, of the ingester, the relay and
//! the servers, under load: every run is stored once, announced, equal in checksum,
//! nothing stands twice, and the audit prints 0.
//!
//! Some runs are uploaded and compressed while they are open.
//!
//! `AQUIFER_CRASH_ROUNDS` sets the number of rounds (by default each blow once and a few
//! more), and `AQUIFER_CRASH_REPORT` names a file for the report of a long campaign.

use std::fmt::{self, Write as _};
use std::time::{Duration, Instant};

use aquifer_bus::Producer;
use aquifer_sim::Daq;
use aquifer_stack::{Halt, Server};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::deployment::{Deployment, Service, pause, take};
use crate::slow_run::SlowRun;

/// Runs taken in each round.
const RUNS: usize = 4;

/// Rounds after each blow was tried once, where nothing else is said.
const MORE_ROUNDS: usize = 4;

/// Larger runs are streamed and compressed; below that they are stored in one pass, the
/// largest of them in several parts.
const STREAM: &str = r#"
    [m2c.stream]
    encoding = "zstd"
    level = 1
    part-input-mib = 1
    min-size-mib = 8
    min-age-secs = 0
    poll-ms = 50
"#;

/// What is done to the deployment in one round.
#[derive(Debug, Clone, Copy)]
enum Blow {
    /// The ingester kills itself at a step.
    M2cAt(&'static str),
    /// The relay kills itself at a step.
    RelayAt(&'static str),
    /// The ingester is killed after so many milliseconds.
    M2cAfter(u64),
    /// The relay is killed after so many milliseconds.
    RelayAfter(u64),
    /// A server is killed after so many milliseconds and started again.
    ServerAfter(Server, u64),
    /// The ingester and the relay are killed after so many milliseconds while this
    /// server is down: what they had in their hands must not count as done.
    BesideDead(Server, u64),
}

impl Blow {
    /// Whether a run that is uploaded while it is open belongs to it: for the steps of
    /// such uploads, and for kills at random times that are late.
    fn concerns_streams(self) -> bool {
        match self {
            Self::M2cAt(step) => aquifer_m2c::steps::STREAMING.contains(&step),
            Self::M2cAfter(ms) | Self::ServerAfter(Server::SeaweedFs, ms) => ms % 3 == 0,
            _ => false,
        }
    }
}

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::M2cAt(step) => write!(f, "m2c at `{step}`"),
            Self::RelayAt(step) => write!(f, "relay at `{step}`"),
            Self::M2cAfter(ms) => write!(f, "m2c after {ms} ms"),
            Self::RelayAfter(ms) => write!(f, "relay after {ms} ms"),
            Self::ServerAfter(server, ms) => write!(f, "{server} after {ms} ms"),
            Self::BesideDead(server, ms) => {
                write!(f, "m2c and relay after {ms} ms without {server}")
            }
        }
    }
}

/// The rounds of a campaign: every blow once, then whatever the seed says.
fn blows(rounds: Option<usize>, random: &mut ChaCha8Rng) -> Vec<Blow> {
    let m2c = aquifer_m2c::steps::ALL
        .iter()
        .chain(aquifer_m2c::steps::STREAMING);
    let m2c = m2c.map(|step| Blow::M2cAt(step));
    let relay = aquifer_relay::STEPS.iter().map(|step| Blow::RelayAt(step));
    let servers = Server::ALL.map(|server| Blow::ServerAfter(server, 100));
    let beside = Server::ALL.map(|server| Blow::BesideDead(server, 1500));
    let steps: Vec<_> = m2c.chain(relay).chain(servers).chain(beside).collect();
    (0..rounds.unwrap_or(steps.len() + MORE_ROUNDS))
        .map(|round| match steps.get(round) {
            Some(step) => *step,
            None => any_blow(&steps, random),
        })
        .collect()
}

fn any_blow(steps: &[Blow], random: &mut ChaCha8Rng) -> Blow {
    let after = random.random_range(0..1500);
    let server = Server::ALL[random.random_range(0..Server::ALL.len())];
    match random.random_range(0..10) {
        0..3 => Blow::M2cAfter(after),
        3..5 => Blow::RelayAfter(after),
        5..7 => Blow::ServerAfter(server, after),
        7 => Blow::BesideDead(server, after),
        _ => steps[random.random_range(0..steps.len())],
    }
}

/// A campaign on one deployment; runs pile up and are all checked again at the end.
struct Campaign {
    deployment: Deployment,
    producer: Producer,
    daq: Daq,
    large: u32,
    taken: usize,
    report: String,
}

impl Campaign {
    fn start() -> Self {
        let deployment = Deployment::start();
        deployment.configure(STREAM);
        deployment.quiet_after(60);
        let producer = Producer::connect(&deployment.kafka()).unwrap();
        let daq = deployment.daq(|config| config.frames_per_run = 2);
        Self {
            deployment,
            producer,
            daq,
            large: 700,
            taken: 0,
            report: String::new(),
        }
    }

    /// Takes runs: one of several parts, the others small; every second is announced,
    /// if there is a bus.
    fn take_runs(&mut self, announce: bool) {
        for n in 0..RUNS {
            let truth = if n == 0 {
                let frames = self.large;
                let mut daq = self.deployment.daq(|config| config.frames_per_run = frames);
                let truth = take(&mut daq);
                self.daq = self.deployment.daq(|config| config.frames_per_run = 2);
                truth
            } else {
                take(&mut self.daq)
            };
            if announce && n % 2 == 1 {
                self.deployment.announce(&self.producer, &truth);
            }
            self.taken += 1;
        }
    }

    fn round(&mut self, blow: Blow, checked: bool) {
        let crash = |name, step| Some((name, step));
        let (m2c_at, relay_at) = match blow {
            Blow::M2cAt(step) => (crash("m2c", step), None),
            Blow::RelayAt(step) => (None, crash("relay", step)),
            _ => (None, None),
        };
        let mut m2c = self.deployment.service("m2c", m2c_at.map(|(_, step)| step));
        let mut relay = self
            .deployment
            .service("relay", relay_at.map(|(_, step)| step));
        if let Blow::BesideDead(server, _) = blow {
            self.kill_in_full_work(server);
        }
        self.take_runs(!matches!(blow, Blow::BesideDead(Server::Kafka, _)));
        if blow.concerns_streams() {
            self.take_slow_run(&mut m2c);
        }
        match blow {
            Blow::M2cAt(step) => m2c = self.after_suicide(m2c, step),
            Blow::RelayAt(step) => relay = self.after_suicide(relay, step),
            Blow::M2cAfter(ms) => m2c = self.killed(m2c, ms),
            Blow::RelayAfter(ms) => relay = self.killed(relay, ms),
            Blow::ServerAfter(server, ms) => {
                pause(Duration::from_millis(ms));
                self.restart(server);
            }
            Blow::BesideDead(server, ms) => {
                m2c = self.killed(m2c, ms);
                relay = self.killed(relay, 0);
                self.restart(server);
            }
        }
        self.deployment.wait_stored(self.taken);
        if checked {
            // What was published must be deleted, too, before nobody is left to do so.
            self.deployment.wait_told();
        }
        m2c.kill();
        relay.kill();
    }

    /// Kills a server when ingester and relay have shown that they reached it: a process
    /// that still waits for it at its start has nothing in its hands.
    fn kill_in_full_work(&mut self, server: Server) {
        take(&mut self.daq);
        self.taken += 1;
        self.deployment.wait_stored(self.taken);
        let stack = &mut self.deployment.stack;
        self.deployment
            .runtime
            .block_on(stack.kill(server))
            .unwrap();
    }

    fn restart(&mut self, server: Server) {
        let stack = &mut self.deployment.stack;
        self.deployment
            .runtime
            .block_on(stack.restart(server, Halt::Kill))
            .unwrap();
    }

    /// Takes a run that is uploaded while it is open, if the ingester lives so long.
    fn take_slow_run(&mut self, m2c: &mut Service) {
        let run = SlowRun::begin(&self.deployment);
        let number = self.daq.detector().next_number();
        self.deployment.wait_until("the open run is uploaded", || {
            m2c.is_killed() || self.deployment.streamed_parts(number) > 0
        });
        run.end();
        self.taken += 1;
        self.daq = self.deployment.daq(|config| config.frames_per_run = 2);
    }

    /// The process must die at its step; without that the round proves nothing.
    fn after_suicide(&self, mut service: Service, step: &str) -> Service {
        self.deployment
            .wait_until(&format!("death at {step}"), || service.is_killed());
        self.deployment.service(service.name, None)
    }

    fn killed(&self, service: Service, after_ms: u64) -> Service {
        pause(Duration::from_millis(after_ms));
        let name = service.name;
        service.kill();
        self.deployment.service(name, None)
    }

    fn note(&mut self, round: usize, blow: Blow, took: Duration) {
        writeln!(
            self.report,
            "| {round} | {blow} | {} | {:.1} |",
            self.taken,
            took.as_secs_f64()
        )
        .unwrap();
    }
}

#[test]
fn nothing_is_lost_or_done_twice_whoever_is_killed() {
    let rounds = std::env::var("AQUIFER_CRASH_ROUNDS");
    let rounds = rounds.ok().map(|text| text.parse().unwrap());
    let mut random = ChaCha8Rng::seed_from_u64(20);
    let blows = blows(rounds, &mut random);
    let rounds = blows.len();
    let mut campaign = Campaign::start();
    for (round, blow) in blows.into_iter().enumerate() {
        let began = Instant::now();
        let checked = round % 10 == 9 || round + 1 == rounds;
        campaign.round(blow, checked);
        if checked {
            campaign.deployment.check_conserved(campaign.taken);
        }
        campaign.note(round + 1, blow, began.elapsed());
    }
    if let Ok(path) = std::env::var("AQUIFER_CRASH_REPORT") {
        let cores = std::thread::available_parallelism().unwrap();
        let runs = campaign.taken;
        let head = format!(
            "# Crash campaign\n\n`make soak`, {cores} cores, debug build. {rounds} rounds of {RUNS} runs or more, \
             one of several parts, every second one announced: {runs} runs, each stored once, announced, equal in checksum \
             (every object read back), nothing twice, audit 0.\n\n\
             | round | blow | runs so far | s |\n|---|---|---|---|\n"
        );
        std::fs::write(path, head + &campaign.report).unwrap();
    }
}
