//! `aquifer up`: a private stack and every service on one machine, in one folder.

mod children;
mod plan;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use aquifer_catalogue::Catalogue;
use aquifer_schemas::Site;
use aquifer_stack::{Halt, Phase, Progress, Server, Stack, StackOptions, Tools};
use tokio::signal::unix::{SignalKind, signal};

use children::{Children, News};

use crate::cli::UpArgs;
use crate::commands::{profile, topology};
use crate::config::Config;
use crate::output;

/// How often servers and services are looked at.
const LOOK: Duration = Duration::from_millis(300);

/// Pause before a server that died, or did not start, is started again.
const RESTART: Duration = Duration::from_secs(1);

/// Everything that runs on this machine.
pub(super) struct Machine {
    stack: Stack,
    children: Children,
    /// Servers that died, and when they are started again.
    down: BTreeMap<Server, Instant>,
    /// The configuration that the services run with.
    pub config: Config,
    /// Where that configuration lies.
    pub config_file: PathBuf,
}

/// Starts everything, waits for Ctrl-C or SIGTERM, and stops it in order.
pub(super) async fn run(args: UpArgs) -> anyhow::Result<ExitCode> {
    let mut machine = Machine::start(&args).await?;
    machine.say_where()?;
    output::line("Ctrl-C stops everything; the data stay")?;
    let mut stop = StopSignals::new()?;
    loop {
        tokio::select! {
            () = stop.received() => break,
            news = machine.tend_for(LOOK) => {
                for note in news? {
                    output::line(note)?;
                }
            }
        }
    }
    // Nobody may be there to read it.
    let _ = output::line("stopping");
    machine.stop().await?;
    Ok(ExitCode::SUCCESS)
}

/// SIGINT, SIGTERM, and SIGHUP: the terminal was closed.
pub(super) struct StopSignals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl StopSignals {
    /// Listens from now on.
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Returns when the first one arrives.
    pub(super) async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

impl Machine {
    /// Starts servers and services and returns when all are ready.
    pub(super) async fn start(args: &UpArgs) -> anyhow::Result<Self> {
        let began = Instant::now();
        let root = std::path::absolute(&args.root.root)?;
        let plan = plan::Plan::new(args, &root)?;
        let tools = Tools::locate(&Tools::cache(Path::new(".")))?;
        let mut printed = Ok(());
        let stack = Stack::start(
            StackOptions::new(&root, tools),
            &mut |progress: Progress| {
                if printed.is_ok() {
                    printed = say(&progress);
                }
            },
        )
        .await?;
        printed?;
        let config_file = plan.write(stack.endpoints())?;
        let config = Config::load(Some(config_file.clone()), &[])?;
        config.classifier()?;
        prepare(&config, plan.site()).await?;
        let mut children = Children::new(&config_file, &root.join("log"), stack.mark())?;
        children.start("m2c", config.m2c.listen)?;
        children.start("relay", config.relay.listen)?;
        children.start("monitor", config.monitor.listen)?;
        children.all_ready().await?;
        output::line(format!(
            "ready after {:.1} s",
            began.elapsed().as_secs_f64()
        ))?;
        Ok(Self {
            stack,
            children,
            down: BTreeMap::new(),
            config,
            config_file,
        })
    }

    /// Prints where to look.
    pub(super) fn say_where(&self) -> anyhow::Result<()> {
        let endpoints = self.stack.endpoints();
        output::line(format!(
            "buffer         {}",
            self.config.m2c.buffer.display()
        ))?;
        output::line(format!("configuration  {}", self.config_file.display()))?;
        if !self.config.profile.is_empty() {
            output::line(format!("profile        {}", self.config.profile))?;
        }
        output::line(format!("kafka          {}", endpoints.kafka_bootstrap))?;
        output::line(format!(
            "s3             {} bucket {}",
            endpoints.s3.endpoint, endpoints.s3.bucket
        ))?;
        output::line(format!(
            "mariadb        {}:{} database {}",
            endpoints.mariadb.host, endpoints.mariadb.port, endpoints.mariadb.database
        ))?;
        output::line(format!(
            "api            http://{}/v1/runs/SITE/RUN, token: `monitor.token` of the configuration",
            self.config.monitor.listen
        ))?;
        output::line(
            "look           `aquifer runs list`, `aquifer explain RUN`, `aquifer audit`, `aquifer stack show`",
        )?;
        Ok(())
    }

    /// The folder in which everything lies.
    pub(super) fn root(&self) -> &Path {
        &self.stack.endpoints().root
    }

    /// Starts one more command of this binary as a child.
    pub(super) fn start_command(
        &mut self,
        name: &'static str,
        args: &[String],
    ) -> anyhow::Result<()> {
        self.children.start_command(name, args)
    }

    /// Waits for `pause`, then looks after servers and services: what died is started
    /// again. Returns what a person should know; an error if a command failed. Dropped
    /// before its end, it goes on at the next call.
    pub(super) async fn tend_for(&mut self, pause: Duration) -> anyhow::Result<Vec<String>> {
        tokio::time::sleep(pause).await;
        let mut notes = Vec::new();
        for news in self.children.tend() {
            match news {
                News::Note(note) => notes.push(note),
                News::Failed(what) => anyhow::bail!(what),
            }
        }
        let now = Instant::now();
        for (server, status) in self.stack.fallen()? {
            self.down.insert(server, now + RESTART);
            notes.push(format!("{server} ended with {status}"));
        }
        // One at a time: whoever watches hears of the others meanwhile.
        let due = self.down.iter().find(|(_, at)| **at <= now);
        if let Some(server) = due.map(|(server, _)| *server) {
            notes.push(self.start_again(server).await);
        }
        Ok(notes)
    }

    async fn start_again(&mut self, server: Server) -> String {
        match self.stack.restart(server, Halt::Kill).await {
            Ok(()) => {
                self.down.remove(&server);
                format!("{server} was started again")
            }
            Err(error) => {
                self.down.insert(server, Instant::now() + RESTART);
                let error = error.to_string();
                let reason = error.lines().next().unwrap_or_default();
                format!("{server} does not start: {reason}")
            }
        }
    }

    /// Stops services, then servers.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        self.children.stop().await;
        self.stack.stop().await?;
        Ok(())
    }
}

/// Schema, topics and site: what an empty stack lacks.
async fn prepare(config: &Config, site: &Site) -> anyhow::Result<()> {
    let catalogue = Catalogue::connect(&config.catalogue).await?;
    catalogue.migrate().await?;
    profile::register(&catalogue, config, false).await?;
    let known = catalogue.sites().await?;
    if !known.iter().any(|known| known.name == *site) {
        catalogue
            .register_site(site, "UTC", "the private stack's DAQ")
            .await?;
    }
    let report = aquifer_bus::admin::apply(&config.kafka, &topology::read(None)?, false).await?;
    anyhow::ensure!(
        report.refused.is_empty(),
        "the private stack's topics differ from those needed; hint: remove its folder"
    );
    Ok(())
}

fn say(progress: &Progress) -> std::io::Result<()> {
    match progress.phase {
        Phase::Healthy => output::line(format!(
            "{:<10} healthy after {:.1} s",
            progress.server.to_string(),
            progress.elapsed.as_secs_f64()
        )),
        _ => Ok(()),
    }
}
