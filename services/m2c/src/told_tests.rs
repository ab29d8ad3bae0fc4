//! Who is believed, and what follows from it.

use aquifer_profile::{Experiment, FileTemplate, Files};
use aquifer_schemas::ClosedBy;

use super::*;
use crate::journal::{Closure, ExpectedFile, Ledger, Opening, Record};

const RUN: u64 = 1_305_853_512;

fn classifier(json: &str, files: &[&str]) -> (Classifier, Naming) {
    let experiment: Experiment = serde_json::from_str(json).unwrap();
    let templates: Vec<_> = files
        .iter()
        .map(|text| FileTemplate::parse(text).unwrap())
        .collect();
    let files = Files {
        templates: &templates,
        midas: true,
    };
    let classifier = experiment.check(files).unwrap();
    let naming = Naming {
        templates,
        ..Naming::default()
    };
    (classifier, naming)
}

fn name(text: &str) -> FileName {
    text.parse().unwrap()
}

fn pairs<V>(pairs: impl IntoIterator<Item = (&'static str, V)>) -> BTreeMap<String, V> {
    let owned = pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    owned.collect()
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn opened(attributes: BTreeMap<String, String>) -> Record {
    Record::Opened {
        run: RUN,
        opening: Opening {
            started_at: Timestamp::from_second(5).unwrap(),
            run_type: Some("physics".to_owned()),
            attributes,
            trace: None,
        },
    }
}

fn closed(files: &[&str], attributes: BTreeMap<String, String>) -> Record {
    Record::Closed {
        run: RUN,
        version: 1,
        closure: Closure {
            closed_by: ClosedBy::Logger,
            started_at: None,
            ended_at: Timestamp::from_second(9).unwrap(),
            run_type: None,
            events: None,
            attributes,
            files: files
                .iter()
                .map(|file| ExpectedFile::named(name(file)))
                .collect(),
            trace: None,
            learnt_at: Timestamp::from_second(9).unwrap(),
            instead: None,
        },
    }
}

fn said(file: &str, begin: f64, end: f64) -> Record {
    Record::Said {
        run: RUN,
        name: name(file),
        said: Said {
            begin: pairs([("/x", Value::Number(begin))]),
            end: pairs([("/x", Value::Number(end))]),
            closed: true,
            ..Said::default()
        },
    }
}

fn told(profile: &(Classifier, Naming), records: Vec<Record>) -> Told {
    let mut ledger = Ledger::default();
    for record in records {
        ledger.apply(record);
    }
    let run = RunId::first("ISS".parse().unwrap(), RUN);
    Told::of(&profile.0, &profile.1, &run, ledger.active(RUN).unwrap())
}

#[test]
fn the_begin_is_that_of_the_first_file_and_the_end_that_of_the_last() {
    let profile = classifier(
        r#"{"attributes":[{"name":"a","kind":"number","unit":"V","odb-begin":"/x"},
            {"name":"b","odb-end":"/x"},{"name":"c","odb-end":"/none","odb-begin":"/x"},
            {"name":"files","file-name":"part"}],
            "run-types":[{"name":"late","when":"a > 5"},{"name":"early","when":"a = 2 and b = '10'"}]}"#,
        &["{run}_{subrun}_{part}.mid"],
    );
    let of = |part: &str, n: u64| format!("{RUN}_{n}_{part}.mid");
    // By their numbers: as texts, 10 comes before 2.
    let (two, ten) = (of("b", 2), of("a", 10));
    let records = vec![
        said(&ten, 9.0, 10.0),
        said(&two, 2.0, 3.0),
        closed(&[&ten, &two], BTreeMap::new()),
    ];
    let told = told(&profile, records);
    let expected = pairs([
        ("a", Attribute::number(2.0).with_unit("V")),
        ("b", Attribute::text("10")),
        ("c", Attribute::text("2")),
        ("files", Attribute::text("a,b")),
    ]);
    assert_eq!(told.extracted, expected);
    assert_eq!(told.run_type.as_deref(), Some("early"));
}

