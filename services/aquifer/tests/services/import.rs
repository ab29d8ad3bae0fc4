//! An experiment that moves in: its book, its bucket and its tape listing become part of
//! the catalogue, once, and the audit knows them by their own words.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use aquifer_sim::{Past, PlannedRun, RunKind};
use aquifer_storage::{ObjectMeta, StorageElement as _};
use jiff::Timestamp;
use serde_json::Value;

use crate::deployment::Deployment;

const ROME: [&str; 4] = ["--site", "LAB", "--time-zone", "Europe/Rome"];

impl Deployment {
    /// Writes a file beside the configuration and gives its path.
    fn write_file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// What an import says, and its exit code.
    fn import(&self, args: &[&str]) -> (Value, i32) {
        let output = self.run(&[&["import"][..], args, &["--json"]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        let report = serde_json::from_slice(&output.stdout);
        let report = report.unwrap_or_else(|error| panic!("{error}: {said}"));
        (report, output.status.code().unwrap())
    }

    fn runlog(&self, book: &str) -> Value {
        self.import(&[&["runlog", book][..], &ROME].concat()).0
    }
}

fn numbers(list: &Value) -> Vec<u64> {
    let numbers = list.as_array().unwrap().iter();
    let number = |entry: &Value| entry.as_u64().or_else(|| entry["run"].as_u64());
    numbers.map(|entry| number(entry).unwrap()).collect()
}

#[test]
fn a_book_is_taken_over_once_and_told_by_its_own_words() {
    let deployment = Deployment::start();
    let past = Past::new(1, 80);
    let truth = &past.truth;
    let book = deployment.write_file("book.csv", &past.text);
    let (report, code) = deployment.import(&[&["runlog", &book][..], &ROME].concat());
    assert_eq!(code, 1, "a line was left out");
    assert_eq!(report["left_out"], truth.left_out);
    assert_eq!(report["imported"]["added"], truth.runs, "{report:#}");
    let losses = &report["losses"];
    assert_eq!(numbers(&losses["never_ended"]), truth.never_ended);
    assert_eq!(numbers(&losses["size_lost"]), truth.size_lost);
    assert_eq!(numbers(&losses["over_limit"]), truth.over_limit);
    assert_eq!(numbers(&losses["unmarked"]), truth.unmarked);
    assert_eq!(numbers(&losses["nowhere"]), truth.nowhere);
    assert_eq!(numbers(&report["negative_durations"]), truth.negative);
    let ordered = numbers(&report["ordered_times"]);
    assert_eq!(ordered, truth.twice_on_the_clock, "the order decides all");

    let again = &deployment.runlog(&book)["imported"];
    assert_eq!((&again["added"], &again["changed"]), (&0.into(), &0.into()));
    assert_eq!(again["as_they_were"], truth.runs);

    let audit = deployment.audit(&["--strict"]);
    assert_eq!(audit["unaccounted"], 0, "{audit:#}");
    let (tally, missing) = (&audit["tally"], truth.nowhere.len());
    assert_eq!(tally["missing"], missing);
    assert_eq!(tally["adopted"], truth.runs - missing);
    assert_eq!(tally["never_ended"], truth.never_ended.len());
    let text = deployment.expect(&["audit", "--strict"]);
    assert!(text.contains("runs never ended"), "{text}");
    let listed = deployment.expect(&["runs", "list", "--state", "missing", "-n", "1000", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), missing);
    assert!(deployment.signals().is_empty(), "the past is no news");

    // Numbers that were used again are versions, in the order of their begin.
    let reused = truth.reused[0];
    let second = deployment.expect(&["runs", "show", &format!("LAB/{reused}.v2")]);
    assert!(second.contains("2025"), "{second}");
    view_is_the_book(&deployment, &past);
}

/// The lines of the book come back from the view, field by field.
fn view_is_the_book(deployment: &Deployment, past: &Past) {
    let selected = deployment.sql("SELECT * FROM runlog ORDER BY site, run_number, version");
    let rows: Vec<Vec<&str>> = selected
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    assert_eq!(rows.len(), past.truth.runs);
    let columns = deployment.sql(
        "SELECT GROUP_CONCAT(column_name ORDER BY ordinal_position) FROM \
         information_schema.columns WHERE table_schema=DATABASE() AND table_name='runlog'",
    );
    let head = past
        .text
        .lines()
        .next()
        .unwrap()
        .trim_start_matches('\u{feff}');
    assert_eq!(columns.trim(), format!("{head},site,version"));
    let mut compared = 0;
    for line in past.text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        // Texts with commas are compared below; of a line that stands twice the later counts.
        let number: Option<u64> = fields[0].parse().ok();
        if fields.len() != 38 || number.is_some_and(|run| past.truth.doubled.contains(&run)) {
            continue;
        }
        let row = rows
            .iter()
            .find(|row| row[0] == fields[0] && row[2] == fields[2]);
        let row = row.unwrap_or_else(|| panic!("not in the view: {line}"));
        for (column, (found, written)) in row.iter().zip(&fields).enumerate() {
            // A checksum that is none is not kept.
            let written = if (column, *written) == (35, "0") {
                ""
            } else {
                written
            };
            assert_eq!(plain(found), plain(written), "column {column} of {line}");
        }
        compared += 1;
    }
    assert!(compared > 60, "{compared}");
    assert!(selected.contains("\tS003:DATA:BKG, no Fe, veto 100 us\t"));
    assert!(selected.contains("\tS003:DATA:Fe, \"new\" source; Trg: LVL2\t"));
}

/// A field without the ways in which programs write numbers and nothing.
fn plain(field: &str) -> String {
    match field.parse::<f64>() {
        Ok(number) if field.len() < 20 => number.to_string(),
        _ if field == "NULL" => String::new(),
        _ => field.to_owned(),
    }
}

#[test]
fn an_import_that_was_killed_goes_on() {
    let deployment = Deployment::start();
    // More than what is in three transactions, which are at work at a time: when the first
    // of them is committed, the last runs are in none yet.
    let past = Past::new(2, 1800);
    let book = deployment.write_file("book.csv", &past.text);
    let args = [&["import", "runlog", &book][..], &ROME].concat();
    let mut command = deployment.command(&args);
    let killed = command.env("AQUIFER_CRASH_AT", "import.batch-committed");
    let killed = killed.output().unwrap();
    assert_eq!(killed.status.signal(), Some(9), "{killed:?}");
    let imported = &deployment.runlog(&book)["imported"];
    let count = |key: &str| imported[key].as_u64().unwrap();
    assert_eq!(
        count("added") + count("as_they_were"),
        past.truth.runs as u64
    );
    assert!(
        count("as_they_were") >= 256 && count("added") > 0,
        "{imported}"
    );
}

/// Five runs: stored, stored and not marked, marked and not stored, of another size, and
/// never ended.
const SMALL: &str = "run_number,run_description,start_time,stop_time,number_of_events,storage_local_status,storage_cloud_status,storage_tape_status,file_size\n\
    1,a,2022-03-21 15:00:00,2022-03-21 15:01:00,4,0,1,1,10\n\
    2,b,2022-03-21 15:02:00,2022-03-21 15:03:00,4,1,-1,-1,-1\n\
    3,c,2022-03-21 15:04:00,2022-03-21 15:05:00,4,0,1,-1,10\n\
    4,d,2022-03-21 15:06:00,2022-03-21 15:07:00,4,0,1,-1,11\n\
    5,e,2022-03-21 15:08:00,,,-1,-1,-1,-1\n";

#[test]
fn a_bucket_and_a_tape_listing_show_what_a_book_only_says() {
    let deployment = Deployment::start();
    // What began just now is the ingester's to tell of.
    let now = Timestamp::now().strftime("%Y-%m-%d %H:%M:%S");
    let book = format!("{SMALL}6,f,{now},,,-1,-1,-1,-1\n");
    let book = deployment.write_file("book.csv", &book);
    let imported = &deployment.runlog(&book)["imported"];
    assert_eq!(imported["left_to_ingester"][0], 6, "{imported}");
    assert_eq!(imported["added"], 5);
    let storage = deployment.storage();
    deployment.runtime.block_on(async {
        storage.ensure_location().await.unwrap();
        for name in [
            "run00001.mid.gz",
            "run00002.mid.gz",
            "run00004.mid.gz",
            "run00007.mid.gz",
            "notes.txt",
        ] {
            let key = format!("LAB/{name}").parse().unwrap();
            let body = vec![b'x'; 10].into();
            storage.put(&key, body, &ObjectMeta::new()).await.unwrap();
        }
    });
    let bucket = ["bucket", "--site", "LAB"];
    let ids = |report: &Value, key: &str| report[key].as_array().unwrap().len();
    let number = |report: &Value, key: &str| report[key][0]["number"].as_u64();

    let (dry, code) = deployment.import(&[&bucket[..], &["--dry-run"]].concat());
    assert_eq!((dry["changed"].as_u64(), code), (Some(0), 1));
    let (wrong, code) = deployment.import(&[&bucket[..], &["--prefix", "LAB/run"]].concat());
    assert_eq!(code, 1);
    for report in [&dry, &wrong] {
        assert_eq!(report["confirmed"], 1, "{report:#}");
        assert_eq!(number(report, "unmarked"), Some(2));
        assert_eq!(number(report, "without_entry"), Some(7));
        assert_eq!(number(report, "missing"), Some(3));
        assert_eq!(ids(report, "differing"), 1);
    }
    assert_eq!(dry["no_template"]["first"][0], "LAB/notes.txt");
    assert_eq!((&wrong["added"], &wrong["changed"]), (&1.into(), &4.into()));
    let (again, _) = deployment.import(&bucket);
    assert_eq!((&again["added"], &again["changed"]), (&0.into(), &0.into()));
    let shown = deployment.expect(&["runs", "show", "1"]);
    assert!(shown.contains("claimed") && shown.contains("E1"), "{shown}");
    let shown = deployment.expect(&["runs", "show", "3"]);
    assert!(
        shown.contains("missing") && shown.contains("absent"),
        "{shown}"
    );

    let listing = deployment.write_file(
        "tape.txt",
        "LAB/run00001.mid.gz 10\n\nLAB/run00005.mid.gz\nwhat is this\n",
    );
    let tape = ["listing", &listing, "--element", "TAPE", "--site", "LAB"];
    let (report, code) = deployment.import(&tape);
    assert_eq!((&report["confirmed"], code), (&1.into(), 1), "{report:#}");
    assert_eq!(number(&report, "unmarked"), Some(5));
    assert_eq!(report["unreadable"]["first"][0], "line 4: what is this");
    let audit = deployment.audit(&["--strict"]);
    assert_eq!(audit["unaccounted"], 0, "{audit:#}");
    assert_eq!(audit["tally"]["adopted"], 5);
    assert_eq!(audit["tally"]["missing"], 1);

    // Names alone do not say in which bucket they are.
    let bucket = [
        "import",
        "listing",
        &listing,
        "--element",
        "S3",
        "--site",
        "LAB",
    ];
    let output = deployment.run(&bucket);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("`aquifer import bucket`"), "{said}");
    assert_eq!(output.status.code(), Some(2));

