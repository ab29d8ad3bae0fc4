//! The catalogue against a real `MariaDB`.
//!
//! Each test takes the address of a server and works in a database of its own. Two of
//! them want the server for themselves: one kills it, one sets its time zone.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "what cannot go on in a test has failed, and the rate is printed for people"
)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aquifer_catalogue::{
    Attribute, Catalogue, CatalogueConfig, CatalogueError, ClosedFile, ClosedRun, ElementKind,
    FileIdentity, JournalAdvance, NewWork, OUTBOX_LEASE, OpenedRun, OutboxRow, Product, RunDetail,
    RunFilter, SCHEMA_VERSION, StoredFileFacts, StoredRun, machine,
};
use aquifer_runtime::retry::{Classify as _, ErrorClass};
use aquifer_schemas::{
    AlertSignal, ClosedBy, Decoder, Encoding, EvidenceLevel, FileName, FileState, ReplicaState,
    RunClosed, RunId, RunState, RunStored, Severity, Site, event_id,
};
use jiff::Timestamp;
use mysql_async::prelude::Queryable;
use tokio::task::JoinSet;

const WHO: &str = "test@here";

/// A server: `host` is 127.0.0.1 and `root` has no password.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Server {
    /// Its port.
    pub(crate) port: u16,
}

impl Server {
    /// A database of its own for each caller.
    fn config(self) -> CatalogueConfig {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        CatalogueConfig {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            database: format!("test_{}_{number}", std::process::id()),
            user: "root".to_owned(),
            ..CatalogueConfig::default()
        }
    }

    /// A catalogue with a site, its buffer and an object store.
    async fn catalogue(self) -> Catalogue {
        let catalogue = Catalogue::connect(&self.config()).await.unwrap();
        furnish(&catalogue).await;
        catalogue
    }

    /// A connection behind the catalogue's back.
    async fn raw(self, config: &CatalogueConfig) -> mysql_async::Conn {
        let options = mysql_async::OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(self.port)
            .user(Some("root"))
            .db_name(Some(&config.database));
        mysql_async::Conn::new(options).await.unwrap()
    }
}

async fn furnish(catalogue: &Catalogue) {
    catalogue.migrate().await.unwrap();
    let site = lngs();
    let new = catalogue
        .register_site(&site, "Europe/Rome", "Gran Sasso")
        .await;
    assert!(new.unwrap());
    let buffer = ElementKind::Buffer;
    catalogue
        .register_element("BUFFER", buffer, Some(&site), "file:///data")
        .await
        .unwrap();
    catalogue
        .register_element("S3", ElementKind::S3, None, "https://s3")
        .await
        .unwrap();
}

fn lngs() -> Site {
    "LNGS".parse().unwrap()
}

