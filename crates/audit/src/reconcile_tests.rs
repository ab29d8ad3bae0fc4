//! A sound run is accounted for; whatever is taken away from any source is found.

use aquifer_schemas::EvidenceLevel;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::evidence::{DaqRun, Ordered};
use crate::remedy::Gravity;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn deadlines(now: i64) -> Deadlines {
    Deadlines {
        now: at(now),
        stored_within: SignedDuration::from_secs(600),
        run_at_most: SignedDuration::from_secs(86_400),
    }
}

/// A run of `files` files that every source agrees on.
fn sound(files: usize) -> NumberEvidence {
    let name = |n: usize| format!("run00042sub{n:04}.mid").parse().unwrap();
    let key = |n: usize| format!("raw/LNGS/00000042/v1/run00042sub{n:04}.mid");
    let manifest = "raw/LNGS/00000042/v1/manifest.r1.json".to_owned();
    let mut objects: Vec<Object> = (0..files)
        .map(|n| Object {
            key: key(n),
            size: 100,
            modified_at: at(1),
            crc64nvme: Some("ae8b14860a799888".to_owned()),
            crc32c: None,
        })
        .collect();
    objects.push(Object {
        key: manifest.clone(),
        size: 10,
        modified_at: at(1),
        crc64nvme: None,
        crc32c: None,
    });
    NumberEvidence {
        daq: vec![DaqRun {
            started_at: at(-100),
            ended_at: Some(at(0)),
            files: (0..files)
                .map(|n| DaqFile {
                    name: name(n),
                    size: Some(100),
                    crc32c: Some("e3069283".to_owned()),
                })
                .collect(),
        }],
        buffer: (0..files)
            .map(|n| BufferFile {
                name: name(n),
                in_its_own_form: true,
                size: 100,
                modified_at: at(0),
                crc64nvme: None,
            })
            .collect(),
        trash: Vec::new(),
        catalogue: vec![CatalogueRun {
            version: 1,
            state: RunState::Stored,
            started_at: Some(at(-100)),
            never_ended: false,
            updated_at: at(1),
            file_count: files as u64,
            files: (0..files)
                .map(|n| CatalogueFile {
                    name: name(n),
                    state: FileState::Stored,
                    size: Some(100),
                    crc32c: Some("e3069283".to_owned()),
                    crc64nvme: Some("ae8b14860a799888".to_owned()),
                    in_buffer: true,
                    ordered: None,
                    object: Some((key(n), 100, "ae8b14860a799888".to_owned())),
                })
                .collect(),
            manifest_key: Some(manifest),
        }],
        objects,
    }
}

fn kinds(evidence: &NumberEvidence, now: i64) -> Vec<FindingKind> {
    let site = "LNGS".parse().unwrap();
    let (_, findings) = reconcile(&site, 42, evidence, &deadlines(now));
    findings.into_iter().map(|finding| finding.kind).collect()
}

#[test]
fn a_file_that_is_uploaded_while_it_grows_waits_for_the_end_of_its_run() {
    let mut evidence = sound(1);
    evidence.daq[0].ended_at = None;
    evidence.objects.clear();
    let run = &mut evidence.catalogue[0];
    run.state = RunState::Open;
    run.manifest_key = None;
    run.files[0] = CatalogueFile {
        state: FileState::Streaming,
        size: None,
        crc32c: None,
        in_buffer: false,
        object: None,
        ..run.files[0].clone()
    };
    assert_eq!(kinds(&evidence, 80_000), []);
    let endless = [FindingKind::Overdue, FindingKind::Overdue];
    assert_eq!(kinds(&evidence, 90_000), endless);
}

#[test]
fn a_sound_run_is_accounted_for() {
    let site = "LNGS".parse().unwrap();
    let (tally, findings) = reconcile(&site, 42, &sound(3), &deadlines(10_000));
    assert_eq!(findings, []);
    assert_eq!(tally.stored, 3);
    assert_eq!(tally.in_progress, 0);
}

#[test]
fn a_run_that_left_no_trace_but_the_daqs_list_is_found_after_its_deadline() {
    let mut evidence = sound(1);
    evidence.buffer.clear();
    evidence.catalogue.clear();
    evidence.objects.clear();
    assert_eq!(kinds(&evidence, 10), []);
    assert_eq!(kinds(&evidence, 1_000), [FindingKind::DaqRunUnknown]);
}

#[test]
fn other_bytes_than_the_daq_wrote_are_found() {
    let mut evidence = sound(1);
    evidence.catalogue[0].files[0].crc32c = Some("00000000".to_owned());
    assert_eq!(kinds(&evidence, 10_000), [FindingKind::DaqFileDiffers]);
}

