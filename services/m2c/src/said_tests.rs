//! What files say is found in every form of them, and what they should not say is not.

use aquifer_midas::{Encoding, Writer};

use super::*;

const BEGIN: &str = r#"{ "Configurations" : { "Pedestal/key" : { "type" : 8 }, "Pedestal" : true },
    "HV" : { "Demand/key" : { "type" : 9, "num_values" : 2 }, "Demand" : [ 440.5, "NaN" ],
             "Password/key" : { "type" : 12 }, "Password" : "hunter2" },
    "Expt" : { "Name/key" : { "type" : 12 }, "Name" : "first light" } }"#;
const END: &str = r#"{ "Trigger" : { "Events sent/key" : { "type" : 10 }, "Events sent" : 402 } }"#;

fn questions() -> Questions {
    let owned = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
    Questions {
        odb_begin: owned(&[
            "/Configurations/Pedestal",
            "/HV/Demand[0]",
            "/HV/Demand[1]",
            "/HV/Demand",
            "/HV/Password",
            "/Expt/Name",
            "/nothing",
        ]),
        odb_end: owned(&["/Trigger/Events sent"]),
        metadata: None,
    }
}

fn midas_file() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    writer
        .begin_of_run(7, 1_700_000_000, BEGIN.as_bytes())
        .unwrap();
    writer.raw(1, 0, 0, 1, &[0; 5000]).unwrap();
    writer.end_of_run(7, 1_700_000_100, END.as_bytes()).unwrap();
    writer.into_inner()
}

fn said_of(bytes: &[u8], run: RunNumber) -> Said {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run7.mid");
    std::fs::write(&path, bytes).unwrap();
    Said::of_closed(&questions(), run, &"run7.mid".parse().unwrap(), &path).unwrap()
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

#[test]
fn begin_and_end_of_a_file_are_heard_in_any_encoding() {
    let plain = midas_file();
    let said = said_of(&plain, 7);
    let begin = [
        ("/Configurations/Pedestal", Value::Bool(true)),
        ("/Expt/Name", text("first light")),
        ("/HV/Demand[0]", Value::Number(440.5)),
        ("/HV/Demand[1]", text("NaN")),
        ("/HV/Password", text("***")),
    ];
    let begin = begin.map(|(path, value)| (path.to_owned(), value));
    assert_eq!(said.begin, BTreeMap::from(begin));
    let events = ("/Trigger/Events sent".to_owned(), Value::Number(402.0));
    assert_eq!(said.end, BTreeMap::from([events]));
    for encoding in [Encoding::Gzip, Encoding::Zstd] {
        let mut packed = aquifer_midas::Encoder::new(Vec::new(), encoding).unwrap();
        io::Write::write_all(&mut packed, &plain).unwrap();
        assert_eq!(said_of(&packed.finish().unwrap(), 7), said, "{encoding}");
    }
}

#[test]
fn a_file_of_another_run_or_of_none_says_nothing() {
    let nothing = Said {
        closed: true,
        ..Said::default()
    };
    let whole = midas_file();
    assert_eq!(said_of(&whole, 8), nothing);
    assert_eq!(said_of(b"no MIDAS", 7), nothing);
    assert_eq!(said_of(b"", 7), nothing);
    let cut = said_of(&whole[..whole.len() - 1], 7);
    assert!(cut.end.is_empty() && !cut.begin.is_empty());
}

#[test]
fn a_file_that_is_still_written_tells_its_begin() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run7.mid");
    let whole = midas_file();
    std::fs::write(&path, &whole[..whole.len() - 5000]).unwrap();
    let said = Said::of_open(&questions(), 7, &path);
    assert!(!said.closed && said.end.is_empty());
    assert_eq!(said.begin.len(), 5);
    std::fs::write(&path, &whole[..100]).unwrap();
    assert_eq!(Said::of_open(&questions(), 7, &path), Said::default());
}

#[test]
fn the_metadata_file_tells_what_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    let name: FileName = "000007/run.json".parse().unwrap();
    let pointers = [
        "/mode",
        "/hv/cathode",
        "/on",
        "/tags",
        "/token",
        "/none",
        "/nothing",
    ];
    let template = aquifer_profile::FileTemplate::parse("{run:06}/run.json").unwrap();
    let questions = Questions {
        metadata: Some((template, pointers.map(str::to_owned).to_vec())),
        ..Questions::default()
    };
    let said = |text: &str| {
        std::fs::write(&path, text).unwrap();
        Said::of_closed(&questions, 7, &name, &path).unwrap()
    };
    let found = said(
        r#"{"mode":"LED","hv":{"cathode":-12.5},"on":true,"tags":["a",1],"token":"abc","nothing":null}"#,
    );
    let expected = [
        ("/hv/cathode", Value::Number(-12.5)),
        ("/mode", text("LED")),
        ("/on", Value::Bool(true)),
        ("/tags", text(r#"["a",1]"#)),
        ("/token", text("***")),
    ];
    let expected = expected.map(|(pointer, value)| (pointer.to_owned(), value));
    assert_eq!(found.metadata, BTreeMap::from(expected));
    assert_eq!(found.unreadable, None);
    let torn = said("{ \"mode\": ");
    assert!(torn.metadata.is_empty());
    assert!(torn.unreadable.unwrap().contains("not JSON"));
    let empty = said("[]");
    assert!(empty.metadata.is_empty() && empty.unreadable.is_none());
    assert!(Said::of_closed(&questions, 7, &name, &folder.path().join("x")).is_err());
}
