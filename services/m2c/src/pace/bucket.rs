//! A token bucket that holds a second's worth. Pure: times are given.

use std::time::Duration;

/// What is saved up in times of rest, in time at the rate in force.
const BURST: Duration = Duration::from_secs(1);

/// How far the bucket is emptied. Times count from any fixed moment.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// When what was taken is paid for.
    paid_at: Duration,
}

impl Bucket {
    /// How long to wait at `now` before something may be taken.
    pub(super) fn wait(&self, now: Duration) -> Duration {
        self.paid_at.saturating_sub(now)
    }

    /// Takes `bytes` at `bytes_per_s`, which is more than 0, whether or not it is time.
    pub(super) fn take(&mut self, now: Duration, bytes: u64, bytes_per_s: u64) {
        let price = Duration::from_secs_f64(bytes as f64 / bytes_per_s as f64);
        self.paid_at = self.paid_at.max(now.saturating_sub(BURST)) + price;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Over any stretch of time: not more than its rate, a second's worth, and the
        /// last piece.
        #[test]
        fn no_stretch_of_time_sees_more_than_its_share(
            rate in 1u64..10_000_000,
            steps in proptest::collection::vec((0u64..3000, 1u64..5_000_000), 1..60),
            from in 0usize..60,
        ) {
            let mut bucket = Bucket::default();
            let mut now = Duration::from_secs(10);
            let mut taken = Vec::new();
            for (pause, bytes) in steps {
                now += Duration::from_millis(pause);
                now += bucket.wait(now);
                bucket.take(now, bytes, rate);
                taken.push((now, bytes));
            }
            let stretch = &taken[from.min(taken.len() - 1)..];
            let (first, last) = (stretch[0], stretch[stretch.len() - 1]);
            let before_last: u64 = stretch[..stretch.len() - 1].iter().map(|(_, bytes)| bytes).sum();
            let time = last.0.saturating_sub(first.0).as_secs_f64() + BURST.as_secs_f64();
            prop_assert!(before_last as f64 <= time * rate as f64 * 1.000_001 + 1.0);
        }

        /// Who always asks gets all of it.
        #[test]
        fn nothing_of_the_rate_is_wasted(rate in 1000u64..10_000_000, bytes in 1u64..1_000_000) {
            let mut bucket = Bucket::default();
            let mut now = Duration::from_secs(10);
            for _ in 0..100 {
                now += bucket.wait(now);
                bucket.take(now, bytes, rate);
            }
            let least = 99.0 * bytes as f64 / rate as f64 - 1.0 - 1e-3;
            let most = 100.0 * bytes as f64 / rate as f64;
            let took = now.as_secs_f64() - 10.0;
            prop_assert!(took >= least && took <= most, "{took} not in {least}..{most}");
        }
    }
}
