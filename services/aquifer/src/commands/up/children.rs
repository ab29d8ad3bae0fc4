//! The services of one machine as child processes: started, found ready, started
//! again when they die, and stopped. They stop by themselves when this process is
//! gone, because it holds their standard input; the stack's mark finds one that does
//! not.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// How long a service may take to become ready.
const READY: Duration = Duration::from_mins(1);

/// How long a service may take to drain before it is killed.
const DRAIN: Duration = Duration::from_secs(30);

/// Pause before a service that died is started again.
const RESTART: Duration = Duration::from_secs(1);

/// Child processes by name.
pub(crate) struct Children {
    config_file: PathBuf,
    logs: PathBuf,
    /// A variable of their environment, and its value.
    mark: (&'static str, String),
    running: BTreeMap<&'static str, Running>,
}

struct Running {
    child: Child,
    kind: Kind,
    /// When it is started again; `None` while it runs.
    again_at: Option<Instant>,
}

#[derive(Clone, Copy)]
enum Kind {
    /// Answers at an address, and never ends by itself.
    Service(SocketAddr),
    /// Ends by itself.
    Command,
}

/// Something that the person who watches should know.
pub(crate) enum News {
    /// It is taken care of.
    Note(String),
    /// A command that ends by itself has failed.
    Failed(String),
}

impl Children {
    /// No children yet; they will read `config_file`, log into `logs` and carry `mark`.
    pub(crate) fn new(
        config_file: &Path,
        logs: &Path,
        mark: (&'static str, &str),
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(logs).with_context(|| logs.display().to_string())?;
        Ok(Self {
            config_file: config_file.to_owned(),
            logs: logs.to_owned(),
            mark: (mark.0, mark.1.to_owned()),
            running: BTreeMap::new(),
        })
    }

    /// Starts a service that answers at `listen`.
    pub(crate) fn start(&mut self, name: &'static str, listen: SocketAddr) -> anyhow::Result<()> {
        self.begin(name, &[name.to_owned()], Kind::Service(listen))
    }

    /// Starts a command that ends by itself.
    pub(crate) fn start_command(
        &mut self,
        name: &'static str,
        args: &[String],
    ) -> anyhow::Result<()> {
        self.begin(name, args, Kind::Command)
    }

    fn begin(&mut self, name: &'static str, args: &[String], kind: Kind) -> anyhow::Result<()> {
        let running = Running {
            child: self.spawn(name, args)?,
            kind,
            again_at: None,
        };
        self.running.insert(name, running);
        Ok(())
    }

    fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    fn spawn(&self, name: &str, args: &[String]) -> anyhow::Result<Child> {
        let path = self.log(name);
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| path.display().to_string())?;
        Command::new(std::env::current_exe()?)
            .arg("--config")
            .arg(&self.config_file)
            .args(args)
            .arg("--until-stdin-closes")
            .env(self.mark.0, &self.mark.1)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {name}"))
    }

    /// Returns when every service says that it is ready.
    pub(crate) async fn all_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY;
        let log_folder = self.logs.clone();
        for (name, running) in &mut self.running {
            let Kind::Service(listen) = running.kind else {
                continue;
            };
            while !is_ready(listen).await {
                let log = log_folder.join(format!("{name}.log"));
                if let Some(status) = running.child.try_wait()? {
                    bail!("{name} ended with {status}; its log is `{}`", log.display());
                }
                if Instant::now() > deadline {
                    bail!("{name} is not ready; its log is `{}`", log.display());
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    /// Looks whether a child has ended, and starts services again, a moment after they
    /// died. Returns at once: what is still to be done stands in `self`.
    pub(crate) fn tend(&mut self) -> Vec<News> {
        let now = Instant::now();
        let mut news = Vec::new();
        let names: Vec<_> = self.running.keys().copied().collect();
        for name in names {
            let log = self.log(name);
            let Some(running) = self.running.get_mut(name) else {
                continue;
            };
            match (running.again_at, running.kind) {
                (Some(at), _) if now < at => {}
                (Some(_), _) => news.push(self.start_again(name)),
                (None, kind) => {
                    let Ok(Some(status)) = running.child.try_wait() else {
                        continue;
                    };
                    match kind {
                        Kind::Service(_) => running.again_at = Some(now + RESTART),
                        Kind::Command => drop(self.running.remove(name)),
                    }
                    news.push(ended(name, kind, status, &log));
                }
            }
        }
        news
    }

    fn start_again(&mut self, name: &'static str) -> News {
        let spawned = self.spawn(name, &[name.to_owned()]);
        let Some(running) = self.running.get_mut(name) else {
            return News::Note(format!("{name} is gone"));
        };
        match spawned {
            Ok(child) => {
                running.child = child;
                running.again_at = None;
                News::Note(format!("{name} was started again"))
            }
            Err(error) => {
                running.again_at = Some(Instant::now() + RESTART);
                News::Note(format!("{name} does not start: {error:#}"))
            }
        }
    }

    /// Tells every child to stop, waits for each, and kills what does not.
    pub(crate) async fn stop(&mut self) {
        for running in self.running.values() {
            if let Some(pid) = running.child.id() {
                // A child that has ended already is what is wanted.
                let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM);
            }
        }
        for running in self.running.values_mut() {
            let drained = tokio::time::timeout(DRAIN, running.child.wait()).await;
            if drained.is_err() {
                let _ = running.child.kill().await;
            }
        }
        self.running.clear();
    }
}

fn ended(name: &str, kind: Kind, status: ExitStatus, log: &Path) -> News {
    match kind {
        Kind::Service(_) => News::Note(format!("{name} ended with {status}")),
        Kind::Command if status.success() => News::Note(format!("the {name} is done")),
        Kind::Command => News::Failed(format!(
            "the {name} ended with {status}; its log is `{}`",
            log.display()
        )),
    }
}

/// Whether `/readyz` at `address` answers 200.
async fn is_ready(address: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream
            .write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .await?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = tokio::time::timeout(Duration::from_secs(2), ask).await;
    matches!(answer, Ok(Ok(answer)) if answer.ends_with(b" 200"))
}
