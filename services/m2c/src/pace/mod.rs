//! How fast m2c sends: within the bandwidth that the schedule leaves it, and fairly.
//!
//! Whoever is about to send a part awaits its [`Pace`] with the part's size. All share
//! one token bucket, piece by piece: the file that has been given the least goes first,
//! so that the small files of an urgent run pass a big one whose next part still waits.
//! Where no limit is in force nobody waits.

mod bucket;
mod schedule;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aquifer_storage::Pace;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;

pub use schedule::{BandwidthConfig, Day, InForce, ScheduleError, WindowConfig};
pub(crate) use schedule::{Limit, Schedule};

use bucket::Bucket;

/// Largest piece that is given at once, in bytes.
const LARGEST_PIECE: u64 = 1 << 20;

/// Smallest piece, so that a very low limit does not cost wake-ups.
const SMALLEST_PIECE: u64 = 4 << 10;

/// Wall clocks are set now and then: the schedule is looked at so often at least.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Tells the wall-clock time.
type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Shares the bandwidth between all who send. Clones share it.
#[derive(Clone)]
pub(crate) struct Pacer {
    inner: Arc<Inner>,
}

struct Inner {
    schedule: Schedule,
    clock: Clock,
    began: Instant,
    queue: Mutex<Queue>,
    moved: Notify,
}

/// Who waits, by how much each has been given: start-time fair queueing.
#[derive(Debug, Default)]
struct Queue {
    bucket: Bucket,
    waiting: BTreeSet<Place>,
    tickets: u64,
    /// What the one now at the head had been given: where newcomers begin.
    virtual_time: u64,
}

/// A place in the queue: what was given before, then who came first.
type Place = (u64, u64);

/// One who waits; leaves the queue when dropped.
struct Ticket<'a> {
    inner: &'a Inner,
    given: &'a Mutex<u64>,
    place: Place,
}

/// What to do next.
enum Step {
    Done,
    Again,
    Wait(Duration),
}

impl Pacer {
    /// Paces by `schedule`, reading the time of day from the system.
    pub(crate) fn new(schedule: Schedule) -> Self {
        Self::with_clock(schedule, Arc::new(Timestamp::now))
    }

    fn with_clock(schedule: Schedule, clock: Clock) -> Self {
        Self {
            inner: Arc::new(Inner {
                schedule,
                clock,
                began: Instant::now(),
                queue: Mutex::default(),
                moved: Notify::new(),
            }),
        }
    }

    /// What is in force now.
    pub(crate) fn in_force(&self) -> InForce {
        self.inner.schedule.in_force((self.inner.clock)())
    }

    /// The pace of one file, a flow of its own among all others.
    pub(crate) fn flow(&self) -> Pace {
        let pacer = self.clone();
        let given = Arc::new(Mutex::new(0));
        Arc::new(move |bytes| {
            let (pacer, given) = (pacer.clone(), Arc::clone(&given));
            Box::pin(async move { pacer.inner.pass(&given, bytes).await })
        })
    }
}

impl Inner {
    /// Waits until `bytes` may be sent. Dropping the future gives up what is not given.
    async fn pass(&self, given: &Mutex<u64>, mut bytes: u64) {
        let mut ticket: Option<Ticket<'_>> = None;
        while bytes > 0 {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            // Registered before the queue is looked at: a move in between is not missed.
            moved.as_mut().enable();
            let limit = self.schedule.limit((self.clock)());
            if limit.is_none() {
                return;
            }
            let ticket = ticket.get_or_insert_with(|| self.enter(given));
            match ticket.step(limit, &mut bytes) {
                Step::Done => return,
                Step::Again => {}
                Step::Wait(pause) => {
                    let pause = pause.min(self.until_bound()).min(LOOK_AGAIN);
                    let _ = tokio::time::timeout(pause, moved).await;
                }
            }
        }
    }

    fn enter<'a>(&'a self, given: &'a Mutex<u64>) -> Ticket<'a> {
        let mut queue = self.queue();
        queue.tickets += 1;
        // Who has been away does not claim what it did not ask for.
        let before = (*lock(given)).max(queue.virtual_time);
        let place = (before, queue.tickets);
        queue.waiting.insert(place);
        Ticket {
            inner: self,
            given,
            place,
        }
    }

    fn until_bound(&self) -> Duration {
        let now = (self.clock)();
        let bound = self.schedule.next_bound(now);
        bound.map_or(LOOK_AGAIN, |bound| bound.duration_since(now).unsigned_abs())
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }
}

