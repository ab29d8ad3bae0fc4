//! How full the buffer's disk is, how fast it fills, and when it will be full.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::statvfs::statvfs;
use serde::{Deserialize, Serialize};

/// Over which time the rate is taken: several runs and a purge.
const WINDOW: Duration = Duration::from_mins(30);

/// Less than this says nothing about the rate.
const LEAST: Duration = Duration::from_mins(1);

/// The buffer's disk, for people and programs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DiskStatus {
    /// Bytes that the DAQ can still write.
    pub free: u64,
    /// Bytes of the whole disk.
    pub total: u64,
    /// Bytes per second by which it fills, over the last half hour; negative when it empties.
    pub filling_bytes_per_s: Option<f64>,
    /// Seconds until it is full at that rate; none if it does not fill.
    pub full_in_secs: Option<u64>,
}

/// Remembers how much was free.
#[derive(Debug, Default)]
pub(crate) struct Filling {
    seen: VecDeque<(Instant, u64)>,
}

impl Filling {
    /// Notes how much is free now.
    pub(crate) fn note(&mut self, now: Instant, free: u64) {
        self.seen.push_back((now, free));
        while let Some((first, _)) = self.seen.front()
            && now.duration_since(*first) > WINDOW
        {
            self.seen.pop_front();
        }
    }

    /// Bytes per second by which the disk fills.
    pub(crate) fn rate(&self) -> Option<f64> {
        let (first, last) = (self.seen.front()?, self.seen.back()?);
        let time = last.0.duration_since(first.0);
        (time >= LEAST).then(|| (first.1 as f64 - last.1 as f64) / time.as_secs_f64())
    }

    /// What there is to say of a disk with so much space.
    pub(crate) fn status(&self, (free, total): (u64, u64)) -> DiskStatus {
        let rate = self.rate();
        let fills = rate.filter(|rate| *rate >= 1.0);
        DiskStatus {
            free,
            total,
            filling_bytes_per_s: rate,
            full_in_secs: fills.map(|rate| (free as f64 / rate) as u64),
        }
    }
}

/// Free and total bytes of the disk of `folder`. Blocking.
pub(crate) fn space(folder: &Path) -> io::Result<(u64, u64)> {
    let found = statvfs(folder)?;
    let fragment = found.fragment_size();
    Ok((
        found.blocks_available() * fragment,
        found.blocks() * fragment,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GB: u64 = 1_000_000_000;

    #[test]
    fn a_disk_that_fills_says_when_it_is_full() {
        let mut filling = Filling::default();
        let began = Instant::now();
        filling.note(began, 100 * GB);
        assert_eq!(
            filling.status((100 * GB, 200 * GB)).full_in_secs,
            None,
            "too early to say"
        );
        filling.note(began + Duration::from_secs(100), 98 * GB);
        let status = filling.status((98 * GB, 200 * GB));
        assert_eq!(status.filling_bytes_per_s, Some(2e7));
        assert_eq!(status.full_in_secs, Some(4900));
    }

    #[test]
    fn only_the_last_half_hour_counts() {
        let mut filling = Filling::default();
        let began = Instant::now();
        for minute in 0..120 {
            // It fills for an hour, then rests.
            let free = (100 - minute.min(60)) * GB;
            filling.note(began + Duration::from_mins(minute), free);
            assert!(filling.seen.len() <= 31);
        }
        let status = filling.status((40 * GB, 200 * GB));
        assert_eq!(status.filling_bytes_per_s, Some(0.0));
        assert_eq!(status.full_in_secs, None);
    }

    #[test]
    fn the_space_of_a_folder_is_that_of_its_disk() {
        let folder = tempfile::tempdir().unwrap();
        let (free, total) = space(folder.path()).unwrap();
        assert!(free <= total && total > 0);
        assert!(space(&folder.path().join("none")).is_err());
    }
}
