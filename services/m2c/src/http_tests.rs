use std::path::Path;

use aquifer_catalogue::{Catalogue, CatalogueConfig};
use aquifer_runtime::health::Health;
use aquifer_runtime::retry::RetryPolicy;
use aquifer_runtime::service::{Context, Tasks};
use aquifer_storage::{S3Config, S3Element};
use axum::body::Body;
use axum::http::{Request, header};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::*;
use crate::daq::DaqLog;
use crate::edge::BufferSeen;
use crate::examiner::Examiner;
use crate::journal::Journal;
use crate::keys::Keys;
use crate::links::Links;
use crate::pace::{Pacer, Schedule};
use crate::signals::Signals;
use crate::spool::Spool;
use crate::status::Seen;
use crate::stream::Streams;
use crate::{M2cConfig, Status};

/// An edge whose middle does not exist.
async fn edge(folder: &Path) -> Edge {
    let config = M2cConfig {
        site: "LAB".to_owned(),
        buffer: folder.join("buffer"),
        ..M2cConfig::default()
    };
    std::fs::create_dir_all(&config.buffer).unwrap();
    let shutdown = CancellationToken::new();
    let context = Context {
        shutdown: shutdown.clone(),
        health: Health::default(),
        tasks: Tasks::new(shutdown.clone()),
    };
    let storage = S3Config {
        endpoint: "http://127.0.0.1:1".to_owned(),
        bucket: "none".to_owned(),
        access_key: "none".to_owned().into(),
        secret_key: "none".to_owned().into(),
        ..S3Config::default()
    };
    Edge {
        shadow: false,
        site: "LAB".parse().unwrap(),
        buffer_element: "LAB-buffer".to_owned(),
        rules: config.rules().unwrap(),
        classifier: Arc::default(),
        journal: Journal::open(&folder.join("journal")).unwrap().0,
        catalogue: Catalogue::connect(&CatalogueConfig::default())
            .await
            .unwrap(),
        storage: Arc::new(S3Element::new(storage).unwrap()),
        keys: Keys::under("raw"),
        signals: Signals {
            producer: "m2c@LAB-buffer".to_owned(),
        },
        buffer_seen: BufferSeen::default(),
        examiner: Examiner::new().0,
        purge_hint: Arc::default(),
        streams: Streams::new(config.stream.clone()).unwrap(),
        retry: RetryPolicy::default(),
        shutdown,
        links: Links::new(&context),
        pacer: Pacer::new(Schedule::parse(&config.bandwidth).unwrap()),
        spool: Spool::open(&folder.join("journal/outbox")).unwrap(),
        seen: Seen::default(),
        daq: DaqLog::default(),
    }
}

async fn door(folder: &Path, token: &str) -> (Door, Edge) {
    let door = Door::default();
    let edge = edge(folder).await;
    door.open(edge.clone(), token.to_owned().into());
    (door, edge)
}

async fn send(door: &Door, request: Request<Body>) -> (StatusCode, Value) {
    let response = door.routes().oneshot(request).await.unwrap();
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20)
        .await
        .unwrap();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

