//! Any schedule of facts, against what must hold after each of them.

use std::collections::BTreeMap;

use aquifer_digest::FileIdentity;
use aquifer_schemas::{AlertSignal, PurgeState, RunId, RunState};
use proptest::prelude::*;

use super::*;
use crate::adopt::{AdoptedCopy, AdoptedRun, Sighting, adopt, sight};
use crate::announce;
use crate::draft::{About, Step};
use crate::facts::{Attribute, ClosedFile};
use crate::machine::Machine;

fn id() -> RunId {
    "LNGS/7".parse().unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn name(file: usize) -> FileName {
    format!("f{file}").parse().unwrap()
}

fn closed(closed_by: ClosedBy, files: &[usize]) -> ClosedRun {
    let signals: Vec<AlertSignal> = Vec::new();
    ClosedRun {
        id: id(),
        started_at: None,
        // Each closer has its own idea of the end.
        ended_at: at(i64::from(authority(Some(closed_by)))),
        run_type: Some(closed_by.to_string()),
        closed_by,
        events: None,
        attributes: BTreeMap::from([("by".to_owned(), Attribute::text(closed_by.as_str()))]),
        files: files
            .iter()
            .map(|file| ClosedFile {
                name: name(*file),
                size: Some(10),
            })
            .collect(),
        buffer: "BUFFER".to_owned(),
        trace: None,
        who: "test".to_owned(),
        announce: true,
        signals,
    }
}

fn facts(file: usize) -> StoredFileFacts {
    StoredFileFacts {
        name: name(file),
        size: 10,
        crc64nvme: format!("{file:016x}"),
        adler32: format!("{file:08x}"),
        crc32c: format!("{file:08x}"),
        identity: FileIdentity {
            dev: 1,
            ino: 2,
            size: 10,
            mtime_ns: 3,
            ctime_ns: 4,
        },
        element: "S3".to_owned(),
        bucket: "raw".to_owned(),
        key: format!("7/{file}"),
        encoding: Encoding::Identity,
        stored_size: 10,
        stored_crc64nvme: format!("{file:016x}"),
        evidence: EvidenceLevel::E2,
        evidence_method: "head".to_owned(),
        sealed_at: at(1),
        stored_at: at(2),
    }
}

/// What somebody tells the catalogue.
#[derive(Debug, Clone)]
enum Told {
    Opened,
    Closed(ClosedBy, Vec<usize>),
    Stored(ClosedBy, Vec<usize>),
    Quarantined(usize, FileState),
    /// A book, with or without a copy.
    Book(bool),
    /// A listing, with the copy in this size or without it.
    Listed(Option<u64>),
}

fn claim(size: u64, method: &str) -> AdoptedCopy {
    AdoptedCopy {
        element: "S3".to_owned(),
        bucket: Some("old".to_owned()),
        location: "LNGS/f0".to_owned(),
        encoding: Encoding::Identity,
        size: Some(size),
        method: method.to_owned(),
    }
}

fn book(has_copy: bool) -> AdoptedRun {
    AdoptedRun {
        number: 7,
        started_at: None,
        ended_at: None,
        run_type: Some("book".to_owned()),
        events: Some(3),
        attributes: BTreeMap::from([("by".to_owned(), Attribute::text("book"))]),
        file: name(0),
        why_missing: "not uploaded".to_owned(),
        copies: has_copy
            .then(|| claim(10, "run book"))
            .into_iter()
            .collect(),
    }
}

fn told() -> impl Strategy<Value = Told> {
    let closer = || {
        prop_oneof![
            Just(ClosedBy::Inferred),
            Just(ClosedBy::Logger),
            Just(ClosedBy::Daq)
        ]
    };
    let files = || proptest::collection::vec(0_usize..4, 0..4);
    let bad = prop_oneof![Just(FileState::Changed), Just(FileState::Vanished)];
    prop_oneof![
        Just(Told::Opened),
        (closer(), files()).prop_map(|(by, files)| Told::Closed(by, files)),
        (closer(), files()).prop_map(|(by, files)| Told::Stored(by, files)),
        (0_usize..4, bad).prop_map(|(file, state)| Told::Quarantined(file, state)),
        any::<bool>().prop_map(Told::Book),
        prop_oneof![Just(None), Just(Some(10)), Just(Some(11))].prop_map(Told::Listed),
    ]
}

/// Applies what was told and returns whether it changed anything, and what is announced.
fn tell(draft: &mut Draft, told: &Told) -> (bool, Vec<&'static str>) {
    let mail = match told {
        Told::Opened => {
            let opened = OpenedRun {
                id: id(),
                started_at: at(0),
                run_type: None,
                attributes: BTreeMap::new(),
                streaming: vec![name(0), name(1)],
                trace: None,
                who: "test".to_owned(),
            };
            open(draft, &opened).unwrap();
            draft.finish().unwrap().then(Vec::new)
        }
        Told::Closed(by, files) => {
            let facts = closed(*by, files);
            close(draft, &facts).unwrap();
            let changed = draft.finish().unwrap();
            changed.then(|| announce::closed(draft, &facts).unwrap())
        }
        Told::Stored(by, files) => {
            let facts = StoredRun {
                closed: closed(*by, files),
                files: files.iter().map(|file| facts(*file)).collect(),
                manifest_key: None,
                signals: Vec::new(),
            };
            store(draft, &facts).unwrap();
            let changed = draft.finish().unwrap();
            changed.then(|| announce::stored(draft, &facts).unwrap())
        }
        Told::Quarantined(file, state) => {
            quarantine(draft, &name(*file), *state, "bad").unwrap();
            draft.finish().unwrap().then(Vec::new)
        }
        Told::Book(has_copy) => {
            adopt(draft, &book(*has_copy)).unwrap();
            draft.finish().unwrap().then(Vec::new)
        }
        Told::Listed(size) => {
            let sighting = Sighting {
                run: id(),
                file: name(0),
                copy: claim(size.unwrap_or(0), "listing"),
                found: size.is_some(),
                at: at(3),
            };
            sight(draft, &sighting).unwrap();
            draft.finish().unwrap().then(Vec::new)
        }
    };
    let topics = mail.iter().flatten().map(|mail| mail.topic).collect();
    (mail.is_some(), topics)
}

/// The draft as it is read back after it was saved.
fn reload(draft: &Draft) -> Draft {
    let files = draft.files.iter().map(|file| file.row.clone());
    let replicas = draft.replicas.iter().map(|replica| replica.row.clone());
    Draft::loaded(
        draft.run.clone(),
        draft.attributes.clone(),
        files.collect(),
        replicas.collect(),
    )
}

/// Each step is legal and begins where the one before it ended.
fn check_steps(before: &Draft, new: bool, steps: &[Step]) {
    let mut states: BTreeMap<String, &'static str> = BTreeMap::new();
    if !new {
        states.insert("run".to_owned(), before.run.state.as_str());
    }
    for (place, file) in before.files.iter().enumerate() {
        states.insert(format!("file {place}"), file.row.state.as_str());
    }
    for (place, replica) in before.replicas.iter().enumerate() {
        states.insert(format!("replica {place}"), replica.row.state.as_str());
    }
    for step in steps {
        let (key, legal) = match step.about {
            About::Run => ("run".to_owned(), legal::<RunState>(step)),
            About::File(place) => (format!("file {place}"), legal::<FileState>(step)),
            About::Replica(place) => (format!("replica {place}"), legal::<ReplicaState>(step)),
            About::Order(row) => (format!("order {row}"), legal::<PurgeState>(step)),
        };
        assert!(legal, "{step:?}");
        assert_eq!(states.insert(key, step.to), step.from, "{step:?}");
    }
}

fn legal<S: Machine + std::str::FromStr>(step: &Step) -> bool {
    let parse = |word: &str| word.parse::<S>().ok();
    let to = parse(step.to).unwrap();
    match step.from {
        None => to.may_begin(),
        Some(from) => parse(from).unwrap().successors().contains(&to),
    }
}

/// Hearsay changes nothing that was recorded from data, and proves nothing.
fn check_hearsay(before: &Draft, after: &Draft) {
    let recorded = before.run.revision > 0 && before.run.closed_by != Some(ClosedBy::Book);
    if recorded {
        assert_eq!(before.run.closed_by, after.run.closed_by);
        assert!(before.run.events.is_none() || before.run.events == after.run.events);
        assert_eq!(before.files.len(), after.files.len());
        for (name, attribute) in &before.attributes {
            assert_eq!(&after.attributes[name], attribute);
        }
    }
    for (had, has) in before.replicas.iter().zip(&after.replicas) {
        assert!(had.row == has.row || had.row.stored_crc64nvme.is_none());
    }
    for file in &after.files {
        let hearsay = machine::is_hearsay(file.row.state);
        assert!(!hearsay || file.row.crc64nvme.is_none());
    }
    for copy in &after.replicas[before.replicas.len()..] {
        assert_eq!(copy.row.state, ReplicaState::Claimed);
        assert!(copy.row.evidence <= EvidenceLevel::E1);
    }
}

proptest! {
    #[test]
    fn any_schedule_keeps_the_promises(schedule in proptest::collection::vec(told(), 1..30)) {
        let mut draft = Draft::new(id());
        let mut new = true;
        let mut announced_files = 0;
        for told in &schedule {
            let before = draft.clone();
            let (changed, topics) = tell(&mut draft, told);
            prop_assert_eq!(draft.run.revision, before.run.revision + u64::from(changed));
            check_steps(&before, new, &draft.steps);
            new = false;

            for (had, has) in before.files.iter().zip(&draft.files) {
                let (had, has) = (&had.row, &has.row);
                prop_assert!(!machine::is_stored(had.state) || machine::is_stored(has.state));
                prop_assert!(had.crc64nvme.is_none() || had.crc64nvme == has.crc64nvme);
            }
            if matches!(told, Told::Book(_) | Told::Listed(_)) {
                check_hearsay(&before, &draft);
            }
            let all = draft.files.iter().all(|file| machine::is_stored(file.row.state));
            prop_assert!(draft.run.state != RunState::Stored || all);
            prop_assert!(draft.run.closed_by.is_none() || draft.run.state != RunState::Open);
            let run_stored = topics.contains(&"aquifer.store.run-stored");
            prop_assert!(!run_stored || draft.run.state == RunState::Stored);
            announced_files += topics.iter().filter(|topic| topic.ends_with("file-stored")).count();

            draft = reload(&draft);
            let once = draft.clone();
            // The same again, as after a lost COMMIT. A quarantine may be undone by a
            // later store and is then news again, but never twice in a row.
            let (changed, topics) = tell(&mut draft, told);
            prop_assert!(!changed && topics.is_empty(), "{:?}", told);
            prop_assert_eq!(&draft.run, &once.run);
        }
        let stored = draft.files.iter().filter(|file| machine::is_stored(file.row.state));
        prop_assert_eq!(stored.count(), announced_files);
    }

    #[test]
    fn the_word_that_counts_most_stands_in_any_order(
        closers in Just(vec![ClosedBy::Inferred, ClosedBy::Logger, ClosedBy::Daq]).prop_shuffle(),
    ) {
        let mut draft = Draft::new(id());
        for by in closers {
            tell(&mut draft, &Told::Closed(by, vec![0]));
            draft = reload(&draft);
        }
        prop_assert_eq!(draft.run.closed_by, Some(ClosedBy::Daq));
        prop_assert_eq!(draft.run.ended_at, Some(at(5)));
        prop_assert_eq!(draft.run.run_type.as_deref(), Some("daq"));
        prop_assert_eq!(&draft.attributes["by"], &Attribute::text("daq"));
    }
}

#[test]
fn digests_that_are_no_digests_are_refused() {
    for bad in ["", "0123", "0123456789ABCDEF", "0123456789abcdeg"] {
        let mut stored = StoredRun {
            closed: closed(ClosedBy::Daq, &[0]),
            files: vec![facts(0)],
            manifest_key: None,
            signals: Vec::new(),
        };
        bad.clone_into(&mut stored.files[0].crc64nvme);
        let error = store(&mut Draft::new(id()), &stored).unwrap_err();
        assert!(matches!(error, CatalogueError::Value { .. }), "{error}");
    }
}

#[test]
fn a_file_that_is_uploaded_while_it_grows_is_seen_to_do_so() {
    let mut draft = Draft::new(id());
    tell(&mut draft, &Told::Opened);
    assert_eq!(draft.run.state, RunState::Open);
    assert_eq!(draft.files[0].row.state, FileState::Streaming);
    let mut draft = reload(&draft);
    tell(&mut draft, &Told::Stored(ClosedBy::Daq, vec![0, 1]));
    let steps = draft
        .steps
        .iter()
        .filter(|step| step.about == About::File(0));
    let steps: Vec<_> = steps.map(|step| step.to).collect();
    assert_eq!(steps, ["stable", "sealed", "stored"]);
    assert_eq!(draft.run.state, RunState::Stored);
    // The word of its begin may come last.
    let mut late = Draft::new(id());
    tell(&mut late, &Told::Stored(ClosedBy::Daq, vec![3]));
    tell(&mut late, &Told::Opened);
    assert_eq!((late.files.len(), late.run.state), (1, RunState::Stored));
}

#[test]
fn a_run_without_files_is_not_stored() {
    let mut draft = Draft::new(id());
    let (_, topics) = tell(&mut draft, &Told::Stored(ClosedBy::Daq, Vec::new()));
    assert_eq!(draft.run.state, RunState::Closed);
    assert_eq!(topics, ["aquifer.daq.run-closed"]);
}

#[test]
fn a_bad_copy_is_available_again_only_through_its_machine() {
    let stored = Told::Stored(ClosedBy::Daq, vec![0]);
    let mut draft = Draft::new(id());
    tell(&mut draft, &stored);
    for (state, steps) in [(ReplicaState::Suspect, 1), (ReplicaState::Bad, 6)] {
        let mut again = reload(&draft);
        again.change_replica(0).state = state;
        let before = reload(&again);
        let mut again = before.clone();
        tell(&mut again, &stored);
        assert_eq!(again.replicas[0].row.state, ReplicaState::Available);
        assert_eq!(again.steps.len(), steps, "{state}");
        check_steps(&before, false, &again.steps);
    }
}
