//! What is not sent again after a crash or an outage.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};

use aquifer_digest::Digests;
use aquifer_storage::{
    GrowingUploads as _, ObjectMeta, Pace, PutOutcome, S3Element, StorageElement, StorageError,
    StoreOptions,
};
use bytes::Bytes;
use futures::FutureExt;
use jiff::SignedDuration;

use crate::fake::{Fake, Faults};
use crate::files::{Files, PART, content, key, s3, store};

/// Bytes that were sent, part by part.
#[derive(Clone, Default)]
struct Meter(Arc<Mutex<Vec<u64>>>);

impl Meter {
    fn pace(&self) -> Pace {
        let sent = Arc::clone(&self.0);
        Arc::new(move |bytes| {
            sent.lock().unwrap().push(bytes);
            std::future::ready(()).boxed()
        })
    }

    fn parts(&self) -> Vec<u64> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// The element as a new process has it.
async fn probed(fake: &Fake) -> S3Element {
    let element = s3(&fake.endpoint);
    element.probe().await.unwrap();
    element
}

/// Stores until the first part has arrived, and ends there as a kill would.
async fn killed(element: &S3Element, path: &std::path::Path, name: &str) {
    let options = StoreOptions {
        step: |step| assert_ne!(step, "storage.part-uploaded", "killed"),
        ..StoreOptions::default()
    };
    let attempt = store(element, path, name, options);
    assert!(AssertUnwindSafe(attempt).catch_unwind().await.is_err());
}

fn metered(meter: &Meter) -> StoreOptions {
    StoreOptions {
        pace: Some(meter.pace()),
        ..StoreOptions::default()
    }
}

#[tokio::test]
async fn after_a_kill_the_parts_that_arrived_are_not_sent_again() {
    for forgets_checksums in [false, true] {
        let (files, fake, meter) = (Files::new(), Fake::start().await, Meter::default());
        fake.set(Faults {
            forgets_checksums,
            ..Faults::default()
        });
        let bytes = content(3 * PART - 7, 1);
        let path = files.write("file", &bytes);
        killed(&probed(&fake).await, &path, "a").await;
        let arrived = fake.parts(&fake.uploads()[0]);
        assert!((1..=3).contains(&arrived), "{arrived} parts arrived");

        let element = probed(&fake).await;
        let stored = store(&element, &path, "a", metered(&meter)).await.unwrap();
        assert_eq!(stored.outcome, PutOutcome::Created);
        assert_eq!(stored.stored_crc64nvme, Digests::of(&bytes).crc64nvme);
        assert_eq!(fake.bytes("/a").unwrap(), bytes);
        assert_eq!(meter.parts().len(), 3 - arrived);
        assert!(fake.uploads().is_empty());
    }
}

#[tokio::test]
async fn after_an_outage_the_parts_that_arrived_are_not_sent_again() {
    let (files, fake, meter) = (Files::new(), Fake::start().await, Meter::default());
    let element = probed(&fake).await;
    let path = files.write("file", &content(4 * PART, 1));
    fake.set(Faults {
        unreachable_completions: 1,
        ..Faults::default()
    });
    let error = store(&element, &path, "a", metered(&meter)).await;
    assert!(matches!(error, Err(StorageError::Unavailable { .. })));
    assert_eq!(meter.parts().len(), 4);
    let stored = store(&element, &path, "a", metered(&meter)).await;
    assert_eq!(stored.unwrap().outcome, PutOutcome::Created);
    assert_eq!(meter.parts(), [0; 0]);
    assert!(fake.uploads().is_empty());
}

#[tokio::test]
async fn an_upload_of_other_bytes_is_left_alone() {
    let (files, fake, meter) = (Files::new(), Fake::start().await, Meter::default());
    let element = probed(&fake).await;
    let other = files.write("other", &content(3 * PART, 2));
    killed(&element, &other, "a").await;
    let left = fake.uploads();
    let bytes = content(3 * PART, 1);
    let path = files.write("file", &bytes);
    let stored = store(&element, &path, "a", metered(&meter)).await;
    assert_eq!(stored.unwrap().outcome, PutOutcome::Created);
    assert_eq!(meter.parts().len(), 3);
    assert_eq!(fake.bytes("/a").unwrap(), bytes);
    assert_eq!(fake.uploads(), left, "it is another's, and young");
}

#[tokio::test]
async fn the_newest_upload_is_resumed_and_only_old_ones_are_dropped() {
    for (begun_ago, left) in [(1, 2), (25, 0)] {
        let (files, fake, meter) = (Files::new(), Fake::start().await, Meter::default());
        let element = probed(&fake).await;
        let bytes = content(2 * PART, 1);
        let path = files.write("file", &bytes);
        let mut uploads = Vec::new();
        for parts in [0, 1, 2] {
            let (name, meta) = (key("a"), ObjectMeta::new());
            let upload = element.begin_upload(&name, &meta).await.unwrap();
            for (number, part) in (1..).zip(bytes.chunks(PART).take(parts)) {
                let (body, digests) = (Bytes::copy_from_slice(part), Digests::of(part));
                let sent = element.upload_part(&upload, number, body, &digests);
                sent.await.unwrap();
            }
            uploads.push(upload);
        }
        fake.set(Faults {
            begun_ago: Some(SignedDuration::from_hours(begun_ago)),
            ..Faults::default()
        });
        let stored = store(&element, &path, "a", metered(&meter)).await;
        assert_eq!(stored.unwrap().outcome, PutOutcome::Created);
        assert_eq!(meter.parts(), [0; 0], "the newest had all parts");
        assert_eq!(fake.uploads().len(), left);
    }
}

#[tokio::test]
async fn nothing_is_resumed_on_a_server_that_takes_wrong_checksums() {
    let (files, fake, meter) = (Files::new(), Fake::start().await, Meter::default());
    fake.set(Faults {
        takes_wrong_checksums: true,
        ..Faults::default()
    });
    let path = files.write("file", &content(3 * PART, 1));
    killed(&probed(&fake).await, &path, "a").await;
    let element = probed(&fake).await;
    let stored = store(&element, &path, "a", metered(&meter)).await;
    assert_eq!(stored.unwrap().outcome, PutOutcome::Created);
    assert_eq!(meter.parts().len(), 3);
}

#[tokio::test]
async fn two_writers_of_different_bytes_on_one_upload_never_make_a_mixture() {
    let files = Files::new();
    for round in 0..4 {
        let fake = Fake::start().await;
        let element = probed(&fake).await;
        // The first part is the same, so that each takes up what the other began.
        let one = content(4 * PART, 1);
        let mut two = one.clone();
        two[2 * PART + round] ^= 1;
        let (one, two) = (files.write("one", &one), files.write("two", &two));
        killed(&element, &one, "a").await;
        let results = tokio::join!(
            store(&element, &one, "a", StoreOptions::default()),
            store(&element, &two, "a", StoreOptions::default()),
        );
        let mut stored = 0;
        for result in [results.0, results.1] {
            match result {
                Ok(object) => {
                    stored += 1;
                    let standing = element.read_back(&key("a")).await.unwrap();
                    assert_eq!(standing, object.sealed.digests());
                }
                Err(
                    StorageError::Conflict { .. }
                    | StorageError::Interrupted { .. }
                    | StorageError::Damaged { .. },
                ) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert!(stored <= 1);
    }
}

#[tokio::test]
async fn an_upload_that_another_writer_ends_is_settled_by_looking() {
    for (completed, outcome) in [(true, PutOutcome::Adopted), (false, PutOutcome::Created)] {
        let (files, fake) = (Files::new(), Arc::new(Fake::start().await));
        let element = probed(&fake).await;
        let bytes = content(3 * PART, 1);
        let path = files.write("file", &bytes);
        // One part arrived, two are to be sent.
        let (name, meta) = (key("a"), ObjectMeta::new());
        let upload = element.begin_upload(&name, &meta).await.unwrap();
        let first = &bytes[..PART];
        let (body, digests) = (Bytes::copy_from_slice(first), Digests::of(first));
        let sent = element.upload_part(&upload, 1, body, &digests);
        sent.await.unwrap();

        let (server, whole) = (Arc::clone(&fake), bytes.clone());
        let ended = std::sync::Once::new();
        let asked = Arc::new(Mutex::new(0));
        let count = Arc::clone(&asked);
        let options = StoreOptions {
            pace: Some(Arc::new(move |_| {
                ended.call_once(|| server.end_uploads(completed.then_some(&whole)));
                std::future::ready(()).boxed()
            })),
            verify: Some(Box::new(move |_| {
                *count.lock().unwrap() += 1;
                Ok(())
            })),
            ..StoreOptions::default()
        };
        let stored = store(&element, &path, "a", options).await.unwrap();
        assert_eq!(stored.outcome, outcome);
        assert_eq!(fake.bytes("/a").unwrap(), bytes);
        assert_eq!(*asked.lock().unwrap(), 1, "the caller had the last word");
        assert!(fake.uploads().is_empty());
    }
}

#[tokio::test]
async fn the_caller_sets_the_pace_of_each_part() {
    let (files, fake, meter) = (Files::new(), Fake::start().await, Meter::default());
    let element = probed(&fake).await;
    let small = files.write("small", &content(10, 1));
    let large = files.write("large", &content(PART + 1, 1));
    store(&element, &small, "small", metered(&meter))
        .await
        .unwrap();
    assert_eq!(meter.parts(), [10]);
    store(&element, &large, "large", metered(&meter))
        .await
        .unwrap();
    assert_eq!(meter.parts(), [PART as u64, 1]);
    let folder = files.element();
    folder.ensure_location().await.unwrap();
    store(&folder, &large, "large", metered(&meter))
        .await
        .unwrap();
    assert_eq!(meter.parts().iter().sum::<u64>(), PART as u64 + 1);
    // A part that may not go yet is not sent.
    let held = StoreOptions {
        pace: Some(Arc::new(|_| std::future::pending().boxed())),
        ..StoreOptions::default()
    };
    fake.asked();
    assert!(
        store(&element, &small, "held", held)
            .now_or_never()
            .is_none()
    );
    assert!(fake.asked().is_empty());
}

#[tokio::test]
async fn files_that_wait_for_their_turn_hold_no_memory() {
    let (files, fake) = (Files::new(), Fake::start().await);
    let element = probed(&fake).await;
    let waiting: Vec<_> = (0..8)
        .map(|number| files.write(&format!("{number}"), &content(PART, number)))
        .collect();
    let turns = Arc::new(Mutex::new(0));
    let waiting = futures::future::join_all(waiting.iter().map(|path| {
        let turns = Arc::clone(&turns);
        let options = StoreOptions {
            pace: Some(Arc::new(move |_| {
                *turns.lock().unwrap() += 1;
                std::future::pending().boxed()
            })),
            ..StoreOptions::default()
        };
        store(&element, path, "waits", options)
    }));
    let urgent = files.write("urgent", &content(PART, 9));
    let urgent = async {
        while *turns.lock().unwrap() < 8 {
            tokio::task::yield_now().await;
        }
        store(&element, &urgent, "urgent", StoreOptions::default()).await
    };
    let stored = tokio::select! {
        biased;
        _ = waiting => unreachable!("their turn never comes"),
        stored = tokio::time::timeout(std::time::Duration::from_mins(1), urgent) => stored,
    };
    let stored = stored.expect("an urgent file needs no memory of those that wait");
    assert_eq!(stored.unwrap().outcome, PutOutcome::Created);
}
