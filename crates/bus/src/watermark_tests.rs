//! The watermark against a naive model, over any schedule.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[test]
fn the_table_of_the_module_holds() {
    let cases: [(&[i64], Option<i64>); 6] = [
        (&[], None),
        (&[6, 8], None),
        (&[5], Some(6)),
        (&[5, 8], Some(6)),
        (&[5, 6], Some(7)),
        (&[8, 5, 6], Some(9)),
    ];
    for (done, committable) in cases {
        let mut watermark = Watermark::starting_at(5);
        for offset in [5, 6, 8] {
            assert!(watermark.received(offset));
        }
        for offset in done {
            assert!(watermark.done(*offset));
            assert!(!watermark.done(*offset), "done once only");
        }
        assert_eq!(watermark.committable(), committable, "{done:?}");
    }
}

#[test]
fn what_is_received_again_changes_nothing() {
    let mut watermark = Watermark::starting_at(5);
    assert!(watermark.received(5));
    assert!(!watermark.received(5));
    assert!(watermark.done(5));
    assert!(!watermark.received(5), "it is done");
    assert!(!watermark.done(7), "it was never received");
    assert_eq!(
        (watermark.committable(), watermark.in_flight()),
        (Some(6), 0)
    );
}

fn key() -> PartitionKey {
    PartitionKey {
        topic: "runs".into(),
        partition: 0,
    }
}

#[test]
fn a_commit_that_is_confirmed_is_not_repeated_and_a_failed_one_is() {
    let mut partitions = Partitions::new(10);
    partitions.assign(key());
    let token = partitions.received(&key(), 3).unwrap();
    assert_eq!(partitions.done(&token), Completion::Counted);
    assert_eq!(partitions.committable(), [(key(), 4)]);
    assert_eq!(partitions.committable(), [(key(), 4)], "nobody confirmed");
    partitions.committed(&key(), 4);
    assert_eq!(partitions.committable(), []);
}

#[test]
fn a_rewound_partition_is_read_again_and_nothing_is_skipped() {
    let mut partitions = Partitions::new(10);
    partitions.assign(key());
    let old = partitions.received(&key(), 100).unwrap();
    let again = partitions.received(&key(), 3).unwrap();
    assert_eq!(partitions.done(&old), Completion::Fenced);
    assert_eq!(partitions.done(&again), Completion::Counted);
    assert_eq!(partitions.committable(), [(key(), 4)]);
}

#[test]
fn a_full_partition_pauses_and_resumes_when_half_is_done() {
    let pause = || Flow {
        pause: vec![key()],
        resume: vec![],
    };
    let resume = || Flow {
        pause: vec![],
        resume: vec![key()],
    };
    let mut partitions = Partitions::new(4);
    partitions.assign(key());
    let mut tokens = Vec::new();
    for offset in 0..4 {
        assert_eq!(partitions.flow(false), Flow::default(), "room for {offset}");
        tokens.push(partitions.received(&key(), offset).unwrap());
    }
    assert_eq!(partitions.flow(false), pause());
    assert_eq!(partitions.flow(false), Flow::default(), "said once");
    partitions.done(&tokens[2]);
    partitions.done(&tokens[1]);
    assert_eq!(partitions.flow(false), Flow::default(), "0 holds them");
    partitions.done(&tokens[0]);
    assert_eq!(partitions.flow(false), resume());
    for offset in 4..6 {
        partitions.received(&key(), offset).unwrap();
    }
    assert_eq!(partitions.flow(true), pause(), "congested");
    assert_eq!(partitions.flow(false), resume(), "3 in flight are not 4");
}

/// What may happen to a consumer of one partition.
#[derive(Debug, Clone)]
enum Step {
    Receive,
    /// Finish one of the messages that somebody still works on.
    Finish(prop::sample::Index),
    /// Give one up without finishing it.
    Fail(prop::sample::Index),
    /// The partition goes away and comes back; work in progress goes on meanwhile.
    Rebalance,
    /// The process dies with its work.
    Crash,
    Commit,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => Just(Step::Receive),
        8 => any::<prop::sample::Index>().prop_map(Step::Finish),
        1 => any::<prop::sample::Index>().prop_map(Step::Fail),
        1 => Just(Step::Rebalance),
        1 => Just(Step::Crash),
        3 => Just(Step::Commit),
    ];
    prop::collection::vec(step, 0..120)
}

