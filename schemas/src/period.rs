//! Periods: named stretches of data taking, such as a science run.
//!
//! A period begins and ends with a run, by its number, or at a time. Which runs are of it
//! follows from that; nothing is written into the runs.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::words::{RunNumber, Site};

/// Most characters of a period's name.
const LONGEST_NAME: usize = 64;

/// What is wrong with a period.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum PeriodError {
    /// A name of no or too many characters.
    #[error("`{0}` is not the name of a period (1 to {LONGEST_NAME} characters)")]
    Name(String),
    /// An end that is neither a run nor a time.
    #[error(
        "`{0}` is neither a run number nor a time such as 2024-05-01 or 2024-05-01T08:00:00+02:00"
    )]
    Edge(String),
    /// It would have no run.
    #[error("period `{name}` ends ({to}) before it begins ({from})")]
    Backward {
        /// Its name.
        name: String,
        /// Where it begins.
        from: PeriodEdge,
        /// Where it ends.
        to: PeriodEdge,
    },
}

/// Where a period begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeriodEdge {
    /// With this run, which is of the period.
    Run(RunNumber),
    /// At this time: runs taken at it are of the period that begins.
    At(Timestamp),
}

/// A named stretch of data taking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// Its name.
    pub name: String,
    /// Where; `None`: at every site.
    pub site: Option<Site>,
    /// Where it begins; `None`: with the first run there is.
    pub from: Option<PeriodEdge>,
    /// Where it ends; `None`: it goes on.
    pub to: Option<PeriodEdge>,
    /// What it is, for people.
    pub description: String,
}

impl Period {
    /// Refuses a name that is none, and an end before the begin.
    pub fn check(&self) -> Result<(), PeriodError> {
        let length = self.name.chars().count();
        if length == 0 || length > LONGEST_NAME || self.name.chars().any(char::is_control) {
            return Err(PeriodError::Name(self.name.clone()));
        }
        let backward = match (self.from, self.to) {
            (Some(PeriodEdge::Run(from)), Some(PeriodEdge::Run(to))) => from > to,
            (Some(PeriodEdge::At(from)), Some(PeriodEdge::At(to))) => from >= to,
            // A run has a time and a number, which need not be known here.
            _ => false,
        };
        match (self.from, self.to) {
            (Some(from), Some(to)) if backward => Err(PeriodError::Backward {
                name: self.name.clone(),
                from,
                to,
            }),
            _ => Ok(()),
        }
    }

    /// Whether a run is of it: by its site, its number and when it was taken.
    pub fn covers(&self, site: &Site, number: RunNumber, taken_at: Timestamp) -> bool {
        let begun = match self.from {
            None => true,
            Some(PeriodEdge::Run(first)) => number >= first,
            Some(PeriodEdge::At(begin)) => taken_at >= begin,
        };
        let over = match self.to {
            None => false,
            Some(PeriodEdge::Run(last)) => number > last,
            Some(PeriodEdge::At(end)) => taken_at >= end,
        };
        begun && !over && self.site.as_ref().is_none_or(|of| of == site)
    }
}

impl FromStr for PeriodEdge {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            let number = text.parse().map(Self::Run);
            return number.map_err(|_| PeriodError::Edge(text.to_owned()));
        }
        if let Ok(at) = text.parse() {
            return Ok(Self::At(at));
        }
        // A day alone begins at midnight, UTC. One with a time of day and no zone says not when.
        let day: Option<Date> = text.parse().ok().filter(|_| text.len() == 10);
        let at = day.and_then(|day| day.to_zoned(TimeZone::UTC).ok());
        at.map(|at| Self::At(at.timestamp()))
            .ok_or_else(|| PeriodError::Edge(text.to_owned()))
    }
}

impl fmt::Display for PeriodEdge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(number) => f.pad(&number.to_string()),
            Self::At(at) => f.pad(&at.to_string()),
        }
    }
}

impl Serialize for PeriodEdge {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Run(number) => serializer.serialize_u64(*number),
            Self::At(at) => serializer.collect_str(at),
        }
    }
}

impl<'de> Deserialize<'de> for PeriodEdge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Edge;

        impl Visitor<'_> for Edge {
            type Value = PeriodEdge;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a run number or a time in quotes, such as \"2024-05-01\"")
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<PeriodEdge, E> {
                Ok(PeriodEdge::Run(number))
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<PeriodEdge, E> {
                let number = u64::try_from(number);
                number
                    .map(PeriodEdge::Run)
                    .map_err(|_| E::custom("run numbers are not negative"))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<PeriodEdge, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Edge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(from: &str, to: &str) -> Period {
        let edge = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap());
        Period {
            name: "SR0".to_owned(),
            site: Some("LNGS".parse().unwrap()),
            from: edge(from),
            to: edge(to),
            description: String::new(),
        }
    }

    #[test]
    fn a_period_has_the_runs_between_its_ends() {
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let (here, there) = ("LNGS".parse().unwrap(), "LNF".parse().unwrap());
        let noon = at("2024-05-01T12:00:00Z");
        let numbers = period("10", "20");
        for (number, is_in) in [(9, false), (10, true), (20, true), (21, false)] {
            assert_eq!(numbers.covers(&here, number, noon), is_in, "{number}");
        }
        assert!(!numbers.covers(&there, 15, noon));
        let times = period("2024-05-01", "2024-05-02T00:00:00+02:00");
        for (time, is_in) in [
            ("2024-04-30T23:59:59.999Z", false),
            ("2024-05-01T00:00:00Z", true),
            ("2024-05-01T21:59:59Z", true),
            ("2024-05-01T22:00:00Z", false),
        ] {
            assert_eq!(times.covers(&here, 1, at(time)), is_in, "{time}");
        }
        let open = Period {
            site: None,
            ..period("10", "")
        };
        assert!(open.covers(&there, u64::MAX, noon) && !open.covers(&there, 9, noon));
        let mixed = period("10", "2024-05-01");
        assert!(
            !mixed.covers(&here, 10, noon) && mixed.covers(&here, 10, at("2024-01-01T00:00:00Z"))
        );
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for edge in [
            "",
            "-1",
            "1.5",
            "SR0",
            "2024-05-01T12:00:00",
            "99999999999999999999",
        ] {
            assert_eq!(
                edge.parse::<PeriodEdge>(),
                Err(PeriodError::Edge(edge.to_owned()))
            );
        }
        for (from, to) in [
            ("2", "1"),
            ("2024-05-02", "2024-05-01"),
            ("2024-05-01", "2024-05-01"),
        ] {
            assert!(matches!(
                period(from, to).check(),
                Err(PeriodError::Backward { .. })
            ));
        }
        assert_eq!(period("2", "2").check(), Ok(()));
        let unnamed = Period {
            name: String::new(),
            ..period("1", "2")
        };
        assert_eq!(unnamed.check(), Err(PeriodError::Name(String::new())));
    }

    #[test]
    fn ends_read_back() {
        for edge in ["12000", r#""2024-05-01T00:00:00Z""#] {
            let read: PeriodEdge = serde_json::from_str(edge).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), edge);
        }
        assert!(serde_json::from_str::<PeriodEdge>("-4").is_err());
        assert!(serde_json::from_str::<PeriodEdge>("true").is_err());
    }
}