    // A listing of another place must not make everything missing.
    let other = deployment.write_file("other.txt", "LNF/run00001.mid.gz\n");
    let output = deployment.run(&[
        "import",
        "listing",
        &other,
        "--element",
        "TAPE",
        "--site",
        "LAB",
        "--key-template",
        "{site}/run{run:05}.mid.gz",
    ]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("names none of the 2 copies"), "{said}");
    assert_eq!(deployment.audit(&[])["tally"]["missing"], 1);
}

#[test]
fn numbers_of_the_past_that_a_daq_uses_again_are_versions() {
    let deployment = Deployment::start();
    let book = deployment.write_file("book.csv", SMALL);
    deployment.runlog(&book);
    let m2c = deployment.service("m2c", None);
    let relay = deployment.service("relay", None);
    let mut daq = deployment.daq(|_| {});
    let mut take = |number: u64, crashes: bool| {
        let plan = PlannedRun {
            number,
            kind: RunKind::Standard,
            description: String::new(),
            starts_at: Timestamp::now(),
            duration: Duration::from_millis(10),
            bytes: 1,
            crashes,
        };
        let truth = daq.take_planned(&plan, &mut |_| {}).unwrap();
        assert_eq!(truth.crashed, crashes);
    };
    // From then on m2c knows that the catalogue answers.
    take(10, false);
    deployment.wait_stored(1);
    take(1, false);
    take(3, true);
    deployment.wait_stored(3);
    for (run, state) in [
        ("1", "adopted"),
        ("1.v2", "stored"),
        ("3", "adopted"),
        ("3.v2", "stored"),
    ] {
        let shown = deployment.expect(&["runs", "show", run, "--json"]);
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["run"]["state"], state, "{run}");
    }
    deployment.wait_told();
    let report = deployment.audit(&["--strict"]);
    assert_eq!(
        report["unaccounted"],
        0,
        "{report:#}\n{}",
        deployment.logs()
    );
    assert_eq!(report["tally"]["stored"], 3);
    drop((m2c, relay));
}

