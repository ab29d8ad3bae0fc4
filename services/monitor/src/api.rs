//! The API on the monitor's address.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/runs/SITE/RUN` | the run, its attributes, files, copies and history |
//! | `GET /v1/runs/SITE/RUN/products` | what was made from it, in the order of recording |
//! | `POST /v1/runs/SITE/RUN/products` | 201 the product is recorded, 200 it was before |
//!
//! `RUN` is a number, or `NUMBER.vN`. 400 names the field that is wrong, 401 asks for the
//! token, 403 says that there is none, 404 names the run that is not there, 409 says what
//! stands against it, 415 asks for JSON, 503 asks to come again. The answers are JSON:
//! `error`, and `field` where there is one.

use std::sync::{Arc, OnceLock};

use aquifer_catalogue::CatalogueError;
use aquifer_digest::Crc64Nvme;
use aquifer_runtime::config::Secret;
use aquifer_runtime::request::{BadField, has_token, is_json, parse};
use aquifer_runtime::retry::{Classify as _, ErrorClass};
use aquifer_schemas::RunId;
use aquifer_storage::StorageError;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::shelf::{self, Known, Label, ProductName, Shelf, ShelfError};

/// The word on a product is at most so long.
const LONGEST_BODY: usize = 16 << 10;

/// Objects that are read back at a time: each takes a connection and a core.
const READ_AT_A_TIME: usize = 2;

/// Words on products that may wait for their turn.
const WAITING: usize = 256;

/// The pages, which answer 503 until the catalogue is reached. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Api {
    desk: Arc<OnceLock<Desk>>,
}

/// What serves them.
#[derive(Debug)]
pub(crate) struct Desk {
    shelf: Shelf,
    token: Secret,
    shutdown: CancellationToken,
    waiting: Semaphore,
    reading: Semaphore,
}

/// A batch job's word on what it made: the object is in the storage already.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MadeProduct {
    level: Label,
    pass: Label,
    #[serde(default = "first")]
    version: u32,
    url: String,
    size: Option<u64>,
    crc64nvme: Option<String>,
}

/// Why a request is not served.
#[derive(Debug)]
enum Refusal {
    /// The catalogue was not reached yet, or the monitor ends.
    Closed(&'static str),
    /// No token is configured.
    NobodyServed,
    /// The token is missing or wrong.
    Stranger,
    /// The body is not said to be JSON.
    NotJson,
    /// A field is wrong.
    Bad(BadField),
    /// The run is not there.
    NoRun(String),
    /// What is recorded, or what was read, says otherwise.
    Contradiction(String),
    /// It may work later.
    Later(String),
    /// It will not work before a person mends it.
    Broken(String),
}

impl Api {
    /// What to serve.
    pub fn routes(&self) -> Router {
        Router::new()
            .route("/v1/runs/{site}/{run}", get(run))
            .route("/v1/runs/{site}/{run}/products", get(products).post(record))
            .layer(DefaultBodyLimit::max(LONGEST_BODY))
            .with_state(self.clone())
    }

    /// Opens the pages: from now on they are served.
    pub(crate) fn open(&self, desk: Desk) {
        // Opened once.
        let _ = self.desk.set(desk);
    }

    /// Lets in who has the token.
    fn admit(&self, headers: &HeaderMap) -> Result<&Desk, Refusal> {
        let desk = self.desk.get();
        let desk = desk.ok_or(Refusal::Closed("the catalogue is not reached yet"))?;
        if desk.token.is_empty() {
            return Err(Refusal::NobodyServed);
        }
        if !has_token(headers, &desk.token) {
            return Err(Refusal::Stranger);
        }
        Ok(desk)
    }
}

impl Desk {
    pub(crate) fn new(shelf: Shelf, token: Secret, shutdown: CancellationToken) -> Self {
        Self {
            shelf,
            token,
            shutdown,
            waiting: Semaphore::new(WAITING),
            reading: Semaphore::new(READ_AT_A_TIME),
        }
    }
}

async fn run(
    State(api): State<Api>,
    Path(place): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let desk = api.admit(&headers)?;
    let id = run_id(&place)?;
    let detail = desk.shelf.catalogue().run_detail(&id).await?;
    let detail = detail.ok_or(CatalogueError::UnknownRun { run: id })?;
    Ok(Json(detail).into_response())
}

async fn products(
    State(api): State<Api>,
    Path(place): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let desk = api.admit(&headers)?;
    let id = run_id(&place)?;
    desk.shelf.run(&id).await?;
    Ok(Json(shelf::products(desk.shelf.catalogue(), &id).await?).into_response())
}

async fn record(
    State(api): State<Api>,
    Path(place): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let desk = api.admit(&headers)?;
    if !is_json(&headers) {
        return Err(Refusal::NotJson);
    }
    let id = run_id(&place)?;
    let made: MadeProduct = parse(&body)?;
    let (name, url, known) = made.read()?;
    let full = |_| Refusal::Later("too many products wait to be read back".to_owned());
    let _waiting = desk.waiting.try_acquire().map_err(full)?;
    let adopt = async {
        // Never closed.
        let _reading = desk.reading.acquire().await;
        desk.shelf.adopt(&id, &name, &url, known).await
    };
    let done = desk.shutdown.run_until_cancelled(adopt).await;
    let (product, new) = done.ok_or(Refusal::Closed("the monitor ends"))??;
    let status = if new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(product)).into_response())
}

