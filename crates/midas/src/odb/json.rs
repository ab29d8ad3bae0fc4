//! The JSON dump: unsigned numbers are strings such as "0x6225c855", NaN and infinities
//! are strings, and each key `X` has a sibling `X/key` with its type.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use crate::tid::Tid;

use super::tree::{Directory, Entry, Key, Value, hexadecimal};
use super::{Damages, OdbDamageKind, OdbError};

/// What tells the type of a key, by its name.
const KEY_SUFFIX: &str = "/key";

/// MIDAS writes floating-point numbers with at least so many digits after the point.
const FRACTION_DIGITS: usize = 7;

pub(super) fn read(text: &str, damages: &mut Damages) -> Result<Directory, OdbError> {
    let text = repair_commas(text, damages);
    match serde_json::from_str(&text)? {
        Json::Object(entries) => Ok(directory(entries, damages)),
        _ => Err(OdbError::NoDirectory),
    }
}

/// JSON in the order of the text.
enum Json {
    Value(Value),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Value(Value::Null))
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Json, E> {
        Ok(Json::Value(Value::Bool(truth)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Value(Value::Signed(number)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Value(Value::Unsigned(number)))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Json, E> {
        Ok(Json::Value(Value::Float(number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Value(Value::Text(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Json, E> {
        Ok(Json::Value(Value::Text(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element()? {
            all.push(item);
        }
        Ok(Json::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut all = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            all.push(entry);
        }
        Ok(Json::Object(all))
    }
}

/// What a sibling `X/key` tells of `X`.
#[derive(Default)]
struct Told {
    tid: Option<Tid>,
    link: Option<String>,
}

impl Told {
    fn from(sibling: Vec<(String, Json)>) -> Self {
        let mut told = Self::default();
        for (name, value) in sibling {
            match (name.as_str(), value) {
                ("type", Json::Value(Value::Unsigned(number))) => {
                    told.tid = u32::try_from(number).ok().map(Tid);
                }
                ("link", Json::Value(Value::Text(path))) => told.link = Some(path),
                _ => {}
            }
        }
        told
    }
}

fn directory(entries: Vec<(String, Json)>, damages: &mut Damages) -> Directory {
    let mut directory = Directory::default();
    // The sibling comes right before its key.
    let mut sibling: Option<(String, Told)> = None;
    for (name, json) in entries {
        // ODB names hold no slash.
        if let Some(of) = name.strip_suffix(KEY_SUFFIX) {
            if let Json::Object(facts) = json {
                sibling = Some((of.to_owned(), Told::from(facts)));
            }
            continue;
        }
        let told = sibling.take().filter(|(of, _)| *of == name);
        let told = told.map_or_else(Told::default, |(_, told)| told);
        let entry = match json {
            Json::Object(entries) => Entry::Directory(self::directory(entries, damages)),
            Json::Array(items) => key(items, told, damages),
            value @ Json::Value(_) => key(vec![value], told, damages),
        };
        directory.push(name, entry);
    }
    directory
}

fn key(items: Vec<Json>, told: Told, damages: &mut Damages) -> Entry {
    let Told { tid, link } = told;
    let values = items.into_iter().map(|item| typed(item, tid, damages));
    Entry::Key(Key {
        values: values.collect(),
        tid,
        link,
    })
}

/// The value of a key of type `tid`.
fn typed(item: Json, tid: Option<Tid>, damages: &mut Damages) -> Value {
    let Json::Value(value) = item else {
        // Arrays of arrays and of directories are not in the ODB.
        damages.note(0, OdbDamageKind::Unknown);
        return Value::Null;
    };
    match (value, tid) {
        (Value::Text(text), Some(Tid::U8 | Tid::U16 | Tid::U32 | Tid::U64 | Tid::BITFIELD)) => {
            hexadecimal(&text).map_or(Value::Text(text), Value::Unsigned)
        }
        (Value::Text(text), Some(Tid::F32 | Tid::F64)) => match text.as_str() {
            "NaN" => Value::Float(f64::NAN),
            "Infinity" => Value::Float(f64::INFINITY),
            "-Infinity" => Value::Float(f64::NEG_INFINITY),
            _ => Value::Text(text),
        },
        (value, _) => value,
    }
}

/// Puts a point for each decimal comma. In an array such a number would else be two: a
/// comma belongs to the number if the digits behind it are as many as MIDAS writes and
/// end in an exponent, which needs a point before it.
fn repair_commas<'a>(text: &'a str, damages: &mut Damages) -> Cow<'a, str> {
    let bytes = text.as_bytes();
    let mut repaired: Option<Vec<u8>> = None;
    let mut in_string = false;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            b',' if !in_string && is_decimal(&bytes[..at], &bytes[at + 1..]) => {
                repaired.get_or_insert_with(|| bytes.to_vec())[at] = b'.';
                damages.note(at, OdbDamageKind::DecimalComma);
            }
            _ => {}
        }
        at += 1;
    }
    match repaired.map(String::from_utf8) {
        Some(Ok(repaired)) => Cow::Owned(repaired),
        // One ASCII byte for another leaves the text what it was.
        Some(Err(_)) | None => Cow::Borrowed(text),
    }
}

fn is_decimal(before: &[u8], after: &[u8]) -> bool {
    let whole = before.iter().rev().take_while(|byte| byte.is_ascii_digit());
    let whole = whole.count();
    let fraction = after.iter().take_while(|byte| byte.is_ascii_digit());
    let fraction = fraction.count();
    // In `%.7e` one digit is before the point.
    whole == 1
        && before.len().checked_sub(2).and_then(|at| before.get(at)) != Some(&b'.')
        && fraction >= FRACTION_DIGITS
        && matches!(after.get(fraction..), Some([b'e', b'+' | b'-', ..]))
}

#[cfg(test)]
mod tests {
    use super::super::Odb;
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
  "Edit/key" : { "type" : 16, "link" : "/Runinfo/Run number" },
  "Edit" : 407,
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
        let edit = odb.get("/edit").unwrap();
        assert_eq!(edit.link(), Some("/Runinfo/Run number"));
        assert_eq!(edit.as_i64(), Some(407));
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
    }

    #[test]
    fn a_directory_lists_its_keys_without_their_types() {
        let odb = odb();
        let names: Vec<_> = odb.get("/Runinfo").unwrap().names().unwrap().collect();
        assert_eq!(names, ["Run number", "Start time binary", "Start time"]);
        assert_eq!(odb.get("/Runinfo").unwrap().to_text(), None);
    }

    #[test]
    fn a_decimal_comma_is_repaired_and_told() {
        let odb = Odb::from_json(
            b"{ \"a\" : 2,5000000e+00, \"b\" : [ 4,5000000e+02, 7, 1234567 ], \"c\" : \"1,2345678e+00\" }",
        )
        .unwrap();
        let number = |path| odb.get(path).unwrap().as_f64().unwrap();
        assert!((number("a") - 2.5).abs() < f64::EPSILON);
        assert!((number("b[0]") - 450.0).abs() < f64::EPSILON);
        assert_eq!(odb.get("b").unwrap().count(), Some(3));
        assert_eq!(odb.get("c").unwrap().as_str(), Some("1,2345678e+00"));
        let told: Vec<_> = odb.damages().iter().map(|damage| damage.offset).collect();
        assert_eq!(told, [9, 32]);
        assert_eq!(odb.damages()[0].kind, OdbDamageKind::DecimalComma);
    }

    #[test]
    fn commas_between_numbers_stay() {
        let odb = Odb::from_json(b"{\"a\":[1,2.5000000e+00,3,4e+00,1.2,3456789]}").unwrap();
        assert_eq!(odb.get("a").unwrap().count(), Some(6));
        assert!(odb.damages().is_empty());
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