#[test]
fn a_corrupt_object_is_found() {
    let mut evidence = sound(1);
    evidence.objects[0].crc64nvme = Some("0000000000000000".to_owned());
    assert_eq!(kinds(&evidence, 10_000), [FindingKind::ObjectDiffers]);
}

#[test]
fn a_run_that_is_never_stored_is_overdue() {
    let mut evidence = sound(1);
    evidence.objects.clear();
    let run = &mut evidence.catalogue[0];
    run.state = RunState::Closed;
    run.manifest_key = None;
    run.files[0].state = FileState::Discovered;
    run.files[0].object = None;
    assert_eq!(kinds(&evidence, 10), []);
    assert_eq!(
        kinds(&evidence, 1_000),
        [FindingKind::Overdue, FindingKind::Overdue]
    );
}

#[test]
fn a_quarantined_file_is_accounted_for_once() {
    let mut evidence = sound(1);
    let run = &mut evidence.catalogue[0];
    run.state = RunState::Quarantined;
    run.manifest_key = None;
    run.files[0].state = FileState::Changed;
    run.files[0].object = None;
    evidence.objects.clear();
    let site = "LNGS".parse().unwrap();
    let (tally, findings) = reconcile(&site, 42, &evidence, &deadlines(10_000));
    assert_eq!(findings, []);
    assert_eq!((tally.quarantined, tally.stored), (1, 0));
}

/// A run of one file that an order has taken to the buffer's trash.
fn trashed() -> NumberEvidence {
    let mut evidence = sound(1);
    evidence.trash.append(&mut evidence.buffer);
    evidence.catalogue[0].state = RunState::Safe;
    let file = &mut evidence.catalogue[0].files[0];
    file.state = FileState::Trashed;
    file.ordered = Some(Ordered {
        evidence: EvidenceLevel::E4,
        required: EvidenceLevel::E3,
        found: "crc64nvme:ae8b14860a799888 size:100".to_owned(),
    });
    evidence
}

fn purged() -> NumberEvidence {
    let mut evidence = trashed();
    evidence.trash.clear();
    evidence.catalogue[0].state = RunState::BufferFree;
    let file = &mut evidence.catalogue[0].files[0];
    file.state = FileState::Purged;
    file.in_buffer = false;
    evidence
}

#[test]
fn a_file_that_left_the_buffer_by_order_is_accounted_for() {
    let site = "LNGS".parse().unwrap();
    for evidence in [trashed(), purged()] {
        let (tally, findings) = reconcile(&site, 42, &evidence, &deadlines(10_000));
        assert_eq!(findings, []);
        assert_eq!(tally.stored, 1);
    }
}

#[test]
fn a_file_that_left_the_buffer_without_proof_is_found() {
    use FindingKind::{BufferFileMissing, ObjectMissing, PurgedWithoutEvidence as Unproven};
    type Change = fn(&mut CatalogueFile);
    let changes: [Change; 4] = [
        |file| file.ordered = None,
        |file| file.ordered.as_mut().unwrap().evidence = EvidenceLevel::E2,
        |file| file.ordered.as_mut().unwrap().found.push('0'),
        |file| file.object = None,
    ];
    for evidence in [trashed(), purged()] {
        for change in changes {
            let mut evidence = evidence.clone();
            change(&mut evidence.catalogue[0].files[0]);
            let kinds = kinds(&evidence, 10_000);
            assert!(kinds.contains(&Unproven), "{kinds:?}");
        }
    }
    let mut lost = purged();
    lost.objects.remove(0);
    assert!(kinds(&lost, 10_000).contains(&ObjectMissing));
    let mut taken = trashed();
    taken.trash.clear();
    assert_eq!(kinds(&taken, 10_000), [BufferFileMissing]);
}

#[test]
fn a_file_in_the_trash_that_nobody_ordered_there_is_found() {
    let mut evidence = trashed();
    let row = &mut evidence.catalogue[0];
    row.state = RunState::Stored;
    row.files[0].state = FileState::Stored;
    assert_eq!(
        kinds(&evidence, 10_000),
        [
            FindingKind::TrashFileUnordered,
            FindingKind::BufferFileMissing
        ]
    );
}

#[test]
fn a_compressed_file_is_there_and_its_size_says_nothing() {
    let mut evidence = sound(2);
    evidence.buffer[0].size = 7;
    assert_eq!(kinds(&evidence, 10_000), [FindingKind::BufferFileDiffers]);
    evidence.buffer[0].in_its_own_form = false;
    assert_eq!(kinds(&evidence, 10_000), []);
}

