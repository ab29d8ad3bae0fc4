//! The ledger against a plain model: whatever is recorded is neither forgotten nor
//! done twice, and a journal says the same after compaction.

use aquifer_digest::{Digests, FileIdentity};
use aquifer_schemas::{ClosedBy, Encoding, EvidenceLevel, FileState};
use aquifer_storage::{GrowingUpload, PartReceipt};
use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use aquifer_schemas::redact::Found;

use crate::journal::{
    BufferForm, Closure, Encoded, ExpectedFile, PurgePhase, SecretSource, StoredFacts,
};
use crate::said::Said;
use crate::stream::{Encoder, Inode, SentPart, Start};

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

fn streaming(run: RunNumber, n: u8) -> Record {
    Record::Streaming {
        run,
        name: name(n),
        start: Start {
            upload: GrowingUpload {
                key: format!("k{n}").parse().unwrap(),
                upload_id: "u".to_owned(),
            },
            encoder: Encoder {
                encoding: Encoding::Gzip,
                level: 3,
            },
            member_size: 8,
            least_part: 5,
            inode: Inode { dev: 1, ino: 2 },
            while_open: true,
            run_started_at: None,
        },
    }
}

/// Each part is of two bytes.
fn part(run: RunNumber, n: u8, number: u32) -> Record {
    let digests = Digests::of(&[n, 0]);
    Record::Part {
        run,
        name: name(n),
        part: SentPart {
            receipt: PartReceipt {
                number,
                size: 2,
                etag: "e".to_owned(),
                crc64nvme: digests.crc64nvme,
            },
            offset: 2 * u64::from(number - 1),
            input: digests,
            output: digests,
        },
    }
}

