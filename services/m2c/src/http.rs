//! The ingester's door on its listen address: a DAQ that has no Kafka client announces
//! its runs by HTTP, and people ask how things are.
//!
//! | request | answer |
//! |---|---|
//! | `POST /v1/run-opened`, `POST /v1/run-closed` | 202 when the journal has it on disk |
//! | `GET /v1/status` | a [`Status`](crate::Status) |
//! | `GET /v1/shadow` | of a rehearsal, a list of [`ShadowRun`](crate::ShadowRun) |
//!
//! 400 names the field that is wrong, 401 asks for the token, 409 says what stands
//! against it, 415 asks for JSON, 503 says that nothing can be remembered now. The
//! answers are JSON: `error`, and `field` where there is one.

use std::sync::{Arc, OnceLock};

use aquifer_digest::FileIdentity;
use aquifer_runtime::config::Secret;
use aquifer_runtime::crash::crash_point;
use aquifer_runtime::request::{BadField, Refusal, parse, require_json, require_token};
use aquifer_runtime::trace::TraceParent;
use aquifer_schemas::RunNumber;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;

use crate::announcement::{self, Meaning, Reason};
use crate::edge::Edge;
use crate::events;
use crate::journal::{Closure, Knowledge, Record};
use crate::notice::{ClosedNotice, OpenedNotice};
use crate::shadow;
use crate::spool::Letter;
use crate::status::gather;
use crate::steps;

/// An announcement is at most so long: thousands of files.
const LONGEST_BODY: usize = 1 << 20;

/// The pages, which answer 503 until the ingester has opened its journal. Clones share
/// them.
#[derive(Clone, Default)]
pub struct Door {
    desk: Arc<OnceLock<Desk>>,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let open = self.desk.get().is_some();
        f.debug_struct("Door").field("open", &open).finish()
    }
}

struct Desk {
    edge: Edge,
    token: Secret,
}

impl Door {
    /// What to serve.
    pub fn routes(&self) -> Router {
        Router::new()
            .route("/v1/run-opened", post(run_opened))
            .route("/v1/run-closed", post(run_closed))
            .route("/v1/status", get(status))
            .route("/v1/shadow", get(shadow))
            .layer(DefaultBodyLimit::max(LONGEST_BODY))
            .with_state(self.clone())
    }

    /// Opens the door: from now on announcements are taken. An empty `token` asks for none.
    pub(crate) fn open(&self, edge: Edge, token: Secret) {
        // A door is opened once.
        let _ = self.desk.set(Desk { edge, token });
    }

    fn desk(&self) -> Result<&Desk, Refusal> {
        self.desk
            .get()
            .ok_or_else(|| Refusal::Later("the ingester is starting".to_owned()))
    }
}

impl Desk {
    /// Lets in who has the token and says that it speaks JSON.
    fn admit(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if !self.token.is_empty() {
            require_token(headers, &self.token, "m2c.token")?;
        }
        require_json(headers)
    }

    /// Keeps the announcement for the bus, then for itself; both are on disk when this
    /// returns. In this order, because an announcement that is only on the bus is found
    /// by the scan, and one that is only here would be told to nobody else.
    async fn keep(
        &self,
        letter: Letter,
        trace: String,
        records: Vec<Record>,
    ) -> Result<(), Refusal> {
        if !self.edge.shadow {
            let put = self.edge.spool.put(letter, Some(trace)).await;
            put.map_err(forgetful)?;
        }
        for record in records {
            let kept = self.edge.journal.append(record).await;
            kept.map_err(|error| {
                events::journal_failed(&error);
                forgetful(error)
            })?;
        }
        crash_point(steps::MESSAGE_JOURNALED);
        Ok(())
    }

    fn accepted(&self, run: RunNumber) -> Response {
        let version = self.edge.journal.ledger().version(run);
        let run = self.edge.run_id(run, version);
        let body = json!({ "run": run.to_string(), "state": "journalled" });
        (StatusCode::ACCEPTED, Json(body)).into_response()
    }
}

async fn run_opened(
    State(door): State<Door>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let desk = door.desk()?;
    desk.admit(&headers)?;
    let notice: OpenedNotice = parse(&body)?;
    let mut message = notice.into_message(&desk.edge.site, &producer(&desk.edge))?;
    let run = message.run;
    let trace = TraceParent::new_root().to_string();
    match announcement::opened(&desk.edge, &mut message, Some(trace.clone())) {
        Meaning::Records(records) => {
            desk.keep(Letter::Opened(message), trace, records).await?;
            Ok(desk.accepted(run))
        }
        Meaning::Nothing(why) => Err(refused(&desk.edge, why, run)),
    }
}

