//! What every door asks of a request that changes something: that it comes from
//! somebody who knows the token, and that it is said to be JSON.

use axum::http::{HeaderMap, HeaderName, header};
use serde::de::DeserializeOwned;

use crate::config::Secret;

/// A body that does not say what is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadField {
    /// Which field, such as `files[0].name`; empty where it is the whole.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Whether the request brings this token, as `Authorization: Bearer …`.
pub fn has_token(headers: &HeaderMap, wanted: &Secret) -> bool {
    let given = text(headers, &header::AUTHORIZATION).strip_prefix("Bearer ");
    given.is_some_and(|given| same(given, wanted.reveal()))
}

/// Whether the body is said to be JSON, which a form on a web page of anybody cannot say.
pub fn is_json(headers: &HeaderMap) -> bool {
    let kind = text(headers, &header::CONTENT_TYPE).split(';').next();
    let kind = kind.unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

/// Reads a body.
///
/// Errors: it is no JSON, or a field is missing, unknown or of another kind.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, BadField> {
    let mut json = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let field = error.path().to_string();
        BadField {
            field: if field == "." { String::new() } else { field },
            reason: error.into_inner().to_string(),
        }
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    let value = headers.get(name);
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// Compares in a time that does not tell where they differ.
fn same(given: &str, wanted: &str) -> bool {
    let differing = given
        .bytes()
        .zip(wanted.bytes())
        .fold(0, |differing, (a, b)| differing | (a ^ b));
    given.len() == wanted.len() && differing == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn a_token_is_the_whole_token() {
        let wanted = Secret::from("abc".to_owned());
        let given = |value| has_token(&headers(header::AUTHORIZATION, value), &wanted);
        assert!(given("Bearer abc"));
        for wrong in ["Bearer ab", "Bearer abcd", "Bearer abd", "abc", "Bearer "] {
            assert!(!given(wrong), "{wrong}");
        }
        assert!(!has_token(&HeaderMap::new(), &wanted));
    }

    #[test]
    fn json_is_said() {
        let said = |value| is_json(&headers(header::CONTENT_TYPE, value));
        assert!(said("application/json") && said("Application/JSON; charset=utf-8"));
        assert!(!said("text/plain") && !is_json(&HeaderMap::new()));
    }

    #[test]
    fn a_bad_field_is_named() {
        let read = parse::<Vec<u8>>;
        assert_eq!(read(b"[1]"), Ok(vec![1]));
        let bad = read(br#"[1,"x"]"#).unwrap_err();
        assert_eq!(bad.field, "[1]");
        assert_eq!(read(b"[").unwrap_err().field, "");
    }
}
