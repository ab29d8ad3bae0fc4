//! Many runs, many files and many writers at a time.

use std::collections::BTreeMap;
use std::time::Instant;

use aquifer_catalogue::RunFilter;
use aquifer_schemas::{Decoder, FileStored, RunId, RunState};
use jiff::SignedDuration;
use tokio::task::JoinSet;

use super::facts::{at, closed, lngs, opened, run, stored};
use super::history::{check_history, detail, outbox, topics};
use super::house::catalogue;
use crate::fixture::block_on;

/// Thousands of files of one run are saved and walked over.
#[test]
fn a_run_may_have_thousands_of_files() {
    block_on(async {
        let catalogue = catalogue().await;
        let id = run(1);
        let files: Vec<String> = (0..2501).map(|n| format!("f{n:05}")).collect();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        catalogue.record_closed(&closed(&id, &files)).await.unwrap();
        let outcome = catalogue
            .record_stored(&stored(&id, &files, &files))
            .await
            .unwrap();
        assert!(outcome.announced);
        check_history(&detail(&catalogue, &id).await);
        let other = "LNF".parse().unwrap();
        catalogue.register_site(&other, "UTC", "").await.unwrap();
        let elsewhere = RunId::first(other.clone(), 1);
        catalogue
            .record_stored(&stored(&elsewhere, &["x"], &["x"]))
            .await
            .unwrap();
        for (site, expected) in [(None, 2502), (Some(&id.site), 2501), (Some(&other), 1)] {
            let mut seen = Vec::new();
            let walk = catalogue.for_each_run_file(site, 100, |file| {
                assert_eq!(file.replicas.len(), 2, "{file:?}");
                assert!(file.replicas.iter().all(|copy| copy.file == file.file.name));
                seen.push(file.file.row);
            });
            walk.await.unwrap();
            assert_eq!(seen.len(), expected);
            assert!(seen.is_sorted());
        }
    });
}

/// Lists are filtered and continued, newest first.
#[test]
fn runs_are_listed_in_pages() {
    block_on(async {
        let catalogue = catalogue().await;
        for number in 0..10 {
            let mut opened = opened(&run(number));
            opened.started_at += SignedDuration::from_mins(i64::try_from(number % 3).unwrap());
            catalogue.record_opened(&opened).await.unwrap();
        }
        let mut filter = RunFilter {
            limit: 3,
            ..RunFilter::default()
        };
        let mut all = Vec::new();
        loop {
            let page = catalogue.runs(&filter).await.unwrap();
            let Some(last) = page.last() else { break };
            filter.before = Some(last.cursor());
            all.extend(page);
        }
        let numbers: Vec<u64> = all.iter().map(|run| run.id.number).collect();
        assert_eq!(numbers, [8, 5, 2, 7, 4, 1, 9, 6, 3, 0]);
        let filter = RunFilter {
            since: Some(at("2026-11-22T05:01:00Z")),
            until: Some(at("2026-11-22T05:02:00Z")),
            states: vec![RunState::Open],
            site: Some(lngs()),
            run_type: Some("physics".to_owned()),
            to_number: Some(4),
            ..RunFilter::default()
        };
        let found = catalogue.runs(&filter).await.unwrap();
        let numbers: Vec<u64> = found.iter().map(|run| run.id.number).collect();
        assert_eq!(numbers, [4, 1]);
        let counts = catalogue.counts_by_state(Some(&lngs())).await.unwrap();
        assert_eq!(counts, BTreeMap::from([(RunState::Open, 10)]));
    });
}

/// Writers that collide on few runs, in opposite orders, end right; ids of one key grow
/// with its revisions.
#[test]
fn colliding_writers_end_right() {
    block_on(async {
        let catalogue = catalogue().await;
        let mut writers = JoinSet::new();
        for writer in 0..8_usize {
            let catalogue = catalogue.clone();
            writers.spawn(async move {
                for round in 0..24_usize {
                    let number = if writer % 2 == 0 {
                        round % 3
                    } else {
                        2 - round % 3
                    };
                    let id = run(u64::try_from(number).unwrap());
                    let file = format!("f{}", (writer + round) % 8);
                    let all: Vec<String> = (0..8).map(|n| format!("f{n}")).collect();
                    let all: Vec<&str> = all.iter().map(String::as_str).collect();
                    catalogue
                        .record_stored(&stored(&id, &all, &[&file]))
                        .await
                        .unwrap();
                    catalogue.record_opened(&opened(&id)).await.unwrap();
                }
            });
        }
        while let Some(done) = writers.join_next().await {
            done.unwrap();
        }
        for number in 0..3 {
            let detail = detail(&catalogue, &run(number)).await;
            check_history(&detail);
            assert_eq!(detail.row.state, RunState::Stored);
            assert_eq!(detail.files.len(), 8);
            assert_eq!(detail.replicas.len(), 16);
            // One for each file, and one for the attribute that only the opening has.
            assert_eq!(detail.row.revision, 9);
        }
        let rows = outbox(&catalogue).await;
        let mut last: BTreeMap<String, u64> = BTreeMap::new();
        for row in rows
            .iter()
            .filter(|row| row.topic == "aquifer.store.file-stored")
        {
            let message: FileStored = Decoder::new().decode(&row.value).unwrap();
            let before = last.insert(row.key.clone(), message.revision);
            assert!(before < Some(message.revision), "{}", row.key);
        }
        assert_eq!(
            topics(&rows)
                .iter()
                .filter(|t| t.ends_with("file-stored"))
                .count(),
            24
        );
        assert_eq!(
            topics(&rows)
                .iter()
                .filter(|t| t.ends_with("run-stored"))
                .count(),
            3
        );
        assert_eq!(
            topics(&rows)
                .iter()
                .filter(|t| t.ends_with("run-closed"))
                .count(),
            3
        );
    });
}

/// Runs of one file stored in a second, over eight connections; printed, not judged.
#[test]
fn stored_runs_a_second() {
    block_on(async {
        let catalogue = catalogue().await;
        let runs = 2000_u64;
        let begin = Instant::now();
        let mut writers = JoinSet::new();
        for writer in 0..8 {
            let catalogue = catalogue.clone();
            writers.spawn(async move {
                for number in (writer..runs).step_by(8) {
                    let id = run(number);
                    catalogue
                        .record_stored(&stored(&id, &["a"], &["a"]))
                        .await
                        .unwrap();
                }
            });
        }
        while let Some(done) = writers.join_next().await {
            done.unwrap();
        }
        let took = begin.elapsed();
        println!("{:.0} runs/s", f64::from(2000_u32) / took.as_secs_f64());
        let counts = catalogue.counts_by_state(None).await.unwrap();
        assert_eq!(counts[&RunState::Stored], runs);
    });
}
