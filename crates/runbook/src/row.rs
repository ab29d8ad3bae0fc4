//! One run as its book has it.

use std::collections::BTreeMap;

use aquifer_schemas::{RunNumber, RunVersion};
use jiff::civil::DateTime;
use serde::Serialize;

use crate::columns::{Columns, Kind};
use crate::status::Store;

/// What stands in a column without a meaning of its own.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// Yes or no.
    Flag(bool),
    /// A number.
    Number(f64),
    /// Anything else.
    Text(String),
}

impl Value {
    /// What `text` is by its kind, or, where it is not, by what it reads as.
    fn read(text: &str, kind: Option<Kind>) -> Self {
        let flag = match (kind, whole(text)) {
            (Some(Kind::Text), _) => return Self::Text(text.to_owned()),
            (Some(Kind::Flag), Some(0)) => Some(false),
            (Some(Kind::Flag), Some(1)) => Some(true),
            _ => None,
        };
        match (flag, text.parse::<f64>()) {
            (Some(flag), _) => Self::Flag(flag),
            (None, Ok(number)) if number.is_finite() => Self::Number(number),
            _ => Self::Text(text.to_owned()),
        }
    }
}

/// One run as its book has it. `None` and absent: the book leaves it empty.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Line on which it begins.
    pub line: u64,
    /// The run.
    pub run: RunNumber,
    /// 1, or higher where the book has used the number before for a run that began at
    /// another time.
    pub version: RunVersion,
    /// Begin, by the clock on the wall.
    pub start: Option<DateTime>,
    /// End, by the clock on the wall.
    pub stop: Option<DateTime>,
    /// Events taken.
    pub events: Option<u64>,
    /// The shifter's words.
    pub description: Option<String>,
    /// The DAQ's type of the run.
    pub run_type: Option<String>,
    /// Size of the stored file in bytes. Sizes that stand for "unknown" (0 and below)
    /// are `None`.
    pub size: Option<u64>,
    /// MD5 of the stored file, 32 hexadecimal digits.
    pub checksum: Option<String>,
    /// Folder of the stored file in its bucket.
    pub tag: Option<String>,
    /// Codes of the copies and of the reconstruction.
    pub codes: BTreeMap<Store, i64>,
    /// Everything else that the book says.
    pub attributes: BTreeMap<String, Value>,
}

/// A field that is not what its column is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreadable {
    pub(crate) column: String,
    pub(crate) value: String,
    pub(crate) expected: &'static str,
}

/// Reads a record whose fields stand under `head`. `Err`: it has no run number, and so
/// is no row. What else cannot be read stays out of the row and is returned beside it.
pub(crate) fn read(
    line: u64,
    head: &[String],
    fields: &[String],
    columns: &Columns,
) -> Result<(Row, Vec<Unreadable>), Unreadable> {
    let mut reading = Reading {
        columns,
        unreadable: Vec::new(),
        row: Row {
            line,
            run: 0,
            version: 1,
            start: None,
            stop: None,
            events: None,
            description: None,
            run_type: None,
            size: None,
            checksum: None,
            tag: None,
            codes: BTreeMap::new(),
            attributes: BTreeMap::new(),
        },
    };
    let mut numbered = false;
    for (column, field) in head.iter().zip(fields) {
        let field = field.trim();
        if column.eq_ignore_ascii_case(&columns.run) {
            let run = whole(field).and_then(|run| u64::try_from(run).ok());
            reading.row.run = run.ok_or_else(|| unreadable(column, field, "a run number"))?;
            numbered = true;
        } else if !is_empty(field) {
            reading.field(column, field);
        }
    }
    if numbered {
        Ok((reading.row, reading.unreadable))
    } else {
        Err(unreadable(&columns.run, "", "a run number"))
    }
}

