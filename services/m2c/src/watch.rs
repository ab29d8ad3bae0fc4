//! Watches over the edge itself: a disk that will be full, a middle that does not
//! answer for long. What a person must know is spooled here and delivered when the bus
//! returns.

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::disk::{self, DiskStatus};
use crate::edge::Edge;
use crate::events;
use crate::links::PartStatus;
use crate::spool::Letter;

/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// A disk must last so many times as long as the threshold before the alarm is over, so
/// that it does not come and go with every run.
const RELIEF: u64 = 2;

/// `[m2c.watch]`: when the ingester calls a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct WatchConfig {
    /// Storage, catalogue or bus did not answer for so long, in minutes.
    pub unreachable_after_mins: u64,
    /// At the present rate the buffer's disk is full within so many hours.
    pub full_within_hours: u64,
}

impl Default for WatchConfig {
    fn default() -> Self {
        Self {
            unreachable_after_mins: 60,
            full_within_hours: 24,
        }
    }
}

/// Something that is wrong or not, and has been told or not.
#[derive(Debug, Default)]
struct Alarm {
    /// Since when it is wrong, if that has been told.
    told: Option<Timestamp>,
}

/// What is to be told.
#[derive(Debug, PartialEq, Eq)]
enum News {
    /// It is wrong since then.
    Wrong(Timestamp),
    /// What was wrong since then is over.
    Over(Timestamp),
}

impl Alarm {
    /// Takes in that it is wrong since `wrong`, or right.
    fn judge(&mut self, wrong: Option<Timestamp>) -> Option<News> {
        match (self.told, wrong) {
            (None, Some(since)) => {
                self.told = Some(since);
                Some(News::Wrong(since))
            }
            (Some(since), None) => {
                self.told = None;
                Some(News::Over(since))
            }
            _ => None,
        }
    }

    fn is_told(&self) -> bool {
        self.told.is_some()
    }
}

/// Watches until shutdown.
pub(crate) async fn watch_forever(edge: Edge, config: WatchConfig) -> anyhow::Result<()> {
    let mut disk_alarm = Alarm::default();
    let mut alarms: Vec<(_, Alarm)> = edge
        .links
        .all()
        .map(|link| (link.clone(), Alarm::default()))
        .into();
    // Not by the wall clock: it may be set while the network is away.
    let mut cut_since: Vec<Option<Instant>> = vec![None; alarms.len()];
    let unreachable = Duration::from_secs(config.unreachable_after_mins * 60);
    while !edge.shutdown.is_cancelled() {
        look_at_disk(&edge).await;
        if let Some(disk) = edge.seen.disk_status() {
            let wrong = is_filling(&disk, config.full_within_hours, disk_alarm.is_told());
            let news = disk_alarm.judge(wrong.then(Timestamp::now));
            tell_disk(&edge, &disk, news).await;
        }
        for ((link, alarm), since) in alarms.iter_mut().zip(&mut cut_since) {
            let status = link.status();
            if status.reached {
                *since = None;
            } else {
                since.get_or_insert_with(Instant::now);
            }
            let long = since.is_some_and(|since| since.elapsed() >= unreachable);
            let news = alarm.judge(long.then_some(status.since));
            tell_part(&edge, &status, news).await;
        }
        let pause = tokio::time::sleep(LOOK_EVERY);
        edge.shutdown.run_until_cancelled(pause).await;
    }
    Ok(())
}

async fn look_at_disk(edge: &Edge) {
    let folder = edge.rules.folder.clone();
    let looked = tokio::task::spawn_blocking(move || disk::space(&folder)).await;
    // A buffer that is not there is told by the scan.
    edge.seen.disk(looked.ok().and_then(Result::ok));
    if let Some(disk) = edge.seen.disk_status() {
        events::disk_seen(&disk);
    }
}

/// Whether the disk fills too soon, given whether that has been told.
fn is_filling(disk: &DiskStatus, within_hours: u64, told: bool) -> bool {
    let threshold = within_hours * 3600 * if told { RELIEF } else { 1 };
    disk.full_in_secs.is_some_and(|secs| secs < threshold)
}

async fn tell_disk(edge: &Edge, disk: &DiskStatus, news: Option<News>) {
    let (since, over) = match news {
        None => return,
        Some(News::Wrong(since)) => (since, false),
        Some(News::Over(since)) => (since, true),
    };
    events::disk_fills(disk, over);
    let signal = edge.signals.buffer_fills(&edge.site, disk, since, over);
    keep(edge, Letter::Signal(signal)).await;
}

async fn tell_part(edge: &Edge, part: &PartStatus, news: Option<News>) {
    let (since, over) = match news {
        None => return,
        Some(News::Wrong(since)) => (since, false),
        Some(News::Over(since)) => (since, true),
    };
    let why = part.why.as_deref().unwrap_or_default();
    events::part_cut_off(&part.name, why, over);
    let signal = edge
        .signals
        .part_unreachable(&edge.site, &part.name, why, since, over);
    keep(edge, Letter::Signal(signal)).await;
}

async fn keep(edge: &Edge, letter: Letter) {
    if let Err(error) = edge.spool.put(letter, None).await {
        events::spool_failed(&error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_is_told_once_and_its_end_once() {
        let since = Timestamp::from_second(7).unwrap();
        let later = Timestamp::from_second(9).unwrap();
        let mut alarm = Alarm::default();
        assert_eq!(alarm.judge(None), None);
        assert_eq!(alarm.judge(Some(since)), Some(News::Wrong(since)));
        assert_eq!(alarm.judge(Some(later)), None);
        assert_eq!(alarm.judge(None), Some(News::Over(since)));
        assert_eq!(alarm.judge(None), None);
    }

    #[test]
    fn an_alarm_about_the_disk_ends_only_with_room_to_spare() {
        let disk = |hours: Option<u64>| DiskStatus {
            free: 1,
            total: 2,
            filling_bytes_per_s: None,
            full_in_secs: hours.map(|hours| hours * 3600),
        };
        assert!(!is_filling(&disk(Some(25)), 24, false));
        assert!(is_filling(&disk(Some(23)), 24, false));
        assert!(is_filling(&disk(Some(47)), 24, true));
        assert!(!is_filling(&disk(Some(49)), 24, true));
        assert!(!is_filling(&disk(None), 24, true));
    }
}
