//! Copies that were read back, and files that are found by what is in them.

use std::time::Duration;

use aquifer_catalogue::{Catalogue, CatalogueError, CopyEvidence, FileFilter, ReplicaRow};
use aquifer_schemas::{EvidenceLevel, ReplicaState, RunId};

use super::facts::{WHO, name, run, signal, stored};
use super::house::catalogue;

fn look(file: &str, crc64nvme: &str, size: u64) -> CopyEvidence {
    CopyEvidence {
        file: name(file),
        element: "S3".to_owned(),
        level: EvidenceLevel::E4,
        method: "read-back".to_owned(),
        size,
        crc64nvme: crc64nvme.to_owned(),
        age: Duration::from_secs(3),
    }
}

async fn copy(catalogue: &Catalogue, id: &RunId) -> (ReplicaRow, u64) {
    let detail = catalogue.run_detail(id).await.unwrap().unwrap();
    let mut copies = detail.replicas.into_iter();
    let copy = copies.find(|copy| copy.element == "S3").unwrap();
    (copy, detail.row.revision)
}

#[tokio::test]
async fn a_copy_is_as_good_as_the_last_look_at_it() {
    let catalogue = catalogue().await;
    let id = run(1);
    catalogue
        .record_stored(&stored(&id, &["a"], &["a"]))
        .await
        .unwrap();
    let (before, _) = copy(&catalogue, &id).await;
    assert_eq!(before.evidence, EvidenceLevel::E2);

    let right = look("a", "0123456789abcdef", 1000);
    let record = async |look: &CopyEvidence| {
        let signals = [signal(&id, "copy-bad")];
        let looks = std::slice::from_ref(look);
        catalogue
            .record_looks(&id, looks, WHO, &signals)
            .await
            .unwrap()
    };
    record(&right).await;
    let (good, _) = copy(&catalogue, &id).await;
    assert_eq!(good.evidence, EvidenceLevel::E4);
    assert!(good.evidence_at > before.evidence_at);

    for wrong in [
        look("a", "0123456789abcdee", 1000),
        look("a", "0123456789abcdef", 999),
        look("a", "", 0),
    ] {
        record(&wrong).await;
        let (bad, revision) = copy(&catalogue, &id).await;
        assert_eq!(bad.state, ReplicaState::Bad, "{wrong:?}");
        // Found again, nothing is new.
        record(&wrong).await;
        assert_eq!(copy(&catalogue, &id).await.1, revision);
        record(&right).await;
        assert_eq!(copy(&catalogue, &id).await.0.state, ReplicaState::Available);
    }

    let unknown = catalogue.record_looks(&run(9), &[right], WHO, &[]).await;
    assert!(matches!(unknown, Err(CatalogueError::UnknownRun { .. })));
}

#[tokio::test]
async fn files_are_found_by_name_and_by_content() {
    let catalogue = catalogue().await;
    for (number, files) in [(1, ["run_1.mid", "notes"]), (2, ["run%2.mid", "runx1.mid"])] {
        let mut facts = stored(&run(number), &files, &files);
        facts.files[1].crc64nvme = format!("{number:016x}");
        facts.files[1].stored_crc64nvme = format!("{number:016x}");
        catalogue.record_stored(&facts).await.unwrap();
    }
    let find = async |filter: FileFilter| {
        let found = catalogue.find_files(&filter, 100).await.unwrap();
        for file in &found {
            assert_eq!(file.replicas.len(), 2, "{file:?}");
        }
        let names = found.into_iter().map(|found| found.file.name.to_string());
        names.collect::<Vec<_>>()
    };
    let named = |glob: &str| FileFilter {
        name: Some(glob.parse().unwrap()),
        ..FileFilter::default()
    };
    assert_eq!(find(named("run_*.mid")).await, ["run_1.mid"]);
    assert_eq!(find(named("run%*")).await, ["run%2.mid"]);
    assert_eq!(find(named("run?1.mid")).await, ["run_1.mid", "runx1.mid"]);
    assert_eq!(find(FileFilter::default()).await.len(), 4);
    let content = FileFilter {
        crc64nvme: Some("0000000000000002".parse().unwrap()),
        ..FileFilter::default()
    };
    assert_eq!(find(content).await, ["runx1.mid"]);
    let elsewhere = FileFilter {
        site: Some("ISS".parse().unwrap()),
        ..FileFilter::default()
    };
    assert_eq!(find(elsewhere).await, [""; 0]);
}
