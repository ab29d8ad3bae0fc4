//! Expressions over the attributes of a run: `pedestal = 1`,
//! `GEM3_V >= 430 and run_type ~ "std*"`, `not site in (LNF, MAN)`.
//!
//! ```text
//! expression = conjunction { "or" conjunction }
//! conjunction = factor { "and" factor }
//! factor      = "not" factor | "(" expression ")" | "true" | "false" | test
//! test        = name [ operator value | [ "not" ] "in" "(" value { "," value } ")"
//!                    | ( "~" | "!~" ) text ]
//! operator    = "=" | "!=" | "<" | "<=" | ">" | ">="
//! ```
//! A name stands on the left, a value on the right. Either is a bare word (letters, digits,
//! `_`, not beginning with a digit) or quoted with `'` or `"`, which is doubled inside: names
//! with dots or spaces are quoted, too. A name alone means that it is true.
//!
//! Total: a test of a name that has no value, or one of another kind, is false, whatever its
//! operator; `not` turns that round. Parsing is bounded in length and depth.

mod lex;
mod parse;
mod pattern;

use std::fmt;

use thiserror::Error;

use crate::value::{Kind, Value};

pub use pattern::Pattern;

/// Most bytes of an expression.
pub(crate) const LONGEST: usize = 4096;

/// Most parentheses and `not`s inside one another.
pub(crate) const DEEPEST: usize = 64;

/// Why an expression cannot be used. Columns are counted in characters, from 1.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum ExprError {
    /// Not what the grammar has here.
    #[error("column {column}: expected {expected}, found {found}")]
    Unexpected {
        /// Where.
        column: usize,
        /// What could stand here.
        expected: &'static str,
        /// What does.
        found: String,
    },
    /// A quote that does not end.
    #[error("column {column}: the quote that opens here is never closed")]
    Unclosed {
        /// Where it opens.
        column: usize,
    },
    /// Too long or too deep.
    #[error("column {column}: {what}")]
    TooMuch {
        /// Where it became so.
        column: usize,
        /// Which bound.
        what: &'static str,
    },
    /// A name that is known to nobody here.
    #[error("column {column}: `{name}` is not known here{}", did_you_mean(near.as_deref()))]
    UnknownName {
        /// Where.
        column: usize,
        /// The name.
        name: String,
        /// A known one that is spelt nearly so.
        near: Option<String>,
    },
    /// A comparison that can never be true.
    #[error("column {column}: `{name}` is a {kind}, and {against}")]
    Mismatch {
        /// Where.
        column: usize,
        /// The name.
        name: String,
        /// Of which kind it is.
        kind: Kind,
        /// With what it is compared.
        against: String,
    },
}

fn did_you_mean(near: Option<&str>) -> String {
    near.map(|near| format!("; did you mean `{near}`?"))
        .unwrap_or_default()
}

/// An expression. Equality is of what it says, not of where it says it.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// `true` or `false`.
    Always(bool),
    /// The opposite.
    Not(Box<Expr>),
    /// All of these, at least two.
    All(Vec<Expr>),
    /// Any of these, at least two.
    Any(Vec<Expr>),
    /// One test.
    Test(Test),
}

/// A test of one attribute.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// The attribute.
    pub name: Name,
    /// What must hold of it.
    pub predicate: Predicate,
}

/// The name of an attribute in an expression.
#[derive(Debug, Clone)]
pub struct Name {
    /// The name.
    pub text: String,
    /// Where it stands: characters, from 1.
    pub column: usize,
}

/// What must hold of an attribute's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Predicate {
    /// A comparison with a value of the same kind. Texts are ordered by their characters;
    /// a flag may be compared with 0 and 1.
    Compare(Operator, Value),
    /// Equal to one of these, at least one.
    In(Vec<Value>),
    /// A text that a pattern matches.
    Like(Pattern),
}

/// How values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`: it has a value of this kind, and another one.
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Expr {
    /// Whether it holds, where `value_of` gives the values of attributes.
    pub fn holds(&self, value_of: &impl Fn(&str) -> Option<Value>) -> bool {
        match self {
            Self::Always(truth) => *truth,
            Self::Not(inner) => !inner.holds(value_of),
            Self::All(parts) => parts.iter().all(|part| part.holds(value_of)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(value_of)),
            Self::Test(test) => {
                value_of(&test.name.text).is_some_and(|value| test.predicate.holds(&value))
            }
        }
    }

    /// Refuses names that `kind_of` does not know, and comparisons that can never be true.
    /// `known` are names to suggest.
    ///
    /// # Errors
    /// [`ExprError::UnknownName`] or [`ExprError::Mismatch`], the first there is.
    pub fn check(
        &self,
        kind_of: &impl Fn(&str) -> Option<Kind>,
        known: &[&str],
    ) -> Result<(), ExprError> {
        match self {
            Self::Always(_) => Ok(()),
            Self::Not(inner) => inner.check(kind_of, known),
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().try_for_each(|part| part.check(kind_of, known))
            }
            Self::Test(Test { name, predicate }) => {
                let Some(kind) = kind_of(&name.text) else {
                    return Err(ExprError::UnknownName {
                        column: name.column,
                        name: name.text.clone(),
                        near: nearest(&name.text, known),
                    });
                };
                predicate.fits(kind).map_err(|against| ExprError::Mismatch {
                    column: name.column,
                    name: name.text.clone(),
                    kind,
                    against,
                })
            }
        }
    }
}

