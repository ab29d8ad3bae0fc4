//! What a DAQ let slip is found, and goes nowhere.

use aquifer_midas::Writer;
use aquifer_profile::Classifier;
use aquifer_schemas::ClosedBy;
use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::journal::{Closure, ExpectedFile, Ledger, Record, SecretSource, StoredFacts};
use crate::manifest::Manifest;
use crate::naming::Naming;
use crate::signals::Signals;
use crate::told::Told;

fn file_with(odb: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run7.mid");
    let mut writer = Writer::new(Vec::new());
    let odb = odb.as_bytes();
    writer.begin_of_run(7, 1_700_000_000, odb).unwrap();
    std::fs::write(&path, writer.into_inner()).unwrap();
    (folder, path)
}

fn found(odb: &str) -> Vec<String> {
    let (_folder, path) = file_with(odb);
    let found = in_file(&path, 7);
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn secrets_are_found_in_every_format_of_the_odb() {
    let json = r#"{ "Logger": { "Runlog": { "SQL": {
        "Password/key": { "type": 12, "item_size": 32, "last_written": 1646643285 },
        "Password": "hunter2", "Port": 3306, "Database": "runs" } } },
        "Expt": { "Token enabled": true, "Pwd/key": { "type": 12 }, "Pwd": "" } }"#;
    assert_eq!(found(json), ["/Logger/Runlog/SQL/Password (named)"]);
    let xml = "<?xml version=\"1.0\"?>\n<odb root=\"/\">\n <dir name=\"Logger\">\n  <dir name=\"SQL\">\n   <key name=\"Password\" type=\"STRING\" size=\"32\">hunter2</key>\n   <key name=\"Pwd\" type=\"STRING\" size=\"32\"></key>\n  </dir>\n  <keyarray name=\"Webhooks\" type=\"STRING\">\n   <value index=\"0\">abc</value>\n  </keyarray>\n  <key name=\"Message\" type=\"STRING\">https://daq:x1@elog/</key>\n </dir>\n</odb>";
    assert_eq!(
        found(xml),
        [
            "/Logger/SQL/Password (named)",
            "/Logger/Webhooks/value (named)",
            "/Logger/Message (url-user)",
        ]
    );
    let text = "[/Logger/SQL]\nPassword = STRING : [32] hunter2\nPwd = STRING : [32] \nPort = INT : 3306\nUse token = BOOL : n\nTokens = STRING[2] :\n[32] abc\n[32] \n\n[/Expt]\nName = STRING : [32] test\n";
    assert_eq!(
        found(text),
        ["/Logger/SQL/Password (named)", "/Logger/SQL/Tokens (named)",]
    );
}

#[test]
fn files_that_say_nothing_hide_nothing() {
    assert_eq!(found("{}"), [""; 0]);
    assert_eq!(found("{ \"broken\": "), [""; 0]);
    let (_folder, path) = file_with("{\"Password\":\"x1\"}");
    assert_eq!(in_file(&path, 8), []);
    std::fs::write(&path, b"no MIDAS").unwrap();
    assert_eq!(in_file(&path, 7), []);
}

#[test]
fn what_is_found_is_bounded() {
    let many: Vec<String> = (0..500)
        .map(|n| format!("\"Password {n}\":\"x{n}y\""))
        .collect();
    let (_folder, path) = file_with(&format!("{{{}}}", many.join(",")));
    let found = in_file(&path, 7);
    assert_eq!(found.len(), MOST_PLACES);
    assert!(places(&found).ends_with("and 80 more"));
}

/// A run with these attributes, whose one file has an ODB with this password.
fn run_with(attributes: BTreeMap<String, String>, odb: &str) -> Ledger {
    let (_folder, path) = file_with(odb);
    let name: aquifer_schemas::FileName = "run7.mid".parse().unwrap();
    let (attributes, announced) = without(attributes);
    let facts = StoredFacts {
        identity: aquifer_digest::FileIdentity::from(&std::fs::metadata(&path).unwrap()),
        disk: None,
        digests: aquifer_digest::Digests::EMPTY,
        encoded: None,
        element: "S3".to_owned(),
        bucket: "b".to_owned(),
        key: "k".to_owned(),
        evidence: aquifer_schemas::EvidenceLevel::E2,
        evidence_method: "put".to_owned(),
        stored_at: Timestamp::UNIX_EPOCH,
    };
    let run = 7;
    let mut ledger = Ledger::default();
    ledger.apply(Record::Closed {
        run,
        version: 1,
        closure: Closure {
            closed_by: ClosedBy::Daq,
            started_at: None,
            ended_at: Timestamp::UNIX_EPOCH,
            run_type: None,
            events: None,
            attributes,
            files: vec![ExpectedFile::named(name.clone())],
            trace: None,
            learnt_at: Timestamp::UNIX_EPOCH,
            instead: None,
        },
    });
    let sources = [
        (SecretSource::Announcement, announced),
        (SecretSource::File(name.clone()), in_file(&path, run)),
    ];
    for (source, found) in sources {
        if !found.is_empty() {
            ledger.apply(Record::Secrets { run, source, found });
        }
    }
    ledger.apply(Record::Stored { run, name, facts });
    ledger
}

#[test]
fn a_run_with_secrets_is_private_and_one_without_is_not() {
    let ledger = run_with(BTreeMap::new(), "{\"SQL\":{\"Password\":\"hunter2\"}}");
    let said = attributes(&BTreeMap::new(), ledger.active(7).unwrap());
    let expected = [
        ("private", "true"),
        ("private.run7.mid", "/SQL/Password (named)"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(said, BTreeMap::from(expected));
    let ledger = run_with(BTreeMap::new(), "{\"SQL\":{\"Port\":3306}}");
    assert!(attributes(&BTreeMap::new(), ledger.active(7).unwrap()).is_empty());
}

proptest! {
    /// Nothing that leaves the ingester, nor its journal, holds a planted secret.
    #[test]
    fn no_planted_secret_leaves(
        secret in "[A-Za-z0-9]{6}[A-Za-z0-9_.-]{4,12}[A-Za-z0-9]{2}",
        name in "[a-z]{0,5}",
        in_name in any::<bool>(),
    ) {
        let attribute = if in_name {
            (format!("{name} password"), secret.clone())
        } else {
            (name.clone(), format!("see https://daq:{secret}@elog/{name}"))
        };
        let announced = BTreeMap::from([attribute]);
        let odb = serde_json::json!({ "Logger": { "SQL": { "Password": secret }, name: 1 } });
        let ledger = run_with(announced, &odb.to_string());
        let active = ledger.active(7).unwrap();
        let run = "LNGS/7".parse().unwrap();
        let signals = Signals { producer: "m2c@test".to_owned() };
        let told: Vec<_> = active
            .secrets
            .iter()
            .map(|(source, found)| signals.secrets(&run, source, found, Timestamp::UNIX_EPOCH))
            .collect();
        prop_assert_eq!(told.len(), 2);
        for signal in &told {
            prop_assert!(!signal.summary.contains("***"), "{}", signal.summary);
        }
        let told = Told::of(&Classifier::default(), &Naming::default(), &run, active);
        let manifest = Manifest::of(&run, active, &told, "BUFFER").unwrap().to_bytes();
        let closure = active.closure.as_ref().unwrap();
        let outputs = [
            String::from_utf8(manifest).unwrap(),
            format!("{:?}", attributes(&closure.attributes, active)),
            format!("{told:?}"),
            format!("{:?}", ledger.compact(None, 10).records),
        ];
        for output in outputs {
            prop_assert!(!output.contains(&secret), "{output}");
        }
    }
}
