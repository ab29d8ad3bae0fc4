//! Local times into instants.
//!
//! In autumn an hour of local time comes twice, and a book does not say which one it
//! means. Runs are numbered in the order in which they were taken, and a run ends after
//! it began: that decides most of the doubtful times, and what it does not decide is
//! said to be a guess.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use serde::Serialize;

/// Begin and end of a run, by the clock on the wall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalSpan {
    /// Begin.
    pub start: Option<DateTime>,
    /// End.
    pub stop: Option<DateTime>,
}

/// Begin and end of a run, resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Begin.
    pub start: Option<Resolved>,
    /// End.
    pub stop: Option<Resolved>,
}

/// An instant, and how it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Resolved {
    /// The instant.
    pub at: Timestamp,
    /// How it was found.
    pub certainty: Certainty,
}

/// How an instant was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Certainty {
    /// The local time came once.
    Certain,
    /// The local time came twice; the order of the runs leaves one of them.
    ByOrder,
    /// The local time came twice and nothing decides: the first is taken.
    Guessed,
    /// The local time was skipped in spring: the clock was not set, and the offset of
    /// before is taken.
    Skipped,
}

/// Resolves the times of runs that are given in the order in which they were taken.
pub fn resolve(runs: &[LocalSpan], zone: &TimeZone) -> Vec<Span> {
    let mut times: Vec<Option<Reading>> = runs
        .iter()
        .flat_map(|run| [run.start, run.stop])
        .map(|time| time.map(|time| Reading::of(time, zone)))
        .collect();
    decide(&mut times);
    times
        .chunks_exact(2)
        .map(|pair| Span {
            start: pair[0].as_ref().map(Reading::resolved),
            stop: pair[1].as_ref().map(Reading::resolved),
        })
        .collect()
}

/// A local time with the instants that it may mean.
#[derive(Debug, Clone, Copy)]
struct Reading {
    local: DateTime,
    first: Timestamp,
    second: Timestamp,
    certainty: Certainty,
    decided: bool,
}

impl Reading {
    fn of(local: DateTime, zone: &TimeZone) -> Self {
        let at = |offset: Offset| {
            offset.to_timestamp(local).unwrap_or(if local.year() > 0 {
                Timestamp::MAX
            } else {
                Timestamp::MIN
            })
        };
        let (first, second, certainty, decided) = match zone.to_ambiguous_timestamp(local).offset()
        {
            AmbiguousOffset::Unambiguous { offset } => (offset, offset, Certainty::Certain, true),
            AmbiguousOffset::Gap { before, .. } => (before, before, Certainty::Skipped, true),
            AmbiguousOffset::Fold { before, after } => (before, after, Certainty::Guessed, false),
        };
        Self {
            local,
            first: at(first),
            second: at(second),
            certainty,
            decided,
        }
    }

    /// Takes the second hour.
    fn take_second(&mut self) {
        self.first = self.second;
    }

    fn by_order(&mut self) {
        self.certainty = Certainty::ByOrder;
        self.decided = true;
    }

    fn resolved(&self) -> Resolved {
        Resolved {
            at: self.first,
            certainty: self.certainty,
        }
    }
}

/// Decides each stretch of doubtful times between two that are certain.
fn decide(times: &mut [Option<Reading>]) {
    let mut at = 0;
    while at < times.len() {
        let doubtful = |time: &Option<Reading>| time.is_none_or(|reading| !reading.decided);
        let length = times[at..].iter().take_while(|time| doubtful(time)).count();
        let (before, rest) = times.split_at_mut(at);
        let (stretch, after) = rest.split_at_mut(length);
        let from = before
            .iter()
            .rev()
            .flatten()
            .next()
            .map(|reading| reading.first);
        let until = after.iter().flatten().next().map(|reading| reading.first);
        decide_stretch(stretch, from, until);
        at += length.max(1);
    }
}

