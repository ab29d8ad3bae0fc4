//! Which limit of the bandwidth is in force, and until when. Pure.
//!
//! A window is the time from its begin to its end on each of its days, by the clocks of
//! its time zone. Where clocks are put forward over a bound, the bound is as much later;
//! where they are put back, it is the first of the two. A window that ends at or before
//! its begin ends on the next day. Of several open windows the first in the
//! configuration counts.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Days that are looked ahead for the next bound: each window opens once a week at least.
const AHEAD: i32 = 8;

/// Bounds that are looked at for one at which the limit changes.
const MOST_BOUNDS: usize = 64;

/// `[m2c.bandwidth]`: how much of the link the ingester may take.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct BandwidthConfig {
    /// MiB that are sent to the storage in a second, on average, outside of all windows. Unset: no limit; 0: nothing is sent.
    pub limit_mib_per_s: Option<f64>,
    /// Time zone of the windows, such as `Europe/Rome`.
    pub time_zone: String,
    /// Times with a limit of their own. Of several that are open the first counts.
    pub window: Vec<WindowConfig>,
}

/// One window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WindowConfig {
    /// When it opens, such as `08:00`.
    pub from: String,
    /// When it closes; at or before `from` means on the next day.
    pub to: String,
    /// Days on which it opens; empty means every day.
    #[serde(default)]
    pub days: Vec<Day>,
    /// MiB in a second. Unset: no limit; 0: nothing is sent.
    #[serde(default)]
    pub limit_mib_per_s: Option<f64>,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

/// Windows that make no sense.
#[derive(Debug, Error, PartialEq)]
pub enum ScheduleError {
    /// The system does not know it.
    #[error("time zone `{0}` is not known; hint: `UTC` always is, others need the system's tzdata")]
    TimeZone(String),
    /// Not a time of day.
    #[error("`{0}` is not a time of day such as `08:00`")]
    Time(String),
    /// Neither 0 nor a rate that ever sends anything.
    #[error("limit-mib-per-s {0} is not 0 and not at least 0.001")]
    Limit(f64),
}

/// Bytes per second; `None` is no limit.
pub(crate) type Limit = Option<u64>;

/// What may be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// Bytes per second; none: as much as the link takes; 0: nothing.
    pub limit_bytes_per_s: Option<u64>,
    /// When that changes, if it does within a week.
    pub until: Option<Timestamp>,
}

/// A parsed configuration.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    usual: Limit,
    zone: TimeZone,
    windows: Vec<Window>,
}

#[derive(Debug, Clone)]
struct Window {
    from: Time,
    to: Time,
    days: Vec<Day>,
    limit: Limit,
}

impl Schedule {
    /// Reads a configuration.
    pub(crate) fn parse(config: &BandwidthConfig) -> Result<Self, ScheduleError> {
        let zone = match config.time_zone.as_str() {
            "" => TimeZone::UTC,
            name => TimeZone::get(name).map_err(|_| ScheduleError::TimeZone(name.to_owned()))?,
        };
        let windows = config.window.iter().map(|window| {
            Ok(Window {
                from: time(&window.from)?,
                to: time(&window.to)?,
                days: window.days.clone(),
                limit: limit(window.limit_mib_per_s)?,
            })
        });
        Ok(Self {
            usual: limit(config.limit_mib_per_s)?,
            zone,
            windows: windows.collect::<Result<_, _>>()?,
        })
    }

    /// The limit at a moment.
    pub(crate) fn limit(&self, at: Timestamp) -> Limit {
        let today = self.date(at);
        let open = |window: &&Window| {
            // One that opened yesterday may still be open.
            [today.saturating_sub(1.day()), today]
                .into_iter()
                .filter_map(|day| window.on(day, &self.zone))
                .any(|(from, to)| from <= at && at < to)
        };
        let window = self.windows.iter().find(open);
        window.map_or(self.usual, |window| window.limit)
    }

    /// The next moment after `at` at which a window opens or closes.
    pub(crate) fn next_bound(&self, at: Timestamp) -> Option<Timestamp> {
        let today = self.date(at);
        let days = (-1..=AHEAD).map(|ahead| today.saturating_add(Span::new().days(ahead)));
        days.flat_map(|day| self.windows.iter().map(move |window| (window, day)))
            .filter_map(|(window, day)| window.on(day, &self.zone))
            .flat_map(|(from, to)| [from, to])
            .filter(|bound| *bound > at)
            .min()
    }

    /// The limit at a moment, and when another comes into force.
    pub(crate) fn in_force(&self, at: Timestamp) -> InForce {
        let limit = self.limit(at);
        let mut until = self.next_bound(at);
        for _ in 0..MOST_BOUNDS {
            match until {
                Some(bound) if self.limit(bound) == limit => until = self.next_bound(bound),
                _ => break,
            }
        }
        InForce {
            limit_bytes_per_s: limit,
            until: until.filter(|bound| self.limit(*bound) != limit),
        }
    }

    fn date(&self, at: Timestamp) -> Date {
        at.to_zoned(self.zone.clone()).date()
    }
}

impl Window {
    /// The time for which it is open when it opens on `day`.
    fn on(&self, day: Date, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
        let opens = self.days.is_empty() || self.days.contains(&weekday(day));
        if !opens {
            return None;
        }
        let last = if self.to > self.from {
            day
        } else {
            day.tomorrow().ok()?
        };
        let at = |date: Date, time: Time| zone.to_ambiguous_timestamp(date.to_datetime(time));
        let from = at(day, self.from).compatible().ok()?;
        let to = at(last, self.to).compatible().ok()?;
        Some((from, to))
    }
}

fn weekday(day: Date) -> Day {
    use jiff::civil::Weekday;
    match day.weekday() {
        Weekday::Monday => Day::Mon,
        Weekday::Tuesday => Day::Tue,
        Weekday::Wednesday => Day::Wed,
        Weekday::Thursday => Day::Thu,
        Weekday::Friday => Day::Fri,
        Weekday::Saturday => Day::Sat,
        Weekday::Sunday => Day::Sun,
    }
}

fn time(text: &str) -> Result<Time, ScheduleError> {
    Time::strptime("%H:%M", text).map_err(|_| ScheduleError::Time(text.to_owned()))
}

fn limit(mib_per_s: Option<f64>) -> Result<Limit, ScheduleError> {
    match mib_per_s {
        None => Ok(None),
        Some(0.0) => Ok(Some(0)),
        Some(rate) if rate.is_finite() && rate >= 0.001 => {
            Ok(Some((rate * f64::from(1 << 20)) as u64))
        }
        Some(rate) => Err(ScheduleError::Limit(rate)),
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