fn run(number: u64) -> RunId {
    RunId::first(lngs(), number)
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn name(text: &str) -> FileName {
    text.parse().unwrap()
}

fn signal(id: &RunId, kind: &str) -> AlertSignal {
    AlertSignal {
        event_id: event_id(&id.to_string(), kind, 1),
        name: kind.to_owned(),
        severity: Severity::Warning,
        subject: id.to_string(),
        site: Some(id.site.clone()),
        run: Some(id.number),
        summary: kind.to_owned(),
        details: BTreeMap::new(),
        cleared: false,
        occurred_at: at("2026-11-22T06:00:00Z"),
        producer: WHO.to_owned(),
    }
}

fn opened(id: &RunId) -> OpenedRun {
    OpenedRun {
        id: id.clone(),
        started_at: at("2026-11-22T05:00:00.123456789Z"),
        run_type: Some("physics".to_owned()),
        attributes: BTreeMap::from([("shifter".to_owned(), Attribute::text("Ada"))]),
        trace: None,
        who: WHO.to_owned(),
    }
}

fn closed(id: &RunId, files: &[&str]) -> ClosedRun {
    ClosedRun {
        id: id.clone(),
        started_at: Some(at("2026-11-22T05:00:00.123456789Z")),
        ended_at: at("2026-11-22T06:00:00.5Z"),
        run_type: Some("physics".to_owned()),
        closed_by: ClosedBy::Daq,
        events: Some(400),
        attributes: BTreeMap::from([
            ("GEM1_V".to_owned(), Attribute::number(440.5).with_unit("V")),
            ("pedestal".to_owned(), Attribute::bool(false)),
            ("flow".to_owned(), Attribute::number(f64::NAN)),
        ]),
        files: files
            .iter()
            .map(|file| ClosedFile {
                name: name(file),
                size: Some(1000),
            })
            .collect(),
        buffer: "BUFFER".to_owned(),
        trace: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        who: WHO.to_owned(),
        announce: true,
        signals: vec![signal(id, "closed")],
    }
}

fn facts(id: &RunId, file: &str, size: u64) -> StoredFileFacts {
    StoredFileFacts {
        name: name(file),
        size,
        crc64nvme: "0123456789abcdef".to_owned(),
        adler32: "01234567".to_owned(),
        crc32c: "89abcdef".to_owned(),
        identity: FileIdentity {
            dev: u64::MAX,
            ino: 12,
            size,
            mtime_ns: 1_795_000_000_000_000_001,
            ctime_ns: 1_795_000_000_000_000_002,
        },
        element: "S3".to_owned(),
        bucket: "raw".to_owned(),
        key: format!("{}/{}/{file}", id.site, id.number),
        encoding: Encoding::Identity,
        stored_size: size,
        stored_crc64nvme: "0123456789abcdef".to_owned(),
        evidence: EvidenceLevel::E2,
        evidence_method: "head-object".to_owned(),
        sealed_at: at("2026-11-22T06:00:01Z"),
        stored_at: at("2026-11-22T06:00:02Z"),
    }
}

/// A run of these files, of which these are stored.
fn stored(id: &RunId, files: &[&str], now: &[&str]) -> StoredRun {
    StoredRun {
        closed: closed(id, files),
        files: now.iter().map(|file| facts(id, file, 1000)).collect(),
        manifest_key: Some("manifest.json".to_owned()),
        signals: vec![signal(id, "stored")],
    }
}

async fn detail(catalogue: &Catalogue, id: &RunId) -> RunDetail {
    catalogue.run_detail(id).await.unwrap().unwrap()
}

async fn outbox(catalogue: &Catalogue) -> Vec<OutboxRow> {
    catalogue.outbox_batch(1000).await.unwrap()
}

fn topics(rows: &[OutboxRow]) -> Vec<&str> {
    rows.iter().map(|row| row.topic.as_str()).collect()
}

/// Every step in the history follows the one before and is one of its machine's.
fn check_history(detail: &RunDetail) {
    let mut states: BTreeMap<(String, u64), String> = BTreeMap::new();
    for step in &detail.transitions {
        let entity = (step.entity.clone(), step.entity_row);
        let before = states.insert(entity, step.to.clone());
        assert_eq!(before, step.from, "{step:?}");
        let legal = match step.entity.as_str() {
            "run" => legal::<RunState>(step.from.as_deref(), &step.to),
            "file" => legal::<FileState>(step.from.as_deref(), &step.to),
            "replica" => legal::<ReplicaState>(step.from.as_deref(), &step.to),
            other => panic!("{other}"),
        };
        assert!(legal, "{step:?}");
    }
    let end = |entity: &str, row: u64| states.get(&(entity.to_owned(), row)).cloned().unwrap();
    assert_eq!(end("run", detail.row.row), detail.row.state.as_str());
    for file in &detail.files {
        assert_eq!(end("file", file.row), file.state.as_str());
    }
    for replica in &detail.replicas {
        assert_eq!(end("replica", replica.row), replica.state.as_str());
    }
}

fn legal<S: machine::Machine + std::str::FromStr>(from: Option<&str>, to: &str) -> bool {
    let Ok(to) = to.parse::<S>() else {
        return false;
    };
    match from {
        None => to.may_begin(),
        Some(from) => from
            .parse::<S>()
            .is_ok_and(|from| from.successors().contains(&to)),
    }
}

/// A run goes through its writers, each called twice, and nothing is doubled.
pub(crate) async fn writers_are_idempotent(server: Server) {
    let catalogue = server.catalogue().await;
    let id = run(1);
    let files = ["a.mid.gz", "b.mid.gz"];

    let first = catalogue.record_opened(&opened(&id)).await.unwrap();
    assert_eq!((first.state, first.revision), (RunState::Open, 1));
    assert_eq!(
        first.started_at.unwrap().to_string(),
        "2026-11-22T05:00:00.123456Z"
    );
    assert_eq!(
        catalogue
            .record_opened(&opened(&id))
            .await
            .unwrap()
            .revision,
        1
    );

    let second = catalogue.record_closed(&closed(&id, &files)).await.unwrap();
    assert_eq!((second.state, second.revision), (RunState::Closed, 2));
    let at_close = detail(&catalogue, &id).await;
    assert_eq!(
        catalogue
            .record_closed(&closed(&id, &files))
            .await
            .unwrap()
            .revision,
        2
    );
    assert_eq!(detail(&catalogue, &id).await, at_close);
    let waiting = outbox(&catalogue).await;
    assert_eq!(
        topics(&waiting),
        ["aquifer.daq.run-closed", "aquifer.alert.signal"]
    );

    let part = stored(&id, &files, &files[..1]);
    let third = catalogue.record_stored(&part).await.unwrap();
    assert!(!third.announced);
    assert_eq!((third.row.state, third.row.revision), (RunState::Closed, 3));

    let whole = stored(&id, &files, &files);
    let fourth = catalogue.record_stored(&whole).await.unwrap();
    assert!(fourth.announced);
    assert_eq!(
        (fourth.row.state, fourth.row.revision),
        (RunState::Stored, 4)
    );
    assert_eq!(
        (fourth.row.files, fourth.row.sealed_files, fourth.row.bytes),
        (2, 2, 2000)
    );

    let at_end = detail(&catalogue, &id).await;
    check_history(&at_end);
    assert_eq!(at_end.row, fourth.row);
    assert_eq!(at_end.replicas.len(), 4);
    assert_eq!(
        at_end.attributes["GEM1_V"],
        Attribute::number(440.5).with_unit("V")
    );
    assert_eq!(at_end.attributes["flow"], Attribute::text("NaN"));
    assert_eq!(at_end.attributes["shifter"], Attribute::text("Ada"));
    let waiting = outbox(&catalogue).await;
    for again in [&part, &whole] {
        let outcome = catalogue.record_stored(again).await.unwrap();
        assert!(!outcome.announced);
        assert_eq!(outcome.row.revision, 4);
    }
    assert_eq!(
        catalogue
            .record_opened(&opened(&id))
            .await
            .unwrap()
            .revision,
        4
    );
    assert_eq!(detail(&catalogue, &id).await, at_end);
    assert_eq!(outbox(&catalogue).await, waiting);

    let stored_rows = waiting
        .iter()
        .filter(|row| row.topic == "aquifer.store.run-stored");
    let messages: Vec<RunStored> = stored_rows
        .map(|row| Decoder::new().decode(&row.value).unwrap())
        .collect();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].revision, 4);
    assert_eq!(messages[0].files.len(), 2);
    assert_eq!(messages[0].manifest.as_deref(), Some("manifest.json"));
    assert!(waiting.iter().all(|row| row.traceparent.is_some()));
    let files_stored = waiting
        .iter()
        .filter(|row| row.topic.ends_with("file-stored"));
    assert_eq!(files_stored.count(), 2);
    let closes: RunClosed = Decoder::new().decode(&waiting[0].value).unwrap();
    assert_eq!((closes.revision, closes.files.len()), (2, 2));
}

