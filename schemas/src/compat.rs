//! The rules by which a schema may change, so that old and new versions run side by
//! side in both directions (what Confluent calls `FULL_TRANSITIVE`, and a little more).
//!
//! Fields and symbols are added, never renamed, retyped or removed; what is added has a
//! default; every enum has a default symbol, which an old reader sees for a new word.
//! Aliases do not help: a renamed field is a removed one and a new one.

use std::fmt;

use apache_avro::Schema;
use apache_avro::schema::{EnumSchema, RecordField, RecordSchema};

/// One way in which a new schema breaks with an old one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// Where, such as `aquifer.RunStored.files[].size`.
    pub path: String,
    /// What was done.
    pub kind: BreakKind,
}

/// What a new schema did that it may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BreakKind {
    /// A field or symbol is gone (or has another name).
    Removed,
    /// A field that old writers do not send has no default.
    AddedWithoutDefault,
    /// A field had a default, which old messages may rely on, and has none or another.
    DefaultChanged,
    /// The type is another.
    Retyped {
        /// The type it had.
        old: String,
        /// The type it has.
        new: String,
    },
    /// An enum has no default symbol, or another than it had.
    EnumDefault,
    /// It is no schema at all, for this reason.
    NoSchema(String),
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ", self.path)?;
        match &self.kind {
            BreakKind::Removed => f.write_str("was removed or renamed"),
            BreakKind::AddedWithoutDefault => f.write_str("was added without a default"),
            BreakKind::DefaultChanged => f.write_str("lost its default or got another"),
            BreakKind::Retyped { old, new } => write!(f, "was {old} and is {new}"),
            BreakKind::NoSchema(reason) => write!(f, "is no schema: {reason}"),
            BreakKind::EnumDefault => f.write_str("has no default symbol, or another than it had"),
        }
    }
}

/// Tells every way in which the schema `new` breaks with `old`, both as JSON.
pub fn check(old: &str, new: &str) -> Result<(), Vec<Break>> {
    let (old, new) = (parse("the old schema", old)?, parse("the new schema", new)?);
    let mut found = Vec::new();
    let name = old.name().map(ToString::to_string).unwrap_or_default();
    compare(&name, &old, &new, &mut found);
    if found.is_empty() { Ok(()) } else { Err(found) }
}

fn parse(which: &str, json: &str) -> Result<Schema, Vec<Break>> {
    Schema::parse_str(json).map_err(|error| {
        vec![Break {
            path: which.to_owned(),
            kind: BreakKind::NoSchema(error.to_string()),
        }]
    })
}

fn compare(path: &str, old: &Schema, new: &Schema, found: &mut Vec<Break>) {
    match (old, new) {
        (Schema::Record(old), Schema::Record(new)) if old.name == new.name => {
            compare_records(path, old, new, found);
        }
        (Schema::Enum(old), Schema::Enum(new)) if old.name == new.name => {
            compare_enums(path, old, new, found);
        }
        (Schema::Array(old), Schema::Array(new)) => {
            compare(&format!("{path}[]"), &old.items, &new.items, found);
        }
        (Schema::Map(old), Schema::Map(new)) => {
            compare(&format!("{path}{{}}"), &old.types, &new.types, found);
        }
        (Schema::Union(old_union), Schema::Union(new_union)) => {
            let (olds, news) = (old_union.variants(), new_union.variants());
            if olds.len() == news.len() {
                for (old, new) in olds.iter().zip(news) {
                    compare(path, old, new, found);
                }
            } else {
                retyped(path, old, new, found);
            }
        }
        // What is left is compared whole, logical types included: a time is no count.
        (old, new) if old == new => {}
        (old, new) => retyped(path, old, new, found),
    }
}

fn retyped(path: &str, old: &Schema, new: &Schema, found: &mut Vec<Break>) {
    let text = |schema: &Schema| serde_json::to_string(schema).unwrap_or_default();
    found.push(Break {
        path: path.to_owned(),
        kind: BreakKind::Retyped {
            old: text(old),
            new: text(new),
        },
    });
}

