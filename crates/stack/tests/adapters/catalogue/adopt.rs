//! Runs of the past: taken over once, never over what was recorded from data, and never
//! announced.

use std::collections::BTreeMap;

use aquifer_catalogue::{
    AdoptedCopy, AdoptedRun, Adoption, Attribute, BOOK_NEVER_ENDED, BOOK_START, Catalogue,
    CatalogueError, Sighting,
};
use aquifer_schemas::{
    ClosedBy, Encoding, EvidenceLevel, FileState, ReplicaState, RunId, RunState,
};

use super::facts::{WHO, at, lngs, name, run, stored};
use super::history::{check_history, detail, outbox};
use super::house::catalogue;
use crate::fixture::block_on;

/// The begin of the runs that `facts` tells of, by the clock on the wall.
const BEGAN: &str = "2026-11-22 06:00:00";

fn copy(number: u64, size: Option<u64>) -> AdoptedCopy {
    AdoptedCopy {
        element: "S3".to_owned(),
        bucket: Some("old".to_owned()),
        location: format!("LNGS/run{number:05}.mid.gz"),
        encoding: Encoding::Gzip,
        size,
        method: "run book: storage_cloud_status 1".to_owned(),
    }
}

fn told(number: u64, began: &str, copies: Vec<AdoptedCopy>) -> AdoptedRun {
    let local: jiff::civil::DateTime = began.parse().unwrap();
    let rome = jiff::tz::TimeZone::get("Europe/Rome").unwrap();
    AdoptedRun {
        number,
        started_at: rome.to_timestamp(local).ok(),
        ended_at: None,
        run_type: Some("0".to_owned()),
        events: Some(7),
        attributes: BTreeMap::from([
            (BOOK_START.to_owned(), Attribute::text(began)),
            ("shifter".to_owned(), Attribute::text("Emmy")),
            ("GEM1_V".to_owned(), Attribute::number(1.0).with_unit("V")),
        ]),
        file: name(&format!("run{number:05}.mid")),
        why_missing: "not uploaded".to_owned(),
        copies,
    }
}

async fn adopt(catalogue: &Catalogue, runs: &[AdoptedRun]) -> Vec<(String, Adoption, bool)> {
    let done = catalogue.adopt_runs(&lngs(), runs, WHO).await.unwrap();
    let shown = done.into_iter();
    shown
        .map(|done| (done.run.to_string(), done.outcome, done.recorded_here))
        .collect()
}

async fn list(catalogue: &Catalogue, run: &RunId, found: Option<u64>) -> usize {
    let sighting = Sighting {
        run: run.clone(),
        file: name(&format!("run{:05}.mid", run.number)),
        copy: AdoptedCopy {
            method: "listing of bucket old".to_owned(),
            ..copy(run.number, found)
        },
        found: found.is_some(),
        at: at("2026-11-22T09:00:00Z"),
    };
    let (site, sightings) = (lngs(), [sighting]);
    let done = catalogue.adopt_listing(&site, &sightings, WHO).await;
    done.unwrap().len()
}

