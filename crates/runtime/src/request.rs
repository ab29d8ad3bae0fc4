//! What every door asks of a request, and how it says no: the token, JSON, and fields that
//! can be.
//!
//! Refusals are JSON: `error`, and `field` where one is wrong. 400 names the field, 401
//! asks for the token, 415 for JSON, and 503 asks to come again.

use axum::Json;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::config::Secret;

/// A body that does not say what is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadField {
    /// Which field, such as `files[0].name`; empty where it is the whole.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Why a request is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The token is missing or wrong.
    Stranger {
        /// The key of the configuration that has it.
        key: &'static str,
    },
    /// The body is not said to be JSON.
    NotJson,
    /// A field is wrong.
    Bad(BadField),
    /// It may be served later.
    Later(String),
    /// Something else, with its status.
    Because(StatusCode, String),
}

impl BadField {
    /// What is wrong with a field.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            reason: reason.into(),
        }
    }
}

/// Lets in who brings this token, as `Authorization: Bearer …`; `key` of the configuration
/// has it.
///
/// Errors: [`Refusal::Stranger`].
pub fn require_token(
    headers: &HeaderMap,
    token: &Secret,
    key: &'static str,
) -> Result<(), Refusal> {
    let given = text(headers, &header::AUTHORIZATION).strip_prefix("Bearer ");
    if given.is_some_and(|given| same(given, token.reveal())) {
        Ok(())
    } else {
        Err(Refusal::Stranger { key })
    }
}

/// Lets through what is said to be JSON, which a form on a web page of anybody cannot say.
///
/// Errors: [`Refusal::NotJson`].
pub fn require_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let kind = text(headers, &header::CONTENT_TYPE).split(';').next();
    let kind = kind.unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(Refusal::NotJson)
    }
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

impl From<BadField> for Refusal {
    fn from(bad: BadField) -> Self {
        Self::Bad(bad)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let plain = |status, error: &str| (status, Json(json!({ "error": error }))).into_response();
        match self {
            Self::Stranger { key } => {
                let error = "the token is missing or wrong; hint: send `Authorization: Bearer …`";
                plain(StatusCode::UNAUTHORIZED, &format!("{error}, see {key}"))
            }
            Self::NotJson => plain(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body must be JSON; hint: send `Content-Type: application/json` (`curl --json`)",
            ),
            Self::Bad(BadField { field, reason }) if field.is_empty() => {
                plain(StatusCode::BAD_REQUEST, &reason)
            }
            Self::Bad(BadField { field, reason }) => {
                let body = json!({ "error": reason, "field": field });
                (StatusCode::BAD_REQUEST, Json(body)).into_response()
            }
            Self::Later(error) => {
                let retry = [(header::RETRY_AFTER, "5")];
                (retry, plain(StatusCode::SERVICE_UNAVAILABLE, &error)).into_response()
            }
            Self::Because(status, error) => plain(status, &error),
        }
    }
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
        let given = |value| {
            let headers = headers(header::AUTHORIZATION, value);
            require_token(&headers, &wanted, "door.token").is_ok()
        };
        assert!(given("Bearer abc"));
        for wrong in ["Bearer ab", "Bearer abcd", "Bearer abd", "abc", "Bearer "] {
            assert!(!given(wrong), "{wrong}");
        }
        let nothing = require_token(&HeaderMap::new(), &wanted, "door.token");
        assert_eq!(nothing, Err(Refusal::Stranger { key: "door.token" }));
    }

    #[test]
    fn json_is_said() {
        let said = |value| require_json(&headers(header::CONTENT_TYPE, value)).is_ok();
        assert!(said("application/json") && said("Application/JSON; charset=utf-8"));
        assert!(!said("text/plain") && require_json(&HeaderMap::new()).is_err());
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
