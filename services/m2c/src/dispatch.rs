//! Takes runs from the ledger and works on a bounded number of them at a time, each
//! by one worker only, each not before its time. Which comes first is for [`Drain`].

use std::collections::HashMap;
use std::future::Future;
use std::time::{Duration, Instant};

use aquifer_schemas::RunNumber;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use crate::drain::Drain;
use crate::journal::{Journal, Ledger};

/// The ledger is looked at so often even if nobody wakes the dispatcher.
const TICK: Duration = Duration::from_millis(200);

/// What became of one piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Done as far as it can be now.
    Done,
    /// To be looked at again after a while.
    Later(Duration),
}

/// Runs `work` for the runs that `select` lists, at most `workers` at a time, until
/// shutdown. Work under way is finished before this returns.
pub(crate) async fn dispatch<Fut>(
    journal: &Journal,
    workers: usize,
    shutdown: &CancellationToken,
    select: impl for<'l> Fn(&'l Ledger) -> Box<dyn DoubleEndedIterator<Item = RunNumber> + 'l>,
    work: impl Fn(RunNumber) -> Fut,
) where
    Fut: Future<Output = (RunNumber, Outcome)>,
{
    let mut under_way = FuturesUnordered::new();
    let mut drain = Drain::new(workers);
    let mut not_before: HashMap<RunNumber, Instant> = HashMap::new();
    loop {
        let changed = journal.changed().notified();
        tokio::pin!(changed);
        // Registered before the ledger is read: a change in between is not missed.
        changed.as_mut().enable();
        if !shutdown.is_cancelled() && under_way.len() < workers {
            let now = Instant::now();
            not_before.retain(|_, time| *time > now);
            let begun = {
                let ledger = journal.ledger();
                drain.take(select(&ledger).filter(|run| !not_before.contains_key(run)))
            };
            under_way.extend(begun.into_iter().map(&work));
        }
        if shutdown.is_cancelled() && under_way.is_empty() {
            return;
        }
        tokio::select! {
            Some((run, outcome)) = under_way.next() => {
                drain.give_back(run);
                if let Outcome::Later(pause) = outcome {
                    not_before.insert(run, Instant::now() + pause);
                }
            }
            () = &mut changed => {}
            () = tokio::time::sleep(TICK) => {}
            () = shutdown.cancelled(), if !shutdown.is_cancelled() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::journal::Record;

    fn reversioned(run: RunNumber) -> Record {
        Record::Reversioned { run, version: 2 }
    }

    #[tokio::test]
    async fn each_run_has_one_worker_and_workers_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(folder.path()).unwrap();
        for run in 0..20 {
            journal.append(reversioned(run)).await.unwrap();
        }
        let shutdown = CancellationToken::new();
        let (now, most, done) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicUsize::new(0)),
        );
        let work = |run: RunNumber| {
            let (now, most, done) = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&done));
            let (journal, shutdown) = (journal.clone(), shutdown.clone());
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let facts = journal
                    .ledger()
                    .active(run)
                    .map_or(0, |active| active.facts);
                journal
                    .append(Record::Recorded { run, facts })
                    .await
                    .unwrap();
                now.fetch_sub(1, Ordering::SeqCst);
                if done.fetch_add(1, Ordering::SeqCst) + 1 == 20 {
                    shutdown.cancel();
                }
                (run, Outcome::Done)
            }
        };
        dispatch(
            &journal,
            3,
            &shutdown,
            |ledger| Box::new(ledger.to_record()),
            work,
        )
        .await;
        assert_eq!(done.load(Ordering::SeqCst), 20);
        assert_eq!(most.load(Ordering::SeqCst), 3);
        assert_eq!(journal.ledger().to_record().count(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn work_put_off_waits_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(folder.path()).unwrap();
        journal.append(reversioned(1)).await.unwrap();
        let shutdown = CancellationToken::new();
        let calls = AtomicUsize::new(0);
        let work = |run| {
            calls.fetch_add(1, Ordering::SeqCst);
            async move { (run, Outcome::Later(Duration::from_hours(1))) }
        };
        let end = async {
            tokio::time::sleep(Duration::from_mins(1)).await;
            shutdown.cancel();
        };
        tokio::join!(
            dispatch(
                &journal,
                3,
                &shutdown,
                |ledger| Box::new(ledger.to_record()),
                work
            ),
            end
        );
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }
}
