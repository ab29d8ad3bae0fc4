//! What every format of a dump is read into.

use std::collections::HashMap;

use crate::tid::Tid;

use super::{Damages, OdbDamageKind};

/// Directories that may lie in each other: a path has at most 255 characters
/// (`MAX_ODB_PATH` of `midas.h`).
pub(super) const DEPTH: usize = 128;

/// One value of a key.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
}

impl Value {
    /// Reads a value of type `tid` from its text. What is not of its type stays text.
    pub(super) fn from_text(tid: Tid, text: &str, offset: usize, damages: &mut Damages) -> Self {
        let word = text.trim();
        let value = match tid {
            Tid::U8 | Tid::U16 | Tid::U32 | Tid::U64 | Tid::BITFIELD => hexadecimal(word)
                .or_else(|| word.parse().ok())
                .map(Self::Unsigned),
            Tid::I8 | Tid::I16 | Tid::I32 | Tid::I64 => word.parse().ok().map(Self::Signed),
            Tid::BOOL => match word {
                "y" | "yes" | "true" | "1" => Some(Self::Bool(true)),
                "n" | "no" | "false" | "0" => Some(Self::Bool(false)),
                _ => None,
            },
            Tid::F32 | Tid::F64 => float(word).or_else(|| {
                let repaired = float(&word.replacen(',', ".", 1))?;
                damages.note(offset, OdbDamageKind::DecimalComma);
                Some(repaired)
            }),
            _ => return Self::Text(text.to_owned()),
        };
        value.unwrap_or_else(|| {
            damages.note(offset, OdbDamageKind::NotOfType(text.to_owned()));
            Self::Text(text.to_owned())
        })
    }
}

/// A number in the words of C, JSON or MIDAS.
fn float(word: &str) -> Option<Value> {
    word.parse().ok().map(Value::Float)
}

/// A number such as `0x6225c855`.
pub(super) fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

/// A key with its values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Key {
    pub(super) tid: Option<Tid>,
    /// Where the key is a link, its target.
    pub(super) link: Option<String>,
    pub(super) values: Vec<Value>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Entry {
    Directory(Directory),
    Key(Key),
}

/// A directory; names are in the dump's order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Directory {
    entries: Vec<(String, Entry)>,
    /// Where each name is, in lower case: to MIDAS, upper and lower case are the same.
    places: HashMap<String, usize>,
}

impl Directory {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds an entry. Where the name is used already, only the first is found by it.
    pub(super) fn push(&mut self, name: String, entry: Entry) {
        let place = self.entries.len();
        self.places
            .entry(name.to_ascii_lowercase())
            .or_insert(place);
        self.entries.push((name, entry));
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_str())
    }

    pub(super) fn find(&self, name: &str) -> Option<&Entry> {
        let place = self.places.get(&name.to_ascii_lowercase())?;
        Some(&self.entries[*place].1)
    }

    /// The directory at `path`, made where it is not there. `None` where a key is in the
    /// way, or more directories lie in each other than an ODB can hold.
    pub(super) fn make(&mut self, path: &str) -> Option<&mut Self> {
        let names = || {
            path.split('/')
                .filter(|name| !name.is_empty() && *name != ".")
        };
        if names().count() > DEPTH {
            return None;
        }
        names().try_fold(self, |directory, name| {
            let known = directory.places.get(&name.to_ascii_lowercase()).copied();
            let place = known.unwrap_or_else(|| {
                directory.push(name.to_owned(), Entry::Directory(Self::default()));
                directory.entries.len() - 1
            });
            match &mut directory.entries[place].1 {
                Entry::Directory(directory) => Some(directory),
                Entry::Key(_) => None,
            }
        })
    }
}
