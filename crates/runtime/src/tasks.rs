//! The supervisor: the one place that starts tasks, and knows what their end means.
//!
//! Promises that no task dies unseen: the end of a critical one, by error, panic or too
//! early, stops the service; a restarting one is started again within its budget, and
//! is critical beyond it. It also knows who is still running when the service waits to
//! end. What tasks do on shutdown is left to them: they watch the token.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::anyhow;
use backon::{BackoffBuilder as _, ExponentialBuilder};
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::metrics::{TASK_FAILURES, TASK_RESTARTS};

/// What the end of a task means for the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskKind {
    /// The service cannot do without it: its error, or its end before the shutdown,
    /// stops the service.
    Critical,
    /// It may end; its error is logged and nothing else happens. What should rather be
    /// started again is a matter for [`Tasks::spawn_restarting`].
    Background,
}

/// How often a task may be started again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestartBudget {
    /// Restarts in a row; the failure after the last one stops the service.
    pub restarts: usize,
    /// A task that ran this long before it failed has its whole budget again.
    pub forgiven_after: Duration,
    /// The first wait before a restart.
    pub min_delay: Duration,
    /// Waits double up to this, plus jitter of up to as much again.
    pub max_delay: Duration,
}

impl Default for RestartBudget {
    fn default() -> Self {
        Self {
            restarts: 8,
            forgiven_after: Duration::from_mins(10),
            min_delay: Duration::from_millis(500),
            max_delay: Duration::from_secs(30),
        }
    }
}

/// The task whose end stops the service.
#[derive(Debug, Error)]
#[error("task `{task}` failed")]
pub struct TaskFailure {
    /// Its name.
    pub task: &'static str,
    /// Why it ended.
    pub source: anyhow::Error,
}

/// Starts tasks and keeps the list of those that run. Clones share it.
#[derive(Debug, Clone)]
pub struct Tasks {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shutdown: CancellationToken,
    runtime: Handle,
    running: Mutex<Running>,
    ended: Notify,
    failed: mpsc::Sender<TaskFailure>,
    failures: tokio::sync::Mutex<mpsc::Receiver<TaskFailure>>,
}

#[derive(Debug, Default)]
struct Running {
    next: u64,
    names: BTreeMap<u64, &'static str>,
}

impl Tasks {
    /// A supervisor whose tasks run on the current runtime. `shutdown` is what tells an
    /// end in time from one too early.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(shutdown: CancellationToken) -> Self {
        // One place: the first failure stops the service, later ones are only logged.
        let (failed, failures) = mpsc::channel(1);
        let inner = Inner {
            shutdown,
            runtime: Handle::current(),
            running: Mutex::default(),
            ended: Notify::new(),
            failed,
            failures: tokio::sync::Mutex::new(failures),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Starts a task.
    pub fn spawn<Fut>(&self, name: &'static str, kind: TaskKind, future: Fut)
    where
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let (guard, tasks) = (self.enter(name), self.clone());
        self.inner.runtime.spawn(async move {
            let outcome = tasks.run(future).await;
            tasks.ended(name, kind, outcome);
            drop(guard);
        });
    }

    /// Starts a task that is made anew by `factory` whenever it fails, within `budget`;
    /// beyond that the service stops. An end without error is final.
    pub fn spawn_restarting<F, Fut>(&self, name: &'static str, budget: RestartBudget, factory: F)
    where
        F: FnMut() -> Fut + Send + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let (guard, tasks) = (self.enter(name), self.clone());
        self.inner.runtime.spawn(async move {
            if let Err(error) = tasks.keep_running(name, &budget, factory).await {
                tasks.ended(name, TaskKind::Critical, Err(error));
            }
            drop(guard);
        });
    }

    /// Starts a thread for work that blocks, such as polling Kafka. It is critical, and
    /// has to watch the token by itself.
    pub fn spawn_blocking_thread<F>(&self, name: &'static str, work: F)
    where
        F: FnOnce() -> anyhow::Result<()> + Send + 'static,
    {
        let (guard, tasks) = (self.enter(name), self.clone());
        let thread = std::thread::Builder::new().name(name.to_owned());
        let spawned = thread.spawn(move || {
            let outcome = catch_unwind(AssertUnwindSafe(work))
                .unwrap_or_else(|panic| Err(panicked(panic.as_ref())));
            tasks.ended(name, TaskKind::Critical, outcome);
            drop(guard);
        });
        if let Err(error) = spawned {
            let error = anyhow!(error).context("the system starts no more threads");
            self.ended(name, TaskKind::Critical, Err(error));
        }
    }

    /// The names of the tasks that run.
    pub fn running(&self) -> Vec<&'static str> {
        self.inner.running().names.values().copied().collect()
    }

    /// Waits until no task runs; at the deadline names those that still do.
    pub async fn wait(&self, deadline: Instant) -> Result<(), Vec<&'static str>> {
        loop {
            let mut ended = std::pin::pin!(self.inner.ended.notified());
            // Before looking, so that no end falls between look and wait.
            ended.as_mut().enable();
            let running = self.running();
            if running.is_empty() {
                return Ok(());
            }
            if tokio::time::timeout_at(deadline, ended).await.is_err() {
                let running = self.running();
                return if running.is_empty() {
                    Ok(())
                } else {
                    Err(running)
                };
            }
        }
    }

