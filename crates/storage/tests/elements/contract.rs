//! What every element promises, tried on a folder and on an honest S3 server.

use std::panic::AssertUnwindSafe;

use aquifer_digest::Digests;
use aquifer_runtime::retry::{Classify as _, ErrorClass};
use aquifer_schemas::EvidenceLevel;
use aquifer_storage::{
    ObjectMeta, PutOutcome, SourceFile, StorageElement, StorageError, StoreOptions,
    UnfinishedUpload,
};
use bytes::Bytes;
use futures::{FutureExt, TryStreamExt};

use crate::fake::Fake;
use crate::files::{Files, PART, content, key, outcomes, s3, store};

/// Runs one promise on each kind of element.
pub(crate) async fn on_each<F>(promise: F)
where
    F: AsyncFn(&dyn StorageElement, &Files),
{
    let files = Files::new();
    let folder = files.element();
    folder.ensure_location().await.unwrap();
    promise(&folder, &files).await;

    let fake = Fake::start().await;
    let server = s3(&fake.endpoint);
    server.probe().await.unwrap();
    promise(&server, &Files::new()).await;
    assert!(fake.uploads().is_empty(), "no upload stays behind");
}

async fn keys(element: &dyn StorageElement, prefix: &str) -> Vec<String> {
    let pages: Vec<_> = element.list(prefix).try_collect().await.unwrap();
    let mut keys: Vec<_> = pages.into_iter().flatten().map(|o| o.key).collect();
    keys.sort();
    keys
}

#[tokio::test]
async fn files_around_the_part_boundaries_come_back_as_they_were() {
    on_each(async |element, files| {
        let sizes = [0, 1, PART - 1, PART, PART + 1, 2 * PART, 3 * PART + 17];
        for (seed, size) in (0u8..).zip(sizes) {
            let bytes = content(size, seed);
            let path = files.write("file", &bytes);
            let name = format!("LNGS/4242/{size}");
            let stored = store(element, &path, &name, StoreOptions::default())
                .await
                .unwrap();
            let whole = Digests::of(&bytes);
            assert_eq!(stored.sealed.digests(), whole, "{size}");
            assert_eq!(stored.outcome, PutOutcome::Created);
            assert_eq!(stored.stored_size, size as u64);
            assert_eq!(stored.stored_crc64nvme, whole.crc64nvme);
            assert_eq!(element.read_back(&key(&name)).await.unwrap(), whole);
            let info = element.head(&key(&name)).await.unwrap().unwrap();
            assert_eq!(info.crc64nvme, Some(whole.crc64nvme));
            assert_eq!(info.metadata[ObjectMeta::TRACE], "4bf92f35");
        }
    })
    .await;
}

#[tokio::test]
async fn of_two_writers_of_one_content_one_creates_and_one_adopts() {
    on_each(async |element, files| {
        for size in [100, 2 * PART + 1] {
            let bytes = content(size, 1);
            let (one, two) = (files.write("one", &bytes), files.write("two", &bytes));
            let name = format!("race/{size}");
            let (one, two) = tokio::join!(
                store(element, &one, &name, StoreOptions::default()),
                store(element, &two, &name, StoreOptions::default()),
            );
            let (one, two) = (one.unwrap(), two.unwrap());
            assert_eq!(outcomes(&[&one, &two]), (1, 1), "{size}");
            let again = files.write("again", &bytes);
            let again = store(element, &again, &name, StoreOptions::default())
                .await
                .unwrap();
            assert_eq!(again.outcome, PutOutcome::Adopted);
            assert!(again.evidence >= EvidenceLevel::E2);
        }
    })
    .await;
}

#[tokio::test]
async fn other_content_under_a_used_key_is_a_conflict_and_the_first_stays() {
    on_each(async |element, files| {
        for (size, other) in [(100, 100), (100, 101), (2 * PART, 2 * PART)] {
            let bytes = content(size, 1);
            let name = format!("used/{size}-{other}");
            let first = files.write("first", &bytes);
            let second = files.write("second", &content(other, 2));
            let (one, two) = tokio::join!(
                store(element, &first, &name, StoreOptions::default()),
                store(element, &second, &name, StoreOptions::default()),
            );
            let (winner, loser) = match (one, two) {
                (Ok(winner), Err(loser)) | (Err(loser), Ok(winner)) => (winner, loser),
                both => panic!("exactly one must win: {both:?}"),
            };
            assert!(matches!(loser, StorageError::Conflict { .. }), "{loser}");
            assert_eq!(loser.class(), ErrorClass::Permanent);
            let standing = element.read_back(&key(&name)).await.unwrap();
            assert_eq!(standing, winner.sealed.digests());
        }
    })
    .await;
}

