//! The ledger against a plain model: whatever is recorded is neither forgotten nor
//! done twice, and a journal says the same after compaction.

use aquifer_digest::{Digests, FileIdentity};
use aquifer_schemas::{ClosedBy, Encoding, EvidenceLevel, FileState};
use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::journal::{BufferForm, Closure, Encoded, ExpectedFile, StoredFacts};

fn name(n: u8) -> FileName {
    format!("run{n}.mid").parse().unwrap()
}

fn knowledge(ledger: &Ledger, run: RunNumber, n: u8) -> Knowledge {
    ledger.knowledge(run, &name(n), &name(n))
}

/// The compacted journal, in the smallest pieces.
fn compacted(ledger: &Ledger) -> Vec<Record> {
    let mut records = Vec::new();
    let mut next = Some(None);
    while let Some(after) = next {
        let piece = ledger.compact(after, 1);
        next = piece.last.map(Some);
        records.extend(piece.records);
    }
    records
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
            .map(|&n| ExpectedFile::named(name(n)))
            .collect(),
        trace: None,
        learnt_at: Timestamp::UNIX_EPOCH,
        instead: None,
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
        disk: None,
        digests: Digests::of(&[content]),
        encoded: None,
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
    assert!(matches!(knowledge(&ledger, 7, 1), Knowledge::Stored(_)));
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
    assert_eq!(knowledge(&ledger, 7, 1), Knowledge::Waiting);
}

#[test]
fn a_closure_announced_twice_takes_no_file_away() {
    let mut ledger = Ledger::default();
    ledger.apply(closed(7, &[1]));
    ledger.apply(closed(7, &[2]));
    assert_eq!(ledger.active(7).unwrap().missing().count(), 2);
}

