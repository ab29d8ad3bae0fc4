//! `aquifer demo break`: what can go wrong goes wrong under a running demonstration, and
//! it is shown what becomes of the runs. What is broken is mended, however this ends.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use aquifer_catalogue::{Catalogue, RunFilter};
use aquifer_digest::Digests;
use aquifer_schemas::{FileState, RunId, RunState};
use aquifer_stack::{Attached, Server};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::audit::audit;
use super::stack::attach;
use super::up::StopSignals;
use crate::cli::{BreakArgs, Breakage};
use crate::config::Config;
use crate::failure::Hinted;
use crate::output;

/// How long anything may take to be mended.
const PATIENCE: Duration = Duration::from_mins(2);

/// How long it is waited for the next run where nobody may take any.
const NEXT_RUN: Duration = Duration::from_secs(30);

/// How soon it is audited again where something is unaccounted for.
const AUDIT_AGAIN: Duration = Duration::from_secs(2);

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(100);

/// Runs that nobody else takes begin here.
const FIRST_OWN_RUN: u64 = 900_000;

/// A running demonstration.
struct Demo {
    attached: Attached,
    config: Config,
    config_file: PathBuf,
    catalogue: Catalogue,
}

/// Breaks something and waits until it is mended. Exit code 1 if anything is lost.
pub(super) async fn run(args: BreakArgs) -> anyhow::Result<ExitCode> {
    let demo = Demo::attach(&args.root.root).await?;
    match args.what {
        Breakage::KillM2c => demo.kill_m2c().await?,
        Breakage::CutNetwork => demo.cut_network(Duration::from_secs(args.secs)).await?,
        Breakage::CorruptFile => demo.corrupt_file().await?,
    }
    demo.conclude().await
}

impl Demo {
    async fn attach(root: &Path) -> anyhow::Result<Self> {
        let attached = attach(root)?;
        let config_file = attached.endpoints.root.join("aquifer.toml");
        let config = Config::load(Some(config_file.clone()), &[])?;
        let catalogue = Catalogue::connect(&config.catalogue).await?;
        Ok(Self {
            attached,
            config,
            config_file,
            catalogue,
        })
    }

    /// The ingester's process.
    fn m2c(&self) -> anyhow::Result<Option<u32>> {
        let processes = self.attached.processes()?.into_iter();
        let mut m2c = processes.filter(|(_, words)| words.iter().any(|word| word == "m2c"));
        Ok(m2c.next().map(|(pid, _)| pid))
    }

    async fn stored(&self) -> anyhow::Result<u64> {
        let counts = self.catalogue.counts_by_state(None).await?;
        Ok(counts.get(&RunState::Stored).copied().unwrap_or_default())
    }

    async fn kill_m2c(&self) -> anyhow::Result<()> {
        let before = self.m2c()?.ok_or_else(|| {
            let hint = "`aquifer demo` starts one";
            Hinted::new("no ingester runs in this stack", hint)
        })?;
        let stored = self.stored().await?;
        signal(before, Signal::SIGKILL)?;
        output::line(format!(
            "m2c (process {before}) was killed in the middle of its work; {stored} runs are stored"
        ))?;
        let began = Instant::now();
        wait("m2c to come back", PATIENCE, async || {
            Ok(self.m2c()?.is_some_and(|pid| pid != before))
        })
        .await?;
        let after = began.elapsed().as_secs_f64();
        output::line(format!(
            "it was started again after {after:.1} s, and reads in its journal what it had begun"
        ))?;
        self.next_run(stored).await
    }

    /// Waits for one more run than `stored`, if any are taken.
    async fn next_run(&self, stored: u64) -> anyhow::Result<()> {
        let next = wait("the next run", NEXT_RUN, async || {
            Ok(self.stored().await? > stored)
        });
        match next.await {
            Ok(()) => output::line("the next run is stored")?,
            Err(_) => output::line("no run was stored since: is a detector running?")?,
        }
        Ok(())
    }

