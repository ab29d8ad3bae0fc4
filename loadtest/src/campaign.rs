//! A campaign: brings everything up, takes runs, watches, waits for rest, audits,
//! reports, and removes what it made.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};

use crate::arrivals::Arrivals;
use crate::audit::{audit, read_back};
use crate::campaign_plan::SustainedArgs;
use crate::machine::{Daq, Machine};
use crate::metrics::Metrics;
use crate::process::Process;
use crate::report::markdown;
use crate::trial::{Sample, Trial};
use crate::verdict::verdicts;

/// How long after the detector's end nothing may be on its way any more.
const SETTLE: Duration = Duration::from_mins(2);

/// How often it is looked whether the detector has ended, or all is at rest.
const TICK: Duration = Duration::from_millis(500);

/// Runs the campaign; `true` if every promise was kept.
pub(crate) async fn sustained(args: &SustainedArgs) -> anyhow::Result<bool> {
    let root = new_folder()?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let trial = tokio::select! {
        trial = trial(args, &root) => trial,
        _ = terminate.recv() => bail!("told to stop"),
        _ = interrupt.recv() => bail!("told to stop"),
    };
    let trial =
        trial.with_context(|| format!("the stack's folder is left in `{}`", root.display()))?;
    let verdicts = verdicts(&trial);
    let report = markdown(&trial, &verdicts);
    if let Some(file) = &args.report {
        std::fs::write(file, &report).with_context(|| file.display().to_string())?;
        for verdict in &verdicts {
            let word = if verdict.kept { "kept" } else { "BROKEN" };
            say(&format!("{word}: {}", verdict.what))?;
        }
    } else {
        say(&report)?;
    }
    let kept = verdicts.iter().all(|verdict| verdict.kept);
    if args.keep || !kept {
        say(&format!(
            "the stack's folder is left in `{}`",
            root.display()
        ))?;
    } else {
        std::fs::remove_dir_all(&root).with_context(|| root.display().to_string())?;
    }
    Ok(kept)
}

/// A folder beside the build: its disk has room, and nobody looks for data there.
fn new_folder() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).context("no folder to work in")?;
    let name = format!("sustained-{}", std::process::id());
    Ok(target.join("loadtest").join(name))
}

async fn trial(args: &SustainedArgs, root: &Path) -> anyhow::Result<Trial> {
    let machine = Machine::start(root, &[]).await?;
    say("ready")?;
    let began = Timestamp::now();
    let watch = watch(args, &machine).await?;
    say("at rest; auditing")?;
    let asked = Instant::now();
    let audit = audit(&machine).await?;
    let audit_took = asked.elapsed().as_secs_f64();
    let read_back = read_back(&machine.config.storage, watch.arrivals.samples()).await?;
    let middle = format!("{}", args.runs().div_ceil(2));
    let (story, _) = machine.ask(&["explain", &middle]).await?;
    let trial = Trial {
        command: args.command_line(),
        began,
        cores: std::thread::available_parallelism()?.get(),
        settings: settings(&machine.processes)?,
        rate: args.rate,
        runs: args.runs(),
        processes: watch.processes.iter().map(|known| known.name).collect(),
        announced: watch.arrivals.count_of_runs(),
        repeats: watch.arrivals.repeats(),
        bytes: watch.arrivals.bytes(),
        latency: watch.arrivals.since(0).unwrap_or_default(),
        settled: watch.settled,
        samples: watch.samples,
        audit,
        audit_took,
        read_back,
        complaints: machine.complaints()?,
        story,
    };
    machine.stop().await?;
    Ok(trial)
}

/// What the servers were told, from their command lines.
fn settings(processes: &[Process]) -> anyhow::Result<Vec<String>> {
    let mut settings = vec!["Producers wait for all in-sync replicas (`acks=all`)".to_owned()];
    for process in processes {
        let told = process.command_line()?;
        let flush = told.iter().find(|word| word.contains("flush-log"));
        settings.extend(flush.map(|flush| format!("{} runs with `{flush}`", process.name)));
    }
    Ok(settings)
}

/// What is seen while runs are taken.
struct Watch<'a> {
    machine: &'a Machine,
    began: Instant,
    processes: Vec<Process>,
    arrivals: Arrivals,
    samples: Vec<Sample>,
    /// Where the latencies of the next sample begin.
    mark: usize,
    /// Seconds that scans had taken at the last sample.
    scanned: f64,
    settled: f64,
}

