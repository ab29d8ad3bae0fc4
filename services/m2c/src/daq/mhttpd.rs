//! A client of MIDAS's web server: JSON-RPC 2.0 by `POST /?mjsonrpc`
//! (MIDAS wiki, "Mjsonrpc"; `mjsonrpc.cxx` lists the methods).
//!
//! Two methods are used. `db_get_values {paths}` gives `data` and `status`, one of each
//! per path; key names come in lower case and links are followed. `cm_msg1 {facility,
//! user, type, message}` writes into the experiment's message log. Every answer is
//! `{"result": …}` or `{"error": {code, message, data}}`. No event buffer is opened.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use thiserror::Error;

/// Longest time for a request, connecting included.
const PATIENCE: Duration = Duration::from_secs(5);

/// `DB_SUCCESS` and `CM_SUCCESS` (`midas.h`).
const SUCCESS: i64 = 1;

/// Longest answer that is read, in bytes; a whole ODB is some 300 kB.
const LONGEST: usize = 8 << 20;

/// How a message is shown in the log (`midas.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MessageType {
    /// `MT_ERROR`.
    Error = 1,
    /// `MT_INFO`.
    Info = 2,
}

/// A web server that is of no help now.
#[derive(Debug, Error)]
pub(crate) enum MhttpdError {
    /// It does not answer, or not as mhttpd does.
    #[error("mhttpd: {method}: {source}")]
    Http {
        /// What was asked.
        method: &'static str,
        /// What went wrong.
        source: reqwest::Error,
    },
    /// It answers that it cannot.
    #[error("mhttpd: {method}: {message} (code {code})")]
    Refused {
        /// What was asked.
        method: &'static str,
        /// Its code.
        code: i64,
        /// Its words.
        message: String,
    },
    /// It answers something else.
    #[error("mhttpd: {method}: the answer is not what MIDAS gives: {reason}")]
    Strange {
        /// What was asked.
        method: &'static str,
        /// In which way.
        reason: String,
    },
}

/// Speaks to one mhttpd.
#[derive(Debug, Clone)]
pub(crate) struct Mhttpd {
    url: String,
    client: reqwest::Client,
}

#[derive(Deserialize)]
struct Answer<T> {
    result: Option<T>,
    error: Option<Problem>,
}

#[derive(Deserialize)]
struct Problem {
    code: i64,
    message: String,
}

#[derive(Deserialize)]
struct Values {
    data: Vec<Value>,
    status: Vec<i64>,
}

#[derive(Deserialize)]
struct Said {
    status: i64,
}

impl Mhttpd {
    /// For the server at `url`, such as `http://localhost:8080`.
    pub(crate) fn new(url: &str) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            .pool_max_idle_per_host(1)
            // The DAQ is next door, whatever the environment says about the world.
            .no_proxy()
            .build()?;
        Ok(Self {
            url: format!("{}/?mjsonrpc", url.trim_end_matches('/')),
            client,
        })
    }

    /// Values of ODB subtrees, in the order of `paths`; `None` for those that are not
    /// there.
    pub(crate) async fn values(&self, paths: &[&str]) -> Result<Vec<Option<Value>>, MhttpdError> {
        const METHOD: &str = "db_get_values";
        let params = json!({ "paths": paths, "omit_names": true, "omit_last_written": true });
        let answer: Values = self.call(METHOD, params).await?;
        if answer.data.len() != paths.len() || answer.status.len() != paths.len() {
            return Err(MhttpdError::Strange {
                method: METHOD,
                reason: format!("{} values for {} paths", answer.data.len(), paths.len()),
            });
        }
        let found = answer.data.into_iter().zip(answer.status);
        Ok(found
            .map(|(data, status)| (status == SUCCESS && !data.is_null()).then_some(data))
            .collect())
    }

    /// Writes into the experiment's message log.
    pub(crate) async fn say(
        &self,
        user: &str,
        kind: MessageType,
        message: &str,
    ) -> Result<(), MhttpdError> {
        const METHOD: &str = "cm_msg1";
        let params = json!({
            "facility": "midas",
            "user": user,
            "type": kind as i64,
            "message": message,
        });
        let said: Said = self.call(METHOD, params).await?;
        if said.status == SUCCESS {
            return Ok(());
        }
        Err(MhttpdError::Refused {
            method: METHOD,
            code: said.status,
            message: "status of cm_msg1".to_owned(),
        })
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<T, MhttpdError> {
        let failed = |source| MhttpdError::Http { method, source };
        let strange = |reason: String| MhttpdError::Strange { method, reason };
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let mut reply = self
            .client
            .post(&self.url)
            .json(&request)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .map_err(failed)?;
        let mut body = Vec::new();
        while let Some(chunk) = reply.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > LONGEST {
                return Err(strange(format!("longer than {LONGEST} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        let answer: Answer<T> =
            serde_json::from_slice(&body).map_err(|error| strange(error.to_string()))?;
        match (answer.result, answer.error) {
            (Some(result), _) => Ok(result),
            (None, Some(Problem { code, message })) => Err(MhttpdError::Refused {
                method,
                code,
                message,
            }),
            (None, None) => Err(strange("neither result nor error".to_owned())),
        }
    }
}
