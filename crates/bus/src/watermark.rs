//! Which offset may be committed: the only place that yields one.
//!
//! A consumer works on many messages of a partition at once and finishes them in any
//! order; what it commits must not pass a message that is not done, or a crash loses
//! that message. The rule lives here, without I/O and without a clock. Delivering,
//! committing and pausing are left to the consumer.
//!
//! Received 5 6 8 (7 is a gap: compaction, or a transaction marker):
//!
//! | done      | committable | because                                        |
//! |-----------|-------------|------------------------------------------------|
//! | nothing   | none        | 5 would be lost by any commit                  |
//! | 6, 8      | none        | 5 is not done                                  |
//! | 5         | 6           | the next offset to read                        |
//! | 5, 8      | 6           | 6 is not done                                  |
//! | 5, 6      | 7           | nothing is known to be at 7, nothing is lost   |
//! | 5, 6, 8   | 9           | everything received is done                    |
//!
//! Across rebalances: a message belongs to the assignment under which it was received.
//!
//! | a completion from      | counts | because                                          |
//! |------------------------|--------|--------------------------------------------------|
//! | the present assignment | yes    |                                                  |
//! | before a revocation    | no     | another member may own the partition now         |
//! | before a re-assignment | no     | the message was, or will be, delivered once more |
//! | before a rewind        | no     | likewise: the log was cut, or made anew          |

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// The contiguous watermark of one partition.
#[derive(Debug, Clone)]
pub struct Watermark {
    /// The next offset to read after a crash now.
    next: i64,
    /// Where the partition was taken up.
    start: i64,
    /// Messages at or above `next`, in the order received, which is that of offsets.
    waiting: VecDeque<Waiting>,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    offset: i64,
    done: bool,
}

impl Watermark {
    /// A partition that is read from offset `next` on.
    pub fn starting_at(next: i64) -> Self {
        Self {
            next,
            start: next,
            waiting: VecDeque::new(),
        }
    }

    /// Takes note of a message. Offsets rise, with gaps; one that does not rise was
    /// received before (the partition was rewound) and changes nothing. True if the
    /// message is new.
    pub fn received(&mut self, offset: i64) -> bool {
        let expected = self
            .waiting
            .back()
            .map_or(self.next, |last| last.offset + 1);
        if offset < expected {
            return false;
        }
        self.waiting.push_back(Waiting {
            offset,
            done: false,
        });
        true
    }

    /// Takes note that a message is done. True if it was waiting.
    pub fn done(&mut self, offset: i64) -> bool {
        let found = self
            .waiting
            .binary_search_by_key(&offset, |waiting| waiting.offset);
        let Ok(index) = found else {
            return false;
        };
        let was_done = std::mem::replace(&mut self.waiting[index].done, true);
        while let Some(first) = self.waiting.front().filter(|first| first.done) {
            self.next = first.offset + 1;
            self.waiting.pop_front();
        }
        !was_done
    }

    /// The offset to commit, that is the next to read: every message below it is
    /// done. None as long as nothing could be gained by a commit.
    pub fn committable(&self) -> Option<i64> {
        (self.next > self.start).then_some(self.next)
    }

    /// Messages that hold the watermark or wait behind one that does.
    pub fn in_flight(&self) -> usize {
        self.waiting.len()
    }
}

/// One partition of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionKey {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: i32,
}

/// Proof that a message was received under an assignment; what a completion shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    key: PartitionKey,
    generation: u64,
    offset: i64,
}

impl Token {
    /// The message's partition.
    pub fn partition(&self) -> &PartitionKey {
        &self.key
    }

    /// The message's offset.
    pub fn offset(&self) -> i64 {
        self.offset
    }
}

/// What became of a completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// The message is done.
    Counted,
    /// It was done before.
    Repeated,
    /// It is of an earlier assignment and changes nothing.
    Fenced,
}

/// The watermarks of the partitions that a consumer is assigned.
#[derive(Debug)]
pub struct Partitions {
    limit: usize,
    last_generation: u64,
    assigned: HashMap<PartitionKey, Assigned>,
}

#[derive(Debug)]
struct Assigned {
    generation: u64,
    /// Unknown until the first message, because the broker chooses where to begin.
    watermark: Option<Watermark>,
    committed: Option<i64>,
    full: bool,
    paused: bool,
}

impl Assigned {
    fn in_flight(&self) -> usize {
        self.watermark.as_ref().map_or(0, Watermark::in_flight)
    }

    fn committable(&self) -> Option<i64> {
        let offset = self.watermark.as_ref()?.committable()?;
        (self.committed < Some(offset)).then_some(offset)
    }
}

