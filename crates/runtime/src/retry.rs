//! Doing a thing again until it succeeds, can never succeed, or nobody waits any more.
//!
//! The error decides: its [`ErrorClass`] says whether another attempt makes sense and
//! for how long. Promises that nothing waits past a shutdown, that waits grow, jitter and
//! are bounded, and that a long outage shows in the log as a few warnings. An attempt is
//! never cut short (it may be a commit): its own timeout is left to the caller.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use thiserror::Error;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::metrics::RETRIES;

/// Consecutive failures from which on an operation is worth a warning.
const WARN_FROM: usize = 3;

/// The least time between two warnings of one operation.
const WARN_EVERY: Duration = Duration::from_mins(1);

/// What an error means for another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// The same call will never succeed.
    Permanent,
    /// It may pass: attempts are bounded.
    Transient,
    /// A dependency is down, which is no error of the data: retry without limit.
    Unavailable,
}

impl ErrorClass {
    /// The one spelling, as in labels of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Permanent => "permanent",
            Self::Transient => "transient",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Errors that know whether another attempt makes sense.
pub trait Classify {
    /// What this error means for another attempt.
    fn class(&self) -> ErrorClass;
}

/// How long to wait and how often to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The first wait is at most this and at least half of it.
    pub min_delay: Duration,
    /// Waits double up to at most this.
    pub max_delay: Duration,
    /// Attempts that may fail as [`ErrorClass::Transient`]; at least 1. Others do not
    /// count.
    pub max_attempts: usize,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            min_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(10),
            max_attempts: 8,
        }
    }
}

impl RetryPolicy {
    fn delays(&self) -> impl Iterator<Item = Duration> {
        // Jitter adds up to as much again, hence the halves.
        ExponentialBuilder::default()
            .with_min_delay(self.min_delay / 2)
            .with_max_delay(self.max_delay / 2)
            .with_jitter()
            .without_max_times()
            .build()
    }
}

/// Why an operation was given up.
#[derive(Debug, Error)]
pub enum RetryError<E> {
    /// The shutdown began first.
    #[error("given up because of the shutdown")]
    Cancelled,
    /// It can never succeed.
    #[error("{0}")]
    Permanent(E),
    /// It failed as often as the policy allows.
    #[error("{last} (after {attempts} attempts)")]
    Exhausted {
        /// All attempts made.
        attempts: usize,
        /// The error of the last one.
        last: E,
    },
}

impl<E> RetryError<E> {
    /// The error of the last attempt; none if the shutdown came first.
    pub fn into_last(self) -> Option<E> {
        match self {
            Self::Cancelled => None,
            Self::Permanent(error) | Self::Exhausted { last: error, .. } => Some(error),
        }
    }
}

/// Calls `attempt` until it succeeds or its errors and `policy` say that it is over.
/// `operation` names it in logs and metrics (`s3.put`).
pub async fn retry<T, E, F, Fut>(
    operation: &'static str,
    policy: &RetryPolicy,
    shutdown: &CancellationToken,
    mut attempt: F,
) -> Result<T, RetryError<E>>
where
    E: Classify + Display,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let mut delays = policy.delays();
    let mut failures = Failures::new(operation);
    let mut transient = 0;
    while !shutdown.is_cancelled() {
        let error = match attempt().await {
            Ok(value) => {
                failures.recovered();
                return Ok(value);
            }
            Err(error) => error,
        };
        let class = error.class();
        match class {
            ErrorClass::Permanent => return Err(RetryError::Permanent(error)),
            ErrorClass::Transient => transient += 1,
            ErrorClass::Unavailable => {}
        }
        if transient >= policy.max_attempts.max(1) {
            return Err(RetryError::Exhausted {
                attempts: failures.count + 1,
                last: error,
            });
        }
        let delay = delays.next().unwrap_or(policy.max_delay);
        failures.again(&error, class, delay);
        drop(error);
        if shutdown
            .run_until_cancelled(tokio::time::sleep(delay))
            .await
            .is_none()
        {
            break;
        }
    }
    Err(RetryError::Cancelled)
}

/// What there is to say about consecutive failures of one operation.
struct Failures {
    operation: &'static str,
    count: usize,
    since: Instant,
    warned: Option<Instant>,
}

impl Failures {
    fn new(operation: &'static str) -> Self {
        Self {
            operation,
            count: 0,
            since: Instant::now(),
            warned: None,
        }
    }

    fn again(&mut self, error: &impl Display, class: ErrorClass, delay: Duration) {
        self.count += 1;
        let Self {
            operation, count, ..
        } = *self;
        let class = class.as_str();
        metrics::counter!(RETRIES, "operation" => operation, "class" => class).increment(1);
        let quiet = self.warned.is_some_and(|at| at.elapsed() < WARN_EVERY);
        if count < WARN_FROM || quiet {
            tracing::debug!(operation, class, count, ?delay, %error, "failed, trying again");
        } else {
            self.warned = Some(Instant::now());
            tracing::warn!(operation, class, count, ?delay, %error, "keeps failing, trying again");
        }
    }

    fn recovered(&self) {
        if self.warned.is_some() {
            let (operation, count) = (self.operation, self.count);
            let after_secs = self.since.elapsed().as_secs();
            tracing::info!(operation, count, after_secs, "succeeds again");
        }
    }
}

#[cfg(test)]
mod tests;