impl Ticket<'_> {
    /// Takes a piece of `bytes` if it is this one's turn and time.
    fn step(&mut self, limit: Limit, bytes: &mut u64) -> Step {
        let now = self.inner.began.elapsed();
        let mut queue = self.inner.queue();
        let first = queue.waiting.first() == Some(&self.place);
        let rate = match limit {
            Some(rate) if rate > 0 && first => rate,
            // Not its turn, or nothing is sent at this time of day: until something moves.
            _ => return Step::Wait(LOOK_AGAIN),
        };
        let wait = queue.bucket.wait(now);
        if !wait.is_zero() {
            return Step::Wait(wait);
        }
        let piece = (rate / 8).clamp(SMALLEST_PIECE, LARGEST_PIECE).min(*bytes);
        queue.bucket.take(now, piece, rate);
        queue.virtual_time = self.place.0;
        queue.waiting.remove(&self.place);
        self.place.0 += piece;
        *lock(self.given) = self.place.0;
        *bytes -= piece;
        if *bytes > 0 {
            queue.waiting.insert(self.place);
        }
        drop(queue);
        self.inner.moved.notify_waiters();
        if *bytes == 0 { Step::Done } else { Step::Again }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.inner.queue().waiting.remove(&self.place);
        self.inner.moved.notify_waiters();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is whole before anything can panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for all that `flow` is asked for.
#[cfg(test)]
pub(crate) fn send(flow: &Pace, bytes: u64) -> impl Future<Output = ()> + use<> {
    flow(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn limited(mib_per_s: f64, window: Option<WindowConfig>) -> Pacer {
        let schedule = Schedule::parse(&BandwidthConfig {
            limit_mib_per_s: Some(mib_per_s),
            time_zone: String::new(),
            window: window.into_iter().collect(),
        })
        .unwrap();
        // The wall clock goes as the test's: from midnight.
        let began = Instant::now();
        let midnight: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let clock = move || midnight + began.elapsed();
        Pacer::with_clock(schedule, Arc::new(clock))
    }

    async fn timed(work: impl Future<Output = ()>) -> f64 {
        let began = Instant::now();
        work.await;
        began.elapsed().as_secs_f64()
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_takes_its_size_over_the_limit() {
        let pacer = limited(2.0, None);
        let flow = pacer.flow();
        let took = timed(async {
            for _ in 0..10 {
                flow(16 * MIB).await;
            }
        })
        .await;
        assert!((77.0..=80.5).contains(&took), "{took}");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_where_nothing_is_limited() {
        let schedule = Schedule::parse(&BandwidthConfig::default()).unwrap();
        let flow = Pacer::new(schedule).flow();
        assert!(timed(flow(1 << 50)).await < 0.001);
    }

    #[tokio::test(start_paused = true)]
    async fn the_small_files_of_an_urgent_run_pass_a_big_one() {
        let pacer = limited(1.0, None);
        let (big, small) = (pacer.flow(), pacer.flow());
        let big = async {
            for _ in 0..4 {
                big(64 * MIB).await;
            }
        };
        let small = async {
            tokio::time::sleep(Duration::from_secs(20)).await;
            timed(small(2 * MIB)).await
        };
        let (took_big, took_small) = tokio::join!(timed(big), small);
        assert!(took_small < 6.0, "{took_small} s for 2 of 256 MiB");
        assert!((255.0..=259.0).contains(&took_big), "{took_big}");
    }

    #[tokio::test(start_paused = true)]
    async fn all_flows_get_the_same_share() {
        let pacer = limited(4.0, None);
        let flows: Vec<_> = (0..4).map(|_| pacer.flow()).collect();
        let all = flows.iter().map(|flow| timed(send(flow, 8 * MIB)));
        let took = futures::future::join_all(all).await;
        assert!(
            took.iter().all(|took| (5.0..=8.1).contains(took)),
            "{took:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_that_sends_nothing_is_waited_out() {
        let night = WindowConfig {
            from: "00:00".to_owned(),
            to: "01:00".to_owned(),
            days: Vec::new(),
            limit_mib_per_s: Some(0.0),
        };
        let pacer = limited(1.0, Some(night));
        assert_eq!(pacer.in_force().limit_bytes_per_s, Some(0));
        let took = timed((pacer.flow())(2 * MIB)).await;
        assert!((3600.0..3603.0).contains(&took), "{took}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_does_not_hold_the_others() {
        let pacer = limited(1.0, None);
        let (given_up, other) = (pacer.flow(), pacer.flow());
        let first = tokio::time::timeout(Duration::from_secs(2), given_up(1000 * MIB));
        let second = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            timed(other(8 * MIB)).await
        };
        let (first, took) = tokio::join!(first, second);
        assert!(first.is_err());
        assert!(took < 11.0, "{took}");
        assert!(pacer.inner.queue().waiting.is_empty());
    }
}
