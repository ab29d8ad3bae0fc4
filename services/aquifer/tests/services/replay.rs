//! A past that is taken anew: every run of a book, the crashed ones too, through the whole
//! way.

use std::collections::BTreeSet;
use std::time::Instant;

use aquifer_sim::Past;
use serde_json::Value;

use crate::deployment::Deployment;

#[test]
fn a_past_is_taken_anew_and_its_crashed_runs_are_there_and_marked() {
    let deployment = Deployment::start();
    let past = Past::new(5, 298);
    let truth = &past.truth;
    assert_eq!(truth.runs, 300);
    let book = deployment.folder.path().join("book.csv");
    std::fs::write(&book, &past.text).unwrap();
    let m2c = deployment.service("m2c", None);
    let relay = deployment.service("relay", None);
    let faster = [
        "--speed",
        "20000",
        "--scale",
        "0.00002",
        "--pause-at-most",
        "0.02",
    ];
    let began = Instant::now();
    let said =
        deployment.expect(&[&["daq", "replay", book.to_str().unwrap()][..], &faster].concat());
    let crashed = truth.never_ended.len();
    let all = format!("300 of 300 runs taken; in {crashed} of them the DAQ died");
    assert!(said.contains(&all), "{said}");
    deployment.wait_until("all are stored", || deployment.count("stored") == 300);
    println!("300 runs in {:?}", began.elapsed());

    deployment.wait_told();
    let report = deployment.audit(&["--read-back", "--strict"]);
    assert_eq!(
        report["unaccounted"],
        0,
        "{report:#}\n{}",
        deployment.logs()
    );
    assert_eq!(report["tally"]["stored"], 300);
    let runs = deployment.expect(&["runs", "list", "-n", "1000", "--json"]);
    let runs: Vec<Value> = serde_json::from_str(&runs).unwrap();
    let number = |run: &Value| run["id"]["number"].as_u64().unwrap();
    let inferred = runs.iter().filter(|run| run["closed_by"] == "inferred");
    let inferred: BTreeSet<_> = inferred.map(number).collect();
    assert_eq!(inferred, truth.never_ended.iter().copied().collect());
    let again = runs.iter().filter(|run| run["id"]["version"] == 2);
    let again: BTreeSet<_> = again.map(number).collect();
    assert_eq!(again, truth.reused.iter().copied().collect());
    let signals = deployment.signals();
    let told = signals
        .iter()
        .filter(|signal| signal.name == "run-closed-by-inference");
    assert_eq!(told.count(), crashed);
    drop((m2c, relay));
}