#[test]
fn a_book_that_is_a_table_of_a_database_is_only_read() {
    let deployment = Deployment::start();
    deployment.sql(
        "CREATE TABLE Runlog (run_number INT, run_description TEXT, start_time DATETIME, \
         stop_time DATETIME NULL, exposure_sec FLOAT, number_of_events INT NULL, \
         storage_local_status INT, storage_cloud_status INT, storage_tape_status INT, \
         file_size INT); \
         INSERT INTO Runlog VALUES \
         (1,'a, \"b\"','2022-07-01 12:00:00','2022-07-01 12:05:00',0.3,402,0,1,1,1400000000),\
         (2,NULL,'2022-07-01 12:06:00',NULL,0.3,NULL,-1,-1,-1,-1)",
    );
    let db = &deployment.stack.endpoints().mariadb;
    let url = format!(
        "mysql://{}@{}:{}/{}",
        db.user, db.host, db.port, db.database
    );
    let secret = deployment.write_file("secret", &db.password);
    let secret = format!("file:{secret}");
    let source = ["runlog", &url, "--password", &secret];
    let (report, code) = deployment.import(&[&source[..], &ROME].concat());
    assert_eq!(
        (&report["imported"]["added"], code),
        (&2.into(), 0),
        "{report:#}"
    );
    let shown = deployment.expect(&["runs", "show", "1"]);
    assert!(
        shown.contains("2022-07-01 10:00:00") && shown.contains("a, \"b\""),
        "{shown}"
    );
    assert!(shown.contains("0.3") && shown.contains(" s"), "{shown}");
    let shown = deployment.expect(&["runs", "show", "2"]);
    assert!(shown.contains("book.never_ended"), "{shown}");
}
