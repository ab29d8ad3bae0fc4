//! Expressions over attributes as SQL, with the meaning that they have for the profile:
//! what the database says of a run is what [`Expr::holds`] says.

use aquifer_profile::{Expr, Operator, Predicate, Test, Value as Wanted};
use mysql_async::Value;

use super::condition::Condition;
use crate::sql::like;

/// The index of names and values. A value that is no text stands there under a text of
/// NULL, one that is no number under a number of NULL.
pub(super) const INDEX: &str = "attribute_value";

/// Characters of a text that the index has.
const INDEXED: usize = 64;

/// Says of the run `r` whether it passes.
pub(super) fn holds(expr: &Expr) -> Condition {
    match expr {
        Expr::Always(true) => Condition::new("TRUE", []),
        Expr::Always(false) => Condition::new("FALSE", []),
        Expr::Not(inner) => {
            let inner = holds(inner);
            Condition::new(format!("NOT ({})", inner.text), inner.values)
        }
        Expr::All(parts) => joined(parts.iter().map(holds), " AND "),
        Expr::Any(parts) => joined(parts.iter().map(holds), " OR "),
        Expr::Test(Test { name, predicate }) => {
            let of = predicate_of(predicate, "a");
            let text = format!(
                "EXISTS (SELECT 1 FROM run_attribute a WHERE a.run_id=r.id AND a.name=? AND {})",
                of.text
            );
            let name = Value::from(name.text.as_str());
            Condition::new(text, std::iter::once(name).chain(of.values))
        }
    }
}

fn joined(parts: impl Iterator<Item = Condition>, word: &str) -> Condition {
    let (mut texts, mut values) = (Vec::new(), Vec::new());
    for part in parts {
        texts.push(part.text);
        values.extend(part.values);
    }
    Condition::new(format!("({})", texts.join(word)), values)
}

/// Says of the attribute `of` whether its value is meant. `NULL` stands for a value of
/// another kind, which passes no test.
fn predicate_of(predicate: &Predicate, of: &str) -> Condition {
    match predicate {
        Predicate::Compare(operator, wanted) => compare(*operator, wanted, of),
        Predicate::In(wanted) => {
            let equal = |one| compare(Operator::Equal, one, of);
            joined(wanted.iter().map(equal), " OR ")
        }
        Predicate::Like(pattern) => Condition::new(
            format!("COALESCE({of}.text_value LIKE ? ESCAPE '!',FALSE)"),
            [like(pattern).into()],
        ),
    }
}

fn compare(operator: Operator, wanted: &Wanted, of: &str) -> Condition {
    let sign = match operator {
        Operator::NotEqual => "<>",
        other => other.as_str(),
    };
    match wanted {
        Wanted::Text(text) => Condition::new(
            format!("COALESCE({of}.text_value{sign}?,FALSE)"),
            [text.as_str().into()],
        ),
        Wanted::Bool(flag) => Condition::new(
            format!("COALESCE({of}.bool_value{sign}?,FALSE)"),
            [(*flag).into()],
        ),
        // As a DAQ writes its flags.
        Wanted::Number(number) if is_flag(*number) => Condition::new(
            format!("COALESCE({of}.number_value{sign}?,{of}.bool_value{sign}?,FALSE)"),
            [(*number).into(), (*number).into()],
        ),
        Wanted::Number(number) => Condition::new(
            format!("COALESCE({of}.number_value{sign}?,FALSE)"),
            [(*number).into()],
        ),
    }
}

/// Whether a number may stand for a flag.
fn is_flag(number: f64) -> bool {
    [0.0, 1.0].contains(&number)
}

/// A test that every run of the list must pass, and that the index knows.
#[derive(Debug, Clone)]
pub(super) struct Lead {
    /// On the attribute `d`, in the index's own columns.
    condition: Condition,
    /// Whether the index has the runs in the order of the list.
    ordered: bool,
}

/// The tests that can lead.
pub(super) fn leads(expr: &Expr) -> Vec<Lead> {
    match expr {
        Expr::All(parts) => parts.iter().flat_map(leads).collect(),
        Expr::Test(test) => lead(test).into_iter().collect(),
        Expr::Always(_) | Expr::Not(_) | Expr::Any(_) => Vec::new(),
    }
}

fn lead(of: &Test) -> Option<Lead> {
    let Predicate::Compare(operator, wanted) = &of.predicate else {
        return None;
    };
    let name = Value::from(of.name.text.as_str());
    let ordered = *operator == Operator::Equal;
    match wanted {
        Wanted::Text(text) if ordered => {
            let key: String = text.chars().take(INDEXED).collect();
            let equal = "d.name=? AND d.text_key=? AND d.number_value IS NULL";
            Some(Lead {
                condition: Condition::new(equal, [name, key.into()]),
                ordered,
            })
        }
        // A flag may be meant, which is in no index.
        Wanted::Number(number) if !is_flag(*number) => {
            if *operator == Operator::NotEqual {
                return None;
            }
            let sign = operator.as_str();
            let range = format!("d.name=? AND d.text_key IS NULL AND d.number_value{sign}?");
            Some(Lead {
                condition: Condition::new(range, [name, (*number).into()]),
                ordered,
            })
        }
        _ => None,
    }
}

impl Lead {
    /// Whether the index has the runs in the order of the list.
    pub(super) fn is_ordered(&self) -> bool {
        self.ordered
    }

    /// What a list is made from. That the test is passed is asked again: an index may
    /// know the beginning of a text only.
    pub(super) fn from(&self) -> Condition {
        let text = format!(
            "run_attribute d FORCE INDEX ({INDEX}) STRAIGHT_JOIN run r ON r.id=d.run_id WHERE {}",
            self.condition.text
        );
        Condition::new(text, self.condition.values.clone())
    }

    /// How a list is ordered.
    pub(super) fn order(&self) -> &'static str {
        if self.ordered {
            "d.taken_at DESC,d.run_id DESC"
        } else {
            "r.taken_at DESC,r.id DESC"
        }
    }

    /// The runs that it leads to, at most so many.
    pub(super) fn count(&self, most: u64) -> Condition {
        let text = format!(
            "SELECT 1 FROM run_attribute d FORCE INDEX ({INDEX}) WHERE {} LIMIT {most}",
            self.condition.text
        );
        Condition::new(text, self.condition.values.clone())
    }
}
