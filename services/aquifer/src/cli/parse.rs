//! Values that clap does not know: what they may be, and what is said if they are not.

use aquifer_runbook::KeyTemplate;
use aquifer_schemas::{PeriodEdge, RunNumber, RunState};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

pub(crate) fn time_zone(text: &str) -> Result<String, String> {
    match TimeZone::get(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("no such time zone is known here; one is Europe/Rome".to_owned()),
    }
}

pub(crate) fn letter_id(text: &str) -> Result<Uuid, String> {
    let id = text.parse();
    id.map_err(|_| "not an id as `aquifer dead-letters list` shows them".to_owned())
}

pub(crate) fn run_state() -> impl TypedValueParser<Value = RunState> {
    PossibleValuesParser::new(RunState::ALL.iter().map(|state| state.as_str()))
        .try_map(|word| word.parse())
}

pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let in_range = |rate: &f64| (0.001..=1000.0).contains(rate);
    let rate = text.parse().ok().filter(in_range);
    rate.ok_or_else(|| "runs per second are a number from 0.001 to 1000".to_owned())
}

pub(crate) fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok();
    let number = number.filter(|number: &f64| *number > 0.0 && number.is_finite());
    number.ok_or_else(|| "a number above 0 is needed".to_owned())
}

pub(crate) fn probability(text: &str) -> Result<f64, String> {
    let in_range = |probability: &f64| (0.0..=1.0).contains(probability);
    let probability = text.parse().ok().filter(in_range);
    probability.ok_or_else(|| "a probability is a number from 0 to 1".to_owned())
}

pub(crate) fn key_template(text: &str) -> Result<KeyTemplate, String> {
    text.parse::<KeyTemplate>()
        .map_err(|error| error.to_string())
}

/// A name that stands in a query, where no parameter can.
pub(crate) fn table_name(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if text.is_empty() || text.len() > 64 || !text.bytes().all(plain) {
        return Err("a table's name is made of letters, digits and `_`".to_owned());
    }
    Ok(text.to_owned())
}

/// A time such as `24h` or `90min`.
pub(crate) fn positive_time(text: &str) -> Result<SignedDuration, String> {
    let time: SignedDuration = text.parse().map_err(|error| format!("{error}"))?;
    if time.is_negative() {
        return Err("a time cannot be negative".to_owned());
    }
    Ok(time)
}

/// A point in time: a day, a time, or how long ago.
pub(crate) fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(PeriodEdge::At(at)) = text.parse() {
        return Ok(at);
    }
    let ago: Option<SignedDuration> = text.parse().ok();
    let at = ago
        .filter(|ago| !ago.is_negative())
        .and_then(|ago| Timestamp::now().checked_sub(ago).ok());
    at.ok_or_else(|| {
        "neither a day (2026-11-22), a time (2026-11-22T08:00:00Z) nor how long ago (24h)"
            .to_owned()
    })
}

/// Run numbers from one to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NumberRange {
    pub(crate) from: Option<RunNumber>,
    pub(crate) to: Option<RunNumber>,
}

/// `100..200`, `100..`, `..200` or one number.
pub(crate) fn number_range(text: &str) -> Result<NumberRange, String> {
    let wrong = || "run numbers are written 100..200, 100.., ..200 or 100".to_owned();
    let number = |text: &str| match text {
        "" => Ok(None),
        digits => digits.parse().map(Some).map_err(|_| wrong()),
    };
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    let range = NumberRange {
        from: number(from)?,
        to: number(to)?,
    };
    match (range.from, range.to) {
        (None, None) => Err(wrong()),
        (Some(from), Some(to)) if from > to => Err(format!("{from} comes after {to}")),
        _ => Ok(range),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_numbers_have_both_ends_or_one() {
        let range = |from, to| Ok(NumberRange { from, to });
        assert_eq!(number_range("3..5"), range(Some(3), Some(5)));
        assert_eq!(number_range("3.."), range(Some(3), None));
        assert_eq!(number_range("..5"), range(None, Some(5)));
        assert_eq!(number_range("4"), range(Some(4), Some(4)));
        for wrong in ["", "..", "5..3", "a..b", "-1..", "1...2"] {
            assert!(number_range(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn moments_are_days_times_or_ages() {
        let day: Timestamp = "2026-11-22T00:00:00Z".parse().unwrap();
        assert_eq!(moment("2026-11-22"), Ok(day));
        assert_eq!(moment("2026-11-22T01:00:00+01:00"), Ok(day));
        let age = Timestamp::now().duration_since(moment("24h").unwrap());
        let off = age.abs() - SignedDuration::from_hours(24);
        assert!(off.abs() < SignedDuration::from_mins(1), "{age:?}");
        for wrong in ["", "7", "-3h", "yesterday", "2026-11-22T01:00:00"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }
}
