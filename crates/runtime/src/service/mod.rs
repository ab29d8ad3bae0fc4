//! The life of a process, from the bound port to the exit code.
//!
//! Promises: the port is taken before anything else; the first SIGTERM or SIGINT takes
//! readiness away, cancels the token and waits for the body and all tasks up to the
//! deadline; a second one ends the process at once; the health endpoint closes last. The
//! exit code is 0 only if everything ended in time and without error. Configuration is
//! read before, by the caller.

mod signals;

use std::future::Future;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::panic::PanicHookInfo;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
pub use axum::Router;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::health::Health;
use crate::http::{self, Bound};
use crate::telemetry::{self, TelemetryConfig};
use crate::{metrics, notify};

pub use crate::tasks::{RestartBudget, TaskFailure, TaskKind, Tasks};

/// What the last spans and the last scrape may take at the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// How often samples of histograms are folded when nobody scrapes.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// What a process needs to know before it starts.
#[derive(Debug, Clone)]
pub struct ServiceOptions {
    /// The service's name in logs, traces and metrics.
    pub name: &'static str,
    /// Where the health endpoint listens; port 0 takes any.
    pub listen: SocketAddr,
    /// How long the body and the tasks may take to end.
    pub drain_timeout: Duration,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
}

/// What a service's body lives in. Clones share it.
#[derive(Debug, Clone)]
pub struct Context {
    /// Cancelled when the service should end.
    pub shutdown: CancellationToken,
    /// Where components say how they are.
    pub health: Health,
    /// Where tasks are started.
    pub tasks: Tasks,
}

/// Runs a service until it ends, fails or is told to end. See [`run_with_routes`].
pub fn run<F, Fut>(options: ServiceOptions, body: F) -> ExitCode
where
    F: FnOnce(Context) -> Fut,
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    run_with_routes(options, Router::new(), body)
}

/// Like [`run`], with more pages on the port of the health endpoint.
///
/// Code 0: the body ended, or everything ended in time after a signal. Code 1: start,
/// body or a critical task failed, or something still ran at the deadline; an ERROR says
/// which. Codes 130 and 143: a second SIGINT or SIGTERM.
///
/// # Panics
/// Within a tokio runtime: it builds its own.
pub fn run_with_routes<F, Fut>(options: ServiceOptions, routes: Router, body: F) -> ExitCode
where
    F: FnOnce(Context) -> Fut,
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    ExitCode::from(live(options, routes, body))
}

fn live<F, Fut>(options: ServiceOptions, routes: Router, body: F) -> u8
where
    F: FnOnce(Context) -> Fut,
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let telemetry = match telemetry::init(options.name, &options.telemetry) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            // There is no log to write to; if standard error is closed, nobody listens.
            writeln!(io::stderr(), "error: {:#}", anyhow!(error)).ok();
            return 1;
        }
    };
    std::panic::set_hook(Box::new(log_panic));
    let code = match start(options, routes, body) {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "cannot start");
            1
        }
    };
    telemetry.shutdown(FAREWELL);
    code
}

/// Builds the process and lives in it; true if all went well.
fn start<F, Fut>(options: ServiceOptions, routes: Router, body: F) -> anyhow::Result<bool>
where
    F: FnOnce(Context) -> Fut,
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    metrics::install()?;
    metrics::describe(options.name);
    let bound = http::bind(options.listen)?;
    let signal = signals::listen().context("cannot listen for signals")?;
    // The keeper has a runtime of its own, so that deadlines hold even when the service
    // blocks all of its workers.
    let keeper = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot build the keeper's runtime")?;
    let workers = Builder::new_multi_thread()
        .thread_name(options.name)
        .enable_all()
        .build()
        .context("cannot build the service's runtime")?;
    let well = keeper.block_on(async {
        let life = Life::begin(options, routes, bound, workers.handle(), body);
        life.lead(signal).await
    });
    // What still runs had its time.
    workers.shutdown_background();
    Ok(well)
}

/// A service from its start to its end, seen by its keeper.
struct Life {
    options: ServiceOptions,
    context: Context,
    /// None once its end has been dealt with.
    body: Option<JoinHandle<anyhow::Result<()>>>,
    server: JoinHandle<io::Result<()>>,
    close: CancellationToken,
    well: bool,
}