/// Within a stretch the clock went back once at most: at the place where local time falls.
fn decide_stretch(
    stretch: &mut [Option<Reading>],
    from: Option<Timestamp>,
    until: Option<Timestamp>,
) {
    let mut readings: Vec<&mut Reading> = stretch.iter_mut().flatten().collect();
    let fall = readings
        .windows(2)
        .position(|pair| pair[1].local < pair[0].local)
        .map(|at| at + 1);
    if let Some(fall) = fall {
        for (at, reading) in readings.iter_mut().enumerate() {
            if at >= fall {
                reading.take_second();
            }
            reading.by_order();
        }
        return;
    }
    // In rising order a first part may lie in the first hour and the rest in the second.
    let mut earliest = from;
    for reading in &mut readings {
        if earliest.is_some_and(|earliest| reading.first < earliest) {
            reading.take_second();
            reading.by_order();
        }
        earliest = Some(reading.first);
    }
    let mut latest = until;
    for reading in readings.iter_mut().rev() {
        if !reading.decided && latest.is_some_and(|latest| reading.second > latest) {
            reading.by_order();
        }
        latest = Some(if reading.decided {
            reading.first
        } else {
            reading.second
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rome() -> TimeZone {
        TimeZone::get("Europe/Rome").unwrap()
    }

    fn run(start: &str, stop: &str) -> LocalSpan {
        LocalSpan {
            start: start.parse().ok(),
            stop: stop.parse().ok(),
        }
    }

    /// Hours and minutes in UTC with the certainty, of begin and end.
    fn resolved(runs: &[LocalSpan]) -> Vec<(String, Certainty)> {
        resolve(runs, &rome())
            .into_iter()
            .flat_map(|span| [span.start, span.stop])
            .flatten()
            .map(|time| (time.at.strftime("%H:%M").to_string(), time.certainty))
            .collect()
    }

    fn times(of: &[(&str, Certainty)]) -> Vec<(String, Certainty)> {
        of.iter()
            .map(|(at, how)| ((*at).to_owned(), *how))
            .collect()
    }

    #[test]
    fn summer_and_winter_have_their_offsets() {
        let runs = [
            run("2022-07-01T12:00:00", "2022-07-01T12:05:00"),
            run("2022-12-01T12:00:00", ""),
        ];
        let certain = Certainty::Certain;
        assert_eq!(
            resolved(&runs),
            times(&[("10:00", certain), ("10:05", certain), ("11:00", certain)])
        );
    }

    #[test]
    fn the_hour_that_comes_twice_is_decided_by_the_order_of_the_runs() {
        use Certainty::{ByOrder, Certain};
        let runs = [
            run("2022-10-30T01:50:00", "2022-10-30T02:20:00"),
            run("2022-10-30T02:40:00", "2022-10-30T02:10:00"),
            run("2022-10-30T02:30:00", "2022-10-30T03:10:00"),
        ];
        assert_eq!(
            resolved(&runs),
            times(&[
                ("23:50", Certain),
                ("00:20", ByOrder),
                ("00:40", ByOrder),
                ("01:10", ByOrder),
                ("01:30", ByOrder),
                ("02:10", Certain),
            ])
        );
    }

    #[test]
    fn what_nothing_decides_is_said_to_be_a_guess() {
        let runs = [
            run("2022-10-30T01:50:00", "2022-10-30T01:55:00"),
            run("2022-10-30T02:20:00", "2022-10-30T02:25:00"),
            run("2022-10-30T03:40:00", ""),
        ];
        let found = resolved(&runs);
        assert_eq!(found[2], ("00:20".to_owned(), Certainty::Guessed));
        assert_eq!(found[3], ("00:25".to_owned(), Certainty::Guessed));
    }

    #[test]
    fn a_time_that_was_skipped_is_marked() {
        let runs = [run("2022-03-27T02:30:00", "2022-03-27T03:30:00")];
        let found = resolved(&runs);
        assert_eq!(found[0], ("01:30".to_owned(), Certainty::Skipped));
        assert_eq!(found[1], ("01:30".to_owned(), Certainty::Certain));
    }

    #[test]
    fn missing_and_negative_times_stay_as_they_are() {
        let runs = [
            run("2023-02-21T17:13:00", "2023-02-21T17:11:02"),
            run("", ""),
        ];
        let spans = resolve(&runs, &rome());
        assert!(spans[0].stop.unwrap().at < spans[0].start.unwrap().at);
        assert_eq!((spans[1].start, spans[1].stop), (None, None));
    }

    proptest::proptest! {
        /// Whatever the truth, runs taken one after the other come out in their order
        /// when the clock's going back shows, and never further off than the hour.
        #[test]
        fn instants_are_right_within_the_doubtful_hour(steps in proptest::collection::vec(60i64..1500, 2..40)) {
            let zone = rome();
            let mut at: Timestamp = "2022-10-29T23:00:00Z".parse().unwrap();
            let mut truth = Vec::new();
            let mut runs = Vec::new();
            for pair in steps.chunks_exact(2) {
                let start = at + jiff::SignedDuration::from_secs(pair[0]);
                let stop = start + jiff::SignedDuration::from_secs(pair[1]);
                at = stop;
                truth.push((start, stop));
                let local = |at: Timestamp| Some(at.to_zoned(zone.clone()).datetime());
                runs.push(LocalSpan { start: local(start), stop: local(stop) });
            }
            for (span, (start, stop)) in resolve(&runs, &zone).iter().zip(&truth) {
                for (found, truth) in [(span.start.unwrap(), start), (span.stop.unwrap(), stop)] {
                    let off = found.at.duration_since(*truth).as_secs().abs();
                    proptest::prop_assert!(off == 0 || (off == 3600 && found.certainty == Certainty::Guessed), "{found:?} {truth}");
                }
            }
        }
    }
}
