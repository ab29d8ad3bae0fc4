//! The ledger against a plain model: whatever is recorded is neither forgotten nor
//! done twice, and a journal says the same after compaction.

use aquifer_digest::{Digests, FileIdentity};
use aquifer_schemas::{ClosedBy, EvidenceLevel};
use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::journal::PurgePhase;

fn name(n: u8) -> FileName {
    format!("run{n}.mid").parse().unwrap()
}

fn closure(files: &[u8]) -> Closure {
    Closure {
        closed_by: ClosedBy::Daq,
        started_at: None,
        ended_at: Timestamp::UNIX_EPOCH,
        run_type: None,
        events: Some(3),
        attributes: BTreeMap::new(),
        files: files
            .iter()
            .map(|&n| ExpectedFile {
                name: name(n),
                size: None,
                crc32c: None,
            })
            .collect(),
        trace: None,
        learnt_at: Timestamp::UNIX_EPOCH,
    }
}

fn facts(content: u8) -> StoredFacts {
    StoredFacts {
        identity: FileIdentity {
            dev: 1,
            ino: 2,
            size: 1,
            mtime_ns: i64::from(content),
            ctime_ns: 0,
        },
        digests: Digests::of(&[content]),
        element: "S3".to_owned(),
        bucket: "b".to_owned(),
        key: format!("k{content}"),
        evidence: EvidenceLevel::E2,
        evidence_method: "put".to_owned(),
        stored_at: Timestamp::UNIX_EPOCH,
    }
}

fn closed(run: RunNumber, files: &[u8]) -> Record {
    Record::Closed {
        run,
        version: 1,
        closure: closure(files),
    }
}

fn stored(run: RunNumber, n: u8) -> Record {
    Record::Stored {
        run,
        name: name(n),
        facts: facts(n),
    }
}

fn manifested(run: RunNumber) -> Record {
    Record::Manifested {
        run,
        key: "m".to_owned(),
    }
}

fn record_all(ledger: &mut Ledger, run: RunNumber) {
    let facts = ledger.active(run).map(|active| active.facts);
    if let Some(facts) = facts {
        ledger.apply(Record::Recorded { run, facts });
    }
}

#[test]
fn a_run_passes_through_storing_and_recording_once() {
    let mut ledger = Ledger::default();
    ledger.apply(closed(7, &[1, 2]));
    assert_eq!(ledger.to_store().collect::<Vec<_>>(), [7]);
    ledger.apply(stored(7, 1));
    ledger.apply(stored(7, 2));
    assert_eq!(ledger.backlog(), (1, 1), "the manifest is still to be put");
    ledger.apply(manifested(7));
    assert_eq!(ledger.backlog(), (0, 1));
    record_all(&mut ledger, 7);
    assert_eq!(ledger.backlog(), (0, 0));
    assert!(ledger.active(7).is_none());
    assert!(matches!(
        ledger.knowledge(7, &name(1)),
        Knowledge::Stored(_)
    ));
}

#[test]
fn news_during_recording_are_recorded_again() {
    let mut ledger = Ledger::default();
    ledger.apply(closed(7, &[1]));
    let seen = ledger.active(7).unwrap().facts;
    ledger.apply(stored(7, 1));
    ledger.apply(Record::Recorded {
        run: 7,
        facts: seen,
    });
    assert_eq!(ledger.to_record().collect::<Vec<_>>(), [7]);
}

#[test]
fn a_late_file_reopens_its_run_and_the_stored_ones_rest() {
    let mut ledger = Ledger::default();
    ledger.apply(closed(7, &[1]));
    ledger.apply(stored(7, 1));
    ledger.apply(manifested(7));
    record_all(&mut ledger, 7);
    ledger.apply(closed(7, &[2]));
    let missing: Vec<_> = ledger
        .active(7)
        .unwrap()
        .missing()
        .map(|file| file.name.clone())
        .collect();
    assert_eq!(missing, [name(2)]);
    ledger.apply(stored(7, 2));
    assert_eq!(ledger.active(7).unwrap().stored().count(), 1);
}

#[test]
fn a_number_used_again_starts_afresh_under_the_next_version() {
    let mut ledger = Ledger::default();
    ledger.apply(closed(7, &[1]));
    ledger.apply(stored(7, 1));
    ledger.apply(manifested(7));
    record_all(&mut ledger, 7);
    ledger.apply(Record::Closed {
        run: 7,
        version: 2,
        closure: closure(&[1]),
    });
    assert_eq!(ledger.version(7), 2);
    assert_eq!(ledger.knowledge(7, &name(1)), Knowledge::Waiting);
}