fn first() -> u32 {
    1
}

impl MadeProduct {
    fn read(self) -> Result<(ProductName, String, Known), BadField> {
        if self.version == 0 {
            return Err(bad("version", "versions begin with 1"));
        }
        let crc64nvme = self.crc64nvme.as_deref().map(str::parse::<Crc64Nvme>);
        let crc64nvme = crc64nvme.transpose();
        let known = Known {
            size: self.size,
            crc64nvme: crc64nvme.map_err(|error| bad("crc64nvme", &error.to_string()))?,
        };
        let name = ProductName {
            level: self.level,
            pass: self.pass,
            version: self.version,
        };
        Ok((name, self.url, known))
    }
}

fn bad(field: &str, reason: &str) -> BadField {
    BadField {
        field: field.to_owned(),
        reason: reason.to_owned(),
    }
}

fn run_id((site, run): &(String, String)) -> Result<RunId, Refusal> {
    let id = format!("{site}/{run}").parse();
    id.map_err(|error: aquifer_schemas::WordError| bad("run", &error.to_string()).into())
}

impl From<BadField> for Refusal {
    fn from(bad: BadField) -> Self {
        Self::Bad(bad)
    }
}

impl From<CatalogueError> for Refusal {
    fn from(error: CatalogueError) -> Self {
        ShelfError::from(error).into()
    }
}

impl From<ShelfError> for Refusal {
    fn from(error: ShelfError) -> Self {
        let said = error.to_string();
        match error {
            ShelfError::Catalogue(CatalogueError::UnknownRun { .. }) => Self::NoRun(said),
            ShelfError::NotAPlace { .. }
            | ShelfError::OtherBucket { .. }
            | ShelfError::Storage(StorageError::Key(_) | StorageError::NotFound { .. }) => {
                Self::Bad(bad("url", &said))
            }
            ShelfError::Differs { .. }
            | ShelfError::Catalogue(CatalogueError::Registered { .. }) => Self::Contradiction(said),
            other if other.class() == ErrorClass::Permanent => Self::Broken(said),
            _ => Self::Later(said),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let plain = |status, error: &str| (status, Json(json!({ "error": error }))).into_response();
        let later = |error: &str| {
            let retry = [(header::RETRY_AFTER, "5")];
            (retry, plain(StatusCode::SERVICE_UNAVAILABLE, error)).into_response()
        };
        match self {
            Self::Closed(why) => later(why),
            Self::Later(error) => later(&error),
            Self::NobodyServed => plain(
                StatusCode::FORBIDDEN,
                "no token is configured, so that nobody is served; hint: set `monitor.token`",
            ),
            Self::Stranger => plain(
                StatusCode::UNAUTHORIZED,
                "the token is missing or wrong; hint: send `Authorization: Bearer …`, see monitor.token",
            ),
            Self::NotJson => plain(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body must be JSON; hint: send `Content-Type: application/json` (`curl --json`)",
            ),
            Self::Bad(BadField { field, reason }) => {
                let body = json!({ "error": reason, "field": field });
                (StatusCode::BAD_REQUEST, Json(body)).into_response()
            }
            Self::NoRun(error) => plain(StatusCode::NOT_FOUND, &error),
            Self::Contradiction(error) => plain(StatusCode::CONFLICT, &error),
            Self::Broken(error) => {
                tracing::error!(error, "a request cannot be served");
                plain(StatusCode::INTERNAL_SERVER_ERROR, &error)
            }
        }
    }
}
