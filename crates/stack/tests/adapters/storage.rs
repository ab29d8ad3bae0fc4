//! The S3 element on real servers: that of the stack, and one of another maker.
//!
//! What the in-process server of the storage crate cannot show: that a real one
//! refuses wrong checksums, keeps two writers apart, and takes our multipart uploads.

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aquifer_digest::Digests;
use aquifer_runtime::retry::{Classify as _, ErrorClass};
use aquifer_schemas::EvidenceLevel;
use aquifer_stack::{S3Endpoint, TokenIssuer, VersityGw};
use aquifer_storage::{
    GrowingUploads as _, ListedPart, ObjectKey, ObjectMeta, PartReceipt, PutOutcome, S3Config,
    S3Element, SourceFile, StorageElement, StorageError, StoreOptions, StoredObject, WebIdentity,
};
use bytes::Bytes;
use futures::{FutureExt, TryStreamExt};

use crate::fixture::{self, block_on, cache, issuer, stack};

/// What is asked of every server.
macro_rules! contract {
    ($($name:ident)+) => {
        mod of_the_stack {
            $(
                #[test]
                fn $name() {
                    crate::fixture::block_on(super::$name(&crate::fixture::stack().s3));
                }
            )+
        }

        mod of_another_maker {
            $(
                #[test]
                #[ignore = "needs versitygw: `make test-full` installs it"]
                fn $name() {
                    super::on_versitygw(super::$name);
                }
            )+
        }
    };
}

/// Asks it of a gateway that is started for it.
fn on_versitygw(ask: impl AsyncFnOnce(&S3Endpoint)) {
    let folder = fixture::folder();
    block_on(async {
        let gateway = VersityGw::start(&VersityGw::program(&cache()), folder.path()).await;
        ask(gateway.unwrap().endpoint()).await;
    });
}

contract! {
    the_server_checks_what_it_stores
    files_come_back_as_they_were
    a_growing_file_is_resumed_from_what_the_server_holds
    writers_are_kept_apart
    a_changing_file_leaves_nothing
    parts_that_arrived_before_a_crash_are_not_sent_again
    a_closed_door_is_an_outage
}

/// The smallest part that S3 takes.
const PART: usize = 5 << 20;

/// Bytes that repeat nowhere near a part's length.
fn content(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed + 1;
    let next = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    (0..size).map(next).collect()
}

fn key(text: &str) -> ObjectKey {
    text.parse().unwrap()
}

/// Settings of an element in a bucket of the test's own.
fn config(server: &S3Endpoint, bucket: &str) -> S3Config {
    S3Config {
        endpoint: server.endpoint.clone(),
        region: server.region.clone(),
        bucket: bucket.to_owned(),
        prefix: "raw".to_owned(),
        access_key: server.access_key.clone().into(),
        secret_key: server.secret_key.clone().into(),
        part_size_mib: 5,
        ..S3Config::default()
    }
}

/// The element, made and probed.
async fn element(server: &S3Endpoint, bucket: &str) -> S3Element {
    let element = S3Element::new(config(server, bucket)).unwrap();
    element.ensure_location().await.unwrap();
    element.ensure_location().await.unwrap();
    element.probe().await.unwrap();
    element
}