impl Partitions {
    /// No partitions yet; each may have `limit` messages in flight before it is full.
    pub fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            last_generation: 0,
            assigned: HashMap::new(),
        }
    }

    /// A partition was assigned. Messages received before no longer count.
    pub fn assign(&mut self, key: PartitionKey) {
        self.last_generation += 1;
        let assigned = Assigned {
            generation: self.last_generation,
            watermark: None,
            committed: None,
            full: false,
            paused: false,
        };
        self.assigned.insert(key, assigned);
    }

    /// A partition was revoked: the last offset that may still be committed for it.
    pub fn revoke(&mut self, key: &PartitionKey) -> Option<i64> {
        self.assigned.remove(key)?.committable()
    }

    /// A message was received: the token of its completion. None if the partition is
    /// not assigned: then another member has the message, or will have it.
    ///
    /// An offset that does not rise means that the partition was rewound (its log was cut
    /// or made anew). What follows will be delivered again, so it counts as assigned anew.
    pub fn received(&mut self, key: &PartitionKey, offset: i64) -> Option<Token> {
        let assigned = self.assigned.get_mut(key)?;
        let watermark = assigned
            .watermark
            .get_or_insert_with(|| Watermark::starting_at(offset));
        if !watermark.received(offset) {
            self.last_generation += 1;
            assigned.generation = self.last_generation;
            assigned.committed = None;
            let mut rewound = Watermark::starting_at(offset);
            rewound.received(offset);
            assigned.watermark = Some(rewound);
        }
        Some(Token {
            key: key.clone(),
            generation: assigned.generation,
            offset,
        })
    }

    /// A message is done.
    pub fn done(&mut self, token: &Token) -> Completion {
        let Some(watermark) = self.current(token) else {
            return Completion::Fenced;
        };
        if watermark.done(token.offset) {
            Completion::Counted
        } else {
            Completion::Repeated
        }
    }

    /// True while the assignment under which the token was given lasts.
    pub fn is_current(&self, token: &Token) -> bool {
        self.assigned
            .get(&token.key)
            .is_some_and(|assigned| assigned.generation == token.generation)
    }

    fn current(&mut self, token: &Token) -> Option<&mut Watermark> {
        let assigned = self.assigned.get_mut(&token.key)?;
        let same = assigned.generation == token.generation;
        assigned.watermark.as_mut().filter(|_| same)
    }

    /// Every offset that a commit would gain something by.
    pub fn committable(&self) -> Vec<(PartitionKey, i64)> {
        let gains = self.assigned.iter();
        gains
            .filter_map(|(key, assigned)| Some((key.clone(), assigned.committable()?)))
            .collect()
    }

    /// The broker has confirmed a commit.
    pub fn committed(&mut self, key: &PartitionKey, offset: i64) {
        if let Some(assigned) = self.assigned.get_mut(key) {
            // Confirmations of an earlier assignment may exceed what is committable now:
            // they only postpone a commit, which the next message then brings.
            assigned.committed = assigned.committed.max(Some(offset));
        }
    }

    /// What to pause and what to resume, so that no partition has more than its limit in
    /// flight, and none sends anything while the consumer is `congested`. A partition
    /// resumes when half of its limit is done, because every resumption costs a fetch.
    pub fn flow(&mut self, congested: bool) -> Flow {
        let mut flow = Flow::default();
        for (key, assigned) in &mut self.assigned {
            let in_flight = assigned.in_flight();
            assigned.full = if assigned.full {
                in_flight > self.limit / 2
            } else {
                in_flight >= self.limit
            };
            let pause = assigned.full || congested;
            if pause && !assigned.paused {
                flow.pause.push(key.clone());
            } else if !pause && assigned.paused {
                flow.resume.push(key.clone());
            }
            assigned.paused = pause;
        }
        flow
    }

    /// True if a partition that is not paused has as much in flight as it may.
    pub fn any_at_limit(&self) -> bool {
        let mut partitions = self.assigned.values();
        partitions.any(|assigned| !assigned.paused && assigned.in_flight() >= self.limit)
    }

    /// True if any partition is paused.
    pub fn any_paused(&self) -> bool {
        self.assigned.values().any(|assigned| assigned.paused)
    }

    /// Messages in flight over all partitions.
    pub fn in_flight(&self) -> usize {
        self.assigned.values().map(Assigned::in_flight).sum()
    }
}

/// Changes of flow to make at the client.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Partitions to pause.
    pub pause: Vec<PartitionKey>,
    /// Partitions to resume.
    pub resume: Vec<PartitionKey>,
}

#[cfg(test)]
#[path = "watermark_tests.rs"]
mod tests;
