//! What uploads of growing files promise, on a folder and on an S3 server.

use aquifer_digest::Digests;
use aquifer_runtime::retry::{Classify as _, ErrorClass};
use aquifer_storage::{
    GrowingUpload, GrowingUploads as _, ListedPart, ObjectMeta, PartReceipt, PutOutcome,
    StorageElement, StorageError, StoreOptions, UnfinishedUpload,
};
use bytes::Bytes;

use crate::contract::on_each;
use crate::fake::{Fake, Faults};
use crate::files::{PART, content, key, s3, store};

const NOTHING: fn(&'static str) = |_| ();

async fn begin(element: &dyn StorageElement, name: &str) -> GrowingUpload {
    let meta = ObjectMeta::new()
        .with(ObjectMeta::TRACE, "4bf92f35")
        .unwrap();
    element.begin_upload(&key(name), &meta).await.unwrap()
}

async fn send(
    element: &dyn StorageElement,
    upload: &GrowingUpload,
    number: u32,
    bytes: &[u8],
) -> Result<PartReceipt, StorageError> {
    let body = Bytes::copy_from_slice(bytes);
    let digests = Digests::of(bytes);
    element.upload_part(upload, number, body, &digests).await
}

/// Begins an upload and sends `bytes` in parts.
async fn sent(
    element: &dyn StorageElement,
    name: &str,
    bytes: &[u8],
) -> (GrowingUpload, Vec<PartReceipt>) {
    let upload = begin(element, name).await;
    let mut receipts = Vec::new();
    for (number, part) in (1..).zip(bytes.chunks(PART)) {
        receipts.push(send(element, &upload, number, part).await.unwrap());
    }
    (upload, receipts)
}

/// Whether exactly the parts of the receipts are listed.
fn same(listed: &[ListedPart], receipts: &[PartReceipt]) -> bool {
    let mut pairs = listed.iter().zip(receipts);
    listed.len() == receipts.len() && pairs.all(|(listed, receipt)| listed.is(receipt))
}

/// What a process knows that begins where another was killed.
fn from_a_journal<T: serde::Serialize + serde::de::DeserializeOwned>(kept: &T) -> T {
    serde_json::from_str(&serde_json::to_string(kept).unwrap()).unwrap()
}

#[tokio::test]
async fn parts_sent_while_a_file_grows_become_one_object_with_evidence() {
    on_each(async |element, _| {
        let bytes = content(3 * PART + 17, 1);
        let whole = Digests::of(&bytes);
        let (upload, receipts) = sent(element, "LNGS/1", &bytes).await;
        assert_eq!(element.head(&key("LNGS/1")).await.unwrap(), None);
        let (upload, receipts) = (from_a_journal(&upload), from_a_journal(&receipts));
        let listed = element.list_parts(&upload).await.unwrap().unwrap();
        assert!(same(&listed, &receipts), "{listed:?}");
        let stored = element.complete_upload(&upload, &receipts, &whole, NOTHING);
        let stored = stored.await.unwrap();
        assert_eq!(stored.outcome, PutOutcome::Created);
        assert_eq!(stored.stored_size, whole.size);
        assert_eq!(stored.stored_crc64nvme, whole.crc64nvme);
        assert_eq!(element.read_back(&key("LNGS/1")).await.unwrap(), whole);
        let info = element.head(&key("LNGS/1")).await.unwrap().unwrap();
        assert_eq!(info.metadata[ObjectMeta::TRACE], "4bf92f35");
        assert_eq!(element.list_parts(&upload).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_part_that_is_sent_again_replaces_the_first() {
    on_each(async |element, _| {
        let bytes = content(2 * PART, 1);
        let (upload, mut receipts) = sent(element, "a", &bytes).await;
        let first = receipts[1].clone();
        let longer = content(PART + 9, 2);
        receipts[1] = send(element, &upload, 2, &longer).await.unwrap();
        let listed = element.list_parts(&upload).await.unwrap().unwrap();
        assert!(
            !listed[1].is(&first) && same(&listed, &receipts),
            "{listed:?}"
        );
        let whole = Digests::of(&bytes[..PART]).then(&Digests::of(&longer));
        let stored = element.complete_upload(&upload, &receipts, &whole, NOTHING);
        assert_eq!(stored.await.unwrap().stored_size, whole.size);
    })
    .await;
}

#[tokio::test]
async fn damaged_parts_and_parts_that_are_not_the_whole_are_refused() {
    on_each(async |element, _| {
        let bytes = content(2 * PART, 1);
        let (upload, receipts) = sent(element, "a", &bytes).await;
        let body = Bytes::from_static(b"other");
        let second = Digests::of(&bytes[PART..]);
        let damaged = element.upload_part(&upload, 2, body, &second);
        let error = damaged.await.unwrap_err();
        assert!(matches!(error, StorageError::Damaged { .. }), "{error}");
        let other = Digests::of(&content(2 * PART, 2));
        let completed = element.complete_upload(&upload, &receipts, &other, NOTHING);
        let error = completed.await.unwrap_err();
        assert!(matches!(error, StorageError::Damaged { .. }), "{error}");

        let whole = Digests::of(&bytes);
        let swapped = [receipts[1].clone(), receipts[0].clone()];
        for parts in [&receipts[..1], &receipts[1..], &swapped, &[]] {
            let completed = element.complete_upload(&upload, parts, &whole, NOTHING);
            let error = completed.await.unwrap_err();
            assert!(matches!(error, StorageError::Rejected { .. }), "{error}");
        }
        for number in [0, 10_001] {
            assert!(send(element, &upload, number, b"x").await.is_err());
        }
        assert_eq!(element.head(&key("a")).await.unwrap(), None);
        let stored = element.complete_upload(&upload, &receipts, &whole, NOTHING);
        assert_eq!(stored.await.unwrap().outcome, PutOutcome::Created);
    })
    .await;
}

#[tokio::test]
async fn completing_again_adopts_and_other_content_is_in_conflict() {
    on_each(async |element, files| {
        let bytes = content(PART + 1, 1);
        let whole = Digests::of(&bytes);
        let (upload, receipts) = sent(element, "a", &bytes).await;
        for outcome in [PutOutcome::Created, PutOutcome::Adopted] {
            let stored = element.complete_upload(&upload, &receipts, &whole, NOTHING);
            assert_eq!(stored.await.unwrap().outcome, outcome);
        }
        let path = files.write("file", &content(PART + 1, 2));
        let stored = store(element, &path, "b", StoreOptions::default()).await;
        let standing = stored.unwrap().sealed.digests();
        let (upload, receipts) = sent(element, "b", &bytes).await;
        let completed = element.complete_upload(&upload, &receipts, &whole, NOTHING);
        let error = completed.await.unwrap_err();
        assert!(matches!(error, StorageError::Conflict { .. }), "{error}");
        assert_eq!(element.list_parts(&upload).await.unwrap(), None);
        assert_eq!(element.read_back(&key("b")).await.unwrap(), standing);
    })
    .await;
}

#[tokio::test]
async fn an_upload_that_is_gone_is_known_to_be() {
    on_each(async |element, _| {
        let bytes = content(PART + 1, 1);
        let (upload, receipts) = sent(element, "a", &bytes).await;
        element
            .abort_unfinished(&UnfinishedUpload::from(&upload))
            .await
            .unwrap();
        assert_eq!(element.list_parts(&upload).await.unwrap(), None);
        let whole = Digests::of(&bytes);
        let completed = element.complete_upload(&upload, &receipts, &whole, NOTHING);
        let errors = [
            send(element, &upload, 1, b"x").await.unwrap_err(),
            completed.await.unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(error, StorageError::Interrupted { .. }), "{error}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_completion_whose_answer_is_lost_is_settled_by_looking() {
    for size in [1, PART + 1] {
        let fake = Fake::start().await;
        let element = s3(&fake.endpoint);
        element.probe().await.unwrap();
        let bytes = content(size, 1);
        let (upload, receipts) = sent(&element, "a", &bytes).await;
        fake.set(Faults {
            lost_replies: 1,
            ..Faults::default()
        });
        let whole = Digests::of(&bytes);
        let stored = element.complete_upload(&upload, &receipts, &whole, NOTHING);
        assert_eq!(stored.await.unwrap().outcome, PutOutcome::Adopted);
        assert_eq!(fake.keys(), ["below/here/a"], "the claim is given back");
    }
}

#[tokio::test]
async fn an_outage_leaves_the_upload_to_be_completed_later() {
    let fake = Fake::start().await;
    let element = s3(&fake.endpoint);
    element.probe().await.unwrap();
    let bytes = content(2 * PART, 1);
    let (upload, receipts) = sent(&element, "a", &bytes).await;
    fake.set(Faults {
        unreachable_completions: 1,
        ..Faults::default()
    });
    let whole = Digests::of(&bytes);
    let completed = element.complete_upload(&upload, &receipts, &whole, NOTHING);
    assert_eq!(
        completed.await.unwrap_err().class(),
        ErrorClass::Unavailable
    );
    let other = s3(&fake.endpoint);
    other.probe().await.unwrap();
    let stored = other.complete_upload(&upload, &receipts, &whole, NOTHING);
    assert_eq!(stored.await.unwrap().outcome, PutOutcome::Created);
    assert_eq!(fake.keys(), ["below/here/a"]);
}

#[tokio::test]
async fn a_part_whose_checksum_is_not_told_is_known_by_its_tag() {
    let fake = Fake::start().await;
    let element = s3(&fake.endpoint);
    let (upload, receipts) = sent(&element, "a", &content(PART + 1, 1)).await;
    fake.set(Faults {
        forgets_checksums: true,
        ..Faults::default()
    });
    let listed = element.list_parts(&upload).await.unwrap().unwrap();
    assert!(listed.iter().all(|part| part.crc64nvme.is_none()));
    assert!(same(&listed, &receipts));
    let mut other = receipts.clone();
    other[1].etag = "\"other\"".to_owned();
    assert!(!same(&listed, &other));
}
