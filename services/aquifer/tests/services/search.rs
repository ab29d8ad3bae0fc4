//! Runs found by what the DAQ said of them, and the history of them that grew old.

use jiff::ToSpan as _;
use jiff::civil::Date;
use serde_json::Value;

use crate::deployment::{Deployment, take};

/// A book whose runs have times, types and attributes.
const BOOK: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../topology/examples/runlog.csv"
);

impl Deployment {
    fn with_a_past() -> Self {
        let deployment = Self::start();
        let book = ["import", "runlog", BOOK];
        let place = ["--site", "LAB", "--time-zone", "Europe/Rome"];
        // Exit code 1: a line of it cannot be read, and is named.
        let output = deployment.run(&[&book[..], &place].concat());
        assert_eq!(output.status.code(), Some(1));
        deployment
    }

    fn listed(&self, args: &[&str]) -> Vec<Value> {
        let all: &[&str] = if args.contains(&"-n") {
            &[]
        } else {
            &["-n", "1000"]
        };
        let args = [&["runs", "list", "--json"][..], all, args].concat();
        serde_json::from_str(&self.expect(&args)).unwrap()
    }

    fn months(&self) -> Vec<Value> {
        let months = self.expect(&["catalogue", "history", "months", "--json"]);
        serde_json::from_str(&months).unwrap()
    }
}

fn numbers(runs: &[Value]) -> Vec<u64> {
    let number = |run: &Value| run["id"]["number"].as_u64().unwrap();
    runs.iter().map(number).collect()
}

#[test]
fn runs_are_found_by_what_was_said_of_them() {
    let deployment = Deployment::with_a_past();
    let all = deployment.listed(&["--show", "GEM1_V", "--show", "pedestal_run"]);
    assert!(all.len() > 60, "{}", all.len());

    // What an expression finds is what a reader of the whole list would have picked.
    let low = deployment.listed(&["--where", "GEM1_V < 440"]);
    let volts = |run: &Value| run["attributes"]["GEM1_V"]["value"].as_f64();
    let picked = all
        .iter()
        .filter(|run| volts(run).is_some_and(|volts| volts < 440.0));
    assert_eq!(numbers(&low), numbers(&picked.cloned().collect::<Vec<_>>()));
    assert!(!low.is_empty() && low.len() < all.len());
    assert!(low[0].get("attributes").is_none(), "nobody asked for them");

    // By the page it is the same list.
    let mut paged: Vec<Value> = Vec::new();
    loop {
        let after = paged
            .last()
            .map(|run| format!("LAB/{}.v{}", run["id"]["number"], run["id"]["version"]));
        let after = after.iter().flat_map(|after| ["--after", after]);
        let page: Vec<_> = ["-n", "7"].into_iter().chain(after).collect();
        let page = deployment.listed(&page);
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 7);
        paged.extend(page);
        assert!(paged.len() <= all.len(), "pages overlap");
    }
    assert_eq!(numbers(&paged), numbers(&all));

    deployment.expect(&[
        "runs",
        "period",
        "set",
        "night",
        "--from",
        "2024-10-27T00:00:00Z",
        "--to",
        "2024-10-27T01:00:00Z",
    ]);
    let night = numbers(&deployment.listed(&["--period", "night"]));
    let since = [
        "--since",
        "2024-10-27T00:00:00Z",
        "--until",
        "2024-10-27T01:00:00Z",
    ];
    assert_eq!(night, numbers(&deployment.listed(&since)));
    assert!(!night.is_empty() && night.len() < all.len());

    insta::assert_snapshot!(
        "runs_found",
        [
            deployment.said(&[
                "runs",
                "list",
                "--where",
                "HV_STATE and DRIFT_V = 960",
                "--numbers",
                "99962..99975",
                "--show",
                "DRIFT_V",
                "--show",
                "run_description",
                "-n",
                "4",
            ]),
            deployment.said(&["runs", "list", "--where", "GEM9_V > 1"]),
            deployment.said(&["runs", "list", "--show", "gem1_v"]),
            deployment.said(&["runs", "list", "--where", "GEM1_V >"]),
            deployment.said(&["runs", "list", "--period", "day"]),
            deployment.said(&["runs", "list", "--site", "MOON"]),
            deployment.said(&["runs", "list", "--type", "pedestral"]),
        ]
        .join("\n")
    );
}

#[test]
fn an_old_month_of_history_is_moved_and_only_then_let_go() {
    let deployment = Deployment::start();
    let m2c = deployment.service("m2c", None);
    let relay = deployment.service("relay", None);
    take(&mut deployment.daq(|config| config.frames_per_run = 1));
    deployment.wait_stored(1);
    deployment.wait_told();
    drop((m2c, relay));
    let shown = || -> Value {
        let shown = deployment.expect(&["runs", "show", "1", "--json"]);
        serde_json::from_str(&shown).unwrap()
    };
    let now = deployment.months()[0]["month"].as_str().unwrap().to_owned();
    let partition = format!("p{}", now.replace('-', ""));
    let first: Date = format!("{now}-01").parse().unwrap();
    let end = first.saturating_add(1.month());
    // As if the run were of 2020, and a month had been made for it then.
    deployment.sql(&format!(
        "ALTER TABLE transition REORGANIZE PARTITION {partition} INTO \
         (PARTITION p202003 VALUES LESS THAN ('2020-04-01'), \
          PARTITION {partition} VALUES LESS THAN ('{end}'))"
    ));
    deployment.sql("UPDATE transition SET at = '2020-03-04' + INTERVAL id SECOND");
    let told = shown()["transitions"].as_array().unwrap().clone();
    assert!(!told.is_empty());

    let archive = [
        "catalogue",
        "history",
        "archive",
        "--before",
        "2020-04",
        "--json",
    ];
    let would: Value = serde_json::from_str(&deployment.expect(&archive)).unwrap();
    assert_eq!(would[0]["month"], "2020-03");
    assert_eq!(
        shown()["transitions"].as_array().unwrap(),
        &told,
        "not without `--yes`"
    );

    let yes = [&archive[..], &["--yes"]].concat();
    let moved: Value = serde_json::from_str(&deployment.expect(&yes)).unwrap();
    assert_eq!(moved[0]["steps"], told.len());
    let key = moved[0]["key"].as_str().unwrap().parse().unwrap();
    let object = deployment.runtime.block_on(async {
        use aquifer_storage::StorageElement as _;
        deployment.storage().read_all(&key, 1 << 20).await.unwrap()
    });
    let text = String::from_utf8(zstd::decode_all(&object[..]).unwrap()).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), told.len());
    for (line, step) in lines.iter().zip(&told) {
        assert_eq!(
            (&line["from"], &line["to"]),
            (&step["from"], &step["to"]),
            "{line:#}"
        );
        assert_eq!(line["run"]["number"], 1, "{line:#}");
    }
    assert_eq!(shown()["transitions"], Value::Array(Vec::new()));
    assert_eq!(deployment.months()[0]["month"], now);
    let again: Value = serde_json::from_str(&deployment.expect(&yes)).unwrap();
    assert_eq!(again, Value::Array(Vec::new()));
    let audit = deployment.audit(&["--strict", "--read-back"]);
    assert_eq!(audit["unaccounted"], 0, "the rest is as it was: {audit:#}");

    let ahead = deployment.run(&["catalogue", "history", "archive", "--before", "2999-01"]);
    assert_eq!(ahead.status.code(), Some(2));
}
