//! A schema registry, by the part of Confluent's API that is needed: register a schema,
//! ask for one by id, set how a subject may change.
//!
//! An answer that the registry gives for good (no such schema, an incompatible one) is
//! told from everything that may pass: no connection, no permission, a page that is no
//! registry's. Ids are kept by the callers; the cluster's records are not its business.

use std::path::PathBuf;
use std::time::Duration;

use aquifer_runtime::config::Secret;
use aquifer_runtime::https::Https;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;
use tracing::warn;

/// Longest answer that is read: a schema is far below it.
const LONGEST_ANSWER: usize = 1 << 20;

/// Of an answer that was not expected, so much is told.
const TOLD: usize = 300;

/// How schemas of a subject may change: as ours do, see [`aquifer_schemas::compat`].
const COMPATIBILITY: &str = "FULL_TRANSITIVE";

/// The registry's own code for a schema that it does not have; a page that is missing
/// because the URL is wrong does not carry it.
const NO_SUCH_SCHEMA: u64 = 40403;

/// `[kafka.schema-registry]`: where schemas are kept beside the bus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RegistryConfig {
    /// URL of a schema registry (Confluent's API), such as
    /// `https://registry.example.org`. Writers then register their schemas there and frame
    /// messages as its clients expect. Empty: schemas are on the bus alone.
    pub url: String,
    /// User name, where the registry asks for one.
    pub user: String,
    /// Password of the user.
    pub password: Secret,
    /// File with PEM certificates that are trusted beside those of the system.
    pub ca_file: Option<PathBuf>,
    /// Longest time for a request, in seconds.
    pub timeout_secs: u64,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            user: String::new(),
            password: Secret::default(),
            ca_file: None,
            timeout_secs: 10,
        }
    }
}

/// What a registry did not do.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// It cannot be asked at all, as it is configured.
    #[error("cannot use the schema registry `{url}`: {why}")]
    Config {
        /// The URL configured.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// It did not answer.
    #[error("cannot {doing} at the schema registry: {why}")]
    NoAnswer {
        /// What was tried, such as ``register `aquifer.RunStored` ``.
        doing: String,
        /// What came in the way.
        why: String,
    },
    /// It answered something else than what was asked for.
    #[error("cannot {doing} at the schema registry: it answers {status} {said}")]
    Answer {
        /// What was tried.
        doing: String,
        /// HTTP status.
        status: u16,
        /// The begin of its answer.
        said: String,
    },
}

impl RegistryError {
    /// True if asking again cannot help: the configuration cannot be used, or the
    /// registry refuses a schema for what it is (409 incompatible, 422 no schema).
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Config { .. } => true,
            Self::NoAnswer { .. } => false,
            Self::Answer { status, .. } => matches!(status, 409 | 422),
        }
    }
}

/// The client of one registry.
pub(crate) struct Registry {
    base: String,
    authorization: Option<String>,
    patience: Duration,
    client: Https,
}

/// What came back: the status, and the page where it is JSON.
struct Answer {
    status: u16,
    page: Value,
    body: Bytes,
}

