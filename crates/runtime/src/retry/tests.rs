//! Classes, waits, cancellation and what is logged, on paused time.

use std::cell::Cell;
use std::fmt;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tracing::Level;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

use super::*;

#[derive(Debug, Clone, PartialEq)]
struct Fault(ErrorClass);

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fault")
    }
}

impl Classify for Fault {
    fn class(&self) -> ErrorClass {
        self.0
    }
}

const PERMANENT: Fault = Fault(ErrorClass::Permanent);
const TRANSIENT: Fault = Fault(ErrorClass::Transient);
const UNAVAILABLE: Fault = Fault(ErrorClass::Unavailable);

/// Retries an operation that fails as listed and then succeeds; with the attempts made.
async fn run(
    faults: Vec<Fault>,
    policy: &RetryPolicy,
    shutdown: &CancellationToken,
) -> (Result<(), RetryError<Fault>>, usize) {
    let attempts = Cell::new(0);
    let outcome = retry("test", policy, shutdown, || {
        let fault = faults.get(attempts.get()).cloned();
        attempts.set(attempts.get() + 1);
        async { fault.map_or(Ok(()), Err) }
    });
    let outcome = outcome.await;
    (outcome, attempts.get())
}

#[tokio::test(start_paused = true)]
async fn a_permanent_error_is_tried_once() {
    let shutdown = CancellationToken::new();
    let (outcome, attempts) = run(vec![PERMANENT], &RetryPolicy::default(), &shutdown).await;
    assert!(matches!(outcome, Err(RetryError::Permanent(_))));
    assert_eq!(attempts, 1);
}

#[tokio::test(start_paused = true)]
async fn transient_errors_are_bounded_and_unavailability_is_not() {
    let shutdown = CancellationToken::new();
    let policy = RetryPolicy {
        max_attempts: 3,
        ..RetryPolicy::default()
    };
    let (outcome, attempts) = run(vec![TRANSIENT; 3], &policy, &shutdown).await;
    let error = outcome.unwrap_err();
    assert_eq!(error.to_string(), "fault (after 3 attempts)");
    assert_eq!(attempts, 3);
    assert_eq!(error.into_last(), Some(TRANSIENT));

    let mut outage = vec![UNAVAILABLE; 10_000];
    outage.extend([TRANSIENT, TRANSIENT]);
    let (outcome, attempts) = run(outage, &policy, &shutdown).await;
    outcome.unwrap();
    assert_eq!(attempts, 10_003);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_the_wait_at_once() {
    let shutdown = CancellationToken::new();
    let policy = RetryPolicy {
        min_delay: Duration::from_hours(1),
        max_delay: Duration::from_hours(1),
        max_attempts: 2,
    };
    let begun = Instant::now();
    let soon = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        shutdown.cancel();
    };
    let ((outcome, attempts), ()) =
        tokio::join!(run(vec![UNAVAILABLE; 9], &policy, &shutdown), soon);
    assert!(matches!(outcome, Err(RetryError::Cancelled)));
    assert_eq!(attempts, 1);
    assert_eq!(begun.elapsed(), Duration::from_secs(1));
    let (outcome, attempts) = run(vec![], &policy, &shutdown).await;
    assert!(matches!(outcome, Err(RetryError::Cancelled)));
    assert_eq!(attempts, 0, "nothing begins after the shutdown");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_not_cut_short() {
    let shutdown = CancellationToken::new();
    let policy = RetryPolicy::default();
    let outcome = retry("test", &policy, &shutdown, || async {
        shutdown.cancel();
        tokio::time::sleep(Duration::from_secs(5)).await;
        Ok::<_, Fault>("committed")
    });
    assert_eq!(outcome.await.unwrap(), "committed");
}

/// Keeps the levels of what is logged.
struct Levels(Arc<Mutex<Vec<Level>>>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Levels {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if metadata.target() == "aquifer_runtime::retry" {
            self.0.lock().unwrap().push(*metadata.level());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_outage_is_a_few_warnings_and_its_end_is_told() {
    let levels = Arc::default();
    let layer = Levels(Arc::clone(&levels));
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    let shutdown = CancellationToken::new();
    let policy = RetryPolicy::default();
    let take = || std::mem::take(&mut *levels.lock().unwrap());

    run(vec![UNAVAILABLE; 2], &policy, &shutdown)
        .await
        .0
        .unwrap();
    assert_eq!(take(), [Level::DEBUG; 2], "two failures are everyday life");

    let begun = Instant::now();
    run(vec![UNAVAILABLE; 1000], &policy, &shutdown)
        .await
        .0
        .unwrap();
    let minutes = begun.elapsed().as_secs() as usize / 60;
    let seen = take();
    let count = |level| seen.iter().filter(|l| **l == level).count();
    assert_eq!(seen[..3], [Level::DEBUG, Level::DEBUG, Level::WARN]);
    assert!(
        (1..=minutes + 1).contains(&count(Level::WARN)),
        "{}",
        count(Level::WARN)
    );
    assert_eq!((seen.last(), count(Level::INFO)), (Some(&Level::INFO), 1));
}

proptest! {
    #[test]
    fn waits_stay_within_the_policy(min in 1_u64..1_000, factor in 1_u64..100) {
        let policy = RetryPolicy {
            min_delay: Duration::from_millis(min),
            max_delay: Duration::from_millis(min * factor),
            max_attempts: 1,
        };
        for delay in policy.delays().take(20) {
            prop_assert!(delay >= policy.min_delay / 2, "{delay:?}");
            prop_assert!(delay <= policy.max_delay, "{delay:?}");
        }
    }
}
