//! What is found at a path of a dump, whatever its format was.

use crate::tid::Tid;

use super::tree::{Entry, Key, Value, hexadecimal};

/// A value or a directory of a dump.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OdbNode<'a> {
    entry: &'a Entry,
    /// One value of an array.
    index: Option<usize>,
}

impl<'a> OdbNode<'a> {
    pub(super) fn new(entry: &'a Entry) -> Self {
        Self { entry, index: None }
    }

    /// The key's type, where the dump tells it.
    pub fn tid(&self) -> Option<Tid> {
        self.key()?.tid
    }

    /// Where a link leads to. The JSON dump holds the value found there as well.
    pub fn link(&self) -> Option<&'a str> {
        self.key()?.link.as_deref()
    }

    /// An integer, also from its hexadecimal string.
    pub fn as_i64(&self) -> Option<i64> {
        match self.value()? {
            Value::Signed(number) => Some(*number),
            Value::Unsigned(number) => i64::try_from(*number).ok(),
            Value::Text(text) => i64::try_from(self.untyped_hexadecimal(text)?).ok(),
            Value::Null | Value::Bool(_) | Value::Float(_) => None,
        }
    }

    /// An integer that is not negative, also from its hexadecimal string.
    pub fn as_u64(&self) -> Option<u64> {
        match self.value()? {
            Value::Signed(number) => u64::try_from(*number).ok(),
            Value::Unsigned(number) => Some(*number),
            Value::Text(text) => self.untyped_hexadecimal(text),
            Value::Null | Value::Bool(_) | Value::Float(_) => None,
        }
    }

    /// A number, also from a hexadecimal string, "NaN", "Infinity" or "-Infinity".
    pub fn as_f64(&self) -> Option<f64> {
        match self.value()? {
            Value::Signed(number) => Some(*number as f64),
            Value::Unsigned(number) => Some(*number as f64),
            Value::Float(number) => Some(*number),
            Value::Text(text) if self.tells_no_type() => match text.as_str() {
                "NaN" => Some(f64::NAN),
                "Infinity" => Some(f64::INFINITY),
                "-Infinity" => Some(f64::NEG_INFINITY),
                _ => hexadecimal(text).map(|number| number as f64),
            },
            Value::Null | Value::Bool(_) | Value::Text(_) => None,
        }
    }

    /// A truth value.
    pub fn as_bool(&self) -> Option<bool> {
        match self.value()? {
            Value::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// A string. Numbers that a dump writes as strings are numbers and not this, where
    /// their type is told.
    pub fn as_str(&self) -> Option<&'a str> {
        match self.value()? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Any single value as text for people and for attributes: numbers in decimal.
    pub fn to_text(&self) -> Option<String> {
        Some(match self.value()? {
            Value::Null => return None,
            Value::Bool(truth) => truth.to_string(),
            Value::Signed(number) => number.to_string(),
            Value::Unsigned(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Text(text) => text.clone(),
        })
    }

    /// One value of an array, from 0. A key with a single value counts as an array of one.
    pub fn item(&self, index: usize) -> Option<Self> {
        let count = self.count()?;
        let item = Self {
            index: Some(self.index.unwrap_or(index)),
            ..*self
        };
        (index < count).then_some(item)
    }

    /// Number of values; `None` for a directory.
    pub fn count(&self) -> Option<usize> {
        let key = self.key()?;
        Some(self.index.map_or(key.values.len(), |_| 1))
    }

    /// The names in a directory, or `None` where this is no directory.
    pub fn names(&self) -> Option<impl Iterator<Item = &'a str> + use<'a>> {
        match self.entry {
            Entry::Directory(directory) => Some(directory.names()),
            Entry::Key(_) => None,
        }
    }

    fn key(&self) -> Option<&'a Key> {
        match self.entry {
            Entry::Key(key) => Some(key),
            Entry::Directory(_) => None,
        }
    }

    /// The one value that this is; `None` for directories and whole arrays.
    fn value(&self) -> Option<&'a Value> {
        let values = &self.key()?.values;
        match (self.index, values.as_slice()) {
            (Some(index), values) => values.get(index),
            (None, [value]) => Some(value),
            (None, _) => None,
        }
    }

    fn untyped_hexadecimal(&self, text: &str) -> Option<u64> {
        self.tells_no_type().then(|| hexadecimal(text)).flatten()
    }

    /// A link's own type says nothing of what it leads to.
    fn tells_no_type(&self) -> bool {
        self.tid().is_none_or(|tid| tid == Tid::LINK)
    }
}