/// Takes the runs and waits until none is on its way.
async fn watch<'a>(args: &SustainedArgs, machine: &'a Machine) -> anyhow::Result<Watch<'a>> {
    let mut watch = Watch {
        machine,
        began: Instant::now(),
        processes: machine.processes.clone(),
        arrivals: Arrivals::listen(&machine.config.kafka, args.sample_every())?,
        samples: Vec::new(),
        mark: 0,
        scanned: 0.0,
        settled: 0.0,
    };
    watch.processes.push(Process {
        name: "loadtest",
        pid: std::process::id(),
    });
    watch.sample(false).await?;
    let mut daq = machine.start_daq(args.rate, args.frames, args.runs())?;
    watch.began = Instant::now();
    watch.processes.push(daq.process());
    let ended = watch.until_taken(args, &daq).await?;
    watch.until_at_rest(args.runs(), ended).await?;
    watch.settled = ended.elapsed().as_secs_f64();
    watch.sample(false).await?;
    daq.collect()?;
    Ok(watch)
}

impl Watch<'_> {
    /// Samples until the detector has ended, and says when that was.
    async fn until_taken(&mut self, args: &SustainedArgs, daq: &Daq) -> anyhow::Result<Instant> {
        let deadline = self.began + args.duration() * 2 + SETTLE;
        let every = Duration::from_secs(args.sample_secs);
        let mut next = Instant::now() + every;
        let process = daq.process();
        while !process.usage()?.ended {
            if Instant::now() > deadline {
                bail!("the detector is far too slow");
            }
            self.listen(TICK).await?;
            if Instant::now() >= next {
                next += every;
                self.sample(true).await?;
            }
        }
        Ok(Instant::now())
    }

    async fn until_at_rest(&mut self, runs: u64, ended: Instant) -> anyhow::Result<()> {
        while self.arrivals.count_of_runs() < runs && ended.elapsed() < SETTLE {
            self.listen(TICK).await?;
        }
        Ok(())
    }

    /// Counts what arrives during `time`.
    async fn listen(&mut self, time: Duration) -> anyhow::Result<()> {
        let until = tokio::time::Instant::now() + time;
        loop {
            tokio::select! {
                delivery = self.arrivals.next() => self.arrivals.take(delivery?).await?,
                () = tokio::time::sleep_until(until) => return Ok(()),
            }
        }
    }

    async fn sample(&mut self, taking: bool) -> anyhow::Result<()> {
        let m2c = Metrics::of(self.machine.config.m2c.listen).await?;
        let relay = Metrics::of(self.machine.config.relay.listen).await?;
        let at = self.began.elapsed().as_secs_f64();
        let scanned = m2c.sum("aquifer_m2c_scan_seconds_sum");
        let scanning = self.samples.last().map_or(0.0, |before| {
            (scanned - self.scanned) / (at - before.at).max(f64::EPSILON)
        });
        let sample = Sample {
            at,
            taking,
            to_store: m2c.sum("aquifer_m2c_runs_to_store") as u64,
            to_record: m2c.sum("aquifer_m2c_runs_to_record") as u64,
            outbox: relay.sum("aquifer_relay_backlog") as u64,
            stored: m2c.sum("aquifer_m2c_files_stored_total") as u64,
            announced: self.arrivals.count_of_runs(),
            scanning,
            latency: self.arrivals.since(self.mark),
            usage: self
                .processes
                .iter()
                .map(Process::usage)
                .collect::<Result<_, _>>()?,
        };
        say(&progress(&sample))?;
        self.mark = self.arrivals.mark();
        self.scanned = scanned;
        self.samples.push(sample);
        Ok(())
    }
}

fn progress(sample: &Sample) -> String {
    let p99 = sample.latency.map_or(0.0, |latency| latency.p99);
    format!(
        "{:5.0} s  {} stored, {} announced, {} + {} + {} on their way, p99 {p99:.0} ms",
        sample.at,
        sample.stored,
        sample.announced,
        sample.to_store,
        sample.to_record,
        sample.outbox
    )
}

fn say(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{text}")
}
