//! The ODB dump in a begin or end of run.
//!
//! A dump comes as JSON, XML or MIDAS's old text, told apart by the first byte. This
//! reads JSON as mlogger writes it: unsigned numbers are strings such as "0x6225c855",
//! infinities are strings, and each key `X` has a sibling `X/key` with its type. The
//! others are recognised and given out as bytes.
//!
//! A dump tells what was set when the file was opened or closed; `State` in it is that
//! of the transition (1 at begin, 3 at end of run) and says nothing of the run.

use serde_json::{Map, Value};
use thiserror::Error;

use crate::tid::Tid;

/// How a dump is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OdbFormat {
    /// The default of today's MIDAS.
    Json,
    /// MIDAS's XML.
    Xml,
    /// The old `.odb` text.
    Text,
}

/// Why a dump cannot be used. The event that holds it is no worse for it.
#[derive(Debug, Error)]
pub enum OdbError {
    /// Recognised, but only JSON is understood.
    #[error("the ODB dump is {0:?}, and only Json is understood")]
    Format(OdbFormat),
    /// No valid JSON.
    #[error("the ODB dump is not valid JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// JSON, but no directory.
    #[error("the ODB dump is not a JSON object")]
    NoDirectory,
}

/// The raw bytes of a dump, without the NUL that may end them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OdbDump<'a> {
    /// How it is written.
    pub format: OdbFormat,
    /// As it lies in the file.
    pub bytes: &'a [u8],
}

impl<'a> OdbDump<'a> {
    /// Tells the format by the first byte. An empty payload is no dump.
    pub(crate) fn detect(payload: &'a [u8]) -> Option<Self> {
        let bytes = payload.strip_suffix(b"\0").unwrap_or(payload);
        let format = match bytes.first()? {
            b'{' => OdbFormat::Json,
            b'<' => OdbFormat::Xml,
            _ => OdbFormat::Text,
        };
        Some(Self { format, bytes })
    }

    /// Reads the dump.
    pub fn parse(&self) -> Result<Odb, OdbError> {
        match self.format {
            OdbFormat::Json => Odb::from_json(self.bytes),
            other => Err(OdbError::Format(other)),
        }
    }
}

/// A dump that was read: a tree of directories and values.
#[derive(Debug, Clone, PartialEq)]
pub struct Odb {
    root: Map<String, Value>,
}

impl Odb {
    /// Reads a JSON dump. ODB strings may hold bytes of any encoding; those that are no
    /// UTF-8 become U+FFFD.
    pub fn from_json(bytes: &[u8]) -> Result<Self, OdbError> {
        match serde_json::from_str(&String::from_utf8_lossy(bytes))? {
            Value::Object(root) => Ok(Self { root }),
            _ => Err(OdbError::NoDirectory),
        }
    }

    /// Looks a path such as `/Runinfo/Run number` or `/Equipment/HV/Variables/Demand[3]`
    /// up. As in MIDAS, upper and lower case are the same.
    pub fn get(&self, path: &str) -> Option<OdbNode<'_>> {
        let (path, index) = split_index(path);
        let mut components = path.split('/').filter(|component| !component.is_empty());
        let last = components.next_back()?;
        let directory = components.try_fold(&self.root, |directory, name| {
            find(directory, name)?.1.as_object()
        })?;
        let (name, value) = find(directory, last)?;
        let node = OdbNode {
            value,
            tid: tid_of(directory, name),
        };
        match index {
            Some(index) => node.item(index),
            None => Some(node),
        }
    }
}

/// A value or a directory of a dump.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OdbNode<'a> {
    value: &'a Value,
    tid: Option<Tid>,
}

impl<'a> OdbNode<'a> {
    /// The key's type, where the dump tells it.
    pub fn tid(&self) -> Option<Tid> {
        self.tid
    }

    /// An integer, also from its hexadecimal string.
    pub fn as_i64(&self) -> Option<i64> {
        match self.value {
            Value::String(text) => i64::try_from(hexadecimal(text)?).ok(),
            value => value.as_i64(),
        }
    }