#[test]
fn a_book_is_taken_over_once_and_not_announced() {
    block_on(async {
        let catalogue = catalogue().await;
        let book = [
            told(1, "2022-03-21 15:17:13", vec![copy(1, Some(100))]),
            told(2, "2022-03-21 15:20:00", Vec::new()),
            told(2, "2023-03-21 15:20:00", vec![copy(2, None)]),
        ];
        let added = |run: &str| (run.to_owned(), Adoption::Added, false);
        let first = adopt(&catalogue, &book).await;
        assert_eq!(
            first,
            [added("LNGS/1"), added("LNGS/2"), added("LNGS/2.v2")]
        );
        let before = detail(&catalogue, &run(1)).await;
        let same = |run: &str| (run.to_owned(), Adoption::AsItWas, false);
        let second = adopt(&catalogue, &book).await;
        assert_eq!(second, [same("LNGS/1"), same("LNGS/2"), same("LNGS/2.v2")]);
        assert_eq!(detail(&catalogue, &run(1)).await, before);
        check_history(&before);
        assert_eq!(before.row.state, RunState::Adopted);
        assert_eq!(before.row.closed_by, Some(ClosedBy::Book));
        assert_eq!((before.row.ended_at, before.row.events), (None, Some(7)));
        let claim = &before.replicas[0];
        assert_eq!(
            (claim.state, claim.evidence, claim.stored_size),
            (ReplicaState::Claimed, EvidenceLevel::E0, 100)
        );
        let missing = detail(&catalogue, &run(2)).await;
        assert_eq!(missing.row.state, RunState::Missing);
        assert_eq!(missing.files[0].reason.as_deref(), Some("not uploaded"));
        assert!(outbox(&catalogue).await.is_empty());

        // What the book says now replaces what it said, not what a listing showed.
        let mut book = book;
        book[0].ended_at = Some(at("2022-03-21T14:20:00Z"));
        assert_eq!(adopt(&catalogue, &book).await[0].1, Adoption::Changed);
        let after = detail(&catalogue, &run(1)).await;
        assert_eq!(after.row.ended_at, book[0].ended_at);

        // A mark goes when the next reading of the book does not find it any more.
        let odd = (BOOK_NEVER_ENDED.to_owned(), Attribute::bool(true));
        book[0].attributes.extend([odd]);
        assert_eq!(adopt(&catalogue, &book).await[0].1, Adoption::Changed);
        let marked = detail(&catalogue, &run(1)).await;
        assert_eq!(marked.attributes, book[0].attributes);
        book[0].attributes.remove(BOOK_NEVER_ENDED);
        assert_eq!(adopt(&catalogue, &book).await[0].1, Adoption::Changed);
        let unmarked = detail(&catalogue, &run(1)).await;
        assert_eq!(unmarked.attributes, book[0].attributes);
    });
}

#[test]
fn what_was_recorded_from_data_is_not_overwritten() {
    block_on(async {
        let catalogue = catalogue().await;
        let files = ["run00001.mid"];
        let facts = stored(&run(1), &files, &files);
        catalogue.record_stored(&facts).await.unwrap();
        let before = detail(&catalogue, &run(1)).await;
        let book = [told(1, BEGAN, vec![copy(1, Some(100))])];
        let done = adopt(&catalogue, &book).await;
        assert_eq!(done, [("LNGS/1".to_owned(), Adoption::Changed, true)]);
        let after = detail(&catalogue, &run(1)).await;
        assert_eq!(after.attributes["shifter"], Attribute::text("Emmy"));
        assert_eq!(after.attributes["GEM1_V"], before.attributes["GEM1_V"]);
        assert_eq!(after.row.events, Some(400));
        assert_eq!(after.row.closed_by, Some(ClosedBy::Daq));
        assert_eq!(
            (&after.files, &after.replicas),
            (&before.files, &before.replicas)
        );
        assert_eq!(adopt(&catalogue, &book).await[0].1, Adoption::AsItWas);

        // Another run of the book under the number is a version of its own.
        let book = [told(1, "2022-03-21 15:17:13", Vec::new())];
        for outcome in [Adoption::Added, Adoption::AsItWas] {
            let done = adopt(&catalogue, &book).await;
            assert_eq!(done, [("LNGS/1.v2".to_owned(), outcome, false)]);
        }
    });
}

#[test]
fn data_take_the_place_of_what_a_book_says_of_the_same_run() {
    block_on(async {
        let catalogue = catalogue().await;
        adopt(&catalogue, &[told(1, BEGAN, vec![copy(1, Some(100))])]).await;
        let files = ["run00001.mid"];
        let facts = stored(&run(1), &files, &files);
        let row = catalogue.record_stored(&facts).await.unwrap().row;
        assert_eq!(row.state, RunState::Stored);
        assert_eq!(
            (row.closed_by, row.events),
            (Some(ClosedBy::Daq), Some(400))
        );
        let now = detail(&catalogue, &run(1)).await;
        check_history(&now);
        assert_eq!(now.files[0].state, FileState::Stored);
        let copy = now
            .replicas
            .iter()
            .find(|copy| copy.element == "S3")
            .unwrap();
        assert_eq!(copy.state, ReplicaState::Available);
        let told = now
            .transitions
            .iter()
            .any(|step| step.why.contains("LNGS/run00001.mid.gz"));
        assert!(told, "the history says what was claimed before");

        // Of another run it says nothing.
        adopt(&catalogue, &[told_long_ago(2)]).await;
        let facts = stored(&run(2), &["run00002.mid"], &["run00002.mid"]);
        let is_another = async |started_at, ended_at| {
            let asked = catalogue
                .is_another_run(&run(2), started_at, ended_at)
                .await;
            asked.unwrap()
        };
        let closed = &facts.closed;
        assert!(is_another(closed.started_at, Some(closed.ended_at)).await);
        assert!(is_another(None, Some(closed.ended_at)).await);
        let an_hour_off = Some(at("2022-03-21T15:00:00Z"));
        assert!(!is_another(an_hour_off, None).await, "that is the clock");
        let error = catalogue.record_stored(&facts).await.unwrap_err();
        assert!(matches!(error, CatalogueError::OtherRun { .. }), "{error}");
        let next = RunId {
            version: 2,
            ..run(2)
        };
        let facts = stored(&next, &["run00002.mid"], &["run00002.mid"]);
        catalogue.record_stored(&facts).await.unwrap();
        assert_eq!(
            detail(&catalogue, &run(2)).await.row.state,
            RunState::Adopted
        );
    });
}

