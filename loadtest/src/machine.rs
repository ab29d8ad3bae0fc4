//! The whole chain on this machine, started as a user starts it: `aquifer up` in a
//! folder of its own, and `aquifer daq simulate`. Whatever happens here, nothing is
//! left running.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aquifer_bus::KafkaConfig;
use aquifer_stack::Stack;
use aquifer_storage::S3Config;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::process::{Process, children};
use crate::trial::Complaints;

/// How long everything may take to come up.
const READY: Duration = Duration::from_mins(3);

/// How long everything may take to stop.
const STOP: Duration = Duration::from_mins(1);

/// The services that `aquifer up` starts.
const SERVICES: [&str; 2] = ["m2c", "relay"];

/// What of the configuration is needed to look from outside.
#[derive(Debug, Deserialize)]
pub(crate) struct Config {
    /// The bus.
    pub(crate) kafka: KafkaConfig,
    /// The object storage.
    pub(crate) storage: S3Config,
    /// `[m2c]`.
    pub m2c: Listen,
    /// `[relay]`.
    pub(crate) relay: Listen,
}

/// Where a service answers.
#[derive(Debug, Deserialize)]
pub(crate) struct Listen {
    /// Its address.
    pub(crate) listen: SocketAddr,
}

/// Everything that runs.
pub(crate) struct Machine {
    program: PathBuf,
    root: PathBuf,
    up: Child,
    /// Open as long as the machine: `aquifer up` ends when nobody reads what it says.
    _said: Lines<BufReader<ChildStdout>>,
    /// The configuration that `aquifer up` has written.
    pub(crate) config: Config,
    /// Services and servers.
    pub(crate) processes: Vec<Process>,
}

impl Machine {
    /// Starts everything in `root`, which must be new, with `settings` in the
    /// environment, and returns when it is ready.
    pub(crate) async fn start(root: &Path, settings: &[(String, String)]) -> anyhow::Result<Self> {
        let program = beside_this("aquifer")?;
        let mut up = Command::new(&program)
            .arg("up")
            .arg("--root")
            .arg(root)
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| program.display().to_string())?;
        let stdout = up.stdout.take().context("`aquifer up` has no output")?;
        let mut said = BufReader::new(stdout).lines();
        tokio::time::timeout(READY, ready(&mut said))
            .await
            .context("`aquifer up` takes too long")??;
        let file = root.join("aquifer.toml");
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let config = toml::from_str(&text).with_context(|| file.display().to_string())?;
        let pid = up.id().context("`aquifer up` has ended")?;
        Ok(Self {
            program,
            root: root.to_owned(),
            up,
            _said: said,
            config,
            processes: processes(root, pid)?,
        })
    }

    /// Starts a detector that takes `runs` runs.
    pub(crate) fn start_daq(&self, rate: f64, frames: u32, runs: u64) -> anyhow::Result<Daq> {
        let log = File::create(self.root.join("log").join("daq.log"))?;
        let child = std::process::Command::new(&self.program)
            .arg("--config")
            .arg(self.root.join("aquifer.toml"))
            .args(["daq", "simulate", "--pixels", "64"])
            .args(["--rate", &rate.to_string()])
            .args(["--frames", &frames.to_string()])
            .args(["--runs", &runs.to_string()])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("start the detector")?;
        Ok(Daq(child))
    }

    /// What `aquifer` with these arguments prints, and whether it said that all is well.
    pub(crate) async fn ask(&self, args: &[&str]) -> anyhow::Result<(String, bool)> {
        let output = Command::new(&self.program)
            .arg("--config")
            .arg(self.root.join("aquifer.toml"))
            .args(args)
            .kill_on_drop(true)
            .output()
            .await?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.code().is_some_and(|code| code < 2) && !output.stdout.is_empty(),
            "`aquifer {}`: {}: {complaint}",
            args.join(" "),
            output.status
        );
        let said = String::from_utf8(output.stdout)?;
        Ok((said, output.status.success()))
    }

    /// Lines of the logs that tell of trouble, by level and service.
    pub(crate) fn complaints(&self) -> anyhow::Result<BTreeMap<String, Complaints>> {
        let mut found = BTreeMap::new();
        for name in SERVICES.iter().chain(&["daq"]) {
            let path = self.root.join("log").join(format!("{name}.log"));
            let text =
                std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            for level in ["WARN", "ERROR"] {
                let mut lines = text.lines().filter(|line| line.contains(level));
                if let Some(first) = lines.next() {
                    let complaints = Complaints {
                        lines: 1 + lines.count(),
                        first: first.to_owned(),
                    };
                    found.insert(format!("{level} of {name}"), complaints);
                }
            }
        }
        Ok(found)
    }

    /// Stops services and servers in order.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(pid) = self.up.id() {
            kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM)?;
        }
        let status = tokio::time::timeout(STOP, self.up.wait())
            .await
            .context("`aquifer up` does not stop")??;
        ensure!(status.success(), "`aquifer up` ended with {status}");
        Ok(())
    }
}

/// The detector; killed when dropped. It is a child of the standard library, which does
/// not collect it by itself: what it has used can be read after its end.
pub(crate) struct Daq(std::process::Child);

impl Daq {
    /// The process.
    pub(crate) fn process(&self) -> Process {
        Process {
            name: "daq",
            pid: self.0.id(),
        }
    }

    /// How it ended; call it when it has.
    pub(crate) fn collect(&mut self) -> anyhow::Result<()> {
        let status = self.0.wait()?;
        ensure!(status.success(), "the detector ended with {status}");
        Ok(())
    }
}

impl Drop for Daq {
    fn drop(&mut self) {
        // Both fail only for a child that was collected.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn ready(said: &mut Lines<BufReader<ChildStdout>>) -> anyhow::Result<()> {
    while let Some(line) = said.next_line().await? {
        if line.starts_with("ready after") {
            return Ok(());
        }
    }
    anyhow::bail!("`aquifer up` did not start")
}

fn processes(root: &Path, up: u32) -> anyhow::Result<Vec<Process>> {
    let stack = Stack::attach(root)?.context("the stack is not there")?;
    let mut found = Vec::new();
    let started = children(up)?;
    for name in SERVICES {
        let service = started
            .iter()
            .find(|(_, command)| command.iter().any(|word| word == name));
        let (pid, _) = service.with_context(|| format!("{name} does not run"))?;
        found.push(Process { name, pid: *pid });
    }
    let servers = stack.servers.into_iter();
    found.extend(servers.map(|(server, pid)| Process {
        name: server.name(),
        pid,
    }));
    Ok(found)
}

/// A program of the same build.
fn beside_this(name: &str) -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?.with_file_name(name);
    ensure!(
        program.is_file(),
        "`{}` is missing; hint: build both with `cargo build --profile bench-run -p aquifer -p aquifer-loadtest`",
        program.display()
    );
    Ok(program)
}
