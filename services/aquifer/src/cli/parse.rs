//! Values that clap does not know: what they may be, and what is said if they are not.

use aquifer_runbook::KeyTemplate;
use aquifer_schemas::RunState;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
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