impl Predicate {
    fn holds(&self, value: &Value) -> bool {
        match self {
            Self::Compare(operator, wanted) => operator.holds(value, wanted),
            Self::In(wanted) => wanted.iter().any(|one| Operator::Equal.holds(value, one)),
            Self::Like(pattern) => {
                matches!(value, Value::Text(text) if pattern.matches(text))
            }
        }
    }

    fn fits(&self, kind: Kind) -> Result<(), String> {
        let comparable = |value: &Value| {
            let flag = matches!(value, Value::Number(number) if flag_of(*number).is_some());
            if value.kind() == kind || (kind == Kind::Bool && flag) {
                Ok(())
            } else {
                Err(format!("{} is a {}", Quoted(value), value.kind()))
            }
        };
        match self {
            Self::Compare(operator, wanted) => {
                comparable(wanted)?;
                let ordered = !matches!(operator, Operator::Equal | Operator::NotEqual);
                if kind == Kind::Bool && ordered {
                    return Err("flags have no order".to_owned());
                }
                Ok(())
            }
            Self::In(wanted) => wanted.iter().try_for_each(comparable),
            Self::Like(_) if kind == Kind::Text => Ok(()),
            Self::Like(_) => Err("only texts match patterns".to_owned()),
        }
    }
}

impl Operator {
    fn holds(self, value: &Value, wanted: &Value) -> bool {
        use std::cmp::Ordering;
        let ordering = match (value, wanted) {
            (Value::Number(value), Value::Number(wanted)) => value.partial_cmp(wanted),
            (Value::Text(value), Value::Text(wanted)) => Some(value.cmp(wanted)),
            (Value::Bool(value), Value::Bool(wanted)) => Some(value.cmp(wanted)),
            // As a DAQ writes its flags.
            (Value::Bool(value), Value::Number(wanted)) => {
                flag_of(*wanted).map(|wanted| value.cmp(&wanted))
            }
            _ => None,
        };
        let Some(ordering) = ordering else {
            return false;
        };
        match self {
            Self::Equal => ordering == Ordering::Equal,
            Self::NotEqual => ordering != Ordering::Equal,
            Self::Less => ordering == Ordering::Less,
            Self::AtMost => ordering != Ordering::Greater,
            Self::Greater => ordering == Ordering::Greater,
            Self::AtLeast => ordering != Ordering::Less,
        }
    }

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        }
    }
}

/// The flag that a number stands for, if it stands for one.
fn flag_of(number: f64) -> Option<bool> {
    let is = |flag: f64| number.total_cmp(&flag).is_eq();
    if is(0.0) {
        Some(false)
    } else {
        is(1.0).then_some(true)
    }
}

/// The known name that is nearest to `name`, if one is near.
pub(crate) fn nearest(name: &str, known: &[&str]) -> Option<String> {
    let near = known
        .iter()
        .map(|word| (strsim::damerau_levenshtein(name, word), *word))
        .min()?;
    (near.0 <= 3.min(near.1.len().saturating_sub(1))).then(|| near.1.to_owned())
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |f: &mut fmt::Formatter<'_>, parts: &[Self], word: &str| {
            for (place, part) in parts.iter().enumerate() {
                if place > 0 {
                    write!(f, " {word} ")?;
                }
                match part {
                    Self::All(_) | Self::Any(_) => write!(f, "({part})")?,
                    _ => write!(f, "{part}")?,
                }
            }
            Ok(())
        };
        match self {
            Self::Always(truth) => write!(f, "{truth}"),
            Self::Not(inner) => match **inner {
                Self::All(_) | Self::Any(_) => write!(f, "not ({inner})"),
                _ => write!(f, "not {inner}"),
            },
            Self::All(parts) => join(f, parts, "and"),
            Self::Any(parts) => join(f, parts, "or"),
            Self::Test(test) => write!(f, "{test}"),
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.predicate {
            Predicate::Compare(operator, value) => {
                write!(f, "{name} {} {}", operator.as_str(), Quoted(value))
            }
            Predicate::In(values) => {
                let values: Vec<_> = values
                    .iter()
                    .map(|value| Quoted(value).to_string())
                    .collect();
                write!(f, "{name} in ({})", values.join(", "))
            }
            Predicate::Like(pattern) => write!(f, "{name} ~ {}", quoted(pattern.as_str())),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if lex::is_bare_name(&self.text) {
            f.write_str(&self.text)
        } else {
            f.write_str(&quoted(&self.text))
        }
    }
}

/// A value as an expression has it.
struct Quoted<'a>(&'a Value);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Text(text) => f.write_str(&quoted(text)),
            // With its exponent where it is long: `1e300` has 301 digits else.
            Value::Number(number) => write!(f, "{number:?}"),
            Value::Bool(flag) => write!(f, "{flag}"),
        }
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests;