    /// An integer that is not negative, also from its hexadecimal string.
    pub fn as_u64(&self) -> Option<u64> {
        match self.value {
            Value::String(text) => hexadecimal(text),
            value => value.as_u64(),
        }
    }

    /// A number, also from a hexadecimal string, "NaN", "Infinity" or "-Infinity".
    pub fn as_f64(&self) -> Option<f64> {
        match self.value {
            Value::String(text) => match text.as_str() {
                "NaN" => Some(f64::NAN),
                "Infinity" => Some(f64::INFINITY),
                "-Infinity" => Some(f64::NEG_INFINITY),
                _ => hexadecimal(text).map(|number| number as f64),
            },
            value => value.as_f64(),
        }
    }

    /// A truth value.
    pub fn as_bool(&self) -> Option<bool> {
        self.value.as_bool()
    }

    /// A string. Numbers that the dump writes as strings are numbers and not this,
    /// where their type is told.
    pub fn as_str(&self) -> Option<&'a str> {
        let text = self.tid.is_none_or(|tid| {
            matches!(
                tid,
                Tid::STRING | Tid::CHAR | Tid::LINK | Tid::ARRAY | Tid::STRUCT
            )
        });
        text.then(|| self.value.as_str()).flatten()
    }

    /// Any single value as text for people and for attributes: numbers in decimal.
    pub fn to_text(&self) -> Option<String> {
        if let Some(text) = self.as_str() {
            return Some(text.to_owned());
        }
        match self.value {
            Value::Bool(truth) => Some(truth.to_string()),
            Value::Number(number) => Some(number.to_string()),
            Value::String(text) => {
                Some(hexadecimal(text).map_or_else(|| text.clone(), |number| number.to_string()))
            }
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// One value of an array, from 0. A key with a single value counts as an array of one.
    pub fn item(&self, index: usize) -> Option<Self> {
        let value = match self.value {
            Value::Array(items) => items.get(index)?,
            Value::Object(_) => return None,
            single => (index == 0).then_some(single)?,
        };
        Some(Self { value, ..*self })
    }

    /// Number of values; `None` for a directory.
    pub fn count(&self) -> Option<usize> {
        match self.value {
            Value::Array(items) => Some(items.len()),
            Value::Object(_) => None,
            _ => Some(1),
        }
    }

    /// The names in a directory, or `None` where this is no directory.
    pub fn names(&self) -> Option<impl Iterator<Item = &'a str>> {
        let names = self.value.as_object()?.keys().map(String::as_str);
        // ODB names hold no slash: these are the siblings that tell the types.
        Some(names.filter(|name| !name.contains('/')))
    }
}

/// Takes `[3]` off the end of a path.
fn split_index(path: &str) -> (&str, Option<usize>) {
    let parts = path
        .strip_suffix(']')
        .and_then(|rest| rest.rsplit_once('['));
    match parts.map(|(path, index)| (path, index.parse())) {
        Some((path, Ok(index))) => (path, Some(index)),
        _ => (path, None),
    }
}

fn find<'a>(directory: &'a Map<String, Value>, name: &str) -> Option<(&'a str, &'a Value)> {
    let exact = directory.get_key_value(name);
    let found = exact.or_else(|| {
        directory
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
    })?;
    Some((found.0.as_str(), found.1))
}

fn tid_of(directory: &Map<String, Value>, name: &str) -> Option<Tid> {
    let number = directory
        .get(&format!("{name}/key"))?
        .get("type")?
        .as_u64()?;
    Some(Tid(u32::try_from(number).ok()?))
}

