//! Orders to free a buffer: given on evidence only, carried out in steps, never undone
//! once the last one has begun.

use std::collections::BTreeMap;
use std::time::Duration;

use aquifer_catalogue::{
    Attribute, BY_HAND, BufferFound, Catalogue, CatalogueError, CopyEvidence, NewPurgeOrder,
    PurgeOrderFilter, PurgeOrderRow, PurgeStep,
};
use aquifer_digest::FileIdentity;
use aquifer_schemas::{
    Decoder, EvidenceLevel, FileState, PurgeOrder, PurgeOutcome, PurgeState, Purged, ReplicaState,
    RunId, RunState,
};
use serde_json::json;
use uuid::Uuid;

use super::facts::{WHO, name, run, stored};
use super::history::{check_history, detail, outbox};
use super::house::catalogue;
use crate::fixture::block_on;

const FILES: [&str; 2] = ["a.mid", "b.mid"];

fn evidence(file: &str) -> CopyEvidence {
    CopyEvidence {
        file: name(file),
        element: "S3".to_owned(),
        level: EvidenceLevel::E4,
        method: "read-back".to_owned(),
        size: 1000,
        crc64nvme: "0123456789abcdef".to_owned(),
        age: Duration::from_secs(5),
    }
}

fn order(run: &RunId) -> NewPurgeOrder {
    NewPurgeOrder {
        order: Uuid::new_v4(),
        run: run.clone(),
        buffer: "BUFFER".to_owned(),
        policy: BY_HAND.to_owned(),
        reason: "the buffer is full".to_owned(),
        required: EvidenceLevel::E3,
        evidence_max_age: Duration::from_mins(10),
        files: FILES.iter().map(|file| evidence(file)).collect(),
        who: WHO.to_owned(),
    }
}

async fn with_run(number: u64) -> (Catalogue, RunId) {
    let catalogue = catalogue().await;
    let id = run(number);
    let whole = stored(&id, &FILES, &FILES);
    catalogue.record_stored(&whole).await.unwrap();
    (catalogue, id)
}

async fn step(catalogue: &Catalogue, order: Uuid, step: PurgeStep) -> PurgeOrderRow {
    let first = catalogue.advance_purge(order, &step, WHO).await.unwrap();
    let again = catalogue.advance_purge(order, &step, WHO).await.unwrap();
    let untimed = |row: &PurgeOrderRow| PurgeOrderRow {
        read_at: first.read_at,
        ..row.clone()
    };
    assert_eq!(untimed(&again), first, "taken twice is taken once");
    first
}

fn checked() -> PurgeStep {
    let evidence = json!({ "local": "as sealed" });
    PurgeStep::Checked { evidence }
}

async fn states(catalogue: &Catalogue, id: &RunId) -> (RunState, FileState, ReplicaState) {
    let detail = detail(catalogue, id).await;
    check_history(&detail);
    let copies = detail.replicas.iter();
    let mut buffer = copies.filter(|copy| copy.element == "BUFFER");
    let file = &detail.files[0];
    (detail.row.state, file.state, buffer.next().unwrap().state)
}

#[test]
fn an_order_goes_through_every_step_and_is_told() {
    block_on(async {
        let (catalogue, id) = with_run(1).await;
        let new = order(&id);
        let given = catalogue.order_purge(&new).await.unwrap();
        let again = catalogue.order_purge(&new).await.unwrap();
        assert_eq!((given.row, again.state), (again.row, PurgeState::Proposed));
        assert_eq!(given.files.len(), 2);
        let file = &given.files[0];
        assert_eq!(
            file.copy_evidence,
            EvidenceLevel::E4,
            "renewed by the order"
        );
        let age = given.since(file.evidence_at);
        assert!(
            age >= Duration::from_secs(5) && age < Duration::from_mins(1),
            "{age:?}"
        );
        let ordered = (
            RunState::Safe,
            FileState::PurgeOrdered,
            ReplicaState::Available,
        );
        assert_eq!(states(&catalogue, &id).await, ordered);

        let live = catalogue.live_purge_orders("BUFFER", 10).await.unwrap();
        assert_eq!(live.len(), 1);
        assert!(
            catalogue
                .live_purge_orders("S3", 10)
                .await
                .unwrap()
                .is_empty()
        );

        step(&catalogue, new.order, checked()).await;
        step(&catalogue, new.order, PurgeStep::Trashed).await;
        let trashed = (
            RunState::Safe,
            FileState::Trashed,
            ReplicaState::DeleteOrdered,
        );
        assert_eq!(states(&catalogue, &id).await, trashed);
        let committed = step(&catalogue, new.order, PurgeStep::Unlinking).await;
        assert!(committed.unlinking_at.is_some());
        let late = catalogue.ask_restore(new.order, "ada", "too late").await;
        assert!(
            matches!(late, Err(CatalogueError::NotRestorable { .. })),
            "{late:?}"
        );
        let done = step(&catalogue, new.order, PurgeStep::Deleted).await;
        assert!(!done.is_live() && done.ended_at.is_some());
        let purged = (
            RunState::BufferFree,
            FileState::Purged,
            ReplicaState::Deleted,
        );
        assert_eq!(states(&catalogue, &id).await, purged);
        assert!(
            catalogue
                .live_purge_orders("BUFFER", 10)
                .await
                .unwrap()
                .is_empty()
        );

        let mail = outbox(&catalogue).await;
        let decoder = Decoder::new();
        let of = |topic: &str| {
            mail.iter()
                .filter(|row| row.topic == topic)
                .collect::<Vec<_>>()
        };
        let orders = of("aquifer.buffer.purge-order");
        assert_eq!(orders.len(), 1);
        let said: PurgeOrder = decoder.decode(&orders[0].value).unwrap();
        assert_eq!((said.order, said.files.len()), (new.order, 2));
        let ends = of("aquifer.buffer.purged");
        assert_eq!(ends.len(), 1);
        let said: Purged = decoder.decode(&ends[0].value).unwrap();
        assert_eq!((said.outcome, said.bytes), (PurgeOutcome::Purged, 2000));
    });
}