fn stored_and_recorded(run: RunNumber, files: &[u8]) -> Ledger {
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

fn gone(run: RunNumber, n: u8, packed: bool) -> Record {
    Record::Gone {
        run,
        disk: disk(n, packed),
        at: Timestamp::UNIX_EPOCH,
    }
}

fn vanished(ledger: &Ledger, run: RunNumber) -> usize {
    let active = ledger.active(run);
    active.map_or(0, |active| active.vanished().count())
}

#[test]
fn a_run_is_forgotten_when_its_last_file_has_left_the_buffer_and_the_catalogue_knows() {
    let mut ledger = stored_and_recorded(7, &[1, 2]);
    ledger.apply(gone(7, 1, false));
    assert_eq!(vanished(&ledger, 7), 1);
    record_all(&mut ledger, 7);
    assert_eq!(knowledge(&ledger, 7, 1), Knowledge::New);
    assert!(matches!(knowledge(&ledger, 7, 2), Knowledge::Stored(_)));
    ledger.apply(gone(7, 2, false));
    assert_eq!(ledger.runs(), 1, "the catalogue does not know yet");
    record_all(&mut ledger, 7);
    assert_eq!(ledger.runs(), 0);
}

#[test]
fn a_file_that_another_program_compressed_has_not_vanished() {
    let mut ledger = stored_and_recorded(7, &[1]);
    let knowledge = |ledger: &Ledger| ledger.knowledge(7, &disk(1, true), &name(1));
    assert!(matches!(knowledge(&ledger), Knowledge::OtherForm(_)));
    ledger.apply(Record::Formed {
        run: 7,
        name: name(1),
        form: form(1, true),
    });
    ledger.apply(gone(7, 1, false));
    assert_eq!(vanished(&ledger, 7), 0);
    record_all(&mut ledger, 7);
    assert!(matches!(knowledge(&ledger), Knowledge::Stored(_)));
    ledger.apply(gone(7, 1, true));
    assert_eq!(vanished(&ledger, 7), 1);
}

#[test]
fn a_quarantined_file_that_is_closed_again_is_tried_again() {
    let mut ledger = Ledger::default();
    ledger.apply(closed(7, &[1]));
    ledger.apply(Record::Quarantined {
        run: 7,
        name: name(1),
        state: FileState::Vanished,
        reason: "why".to_owned(),
        identity: None,
    });
    record_all(&mut ledger, 7);
    assert_eq!(knowledge(&ledger, 7, 1), Knowledge::Quarantined(None));
    ledger.apply(closed(7, &[1]));
    assert_eq!(knowledge(&ledger, 7, 1), Knowledge::Waiting);
}

#[test]
fn subruns_are_stored_while_their_run_goes_on_and_the_manifest_waits_for_its_end() {
    let mut ledger = Ledger::default();
    ledger.apply(Record::FilesClosed {
        run: 7,
        version: 1,
        files: closure(&[1]).files,
        started_at: Timestamp::UNIX_EPOCH,
    });
    assert_eq!(ledger.to_store().collect::<Vec<_>>(), [7]);
    ledger.apply(stored(7, 1));
    assert_eq!(ledger.to_store().count(), 0);
    record_all(&mut ledger, 7);
    assert!(ledger.active(7).is_some(), "the run is not over");
    ledger.apply(closed(7, &[1, 2]));
    ledger.apply(stored(7, 2));
    assert!(ledger.active(7).unwrap().needs_storing(), "the manifest");
    ledger.apply(manifested(7));
    record_all(&mut ledger, 7);
    assert!(ledger.active(7).is_none());
}

#[test]
fn a_late_subrun_of_a_run_that_was_done_is_not_forgotten_before_the_run_ends_again() {
    let mut ledger = stored_and_recorded(7, &[1]);
    ledger.apply(Record::FilesClosed {
        run: 7,
        version: 1,
        files: closure(&[2]).files,
        started_at: Timestamp::UNIX_EPOCH,
    });
    ledger.apply(stored(7, 2));
    record_all(&mut ledger, 7);
    assert_eq!(ledger.going_on().len(), 1);
    ledger.apply(closed(7, &[]));
    assert!(ledger.to_store().any(|run| run == 7), "its manifest");
    assert_eq!(ledger.active(7).unwrap().expected().count(), 1);
}

fn any_record() -> impl Strategy<Value = Record> {
    let run = 0_u64..4;
    prop_oneof![
        (run.clone(), prop::collection::vec(0_u8..4, 0..3))
            .prop_map(|(run, files)| closed(run, &files)),
        (run.clone(), 0_u8..4).prop_map(|(run, n)| stored(run, n)),
        run.clone().prop_map(manifested),
        (run.clone(), 0_u8..4).prop_map(|(run, n)| Record::Quarantined {
            run,
            name: name(n),
            state: FileState::Changed,
            reason: "why".to_owned(),
            identity: None,
        }),
        (run.clone(), 2_u32..4).prop_map(|(run, version)| Record::Reversioned { run, version }),
        (run.clone(), prop::collection::vec(0_u8..4, 1..3)).prop_map(|(run, files)| {
            let files = closure(&files).files;
            Record::FilesClosed {
                run,
                version: 1,
                files,
                started_at: Timestamp::UNIX_EPOCH,
            }
        }),
        (run.clone(), 0_u8..4, any::<bool>()).prop_map(|(run, n, packed)| Record::Formed {
            run,
            name: name(n),
            form: form(n, packed),
        }),
        (run.clone(), 0_u8..4, any::<bool>()).prop_map(|(run, n, packed)| Record::Gone {
            run,
            disk: disk(n, packed),
            at: Timestamp::UNIX_EPOCH,
        }),
        (run, 0_u64..9).prop_map(|(run, facts)| Record::Recorded { run, facts }),
    ]
}

fn disk(n: u8, packed: bool) -> FileName {
    let ending = if packed { ".gz" } else { "" };
    format!("{}{ending}", name(n)).parse().unwrap()
}

fn form(n: u8, packed: bool) -> BufferForm {
    let encoded = Encoded {
        encoding: Encoding::Gzip,
        digests: Digests::of(b"packed"),
    };
    BufferForm {
        disk: disk(n, packed),
        known: KnownFile {
            identity: FileIdentity {
                ino: 3 + u64::from(packed),
                ..facts(n).identity
            },
            ..facts(n).known()
        },
        encoded: packed.then_some(encoded),
    }
}

/// Applies a record as the ingester could have written it: the catalogue cannot be
/// told of more than is known, nor of a run that is not on its way; forms are of stored
/// files, and only what was known to be there is found to be gone.
fn apply(ledger: &mut Ledger, record: Record) {
    let known = |run, disk: &FileName| {
        let file = disk.as_str().trim_end_matches(".gz").parse().unwrap();
        ledger.knowledge(run, disk, &file)
    };
    match &record {
        Record::Formed { run, form, .. } => match known(*run, &form.disk) {
            Knowledge::Stored(_) | Knowledge::OtherForm(_) => {}
            _ => return,
        },
        // Only a run with files to store finds that its keys are taken.
        Record::Reversioned { run, .. } => {
            let active = ledger.active(*run);
            if active.is_none_or(|active| active.expected().next().is_none()) {
                return;
            }
        }
        Record::Gone { run, disk, .. } if !matches!(known(*run, disk), Knowledge::Stored(_)) => {
            return;
        }
        _ => {}
    }
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
        for record in compacted(&ledger) {
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
            let vanished = |ledger: &Ledger| {
                let active = ledger.active(run);
                let names = active.iter().flat_map(|active| active.vanished());
                names.map(|(name, _)| name.clone()).collect::<Vec<_>>()
            };
            prop_assert_eq!(vanished(&again), vanished(&ledger));
            for n in 0..4 {
                for packed in [false, true] {
                    let known = |ledger: &Ledger| ledger.knowledge(run, &disk(n, packed), &name(n));
                    prop_assert_eq!(known(&again), known(&ledger));
                }
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
                let waiting = (0..4).any(|n| knowledge(&ledger, run, n) == Knowledge::Waiting);
                prop_assert!(!waiting || ledger.to_store().any(|listed| listed == run));
            }
        }
    }
}