fn file(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

async fn store(element: &S3Element, path: &Path, name: &str) -> Result<StoredObject, StorageError> {
    let source = SourceFile::open(path).await?;
    let meta = ObjectMeta::new().with(ObjectMeta::TRACE, "4bf92f35")?;
    let options = StoreOptions::default();
    element
        .store_file(&source, &key(name), &meta, options)
        .await
}

/// The server does all that evidence E2 and exactly-once writes rest upon.
pub(crate) async fn the_server_checks_what_it_stores(server: &S3Endpoint) {
    let element = element(server, "probe").await;
    let found = element.capabilities().unwrap();
    assert!(found.enforces_checksums(), "{found:?}");
    assert!(
        found.conditional_put && found.conditional_complete,
        "{found:?}"
    );
    assert!(found.echoes_checksum && found.lists_multipart && found.deletes);
    let left: Vec<_> = element.list("").try_collect().await.unwrap();
    assert!(left.concat().is_empty(), "the probe left {left:?}");
    let left: Vec<_> = element.list_unfinished("").try_collect().await.unwrap();
    assert!(left.concat().is_empty(), "the probe left {left:?}");
}

/// Files of every kind of size are stored with evidence and come back as they were.
pub(crate) async fn files_come_back_as_they_were(server: &S3Endpoint) {
    let element = element(server, "files").await;
    let folder = tempfile::tempdir().unwrap();
    let sizes = [0, 1, PART - 1, PART, PART + 1, 2 * PART, 7 * PART + 17];
    for (seed, size) in (0..).zip(sizes) {
        let bytes = content(size, seed);
        let path = file(folder.path(), "file", &bytes);
        let name = format!("LNGS/4242/{size}.mid");
        let whole = Digests::of(&bytes);
        let stored = store(&element, &path, &name).await.unwrap();
        assert_eq!(stored.outcome, PutOutcome::Created);
        assert_eq!(stored.evidence, EvidenceLevel::E2);
        assert_eq!(stored.stored_size, size as u64);
        assert_eq!(element.read_back(&key(&name)).await.unwrap(), whole);
        let info = element.head(&key(&name)).await.unwrap().unwrap();
        assert_eq!(info.crc64nvme, Some(whole.crc64nvme), "{size}");
        assert_eq!(info.metadata[ObjectMeta::TRACE], "4bf92f35");
        assert_eq!(info.metadata[ObjectMeta::SIZE], size.to_string());
        let again = store(&element, &path, &name).await.unwrap();
        assert_eq!(again.outcome, PutOutcome::Adopted);
    }
    let pages: Vec<_> = element.list("LNGS/4242/").try_collect().await.unwrap();
    assert_eq!(pages.concat().len(), sizes.len());
    let part = element
        .get(&key("LNGS/4242/1.mid"), Some(0..1))
        .await
        .unwrap();
    let part: Vec<Bytes> = part.try_collect().await.unwrap();
    assert_eq!(part.concat(), content(1, 1));
}

/// A file that is sent while it grows, by two processes, becomes one object.
pub(crate) async fn a_growing_file_is_resumed_from_what_the_server_holds(server: &S3Endpoint) {
    let first = element(server, "growing").await;
    let bytes = content(2 * PART + 17, 1);
    let whole = Digests::of(&bytes);
    let (name, meta) = (key("open/run"), ObjectMeta::new().with("aquifer-run", "7"));
    let upload = first.begin_upload(&name, &meta.unwrap()).await.unwrap();
    let send = async |element: &S3Element, number: u32| {
        let start = (number as usize - 1) * PART;
        let part = &bytes[start..bytes.len().min(start + PART)];
        let (body, digests) = (Bytes::copy_from_slice(part), Digests::of(part));
        let sent = element.upload_part(&upload, number, body, &digests);
        sent.await.unwrap()
    };
    let mut receipts = vec![send(&first, 1).await, send(&first, 2).await];
    drop(first);
    let second = element(server, "growing").await;
    let listed = second.list_parts(&upload).await.unwrap().unwrap();
    let same = |(listed, receipt): (&ListedPart, &PartReceipt)| listed.is(receipt);
    assert!(
        listed.len() == 2 && listed.iter().zip(&receipts).all(same),
        "{listed:?}"
    );
    receipts.push(send(&second, 3).await);
    for outcome in [PutOutcome::Created, PutOutcome::Adopted] {
        let stored = second.complete_upload(&upload, &receipts, &whole, |_| ());
        let stored = stored.await.unwrap();
        assert_eq!(
            (stored.outcome, stored.evidence),
            (outcome, EvidenceLevel::E2)
        );
        assert_eq!(stored.stored_crc64nvme, whole.crc64nvme);
    }
    assert_eq!(second.list_parts(&upload).await.unwrap(), None);
    assert_eq!(second.read_back(&name).await.unwrap(), whole);
    let info = second.head(&name).await.unwrap().unwrap();
    assert_eq!(info.metadata["aquifer-run"], "7");
}

/// Three writers of two contents at the same moment: one content wins, and all who
/// say that they stored have it.
pub(crate) async fn writers_are_kept_apart(server: &S3Endpoint) {
    let element = element(server, "race").await;
    race(&element).await;
    // On some servers a loser's upload is still listed, and can be dropped.
    for upload in element.list_unfinished("").try_concat().await.unwrap() {
        element.abort_unfinished(&upload).await.unwrap();
    }
    let left = element.list_unfinished("").try_concat().await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

/// On the stack's server those who lose drop their parts themselves.
#[test]
fn losers_leave_nothing() {
    block_on(async {
        let element = element(&stack().s3, "losers").await;
        race(&element).await;
        let left = element.list_unfinished("").try_concat().await.unwrap();
        assert!(left.is_empty(), "{left:?}");
    });
}

async fn race(element: &S3Element) {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..5 {
        for size in [1000, PART + 1] {
            let bytes = content(size, round);
            let one = file(folder.path(), "one", &bytes);
            let two = file(folder.path(), "two", &bytes);
            let other = file(folder.path(), "other", &content(size, round + 100));
            let name = format!("{round}/{size}");
            let results = tokio::join!(
                store(element, &one, &name),
                store(element, &two, &name),
                store(element, &other, &name),
            );
            let results = [results.0, results.1, results.2];
            // Equal content may be completed twice; different content never is.
            let stored: Vec<_> = results.iter().flatten().collect();
            assert!(
                stored.iter().any(|s| s.outcome == PutOutcome::Created),
                "{results:?}"
            );
            for error in results.iter().filter_map(|result| result.as_ref().err()) {
                assert!(matches!(error, StorageError::Conflict { .. }), "{error}");
            }
            let standing = element.read_back(&key(&name)).await.unwrap();
            assert!(stored.iter().all(|s| s.sealed.digests() == standing));
        }
    }
}

/// A file that changes while it is read leaves nothing, not even parts.
pub(crate) async fn a_changing_file_leaves_nothing(server: &S3Endpoint) {
    let element = element(server, "changing").await;
    let folder = tempfile::tempdir().unwrap();
    let bytes = content(4 * PART, 1);
    let path = file(folder.path(), "file", &bytes);
    let source = SourceFile::open(&path).await.unwrap();
    file(folder.path(), "file", &bytes[..3 * PART]);
    let (name, meta) = (key("run"), ObjectMeta::new());
    let stored = element.store_file(&source, &name, &meta, StoreOptions::default());
    let error = stored.await.unwrap_err();
    assert!(
        matches!(error, StorageError::SourceChanged { .. }),
        "{error}"
    );
    assert_eq!(element.head(&name).await.unwrap(), None);
    let left: Vec<_> = element.list_unfinished("").try_collect().await.unwrap();
    assert!(left.concat().is_empty());
}

/// A token is exchanged for keys, and the keys do all that lasting ones do.
#[test]
fn a_token_opens_the_storage() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let token = file(folder.path(), "token", issuer().token().as_bytes());
        let element = with_token(&token);
        element.ensure_location().await.unwrap();
        let found = element.probe().await.unwrap();
        assert!(found.enforces_checksums() && found.deletes, "{found:?}");
        let path = file(folder.path(), "file", &content(2 * PART + 1, 1));
        let stored = store(&element, &path, "run").await.unwrap();
        assert_eq!(stored.outcome, PutOutcome::Created);

        for wrong in [issuer().token_for("somebody-else"), "no token".to_owned()] {
            file(folder.path(), "token", wrong.as_bytes());
            let error = with_token(&token).head(&key("run")).await.unwrap_err();
            assert!(matches!(error, StorageError::Denied { .. }), "{error}");
            assert_eq!(error.class(), ErrorClass::Unavailable);
        }
    });
}

