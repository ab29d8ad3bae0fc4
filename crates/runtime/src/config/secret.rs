//! A value that must not be seen: passwords, tokens, keys.
//!
//! It is written in the configuration as itself, as `file:/path` or as `env:NAME`, and
//! shows as `***` wherever it is printed, dumped, logged or part of an error. Only
//! [`Secret::reveal`] gives it out. Memory is not wiped.

use std::borrow::Cow;
use std::env::VarError;
use std::fmt;
use std::fs::File;
use std::io::Read;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const MASK: &str = "***";

/// The most that is read from `file:/path`; a key chain is a few KiB.
const MAX_BYTES: u64 = 64 * 1024;

/// Something that only [`Secret::reveal`] shows. Empty by default, which means unset.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether none was given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn shown(&self) -> &'static str {
        if self.is_empty() { "" } else { MASK }
    }

    /// Resolves what stands in a configuration. Errors name the file or the variable.
    fn resolve(written: &str) -> Result<Self, String> {
        if let Some(path) = written.strip_prefix("file:") {
            let mut text = String::new();
            File::open(path)
                .and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text))
                .map_err(|error| format!("cannot read secret from `{path}`: {error}"))?;
            if text.len() as u64 > MAX_BYTES {
                return Err(format!(
                    "secret in `{path}` is longer than {MAX_BYTES} bytes"
                ));
            }
            let text = text.trim();
            if text.is_empty() {
                return Err(format!("secret in `{path}` is empty"));
            }
            Ok(Self(text.to_owned()))
        } else if let Some(name) = written.strip_prefix("env:") {
            // Not the error itself: that of a value that is not UTF-8 shows the value.
            let reason = |error| match error {
                VarError::NotPresent => "not set",
                VarError::NotUnicode(_) => "not UTF-8",
            };
            std::env::var(name).map(Self).map_err(|error| {
                format!(
                    "cannot read secret from variable `{name}`: {}",
                    reason(error)
                )
            })
        } else if written == MASK {
            Err(
                "`***` stands for a secret in a dump; write the secret, `file:/path` or `env:NAME`"
                    .to_owned(),
            )
        } else {
            Ok(Self(written.to_owned()))
        }
    }
}

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self(secret)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shown())
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shown())
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.shown())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

/// Refuses other types by hand: serde's own messages would quote the value.
struct SecretVisitor;

impl SecretVisitor {
    fn refuse<E: de::Error>(kind: &str) -> Result<Secret, E> {
        Err(E::custom(format_args!(
            "a secret is written as a string, not as {kind}"
        )))
    }
}

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a secret, `file:/path` or `env:NAME`")
    }

    fn visit_str<E: de::Error>(self, written: &str) -> Result<Secret, E> {
        Secret::resolve(written).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Secret, E> {
        Self::refuse("a number")
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Secret, E> {
        Self::refuse("a number")
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Secret, E> {
        Self::refuse("a number")
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Secret, E> {
        Self::refuse("a truth value")
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, _: A) -> Result<Secret, A::Error> {
        Self::refuse("a list")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, _: A) -> Result<Secret, A::Error> {
        Self::refuse("a section or a date")
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "secret" })
    }
}
