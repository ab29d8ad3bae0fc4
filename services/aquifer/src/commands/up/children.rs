//! The services of one machine as child processes: started, found ready, started
//! again when they die, and stopped. They stop by themselves when this process is
//! gone, because it holds their standard input.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
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
    running: BTreeMap<&'static str, Running>,
}

struct Running {
    child: Child,
    args: Vec<String>,
    listen: Option<SocketAddr>,
}

impl Children {
    /// No children yet; they will read `config_file` and log into `logs`.
    pub(crate) fn new(config_file: &Path, logs: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(logs).with_context(|| logs.display().to_string())?;
        Ok(Self {
            config_file: config_file.to_owned(),
            logs: logs.to_owned(),
            running: BTreeMap::new(),
        })
    }

    /// Starts a service that answers at `listen`.
    pub(crate) fn start(&mut self, name: &'static str, listen: SocketAddr) -> anyhow::Result<()> {
        let args = vec![name.to_owned(), "--until-stdin-closes".to_owned()];
        let child = self.spawn(name, &args)?;
        let listen = Some(listen);
        self.running.insert(
            name,
            Running {
                child,
                args,
                listen,
            },
        );
        Ok(())
    }

    /// Starts a command that ends by itself.
    pub(crate) fn start_command(
        &mut self,
        name: &'static str,
        args: &[String],
    ) -> anyhow::Result<()> {
        let args = args.to_vec();
        let child = self.spawn(name, &args)?;
        self.running.insert(
            name,
            Running {
                child,
                args,
                listen: None,
            },
        );
        Ok(())
    }

    fn spawn(&self, name: &str, args: &[String]) -> anyhow::Result<Child> {
        let path = self.logs.join(format!("{name}.log"));
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| path.display().to_string())?;
        Command::new(std::env::current_exe()?)
            .arg("--config")
            .arg(&self.config_file)
            .args(args)
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
            let Some(listen) = running.listen else {
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

    /// Waits until a child ends, starts it again if it is a service, and says so.
    pub(crate) async fn watch(&mut self) -> String {
        loop {
            let mut ended = None;
            for (name, running) in &mut self.running {
                if let Ok(Some(status)) = running.child.try_wait() {
                    ended = Some((*name, status));
                    break;
                }
            }
            let Some((name, status)) = ended else {
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            };
            let Some(before) = self.running.remove(name) else {
                continue;
            };
            if before.listen.is_none() {
                return format!("{name} ended with {status}");
            }
            tokio::time::sleep(RESTART).await;
            return match self.spawn(name, &before.args) {
                Ok(child) => {
                    self.running.insert(name, Running { child, ..before });
                    format!("{name} ended with {status} and was started again")
                }
                Err(error) => format!("{name} ended with {status} and does not start: {error:#}"),
            };
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