fn streams(ledger: &Ledger, run: RunNumber) -> Vec<(FileName, usize)> {
    let active = ledger.active(run).into_iter();
    active
        .flat_map(|active| &active.streams)
        .map(|(name, stream)| (name.clone(), stream.parts().len()))
        .collect()
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

const ORDER: Uuid = Uuid::from_u128(1);

fn purged_file(n: u8, content: u8) -> PurgedFile {
    PurgedFile {
        name: name(n),
        disk: None,
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
fn an_upload_is_known_until_its_file_is_stored_or_it_is_dropped() {
    let mut ledger = Ledger::default();
    ledger.apply(part(7, 1, 1));
    assert_eq!(streams(&ledger, 7), [], "a part of nothing");
    ledger.apply(streaming(7, 1));
    ledger.apply(part(7, 1, 1));
    ledger.apply(part(7, 1, 2));
    assert_eq!(streams(&ledger, 7), [(name(1), 2)]);
    assert!(!ledger.is_closed(7));
    assert_eq!(knowledge(&ledger, 7, 1), Knowledge::New);
    assert_eq!(ledger.backlog(), (0, 1), "the catalogue is told of it");
    record_all(&mut ledger, 7);
    ledger.apply(part(7, 1, 3));
    assert_eq!(ledger.backlog(), (0, 0), "and not of its parts");
    let mut dropped = Ledger::default();
    for record in compacted(&ledger) {
        dropped.apply(record);
    }
    assert_eq!(streams(&dropped, 7), [(name(1), 3)]);
    dropped.apply(Record::StreamAborted {
        run: 7,
        name: name(1),
        reason: "rewritten".to_owned(),
    });
    assert_eq!(streams(&dropped, 7), []);
    ledger.apply(closed(7, &[1]));
    ledger.apply(stored(7, 1));
    assert_eq!(streams(&ledger, 7), []);
}

#[test]
fn a_run_is_done_only_when_its_slow_control_values_are_published() {
    let sampled = |n| Record::Sampled {
        run: 7,
        name: name(n),
    };
    let mut ledger = Ledger::new(true);
    ledger.apply(closed(7, &[1, 2]));
    ledger.apply(sampled(1));
    for n in [1, 2] {
        ledger.apply(stored(7, n));
    }
    ledger.apply(manifested(7));
    record_all(&mut ledger, 7);
    assert_eq!(ledger.backlog(), (0, 0));
    let mut again = Ledger::new(true);
    for record in compacted(&ledger) {
        again.apply(record);
    }
    record_all(&mut again, 7);
    for ledger in [&mut ledger, &mut again] {
        assert_eq!(ledger.to_sample().collect::<Vec<_>>(), [7]);
        let active = ledger.active(7).unwrap();
        assert_eq!(active.unsampled().collect::<Vec<_>>(), [&name(2)]);
        ledger.apply(sampled(2));
        assert_eq!(ledger.to_sample().count(), 0);
        assert!(ledger.active(7).is_none());
    }
}

#[test]
fn a_purged_file_is_forgotten_and_is_nobodys_work() {
    let mut ledger = stored_and_recorded(7, &[1, 2]);
    ledger.apply(purge(7, 1, PurgePhase::Moving));
    assert_eq!(knowledge(&ledger, 7, 1), Knowledge::Moving);
    ledger.apply(purge(7, 1, PurgePhase::Trashed));
    assert_eq!(knowledge(&ledger, 7, 1), Knowledge::Trashed);
    ledger.apply(purge_ended(7, PurgeEnd::Gone, purged_file(1, 1)));
    assert_eq!(knowledge(&ledger, 7, 1), Knowledge::New);
    assert!(matches!(knowledge(&ledger, 7, 2), Knowledge::Stored(_)));
    ledger.apply(purge_ended(7, PurgeEnd::Gone, purged_file(2, 2)));
    assert_eq!((ledger.runs(), ledger.backlog()), (0, (0, 0)));
}

#[test]
fn a_file_purged_while_its_run_is_on_its_way_again_is_not_waited_for() {
    let mut ledger = stored_and_recorded(7, &[1]);
    ledger.apply(closed(7, &[1, 2]));
    ledger.apply(purge_ended(7, PurgeEnd::Gone, purged_file(1, 1)));
    let missing: Vec<_> = ledger.active(7).unwrap().missing().collect();
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert_eq!(missing[0].name, name(2));
}

#[test]
fn a_file_that_was_put_back_is_the_same_under_its_new_identity() {
    let mut ledger = stored_and_recorded(7, &[1]);
    ledger.apply(purge(7, 1, PurgePhase::Restoring));
    assert_eq!(knowledge(&ledger, 7, 1), Knowledge::Moving);
    ledger.apply(purge_ended(7, PurgeEnd::Restored, purged_file(1, 9)));
    let Knowledge::Stored(known) = knowledge(&ledger, 7, 1) else {
        panic!("still stored");
    };
    assert_eq!(known.identity, facts(9).identity);
    assert_eq!(known.crc64nvme, facts(1).digests.crc64nvme);
    assert_eq!(ledger.purges(), []);
}

#[test]
fn an_order_about_one_version_leaves_the_next_alone() {
    let mut ledger = stored_and_recorded(7, &[1]);
    ledger.apply(purge(7, 1, PurgePhase::Trashed));
    ledger.apply(Record::Closed {
        run: 7,
        version: 2,
        closure: closure(&[1]),
    });
    assert_eq!(knowledge(&ledger, 7, 1), Knowledge::Waiting);
    ledger.apply(stored(7, 1));
    ledger.apply(purge_ended(7, PurgeEnd::Gone, purged_file(1, 1)));
    assert!(matches!(knowledge(&ledger, 7, 1), Knowledge::Stored(_)));
}

fn packed(n: u8) -> PurgedFile {
    PurgedFile {
        name: name(n),
        disk: Some(disk(n, true)),
        identity: form(n, true).known.identity,
    }
}

fn with_files(run: RunNumber, files: Vec<PurgedFile>) -> Record {
    Record::Purge {
        run,
        order: ORDER,
        purge: Purge {
            version: 1,
            phase: PurgePhase::Trashed,
            files,
        },
    }
}

fn formed(run: RunNumber, n: u8) -> Record {
    Record::Formed {
        run,
        name: name(n),
        form: form(n, true),
    }
}

#[test]
fn every_form_of_a_file_is_known_to_an_order_and_forgotten_with_it() {
    for on_its_way in [false, true] {
        let mut ledger = stored_and_recorded(7, &[1]);
        ledger.apply(formed(7, 1));
        if !on_its_way {
            record_all(&mut ledger, 7);
        }
        let lying = vec![
            (name(1), facts(1).known()),
            (disk(1, true), form(1, true).known),
        ];
        assert_eq!(ledger.lying(7, &name(1)), Lying::Under(lying));
        let files = vec![purged_file(1, 1), packed(1)];
        ledger.apply(with_files(7, files.clone()));
        let knowledge = |ledger: &Ledger| ledger.knowledge(7, &disk(1, true), &name(1));
        assert_eq!(knowledge(&ledger), Knowledge::Trashed);
        ledger.apply(Record::PurgeEnded {
            run: 7,
            order: ORDER,
            version: 1,
            end: PurgeEnd::Gone,
            files,
        });
        assert_eq!(knowledge(&ledger), Knowledge::New);
        assert_eq!((ledger.runs(), ledger.backlog()), (0, (0, 0)));
    }
}

#[test]
fn a_form_that_the_order_did_not_know_stays_known() {
    for on_its_way in [false, true] {
        let mut ledger = stored_and_recorded(7, &[1]);
        ledger.apply(formed(7, 1));
        if !on_its_way {
            record_all(&mut ledger, 7);
        }
        ledger.apply(purge_ended(7, PurgeEnd::Gone, purged_file(1, 1)));
        let lying = vec![(disk(1, true), form(1, true).known)];
        assert_eq!(ledger.lying(7, &name(1)), Lying::Under(lying));
        assert_eq!(
            knowledge(&ledger, 7, 1),
            Knowledge::OtherForm(form(1, true).known)
        );
    }
}

#[test]
fn what_an_order_takes_away_does_not_vanish() {
    let mut ledger = stored_and_recorded(7, &[1, 2]);
    assert_eq!(ledger.in_buffer().count(), 2);
    ledger.apply(purge(7, 1, PurgePhase::Moving));
    assert_eq!(ledger.in_buffer().count(), 1);
    assert!(!ledger.expects(7, &name(1)) && ledger.expects(7, &name(2)));
    // Noticed before the move was known of, and said after.
    ledger.apply(gone(7, 1, false));
    assert_eq!((vanished(&ledger, 7), ledger.backlog()), (0, (0, 0)));
    ledger.apply(purge_ended(7, PurgeEnd::Restored, purged_file(1, 9)));
    assert!(ledger.expects(7, &name(1)));
    ledger.apply(purge(7, 2, PurgePhase::Moving));
    ledger.apply(purge_ended(7, PurgeEnd::Gone, purged_file(2, 2)));
    ledger.apply(gone(7, 2, false));
    assert_eq!(vanished(&ledger, 7), 0);
    ledger.apply(gone(8, 1, false));
    assert!(ledger.active(8).is_none(), "nobody knows the run");
}

#[test]
fn an_older_version_that_was_purged_is_not_expected_any_more() {
    let mut ledger = stored_and_recorded(7, &[1, 2]);
    ledger.apply(purge(7, 1, PurgePhase::Trashed));
    ledger.apply(Record::Closed {
        run: 7,
        version: 2,
        closure: closure(&[2]),
    });
    ledger.apply(stored(7, 2));
    ledger.apply(manifested(7));
    assert!(!ledger.expects(7, &name(1)));
    ledger.apply(purge_ended(7, PurgeEnd::Gone, purged_file(1, 1)));
    assert_eq!(knowledge(&ledger, 7, 1), Knowledge::New);
    record_all(&mut ledger, 7);
    let names: Vec<_> = ledger.in_buffer().map(|(_, disk, _)| disk).collect();
    assert_eq!(names, ["run2.mid"]);
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
    for record in compacted(&ledger) {
        again.apply(record);
    }
    let known = |ledger: &Ledger| ledger.active(7).unwrap().secrets.clone();
    assert_eq!(known(&again), known(&ledger));
    assert_eq!(known(&again).len(), 1);
    record_all(&mut ledger, 7);
    assert_eq!(ledger.backlog(), (0, 0));
}

fn said(run: RunNumber, n: u8) -> Record {
    let value = aquifer_profile::Value::Number(f64::from(n));
    Record::Said {
        run,
        name: name(n),
        said: Said {
            begin: [("/HV/Demand".to_owned(), value)].into(),
            closed: true,
            ..Said::default()
        },
    }
}

#[test]
fn what_files_say_is_known_until_the_catalogue_knows_it() {
    let mut ledger = Ledger::default();
    ledger.apply(closed(7, &[1, 2]));
    ledger.apply(said(7, 1));
    let unheard = |ledger: &Ledger| {
        let unheard = ledger.active(7).unwrap().unheard();
        unheard.map(|file| file.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(unheard(&ledger), [name(2)]);
    let mut again = Ledger::default();
    for record in compacted(&ledger) {
        again.apply(record);
    }
    let known = |ledger: &Ledger| ledger.active(7).unwrap().said.clone();
    assert_eq!(known(&again), known(&ledger));
    assert_eq!(unheard(&again), [name(2)]);
    // Other files under the number say other things.
    ledger.apply(Record::Reversioned { run: 7, version: 2 });
    assert_eq!(unheard(&ledger), [name(1), name(2)]);
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
        (0_u64..4, 0_u8..4).prop_map(|(run, n)| with_files(run, vec![packed(n)])),
        (0_u64..4, 0_u8..4, end.clone()).prop_map(|(run, n, end)| purge_ended(run, end, packed(n))),
        (0_u64..4, 0_u8..4, end).prop_map(|(run, n, end)| purge_ended(run, end, purged_file(n, 3))),
    ]
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
        any_purge(),
        (run.clone(), 0_u8..4).prop_map(|(run, n)| secrets(run, n)),
        (run.clone(), 0_u8..4).prop_map(|(run, n)| said(run, n)),
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
        (run.clone(), 0_u8..4).prop_map(|(run, n)| streaming(run, n)),
        (run.clone(), 0_u8..4, 1_u32..4).prop_map(|(run, n, number)| part(run, n, number)),
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
            prop_assert_eq!(streams(&again, run), streams(&ledger, run));
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

#[test]
fn what_is_said_of_a_run_after_its_manifest_is_put_gets_a_manifest_too() {
    let mut ledger = Ledger::default();
    ledger.apply(closed(7, &[1]));
    ledger.apply(stored(7, 1));
    ledger.apply(manifested(7));
    assert!(!ledger.active(7).unwrap().needs_manifest());
    // Said again, nothing is new.
    ledger.apply(closed(7, &[1]));
    assert!(!ledger.active(7).unwrap().needs_manifest());
    let said = |ledger: &mut Ledger, run_type: &str| {
        let Record::Closed {
            run,
            version,
            mut closure,
        } = closed(7, &[1])
        else {
            unreachable!("`closed` makes a close");
        };
        closure.run_type = Some(run_type.to_owned());
        ledger.apply(Record::Closed {
            run,
            version,
            closure,
        });
    };
    said(&mut ledger, "pedestal");
    assert!(ledger.active(7).unwrap().needs_manifest());
    ledger.apply(manifested(7));
    record_all(&mut ledger, 7);
    assert!(ledger.active(7).is_none());
    // And when it was settled.
    said(&mut ledger, "calibration");
    assert!(ledger.to_store().any(|run| run == 7));
    ledger.apply(manifested(7));
    record_all(&mut ledger, 7);
    assert!(ledger.active(7).is_none());
}
