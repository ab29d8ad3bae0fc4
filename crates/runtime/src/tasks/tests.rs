//! What the end of a task means, and who is still running.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Time is paused: it is only reached when nothing else can happen.
fn never() -> Instant {
    Instant::now() + Duration::from_hours(1)
}

fn tasks() -> (Tasks, CancellationToken) {
    let shutdown = CancellationToken::new();
    (Tasks::new(shutdown.clone()), shutdown)
}

async fn failure(tasks: &Tasks) -> String {
    let failure = tokio::time::timeout_at(never(), tasks.failure()).await;
    format!("{:#}", anyhow!(failure.expect("a task should have failed")))
}

#[tokio::test(start_paused = true)]
async fn a_critical_task_stops_the_service_however_it_ends_early() {
    let (tasks, _shutdown) = tasks();
    tasks.spawn("a", TaskKind::Critical, async { Err(anyhow!("no broker")) });
    assert_eq!(failure(&tasks).await, "task `a` failed: no broker");
    tasks.spawn("b", TaskKind::Critical, async { Ok(()) });
    assert_eq!(
        failure(&tasks).await,
        "task `b` failed: it ended before the shutdown"
    );
    tasks.spawn("c", TaskKind::Critical, async { panic!("index 3 of 2") });
    assert_eq!(
        failure(&tasks).await,
        "task `c` failed: it panicked: index 3 of 2"
    );
    tasks.wait(never()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn after_the_shutdown_an_end_is_good_and_an_error_is_not() {
    let (tasks, shutdown) = tasks();
    shutdown.cancel();
    tasks.spawn("good", TaskKind::Critical, async { Ok(()) });
    tasks.wait(never()).await.unwrap();
    assert!(tasks.failure_so_far().await.is_none());
    tasks.spawn("bad", TaskKind::Critical, async { Err(anyhow!("lost")) });
    tasks.wait(never()).await.unwrap();
    assert_eq!(tasks.failure_so_far().await.unwrap().task, "bad");
}

#[tokio::test(start_paused = true)]
async fn a_background_task_stops_nothing() {
    let (tasks, _shutdown) = tasks();
    tasks.spawn("a", TaskKind::Background, async { Err(anyhow!("x")) });
    tasks.spawn("b", TaskKind::Background, async { panic!("y") });
    tasks.spawn("c", TaskKind::Background, async { Ok(()) });
    tasks.wait(never()).await.unwrap();
    assert!(tasks.failure_so_far().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_restarting_task_is_started_again_until_its_budget_is_spent() {
    let (tasks, _shutdown) = tasks();
    let budget = RestartBudget {
        restarts: 3,
        ..RestartBudget::default()
    };
    let starts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&starts);
    tasks.spawn_restarting("relay", budget, move || {
        let start = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            assert!(start != 1, "a panic counts like an error");
            Err(anyhow!("connection lost"))
        }
    });
    let message = failure(&tasks).await;
    assert!(
        message.contains("restarted 3 times in vain: connection lost"),
        "{message}"
    );
    assert_eq!(starts.load(Ordering::SeqCst), 4);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_ran_long_enough_has_its_budget_again() {
    let (tasks, shutdown) = tasks();
    let budget = RestartBudget {
        restarts: 1,
        ..RestartBudget::default()
    };
    let forgiven_after = budget.forgiven_after;
    let starts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&starts);
    tasks.spawn_restarting("relay", budget, move || {
        let start = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            if start == 10 {
                return Ok(());
            }
            tokio::time::sleep(forgiven_after).await;
            Err(anyhow!("connection lost"))
        }
    });
    tasks.wait(never() + forgiven_after * 20).await.unwrap();
    assert_eq!(starts.load(Ordering::SeqCst), 11);
    assert!(tasks.failure_so_far().await.is_none());
    drop(shutdown);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_the_wait_for_a_restart() {
    let (tasks, shutdown) = tasks();
    let budget = RestartBudget {
        min_delay: Duration::from_hours(24),
        max_delay: Duration::from_hours(24),
        ..RestartBudget::default()
    };
    let (failing, failed) = tokio::sync::oneshot::channel::<()>();
    let mut failing = Some(failing);
    tasks.spawn_restarting("relay", budget, move || {
        let failing = failing.take();
        async move {
            drop(failing);
            Err(anyhow!("x"))
        }
    });
    failed.await.unwrap_err();
    shutdown.cancel();
    tasks.wait(never()).await.unwrap();
}

#[tokio::test]
async fn a_thread_counts_like_a_critical_task() {
    let (tasks, shutdown) = tasks();
    tasks.spawn_blocking_thread("poll", || Err(anyhow!("no broker")));
    assert_eq!(failure(&tasks).await, "task `poll` failed: no broker");
    tasks.spawn_blocking_thread("poll", || panic!("bad pointer"));
    assert!(failure(&tasks).await.contains("bad pointer"));
    let (release, held) = std::sync::mpsc::channel::<()>();
    tasks.spawn_blocking_thread("poll", move || {
        // Ends when the other side is dropped.
        held.recv().unwrap_err();
        Ok(())
    });
    assert_eq!(tasks.wait(Instant::now()).await, Err(vec!["poll"]));
    shutdown.cancel();
    drop(release);
    tasks.wait(never()).await.unwrap();
    assert!(tasks.failure_so_far().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_wait_names_those_who_hold() {
    let (tasks, _shutdown) = tasks();
    tasks.spawn("quick", TaskKind::Background, async { Ok(()) });
    for name in ["upload", "relay"] {
        tasks.spawn(name, TaskKind::Critical, std::future::pending());
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    assert_eq!(tasks.wait(deadline).await, Err(vec!["upload", "relay"]));
    assert_eq!(Instant::now(), deadline);
}
