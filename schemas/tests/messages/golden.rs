//! Every version of every message that ever was stays readable.
//!
//! `golden/<message>/<fingerprint>.avsc`, `.bin` and `.json` are a schema, a message that
//! it wrote, and what that message says. A new version adds three files and never
//! touches the old ones: `AQUIFER_BLESS=1 cargo test -p aquifer-schemas` writes them.

use std::fs;
use std::path::{Path, PathBuf};

use aquifer_schemas::{Decoder, Message, compat, encode};
use serde_json::Value;

use crate::samples;

fn golden(message: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("golden")
        .join(message)
}

/// The fingerprints for which golden files exist.
fn versions(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|ending| ending == "avsc"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

/// True if `found` says all that `expected` says; it may say more (newer fields).
fn says(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => expected
            .iter()
            .all(|(name, value)| found.get(name).is_some_and(|same| says(same, value))),
        (Value::Array(found), Value::Array(expected)) => {
            found.len() == expected.len() && found.iter().zip(expected).all(|(f, e)| says(f, e))
        }
        (found, expected) => found == expected,
    }
}

fn check<M: Message>(message: &str, sample: &M) {
    let folder = golden(message);
    let current = format!("{:016x}", M::schema().fingerprint);
    if !versions(&folder).contains(&current) {
        assert!(
            std::env::var_os("AQUIFER_BLESS").is_some(),
            "avsc/{message}.avsc is a new version ({current}) without golden files; if the \
             change is meant, run `AQUIFER_BLESS=1 cargo test -p aquifer-schemas` and commit \
             what it adds"
        );
        let json = serde_json::to_string_pretty(sample).unwrap() + "\n";
        fs::create_dir_all(&folder).unwrap();
        fs::write(
            folder.join(format!("{current}.bin")),
            encode(sample).unwrap(),
        )
        .unwrap();
        fs::write(folder.join(format!("{current}.json")), json).unwrap();
        fs::write(folder.join(format!("{current}.avsc")), M::schema().json).unwrap();
    }
    for version in versions(&folder) {
        let file = |ending: &str| folder.join(format!("{version}.{ending}"));
        let schema = fs::read_to_string(file("avsc")).unwrap();
        if let Err(breaks) = compat::check(&schema, M::schema().json) {
            let breaks: Vec<String> = breaks.iter().map(ToString::to_string).collect();
            panic!(
                "avsc/{message}.avsc breaks with version {version}: {}",
                breaks.join("; ")
            );
        }
        let decoder = Decoder::new();
        let fingerprint = decoder.learn(&schema).unwrap();
        assert_eq!(
            format!("{fingerprint:016x}"),
            version,
            "a golden schema was edited"
        );
        let bytes = fs::read(file("bin")).unwrap();
        let event: M = decoder.decode(&bytes).unwrap();
        let expected = fs::read_to_string(file("json")).unwrap();
        let expected: Value = serde_json::from_str(&expected).unwrap();
        let found = serde_json::to_value(&event).unwrap();
        assert!(
            says(&found, &expected),
            "{version}: {found:#}\nis not\n{expected:#}"
        );
        let back: M = serde_json::from_value(found).unwrap();
        assert_eq!(
            encode(&back).unwrap(),
            encode(&event).unwrap(),
            "JSON loses something"
        );
    }
}

#[test]
fn every_version_of_run_opened_is_read() {
    check("run_opened", &samples::run_opened());
}

#[test]
fn every_version_of_run_closed_is_read() {
    check("run_closed", &samples::run_closed());
}

#[test]
fn every_version_of_file_stored_is_read() {
    check("file_stored", &samples::file_stored());
}

#[test]
fn every_version_of_run_stored_is_read() {
    check("run_stored", &samples::run_stored());
}

#[test]
fn every_version_of_purge_order_is_read() {
    check("purge_order", &samples::purge_order());
}

#[test]
fn every_version_of_purged_is_read() {
    check("purged", &samples::purged());
}

#[test]
fn every_version_of_alert_signal_is_read() {
    check("alert_signal", &samples::alert_signal());
}

#[test]
fn every_version_of_events_taken_is_read() {
    check("events_taken", &samples::events_taken());
}

#[test]
fn every_version_of_slow_sample_is_read() {
    check("slow_sample", &samples::slow_sample());
}

#[test]
fn every_version_of_dead_letter_is_read() {
    check("dead_letter", &samples::dead_letter());
}

#[test]
fn every_field_and_type_says_what_it_is() {
    fn documented(schema: &Value, path: &str) {
        if let Value::Array(variants) = schema {
            for one in variants {
                documented(one, path);
            }
        }
        let Value::Object(object) = schema else {
            return;
        };
        let kind = object
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if kind == "record" || kind == "enum" {
            assert!(
                object["doc"].as_str().is_some_and(|doc| doc.len() > 8),
                "{path}"
            );
            assert!(
                kind == "record" || object.contains_key("default"),
                "{path}: enum default"
            );
        }
        for field in object
            .get("fields")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let path = format!("{path}.{}", field["name"]);
            assert!(
                field["doc"].as_str().is_some_and(|doc| doc.len() > 8),
                "{path}"
            );
            documented(&field["type"], &path);
        }
        for inner in ["items", "values"] {
            object
                .get(inner)
                .into_iter()
                .for_each(|one| documented(one, path));
        }
    }
    for schema in aquifer_schemas::schemas() {
        documented(&serde_json::from_str(schema.json).unwrap(), schema.name);
    }
}

#[test]
fn ids_of_events_never_change() {
    let id = aquifer_schemas::event_id("LNGS/42", "stored", 7);
    assert_eq!(id.to_string(), "83458936-a358-5de2-b4bd-9b1070c0d1df");
    let url = uuid::Uuid::NAMESPACE_URL;
    let namespace = uuid::Uuid::new_v5(&url, b"urn:aquifer:event");
    assert_eq!(aquifer_schemas::EVENT_NAMESPACE, namespace);
}
