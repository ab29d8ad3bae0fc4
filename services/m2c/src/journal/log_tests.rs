//! What was synced is found again, whatever a crash or a bad disk did to the rest.

use aquifer_schemas::RunNumber;

use super::*;

fn record(run: RunNumber) -> Record {
    Record::Manifested {
        run,
        key: format!("key with spaces and \"quotes\" {run}"),
    }
}

fn open(folder: &Path) -> (Log, Vec<Record>, Recovery) {
    let mut records = Vec::new();
    let (log, recovery) = Log::open(folder, &mut |record| records.push(record)).unwrap();
    (log, records, recovery)
}

fn written(folder: &Path, runs: std::ops::Range<RunNumber>) -> Vec<Record> {
    let (mut log, ..) = open(folder);
    let records: Vec<_> = runs.map(record).collect();
    log.append(&records).unwrap();
    records
}

fn reopened(folder: &Path) -> (Vec<Record>, Recovery) {
    let (_, records, recovery) = open(folder);
    (records, recovery)
}

#[test]
fn what_was_appended_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut records = written(folder.path(), 0..5);
    records.extend(written(folder.path(), 5..7));
    assert_eq!(reopened(folder.path()), (records, Recovery::default()));
}

#[test]
fn a_torn_last_line_is_cut_off_wherever_it_was_torn() {
    let folder = tempfile::tempdir().unwrap();
    let records = written(folder.path(), 0..3);
    let path = folder.path().join("journal");
    let whole = fs::read(&path).unwrap();
    let mut last = Vec::new();
    write_line(&mut last, &record(3));
    for torn in 1..last.len() {
        let mut bytes = whole.clone();
        bytes.extend_from_slice(&last[..torn]);
        fs::write(&path, bytes).unwrap();
        let (found, recovery) = reopened(folder.path());
        assert_eq!(found, records, "torn after {torn} bytes");
        assert_eq!(recovery.torn_bytes, torn as u64);
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
}

#[test]
fn damage_in_the_middle_is_set_aside_and_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let records = written(folder.path(), 0..4);
    let path = folder.path().join("journal");
    let mut bytes = fs::read(&path).unwrap();
    let second = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 20;
    bytes[second] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let (found, recovery) = reopened(folder.path());
    assert_eq!(found, records[..1]);
    let aside = fs::read(recovery.set_aside.unwrap()).unwrap();
    assert!(bytes.ends_with(&aside) && aside.len() > bytes.len() / 2);
    assert_eq!(reopened(folder.path()).0, records[..1]);
}

#[test]
fn one_journal_has_one_ingester() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    assert!(matches!(
        Log::open(folder.path(), &mut |_| ()),
        Err(LogError::InUse { .. })
    ));
    drop(first);
    open(folder.path());
}

#[test]
fn a_rewritten_journal_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, ..) = open(folder.path());
    log.append(&[record(1), record(2)]).unwrap();
    log.rewrite([record(2)].into_iter()).unwrap();
    log.append(&[record(3)]).unwrap();
    assert_eq!(
        log.length(),
        fs::metadata(folder.path().join("journal")).unwrap().len()
    );
    drop(log);
    assert_eq!(reopened(folder.path()).0, [record(2), record(3)]);
}

#[test]
fn on_a_full_disk_nothing_counts_and_the_journal_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, ..) = open(folder.path());
    log.append(&[record(1)]).unwrap();
    let path = folder.path().join("journal");
    let room = std::mem::replace(
        &mut log.file,
        OpenOptions::new().append(true).open("/dev/full").unwrap(),
    );
    for _ in 0..2 {
        let error = log.append(&[record(2)]).unwrap_err();
        assert!(error.to_string().contains("No space left"), "{error}");
    }
    log.file = room;
    log.append(&[record(3)]).unwrap();
    assert_eq!(log.length(), fs::metadata(&path).unwrap().len());
    drop(log);
    assert_eq!(reopened(folder.path()).0, [record(1), record(3)]);
}

#[test]
fn a_rewrite_that_fails_leaves_the_journal_and_no_litter() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, ..) = open(folder.path());
    log.append(&[record(1), record(2)]).unwrap();
    // The new journal cannot be made: a folder stands in its place.
    let fresh = folder.path().join("journal.new");
    fs::create_dir(&fresh).unwrap();
    assert!(log.rewrite([record(2)].into_iter()).is_err());
    fs::remove_dir(&fresh).unwrap();
    log.append(&[record(3)]).unwrap();
    drop(log);
    assert_eq!(reopened(folder.path()).0, [record(1), record(2), record(3)]);
}
