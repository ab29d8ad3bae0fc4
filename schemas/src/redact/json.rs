//! Secrets in JSON: ODB dumps, settings, attributes that are documents.

use serde_json::{Map, Value};

use super::{Found, MASK, SecretKind, name, redact_text};

/// A document as it may be said; every secret in it is reported with its path below
/// `place`. Nothing, empty texts and truth values are no secrets.
pub fn redact_json(place: &str, document: &Value, found: &mut Vec<Found>) -> Value {
    walk(place, document, false, found)
}

/// A text that is a JSON object or list, as it may be said.
pub(super) fn redact_document(text: &str) -> Option<(String, Option<SecretKind>)> {
    if !text.trim_start().starts_with(['{', '[']) {
        return None;
    }
    let document: Value = serde_json::from_str(text).ok()?;
    let mut found = Vec::new();
    let said = redact_json("", &document, &mut found);
    match found.first() {
        // Not rewritten for nothing.
        None => Some((text.to_owned(), None)),
        Some(first) => Some((said.to_string(), Some(first.kind))),
    }
}

/// `hidden` is what stands below a secret's name.
fn walk(place: &str, value: &Value, hidden: bool, found: &mut Vec<Found>) -> Value {
    match value {
        Value::Object(members) => object(place, members, hidden, found),
        Value::Array(items) => {
            let items = items.iter().enumerate();
            let said = items.map(|(n, item)| walk(&format!("{place}[{n}]"), item, hidden, found));
            Value::Array(said.collect())
        }
        Value::Null | Value::Bool(_) => value.clone(),
        Value::Number(number) => {
            if hidden || name::hides(place, &number.to_string()) {
                report(place, SecretKind::Named, found);
                return Value::String(MASK.to_owned());
            }
            value.clone()
        }
        Value::String(text) if text.is_empty() || text == MASK => value.clone(),
        Value::String(text) => {
            let (said, kind) = if hidden || name::hides(place, text) {
                (MASK.to_owned(), Some(SecretKind::Named))
            } else {
                redact_document(text).unwrap_or_else(|| redact_text(text))
            };
            if let Some(kind) = kind {
                report(place, kind, found);
            }
            Value::String(said)
        }
    }
}

fn object(
    place: &str,
    members: &Map<String, Value>,
    hidden: bool,
    found: &mut Vec<Found>,
) -> Value {
    // `{"name": "DB_PASSWORD", "value": "x"}`: the value's name is beside it.
    let named = ["name", "key", "Name", "Key"]
        .iter()
        .filter_map(|key| members.get(*key)?.as_str())
        .any(name::is_secret_name);
    let said = members.iter().map(|(key, value)| {
        // A key is a name, but a text too.
        let (key, _) = redact_text(key);
        let is_value = key.eq_ignore_ascii_case("value");
        let below = format!("{place}/{key}");
        let said = walk(&below, value, hidden || (named && is_value), found);
        (key, said)
    });
    Value::Object(said.collect())
}

fn report(place: &str, kind: SecretKind, found: &mut Vec<Found>) {
    let place = if place.is_empty() { "/" } else { place };
    found.push(Found {
        place: place.to_owned(),
        kind,
    });
}
