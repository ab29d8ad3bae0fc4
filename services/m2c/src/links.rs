//! The ways to the middle: whether storage, catalogue and bus answer, since when, and
//! why not. What the workers find out by working is noted here and shows in `/readyz` and
//! in the status; a way on which nobody works is looked at now and then.

use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aquifer_runtime::health::ComponentHealth;
use aquifer_runtime::retry::{Classify, ErrorClass, RetryError, RetryPolicy, retry};
use aquifer_runtime::service::Context;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::events;

/// Pause after an error that only a person can mend.
const HELP_NEEDED: Duration = Duration::from_secs(30);

/// A way that was silent for so long is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// The three ways.
#[derive(Debug, Clone)]
pub(crate) struct Links {
    /// To the object storage.
    pub storage: Link,
    /// To the catalogue's database.
    pub catalogue: Link,
    /// To the bus.
    pub bus: Link,
}

/// One way. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: &'static str,
    health: ComponentHealth,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    reached: bool,
    since: Timestamp,
    why: Option<String>,
    heard: Option<Instant>,
}

/// How a way is, for people and programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartStatus {
    /// `storage`, `catalogue` or `bus`.
    pub name: String,
    /// Whether it answered when it was last asked.
    pub reached: bool,
    /// Since when that is so; for a part never reached since the start.
    pub since: Timestamp,
    /// Why it is not reached.
    pub why: Option<String>,
}

impl Links {
    /// All not reached. Made at once, because a part that is not known is not missed.
    pub(crate) fn new(context: &Context) -> Self {
        let [storage, catalogue, bus] = ["storage", "catalogue", "bus"]
            .map(|name| Link::new(name, context.health.component(name)));
        Self {
            storage,
            catalogue,
            bus,
        }
    }

    /// Each of them.
    pub(crate) fn all(&self) -> [&Link; 3] {
        [&self.storage, &self.catalogue, &self.bus]
    }
}

impl Link {
    fn new(name: &'static str, health: ComponentHealth) -> Self {
        health.not_ready("not reached yet");
        Self {
            inner: Arc::new(Inner {
                name,
                health,
                state: Mutex::new(State {
                    reached: false,
                    since: Timestamp::now(),
                    why: Some("not reached yet".to_owned()),
                    heard: None,
                }),
            }),
        }
    }

    /// It answered.
    pub(crate) fn reached(&self) {
        let mut state = self.lock();
        if !state.reached {
            state.reached = true;
            state.since = Timestamp::now();
            state.why = None;
        }
        state.heard = Some(Instant::now());
        drop(state);
        self.inner.health.ready();
    }

    /// It is not to be asked, for a reason: that is in order.
    pub(crate) fn not_needed(&self, why: &str) {
        self.missed(why);
        self.inner.health.ready();
    }

    /// It did not answer.
    pub(crate) fn missed(&self, why: &str) {
        let mut state = self.lock();
        if state.reached {
            state.reached = false;
            state.since = Timestamp::now();
        }
        state.why = Some(why.to_owned());
        state.heard = Some(Instant::now());
        drop(state);
        self.inner.health.not_ready(why);
    }

    /// How it is.
    pub(crate) fn status(&self) -> PartStatus {
        let state = self.lock();
        PartStatus {
            name: self.inner.name.to_owned(),
            reached: state.reached,
            since: state.since,
            why: state.why.clone(),
        }
    }

    /// Notes what the outcome of `attempt` says about the way: an answer that says no is
    /// an answer, and a local error says nothing.
    pub(crate) async fn watch<T, E: Classify + Display>(
        &self,
        attempt: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let outcome = attempt.await;
        match &outcome {
            Ok(_) => self.reached(),
            Err(error) if error.class() == ErrorClass::Unavailable => {
                self.missed(&error.to_string());
            }
            Err(_) => {}
        }
        outcome
    }