    async fn cut_network(&self, time: Duration) -> anyhow::Result<()> {
        let server = self.attached.servers.get(&Server::SeaweedFs);
        let server = *server.context("the object storage does not run")?;
        let stored = self.stored().await?;
        let mut stop = StopSignals::new()?;
        let silence = Silence::of(server)?;
        output::line(format!(
            "the object storage does not answer for {} s; {stored} runs are stored. The DAQ goes on: see",
            time.as_secs()
        ))?;
        output::line(format!(
            "  aquifer --config {} m2c status",
            self.config_file.display()
        ))?;
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = stop.received() => output::line("mended early")?,
        }
        drop(silence);
        let waiting = self.waiting().await?;
        output::line(format!(
            "it answers again; {waiting} closed runs wait in the buffer"
        ))?;
        let newest = self.newest().await?;
        wait("the runs that waited", PATIENCE, async || {
            let Some(run) = &newest else {
                return Ok(true);
            };
            let row = self.catalogue.run(run).await?;
            let pending = self.waiting_up_to(run).await?;
            Ok(row.is_some_and(|row| row.state != RunState::Closed) && pending == 0)
        })
        .await?;
        output::line(format!(
            "the runs that waited are stored; {} runs are now",
            self.stored().await?
        ))?;
        Ok(())
    }

    async fn waiting(&self) -> anyhow::Result<u64> {
        let counts = self.catalogue.counts_by_state(None).await?;
        Ok(counts.get(&RunState::Closed).copied().unwrap_or_default())
    }

    async fn newest(&self) -> anyhow::Result<Option<RunId>> {
        let filter = RunFilter {
            limit: 1,
            ..RunFilter::default()
        };
        let mut runs = self.catalogue.runs(&filter).await?;
        Ok(runs.pop().map(|run| run.id))
    }

    async fn waiting_up_to(&self, run: &RunId) -> anyhow::Result<usize> {
        let filter = RunFilter {
            states: vec![RunState::Closed],
            to_number: Some(run.number),
            ..RunFilter::default()
        };
        Ok(self.catalogue.runs(&filter).await?.len())
    }

    async fn corrupt_file(&self) -> anyhow::Result<()> {
        let site = self.config.site()?;
        let number = self.own_number().await?;
        let run = RunId::first(site, number);
        let path = self.config.m2c.buffer.join(format!("run{number:05}.mid"));
        let right: Vec<u8> = (0..1_000_000_u32).map(|at| (at >> 5) as u8).collect();
        let mut wrong = right.clone();
        wrong[500_000] ^= 1;
        let digests = Digests::of(&right);
        let line = format!("{} {} {}\n", digests.crc32c, digests.size, path.display());
        write(&path, &wrong)?;
        write(&path.with_extension("mid.crc32c"), line.as_bytes())?;
        output::line(format!(
            "one bit of `{}` is not what the DAQ wrote: its logger says crc32c {}, the bytes have {}",
            path.display(),
            digests.crc32c,
            Digests::of(&wrong).crc32c
        ))?;
        wait("the file to be found out", PATIENCE, async || {
            Ok(self.quarantined(&run).await?.is_some())
        })
        .await?;
        let reason = self.quarantined(&run).await?.unwrap_or_default();
        output::line(format!("run {run} is quarantined: {reason}"))?;
        output::line("nothing of it is stored, and the signal `file-changed` tells people")?;
        write(&path, &right)?;
        output::line("now the right bytes come")?;
        wait("the run to be stored", PATIENCE, async || {
            let row = self.catalogue.run(&run).await?;
            Ok(row.is_some_and(|row| row.state == RunState::Stored))
        })
        .await?;
        output::line(format!(
            "run {run} is stored; its history has all of it: aquifer --config {} explain {run}",
            self.config_file.display()
        ))?;
        Ok(())
    }

    /// A number that no run has.
    async fn own_number(&self) -> anyhow::Result<u64> {
        let filter = RunFilter {
            from_number: Some(FIRST_OWN_RUN),
            limit: 10_000,
            ..RunFilter::default()
        };
        let runs = self.catalogue.runs(&filter).await?;
        let last = runs.iter().map(|run| run.id.number + 1).max();
        Ok(last.unwrap_or(FIRST_OWN_RUN))
    }

    /// Why a run's file is quarantined, if it is.
    async fn quarantined(&self, run: &RunId) -> anyhow::Result<Option<String>> {
        let detail = self.catalogue.run_detail(run).await?;
        let files = detail.map(|detail| detail.files).unwrap_or_default();
        let mut bad = files
            .into_iter()
            .filter(|file| file.state == FileState::Changed);
        Ok(bad.next().map(|file| file.reason.unwrap_or_default()))
    }

    /// What the DAQ's list, buffer, catalogue and storage say in the end.
    async fn conclude(&self) -> anyhow::Result<ExitCode> {
        // The DAQ goes on, and what is late on a busy machine still comes: only what stays
        // unaccounted for is lost.
        let began = Instant::now();
        let mut report = audit(&self.config, false, false).await?;
        while report.unaccounted > 0 && began.elapsed() < PATIENCE {
            tokio::time::sleep(AUDIT_AGAIN).await;
            report = audit(&self.config, false, false).await?;
        }
        output::line(format!(
            "audit: {} files stored, {} quarantined, {} in progress, {} unaccounted",
            report.tally.stored,
            report.tally.quarantined,
            report.tally.in_progress,
            report.unaccounted
        ))?;
        Ok(if report.unaccounted == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

/// A process that is stopped as long as this lives: it holds its connections and answers
/// nothing, as behind a cut link.
struct Silence(u32);

impl Silence {
    fn of(process: u32) -> anyhow::Result<Self> {
        signal(process, Signal::SIGSTOP)?;
        Ok(Self(process))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // It may have been ended meanwhile.
        let _ = signal(self.0, Signal::SIGCONT);
    }
}

fn signal(process: u32, signal: Signal) -> anyhow::Result<()> {
    kill(Pid::from_raw(process.cast_signed()), signal)
        .with_context(|| format!("{signal} to process {process}"))
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    std::fs::write(path, bytes).with_context(|| path.display().to_string())
}

/// Looks again until it is so.
async fn wait(
    what: &str,
    patience: Duration,
    so: impl AsyncFn() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let until = Instant::now() + patience;
    while !so().await? {
        anyhow::ensure!(
            Instant::now() < until,
            "waited {} s for {what}",
            patience.as_secs()
        );
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}