/// A late file takes a stored run through `closed`, or directly when it comes stored.
pub(crate) async fn a_late_file_raises_the_revision(server: Server) {
    let catalogue = server.catalogue().await;
    let id = run(1);
    catalogue
        .record_stored(&stored(&id, &["a"], &["a"]))
        .await
        .unwrap();
    let late = catalogue
        .record_closed(&closed(&id, &["a", "b"]))
        .await
        .unwrap();
    assert_eq!((late.state, late.revision), (RunState::Closed, 2));
    let outcome = catalogue
        .record_stored(&stored(&id, &["a", "b"], &["b"]))
        .await
        .unwrap();
    assert!(outcome.announced);
    assert_eq!(
        (outcome.row.state, outcome.row.revision),
        (RunState::Stored, 3)
    );
    let outcome = catalogue
        .record_stored(&stored(&id, &["c"], &["c"]))
        .await
        .unwrap();
    assert!(outcome.announced);
    assert_eq!(outcome.row.state, RunState::Stored);
    check_history(&detail(&catalogue, &id).await);
}

/// Facts come in any order and the run ends the same.
pub(crate) async fn the_daqs_word_counts_most(server: Server) {
    let catalogue = server.catalogue().await;
    let id = run(1);
    let mut inferred = closed(&id, &["a"]);
    inferred.closed_by = ClosedBy::Inferred;
    inferred.ended_at = at("2026-11-22T07:00:00Z");
    inferred.events = None;
    let row = catalogue.record_closed(&inferred).await.unwrap();
    assert_eq!(row.closed_by, Some(ClosedBy::Inferred));
    let row = catalogue.record_closed(&closed(&id, &["a"])).await.unwrap();
    assert_eq!(row.closed_by, Some(ClosedBy::Daq));
    assert_eq!(row.ended_at.unwrap().to_string(), "2026-11-22T06:00:00.5Z");
    let again = catalogue.record_closed(&inferred).await.unwrap();
    assert_eq!(
        (again.revision, again.closed_by),
        (row.revision, row.closed_by)
    );
    assert_eq!(again.ended_at, row.ended_at);
    // An opening that arrives after the close opens nothing.
    let late = catalogue.record_opened(&opened(&id)).await.unwrap();
    assert_eq!(late.state, RunState::Closed);
}

/// Other content under a used name is refused and changes nothing.
pub(crate) async fn other_content_is_refused(server: Server) {
    let catalogue = server.catalogue().await;
    let id = run(1);
    catalogue
        .record_stored(&stored(&id, &["a"], &["a"]))
        .await
        .unwrap();
    let before = detail(&catalogue, &id).await;
    let waiting = outbox(&catalogue).await;
    for change in [
        (|facts: &mut StoredFileFacts| facts.size += 1) as fn(&mut StoredFileFacts),
        |facts| facts.crc64nvme = "f".repeat(16),
        |facts| facts.adler32 = "f".repeat(8),
        |facts| facts.crc32c = "f".repeat(8),
    ] {
        let mut other = stored(&id, &["a", "new"], &["new", "a"]);
        change(&mut other.files[1]);
        let error = catalogue.record_stored(&other).await.unwrap_err();
        assert!(matches!(error, CatalogueError::Conflict { .. }), "{error}");
        assert_eq!(error.class(), ErrorClass::Permanent);
    }
    assert_eq!(detail(&catalogue, &id).await, before);
    assert_eq!(outbox(&catalogue).await, waiting);
    // The next version takes it.
    let next = RunId {
        version: 2,
        ..id.clone()
    };
    catalogue
        .record_stored(&stored(&next, &["a"], &["a"]))
        .await
        .unwrap();
    let versions = catalogue.versions(&id.site, id.number).await.unwrap();
    assert_eq!(versions.len(), 2);
    let rows = outbox(&catalogue).await;
    let ids: std::collections::BTreeSet<_> = rows.iter().map(|row| row.event_id).collect();
    // The two signals were raised with the same ids for both versions: they wait once.
    assert_eq!(ids.len(), rows.len());
}

