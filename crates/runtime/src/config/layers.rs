//! Merges the layers of a configuration and remembers where each key was set.
//!
//! Sections merge key by key, everything else is replaced whole. The merged table is
//! read once; an error finds its way back to the line, variable or flag by its key.

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::ENVIRONMENT_PREFIX;
use super::error::{ConfigError, Origin};

/// Edits between an unknown key and the known one that its author may have meant.
const NEAR: usize = 3;

/// Where the keys of a configuration were set.
#[derive(Debug, Clone, Default)]
pub struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// Where the dotted `key` was set, or the nearest section around it.
    pub fn of(&self, key: &str) -> Origin {
        let mut key = key;
        loop {
            if let Some(origin) = self.0.get(key) {
                return origin.clone();
            }
            match key.rfind(['.', '[']) {
                Some(end) => key = &key[..end],
                None => return Origin::Default,
            }
        }
    }
}

#[derive(Default)]
pub(super) struct Layers {
    merged: Table,
    origins: Origins,
    /// The texts of values that were read as TOML but may have been meant as text.
    texts: BTreeMap<String, String>,
}

impl Layers {
    pub(super) fn add_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        let table = self.read_text(path, &text)?;
        merge(&mut self.merged, table);
        Ok(())
    }

    /// Adds a part of the lowest layer, which sets no key that another part has set.
    pub(super) fn add_part(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let before = self.origins.clone();
        let table = self.read_text(path, text)?;
        if let Some(key) = common_key("", &self.merged, &table) {
            return Err(ConfigError::Twice {
                first: before.of(&key),
                second: self.origins.of(&key),
                key,
            });
        }
        merge(&mut self.merged, table);
        Ok(())
    }

    fn read_text(&mut self, path: &Path, text: &str) -> Result<Table, ConfigError> {
        let syntax = |error: &toml::de::Error| {
            let (line, column) = position(text, error.span().map_or(0, |span| span.start));
            // Not `Display`, which quotes the line: it may hold a secret.
            let message = error.message().to_owned();
            ConfigError::Syntax {
                path: path.to_owned(),
                line,
                column,
                message,
            }
        };
        let spans = DeTable::parse(text).map_err(|e| syntax(&e))?;
        let table: Table = toml::from_str(text).map_err(|e| syntax(&e))?;
        self.note_lines(path, text, "", spans.get_ref());
        Ok(table)
    }

    fn note_lines(&mut self, path: &Path, text: &str, section: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let dotted = join(section, key.get_ref());
            let origin = Origin::File {
                path: path.to_owned(),
                line: position(text, key.span().start).0,
            };
            self.origins.0.insert(dotted.clone(), origin);
            self.note_lines_inside(path, text, &dotted, value.get_ref());
        }
    }

    fn note_lines_inside(&mut self, path: &Path, text: &str, key: &str, value: &DeValue<'_>) {
        match value {
            DeValue::Table(table) => self.note_lines(path, text, key, table),
            DeValue::Array(array) => {
                for (i, element) in array.iter().enumerate() {
                    let element_key = format!("{key}[{i}]");
                    self.note_lines_inside(path, text, &element_key, element.get_ref());
                }
            }
            _ => {}
        }
    }

    pub(super) fn add_variable(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        let key = name
            .strip_prefix(ENVIRONMENT_PREFIX)
            .ok_or(ConfigError::Setting {
                setting: name.to_owned(),
                reason: "it does not begin with AQUIFER__",
            })?;
        let key = key
            .to_ascii_lowercase()
            .replace("__", ".")
            .replace('_', "-");
        self.set(&key, value, Origin::Environment(name.to_owned()))
    }

    pub(super) fn add_override(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        self.set(key, value, Origin::Override(key.to_owned()))
    }

    fn set(&mut self, key: &str, text: &str, origin: Origin) -> Result<(), ConfigError> {
        let segments: Vec<&str> = key.split('.').collect();
        let (Some((last, sections)), false) =
            (segments.split_last(), segments.iter().any(|s| s.is_empty()))
        else {
            return Err(ConfigError::Setting {
                setting: match origin {
                    Origin::Environment(name) => name,
                    other => other.to_string(),
                },
                reason: "a part of its key is empty",
            });
        };
        let value = parse(text);
        let inside = |name: &str| *name == *key || key_is_inside(name, key);
        self.texts.retain(|name, _| !inside(name));
        if !value.is_str() {
            self.texts.insert(key.to_owned(), text.to_owned());
        }
        let mut table = &mut self.merged;
        let mut parent = String::new();
        for section in sections {
            parent = join(&parent, section);
            let entry = table
                .entry((*section).to_owned())
                .or_insert_with(|| Value::Table(Table::new()));
            match entry {
                Value::Table(inner) => table = inner,
                _ => {
                    return Err(ConfigError::NotASection {
                        key: key.to_owned(),
                        origin,
                        parent,
                    });
                }
            }
        }
        let mut layer = Table::new();
        layer.insert((*last).to_owned(), value);
        merge(table, layer);
        self.origins.0.insert(key.to_owned(), origin);
        Ok(())
    }

    pub(super) fn read<T: DeserializeOwned>(mut self) -> Result<(T, Origins), ConfigError> {
        let mut refused: BTreeMap<String, ConfigError> = BTreeMap::new();
        // Ends: each turn but the last takes a text away.
        loop {
            let value = Value::Table(self.merged.clone());
            let error = match serde_path_to_error::deserialize(value) {
                Ok(config) => return Ok((config, self.origins)),
                Err(error) => error,
            };
            let key = dotted(error.path());
            let described = self.describe(&key, error.inner().message());
            // The first refusal speaks of the value as its author meant it.
            // A list is set as a whole.
            let set = key.split('[').next().unwrap_or_default();
            let described = refused.remove(set).unwrap_or(described);
            match self.texts.remove(set) {
                Some(text) if replace(&mut self.merged, set, &text) => {
                    refused.insert(set.to_owned(), described);
                }
                _ => return Err(described),
            }
        }
    }

    /// `message` is serde's; unknown keys are told from it, because serde has no other
    /// way to say so.
    fn describe(&self, key: &str, message: &str) -> ConfigError {
        let mut quoted = message.split('`').skip(1).step_by(2);
        let (key, message, hint) = if message.starts_with("unknown field `") {
            let unknown = quoted.next().unwrap_or_default();
            let section = key
                .strip_suffix(unknown)
                .map_or(key, |s| s.trim_end_matches('.'));
            let hint = suggest(unknown, &quoted.collect::<Vec<_>>());
            (join(section, unknown), "unknown key".to_owned(), hint)
        } else if message.starts_with("unknown variant `") {
            let unknown = quoted.next().unwrap_or_default();
            let hint = suggest(unknown, &quoted.collect::<Vec<_>>());
            (key.to_owned(), format!("unknown word `{unknown}`"), hint)
        } else {
            (key.to_owned(), message.trim_end().to_owned(), None)
        };
        ConfigError::Value {
            origin: self.origins.of(&key),
            key,
            message,
            hint,
        }
    }
}