fn compare_records(path: &str, old: &RecordSchema, new: &RecordSchema, found: &mut Vec<Break>) {
    let mut note = |field: &RecordField, kind| {
        found.push(Break {
            path: format!("{path}.{}", field.name),
            kind,
        });
    };
    let added = new.fields.iter().filter(|field| find(old, field).is_none());
    for field in added.filter(|field| field.default.is_none()) {
        note(field, BreakKind::AddedWithoutDefault);
    }
    for field in &old.fields {
        match find(new, field) {
            None => note(field, BreakKind::Removed),
            Some(same) if field.default.is_some() && same.default != field.default => {
                note(field, BreakKind::DefaultChanged);
            }
            Some(_) => {}
        }
    }
    for field in &old.fields {
        if let Some(same) = find(new, field) {
            let path = format!("{path}.{}", field.name);
            compare(&path, &field.schema, &same.schema, found);
        }
    }
}

fn find<'s>(record: &'s RecordSchema, field: &RecordField) -> Option<&'s RecordField> {
    record.fields.iter().find(|other| other.name == field.name)
}

fn compare_enums(path: &str, old: &EnumSchema, new: &EnumSchema, found: &mut Vec<Break>) {
    for symbol in old.symbols.iter().filter(|one| !new.symbols.contains(one)) {
        found.push(Break {
            path: format!("{path}.{symbol}"),
            kind: BreakKind::Removed,
        });
    }
    if new.default.is_none() || (old.default.is_some() && new.default != old.default) {
        found.push(Break {
            path: path.to_owned(),
            kind: BreakKind::EnumDefault,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FileStored, Message, RunClosed};

    fn breaks(old: &str, new: &str) -> Vec<String> {
        let found = check(old, new).err().unwrap_or_default();
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_allowed() {
        let old = FileStored::schema().json;
        assert_eq!(breaks(old, old), [""; 0]);
        let word = old.replace("\"zstd\"", "\"zstd\", \"xz\"");
        assert_eq!(breaks(old, &word), [""; 0]);
        let field = r#""fields": [{"name": "more", "type": "long", "default": 0},"#;
        let more = old.replacen("\"fields\": [", field, 1);
        assert_eq!(breaks(old, &more), [""; 0]);
        let doc = old.replace("\"doc\": \"", "\"doc\": \"Also: ");
        assert_eq!(breaks(old, &doc), [""; 0]);
    }

    #[test]
    fn what_is_not() {
        assert!(check("{", "{").is_err());
        let old = RunClosed::schema().json;
        for (from, to, what) in [
            (
                "\"ended_at\"",
                "\"end\"",
                "`aquifer.RunClosed.end` was added without a default",
            ),
            (
                "\"ended_at\"",
                "\"end\"",
                "`aquifer.RunClosed.ended_at` was removed or renamed",
            ),
            (
                "\"long\", \"logicalType\": \"timestamp-micros\"",
                "\"long\"",
                "`aquifer.RunClosed.ended_at` was",
            ),
            (
                "[\"null\", \"long\"]",
                "[\"null\", \"long\", \"string\"]",
                "`aquifer.RunClosed.files[].size` was",
            ),
            (
                "\"inferred\", ",
                "",
                "`aquifer.RunClosed.closed_by.inferred` was removed",
            ),
            (
                "],\n        \"default\": \"unknown\"",
                "]",
                "`aquifer.RunClosed.closed_by` has no default",
            ),
            (
                "\"default\": {}",
                "\"default\": {\"a\": \"b\"}",
                "`aquifer.RunClosed.attributes` lost its default",
            ),
            (
                "\"values\": \"string\"",
                "\"values\": \"bytes\"",
                "`aquifer.RunClosed.attributes{}` was",
            ),
        ] {
            let new = old.replace(from, to);
            assert_ne!(new, old, "{from}");
            let found = breaks(old, &new);
            assert!(
                found.iter().any(|one| one.starts_with(what)),
                "{what}: {found:?}"
            );
        }
    }
}