#[tokio::test]
async fn small_objects_are_created_adopted_or_in_conflict() {
    on_each(async |element, _| {
        let (name, meta) = (key("manifests/4242.json"), ObjectMeta::new());
        let put = async |text: &'static str| {
            let body = Bytes::from_static(text.as_bytes());
            element.put(&name, body, &meta).await
        };
        assert_eq!(put("{}").await.unwrap(), PutOutcome::Created);
        assert_eq!(put("{}").await.unwrap(), PutOutcome::Adopted);
        let error = put("[]").await.unwrap_err();
        assert!(matches!(error, StorageError::Conflict { .. }), "{error}");
        assert_eq!(element.read_all(&name, 2).await.unwrap(), "{}");
        let error = element.read_all(&name, 1).await.unwrap_err();
        assert!(matches!(error, StorageError::TooLarge { .. }), "{error}");
    })
    .await;
}

#[tokio::test]
async fn nothing_is_visible_when_the_file_changes_while_it_is_read() {
    on_each(async |element, files| {
        type Change = fn(&std::path::Path);
        let append: Change = |path| {
            let mut bytes = std::fs::read(path).unwrap();
            bytes.push(0);
            std::fs::write(path, bytes).unwrap();
        };
        let shrink: Change = |path| {
            let bytes = std::fs::read(path).unwrap();
            std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        };
        let rewrite: Change = |path| {
            let bytes = content(std::fs::metadata(path).unwrap().len() as usize, 9);
            std::fs::write(path, bytes).unwrap();
        };
        let replace: Change = |path| {
            let other = path.with_extension("other");
            std::fs::copy(path, &other).unwrap();
            std::fs::rename(other, path).unwrap();
        };
        for size in [100, 3 * PART] {
            for (number, change) in [append, shrink, rewrite, replace].into_iter().enumerate() {
                let path = files.write("file", &content(size, 1));
                let name = key(&format!("changing/{size}-{number}"));
                let source = SourceFile::open(&path).await.unwrap();
                change(&path);
                let (meta, options) = (ObjectMeta::new(), StoreOptions::default());
                let stored = element.store_file(&source, &name, &meta, options).await;
                let error = stored.unwrap_err();
                let changed = matches!(error, StorageError::SourceChanged { .. });
                assert!(changed, "{number}: {error}");
                assert_eq!(element.head(&name).await.unwrap(), None);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn the_caller_has_the_last_word_before_anything_is_visible() {
    on_each(async |element, files| {
        for size in [100, 2 * PART + 1] {
            let bytes = content(size, 3);
            let path = files.write("file", &bytes);
            let name = format!("refused/{size}");
            let whole = Digests::of(&bytes);
            let options = StoreOptions {
                verify: Some(Box::new(move |digests| {
                    assert_eq!(*digests, whole);
                    Err("the logger wrote another checksum".to_owned())
                })),
                ..StoreOptions::default()
            };
            let error = store(element, &path, &name, options).await.unwrap_err();
            let StorageError::Refused { reason, .. } = &error else {
                panic!("{error}");
            };
            assert_eq!(reason, "the logger wrote another checksum");
            assert_eq!(element.head(&key(&name)).await.unwrap(), None);
        }
        assert!(keys(element, "refused/").await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn listings_show_every_object_under_its_own_key() {
    on_each(async |element, _| {
        let meta = ObjectMeta::new();
        for name in ["a/1", "a/2", "ab/3", "b"] {
            let body = Bytes::from_static(b"x");
            element.put(&key(name), body, &meta).await.unwrap();
        }
        assert_eq!(keys(element, "").await, ["a/1", "a/2", "ab/3", "b"]);
        assert_eq!(keys(element, "a").await, ["a/1", "a/2", "ab/3"]);
        assert_eq!(keys(element, "a/").await, ["a/1", "a/2"]);
        assert_eq!(keys(element, "none").await, [""; 0]);
        element.delete_for_good(&key("a/1")).await.unwrap();
        element.delete_for_good(&key("a/1")).await.unwrap();
        assert_eq!(keys(element, "a/").await, ["a/2"]);
    })
    .await;
}

#[tokio::test]
async fn parts_of_objects_are_read_by_range() {
    on_each(async |element, _| {
        let bytes = content(1000, 5);
        let (name, meta) = (key("ranges"), ObjectMeta::new());
        let body = Bytes::from(bytes.clone());
        element.put(&name, body, &meta).await.unwrap();
        for range in [0..1000, 0..1, 999..1000, 10..20, 5..5] {
            let wanted = &bytes[range.start as usize..range.end as usize];
            let chunks = element.get(&name, Some(range)).await.unwrap();
            let chunks: Vec<Bytes> = chunks.try_collect().await.unwrap();
            assert_eq!(chunks.concat(), wanted);
        }
        let missing = element.get(&key("missing"), None).await;
        assert!(matches!(missing.err(), Some(StorageError::NotFound { .. })));
    })
    .await;
}

#[tokio::test]
async fn what_a_killed_process_leaves_is_listed_and_can_be_dropped() {
    on_each(async |element, files| {
        let path = files.write("file", &content(3 * PART, 6));
        let options = StoreOptions {
            // Ends the attempt where a kill would, without the tidying of an error.
            step: |step| assert_ne!(step, "storage.before-complete", "killed"),
            ..StoreOptions::default()
        };
        let attempt = store(element, &path, "killed/run", options);
        let attempt = AssertUnwindSafe(attempt).catch_unwind().await;
        assert!(attempt.is_err());
        assert_eq!(element.head(&key("killed/run")).await.unwrap(), None);
        let left: Vec<_> = element
            .list_unfinished("killed")
            .try_collect()
            .await
            .unwrap();
        for upload in left.concat() {
            assert_eq!(upload.key, "killed/run");
            element.abort_unfinished(&upload).await.unwrap();
            element.abort_unfinished(&upload).await.unwrap();
        }
        let left: Vec<_> = element.list_unfinished("").try_collect().await.unwrap();
        assert!(left.concat().is_empty());
        let stored = store(element, &path, "killed/run", StoreOptions::default()).await;
        assert_eq!(stored.unwrap().outcome, PutOutcome::Created);
    })
    .await;
}

#[tokio::test]
async fn a_folder_claims_no_more_than_it_checks() {
    let files = Files::new();
    let element = files.element();
    element.ensure_location().await.unwrap();
    let found = element.probe().await.unwrap();
    assert!(!found.enforces_checksums() && found.conditional_put);
    let path = files.write("file", b"123456789");
    let stored = store(&element, &path, "a", StoreOptions::default()).await;
    assert_eq!(stored.unwrap().evidence, EvidenceLevel::E1);
    // Flipped behind the element's back: the sidecar still says the old checksum.
    files.write("element/a", b"123456780");
    let error = store(&element, &path, "a", StoreOptions::default()).await;
    let error = error.unwrap_err();
    assert!(matches!(error, StorageError::Conflict { .. }), "{error}");
}

#[tokio::test]
async fn a_part_that_a_kill_left_in_a_folder_is_listed_and_dropped() {
    let files = Files::new();
    let element = files.element();
    let id = "0190a5e0-0000-7000-8000-000000000000";
    let part = files.0.path().join("element/.aquifer-parts").join(id);
    std::fs::create_dir_all(&part).unwrap();
    std::fs::write(part.join("key"), "LNGS/1").unwrap();
    std::fs::write(part.join("bytes"), "half").unwrap();
    assert!(keys(&element, "").await.is_empty());
    let other: Vec<_> = element.list_unfinished("LNF").try_collect().await.unwrap();
    assert!(other.concat().is_empty());
    let left: Vec<_> = element.list_unfinished("LNGS").try_collect().await.unwrap();
    let left = left.concat();
    assert_eq!(
        (left[0].key.as_str(), left[0].upload_id.as_str()),
        ("LNGS/1", id)
    );
    let escape = UnfinishedUpload {
        upload_id: "../element".to_owned(),
        ..left[0].clone()
    };
    assert!(element.abort_unfinished(&escape).await.is_err());
    element.abort_unfinished(&left[0]).await.unwrap();
    assert!(!part.try_exists().unwrap());
}

#[tokio::test]
async fn a_root_that_is_not_mounted_is_an_outage() {
    let files = Files::new();
    let element = files.element();
    let path = files.write("file", b"123456789");
    let error = store(&element, &path, "a", StoreOptions::default()).await;
    assert_eq!(error.unwrap_err().class(), ErrorClass::Unavailable);
}
