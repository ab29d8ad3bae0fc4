//! Leases, jobs and the journal: each thing is done by one, and once.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aquifer_catalogue::{CatalogueError, JournalAdvance, NewWork, OUTBOX_LEASE};
use tokio::task::JoinSet;

use super::facts::{run, signal};
use super::history::outbox;
use super::house::catalogue;
use crate::fixture::block_on;

/// One holder at a time; a stale fence removes nothing from the outbox.
#[test]
fn a_lease_has_one_holder() {
    block_on(async {
        let catalogue = catalogue().await;
        let hour = Duration::from_hours(1);
        catalogue.raise(&signal(&run(1), "x"), None).await.unwrap();
        catalogue.raise(&signal(&run(1), "x"), None).await.unwrap();
        let rows = outbox(&catalogue).await;
        assert_eq!(rows.len(), 1);

        let mut racers = JoinSet::new();
        for racer in 0..8 {
            let catalogue = catalogue.clone();
            racers.spawn(async move {
                catalogue
                    .lease(OUTBOX_LEASE, &format!("relay-{racer}"), hour)
                    .await
                    .unwrap()
            });
        }
        let mut held = Vec::new();
        while let Some(lease) = racers.join_next().await {
            held.extend(lease.unwrap());
        }
        assert_eq!(held.len(), 1);
        let first = held.remove(0);
        let again = catalogue
            .lease(OUTBOX_LEASE, &first.holder, hour)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(again.fence, first.fence);
        assert!(again.until >= first.until);
        assert!(catalogue.renew(&first, Duration::ZERO).await.unwrap());
        assert!(!catalogue.renew(&first, hour).await.unwrap());

        let second = catalogue
            .lease(OUTBOX_LEASE, "next", hour)
            .await
            .unwrap()
            .unwrap();
        assert!(second.fence > first.fence);
        let ids: Vec<u64> = rows.iter().map(|row| row.id).collect();
        let error = catalogue
            .outbox_delete(first.fence, &ids)
            .await
            .unwrap_err();
        assert!(
            matches!(error, CatalogueError::StaleFence { .. }),
            "{error}"
        );
        assert_eq!(catalogue.outbox_status().await.unwrap().rows, 1);
        catalogue.outbox_delete(second.fence, &ids).await.unwrap();
        catalogue.outbox_delete(second.fence, &ids).await.unwrap();
        assert_eq!(catalogue.outbox_status().await.unwrap().rows, 0);
        assert!(!catalogue.release(&first).await.unwrap());
        assert!(catalogue.release(&second).await.unwrap());
        assert!(
            catalogue
                .lease(OUTBOX_LEASE, "third", hour)
                .await
                .unwrap()
                .is_some()
        );
    });
}

/// No job is done twice under live fences, and a crashed worker's jobs return.
#[test]
fn work_is_done_once() {
    block_on(async {
        let catalogue = catalogue().await;
        let jobs: Vec<NewWork> = (0..200)
            .map(|number| NewWork {
                kind: "copy".to_owned(),
                key: format!("job {number}"),
                run: None,
                file: None,
            })
            .collect();
        assert_eq!(catalogue.enqueue(&jobs, None).await.unwrap(), 200);
        assert_eq!(catalogue.enqueue(&jobs, None).await.unwrap(), 0);

        // A worker takes some and dies: its lease ends.
        let minute = Duration::from_mins(1);
        let orphaned = catalogue
            .lease_work("copy", "dead", Duration::ZERO, 20)
            .await
            .unwrap();
        assert_eq!(orphaned.len(), 20);

        let done = Arc::new(Mutex::new(Vec::new()));
        let mut workers = JoinSet::new();
        for worker in 0..8 {
            let (catalogue, done) = (catalogue.clone(), done.clone());
            workers.spawn(async move {
                loop {
                    let holder = format!("w{worker}");
                    let taken = catalogue
                        .lease_work("copy", &holder, minute, 7)
                        .await
                        .unwrap();
                    if taken.is_empty() {
                        return;
                    }
                    for job in taken {
                        catalogue.extend_work(&job, minute).await.unwrap();
                        if job.attempts == 1 && job.id % 5 == 0 {
                            let now = Some(Duration::ZERO);
                            catalogue.fail_work(&job, "try again", now).await.unwrap();
                            continue;
                        }
                        done.lock().unwrap().push(job.key.clone());
                        catalogue.complete_work(&job).await.unwrap();
                        catalogue.complete_work(&job).await.unwrap();
                    }
                }
            });
        }
        while let Some(worker) = workers.join_next().await {
            worker.unwrap();
        }
        let mut done = done.lock().unwrap().clone();
        assert_eq!(done.len(), 200);
        done.sort();
        done.dedup();
        assert_eq!(done.len(), 200);

        for job in &orphaned {
            for result in [
                catalogue.complete_work(job).await,
                catalogue.extend_work(job, minute).await,
                catalogue.fail_work(job, "x", None).await,
            ] {
                let error = result.unwrap_err();
                assert!(
                    matches!(error, CatalogueError::StaleFence { .. }),
                    "{error}"
                );
            }
        }
    });
}

/// Messages count once: their work and their offsets stand together.
#[test]
fn the_journal_refuses_what_does_not_follow() {
    block_on(async {
        let catalogue = catalogue().await;
        let batch = |from, to| JournalAdvance {
            group: "g".to_owned(),
            topic: "t".to_owned(),
            partition: 3,
            from,
            to,
        };
        let job = |key: &str| {
            vec![NewWork {
                kind: "k".to_owned(),
                key: key.to_owned(),
                run: None,
                file: None,
            }]
        };
        assert_eq!(catalogue.journal("g", "t", 3).await.unwrap(), None);
        catalogue
            .enqueue(&job("a"), Some(&batch(5, 8)))
            .await
            .unwrap();
        catalogue
            .enqueue(&job("b"), Some(&batch(8, 12)))
            .await
            .unwrap();
        for (from, to) in [(8, 12), (5, 8), (10, 14), (13, 14)] {
            let error = catalogue
                .enqueue(&job("c"), Some(&batch(from, to)))
                .await
                .unwrap_err();
            assert!(
                matches!(error, CatalogueError::Journal { stored: 12, .. }),
                "{error}"
            );
        }
        assert_eq!(catalogue.journal("g", "t", 3).await.unwrap(), Some(12));
        let minute = Duration::from_mins(1);
        let jobs = catalogue.lease_work("k", "w", minute, 10).await.unwrap();
        let keys: Vec<_> = jobs.iter().map(|job| job.key.as_str()).collect();
        assert_eq!(keys, ["a", "b"]);
    });
}
