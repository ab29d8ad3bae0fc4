//! Secrets that a DAQ leaves in what it writes and says: found, kept out of everything
//! that is told, and told about. The rule is that of [`aquifer_schemas::redact`].
//!
//! A run's files are stored as they are. The settings at their begin (the ODB) are looked
//! through, and what is found makes the run private: attribute `private`, and
//! `private.<source>` with the places.

use std::collections::BTreeMap;
use std::path::Path;

use aquifer_midas::{EventKind, OdbDump, OdbFormat, Reader};
use aquifer_schemas::RunNumber;
use aquifer_schemas::redact::{
    Found, SecretKind, is_secret_name, redact_json, redact_text, redact_value,
};
use serde_json::Value;

use crate::journal::Active;

/// Attribute of a run in whose data secrets lie.
const PRIVATE: &str = "private";

/// The largest begin-of-run event that is looked through, in bytes: real ones have 0.3 MB.
const LARGEST_ODB: u32 = 32 << 20;

/// Most places that are reported of one source.
const MOST_PLACES: usize = 100;

/// Most places that one signal or attribute names.
const MOST_NAMED: usize = 20;

/// Attributes without their secrets, and where those stood.
pub(crate) fn without(
    attributes: BTreeMap<String, String>,
) -> (BTreeMap<String, String>, Vec<Found>) {
    let mut found = Vec::new();
    let said = attributes.into_iter().map(|(name, value)| {
        let (said, kind) = redact_value(&name, &value);
        let (name, in_name) = redact_text(&name);
        if let Some(kind) = kind.or(in_name) {
            let place = name.clone();
            found.push(Found { place, kind });
        }
        (name, said)
    });
    let said = said.collect();
    found.truncate(MOST_PLACES);
    (said, found)
}

/// What is said of a run: its attributes without secrets, and that it is private if there
/// are any in its data.
pub(crate) fn attributes(
    announced: &BTreeMap<String, String>,
    active: &Active,
) -> BTreeMap<String, String> {
    let (mut said, _) = without(announced.clone());
    if !active.secrets.is_empty() {
        said.insert(PRIVATE.to_owned(), true.to_string());
    }
    for (source, found) in &active.secrets {
        said.insert(format!("{PRIVATE}.{source}"), places(found));
    }
    said
}

/// The places, for people.
pub(crate) fn places(found: &[Found]) -> String {
    let named = found.iter().take(MOST_NAMED).map(ToString::to_string);
    let named = named.collect::<Vec<_>>().join(", ");
    match found.len().saturating_sub(MOST_NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// Where secrets lie in the settings at the begin of a file, if it begins with those of
/// `run`. A file that is damaged or is not MIDAS says nothing. Blocking.
pub(crate) fn in_file(path: &Path, run: RunNumber) -> Vec<Found> {
    let Ok(decoded) = aquifer_midas::open(path) else {
        return Vec::new();
    };
    let mut reader = Reader::new(decoded).with_event_limit(LARGEST_ODB);
    let Ok(Some(event)) = reader.read_event() else {
        return Vec::new();
    };
    let begins = event.kind() == EventKind::BeginOfRun
        && event.run_number().map(RunNumber::from) == Some(run);
    let dump = event.odb().filter(|_| begins);
    let mut found = dump.map(|dump| in_odb(&dump)).unwrap_or_default();
    found.truncate(MOST_PLACES);
    found
}

fn in_odb(dump: &OdbDump<'_>) -> Vec<Found> {
    let text = String::from_utf8_lossy(dump.bytes);
    let mut found = Vec::new();
    match (dump.format, serde_json::from_str(&text)) {
        (OdbFormat::Json, Ok(mut odb)) => {
            drop_types(&mut odb);
            redact_json("", &odb, &mut found);
        }
        (OdbFormat::Xml, _) => in_xml(&text, &mut found),
        _ => in_text(&text, &mut found),
    }
    found
}

/// Drops the siblings `X/key` that tell the type of `X`: their numbers are nobody's secret.
fn drop_types(odb: &mut Value) {
    match odb {
        Value::Object(members) => {
            members.retain(|name, _| !name.contains('/'));
            members.values_mut().for_each(drop_types);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_types),
        _ => {}
    }
}

/// MIDAS's XML: `<key name="Password" type="STRING" size="32">value</key>`, one a line,
/// arrays as `<value index="0">value</value>` below `<keyarray name="…">`.
fn in_xml(text: &str, found: &mut Vec<Found>) {
    let mut folders: Vec<&str> = Vec::new();
    for line in text.lines().map(str::trim) {
        let name = between(line, "name=\"", "\"");
        let opens = line.starts_with("<dir") || line.starts_with("<keyarray");
        if opens && !line.ends_with("/>") {
            folders.push(name.unwrap_or_default());
        } else if line.starts_with("</dir") || line.starts_with("</keyarray") {
            folders.pop();
        } else if let Some(value) = between(line, ">", "<") {
            let name = name.unwrap_or("value");
            judge(&format!("/{}/{name}", folders.join("/")), value, found);
        }
    }
}

/// MIDAS's old text: `[/folder]`, then `name = TYPE : value` and `name = STRING : [size]
/// value`, arrays as `[index] value` below `name = TYPE[count] :`.
fn in_text(text: &str, found: &mut Vec<Found>) {
    let (mut folder, mut array) = ("", None);
    for line in text.lines().map(str::trim) {
        if let Some(path) = line
            .strip_prefix("[/")
            .and_then(|rest| rest.strip_suffix(']'))
        {
            (folder, array) = (path, None);
            continue;
        }
        let item = array.filter(|_| line.starts_with('['));
        let (name, value) = match (line.split_once(" = "), item) {
            (_, Some(name)) => (name, line),
            (Some((name, typed)), None) => {
                let value = typed.split_once(':').map_or(typed, |(_, value)| value);
                array = typed.contains("] :").then_some(name);
                (name, value)
            }
            (None, None) => continue,
        };
        let value = value.trim();
        // The size of a string, or the index of an item.
        let sized = value
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(']'));
        let value = sized.map_or(value, |(_, value)| value);
        judge(&format!("/{folder}/{name}"), value.trim(), found);
    }
}

fn judge(place: &str, value: &str, found: &mut Vec<Found>) {
    let bool = matches!(value, "y" | "n");
    let kind = if is_secret_name(place) && bool {
        None
    } else {
        redact_value(place, value).1
    };
    if let Some(kind) = kind {
        let (place, _): (String, Option<SecretKind>) = redact_text(place);
        found.push(Found { place, kind });
    }
}

fn between<'a>(line: &'a str, open: &str, close: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(open)?;
    rest.split_once(close).map(|(inner, _)| inner)
}

#[cfg(test)]
#[path = "secrets_tests.rs"]
mod tests;