/// Names that are not registered are errors of the caller, and nothing is written.
pub(crate) async fn unregistered_names_are_refused(server: Server) {
    let catalogue = server.catalogue().await;
    let lnf: Site = "LNF".parse().unwrap();
    let elsewhere = RunId::first(lnf.clone(), 1);
    let error = catalogue
        .record_opened(&opened(&elsewhere))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, CatalogueError::UnknownSite { site } if *site == lnf),
        "{error}"
    );
    assert_eq!(error.class(), ErrorClass::Permanent);

    let mut other_element = stored(&run(1), &["a"], &["a"]);
    "NOWHERE".clone_into(&mut other_element.files[0].element);
    let error = catalogue.record_stored(&other_element).await.unwrap_err();
    assert!(
        matches!(error, CatalogueError::UnknownElement { .. }),
        "{error}"
    );
    assert_eq!(catalogue.run(&run(1)).await.unwrap(), None);
    assert_eq!(catalogue.outbox_status().await.unwrap().rows, 0);

    let error = catalogue
        .register_element("X", ElementKind::S3, Some(&lnf), "x")
        .await
        .unwrap_err();
    assert!(
        matches!(error, CatalogueError::UnknownSite { .. }),
        "{error}"
    );
    let error = catalogue
        .register_element("S3", ElementKind::Tape, None, "x")
        .await
        .unwrap_err();
    assert!(
        matches!(error, CatalogueError::Registered { .. }),
        "{error}"
    );
    let same = catalogue
        .register_element("S3", ElementKind::S3, None, "https://new")
        .await;
    assert!(!same.unwrap());
    assert!(
        !catalogue
            .register_site(&lngs(), "Europe/Rome", "x")
            .await
            .unwrap()
    );
    assert_eq!(catalogue.sites().await.unwrap().len(), 1);
    let urls: Vec<_> = catalogue.elements().await.unwrap();
    assert_eq!(urls[1].url, "https://new");
}

/// A quarantined file shows in the run; one that is stored keeps its good copy.
pub(crate) async fn quarantine_never_takes_back_what_is_stored(server: Server) {
    let catalogue = server.catalogue().await;
    let id = run(1);
    let (changed, vanished) = (FileState::Changed, FileState::Vanished);
    let (a, b) = (name("a"), name("b"));
    let told = [signal(&id, "file-changed")];
    catalogue
        .record_closed(&closed(&id, &["a", "b"]))
        .await
        .unwrap();
    for _ in 0..2 {
        let row = catalogue
            .record_quarantined(&id, &a, changed, "grew", WHO, &told)
            .await;
        let row = row.unwrap();
        assert_eq!((row.state, row.revision), (RunState::Quarantined, 2));
    }
    let row = catalogue
        .record_quarantined(&id, &b, vanished, "gone", WHO, &[])
        .await;
    assert_eq!(row.unwrap().state, RunState::Quarantined);
    assert_eq!(catalogue.outbox_status().await.unwrap().rows, 3);
    // Both came back.
    let outcome = catalogue
        .record_stored(&stored(&id, &["a", "b"], &["a", "b"]))
        .await;
    assert_eq!(outcome.unwrap().row.state, RunState::Stored);
    let row = catalogue
        .record_quarantined(&id, &a, vanished, "gone", WHO, &[])
        .await;
    assert_eq!(row.unwrap().state, RunState::Stored);
    let detail = detail(&catalogue, &id).await;
    check_history(&detail);
    assert_eq!(detail.files[0].state, FileState::Stored);
    assert_eq!(detail.files[0].reason.as_deref(), Some("gone"));
    let copy = |element: &str| {
        let of_a = |r: &&aquifer_catalogue::ReplicaRow| r.file == a && r.element == element;
        detail.replicas.iter().find(of_a).unwrap().state
    };
    assert_eq!(copy("BUFFER"), ReplicaState::Suspect);
    assert_eq!(copy("S3"), ReplicaState::Available);
}

/// Names that look alike are different, numbers beyond 32 bits survive.
pub(crate) async fn names_and_numbers_are_exact(server: Server) {
    let catalogue = server.catalogue().await;
    let id = run(u64::from(u32::MAX) * 3);
    let alike = [
        "a",
        "a ",
        "A",
        "ä",
        "a\u{308}",
        "名前",
        "🦀",
        "a'; DROP TABLE run; --",
    ];
    let mut big = stored(&id, &alike, &alike);
    for facts in &mut big.files {
        facts.size = 1 << 40;
    }
    big.files[0].size = u64::from(u32::MAX) * 5;
    let outcome = catalogue.record_stored(&big).await.unwrap();
    assert_eq!(outcome.row.bytes, (7 << 40) + u64::from(u32::MAX) * 5);
    let detail = detail(&catalogue, &id).await;
    let names: Vec<_> = detail.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, alike);
    assert_eq!(detail.files[0].identity, Some(big.files[0].identity));
    let last = run(u64::MAX);
    catalogue.record_opened(&opened(&last)).await.unwrap();
    let filter = RunFilter {
        from_number: Some(u64::MAX),
        ..RunFilter::default()
    };
    let found = catalogue.runs(&filter).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].id, last);
}