    /// Attempts until it succeeds, whatever the error: at the edge, what a person in the
    /// middle must mend is waited for as an outage is. `None` at shutdown.
    pub(crate) async fn reach<T, E, Fut>(
        &self,
        operation: &'static str,
        policy: &RetryPolicy,
        shutdown: &CancellationToken,
        attempt: impl Fn() -> Fut,
    ) -> Option<T>
    where
        E: Classify + Display,
        Fut: Future<Output = Result<T, E>>,
    {
        loop {
            let first = || async {
                let outcome = attempt().await;
                if let Err(error) = &outcome {
                    self.missed(&error.to_string());
                }
                outcome
            };
            match retry(operation, policy, shutdown, first).await {
                Ok(value) => {
                    self.reached();
                    return Some(value);
                }
                Err(RetryError::Cancelled) => return None,
                Err(RetryError::Permanent(error) | RetryError::Exhausted { last: error, .. }) => {
                    events::part_needs_help(self.inner.name, &error);
                    let pause = tokio::time::sleep(HELP_NEEDED);
                    shutdown.run_until_cancelled(pause).await?;
                }
            }
        }
    }

    /// Looks at the way by `ask` whenever nobody has heard from it for a while, until
    /// shutdown.
    pub(crate) async fn keep_looking<T, E, Fut>(
        &self,
        shutdown: &CancellationToken,
        ask: impl Fn() -> Fut,
    ) where
        E: Classify + Display,
        Fut: Future<Output = Result<T, E>>,
    {
        let look = async {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                let heard = self.lock().heard;
                if heard.is_none_or(|heard| heard.elapsed() >= LOOK_EVERY) {
                    // What it says has been noted.
                    let _ = self.watch(ask()).await;
                }
            }
        };
        let _: Option<()> = shutdown.run_until_cancelled(look).await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let state = &self.inner.state;
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use aquifer_runtime::health::Health;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("no, because {0:?}")]
    struct No(ErrorClass);

    impl Classify for No {
        fn class(&self) -> ErrorClass {
            self.0
        }
    }

    fn link() -> (Link, Health) {
        let health = Health::default();
        (Link::new("storage", health.component("storage")), health)
    }

    #[tokio::test]
    async fn only_silence_says_that_a_way_is_cut() {
        let (link, health) = link();
        let first = link.status();
        assert!(!first.reached);
        link.watch(async { Ok::<_, No>(()) }).await.unwrap();
        assert!(link.status().reached && health.report().ready);
        let refused = link.watch(async { Err::<(), _>(No(ErrorClass::Permanent)) });
        refused.await.unwrap_err();
        assert!(link.status().reached, "an answer that says no is an answer");
        let cut = link.watch(async { Err::<(), _>(No(ErrorClass::Unavailable)) });
        cut.await.unwrap_err();
        let status = link.status();
        assert!(!status.reached && !health.report().ready);
        assert_eq!(status.why.as_deref(), Some("no, because Unavailable"));
        link.missed("still");
        assert_eq!(
            link.status().since,
            status.since,
            "cut since the first miss"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_person_must_mend_is_waited_for_without_haste() {
        let (link, _health) = link();
        let attempts = AtomicUsize::new(0);
        let attempt = || async {
            if attempts.fetch_add(1, Ordering::SeqCst) < 100 {
                return Err(No(ErrorClass::Permanent));
            }
            Ok(7)
        };
        let began = Instant::now();
        let (shutdown, policy) = (CancellationToken::new(), RetryPolicy::default());
        let reached = link.reach("test", &policy, &shutdown, attempt);
        assert_eq!(reached.await, Some(7));
        assert!(began.elapsed() >= HELP_NEEDED * 100);
        assert!(link.status().reached);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_way_is_looked_at_now_and_then() {
        let (link, _health) = link();
        link.reached();
        let shutdown = CancellationToken::new();
        let ask = || async { Err::<(), _>(No(ErrorClass::Unavailable)) };
        let end = async {
            tokio::time::sleep(LOOK_EVERY * 3).await;
            shutdown.cancel();
        };
        tokio::join!(link.keep_looking(&shutdown, ask), end);
        assert!(!link.status().reached);
    }
}
