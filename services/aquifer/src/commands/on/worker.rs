//! The life of a hook: its work is found in the catalogue and done, some at a time, until
//! it is told to stop.
//!
//! A message that a run is stored only wakes it; what is to be done follows from the runs
//! in the catalogue, which are looked at again at intervals, bus or no bus.

use std::collections::BTreeMap;
use std::time::Duration;

use aquifer_bus::{Consumer, ConsumerOptions, KafkaConfig, Start};
use aquifer_catalogue::{Catalogue, CatalogueError, NewHook, WorkLease, hook_kind, hook_run};
use aquifer_runtime::health::ComponentHealth;
use aquifer_runtime::retry::{Classify as _, ErrorClass, RetryError, RetryPolicy, retry};
use aquifer_runtime::service::Context;
use aquifer_schemas::{AlertSignal, Message as _, RunId, RunStored, Severity, event_id};
use futures::stream::{FuturesUnordered, StreamExt as _};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::action::{Action, Attempt, Ended};
use super::facts::Facts;
use crate::cli::RunStoredArgs;
use crate::config::Config;

/// How often the catalogue is asked for work when no message wakes.
const LOOK: Duration = Duration::from_secs(5);

/// For how long work is taken; prolonged while it is done.
const LEASE: Duration = Duration::from_mins(1);

/// Longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// Pause before a consumer that cannot go on is made anew.
const JOIN_AGAIN: Duration = Duration::from_secs(30);

/// How long leaving the group may take.
const LEAVE: Duration = Duration::from_secs(5);

/// Serves one hook.
pub(super) struct Worker {
    config: Config,
    hook: NewHook,
    action: Action,
    /// Who it is among those that share the work.
    holder: String,
    jobs: usize,
    attempts: u32,
    retry_after: Duration,
    timeout: Duration,
}

impl Worker {
    pub(super) fn new(
        config: &Config,
        hook: NewHook,
        action: Action,
        args: &RunStoredArgs,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            config: config.clone(),
            holder: format!("on-{}-{}", hook.name, Uuid::new_v4()),
            hook,
            action,
            jobs: args.jobs.into(),
            attempts: args.attempts,
            retry_after: Duration::try_from(args.retry_after)?,
            timeout: Duration::try_from(args.timeout)?,
        })
    }

    /// Works until `context.shutdown`, then finishes what it has begun.
    pub(super) async fn run(self, context: Context) -> anyhow::Result<()> {
        let health = context.health.component("catalogue");
        health.not_ready("not reached yet");
        let catalogue = Catalogue::connect(&self.config.catalogue).await?;
        let shutdown = context.shutdown;
        let policy = RetryPolicy::default();
        let registered = retry("register-hook", &policy, &shutdown, || async {
            catalogue.require_current_schema().await?;
            catalogue.register_hook(&self.hook).await
        });
        match registered.await {
            Ok(()) => health.ready(),
            Err(RetryError::Cancelled) => return Ok(()),
            Err(error) => anyhow::bail!("hook {} cannot be served: {error}", self.hook.name),
        }
        tracing::info!(
            hook = self.hook.name,
            action = self.hook.action,
            "hook is served"
        );
        let (wake, mut woken) = tokio::sync::mpsc::channel(1);
        let group = format!("on.{}", self.hook.name);
        let hints = hints(&self.config.kafka, &group, wake, &shutdown);
        let work = self.work(&catalogue, &health, &mut woken, &shutdown);
        tokio::join!(hints, work);
        Ok(())
    }

    async fn work(
        &self,
        catalogue: &Catalogue,
        health: &ComponentHealth,
        woken: &mut tokio::sync::mpsc::Receiver<()>,
        shutdown: &CancellationToken,
    ) {
        let mut running = FuturesUnordered::new();
        while !shutdown.is_cancelled() {
            let free = self.jobs - running.len();
            match self.take(catalogue, free).await {
                Ok(taken) => {
                    health.ready();
                    let all = taken.into_iter();
                    running.extend(all.map(|job| self.job(catalogue, job)));
                }
                Err(error) => health.not_ready(error.to_string()),
            }
            tokio::select! {
                // A place is free for the next.
                Some(()) = running.next() => {}
                _ = woken.recv() => {}
                () = tokio::time::sleep(LOOK) => {}
                () = shutdown.cancelled() => {}
            }
        }
        while running.next().await.is_some() {}
    }

    /// Makes work of the runs that are new, and takes some.
    async fn take(
        &self,
        catalogue: &Catalogue,
        free: usize,
    ) -> Result<Vec<WorkLease>, CatalogueError> {
        let name = &self.hook.name;
        while catalogue.enqueue_hook(name).await? > 0 {}
        if free == 0 {
            return Ok(Vec::new());
        }
        let kind = hook_kind(name);
        catalogue.lease_work(&kind, &self.holder, LEASE, free).await
    }

    /// Does one piece of work and says how it ended. What cannot be said, because the
    /// catalogue is away or somebody else has the work by now, is done again.
    async fn job(&self, catalogue: &Catalogue, job: WorkLease) {
        let doing = self.try_once(catalogue, &job);
        let prolonging = prolong(catalogue, &job);
        let attempt = tokio::select! {
            attempt = doing => attempt,
            () = prolonging => return,
        };
        // Also while it stops: what is not told is done again. The drain has a deadline.
        let (policy, never) = (RetryPolicy::default(), CancellationToken::new());
        let told = retry("tell-outcome", &policy, &never, || {
            self.tell(catalogue, &job, &attempt)
        });
        if let Err(error) = told.await {
            let (hook, key) = (&self.hook.name, &job.key);
            tracing::warn!(hook, key, %error, "the outcome could not be kept: it is done again");
        }
    }

    async fn try_once(&self, catalogue: &Catalogue, job: &WorkLease) -> Attempt {
        let failed = |ended| Attempt {
            ended,
            said: String::new(),
        };
        let Some(run) = hook_run(&job.key) else {
            return failed(Ended::Failed(format!("`{}` names no run", job.key)));
        };
        let detail = match catalogue.run_detail(&run).await {
            Ok(Some(detail)) => detail,
            Ok(None) => return failed(Ended::Failed(format!("run {run} is gone"))),
            Err(error) => return failed(Ended::Outage(error.to_string())),
        };
        let (name, endpoint) = (&self.hook.name, &self.config.storage.endpoint);
        let facts = Facts::new(&detail, name, job.attempts, endpoint);
        let attempt = self.action.attempt(&facts, self.timeout).await;
        tracing::info!(hook = name, %run, ended = ?attempt.ended, "attempted");
        attempt
    }

    async fn tell(
        &self,
        catalogue: &Catalogue,
        job: &WorkLease,
        attempt: &Attempt,
    ) -> Result<(), CatalogueError> {
        catalogue.note_outcome(job, &attempt.said).await?;
        let pause = pause(self.retry_after, job.attempts);
        match &attempt.ended {
            Ended::Done => catalogue.complete_work(job).await,
            Ended::Outage(why) => catalogue.fail_work(job, why, Some(pause)).await,
            Ended::Failed(why) if job.attempts < self.attempts => {
                catalogue.fail_work(job, why, Some(pause)).await
            }
            Ended::Failed(why) => {
                // Said first: a crash in between says it again, and never not at all.
                catalogue.raise(&self.given_up(job, why), None).await?;
                catalogue.fail_work(job, why, None).await
            }
        }
    }

    fn given_up(&self, job: &WorkLease, why: &str) -> AlertSignal {
        let name = &self.hook.name;
        let run = hook_run(&job.key);
        let about = format!("hook:{name}:{}", job.key);
        let shown = run.as_ref().map_or(job.key.clone(), RunId::to_string);
        AlertSignal {
            event_id: event_id(&about, "hook-given-up", job.fence),
            name: "hook-given-up".to_owned(),
            severity: Severity::Error,
            subject: format!("hook {name}"),
            site: run.as_ref().map(|run| run.site.clone()),
            run: run.as_ref().map(|run| run.number),
            summary: format!(
                "`{name}` gave up on run {shown} after {} attempts: {why}; `aquifer on show {name}` says more, `aquifer on retry {name}` tries again",
                job.attempts
            ),
            details: BTreeMap::from([("key".to_owned(), job.key.clone())]),
            cleared: false,
            occurred_at: Timestamp::now(),
            producer: self.holder.clone(),
        }
    }
}