/// Thousands of files of one run are saved and walked over.
pub(crate) async fn a_run_may_have_thousands_of_files(server: Server) {
    let catalogue = server.catalogue().await;
    let id = run(1);
    let files: Vec<String> = (0..2501).map(|n| format!("f{n:05}")).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    catalogue.record_closed(&closed(&id, &files)).await.unwrap();
    let outcome = catalogue
        .record_stored(&stored(&id, &files, &files))
        .await
        .unwrap();
    assert!(outcome.announced);
    check_history(&detail(&catalogue, &id).await);
    let other = "LNF".parse().unwrap();
    catalogue.register_site(&other, "UTC", "").await.unwrap();
    let elsewhere = RunId::first(other.clone(), 1);
    catalogue
        .record_stored(&stored(&elsewhere, &["x"], &["x"]))
        .await
        .unwrap();
    for (site, expected) in [(None, 2502), (Some(&id.site), 2501), (Some(&other), 1)] {
        let mut seen = Vec::new();
        let walk = catalogue.for_each_run_file(site, 100, |file| {
            assert_eq!(file.replicas.len(), 2, "{file:?}");
            assert!(file.replicas.iter().all(|copy| copy.file == file.file.name));
            seen.push(file.file.row);
        });
        walk.await.unwrap();
        assert_eq!(seen.len(), expected);
        assert!(seen.is_sorted());
    }
}

/// Lists are filtered and continued, newest first.
pub(crate) async fn runs_are_listed_in_pages(server: Server) {
    let catalogue = server.catalogue().await;
    for number in 0..10 {
        let mut opened = opened(&run(number));
        opened.started_at += jiff::SignedDuration::from_mins(i64::try_from(number % 3).unwrap());
        catalogue.record_opened(&opened).await.unwrap();
    }
    let mut filter = RunFilter {
        limit: 3,
        ..RunFilter::default()
    };
    let mut all = Vec::new();
    loop {
        let page = catalogue.runs(&filter).await.unwrap();
        let Some(last) = page.last() else { break };
        filter.before = Some(last.cursor());
        all.extend(page);
    }
    let numbers: Vec<u64> = all.iter().map(|run| run.id.number).collect();
    assert_eq!(numbers, [8, 5, 2, 7, 4, 1, 9, 6, 3, 0]);
    let filter = RunFilter {
        since: Some(at("2026-11-22T05:01:00Z")),
        until: Some(at("2026-11-22T05:02:00Z")),
        states: vec![RunState::Open],
        site: Some(lngs()),
        run_type: Some("physics".to_owned()),
        to_number: Some(4),
        ..RunFilter::default()
    };
    let found = catalogue.runs(&filter).await.unwrap();
    let numbers: Vec<u64> = found.iter().map(|run| run.id.number).collect();
    assert_eq!(numbers, [4, 1]);
    let counts = catalogue.counts_by_state(Some(&lngs())).await.unwrap();
    assert_eq!(counts, BTreeMap::from([(RunState::Open, 10)]));
}