async fn tell(door: &Door, page: &str, body: &str) -> (StatusCode, Value) {
    let request = Request::post(format!("/v1/{page}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_owned()));
    send(door, request.unwrap()).await
}

const CLOSED: &str = r#"{"run": 7, "ended_at": "2026-01-02T03:04:05Z", "run_type": "std",
    "events": 400, "attributes": {"hv": 440.5, "shield": true, "source": "Fe55"},
    "files": [{"name": "run7.mid", "size": 12, "crc32c": "e3069283"}]}"#;

#[tokio::test]
async fn a_run_is_remembered_and_kept_for_the_bus_before_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    {
        let (door, edge) = door(folder.path(), "").await;
        let (status, answer) = tell(&door, "run-opened", r#"{"run": 7, "run_type": "std"}"#).await;
        assert_eq!(
            (status, &answer["run"]),
            (StatusCode::ACCEPTED, &"LAB/7".into())
        );
        let (status, _) = tell(&door, "run-closed", CLOSED).await;
        assert_eq!(status, StatusCode::ACCEPTED);
        assert_eq!(edge.spool.waiting(), (2, 0));
    }
    // The process is gone; what the disk says is all there is.
    let folder_of_journal = folder.path().join("journal");
    let (journal, _) = loop {
        // The journal's thread ends a moment after its last handle.
        match Journal::open(&folder_of_journal) {
            Ok(opened) => break opened,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let ledger = journal.ledger();
    let active = ledger.active(7).unwrap();
    let closure = active.closure.as_ref().unwrap();
    assert_eq!(closure.events, Some(400));
    assert_eq!(closure.attributes["hv"], "440.5");
    assert_eq!(closure.attributes["shield"], "true");
    assert_eq!(closure.files[0].size, Some(12));
    assert!(active.opening.is_some());
}

#[tokio::test]
async fn what_is_wrong_is_refused_with_its_field() {
    let folder = tempfile::tempdir().unwrap();
    let (door, edge) = door(folder.path(), "").await;
    for (body, field, words) in [
        (r#"{"run": "seven"}"#, "run", "expected u64"),
        (r#"{"run": 7, "ended_at": "yesterday"}"#, "ended_at", "year"),
        (
            r#"{"run": 7, "runtype": "std"}"#,
            "runtype",
            "unknown field `runtype`",
        ),
        (
            r#"{"run": 7, "files": [{"name": "run7.mid", "size": -1}]}"#,
            "files[0].size",
            "-1",
        ),
        (
            r#"{"run": 7, "files": [{"name": "../x"}]}"#,
            "files[0].name",
            "../x",
        ),
        (
            r#"{"run": 7, "files": [{"name": "run8.mid"}]}"#,
            "files[0].name",
            "not a file of run 7",
        ),
        (
            r#"{"run": 7, "files": [{"name": "run7.mid", "crc32c": "xyz"}]}"#,
            "files[0].crc32c",
            "xyz",
        ),
        (r#"{"run": 7, "site": "LNGS"}"#, "site", "ingester of LAB"),
        (r#"{"run": 7, "buffer": "other"}"#, "buffer", "LAB-buffer"),
        (
            r#"{"run": 7, "attributes": {"a": [1]}}"#,
            "attributes.a",
            "text, a number or a flag",
        ),
        (
            r#"{"run": 7, "started_at": "2026-01-02T00:00:00Z", "ended_at": "2026-01-01T00:00:00Z"}"#,
            "ended_at",
            "before it begins",
        ),
        ("no JSON", "", "expected"),
    ] {
        let (status, answer) = tell(&door, "run-closed", body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}: {answer}");
        let named = answer["field"].as_str().unwrap_or_default();
        assert_eq!(named, field, "{body}: {answer}");
        assert!(
            answer["error"].as_str().unwrap().contains(words),
            "{body}: {answer}"
        );
    }
    assert_eq!(edge.journal.ledger().runs(), 0);
    assert_eq!(edge.spool.waiting(), (0, 0));
}

#[tokio::test]
async fn what_contradicts_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (door, edge) = door(folder.path(), "").await;
    assert_eq!(
        tell(&door, "run-closed", r#"{"run": 7}"#).await.0,
        StatusCode::ACCEPTED
    );
    let (status, answer) = tell(&door, "run-opened", r#"{"run": 7}"#).await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    // A file that is stored with other bytes than are announced.
    let path = edge.rules.path(&"run7.mid".parse().unwrap());
    std::fs::write(&path, b"12 bytes of ").unwrap();
    edge.journal
        .append(crate::journal::stored_for_test(7, &path))
        .await
        .unwrap();
    let (status, answer) = tell(
        &door,
        "run-closed",
        r#"{"run": 7, "files": [{"name": "run7.mid", "size": 13}]}"#,
    )
    .await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    assert!(
        answer["error"].as_str().unwrap().contains("12 bytes"),
        "{answer}"
    );
    // Said again as it was, it is taken again.
    assert_eq!(
        tell(&door, "run-closed", CLOSED).await.0,
        StatusCode::ACCEPTED
    );
}

#[tokio::test]
async fn strangers_and_what_is_too_long_are_kept_out() {
    let folder = tempfile::tempdir().unwrap();
    let (door, edge) = door(folder.path(), "open sesame").await;
    let closed = |token: Option<&str>, kind: &str, body: String| {
        let mut request = Request::post("/v1/run-closed").header(header::CONTENT_TYPE, kind);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        send(&door, request.body(Body::from(body)).unwrap())
    };
    let good = || r#"{"run": 7}"#.to_owned();
    let json = "application/json; charset=utf-8";
    assert_eq!(closed(None, json, good()).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(
        closed(Some("open"), json, good()).await.0,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        closed(Some("open sesamE"), json, good()).await.0,
        StatusCode::UNAUTHORIZED
    );
    let (status, answer) = closed(Some("open sesame"), "text/plain", good()).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert!(
        answer["error"].as_str().unwrap().contains("hint"),
        "{answer}"
    );
    let long = format!(
        r#"{{"run": 7, "run_type": "{}"}}"#,
        "x".repeat(LONGEST_BODY)
    );
    assert_eq!(
        closed(Some("open sesame"), json, long).await.0,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert_eq!(edge.journal.ledger().runs(), 0);
    assert_eq!(
        closed(Some("open sesame"), json, good()).await.0,
        StatusCode::ACCEPTED
    );
}

#[tokio::test]
async fn nothing_is_accepted_that_cannot_be_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let closed_door = Door::default();
    let (status, _) = tell(&closed_door, "run-closed", r#"{"run": 7}"#).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let (door, edge) = door(folder.path(), "").await;
    // As on a disk that is full or read-only.
    std::fs::remove_dir_all(folder.path().join("journal/outbox")).unwrap();
    let (status, answer) = tell(&door, "run-closed", r#"{"run": 7}"#).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    assert_eq!(edge.journal.ledger().runs(), 0);
}

async fn status(door: &Door) -> Status {
    let request = Request::get("/v1/status").body(Body::empty()).unwrap();
    let (code, body) = send(door, request).await;
    assert_eq!(code, StatusCode::OK, "{body}");
    serde_json::from_value(body).unwrap()
}

#[tokio::test]
async fn the_status_says_what_is_only_here_and_what_is_in_danger() {
    let folder = tempfile::tempdir().unwrap();
    let (door, edge) = door(folder.path(), "").await;
    let fresh = status(&door).await;
    assert!(!fresh.safe_to_switch_off, "the buffer has not been listed");
    edge.seen.listed(std::iter::empty());
    assert!(status(&door).await.safe_to_switch_off);

    tell(&door, "run-opened", r#"{"run": 7}"#).await;
    let open = status(&door).await;
    assert!(!open.safe_to_switch_off);
    assert!(open.reasons[0].contains("run 7"), "{:?}", open.reasons);

    let path = edge.rules.path(&"run7.mid".parse().unwrap());
    std::fs::write(&path, b"12 bytes of ").unwrap();
    tell(&door, "run-closed", CLOSED).await;
    let just_closed = status(&door).await;
    assert_eq!(just_closed.files.waiting, 1);
    assert_eq!(
        (just_closed.backlog.runs, just_closed.backlog.bytes),
        (1, 12)
    );
    assert_eq!(just_closed.backlog.oldest.unwrap().run.to_string(), "LAB/7");
    assert!(
        just_closed.reasons[0].contains("`sync`"),
        "{:?}",
        just_closed.reasons
    );

    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_mins(5);
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(long_ago).unwrap();
    let quiet = status(&door).await;
    assert!(quiet.safe_to_switch_off, "{:?}", quiet.reasons);
    assert!(quiet.parts.iter().all(|part| !part.reached));
    assert_eq!(quiet.letters, 2);

    edge.journal
        .append(crate::journal::stored_for_test(7, &path))
        .await
        .unwrap();
    let stored = status(&door).await;
    assert_eq!((stored.files.waiting, stored.files.stored), (0, 1));
    assert_eq!(stored.last_stored.unwrap().run.to_string(), "LAB/7");
}