async fn run_closed(
    State(door): State<Door>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let desk = door.desk()?;
    desk.admit(&headers)?;
    let notice: ClosedNotice = parse(&body)?;
    let mut message = notice.into_message(&desk.edge.site, &producer(&desk.edge))?;
    let run = message.run;
    let trace = TraceParent::new_root().to_string();
    match announcement::closed(&desk.edge, &mut message, trace.clone())? {
        Meaning::Records(records) => {
            let closed = records.iter().find_map(|record| match record {
                Record::Closed {
                    version, closure, ..
                } => Some((*version, closure)),
                _ => None,
            });
            if let Some((version, closure)) = closed {
                contradicts(&desk.edge, run, version, closure)
                    .map_or(Ok(()), |what| Err(contradiction(what)))?;
                let id = desk.edge.run_id(run, version);
                let files = closure.files.len();
                desk.keep(Letter::Closed(message), trace, records).await?;
                events::run_closed(&id, "daq", files);
            }
            Ok(desk.accepted(run))
        }
        Meaning::Nothing(why) => Err(refused(&desk.edge, why, run)),
    }
}

async fn status(State(door): State<Door>) -> Result<Response, Refusal> {
    let edge = door.desk()?.edge.clone();
    let gathered = tokio::task::spawn_blocking(move || gather(&edge)).await;
    let status = gathered.map_err(forgetful)?;
    Ok(Json(status).into_response())
}

async fn shadow(State(door): State<Door>) -> Result<Response, Refusal> {
    let edge = &door.desk()?.edge;
    if !edge.shadow {
        let error = "this ingester is in service; hint: `aquifer m2c --shadow` runs a rehearsal";
        return Err(Refusal::Because(StatusCode::NOT_FOUND, error.to_owned()));
    }
    Ok(Json(shadow::gather(edge)).into_response())
}

/// What the announcement says of a stored file that is not so: the file in the buffer is
/// still the one that was stored.
fn contradicts(edge: &Edge, run: RunNumber, version: u32, closure: &Closure) -> Option<String> {
    let ledger = edge.journal.ledger();
    if version != ledger.version(run) {
        return None;
    }
    closure.files.iter().find_map(|file| {
        let disk = file.disk.as_ref().unwrap_or(&file.name);
        let Knowledge::Stored(known) = ledger.knowledge(run, disk, &file.name) else {
            return None;
        };
        let found = std::fs::symlink_metadata(edge.rules.path(disk)).ok()?;
        let (said, stored) = (file.size?, known.identity.size);
        // Under this very name, and not in another encoding.
        let same = FileIdentity::from(&found) == known.identity;
        (same && said != stored).then(|| {
            format!(
                "file `{}` is stored with {stored} bytes, and {said} are announced",
                file.name
            )
        })
    })
}

fn refused(edge: &Edge, why: Reason, run: RunNumber) -> Refusal {
    events::message_ignored(run, why.as_str());
    let bad = |field: &str, reason: String| BadField::new(field, reason).into();
    match why {
        Reason::OtherSite => bad("site", format!("this is the ingester of {}", edge.site)),
        Reason::OtherBuffer => bad(
            "buffer",
            format!("this is the ingester of {}", edge.buffer_element),
        ),
        Reason::OwnWords => bad(
            "producer",
            "this is how the ingester calls itself".to_owned(),
        ),
        Reason::ClosedAlready => contradiction(format!("run {run} is closed already")),
    }
}

/// It contradicts what is known.
fn contradiction(what: String) -> Refusal {
    Refusal::Because(StatusCode::CONFLICT, what)
}

/// It cannot be remembered now.
fn forgetful(error: impl std::fmt::Display) -> Refusal {
    Refusal::Later(format!(
        "it cannot be remembered now, and the scan will find the run: {error}"
    ))
}

/// How announcements that came this way are signed on the bus. Not as the ingester's
/// own: were the journal lost between the two, it would take them in from there.
fn producer(edge: &Edge) -> String {
    format!("http:{}", edge.signals.producer)
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