#[test]
fn a_closure_announced_twice_takes_no_file_away() {
    let mut ledger = Ledger::default();
    ledger.apply(closed(7, &[1]));
    ledger.apply(closed(7, &[2]));
    assert_eq!(ledger.active(7).unwrap().missing().count(), 2);
}

const ORDER: Uuid = Uuid::from_u128(1);

fn purged_file(n: u8, content: u8) -> PurgedFile {
    PurgedFile {
        name: name(n),
        identity: facts(content).identity,
    }
}

fn purge(run: RunNumber, n: u8, phase: PurgePhase) -> Record {
    Record::Purge {
        run,
        order: ORDER,
        purge: Purge {
            version: 1,
            phase,
            files: vec![purged_file(n, n)],
        },
    }
}

fn purge_ended(run: RunNumber, end: PurgeEnd, file: PurgedFile) -> Record {
    Record::PurgeEnded {
        run,
        order: ORDER,
        version: 1,
        end,
        files: vec![file],
    }
}

fn done(run: RunNumber, files: &[u8]) -> Ledger {
    let mut ledger = Ledger::default();
    ledger.apply(closed(run, files));
    for &n in files {
        ledger.apply(stored(run, n));
    }
    ledger.apply(manifested(run));
    record_all(&mut ledger, run);
    assert!(ledger.active(run).is_none());
    ledger
}

#[test]
fn a_purged_file_is_forgotten_and_is_nobodys_work() {
    let mut ledger = done(7, &[1, 2]);
    ledger.apply(purge(7, 1, PurgePhase::Moving));
    assert_eq!(ledger.knowledge(7, &name(1)), Knowledge::Moving);
    ledger.apply(purge(7, 1, PurgePhase::Trashed));
    assert_eq!(ledger.knowledge(7, &name(1)), Knowledge::Trashed);
    ledger.apply(purge_ended(7, PurgeEnd::Gone, purged_file(1, 1)));
    assert_eq!(ledger.knowledge(7, &name(1)), Knowledge::New);
    assert!(matches!(
        ledger.knowledge(7, &name(2)),
        Knowledge::Stored(_)
    ));
    ledger.apply(purge_ended(7, PurgeEnd::Gone, purged_file(2, 2)));
    assert_eq!((ledger.runs(), ledger.backlog()), (0, (0, 0)));
}

#[test]
fn a_file_purged_while_its_run_is_on_its_way_again_is_not_waited_for() {
    let mut ledger = done(7, &[1]);
    ledger.apply(closed(7, &[1, 2]));
    ledger.apply(purge_ended(7, PurgeEnd::Gone, purged_file(1, 1)));
    let missing: Vec<_> = ledger.active(7).unwrap().missing().collect();
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert_eq!(missing[0].name, name(2));
}

#[test]
fn a_file_that_was_put_back_is_the_same_under_its_new_identity() {
    let mut ledger = done(7, &[1]);
    ledger.apply(purge(7, 1, PurgePhase::Restoring));
    assert_eq!(ledger.knowledge(7, &name(1)), Knowledge::Moving);
    ledger.apply(purge_ended(7, PurgeEnd::Restored, purged_file(1, 9)));
    let Knowledge::Stored(known) = ledger.knowledge(7, &name(1)) else {
        panic!("still stored");
    };
    assert_eq!(known.identity, facts(9).identity);
    assert_eq!(known.crc64nvme, facts(1).digests.crc64nvme);
    assert_eq!(ledger.purges(), []);
}

#[test]
fn an_order_about_one_version_leaves_the_next_alone() {
    let mut ledger = done(7, &[1]);
    ledger.apply(purge(7, 1, PurgePhase::Trashed));
    ledger.apply(Record::Closed {
        run: 7,
        version: 2,
        closure: closure(&[1]),
    });
    assert_eq!(ledger.knowledge(7, &name(1)), Knowledge::Waiting);
    ledger.apply(stored(7, 1));
    ledger.apply(purge_ended(7, PurgeEnd::Gone, purged_file(1, 1)));
    assert!(matches!(
        ledger.knowledge(7, &name(1)),
        Knowledge::Stored(_)
    ));
}