#[test]
fn files_of_a_run_that_goes_on_may_be_stored_and_have_no_rows() {
    let mut evidence = sound(2);
    let run = &mut evidence.catalogue[0];
    run.state = RunState::Open;
    run.files.clear();
    run.file_count = 0;
    run.manifest_key = None;
    evidence.objects.pop();
    evidence.daq.clear();
    assert_eq!(kinds(&evidence, 10_000), []);
    let endless = kinds(&evidence, 200_000);
    assert!(endless.contains(&FindingKind::ObjectUncatalogued));
    assert!(endless.contains(&FindingKind::BufferFileUncatalogued));
}

#[test]
fn a_second_run_under_the_number_must_have_its_own_version() {
    let mut evidence = sound(1);
    let mut again = evidence.daq[0].clone();
    again.files[0].crc32c = Some("12345678".to_owned());
    evidence.daq.push(again);
    assert_eq!(kinds(&evidence, 10_000), [FindingKind::DaqFileDiffers]);
    let mut second = evidence.catalogue[0].clone();
    second.version = 2;
    second.files[0].crc32c = Some("12345678".to_owned());
    evidence.catalogue.push(second);
    // The DAQ has written over the first one's file.
    assert_eq!(kinds(&evidence, 10_000), [FindingKind::BufferFileDiffers]);
    evidence.catalogue[0].files[0].in_buffer = false;
    assert_eq!(kinds(&evidence, 10_000), []);
}

#[test]
fn rows_that_disagree_are_found_whatever_the_object_says() {
    let mut evidence = sound(1);
    evidence.catalogue[0].files[0].crc64nvme = Some("0000000000000000".to_owned());
    assert_eq!(kinds(&evidence, 10_000), [FindingKind::DigestsDiffer]);
    let mut evidence = sound(1);
    evidence.objects[0].crc32c = Some("12345678".to_owned());
    assert_eq!(kinds(&evidence, 10_000), [FindingKind::DigestsDiffer]);
}

#[test]
fn a_sound_version_does_not_hide_a_false_one() {
    let mut evidence = sound(1);
    let mut second = evidence.catalogue[0].clone();
    second.version = 2;
    evidence.catalogue.push(second);
    let first = &mut evidence.catalogue[0].files[0];
    first.crc32c = Some("00000000".to_owned());
    first.in_buffer = false;
    assert_eq!(kinds(&evidence, 10_000), [FindingKind::DaqFileDiffers]);
}

#[test]
fn the_buffers_file_is_that_of_the_newest_version_and_of_no_other() {
    let mut evidence = sound(1);
    let mut second = evidence.catalogue[0].clone();
    second.version = 2;
    second.state = RunState::Quarantined;
    second.files[0].state = FileState::Changed;
    second.files[0].object = None;
    evidence.catalogue.push(second);
    let (gravities, kinds) = graves(&evidence);
    assert_eq!(kinds, [FindingKind::BufferFileDiffers]);
    assert_eq!(gravities, [Gravity::Untidy], "the first one is stored");
}

#[test]
fn a_byte_that_changed_in_the_buffer_is_found_when_it_is_read() {
    let mut evidence = sound(1);
    evidence.buffer[0].crc64nvme = Some("0000000000000000".to_owned());
    assert_eq!(kinds(&evidence, 10_000), [FindingKind::BufferFileDiffers]);
}

#[test]
fn a_file_gone_from_the_buffer_is_lost_or_untidy_by_its_other_copy() {
    let mut evidence = sound(1);
    evidence.buffer.clear();
    assert_eq!(graves(&evidence).0, [Gravity::Untidy]);
    evidence.objects[0].crc64nvme = Some("0000000000000000".to_owned());
    let (gravities, kinds) = graves(&evidence);
    assert_eq!(
        kinds,
        [FindingKind::BufferFileMissing, FindingKind::ObjectDiffers]
    );
    assert_eq!(gravities, [Gravity::Loss, Gravity::Loss]);
}

#[test]
fn an_object_that_the_buffer_can_give_again_is_not_lost() {
    let mut evidence = sound(1);
    evidence.objects.remove(0);
    assert_eq!(graves(&evidence).0, [Gravity::Broken]);
    evidence.buffer.clear();
    assert_eq!(graves(&evidence).0, [Gravity::Loss, Gravity::Loss]);
}

#[test]
fn a_stored_file_without_a_copys_row_is_no_laggard() {
    let mut evidence = sound(1);
    evidence.catalogue[0].files[0].object = None;
    evidence.objects.remove(0);
    assert_eq!(kinds(&evidence, 10_000), [FindingKind::CopyRowMissing]);
}

