//! `aquifer midas` on files of our own writer: what people see, and the exit codes.

use std::path::Path;
use std::process::Command;

use aquifer_midas::{BankFormat, BankName, Encoder, Encoding, EventBuilder, Writer};

use crate::command_line::shown;
use crate::deployment::AQUIFER;

const BEGIN: &str = r#"{ "Runinfo" : { "Run number/key" : { "type" : 7 }, "Run number" : 407,
  "Start time binary/key" : { "type" : 6 }, "Start time binary" : "0x6225c855" },
  "HV" : { "Demand/key" : { "type" : 9, "num_values" : 2 }, "Demand" : [ 4.0000000e+02, "NaN" ] } }"#;

/// The same with a decimal comma.
const END: &str = r#"{ "Runinfo" : { "Run number" : 407 }, "Rate" : 2,5000000e+00 }"#;

const START: u32 = 1_646_643_285;

fn run(end: &str) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    writer.begin_of_run(407, START, BEGIN.as_bytes()).unwrap();
    let mut trigger = EventBuilder::new(1, BankFormat::Bank16);
    for serial in 0..3 {
        trigger.begin(serial, START + serial);
        trigger
            .values(BankName(*b"PMT\0"), &vec![7_u16; 10 + serial as usize])
            .unwrap();
        writer.event(&trigger).unwrap();
    }
    let mut slow = EventBuilder::new(2, BankFormat::Bank32);
    slow.begin(39, 5);
    slow.values(BankName(*b"HV00"), &[1.5_f32; 4]).unwrap();
    writer.event(&slow).unwrap();
    writer
        .raw(0x8002, 2, 0, START + 3, b"[Logger] hello\0")
        .unwrap();
    writer.end_of_run(407, START + 9, end.as_bytes()).unwrap();
    writer.into_inner()
}

/// Puts one file of each state into `folder`.
fn put_files(folder: &Path) {
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).unwrap();
    let whole = run(BEGIN);
    put("whole.mid", &whole);
    let mut encoder = Encoder::new(Vec::new(), Encoding::Lz4).unwrap();
    std::io::Write::write_all(&mut encoder, &whole).unwrap();
    let lz4 = encoder.finish().unwrap();
    put("whole.mid.lz4", &lz4);
    put("cut.mid.lz4", &lz4[..lz4.len() - 5]);
    put("cut.mid", &whole[..whole.len() - 40]);
    put("comma.mid", &run(END));
    let third = 16 + BEGIN.len() + 2 * (16 + 8 + 8 + 24);
    let mut garbage = whole.clone();
    garbage.splice(third..third, [0x5a; 100]);
    put("garbage.mid", &garbage);
    put(
        "music.mid",
        b"MThd\0\0\0\x06\0\x01\0\x02\x01\xe0MTrk\0\0\0\x19",
    );
    put("empty.mid", b"");
}

fn answer(args: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    put_files(folder.path());
    let mut command = Command::new(AQUIFER);
    shown(command.arg("midas").args(args).current_dir(folder.path()))
}

#[test]
fn whole_files_are_intact() {
    insta::assert_snapshot!(answer(&["check", "whole.mid", "whole.mid.lz4"]));
}

#[test]
fn every_damage_is_told_with_its_place() {
    insta::assert_snapshot!(answer(&[
        "check",
        "whole.mid",
        "cut.mid",
        "cut.mid.lz4",
        "garbage.mid",
        "comma.mid",
    ]));
}

#[test]
fn what_is_no_run_file_is_unreadable() {
    insta::assert_snapshot!(answer(&[
        "check",
        "whole.mid",
        "none.mid",
        "music.mid",
        "empty.mid"
    ]));
}

#[test]
fn a_file_is_shown() {
    insta::assert_snapshot!(answer(&[
        "show",
        "whole.mid.lz4",
        "--odb",
        "/Runinfo/Run number",
        "--odb",
        "/hv/demand",
        "--odb",
        "/Runinfo",
    ]));
}

#[test]
fn a_file_is_shown_as_json() {
    insta::assert_snapshot!(answer(&[
        "show",
        "cut.mid",
        "--json",
        "--odb",
        "/HV/Demand[1]"
    ]));
}

#[test]
fn help_names_the_exit_codes() {
    insta::assert_snapshot!(answer(&["check", "--help"]));
}