fn hexadecimal(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x")?;
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn odb() -> Odb {
        let json = r#"{
  "Runinfo" : {
    "Run number/key" : { "type" : 7, "access_mode" : 7, "last_written" : 1646643285 },
    "Run number" : 407,
    "Start time binary/key" : { "type" : 6, "access_mode" : 7, "last_written" : 1646643285 },
    "Start time binary" : "0x6225c855",
    "Start time/key" : { "type" : 12, "item_size" : 32 },
    "Start time" : "0x12"
  },
  "Equipment" : { "HV" : {
    "Demand/key" : { "type" : 9, "num_values" : 3 },
    "Demand" : [ 4.0000000e+02, "NaN", "-Infinity" ]
  } },
  "middleware_alive" : 1
}"#;
        Odb::from_json(json.as_bytes()).unwrap()
    }

    #[test]
    fn numbers_are_read_in_each_spelling() {
        let odb = odb();
        let start = odb.get("/Runinfo/Start time binary").unwrap();
        assert_eq!(start.as_u64(), Some(0x6225_c855));
        assert_eq!(start.tid(), Some(Tid::U32));
        assert_eq!(start.as_str(), None, "it is a number");
        assert_eq!(start.to_text().unwrap(), "1646643285");
        assert_eq!(odb.get("/Runinfo/Run number").unwrap().as_i64(), Some(407));
        assert_eq!(
            odb.get("Runinfo/Start time").unwrap().as_str(),
            Some("0x12")
        );
        assert_eq!(odb.get("middleware_alive").unwrap().as_u64(), Some(1));
        assert_eq!(odb.get("middleware_alive").unwrap().tid(), None);
    }

    #[test]
    fn paths_ignore_case_and_take_an_index() {
        let odb = odb();
        let demand = odb.get("/equipment/hv/demand").unwrap();
        assert_eq!(demand.count(), Some(3));
        assert_eq!(demand.item(0).unwrap().as_f64(), Some(400.0));
        assert!(demand.item(1).unwrap().as_f64().unwrap().is_nan());
        let last = odb.get("/Equipment/HV/Demand[2]").unwrap();
        assert_eq!(last.as_f64(), Some(f64::NEG_INFINITY));
        assert_eq!(last.tid(), Some(Tid::F32));
        assert!(odb.get("/Equipment/HV/Demand[3]").is_none());
        assert!(odb.get("/Equipment/HV/Demand/x").is_none());
        assert!(odb.get("/").is_none());
    }

    #[test]
    fn a_directory_lists_its_keys_without_their_types() {
        let odb = odb();
        let names: Vec<_> = odb.get("/Runinfo").unwrap().names().unwrap().collect();
        assert_eq!(names, ["Run number", "Start time", "Start time binary"]);
        assert_eq!(odb.get("/Runinfo").unwrap().to_text(), None);
    }

    #[test]
    fn formats_are_told_by_the_first_byte() {
        let format = |bytes| OdbDump::detect(bytes).map(|dump| dump.format);
        assert_eq!(format(b"{}\0"), Some(OdbFormat::Json));
        assert_eq!(format(b"<?xml version"), Some(OdbFormat::Xml));
        assert_eq!(format(b"[System]"), Some(OdbFormat::Text));
        assert_eq!(format(b""), None);
        assert_eq!(format(b"\0"), None);
        let xml = OdbDump::detect(b"<odb/>\0").unwrap();
        assert_eq!(xml.bytes, b"<odb/>");
        assert!(matches!(xml.parse(), Err(OdbError::Format(OdbFormat::Xml))));
    }

    #[test]
    fn foreign_letters_and_depth_are_survived() {
        let latin = Odb::from_json(b"{ \"Run description\" : \"Am\xb241Be\" }").unwrap();
        let text = latin.get("run description").unwrap();
        assert_eq!(text.as_str(), Some("Am\u{fffd}41Be"));
        let deep = "{\"a\":".repeat(100_000);
        assert!(matches!(
            Odb::from_json(deep.as_bytes()),
            Err(OdbError::Json(_))
        ));
        assert!(matches!(Odb::from_json(b"[]"), Err(OdbError::NoDirectory)));
    }
}