impl Life {
    fn begin<F, Fut>(
        options: ServiceOptions,
        routes: Router,
        bound: Bound,
        workers: &Handle,
        body: F,
    ) -> Self
    where
        F: FnOnce(Context) -> Fut,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let _on_workers = workers.enter();
        let shutdown = CancellationToken::new();
        let context = Context {
            shutdown: shutdown.clone(),
            health: Health::default(),
            tasks: Tasks::new(shutdown),
        };
        let close = CancellationToken::new();
        let address = bound.address();
        let server = workers.spawn(bound.serve(context.health.clone(), routes, close.clone()));
        workers.spawn(close.clone().run_until_cancelled_owned(upkeep()));
        let version = env!("CARGO_PKG_VERSION");
        tracing::info!(service = options.name, version, %address, "started");
        let body = Some(workers.spawn(body(context.clone())));
        Self {
            options,
            context,
            body,
            server,
            close,
            well: true,
        }
    }

    /// Until something says that it is over, and then to the end.
    async fn lead(mut self, signal: oneshot::Receiver<()>) -> bool {
        tokio::select! {
            Ok(()) = signal => {}
            outcome = ended(&mut self.body) => self.body_ended(outcome),
            failure = self.context.tasks.failure() => self.task_failed(&failure),
            outcome = &mut self.server => {
                self.fail(&anyhow!("the health endpoint ended: {outcome:?}"), "stopping");
            }
        }
        self.drain().await;
        self.close.cancel();
        // A client that never finishes its request does not hold the process.
        if !self.server.is_finished() {
            timeout(FAREWELL, &mut self.server).await.ok();
        }
        tracing::info!(service = self.options.name, well = self.well, "stopped");
        self.well
    }

    async fn drain(&mut self) {
        notify::stopping();
        self.context.health.drain();
        self.context.shutdown.cancel();
        let deadline = Instant::now() + self.options.drain_timeout;
        tracing::info!(timeout = ?self.options.drain_timeout, "draining");
        let mut holding = Vec::new();
        if self.body.is_some() {
            match timeout_at(deadline, ended(&mut self.body)).await {
                Ok(outcome) => self.body_ended(outcome),
                Err(_) => holding.push("the service's body"),
            }
        }
        if let Err(tasks) = self.context.tasks.wait(deadline).await {
            holding.extend(tasks);
        }
        while let Some(failure) = self.context.tasks.failure_so_far().await {
            self.task_failed(&failure);
        }
        if !holding.is_empty() {
            let holding = holding.join(", ");
            self.well = false;
            tracing::error!(holding, "did not end before the deadline");
        }
    }

    fn body_ended(&mut self, outcome: anyhow::Result<()>) {
        self.body = None;
        match outcome {
            Ok(()) => tracing::info!("the service's body ended"),
            Err(error) => self.fail(&error, "the service failed"),
        }
    }

    fn task_failed(&mut self, failure: &TaskFailure) {
        self.well = false;
        let error = format!("{:#}", failure.source);
        tracing::error!(task = failure.task, error, "a critical task failed");
    }

    fn fail(&mut self, error: &anyhow::Error, what: &'static str) {
        self.well = false;
        tracing::error!(error = format!("{error:#}"), "{what}");
    }
}

/// The end of the body, a panic being an error.
async fn ended(body: &mut Option<JoinHandle<anyhow::Result<()>>>) -> anyhow::Result<()> {
    match body {
        Some(body) => body.await.unwrap_or_else(|error| Err(anyhow!(error))),
        None => std::future::pending().await,
    }
}

async fn upkeep() {
    let mut tick = tokio::time::interval(UPKEEP_EVERY);
    loop {
        tick.tick().await;
        metrics::upkeep();
    }
}

/// A panic belongs into the log like everything else. Its consequence is drawn where the
/// task ends.
fn log_panic(info: &PanicHookInfo<'_>) {
    let location = info.location().map(ToString::to_string);
    let message = info.payload_as_str().unwrap_or("no message");
    let backtrace = std::backtrace::Backtrace::capture();
    let backtrace = match backtrace.status() {
        std::backtrace::BacktraceStatus::Captured => Some(backtrace.to_string()),
        _ => None,
    };
    tracing::error!(location, message_of_panic = message, backtrace, "panicked");
}

#[cfg(test)]
mod tests;