type Change = fn(&mut NewPurgeOrder);

#[test]
fn an_order_is_refused_without_proof() {
    block_on(async {
        let (catalogue, id) = with_run(2).await;
        let refusals: [(&str, Change); 7] = [
            ("below E3", |new| new.files[0].level = EvidenceLevel::E2),
            ("more than", |new| {
                new.files[0].age = Duration::from_hours(1);
            }),
            ("was found with", |new| new.files[0].size = 999),
            ("was found with", |new| {
                new.files[0].crc64nvme = "f".repeat(16);
            }),
            ("the one to be freed", |new| {
                new.files[0].element = "BUFFER".to_owned();
            }),
            ("no copy at", |new| new.files[0].file = name("c.mid")),
            ("none of its files", |new| new.files.clear()),
        ];
        for (why, change) in refusals {
            let mut new = order(&id);
            change(&mut new);
            let error = catalogue.order_purge(&new).await.unwrap_err().to_string();
            assert!(error.contains(why), "{why}: {error}");
        }
        assert_eq!(
            states(&catalogue, &id).await.1,
            FileState::Stored,
            "nothing was done"
        );
        let unknown = catalogue.order_purge(&order(&run(99))).await;
        assert!(matches!(unknown, Err(CatalogueError::UnknownRun { .. })));

        catalogue.order_purge(&order(&id)).await.unwrap();
        let second = catalogue.order_purge(&order(&id)).await.unwrap_err();
        assert!(second.to_string().contains("purge_ordered"), "{second}");

        let id = run(3);
        let mut whole = stored(&id, &FILES, &FILES);
        let hold = Attribute::text("calibration is being redone");
        whole.closed.attributes.insert("hold".to_owned(), hold);
        catalogue.record_stored(&whole).await.unwrap();
        let error = catalogue.order_purge(&order(&id)).await.unwrap_err();
        assert!(error.to_string().contains("held"), "{error}");
    });
}

#[test]
fn files_are_taken_back_until_the_last_step_begins() {
    block_on(async {
        let (catalogue, id) = with_run(4).await;
        // Before anything was touched: at once.
        let new = order(&id);
        catalogue.order_purge(&new).await.unwrap();
        let void = catalogue
            .ask_restore(new.order, "ada", "not yet")
            .await
            .unwrap();
        assert_eq!(void.state, PurgeState::Cancelled);
        let safe = (RunState::Safe, FileState::Safe, ReplicaState::Available);
        assert_eq!(states(&catalogue, &id).await, safe);
        let late = catalogue
            .advance_purge(new.order, &checked(), WHO)
            .await
            .unwrap();
        assert_eq!(
            late.state,
            PurgeState::Cancelled,
            "a void order goes nowhere"
        );

        // From the trash: by who frees the buffer.
        let new = order(&id);
        catalogue.order_purge(&new).await.unwrap();
        step(&catalogue, new.order, checked()).await;
        step(&catalogue, new.order, PurgeStep::Trashed).await;
        let asked = catalogue
            .ask_restore(new.order, "ada", "wanted")
            .await
            .unwrap();
        assert_eq!(asked.restore_by.as_deref(), Some("ada"));
        let kept = step(&catalogue, new.order, PurgeStep::Unlinking).await;
        assert_eq!(kept.unlinking_at, None, "what is asked back is not deleted");
        let moved = FileIdentity {
            dev: 1,
            ino: 2,
            size: 1000,
            mtime_ns: 3,
            ctime_ns: 99,
        };
        let found = BTreeMap::from([
            (name("a.mid"), BufferFound::Same(moved)),
            (name("b.mid"), BufferFound::Suspect("it grew".to_owned())),
        ]);
        let cancelled = PurgeStep::Cancelled {
            reason: "asked back".to_owned(),
            found,
            signals: vec![super::facts::signal(&id, "purge-cancelled")],
        };
        step(&catalogue, new.order, cancelled).await;
        assert_eq!(states(&catalogue, &id).await, safe);
        let detail = detail(&catalogue, &id).await;
        assert_eq!(detail.files[0].identity, Some(moved));
        let copy = |file: &str| {
            let mut copies = detail.replicas.iter();
            copies.find(|copy| copy.element == "BUFFER" && copy.file.as_str() == file)
        };
        assert_eq!(copy("b.mid").unwrap().state, ReplicaState::Suspect);
        // A suspect file is not freed on another order.
        let again = catalogue.order_purge(&order(&id)).await.unwrap_err();
        assert!(again.to_string().contains("suspect"), "{again}");
        let filter = PurgeOrderFilter {
            run: Some(id.clone()),
            states: vec![PurgeState::Cancelled],
            ..PurgeOrderFilter::default()
        };
        assert_eq!(catalogue.purge_orders(&filter).await.unwrap().len(), 2);
    });
}
