//! What the parts of a process say of themselves, and what that makes of the whole.
//!
//! A process is *ready* when it has components, all are ready, and it is not draining;
//! it is *live* until a component has failed for good. A change is logged and counted
//! once, when it happens. Serving this over HTTP is in [`crate::http`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;
use serde::Serialize;

use crate::metrics::COMPONENT_READY;

/// The state of every component of a process. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Health {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    draining: bool,
    components: BTreeMap<&'static str, Component>,
}

#[derive(Debug, Clone, Serialize)]
struct Component {
    #[serde(flatten)]
    state: State,
    since: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "reason", rename_all = "kebab-case")]
enum State {
    Ready,
    NotReady(String),
    Failed(String),
}

/// What a process says when it is asked how it is.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whether it should be left running.
    pub live: bool,
    /// Whether it should be given work.
    pub ready: bool,
    /// Whether it is ending.
    pub draining: bool,
    components: BTreeMap<&'static str, Component>,
}

impl Health {
    /// Registers a component, not ready until it says so. Register all of them before
    /// the first gets ready, or the process is ready for a moment in between.
    pub fn component(&self, name: &'static str) -> ComponentHealth {
        let component = ComponentHealth {
            name,
            health: self.clone(),
        };
        component.set(State::NotReady("starting".to_owned()));
        component
    }

    /// Takes readiness away for good: the process is ending.
    pub fn drain(&self) {
        self.lock().draining = true;
    }

    /// The state of the whole and of each component.
    pub fn report(&self) -> Report {
        let inner = self.lock();
        let all = || inner.components.values();
        let ready = !inner.components.is_empty() && all().all(|c| c.state == State::Ready);
        Report {
            live: !all().any(|c| matches!(c.state, State::Failed(_))),
            ready: ready && !inner.draining,
            draining: inner.draining,
            components: inner.components.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner
            .lock()
            .expect("nothing panics while it holds the lock")
    }
}

/// One part of a process that can say how it is.
#[derive(Debug, Clone)]
pub struct ComponentHealth {
    name: &'static str,
    health: Health,
}

impl ComponentHealth {
    /// It works.
    pub fn ready(&self) {
        self.set(State::Ready);
    }

    /// It cannot work now and may again.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.set(State::NotReady(reason.into()));
    }

    /// It will not work again in this process.
    pub fn failed(&self, reason: impl Into<String>) {
        self.set(State::Failed(reason.into()));
    }

    fn set(&self, state: State) {
        let before = {
            let mut inner = self.health.lock();
            let before = inner.components.get(self.name).map(|c| c.state.clone());
            if before.as_ref() == Some(&state) {
                return;
            }
            let changed = Component {
                state: state.clone(),
                since: Timestamp::now(),
            };
            inner.components.insert(self.name, changed);
            before
        };
        Changed {
            component: self.name,
            before,
            now: state,
        }
        .emit();
    }
}

/// A component changed its state.
struct Changed {
    component: &'static str,
    before: Option<State>,
    now: State,
}

impl Changed {
    fn emit(self) {
        let component = self.component;
        let ready = f64::from(u8::from(self.now == State::Ready));
        metrics::gauge!(COMPONENT_READY, "component" => component).set(ready);
        match (self.before, self.now) {
            (_, State::Ready) => tracing::info!(component, "ready"),
            (Some(State::Ready), State::NotReady(reason)) => {
                tracing::warn!(component, reason, "no longer ready");
            }
            (_, State::NotReady(reason)) => tracing::debug!(component, reason, "not ready"),
            (_, State::Failed(reason)) => tracing::error!(component, reason, "failed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_all_components_and_not_draining() {
        let health = Health::default();
        assert!(!health.report().ready, "nobody has said anything");
        let (bus, store) = (health.component("bus"), health.component("store"));
        bus.ready();
        assert!(!health.report().ready, "the store has not");
        store.ready();
        assert!(health.report().ready);
        store.not_ready("bucket missing");
        assert!(!health.report().ready && health.report().live);
        store.ready();
        health.drain();
        assert!(!health.report().ready && health.report().live);
        store.ready();
        assert!(!health.report().ready, "draining is for good");
    }

    #[test]
    fn a_failed_component_ends_the_life_of_the_whole() {
        let health = Health::default();
        health.component("bus").failed("thread died");
        let report = health.report();
        assert!(!report.live && !report.ready);
        let json = serde_json::to_value(report).unwrap();
        assert_eq!(json["components"]["bus"]["state"], "failed");
        assert_eq!(json["components"]["bus"]["reason"], "thread died");
    }
}
