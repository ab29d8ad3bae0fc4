//! What run files say of their run, as far as the experiment's profile asks: values of the
//! ODB at begin and end, and of the run's metadata file.
//!
//! A file that is damaged, or is not what the profile takes it for, says nothing; that is
//! no reason not to store it. That a metadata file cannot be read is told. Secrets are left out, by the rule of
//! [`aquifer_schemas::redact`].

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::Path;

use aquifer_midas::{EventKind, Odb, OdbDump, OdbNode, Reader};
use aquifer_profile::{Questions, Value};
use aquifer_schemas::redact::redact_value;
use aquifer_schemas::{FileName, RunNumber};
use serde::{Deserialize, Serialize};

use crate::end_of_run::end_of_run;
use crate::examine::open_regular;

/// The largest ODB dump that is looked through, in bytes: real ones have 0.3 MB.
const LARGEST_ODB: u32 = 32 << 20;

/// The largest metadata file that is looked through, in bytes.
const LARGEST_METADATA: u64 = 4 << 20;

/// Most characters that are kept of a text.
const LONGEST_TEXT: usize = 16_000;

/// What one file says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Said {
    /// Values of the ODB at its begin, by path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub begin: BTreeMap<String, Value>,
    /// Values of the ODB at its end, by path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub end: BTreeMap<String, Value>,
    /// Values of the metadata file, by JSON pointer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, Value>,
    /// Why nothing of the metadata file can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
    /// Whether it was closed when it was looked into.
    pub closed: bool,
}

impl Said {
    /// What the closed file `name` of `run` says, which lies at `path`. Blocking.
    ///
    /// # Errors
    /// If it cannot be opened, or a metadata file not be read.
    pub fn of_closed(
        questions: &Questions,
        run: RunNumber,
        name: &FileName,
        path: &Path,
    ) -> io::Result<Self> {
        let (_, _) = open_regular(path)?;
        let mut said = Self {
            closed: true,
            ..Self::default()
        };
        match &questions.metadata {
            Some((template, pointers)) if template.matches(name.as_str()).is_some() => {
                match metadata(path, pointers)? {
                    Ok(values) => said.metadata = values,
                    Err(why) => said.unreadable = Some(why),
                }
            }
            _ => {
                said.begin = at_begin(path, run, &questions.odb_begin);
                said.end = at_end(path, run, &questions.odb_end);
            }
        }
        Ok(said)
    }

    /// What a file says that is still written. Blocking.
    pub(crate) fn of_open(questions: &Questions, run: RunNumber, path: &Path) -> Self {
        Self {
            begin: at_begin(path, run, &questions.odb_begin),
            ..Self::default()
        }
    }
}

fn at_begin(path: &Path, run: RunNumber, paths: &[String]) -> BTreeMap<String, Value> {
    if paths.is_empty() {
        return BTreeMap::new();
    }
    let found = || {
        let (file, _) = open_regular(path).ok()?;
        let decoded = aquifer_midas::decode(file).ok()?;
        let mut reader = Reader::new(decoded).with_event_limit(LARGEST_ODB);
        let event = reader.read_event().ok()??;
        let begins = event.kind() == EventKind::BeginOfRun
            && event.run_number().map(RunNumber::from) == Some(run);
        let odb = event.odb().filter(|_| begins)?.parse().ok()?;
        Some(values(&odb, paths))
    };
    found().unwrap_or_default()
}

/// Of a plain file by a look at its tail; a compressed one is decoded from its begin.
fn at_end(path: &Path, run: RunNumber, paths: &[String]) -> BTreeMap<String, Value> {
    if paths.is_empty() {
        return BTreeMap::new();
    }
    let found = || {
        let (file, _) = open_regular(path).ok()?;
        let decoded = aquifer_midas::decode(file).ok()?;
        let dump = if decoded.compressed_offset().is_none() {
            end_of_run(path, run).ok()?
        } else {
            last_dump(Reader::new(decoded), run)
        };
        let odb = OdbDump::detect(&dump?)?.parse().ok()?;
        Some(values(&odb, paths))
    };
    found().unwrap_or_default()
}

fn last_dump(mut reader: Reader<impl io::Read>, run: RunNumber) -> Option<Vec<u8>> {
    let mut dump = None;
    loop {
        match reader.read_event() {
            Ok(Some(event)) => {
                let ends = event.kind() == EventKind::EndOfRun
                    && event.run_number().map(RunNumber::from) == Some(run);
                dump = ends.then(|| event.payload.to_vec());
            }
            Ok(None) => return dump,
            Err(error) if error.damage().is_some() => dump = None,
            Err(_) => return None,
        }
    }
}

fn values(odb: &Odb, paths: &[String]) -> BTreeMap<String, Value> {
    let found = paths.iter().filter_map(|path| {
        let value = value_of(odb.get(path)?)?;
        Some((path.clone(), clean(path, value)))
    });
    found.collect()
}

fn value_of(node: OdbNode<'_>) -> Option<Value> {
    let flag = node.as_bool().map(Value::Bool);
    let number = || node.as_f64().map(Value::number);
    flag.or_else(number)
        .or_else(|| node.to_text().map(Value::Text))
}

/// The values at `pointers`, as far as they are there; in words what is wrong with the
/// document. The outer error may pass.
fn metadata(
    path: &Path,
    pointers: &[String],
) -> io::Result<Result<BTreeMap<String, Value>, String>> {
    let (file, identity) = open_regular(path)?;
    if identity.size > LARGEST_METADATA {
        let size = identity.size;
        return Ok(Err(format!(
            "{size} bytes are more than {LARGEST_METADATA}"
        )));
    }
    let mut text = Vec::new();
    file.take(LARGEST_METADATA).read_to_end(&mut text)?;
    let document: serde_json::Value = match serde_json::from_slice(&text) {
        Ok(document) => document,
        Err(error) => return Ok(Err(format!("not JSON: {error}"))),
    };
    let found = pointers.iter().filter_map(|pointer| {
        let value = match document.pointer(pointer)? {
            serde_json::Value::Null => return None,
            serde_json::Value::Bool(flag) => Value::Bool(*flag),
            serde_json::Value::Number(number) => Value::number(number.as_f64()?),
            serde_json::Value::String(text) => Value::Text(text.clone()),
            other => Value::Text(other.to_string()),
        };
        Some((pointer.clone(), clean(pointer, value)))
    });
    Ok(Ok(found.collect()))
}

/// Without secrets, and not longer than is kept.
fn clean(place: &str, value: Value) -> Value {
    match value {
        Value::Text(text) => {
            let short: String = text.chars().take(LONGEST_TEXT).collect();
            Value::Text(redact_value(place, &short).0)
        }
        other => match redact_value(place, &other.to_string()) {
            (masked, Some(_)) => Value::Text(masked),
            (_, None) => other,
        },
    }
}

#[cfg(test)]
#[path = "said_tests.rs"]
mod tests;
