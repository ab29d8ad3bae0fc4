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
//! stands against it, 415 asks for JSON, 500 says what a person must mend, and 503 asks to
//! come again ([`Refusal`]).

use std::sync::{Arc, OnceLock};

use aquifer_catalogue::CatalogueError;
use aquifer_digest::Crc64Nvme;
use aquifer_runtime::config::Secret;
use aquifer_runtime::request::{BadField, Refusal, parse, require_json, require_token};
use aquifer_runtime::retry::{Classify as _, ErrorClass};
use aquifer_schemas::{RunId, WordError};
use aquifer_storage::StorageError;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
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
        let desk = desk.ok_or_else(|| later("the catalogue is not reached yet"))?;
        if desk.token.is_empty() {
            let error =
                "no token is configured, so that nobody is served; hint: set `monitor.token`";
            return Err(Refusal::Because(StatusCode::FORBIDDEN, error.to_owned()));
        }
        require_token(headers, &desk.token, "monitor.token")?;
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
    let detail = desk.shelf.catalogue().run_detail(&id).await;
    let detail = detail.map_err(refused)?;
    let detail = detail.ok_or_else(|| refused(CatalogueError::UnknownRun { run: id }))?;
    Ok(Json(detail).into_response())
}

async fn products(
    State(api): State<Api>,
    Path(place): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let desk = api.admit(&headers)?;
    let id = run_id(&place)?;
    desk.shelf.run(&id).await.map_err(refused)?;
    let products = shelf::products(desk.shelf.catalogue(), &id).await;
    Ok(Json(products.map_err(refused)?).into_response())
}

async fn record(
    State(api): State<Api>,
    Path(place): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let desk = api.admit(&headers)?;
    require_json(&headers)?;
    let id = run_id(&place)?;
    let made: MadeProduct = parse(&body)?;
    let (name, url, known) = made.read()?;
    let waiting = desk.waiting.try_acquire();
    let _waiting = waiting.map_err(|_| later("too many products wait to be read back"))?;
    let adopt = async {
        // Never closed.
        let _reading = desk.reading.acquire().await;
        desk.shelf.adopt(&id, &name, &url, known).await
    };
    let done = desk.shutdown.run_until_cancelled(adopt).await;
    let done = done.ok_or_else(|| later("the monitor ends"))?;
    let (product, new) = done.map_err(refused)?;
    let status = if new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(product)).into_response())
}

fn later(why: &str) -> Refusal {
    Refusal::Later(why.to_owned())
}

fn first() -> u32 {
    1
}

impl MadeProduct {
    fn read(self) -> Result<(ProductName, String, Known), BadField> {
        if self.version == 0 {
            return Err(BadField::new("version", "versions begin with 1"));
        }
        let crc64nvme = self.crc64nvme.as_deref().map(str::parse::<Crc64Nvme>);
        let crc64nvme = crc64nvme.transpose();
        let known = Known {
            size: self.size,
            crc64nvme: crc64nvme.map_err(|error| BadField::new("crc64nvme", error.to_string()))?,
        };
        let name = ProductName {
            level: self.level,
            pass: self.pass,
            version: self.version,
        };
        Ok((name, self.url, known))
    }
}

fn run_id((site, run): &(String, String)) -> Result<RunId, BadField> {
    let id = format!("{site}/{run}").parse();
    id.map_err(|error: WordError| BadField::new("run", error.to_string()))
}

/// What an error means for whoever asked.
fn refused(error: impl Into<ShelfError>) -> Refusal {
    let error = error.into();
    let said = error.to_string();
    let because = |status| Refusal::Because(status, said.clone());
    match error {
        ShelfError::Catalogue(CatalogueError::UnknownRun { .. }) => because(StatusCode::NOT_FOUND),
        ShelfError::Elsewhere { .. }
        | ShelfError::Storage(StorageError::Key(_) | StorageError::NotFound { .. }) => {
            BadField::new("url", said).into()
        }
        ShelfError::Differs { .. } | ShelfError::Catalogue(CatalogueError::Registered { .. }) => {
            because(StatusCode::CONFLICT)
        }
        other if other.class() == ErrorClass::Permanent => {
            tracing::error!(error = said, "a request cannot be served");
            because(StatusCode::INTERNAL_SERVER_ERROR)
        }
        _ => Refusal::Later(said),
    }
}