fn told_long_ago(number: u64) -> AdoptedRun {
    told(number, "2022-03-21 15:17:13", vec![copy(number, None)])
}

#[test]
fn a_listing_confirms_contradicts_and_finds() {
    block_on(async {
        let catalogue = catalogue().await;
        let book = [
            told(1, "2022-03-21 15:17:13", vec![copy(1, Some(100))]),
            told(2, "2022-03-21 15:18:13", vec![copy(2, Some(100))]),
            told(3, "2022-03-21 15:19:13", vec![copy(3, Some(100))]),
            told(4, "2022-03-21 15:20:13", Vec::new()),
            told(5, "2022-03-21 15:21:13", vec![copy(5, None)]),
        ];
        adopt(&catalogue, &book).await;
        let seen = [
            (
                1,
                Some(100),
                ReplicaState::Claimed,
                EvidenceLevel::E1,
                FileState::Adopted,
            ),
            (
                2,
                Some(99),
                ReplicaState::Suspect,
                EvidenceLevel::E0,
                FileState::Adopted,
            ),
            (
                3,
                None,
                ReplicaState::Absent,
                EvidenceLevel::E0,
                FileState::Missing,
            ),
            (
                4,
                Some(100),
                ReplicaState::Claimed,
                EvidenceLevel::E0,
                FileState::Adopted,
            ),
            (
                5,
                Some(100),
                ReplicaState::Claimed,
                EvidenceLevel::E0,
                FileState::Adopted,
            ),
            (
                6,
                Some(100),
                ReplicaState::Claimed,
                EvidenceLevel::E0,
                FileState::Adopted,
            ),
        ];
        for (number, size, state, evidence, file) in seen {
            let id = run(number);
            assert_eq!(list(&catalogue, &id, size).await, 1, "{id}");
            let now = detail(&catalogue, &id).await;
            check_history(&now);
            let copy = &now.replicas[0];
            assert_eq!((copy.state, copy.evidence), (state, evidence), "{id}");
            assert_eq!(now.files[0].state, file, "{id}");
            assert_eq!(list(&catalogue, &id, size).await, 0, "{id}: once");
        }
        // The book does not overrule a listing; another listing does.
        let done = adopt(&catalogue, &book).await;
        let changed = done
            .iter()
            .filter(|(_, outcome, _)| *outcome != Adoption::AsItWas);
        assert_eq!(changed.count(), 0, "{done:?}");
        list(&catalogue, &run(3), Some(100)).await;
        let back = detail(&catalogue, &run(3)).await;
        assert_eq!(back.row.state, RunState::Adopted);
        assert_eq!(back.replicas[0].state, ReplicaState::Claimed);
        // A run that no book knows has its file and no times.
        let unknown = detail(&catalogue, &run(6)).await;
        assert_eq!(
            (unknown.row.started_at, unknown.row.state),
            (None, RunState::Adopted)
        );
        // The book that comes later tells of that very run.
        let late = told(6, "2022-03-21 15:22:13", Vec::new());
        let done = adopt(&catalogue, &[late]).await;
        assert_eq!(done, [("LNGS/6".to_owned(), Adoption::Changed, false)]);
    });
}