#[test]
fn files_and_runs_in_progress_are_counted_apart() {
    let mut evidence = sound(3);
    let run = &mut evidence.catalogue[0];
    run.state = RunState::Closed;
    run.manifest_key = None;
    for file in &mut run.files[1..] {
        file.state = FileState::Stable;
        file.object = None;
    }
    evidence.objects.truncate(1);
    let site = "LNGS".parse().unwrap();
    let (tally, findings) = reconcile(&site, 42, &evidence, &deadlines(10));
    assert_eq!(findings, []);
    assert_eq!((tally.stored, tally.in_progress), (1, 2));
    assert_eq!((tally.runs, tally.runs_in_progress), (1, 1));
}

/// A run that only a book tells of, whose file is in this state.
fn from_a_book(state: FileState) -> NumberEvidence {
    let mut evidence = sound(1);
    evidence.daq.clear();
    evidence.buffer.clear();
    evidence.objects.clear();
    let run = &mut evidence.catalogue[0];
    run.state = match state {
        FileState::Missing => RunState::Missing,
        _ => RunState::Adopted,
    };
    run.never_ended = state == FileState::Missing;
    run.manifest_key = None;
    let file = &mut run.files[0];
    (file.state, file.in_buffer, file.object) = (state, false, None);
    (file.size, file.crc32c, file.crc64nvme) = (None, None, None);
    evidence
}

fn tally(evidence: &NumberEvidence) -> (Tally, Vec<FindingKind>) {
    let site = "LNGS".parse().unwrap();
    let (tally, findings) = reconcile(&site, 42, evidence, &deadlines(1_000_000));
    (tally, findings.iter().map(|found| found.kind).collect())
}

#[test]
fn what_a_book_tells_of_is_counted_under_its_own_words_for_ever() {
    let (counted, findings) = tally(&from_a_book(FileState::Adopted));
    assert_eq!((counted.adopted, counted.stored), (1, 0));
    assert_eq!(findings, []);
    let (counted, findings) = tally(&from_a_book(FileState::Missing));
    assert_eq!((counted.missing, counted.never_ended), (1, 1));
    assert_eq!(findings, []);
}

#[test]
fn a_book_accounts_for_the_run_of_the_daqs_list_that_it_means_and_for_no_other() {
    let mut evidence = from_a_book(FileState::Missing);
    evidence.daq = sound(1).daq;
    assert_eq!(tally(&evidence).1, []);
    evidence.daq[0].started_at = at(500_000);
    evidence.daq[0].ended_at = Some(at(500_100));
    assert_eq!(tally(&evidence).1, [FindingKind::DaqFileUncatalogued]);
}

#[test]
fn a_file_in_the_buffer_is_not_accounted_for_by_a_book() {
    let mut evidence = from_a_book(FileState::Adopted);
    evidence.buffer = sound(1).buffer;
    assert_eq!(tally(&evidence).1, [FindingKind::BufferFileUncatalogued]);
}

#[test]
fn a_claimed_object_in_a_place_that_was_listed_must_be_there() {
    let mut evidence = from_a_book(FileState::Adopted);
    let sound = sound(1);
    let object = sound.objects[0].clone();
    evidence.catalogue[0].files[0].object = Some((object.key.clone(), 100, String::new()));
    assert_eq!(tally(&evidence).1, [FindingKind::ObjectMissing]);
    evidence.objects = vec![object];
    let (counted, findings) = tally(&evidence);
    assert_eq!((counted.adopted, findings.as_slice()), (1, &[][..]));
    evidence.objects[0].size = 99;
    assert_eq!(tally(&evidence).1, [FindingKind::ObjectDiffers]);
}

fn graves(evidence: &NumberEvidence) -> (Vec<Gravity>, Vec<FindingKind>) {
    let site = "LNGS".parse().unwrap();
    let (_, findings) = reconcile(&site, 42, evidence, &deadlines(10_000));
    findings
        .into_iter()
        .map(|finding| (finding.gravity, finding.kind))
        .unzip()
}

proptest! {
    /// Whatever single thing is removed behind the catalogue's back is found, and
    /// found in the place where it is missing.
    #[test]
    fn whatever_is_removed_is_found(files in 1_usize..5, which in 0_usize..5, what in 0_usize..6) {
        let mut evidence = sound(files);
        let n = which % files;
        let expected = match what {
            0 => { evidence.buffer.remove(n); FindingKind::BufferFileMissing }
            1 => { evidence.objects.remove(n); FindingKind::ObjectMissing }
            2 => { evidence.objects.pop(); FindingKind::ManifestMissing }
            3 => { evidence.catalogue[0].files.remove(n); FindingKind::FileRowsMissing }
            4 => { evidence.catalogue.clear(); FindingKind::BufferFileUncatalogued }
            _ => {
                evidence.catalogue.clear();
                evidence.buffer.clear();
                FindingKind::ObjectUncatalogued
            }
        };
        prop_assert!(kinds(&evidence, 10_000).contains(&expected));
    }
}