/// A value of the environment or of `--set`: TOML if it is, else text.
fn parse(text: &str) -> Value {
    let as_toml = toml::from_str::<Table>(&format!("value = {text}"));
    match as_toml.map(|mut table| (table.remove("value"), table.is_empty())) {
        Ok((Some(value), true)) => value,
        _ => Value::String(text.to_owned()),
    }
}

fn suggest(unknown: &str, known: &[&str]) -> Option<String> {
    let near = known
        .iter()
        .map(|word| (strsim::damerau_levenshtein(unknown, word), word))
        .min()
        .filter(|(distance, word)| *distance <= NEAR.min(word.len().saturating_sub(1)));
    match near {
        Some((_, word)) => Some(format!("did you mean `{word}`?")),
        None if known.is_empty() => None,
        None => Some(format!("known here: {}", known.join(", "))),
    }
}

fn merge(into: &mut Table, layer: Table) {
    for (key, value) in layer {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// A key that both tables set, if there is one.
fn common_key(section: &str, one: &Table, other: &Table) -> Option<String> {
    other.iter().find_map(|(name, value)| {
        let key = join(section, name);
        match (one.get(name)?, value) {
            (Value::Table(one), Value::Table(other)) => common_key(&key, one, other),
            _ => Some(key),
        }
    })
}

/// Puts a text in the place of the value of `key`; false if there is no such value.
fn replace(table: &mut Table, key: &str, text: &str) -> bool {
    let (first, rest) = match key.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (key, None),
    };
    match (table.get_mut(first), rest) {
        (Some(Value::Table(inner)), Some(rest)) => replace(inner, rest, text),
        (Some(value), None) => {
            *value = Value::String(text.to_owned());
            true
        }
        _ => false,
    }
}

/// The key of a path: `section.list[0].key`.
fn dotted(path: &serde_path_to_error::Path) -> String {
    path.iter()
        .fold(String::new(), |key, segment| match segment {
            Segment::Map { key: name } => join(&key, name),
            Segment::Seq { index } => format!("{key}[{index}]"),
            Segment::Enum { .. } | Segment::Unknown => key,
        })
}

fn join(section: &str, key: &str) -> String {
    if section.is_empty() {
        key.to_owned()
    } else {
        format!("{section}.{key}")
    }
}

fn key_is_inside(name: &str, section: &str) -> bool {
    name.strip_prefix(section)
        .is_some_and(|rest| rest.starts_with('.'))
}

/// Line and column, from 1, of a byte offset.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
    (line, column)
}