fn secrets(run: RunNumber, n: u8) -> Record {
    Record::Secrets {
        run,
        source: SecretSource::File(name(n)),
        found: vec![Found {
            place: "/Logger/Password".to_owned(),
            kind: aquifer_schemas::redact::SecretKind::Named,
        }],
    }
}

#[test]
fn where_secrets_lie_is_known_until_the_catalogue_knows_it() {
    let mut ledger = Ledger::default();
    ledger.apply(closed(7, &[1]));
    ledger.apply(secrets(7, 1));
    ledger.apply(stored(7, 1));
    ledger.apply(manifested(7));
    let mut again = Ledger::default();
    for record in ledger.compact() {
        again.apply(record);
    }
    let known = |ledger: &Ledger| ledger.active(7).unwrap().secrets.clone();
    assert_eq!(known(&again), known(&ledger));
    assert_eq!(known(&again).len(), 1);
    record_all(&mut ledger, 7);
    assert_eq!(ledger.backlog(), (0, 0));
}

fn any_purge() -> impl Strategy<Value = Record> {
    let phase = prop_oneof![
        Just(PurgePhase::Moving),
        Just(PurgePhase::Trashed),
        Just(PurgePhase::Restoring)
    ];
    let end = prop_oneof![Just(PurgeEnd::Gone), Just(PurgeEnd::Restored)];
    prop_oneof![
        (0_u64..4, 0_u8..4, phase).prop_map(|(run, n, phase)| purge(run, n, phase)),
        (0_u64..4, 0_u8..4, end).prop_map(|(run, n, end)| purge_ended(run, end, purged_file(n, 3))),
    ]
}

fn any_record() -> impl Strategy<Value = Record> {
    let run = 0_u64..4;
    prop_oneof![
        any_purge(),
        (run.clone(), 0_u8..4).prop_map(|(run, n)| secrets(run, n)),
        (run.clone(), prop::collection::vec(0_u8..4, 0..3))
            .prop_map(|(run, files)| closed(run, &files)),
        (run.clone(), 0_u8..4).prop_map(|(run, n)| stored(run, n)),
        run.clone().prop_map(manifested),
        (run.clone(), 0_u8..4).prop_map(|(run, n)| Record::Quarantined {
            run,
            name: name(n),
            state: FileState::Changed,
            reason: "why".to_owned(),
        }),
        (run.clone(), 2_u32..4).prop_map(|(run, version)| Record::Reversioned { run, version }),
        (run, 0_u64..6).prop_map(|(run, facts)| Record::Recorded { run, facts }),
    ]
}

/// Applies a record as the ingester could have written it: the catalogue cannot be
/// told of more than is known, nor of a run that is not on its way.
fn apply(ledger: &mut Ledger, record: Record) {
    match record {
        Record::Recorded { run, facts } => {
            if let Some(active) = ledger.active(run) {
                let facts = facts.min(active.facts);
                ledger.apply(Record::Recorded { run, facts });
            }
        }
        other => ledger.apply(other),
    }
}

proptest! {
    /// After any history a compacted journal leads to the same knowledge of every
    /// file, the same work to store, and no less to record.
    #[test]
    fn compaction_forgets_nothing(records in prop::collection::vec(any_record(), 0..40)) {
        let mut ledger = Ledger::default();
        for record in records {
            apply(&mut ledger, record);
        }
        let mut again = Ledger::default();
        for record in ledger.compact() {
            again.apply(record);
        }
        let to_store: Vec<_> = ledger.to_store().collect();
        prop_assert_eq!(&again.to_store().collect::<Vec<_>>(), &to_store);
        let to_record: BTreeSet<_> = again.to_record().collect();
        for run in ledger.to_record() {
            prop_assert!(to_record.contains(&run));
        }
        for run in 0..4 {
            prop_assert_eq!(again.version(run), ledger.version(run));
            for n in 0..4 {
                prop_assert_eq!(
                    again.knowledge(run, &name(n)),
                    ledger.knowledge(run, &name(n))
                );
            }
        }
    }

    /// A closed file that was neither stored nor quarantined always has its run
    /// listed as work, and one that was stored never is missing.
    #[test]
    fn nothing_closed_is_forgotten(records in prop::collection::vec(any_record(), 0..40)) {
        let mut ledger = Ledger::default();
        for record in records {
            apply(&mut ledger, record);
            for run in 0..4 {
                let waiting = (0..4).any(|n| ledger.knowledge(run, &name(n)) == Knowledge::Waiting);
                prop_assert!(!waiting || ledger.to_store().any(|listed| listed == run));
            }
        }
    }
}