/// Whether every field of a column with a type can be read: how a line with commas too
/// many is put together.
pub(crate) fn fits(head: &[String], fields: &[String], columns: &Columns) -> bool {
    read(0, head, fields, columns).is_ok_and(|(row, unreadable)| {
        unreadable.is_empty() && row.start.is_some() && numbers_hold(head, fields, columns)
    })
}

/// In a book of numbers no column but those of text holds words next to a number's place:
/// a field with a blank in front is the rest of a sentence.
fn numbers_hold(head: &[String], fields: &[String], columns: &Columns) -> bool {
    head.iter()
        .zip(fields)
        .all(|(column, field)| columns.is_text(column) || !field.starts_with(' '))
}

struct Reading<'a> {
    columns: &'a Columns,
    row: Row,
    unreadable: Vec<Unreadable>,
}

impl Reading<'_> {
    fn field(&mut self, column: &str, field: &str) {
        let columns = self.columns;
        let is = |name: &str| column.eq_ignore_ascii_case(name);
        let row = &mut self.row;
        let store = Store::ALL
            .into_iter()
            .find(|store| is(store.column(columns)));
        let expected = if let Some(store) = store {
            let code = whole(field);
            row.codes.extend(code.map(|code| (store, code)));
            code.is_none().then_some("a status code")
        } else if is(&columns.start) || is(&columns.stop) {
            let time = local_time(field);
            let place = if is(&columns.start) {
                &mut row.start
            } else {
                &mut row.stop
            };
            *place = time;
            time.is_none()
                .then_some("a local time `YYYY-MM-DD hh:mm:ss`")
        } else if is(&columns.events) {
            row.events = whole(field).and_then(|events| u64::try_from(events).ok());
            row.events.is_none().then_some("a count")
        } else if is(&columns.size) {
            let size = whole(field);
            row.size = size.and_then(|size| u64::try_from(size).ok());
            row.size = row.size.filter(|size| *size > 0);
            size.is_none().then_some("a size in bytes")
        } else if is(&columns.checksum) {
            let is_md5 = field.len() == 32 && field.bytes().all(|byte| byte.is_ascii_hexdigit());
            row.checksum = is_md5.then(|| field.to_ascii_lowercase());
            (!is_md5).then_some("an MD5 of 32 hexadecimal digits")
        } else {
            if is(&columns.description) {
                row.description = Some(field.to_owned());
            } else if is(&columns.tag) {
                row.tag = Some(field.to_owned());
            } else if is(&columns.run_type) {
                row.run_type = Some(whole(field).map_or(field.to_owned(), |n| n.to_string()));
            } else {
                let kind = columns.meaning(column).and_then(|meaning| meaning.kind);
                let value = Value::read(field, kind);
                row.attributes.insert(column.to_owned(), value);
            }
            None
        };
        if let Some(expected) = expected {
            self.unreadable.push(unreadable(column, field, expected));
        }
    }
}

fn unreadable(column: &str, value: &str, expected: &'static str) -> Unreadable {
    Unreadable {
        column: column.to_owned(),
        value: value.to_owned(),
        expected,
    }
}

fn is_empty(field: &str) -> bool {
    ["", "NULL", "null", "\\N", "None", "NaN", "nan", "NaT"].contains(&field)
}

/// A whole number, also where a program wrote it as `42.0`.
fn whole(field: &str) -> Option<i64> {
    let digits = field.split_once('.').map_or(field, |(whole, fraction)| {
        if fraction.bytes().all(|byte| byte == b'0') {
            whole
        } else {
            field
        }
    });
    digits.parse().ok()
}

fn local_time(field: &str) -> Option<DateTime> {
    // `0000-00-00 00:00:00` is how some servers write "none"; it is not a time.
    field.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_written_as_fractions_are_whole() {
        assert_eq!(whole("42.0"), Some(42));
        assert_eq!(whole("-1"), Some(-1));
        assert_eq!(whole("4.5"), None);
        assert_eq!(whole("9223372036854775808"), None);
        assert_eq!(whole(""), None);
    }
}
