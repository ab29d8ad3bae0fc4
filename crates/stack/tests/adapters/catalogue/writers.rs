//! What is told about runs, in every order and more than once, ends in one truth.

use std::collections::BTreeSet;

use aquifer_catalogue::{Attribute, CatalogueError, ReplicaRow, StoredFileFacts};
use aquifer_runtime::retry::{Classify as _, ErrorClass};
use aquifer_schemas::{
    ClosedBy, Decoder, FileState, ReplicaState, RunClosed, RunId, RunState, RunStored,
};

use super::facts::{WHO, at, closed, name, opened, run, signal, stored};
use super::history::{check_history, detail, outbox, topics};
use super::house::catalogue;
use crate::fixture::block_on;

/// A run goes through its writers, each called twice, and nothing is doubled.
#[test]
fn writers_are_idempotent() {
    block_on(async {
        let catalogue = catalogue().await;
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
    });
}

/// A late file takes a stored run through `closed`, or directly when it comes stored.
#[test]
fn a_late_file_raises_the_revision() {
    block_on(async {
        let catalogue = catalogue().await;
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
    });
}

/// Facts come in any order and the run ends the same.
#[test]
fn the_daqs_word_counts_most() {
    block_on(async {
        let catalogue = catalogue().await;
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
    });
}

/// Other content under a used name is refused and changes nothing.
#[test]
fn other_content_is_refused() {
    block_on(async {
        let catalogue = catalogue().await;
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
        let ids: BTreeSet<_> = rows.iter().map(|row| row.event_id).collect();
        // The two signals were raised with the same ids for both versions: they wait once.
        assert_eq!(ids.len(), rows.len());
    });
}

/// A quarantined file shows in the run; one that is stored keeps its good copy.
#[test]
fn quarantine_never_takes_back_what_is_stored() {
    block_on(async {
        let catalogue = catalogue().await;
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
            let of_a = |r: &&ReplicaRow| r.file == a && r.element == element;
            detail.replicas.iter().find(of_a).unwrap().state
        };
        assert_eq!(copy("BUFFER"), ReplicaState::Lost);
        assert_eq!(copy("S3"), ReplicaState::Available);
    });
}