#[test]
fn what_was_announced_at_the_end_counts_before_what_was_at_the_begin() {
    let profile = classifier(
        r#"{"attributes":[{"name":"hv","kind":"bool","message":"HV"},
            {"name":"word","message":"run_type"},{"name":"events","kind":"number","message":"n"}],
            "run-types":[{"name":"on","when":"hv and closed_by = logger and site = ISS"}]}"#,
        &["run{run}.mid"],
    );
    let strings = |all: &[(&'static str, &str)]| {
        pairs(all.iter().map(|(name, value)| (*name, (*value).to_owned())))
    };
    let begin = strings(&[("HV", "y"), ("n", "400"), ("other", "1.50")]);
    let opening_only = told(&profile, vec![opened(begin.clone())]);
    assert_eq!(opening_only.run_type.as_deref(), Some("physics"));
    assert_eq!(opening_only.extracted["hv"], Attribute::bool(true));
    assert_eq!(opening_only.events, Some(400));
    assert_eq!(opening_only.started_at, Timestamp::from_second(5).ok());
    let by_logger = closed(&["run1305853512.mid"], BTreeMap::new());
    let both = told(&profile, vec![opened(begin.clone()), by_logger]);
    assert_eq!(both.run_type.as_deref(), Some("on"));
    assert_eq!(both.announced["other"], "1.50", "in the DAQ's own words");
    assert_eq!(both.attributes()["other"], Attribute::number(1.5));
    let end = closed(
        &["run1305853512.mid"],
        strings(&[("HV", "n"), ("n", "many")]),
    );
    let ended = told(&profile, vec![opened(begin), end]);
    assert_eq!(ended.extracted["hv"], Attribute::bool(false));
    assert_eq!(ended.extracted["events"], Attribute::text("many"));
    assert_eq!(
        (ended.run_type.as_deref(), ended.events),
        (Some("physics"), None)
    );
    assert_eq!(ended.extracted["word"], Attribute::text("physics"));
}

/// The catalogue keeps it under the name, and would classify by it later.
#[test]
fn what_is_announced_under_an_attributes_name_makes_the_type_where_no_file_says_more() {
    let profile = classifier(
        r#"{"attributes":[{"name":"x","kind":"number","odb-begin":"/x"}],
            "run-types":[{"name":"high","when":"x > 5"}]}"#,
        &["run{run}.mid"],
    );
    let file = "run1305853512.mid";
    let announced = closed(&[file], pairs([("x", "7".to_owned())]));
    let type_of = |records| told(&profile, records).run_type;
    assert_eq!(type_of(vec![announced.clone()]).as_deref(), Some("high"));
    assert_eq!(type_of(vec![announced, said(file, 2.0, 2.0)]), None);
}

#[test]
fn a_metadata_file_that_cannot_be_read_is_an_attribute() {
    let profile = classifier("{}", &["run{run}.mid"]);
    let torn = Record::Said {
        run: RUN,
        name: name("run.json"),
        said: Said {
            unreadable: Some("not JSON".to_owned()),
            closed: true,
            ..Said::default()
        },
    };
    let told = told(&profile, vec![torn, closed(&["run.json"], BTreeMap::new())]);
    let why = Attribute::text("run.json: not JSON");
    assert_eq!(told.attributes(), pairs([(UNREADABLE, why)]));
}

#[test]
fn a_number_that_is_a_time_says_when_the_run_began() {
    let profile = classifier(r#"{"run-numbers":"start-second"}"#, &["{run}.blk"]);
    let told = told(&profile, vec![closed(&["1305853512.blk"], BTreeMap::new())]);
    assert_eq!(told.started_at, Timestamp::from_second(1_305_853_512).ok());
    assert_eq!(told.run_type, None);
}

#[test]
fn values_that_do_not_fit_are_kept_as_text() {
    let profile = classifier(
        r#"{"attributes":[{"name":"a","kind":"bool","odb-begin":"/x"}],
            "run-types":[{"name":"t","when":"a or not a"}]}"#,
        &["run{run}.mid"],
    );
    let file = "run1305853512.mid";
    let mut record = said(file, 0.0, 0.0);
    if let Record::Said { said, .. } = &mut record {
        said.begin = pairs([("/x", text("perhaps"))]);
    }
    let told = told(&profile, vec![record, closed(&[file], BTreeMap::new())]);
    assert_eq!(told.extracted["a"], Attribute::text("perhaps"));
    assert_eq!(told.run_type.as_deref(), Some("t"));
}
