//! What a download promises, on a folder and on an S3 server.

use std::fs;
use std::path::{Path, PathBuf};

use aquifer_digest::Digests;
use aquifer_storage::{
    DownloadError, DownloadOptions, ObjectMeta, Proven, StorageElement, StorageError, Wanted,
    download,
};
use bytes::Bytes;

use crate::contract::on_each;
use crate::files::{Files, content, key};

/// Bytes of a range in these tests.
const RANGE: usize = 64 << 10;

fn options() -> DownloadOptions {
    DownloadOptions {
        range_size: RANGE as u64,
        ..DownloadOptions::with_requests(3)
    }
}

fn wanted(name: &str, bytes: &[u8]) -> Wanted {
    let digests = Digests::of(bytes);
    Wanted {
        key: key(name),
        size: digests.size,
        crc64nvme: digests.crc64nvme,
    }
}

async fn put(element: &dyn StorageElement, name: &str, bytes: &[u8]) {
    let body = Bytes::copy_from_slice(bytes);
    let meta = ObjectMeta::new();
    element.put(&key(name), body, &meta).await.unwrap();
}

async fn get(
    element: &dyn StorageElement,
    wanted: &Wanted,
    target: &Path,
) -> Result<Proven, DownloadError> {
    download(element, wanted, target, &options()).await
}

/// What an earlier download of `wanted` left: these bytes, of which it took these ranges
/// to be whole.
fn leave(target: &Path, wanted: &Wanted, bytes: &[u8], ranges: &[usize]) {
    let name = target.file_name().unwrap().to_str().unwrap();
    let beside = |what: &str| target.with_file_name(format!(".{name}.aquifer-{what}"));
    let mut header = serde_json::to_value(wanted).unwrap();
    header["range_size"] = RANGE.into();
    let lines: Vec<_> = ranges.iter().map(usize::to_string).collect();
    fs::write(beside("part"), bytes).unwrap();
    fs::write(
        beside("ranges"),
        format!("{header}\n{}\n", lines.join("\n")),
    )
    .unwrap();
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn objects_around_the_range_boundaries_come_as_they_are_and_leave_nothing_else() {
    on_each(async |element, files| {
        let folder = files.0.path().join("got");
        let sizes = [0, 1, RANGE - 1, RANGE, RANGE + 1, 7 * RANGE + 3];
        for (seed, size) in (0u8..).zip(sizes) {
            let bytes = content(size, seed);
            let name = format!("raw/{size}");
            put(element, &name, &bytes).await;
            let target = folder.join(format!("sub/{size}"));
            let proven = get(element, &wanted(&name, &bytes), &target).await.unwrap();
            assert_eq!(proven.digests(), Digests::of(&bytes));
            assert!(!target.try_exists().unwrap(), "named before it is kept");
            proven.keep_as(&target).unwrap();
            assert!(fs::read(&target).unwrap() == bytes, "{size}");
        }
        assert_eq!(names(&folder.join("sub")).len(), sizes.len());
    })
    .await;
}

#[tokio::test]
async fn what_came_before_is_not_fetched_again() {
    on_each(async |element, files| {
        let bytes = content(5 * RANGE, 1);
        // What the server has of the ranges that are there is wrong: fetching one of them
        // again would be seen.
        let mut served = bytes.clone();
        served[..2 * RANGE].fill(0);
        put(element, "raw/half", &served).await;
        let mut half = bytes.clone();
        half[2 * RANGE..].fill(0);
        let target = files.0.path().join("half");
        let wanted = wanted("raw/half", &bytes);
        leave(&target, &wanted, &half, &[0, 1]);
        let proven = get(element, &wanted, &target).await.unwrap();
        proven.keep_as(&target).unwrap();
        assert!(fs::read(&target).unwrap() == bytes);
    })
    .await;
}

#[tokio::test]
async fn what_an_earlier_download_left_is_not_believed() {
    on_each(async |element, files| {
        let bytes = content(3 * RANGE, 2);
        put(element, "raw/stale", &bytes).await;
        let target = files.0.path().join("stale");
        let wanted = wanted("raw/stale", &bytes);
        leave(&target, &wanted, &content(3 * RANGE, 9), &[0, 1, 2]);
        let proven = get(element, &wanted, &target).await.unwrap();
        proven.keep_as(&target).unwrap();
        assert!(fs::read(&target).unwrap() == bytes);
    })
    .await;
}

#[tokio::test]
async fn an_object_that_is_another_never_gets_the_name() {
    on_each(async |element, files| {
        let folder = files.0.path().join("other");
        let bytes = content(2 * RANGE, 3);
        let mut damaged = bytes.clone();
        damaged[RANGE + 1] ^= 1;
        put(element, "raw/other", &damaged).await;
        let target = folder.join("other");
        let error = get(element, &wanted("raw/other", &bytes), &target).await;
        assert!(matches!(error, Err(DownloadError::Differs { .. })));
        assert_eq!(names(&folder), Vec::<PathBuf>::new());

        let error = get(element, &wanted("raw/none", &bytes), &target).await;
        let missing = |error: &DownloadError| {
            matches!(error, DownloadError::Storage(StorageError::NotFound { .. }))
        };
        assert!(missing(&error.unwrap_err()));
    })
    .await;
}

#[tokio::test]
async fn two_downloads_to_one_place_are_kept_apart() {
    let files = Files::new();
    let element = files.element();
    element.ensure_location().await.unwrap();
    let bytes = content(RANGE, 4);
    put(&element, "raw/busy", &bytes).await;
    let wanted = wanted("raw/busy", &bytes);
    let target = files.0.path().join("busy");
    let first = get(&element, &wanted, &target).await.unwrap();
    let second = get(&element, &wanted, &target).await;
    assert!(matches!(second, Err(DownloadError::Busy { .. })));
    first.keep_as(&target).unwrap();
    assert!(fs::read(&target).unwrap() == bytes);
}