    /// Waits for the failure that should stop the service.
    pub async fn failure(&self) -> TaskFailure {
        let mut failures = self.inner.failures.lock().await;
        match failures.recv().await {
            Some(failure) => failure,
            // `self` holds a sender, so the channel is never closed.
            None => std::future::pending().await,
        }
    }

    /// The failure that should stop the service, if there has been one.
    pub async fn failure_so_far(&self) -> Option<TaskFailure> {
        self.inner.failures.lock().await.try_recv().ok()
    }

    /// Runs a future as a task of its own, so that its panic is an error.
    async fn run<Fut>(&self, future: Fut) -> anyhow::Result<()>
    where
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        match self.inner.runtime.spawn(future).await {
            Ok(outcome) => outcome,
            Err(error) => Err(match error.try_into_panic() {
                Ok(panic) => panicked(panic.as_ref()),
                Err(cancelled) => anyhow!(cancelled),
            }),
        }
    }

    /// Starts a task again and again; an error is the one that broke the budget.
    async fn keep_running<F, Fut>(
        &self,
        name: &'static str,
        budget: &RestartBudget,
        mut factory: F,
    ) -> anyhow::Result<()>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let fresh = ExponentialBuilder::default()
            .with_min_delay(budget.min_delay)
            .with_max_delay(budget.max_delay)
            .with_jitter()
            .with_max_times(budget.restarts);
        let mut delays = fresh.build();
        while !self.inner.shutdown.is_cancelled() {
            let started = Instant::now();
            let Err(error) = self.run(factory()).await else {
                return Ok(());
            };
            if self.inner.shutdown.is_cancelled() {
                return Err(error);
            }
            if started.elapsed() >= budget.forgiven_after {
                delays = fresh.build();
            }
            let Some(delay) = delays.next() else {
                let message = format!("it was restarted {} times in vain", budget.restarts);
                return Err(error.context(message));
            };
            metrics::counter!(TASK_RESTARTS, "task" => name).increment(1);
            let error = format!("{error:#}");
            tracing::warn!(
                task = name,
                error,
                ?delay,
                "task failed and will be restarted"
            );
            let sleep = tokio::time::sleep(delay);
            self.inner.shutdown.run_until_cancelled(sleep).await;
        }
        Ok(())
    }

    /// Draws the consequence of an end.
    fn ended(&self, name: &'static str, kind: TaskKind, outcome: anyhow::Result<()>) {
        let source = match (outcome, kind) {
            (Ok(()), TaskKind::Critical) if !self.inner.shutdown.is_cancelled() => {
                anyhow!("it ended before the shutdown")
            }
            (Ok(()), _) => return tracing::debug!(task = name, "task ended"),
            (Err(error), _) => error,
        };
        metrics::counter!(TASK_FAILURES, "task" => name).increment(1);
        let failure = TaskFailure { task: name, source };
        let unsent = match kind {
            TaskKind::Critical => self.inner.failed.try_send(failure).err(),
            TaskKind::Background => Some(mpsc::error::TrySendError::Full(failure)),
        };
        // Whoever receives a failure logs it; these nobody receives.
        if let Some(unsent) = unsent {
            let error = format!("{:#}", unsent.into_inner().source);
            tracing::error!(task = name, error, "task failed");
        }
    }

    fn enter(&self, name: &'static str) -> Guard {
        let mut running = self.inner.running();
        let id = running.next;
        running.next += 1;
        running.names.insert(id, name);
        Guard {
            id,
            inner: Arc::clone(&self.inner),
        }
    }
}

impl Inner {
    fn running(&self) -> MutexGuard<'_, Running> {
        self.running
            .lock()
            .expect("nothing panics while it holds the lock")
    }
}

/// Stands for a task in the list of those that run.
struct Guard {
    id: u64,
    inner: Arc<Inner>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.inner.running().names.remove(&self.id);
        self.inner.ended.notify_waiters();
    }
}

fn panicked(panic: &(dyn Any + Send)) -> anyhow::Error {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    anyhow!("it panicked: {message}")
}

#[cfg(test)]
mod tests;