fn with_token(token: &Path) -> S3Element {
    let web_identity = WebIdentity {
        token_file: Some(token.to_owned()),
        role_arn: TokenIssuer::ROLE.to_owned(),
        session_secs: 900,
        ..WebIdentity::default()
    };
    let config = S3Config {
        access_key: String::new().into(),
        secret_key: String::new().into(),
        web_identity,
        ..config(&stack().s3, "token")
    };
    S3Element::new(config).unwrap()
}

/// A process that ends in the middle of a file has sent its parts for good.
pub(crate) async fn parts_that_arrived_before_a_crash_are_not_sent_again(server: &S3Endpoint) {
    let element = element(server, "resume").await;
    let folder = tempfile::tempdir().unwrap();
    let bytes = content(3 * PART, 1);
    let path = file(folder.path(), "file", &bytes);
    let (name, meta) = (key("run"), ObjectMeta::new());
    let source = SourceFile::open(&path).await.unwrap();
    let ended = StoreOptions {
        // The future is dropped here, as in a process that is killed.
        step: |step| assert_ne!(step, "storage.before-complete", "killed"),
        ..StoreOptions::default()
    };
    let attempt = element.store_file(&source, &name, &meta, ended);
    assert!(AssertUnwindSafe(attempt).catch_unwind().await.is_err());

    let sent = Arc::new(AtomicU64::new(0));
    let meter = Arc::clone(&sent);
    let counted = StoreOptions {
        pace: Some(Arc::new(move |bytes| {
            meter.fetch_add(bytes, Ordering::Relaxed);
            std::future::ready(()).boxed()
        })),
        ..StoreOptions::default()
    };
    let again = self::element(server, "resume").await;
    let stored = again.store_file(&source, &name, &meta, counted).await;
    assert_eq!(stored.unwrap().outcome, PutOutcome::Created);
    assert_eq!(sent.load(Ordering::Relaxed), 0, "all parts were there");
    assert_eq!(again.read_back(&name).await.unwrap(), Digests::of(&bytes));
    let left: Vec<_> = again.list_unfinished("").try_collect().await.unwrap();
    assert!(left.concat().is_empty(), "{left:?}");
}

/// Wrong credentials stop the work, they do not condemn the data.
pub(crate) async fn a_closed_door_is_an_outage(server: &S3Endpoint) {
    let body = Bytes::from_static(b"x");
    let (name, meta) = (key("a"), ObjectMeta::new());
    let mut wrong = config(server, "aquifer");
    wrong.secret_key = "not-the-secret".to_owned().into();
    let wrong = S3Element::new(wrong).unwrap();
    let error = wrong.put(&name, body, &meta).await.unwrap_err();
    assert!(matches!(error, StorageError::Denied { .. }), "{error}");
    assert_eq!(error.class(), ErrorClass::Unavailable);
}