impl Registry {
    /// The client for the configured registry; none where none is configured.
    pub(crate) fn new(config: &RegistryConfig) -> Result<Option<Self>, RegistryError> {
        if config.url.is_empty() {
            return Ok(None);
        }
        let wrong = |why: String| RegistryError::Config {
            url: config.url.clone(),
            why,
        };
        let url = url::Url::parse(&config.url).map_err(|error| wrong(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(wrong("it is not an http or https URL".to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("user and password have keys of their own".to_owned()));
        }
        let credentials = format!("{}:{}", config.user, config.password.reveal());
        let authorization = format!("Basic {}", STANDARD.encode(credentials));
        Ok(Some(Self {
            base: config.url.trim_end_matches('/').to_owned(),
            authorization: (!config.user.is_empty()).then_some(authorization),
            patience: Duration::from_secs(config.timeout_secs.max(1)),
            client: Https::new(config.ca_file.as_deref()).map_err(wrong)?,
        }))
    }

    /// Registers a schema under a subject, which costs nothing where it is known, and
    /// lets the subject change only in ways that all versions can read. Gives its id.
    pub(crate) async fn register(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        let doing = || format!("register a schema under `{subject}`");
        let body = json!({ "schema": schema });
        let path = format!("subjects/{subject}/versions");
        let answer = self.ask("POST", &path, Some(body), doing).await?;
        let id = answer.page["id"].as_u64();
        let id = id.and_then(|id| u32::try_from(id).ok());
        match id {
            Some(id) if answer.status == 200 => {
                self.set_compatibility(subject).await?;
                Ok(id)
            }
            _ => Err(answer.unexpected(doing())),
        }
    }

    /// Who may register may not always say how a subject changes: then its owner does.
    async fn set_compatibility(&self, subject: &str) -> Result<(), RegistryError> {
        let doing = || format!("set the compatibility of `{subject}`");
        let body = json!({ "compatibility": COMPATIBILITY });
        let path = format!("config/{subject}");
        let answer = self.ask("PUT", &path, Some(body), doing).await?;
        match answer.status {
            200 => Ok(()),
            400..500 => {
                let error = answer.unexpected(doing());
                warn!(%error, "the schema is registered all the same");
                Ok(())
            }
            _ => Err(answer.unexpected(doing())),
        }
    }

    /// The schema of an id; none if the registry says that it has none.
    pub(crate) async fn schema(&self, id: u32) -> Result<Option<String>, RegistryError> {
        let doing = || format!("look up the schema {id}");
        let path = format!("schemas/ids/{id}");
        let answer = self.ask("GET", &path, None, doing).await?;
        match (answer.status, answer.page["schema"].as_str()) {
            (200, Some(schema)) => Ok(Some(schema.to_owned())),
            (404, _) if answer.page["error_code"] == NO_SUCH_SCHEMA => Ok(None),
            _ => Err(answer.unexpected(doing())),
        }
    }

    async fn ask(
        &self,
        method: &'static str,
        path: &str,
        body: Option<Value>,
        doing: impl Fn() -> String,
    ) -> Result<Answer, RegistryError> {
        let failed = |why: &dyn std::fmt::Display| RegistryError::NoAnswer {
            doing: doing(),
            why: why.to_string(),
        };
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("{}/{path}", self.base))
            .header(
                "accept",
                "application/vnd.schemaregistry.v1+json, application/json",
            )
            .header("content-type", "application/vnd.schemaregistry.v1+json");
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = request
            .body(Full::from(body))
            .map_err(|error| failed(&error))?;
        let asking = async {
            let response = self.client.send(request).await;
            let response = response.map_err(|error| failed(&error))?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect();
            let body = body.await.map_err(|error| failed(&error))?.to_bytes();
            let page = serde_json::from_slice(&body).unwrap_or_default();
            Ok(Answer { status, page, body })
        };
        let answered = tokio::time::timeout(self.patience, asking).await;
        answered.unwrap_or_else(|_| Err(failed(&format!("no answer within {:?}", self.patience))))
    }
}

impl Answer {
    fn unexpected(&self, doing: String) -> RegistryError {
        let said = String::from_utf8_lossy(&self.body);
        RegistryError::Answer {
            doing,
            status: self.status,
            said: said[..said.floor_char_boundary(TOLD)].to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_that_cannot_work_is_refused_before_it_is_asked() {
        let no_certificate = tempfile::NamedTempFile::new().unwrap();
        let made = |url: &str, ca_file: Option<PathBuf>| {
            Registry::new(&RegistryConfig {
                url: url.to_owned(),
                ca_file,
                ..RegistryConfig::default()
            })
        };
        assert!(matches!(made("", None), Ok(None)), "none is configured");
        assert!(
            made("https://registry.example.org/", None)
                .unwrap()
                .is_some()
        );
        for url in ["registry:8081", "ftp://a", "http://user:hush@a"] {
            let error = made(url, None).err().unwrap();
            assert!(error.is_permanent(), "{error}");
        }
        for file in [no_certificate.path(), "/nowhere".as_ref()] {
            let error = made("https://a", Some(file.into())).err().unwrap();
            assert!(error.to_string().contains("ca-file"), "{error}");
        }
    }

    #[test]
    fn the_password_is_never_shown() {
        let config: RegistryConfig =
            toml::from_str("url = \"http://a\"\nuser = \"me\"\npassword = \"hush\"").unwrap();
        assert!(!format!("{config:?}").contains("hush"));
    }
}
