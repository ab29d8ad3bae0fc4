//! The reference page of a configuration, generated from its types.
//!
//! Keys, types and descriptions come from the doc comments through the JSON schema, the
//! defaults from `T::default()`, so that page and code cannot disagree.

use std::fmt::Write as _;

use schemars::{JsonSchema, schema_for};
use serde::Serialize;
use serde_json::{Map, Value as Json};
use toml::Table;

use super::ENVIRONMENT_PREFIX;
use super::error::ConfigError;

/// Markdown: one table per section with key, type, default, environment variable and
/// description. Sections inside maps and lists are shown as `<name>` and `[]`; the
/// environment cannot reach them.
pub fn reference<T: JsonSchema + Default + Serialize>() -> Result<String, ConfigError> {
    let schema = schema_for!(T).to_value();
    let defaults = Table::try_from(T::default()).map_err(ConfigError::Write)?;
    let page = Page {
        definitions: schema.get("$defs").and_then(Json::as_object),
    };
    let mut out = String::new();
    page.section(&mut out, "", &schema, Some(&defaults), None);
    Ok(out)
}

struct Page<'a> {
    definitions: Option<&'a Map<String, Json>>,
}

impl Page<'_> {
    fn section(
        &self,
        out: &mut String,
        path: &str,
        schema: &Json,
        defaults: Option<&Table>,
        description: Option<&str>,
    ) {
        let Some(properties) = schema.get("properties").and_then(Json::as_object) else {
            return;
        };
        if !path.is_empty() {
            // As it is headed in the file: a list of sections has double brackets.
            let heading = path.strip_suffix("[]").map(|list| format!("[{list}]"));
            let heading = heading.as_deref().unwrap_or(path);
            write_line(out, format_args!("## `[{heading}]`\n"));
        }
        let described = description.or_else(|| schema.get("description").and_then(Json::as_str));
        if let Some(text) = described {
            write_line(out, format_args!("{}\n", text.trim()));
        }
        let mut inner = Vec::new();
        let mut rows = String::new();
        for (key, written) in properties {
            let resolved = self.resolve(written);
            let dotted = if path.is_empty() {
                key.clone()
            } else {
                format!("{path}.{key}")
            };
            let default = defaults.and_then(|table| table.get(key));
            let description = written.get("description").and_then(Json::as_str);
            match self.children(resolved) {
                Some((suffix, child)) => {
                    let table = default
                        .and_then(toml::Value::as_table)
                        .filter(|_| suffix.is_empty());
                    inner.push((format!("{dotted}{suffix}"), child, table, description));
                }
                None => self.row(&mut rows, &dotted, key, resolved, default, description),
            }
        }
        if !rows.is_empty() {
            out.push_str("| key | type | default | environment | description |\n");
            out.push_str("|---|---|---|---|---|\n");
            write_line(out, format_args!("{rows}"));
        }
        for (path, child, table, description) in inner {
            self.section(out, &path, child, table, description);
        }
    }

    fn row(
        &self,
        rows: &mut String,
        dotted: &str,
        key: &str,
        schema: &Json,
        default: Option<&toml::Value>,
        description: Option<&str>,
    ) {
        let default = default.map_or_else(|| "unset".to_owned(), |value| format!("`{value}`"));
        let variable = if dotted.contains(['<', '[']) {
            String::new()
        } else {
            format!("`{}`", variable(dotted))
        };
        let description = description
            .or_else(|| schema.get("description").and_then(Json::as_str))
            .unwrap_or_default();
        let cells = [
            format!("`{key}`"),
            self.kind(schema),
            default,
            variable,
            description.split_whitespace().collect::<Vec<_>>().join(" "),
        ];
        let cells = cells.map(|cell| cell.replace('|', "\\|"));
        write_line(rows, format_args!("| {} |", cells.join(" | ")));
    }

    /// Follows a reference, and the `T` of an `Option<T>`.
    fn resolve<'s>(&'s self, schema: &'s Json) -> &'s Json {
        if let Some(name) = schema.get("$ref").and_then(Json::as_str) {
            let name = name.trim_start_matches("#/$defs/");
            if let Some(found) = self.definitions.and_then(|all| all.get(name)) {
                return self.resolve(found);
            }
        }
        let choices = schema.get("anyOf").and_then(Json::as_array);
        let mut some = choices.into_iter().flatten().filter(|s| !is_null(s));
        match (some.next(), some.next()) {
            (Some(only), None) => self.resolve(only),
            _ => schema,
        }
    }

    /// The section inside a key, with what is written after the key to reach it.
    fn children<'s>(&'s self, schema: &'s Json) -> Option<(&'static str, &'s Json)> {
        if schema.get("properties").is_some() {
            return Some(("", schema));
        }
        [("additionalProperties", ".<name>"), ("items", "[]")]
            .into_iter()
            .find_map(|(word, suffix)| {
                let child = self.resolve(schema.get(word)?);
                child.get("properties").map(|_| (suffix, child))
            })
    }

    fn kind(&self, schema: &Json) -> String {
        if let Some(words) = words(schema) {
            return words.join(" or ");
        }
        if schema.get("format").and_then(Json::as_str) == Some("secret") {
            return "secret".to_owned();
        }
        let name = match schema.get("type") {
            Some(Json::String(name)) => name.as_str(),
            Some(Json::Array(names)) => names
                .iter()
                .filter_map(Json::as_str)
                .find(|name| *name != "null")
                .unwrap_or("any"),
            _ => "any",
        };
        let inner = |word| schema.get(word).map(|s| self.kind(self.resolve(s)));
        match (name, inner("items"), inner("additionalProperties")) {
            ("array", Some(item), _) => format!("list of {item}"),
            ("object", _, Some(value)) => format!("map of {value}"),
            _ => name.to_owned(),
        }
    }
}

/// The words of an enumeration, however schemars wrote it.
fn words(schema: &Json) -> Option<Vec<String>> {
    if let Some(words) = schema.get("enum").and_then(Json::as_array) {
        let words = words.iter().filter(|word| !word.is_null());
        return Some(words.map(|word| format!("`{word}`")).collect());
    }
    if let Some(word) = schema.get("const") {
        return Some(vec![format!("`{word}`")]);
    }
    let choices = schema.get("oneOf").and_then(Json::as_array)?;
    let words: Option<Vec<_>> = choices.iter().map(words).collect();
    words.map(|words| words.concat())
}

fn is_null(schema: &Json) -> bool {
    schema.get("type").and_then(Json::as_str) == Some("null")
}

/// The environment variable of a key.
fn variable(dotted: &str) -> String {
    let name = dotted.replace('-', "_").replace('.', "__");
    format!("{ENVIRONMENT_PREFIX}{}", name.to_ascii_uppercase())
}

fn write_line(out: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(out, "{line}").expect("a String takes everything that is written to it");
}
