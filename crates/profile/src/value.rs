//! Values of attributes, and of which kind they should be.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A value that somebody gives for a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Yes or no.
    Bool(bool),
    /// A finite number.
    Number(f64),
    /// Anything else.
    Text(String),
}

/// What a value should be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Text, as it was said.
    #[default]
    Text,
    /// A finite number.
    Number,
    /// Yes or no: `true`, `false`, `yes`, `no`, `y`, `n`, `on`, `off`, or a number that is 0 or not.
    Bool,
}

impl Value {
    /// A number; as its text where it is not finite, because neither JSON nor the database
    /// has such numbers.
    pub fn number(number: f64) -> Self {
        if number.is_finite() {
            Self::Number(number)
        } else {
            Self::Text(number.to_string())
        }
    }

    /// Of which kind it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Bool(_) => Kind::Bool,
            Self::Number(_) => Kind::Number,
            Self::Text(_) => Kind::Text,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::Text(value) => f.pad(value),
        }
    }
}

impl Kind {
    /// `value` as one of this kind; `None` if it cannot be read so.
    pub fn read(self, value: &Value) -> Option<Value> {
        Some(match (self, value) {
            (Self::Text, value) => Value::Text(value.to_string()),
            (Self::Number, Value::Number(number)) => Value::Number(*number),
            (Self::Number, Value::Bool(flag)) => Value::Number(f64::from(u8::from(*flag))),
            (Self::Number, Value::Text(text)) => Value::Number(finite(text)?),
            (Self::Bool, Value::Bool(flag)) => Value::Bool(*flag),
            (Self::Bool, Value::Number(number)) => Value::Bool(*number != 0.0),
            (Self::Bool, Value::Text(text)) => Value::Bool(flag(text)?),
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Text => "text",
            Self::Number => "number",
            Self::Bool => "bool",
        })
    }
}

fn finite(text: &str) -> Option<f64> {
    let number: f64 = text.trim().parse().ok()?;
    number.is_finite().then_some(number)
}

fn flag(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "y" | "on" => Some(true),
        "false" | "no" | "n" | "off" => Some(false),
        number => finite(number).map(|number| number != 0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_its_kind_or_not_at_all() {
        let text = |text: &str| Value::Text(text.to_owned());
        assert_eq!(Kind::Number.read(&text(" 4.5 ")), Some(Value::Number(4.5)));
        assert_eq!(Kind::Number.read(&text("NaN")), None);
        assert_eq!(Kind::Number.read(&text("4 V")), None);
        assert_eq!(
            Kind::Number.read(&Value::Bool(true)),
            Some(Value::Number(1.0))
        );
        for yes in ["true", "Yes", "y", "ON", "1", "-2.5"] {
            assert_eq!(
                Kind::Bool.read(&text(yes)),
                Some(Value::Bool(true)),
                "{yes}"
            );
        }
        for no in ["false", "No", "n", "off", "0"] {
            assert_eq!(Kind::Bool.read(&text(no)), Some(Value::Bool(false)), "{no}");
        }
        assert_eq!(Kind::Bool.read(&text("perhaps")), None);
        assert_eq!(Kind::Text.read(&Value::Number(4.0)), Some(text("4")));
    }

    #[test]
    fn a_number_that_is_not_finite_is_kept_as_text() {
        assert_eq!(Value::number(1.0), Value::Number(1.0));
        assert_eq!(Value::number(f64::NAN), Value::Text("NaN".to_owned()));
    }
}