/// Writers that collide on few runs, in opposite orders, end right; ids of one key grow
/// with its revisions.
pub(crate) async fn colliding_writers_end_right(server: Server) {
    let catalogue = server.catalogue().await;
    let mut writers = JoinSet::new();
    for writer in 0..8_usize {
        let catalogue = catalogue.clone();
        writers.spawn(async move {
            for round in 0..24_usize {
                let number = if writer % 2 == 0 {
                    round % 3
                } else {
                    2 - round % 3
                };
                let id = run(u64::try_from(number).unwrap());
                let file = format!("f{}", (writer + round) % 8);
                let all: Vec<String> = (0..8).map(|n| format!("f{n}")).collect();
                let all: Vec<&str> = all.iter().map(String::as_str).collect();
                catalogue
                    .record_stored(&stored(&id, &all, &[&file]))
                    .await
                    .unwrap();
                catalogue.record_opened(&opened(&id)).await.unwrap();
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    for number in 0..3 {
        let detail = detail(&catalogue, &run(number)).await;
        check_history(&detail);
        assert_eq!(detail.row.state, RunState::Stored);
        assert_eq!(detail.files.len(), 8);
        assert_eq!(detail.replicas.len(), 16);
        // One for each file, and one for the attribute that only the opening has.
        assert_eq!(detail.row.revision, 9);
    }
    let rows = outbox(&catalogue).await;
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for row in rows
        .iter()
        .filter(|row| row.topic == "aquifer.store.file-stored")
    {
        let message: aquifer_schemas::FileStored = Decoder::new().decode(&row.value).unwrap();
        let before = last.insert(row.key.clone(), message.revision);
        assert!(before < Some(message.revision), "{}", row.key);
    }
    assert_eq!(
        topics(&rows)
            .iter()
            .filter(|t| t.ends_with("file-stored"))
            .count(),
        24
    );
    assert_eq!(
        topics(&rows)
            .iter()
            .filter(|t| t.ends_with("run-stored"))
            .count(),
        3
    );
    assert_eq!(
        topics(&rows)
            .iter()
            .filter(|t| t.ends_with("run-closed"))
            .count(),
        3
    );
}

/// Whatever was acknowledged before the server was killed is there after it.
pub(crate) async fn a_killed_server_loses_nothing_acknowledged<F>(
    server: Server,
    kill_and_restart: impl FnOnce() -> F,
) where
    F: Future<Output = ()>,
{
    let catalogue = server.catalogue().await;
    let (acknowledge, mut acknowledged) = tokio::sync::mpsc::unbounded_channel();
    let mut writers = JoinSet::new();
    for writer in 0..4_u64 {
        let (catalogue, acknowledge) = (catalogue.clone(), acknowledge.clone());
        writers.spawn(async move {
            for round in 0..150 {
                let id = run(writer * 1000 + round);
                let facts = stored(&id, &["a"], &["a"]);
                let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
                while let Err(error) = catalogue.record_stored(&facts).await {
                    assert_ne!(error.class(), ErrorClass::Permanent, "{error:?}");
                    assert!(tokio::time::Instant::now() < deadline, "{error:?}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                acknowledge.send(id).unwrap();
            }
        });
    }
    drop(acknowledge);
    let mut ids = Vec::new();
    for _ in 0..100 {
        ids.push(acknowledged.recv().await.unwrap());
    }
    kill_and_restart().await;
    while let Some(id) = acknowledged.recv().await {
        ids.push(id);
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    assert_eq!(ids.len(), 600);
    let mut waiting: BTreeMap<String, usize> = BTreeMap::new();
    let status = catalogue.outbox_status().await.unwrap();
    // Per run: closed, file, run and two signals; nothing twice, nothing missing.
    assert_eq!(status.rows, 600 * 5);
    for row in outbox(&catalogue).await {
        *waiting.entry(row.key).or_default() += 1;
    }
    assert!(waiting.len() > 100);
    for id in ids {
        let detail = detail(&catalogue, &id).await;
        assert_eq!(
            (detail.row.state, detail.row.revision),
            (RunState::Stored, 1)
        );
        check_history(&detail);
    }
}

/// Times are UTC whatever the server's zone, and the zone's odd hours do not matter.
pub(crate) async fn the_servers_time_zone_does_not_matter(server: Server) {
    let config = server.config();
    let catalogue = Catalogue::connect(&config).await.unwrap();
    furnish(&catalogue).await;
    let mut raw = server.raw(&config).await;
    raw.query_drop("SET GLOBAL time_zone='+05:30'")
        .await
        .unwrap();
    let elsewhere = Catalogue::connect(&config).await.unwrap();
    let mut row = opened(&run(1));
    row.started_at = at("2026-03-29T01:30:00.25Z");
    let written = elsewhere.record_opened(&row).await.unwrap();
    let now = Timestamp::now();
    assert!(written.created_at.duration_until(now).abs() < jiff::SignedDuration::from_mins(5));
    raw.query_drop("SET GLOBAL time_zone='SYSTEM'")
        .await
        .unwrap();
    let read = catalogue.run(&run(1)).await.unwrap().unwrap();
    assert_eq!(read, written);
    assert_eq!(read.started_at, Some(row.started_at));
    let text: Option<String> = raw
        .query_first("SELECT CAST(started_at AS CHAR) FROM run")
        .await
        .unwrap();
    assert_eq!(text.unwrap(), "2026-03-29 01:30:00.250000");
}

/// Migrations run once however often and by however many they are started.
pub(crate) async fn migrations_run_once(server: Server) {
    let config = server.config();
    let catalogue = Catalogue::connect(&config).await.unwrap();
    let error = catalogue.require_current_schema().await.unwrap_err();
    assert!(
        matches!(error, CatalogueError::SchemaTooOld { have: 0, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("hint: run `aquifer migrate`"));
    assert_eq!(error.class(), ErrorClass::Unavailable);

    let mut many = JoinSet::new();
    for _ in 0..4 {
        let catalogue = catalogue.clone();
        many.spawn(async move { catalogue.migrate().await.unwrap() });
    }
    let mut reports = Vec::new();
    while let Some(report) = many.join_next().await {
        reports.push(report.unwrap());
    }
    let working = reports.iter().filter(|report| !report.applied.is_empty());
    assert_eq!(working.count(), 1);
    let prepared = reports.iter().filter(|report| report.months.len() == 13);
    assert_eq!(prepared.count(), 1);
    assert!(reports.iter().all(|report| report.to == SCHEMA_VERSION));
    catalogue.require_current_schema().await.unwrap();

    // A migration that was interrupted after its statement is run again.
    let mut raw = server.raw(&config).await;
    let last = format!("DELETE FROM schema_version WHERE version={SCHEMA_VERSION}");
    raw.query_drop(last).await.unwrap();
    let error = catalogue.require_current_schema().await.unwrap_err();
    assert!(
        matches!(error, CatalogueError::SchemaTooOld { .. }),
        "{error}"
    );
    assert_eq!(catalogue.migrate().await.unwrap().applied.len(), 1);

    // Rows that fell into the catch-all are moved to their months.
    raw.query_drop(
        "INSERT INTO transition (at,run_id,entity,entity_id,to_state,who,why,revision) \
         VALUES ('2099-01-01',1,'run',1,'open','x','y',1)",
    )
    .await
    .unwrap();
    catalogue.migrate().await.unwrap();
    let kept: Option<u64> = raw
        .query_first("SELECT COUNT(*) FROM transition")
        .await
        .unwrap();
    assert_eq!(kept, Some(1));
}

/// A schema of another program version is left alone.
pub(crate) async fn unknown_schemas_are_refused(server: Server) {
    let config = server.config();
    let catalogue = Catalogue::connect(&config).await.unwrap();
    catalogue.migrate().await.unwrap();
    let mut raw = server.raw(&config).await;
    let newer = SCHEMA_VERSION + 1;
    raw.query_drop(format!(
        "INSERT INTO schema_version (version,name,checksum) VALUES ({newer},'x','x')"
    ))
    .await
    .unwrap();
    for error in [
        catalogue.require_current_schema().await.unwrap_err(),
        catalogue.migrate().await.unwrap_err(),
    ] {
        assert!(
            matches!(error, CatalogueError::SchemaTooNew { .. }),
            "{error}"
        );
    }
    raw.query_drop(format!("DELETE FROM schema_version WHERE version={newer}"))
        .await
        .unwrap();
    raw.query_drop("UPDATE schema_version SET checksum='x' WHERE version=3")
        .await
        .unwrap();
    let error = catalogue.migrate().await.unwrap_err();
    assert!(
        matches!(error, CatalogueError::SchemaDiverged { version: 3, .. }),
        "{error}"
    );
}

/// A server that is away is an outage of the first query, not of `connect`.
pub(crate) async fn an_absent_server_is_an_outage(_: Server) {
    let config = CatalogueConfig {
        // Discard: nothing listens there.
        port: 9,
        ..CatalogueConfig::default()
    };
    let catalogue = Catalogue::connect(&config).await.unwrap();
    let error = catalogue.run(&run(1)).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Unavailable, "{error:?}");
}

/// One holder at a time; a stale fence removes nothing from the outbox.
pub(crate) async fn a_lease_has_one_holder(server: Server) {
    let catalogue = server.catalogue().await;
    let hour = Duration::from_hours(1);
    catalogue.raise(&signal(&run(1), "x"), None).await.unwrap();
    catalogue.raise(&signal(&run(1), "x"), None).await.unwrap();
    let rows = outbox(&catalogue).await;
    assert_eq!(rows.len(), 1);

    let mut racers = JoinSet::new();
    for racer in 0..8 {
        let catalogue = catalogue.clone();
        racers.spawn(async move {
            catalogue
                .lease(OUTBOX_LEASE, &format!("relay-{racer}"), hour)
                .await
                .unwrap()
        });
    }
    let mut held = Vec::new();
    while let Some(lease) = racers.join_next().await {
        held.extend(lease.unwrap());
    }
    assert_eq!(held.len(), 1);
    let first = held.remove(0);
    let again = catalogue
        .lease(OUTBOX_LEASE, &first.holder, hour)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(again.fence, first.fence);
    assert!(again.until >= first.until);
    assert!(catalogue.renew(&first, Duration::ZERO).await.unwrap());
    assert!(!catalogue.renew(&first, hour).await.unwrap());

    let second = catalogue
        .lease(OUTBOX_LEASE, "next", hour)
        .await
        .unwrap()
        .unwrap();
    assert!(second.fence > first.fence);
    let ids: Vec<u64> = rows.iter().map(|row| row.id).collect();
    let error = catalogue
        .outbox_delete(first.fence, &ids)
        .await
        .unwrap_err();
    assert!(
        matches!(error, CatalogueError::StaleFence { .. }),
        "{error}"
    );
    assert_eq!(catalogue.outbox_status().await.unwrap().rows, 1);
    catalogue.outbox_delete(second.fence, &ids).await.unwrap();
    catalogue.outbox_delete(second.fence, &ids).await.unwrap();
    assert_eq!(catalogue.outbox_status().await.unwrap().rows, 0);
    assert!(!catalogue.release(&first).await.unwrap());
    assert!(catalogue.release(&second).await.unwrap());
    assert!(
        catalogue
            .lease(OUTBOX_LEASE, "third", hour)
            .await
            .unwrap()
            .is_some()
    );
}

/// No job is done twice under live fences, and a crashed worker's jobs return.
pub(crate) async fn work_is_done_once(server: Server) {
    let catalogue = server.catalogue().await;
    let jobs: Vec<NewWork> = (0..200)
        .map(|number| NewWork {
            kind: "copy".to_owned(),
            key: format!("job {number}"),
            run: None,
            file: None,
        })
        .collect();
    assert_eq!(catalogue.enqueue(&jobs, None).await.unwrap(), 200);
    assert_eq!(catalogue.enqueue(&jobs, None).await.unwrap(), 0);

    // A worker takes some and dies: its lease ends.
    let minute = Duration::from_mins(1);
    let orphaned = catalogue
        .lease_work("copy", "dead", Duration::ZERO, 20)
        .await
        .unwrap();
    assert_eq!(orphaned.len(), 20);

    let done = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut workers = JoinSet::new();
    for worker in 0..8 {
        let (catalogue, done) = (catalogue.clone(), done.clone());
        workers.spawn(async move {
            loop {
                let holder = format!("w{worker}");
                let taken = catalogue
                    .lease_work("copy", &holder, minute, 7)
                    .await
                    .unwrap();
                if taken.is_empty() {
                    return;
                }
                for job in taken {
                    catalogue.extend_work(&job, minute).await.unwrap();
                    if job.attempts == 1 && job.id % 5 == 0 {
                        let now = Some(Duration::ZERO);
                        catalogue.fail_work(&job, "try again", now).await.unwrap();
                        continue;
                    }
                    done.lock().unwrap().push(job.key.clone());
                    catalogue.complete_work(&job).await.unwrap();
                    catalogue.complete_work(&job).await.unwrap();
                }
            }
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker.unwrap();
    }
    let mut done = done.lock().unwrap().clone();
    assert_eq!(done.len(), 200);
    done.sort();
    done.dedup();
    assert_eq!(done.len(), 200);

    for job in &orphaned {
        for result in [
            catalogue.complete_work(job).await,
            catalogue.extend_work(job, minute).await,
            catalogue.fail_work(job, "x", None).await,
        ] {
            let error = result.unwrap_err();
            assert!(
                matches!(error, CatalogueError::StaleFence { .. }),
                "{error}"
            );
        }
    }
}

/// Messages count once: their work and their offsets stand together.
pub(crate) async fn the_journal_refuses_what_does_not_follow(server: Server) {
    let catalogue = server.catalogue().await;
    let batch = |from, to| JournalAdvance {
        group: "g".to_owned(),
        topic: "t".to_owned(),
        partition: 3,
        from,
        to,
    };
    let job = |key: &str| {
        vec![NewWork {
            kind: "k".to_owned(),
            key: key.to_owned(),
            run: None,
            file: None,
        }]
    };
    assert_eq!(catalogue.journal("g", "t", 3).await.unwrap(), None);
    catalogue
        .enqueue(&job("a"), Some(&batch(5, 8)))
        .await
        .unwrap();
    catalogue
        .enqueue(&job("b"), Some(&batch(8, 12)))
        .await
        .unwrap();
    for (from, to) in [(8, 12), (5, 8), (10, 14), (13, 14)] {
        let error = catalogue
            .enqueue(&job("c"), Some(&batch(from, to)))
            .await
            .unwrap_err();
        assert!(
            matches!(error, CatalogueError::Journal { stored: 12, .. }),
            "{error}"
        );
    }
    assert_eq!(catalogue.journal("g", "t", 3).await.unwrap(), Some(12));
    let minute = Duration::from_mins(1);
    let jobs = catalogue.lease_work("k", "w", minute, 10).await.unwrap();
    let keys: Vec<_> = jobs.iter().map(|job| job.key.as_str()).collect();
    assert_eq!(keys, ["a", "b"]);
}

/// A product has one name and one content.
pub(crate) async fn products_are_never_replaced(server: Server) {
    let catalogue = server.catalogue().await;
    let id = run(1);
    let product = Product {
        level: "reco".to_owned(),
        pass: "online".to_owned(),
        version: 1,
        element: "S3".to_owned(),
        bucket: Some("reco".to_owned()),
        location: "LNGS/1.parquet".to_owned(),
        size: 1 << 33,
        crc64nvme: "0123456789abcdef".to_owned(),
    };
    let error = catalogue.record_product(&id, &product).await.unwrap_err();
    assert!(
        matches!(error, CatalogueError::UnknownRun { .. }),
        "{error}"
    );
    catalogue.record_opened(&opened(&id)).await.unwrap();
    assert!(catalogue.record_product(&id, &product).await.unwrap());
    assert!(!catalogue.record_product(&id, &product).await.unwrap());
    let mut other = product.clone();
    other.crc64nvme = "f".repeat(16);
    let error = catalogue.record_product(&id, &other).await.unwrap_err();
    assert!(
        matches!(error, CatalogueError::Registered { .. }),
        "{error}"
    );
    other.version = 2;
    assert!(catalogue.record_product(&id, &other).await.unwrap());
    assert_eq!(catalogue.products(&id).await.unwrap(), [product, other]);
}

/// Runs of one file stored in a second, over eight connections; printed, not judged.
pub(crate) async fn stored_runs_a_second(server: Server) {
    let catalogue = server.catalogue().await;
    let runs = 2000_u64;
    let begin = std::time::Instant::now();
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let catalogue = catalogue.clone();
        writers.spawn(async move {
            for number in (writer..runs).step_by(8) {
                let id = run(number);
                catalogue
                    .record_stored(&stored(&id, &["a"], &["a"]))
                    .await
                    .unwrap();
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let took = begin.elapsed();
    println!("{:.0} runs/s", f64::from(2000_u32) / took.as_secs_f64());
    let counts = catalogue.counts_by_state(None).await.unwrap();
    assert_eq!(counts[&RunState::Stored], runs);
}