/// Keeps the work; returns when somebody else has it.
async fn prolong(catalogue: &Catalogue, job: &WorkLease) {
    loop {
        tokio::time::sleep(LEASE / 3).await;
        match catalogue.extend_work(job, LEASE).await {
            // An outage may be over before the lease is.
            Ok(()) => {}
            Err(error) if error.class() == ErrorClass::Unavailable => {}
            Err(error) => {
                let key = &job.key;
                tracing::warn!(key, %error, "somebody else does this work: it is broken off");
                return;
            }
        }
    }
}

/// Twice as long before each attempt as before the one before.
fn pause(first: Duration, attempts: u32) -> Duration {
    let times = 1_u32 << attempts.saturating_sub(1).min(16);
    first.saturating_mul(times).min(LONGEST_PAUSE)
}

/// Wakes whenever a run is said to be stored. Whatever is wrong with the bus, the
/// catalogue is looked at all the same.
async fn hints(
    kafka: &KafkaConfig,
    group: &str,
    wake: tokio::sync::mpsc::Sender<()>,
    shutdown: &CancellationToken,
) {
    let options = ConsumerOptions {
        start: Start::Latest,
        ..ConsumerOptions::default()
    };
    while !shutdown.is_cancelled() {
        match Consumer::subscribe(kafka, group, &[RunStored::TOPIC], &options) {
            Ok(mut consumer) => {
                while let Some(Some(delivery)) = shutdown.run_until_cancelled(consumer.next()).await
                {
                    if let Ok(delivery) = delivery {
                        delivery.ack.done();
                        // It wakes already.
                        let _ = wake.try_send(());
                    }
                }
                if shutdown.is_cancelled() {
                    // The group forgets a member that does not say goodbye.
                    let _ = consumer.close(LEAVE).await;
                }
            }
            Err(error) => tracing::warn!(%error, "no messages wake this hook"),
        }
        let pause = tokio::time::sleep(JOIN_AGAIN);
        shutdown.run_until_cancelled(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour() {
        let first = Duration::from_secs(10);
        let pauses = [1, 2, 3, 9, 10, 40].map(|attempts| pause(first, attempts).as_secs());
        assert_eq!(pauses, [10, 20, 40, 2560, 3600, 3600]);
    }
}
