//! In which order a backlog is drained: the newest runs first, because shifters wait for
//! them, with a fair share for the oldest. Pure.
//!
//! With several workers one of them always has the oldest run that is due; with a single
//! one every [`OLDEST_EVERY`]-th turn is the oldest's. So every run is reached, however
//! many new ones arrive. New and old are told by the run's number.

use std::collections::{BTreeMap, BTreeSet};

use aquifer_schemas::RunNumber;

/// With one worker: each how manieth turn is the oldest's.
const OLDEST_EVERY: u64 = 4;

/// Chooses what is worked on next, and remembers what is.
#[derive(Debug)]
pub(crate) struct Drain {
    workers: usize,
    /// Runs that are worked on, and whether as the oldest.
    taken: BTreeMap<RunNumber, bool>,
    turns: u64,
}

impl Drain {
    /// For so many workers, at least one.
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            workers: workers.max(1),
            taken: BTreeMap::new(),
            turns: 0,
        }
    }

    /// Takes what the free workers begin with from `due`, which is ordered by number.
    /// Reads no further from either end than it takes.
    pub(crate) fn take(
        &mut self,
        due: impl DoubleEndedIterator<Item = RunNumber>,
    ) -> Vec<RunNumber> {
        let before: BTreeSet<_> = self.taken.keys().copied().collect();
        let mut due = due.filter(|run| !before.contains(run));
        let mut begun = Vec::new();
        while self.taken.len() < self.workers {
            let oldest = self.is_oldests_turn();
            let next = if oldest { due.next() } else { due.next_back() };
            let Some(run) = next else { break };
            self.turns += 1;
            self.taken.insert(run, oldest);
            begun.push(run);
        }
        begun
    }

    /// The work on a run ended.
    pub(crate) fn give_back(&mut self, run: RunNumber) {
        self.taken.remove(&run);
    }

    fn is_oldests_turn(&self) -> bool {
        if self.workers == 1 {
            self.turns % OLDEST_EVERY == OLDEST_EVERY - 1
        } else {
            // The first free worker is for the newest: it is what people wait for.
            !self.taken.is_empty() && !self.taken.values().any(|oldest| *oldest)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_worker_of_several_has_the_oldest() {
        let mut drain = Drain::new(3);
        assert_eq!(drain.take(1..=10), [10, 1, 9]);
        assert_eq!(drain.take(1..=10), [0; 0], "nobody is free");
        drain.give_back(10);
        assert_eq!(drain.take(1..=11), [11]);
        drain.give_back(1);
        assert_eq!(drain.take(2..=11), [2]);
    }

    #[test]
    fn a_single_worker_takes_turns() {
        let mut drain = Drain::new(1);
        let mut order = Vec::new();
        let mut due: BTreeSet<RunNumber> = (1..=8).collect();
        while let [run] = drain.take(due.iter().copied())[..] {
            order.push(run);
            due.remove(&run);
            drain.give_back(run);
        }
        assert_eq!(order, [8, 7, 6, 1, 5, 4, 3, 2]);
    }

    #[test]
    fn a_lone_run_is_taken_at_once() {
        assert_eq!(Drain::new(2).take([5].into_iter()), [5]);
        assert_eq!(Drain::new(1).take([5].into_iter()), [5]);
    }

    proptest! {
        /// New runs arrive faster than they can be drained, for ever, and work may take
        /// any number of turns: yet every run of the backlog is reached.
        #[test]
        fn no_run_starves(
            workers in 1usize..6,
            backlog in 1u64..40,
            arrivals in 1u64..4,
            ends in proptest::collection::vec(0usize..6, 1..50),
        ) {
            let mut drain = Drain::new(workers);
            let mut due: BTreeSet<RunNumber> = (1..=backlog).collect();
            let mut under_way = Vec::new();
            let mut newest = backlog;
            for turn in 0..(backlog * OLDEST_EVERY * 8) as usize {
                newest += arrivals;
                due.extend(newest - arrivals + 1..=newest);
                under_way.extend(drain.take(due.iter().copied()));
                prop_assert!(under_way.len() <= workers);
                // Any one of those under way ends; none takes for ever.
                let any = ends[turn % ends.len()] % under_way.len();
                let ended = under_way.remove(if turn % 2 == 0 { 0 } else { any });
                drain.give_back(ended);
                due.remove(&ended);
            }
            // The last ones taken end too.
            let left = due.iter().filter(|run| **run <= backlog && !under_way.contains(run));
            prop_assert_eq!(left.count(), 0);
        }
    }
}
