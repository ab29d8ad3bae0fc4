//! Numbers out of what the ODB says. Pure.
//!
//! mhttpd writes what JSON cannot as text: NaN and infinity by name, and 32 and 64 bit
//! words as hex strings (MIDAS wiki, "Mjsonrpc"). Whatever is no number is left out.

use std::collections::BTreeMap;

use serde_json::Value;

/// Levels of folders that are followed.
const DEEPEST: usize = 16;

/// The numbers in `value` by their names: keys joined by `/`, elements of an array by
/// `names` where it has one for them, else by `[index]`.
pub(super) fn numbers(value: &Value, names: Option<&Value>) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    collect(&mut found, String::new(), value, names, 0);
    found
}

fn collect(
    found: &mut BTreeMap<String, f64>,
    name: String,
    value: &Value,
    names: Option<&Value>,
    depth: usize,
) {
    match value {
        Value::Object(keys) if depth < DEEPEST => {
            for (key, value) in keys {
                // What older servers say about a key beside it: `key/last_written`.
                if key.contains('/') {
                    continue;
                }
                let inner = if name.is_empty() {
                    key.clone()
                } else {
                    format!("{name}/{key}")
                };
                collect(found, inner, value, names, depth + 1);
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                let given = names.and_then(|names| names.get(index)?.as_str());
                let inner = match given.filter(|given| !given.is_empty()) {
                    Some(given) => given.to_owned(),
                    None => format!("{name}[{index}]"),
                };
                collect(found, inner, element, None, DEEPEST);
            }
        }
        _ => {
            if let Some(number) = number(value) {
                found.insert(
                    if name.is_empty() {
                        "value".to_owned()
                    } else {
                        name
                    },
                    number,
                );
            }
        }
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            text => {
                let digits = text.strip_prefix("0x")?;
                u64::from_str_radix(digits, 16).ok().map(|bits| bits as f64)
            }
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_found_under_their_names() {
        let variables = json!({
            "measured": [1.5, "NaN", true],
            "status": "0x0000001f",
            "label": "valve",
            "hv": { "set": -7, "measured/last_written": 1_700_000_000 },
        });
        let found = numbers(&variables, None);
        let mut names: Vec<_> = found.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "hv/set",
                "measured[0]",
                "measured[1]",
                "measured[2]",
                "status"
            ]
        );
        assert!(found["measured[1]"].is_nan());
        is(found["status"], 31.0);
        is(found["hv/set"], -7.0);
    }

    /// Numbers that are copied, not computed.
    fn is(found: f64, expected: f64) {
        assert_eq!(found.to_bits(), expected.to_bits());
    }

    #[test]
    fn elements_have_the_names_that_the_settings_give() {
        let names = json!(["pressure", "", "flow"]);
        let found = numbers(&json!([1, 2, "-Infinity", 4]), Some(&names));
        is(found["pressure"], 1.0);
        is(found["[1]"], 2.0);
        is(found["flow"], f64::NEG_INFINITY);
        is(found["[3]"], 4.0);
        is(numbers(&json!(3.25), None)["value"], 3.25);
        assert!(numbers(&json!({"a": null}), None).is_empty());
    }
}