/// A partition of a broker with one consumer, and what must be true of them.
struct World {
    /// Offsets of the messages, with gaps.
    log: Vec<i64>,
    committed: i64,
    position: i64,
    partitions: Partitions,
    working: Vec<Token>,
    /// Done at least once, by anybody.
    done: BTreeSet<i64>,
    /// Received and done under the present assignment.
    received_now: Vec<i64>,
    done_now: BTreeSet<i64>,
}

impl World {
    fn new(gaps: &[u8]) -> Self {
        let log = gaps.iter().scan(0, |offset, gap| {
            *offset += 1 + i64::from(*gap);
            Some(*offset)
        });
        let mut world = Self {
            log: log.collect(),
            committed: 0,
            position: 0,
            partitions: Partitions::new(usize::MAX),
            working: Vec::new(),
            done: BTreeSet::new(),
            received_now: Vec::new(),
            done_now: BTreeSet::new(),
        };
        world.take_up();
        world
    }

    /// A member gets the partition and reads from what was committed.
    fn take_up(&mut self) {
        self.partitions.assign(key());
        self.position = self.committed;
        self.received_now.clear();
        self.done_now.clear();
    }

    fn receive(&mut self) -> bool {
        let Some(offset) = self.log.iter().copied().find(|at| *at >= self.position) else {
            return false;
        };
        self.position = offset + 1;
        self.received_now.push(offset);
        let token = self.partitions.received(&key(), offset);
        self.working
            .push(token.expect("the partition is assigned and the offset rises"));
        true
    }

    fn finish(&mut self, token: &Token) {
        let current = self.partitions.is_current(token);
        let completion = self.partitions.done(token);
        assert_eq!(completion == Completion::Fenced, !current);
        self.done.insert(token.offset());
        if current {
            self.done_now.insert(token.offset());
        }
    }

    fn commit(&mut self, offset: i64) {
        // Promise 1: no message below a committed offset is undone.
        for undone in self.log.iter().filter(|at| !self.done.contains(at)) {
            assert!(offset <= *undone, "committed {offset} past {undone}");
        }
        // The naive model: the messages of this assignment that are done in a row.
        let row = self.received_now.iter();
        let row = row.take_while(|at| self.done_now.contains(at));
        assert_eq!(row.last().map(|last| last + 1), Some(offset));
        assert!(offset >= self.committed, "commits never go back");
        self.committed = offset;
        self.partitions.committed(&key(), offset);
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Receive => {
                self.receive();
            }
            Step::Finish(which) if !self.working.is_empty() => {
                let token = self.working.remove(which.index(self.working.len()));
                self.finish(&token);
            }
            Step::Fail(which) if !self.working.is_empty() => {
                self.working.remove(which.index(self.working.len()));
            }
            Step::Finish(_) | Step::Fail(_) => {}
            Step::Rebalance => {
                if let Some(offset) = self.partitions.revoke(&key()) {
                    self.commit(offset);
                }
                self.take_up();
            }
            Step::Crash => {
                self.partitions = Partitions::new(usize::MAX);
                self.working.clear();
                self.take_up();
            }
            Step::Commit => {
                for (_, offset) in self.partitions.committable() {
                    self.commit(offset);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_schedule_loses_a_message(gaps in prop::collection::vec(0..3u8, 0..40), steps in steps()) {
        let mut world = World::new(&gaps);
        for step in &steps {
            world.step(step);
        }
        // Promise 2: after a restart every undone message is delivered again.
        world.step(&Step::Crash);
        let undone: Vec<i64> = world.log.iter().copied().filter(|at| !world.done.contains(at)).collect();
        while world.receive() {}
        let delivered: BTreeSet<i64> = world.working.iter().map(Token::offset).collect();
        prop_assert!(undone.iter().all(|at| delivered.contains(at)));
        // Promise 3: everything done, in whatever order, reaches the end.
        let mut left = std::mem::take(&mut world.working);
        left.reverse();
        for token in &left {
            world.finish(token);
        }
        world.step(&Step::Commit);
        let end = world.log.last().map_or(0, |last| last + 1);
        prop_assert!(left.is_empty() || world.committed == end);
        prop_assert_eq!(world.partitions.in_flight(), 0);
    }
}
