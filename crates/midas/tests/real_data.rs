//! Files of real DAQs and hand-made edge cases, where the data folder is there.
//!
//! The folder is `AQUIFER_REAL_DATA`, or `shared/data` beside the repository. The
//! expected numbers were counted by a reader that shares nothing with this one.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests stop at once and say what is skipped"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aquifer_midas::{DamageKind, EventKind, Reader, open};

fn data_folder() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("AQUIFER_REAL_DATA").map_or_else(beside, PathBuf::from);
    let there = folder.join("midas").is_dir();
    if !there {
        println!("skipped: no real data in {}", folder.display());
    }
    there.then(|| folder.join("midas"))
}

#[derive(Debug, Default, PartialEq)]
struct Summary {
    kinds: BTreeMap<String, u32>,
    banks: BTreeMap<String, u32>,
    runs: Vec<u32>,
    bank_errors: u32,
    truncated: Option<(u64, u64)>,
}

fn summary(path: &Path) -> Summary {
    let mut all = Summary::default();
    let mut reader = Reader::new(open(path).unwrap());
    loop {
        let event = match reader.read_event() {
            Ok(Some(event)) => event,
            Ok(None) => return all,
            Err(error) => {
                let damage = error.damage().unwrap();
                assert!(
                    matches!(damage.kind, DamageKind::Truncated { .. }),
                    "{}: {damage}",
                    path.display()
                );
                all.truncated = Some((damage.offset, damage.length));
                continue;
            }
        };
        let kind = match event.kind() {
            EventKind::Data => format!("{}", event.header.id),
            kind => format!("{kind:?}"),
        };
        *all.kinds.entry(kind).or_default() += 1;
        all.runs.extend(event.run_number());
        let Ok(banks) = event.banks() else { continue };
        for bank in banks {
            match bank {
                Ok(bank) => {
                    let name = format!("{}:{}", bank.name, bank.tid);
                    *all.banks.entry(name).or_default() += 1;
                }
                Err(_) => all.bank_errors += 1,
            }
        }
    }
}

fn counts(pairs: &[(&str, u32)]) -> BTreeMap<String, u32> {
    pairs
        .iter()
        .map(|(name, count)| ((*name).to_owned(), *count))
        .collect()
}

#[test]
fn run_407_is_counted_as_by_others() {
    let Some(folder) = data_folder() else { return };
    for extension in ["", ".gz", ".lz4", ".bz2"] {
        let all = summary(&folder.join(format!("run00407sub0000.mid{extension}")));
        assert_eq!(
            all.kinds,
            counts(&[
                ("1", 8192),
                ("2", 13),
                ("3", 13),
                ("4", 7),
                ("BeginOfRun", 1),
                ("EndOfRun", 1)
            ])
        );
        assert_eq!(all.runs, [407, 407]);
        assert_eq!(all.banks["PMT:UINT16"], 8172);
        assert_eq!(all.banks["PPS:UINT16"], 20);
        assert_eq!(all.banks["HV00:FLOAT"], 13);
        assert_eq!(all.banks["RCGL:INT32"], 13);
        assert_eq!(all.banks["SENS:FLOAT"], 7);
        assert_eq!((all.bank_errors, all.truncated), (0, None));
    }
}

#[test]
fn the_dumps_of_run_407_are_read() {
    let Some(folder) = data_folder() else { return };
    let mut reader = Reader::new(open(&folder.join("run00407sub0000.mid")).unwrap());
    let begin = reader.read_event().unwrap().unwrap();
    let dump = begin.odb().unwrap();
    assert_eq!(dump.bytes.len(), 194_105);
    let odb = dump.parse().unwrap();
    let number = |path| odb.get(path).unwrap().as_u64().unwrap();
    assert_eq!(number("/Runinfo/Run number"), 407);
    assert_eq!(number("/Runinfo/Start time binary"), 0x6225_c855);
    assert_eq!(number("/Runinfo/Stop time binary"), 0);
    assert_eq!(number("/Runinfo/State"), 1);
    let template = odb.get("/Logger/Channels/0/Settings/Filename").unwrap();
    assert_eq!(template.as_str(), Some("run%05dsub%04d.mid"));
}

#[test]
fn the_odb_of_a_camera_experiment_is_read() {
    let Some(folder) = data_folder() else { return };
    let json = std::fs::read(folder.join("../cygno/LNGS_odb.json")).unwrap();
    let odb = aquifer_midas::Odb::from_json(&json).unwrap();
    let number = |path| odb.get(path).unwrap().as_f64().unwrap();
    assert!((number("/Runinfo/Run number") - 42901.0).abs() < f64::EPSILON);
    assert!((number("/Configurations/Exposure") - 0.3).abs() < f64::EPSILON);
    assert!((number("/Equipment/HV/Variables/Demand[1]") - 400.0).abs() < f64::EPSILON);
    let pedestal = odb.get("/Configurations/Pedestal").unwrap();
    assert_eq!(pedestal.as_bool(), Some(false));
}

/// File, events by kind, banks, and where the file is cut with the bytes after that.
type Case = (
    &'static str,
    &'static [(&'static str, u32)],
    &'static [(&'static str, u32)],
    Option<(u64, u64)>,
);

#[test]
fn each_edge_file_gives_all_that_is_in_it() {
    let Some(folder) = data_folder() else { return };
    let one: &'static [(&str, u32)] = &[("1", 1), ("BeginOfRun", 1), ("EndOfRun", 1)];
    let adc: &'static [(&str, u32)] = &[("ADC0:UINT16", 2)];
    let cases: &[Case] = &[
        ("empty_event", one, &[], None),
        (
            "frag",
            &[("BeginOfRun", 1), ("EndOfRun", 1), ("Fragment", 1)],
            &[],
            None,
        ),
        (
            "msg",
            &[("1", 2), ("BeginOfRun", 1), ("EndOfRun", 1), ("Message", 1)],
            adc,
            None,
        ),
        ("no_bor", &[("1", 2), ("EndOfRun", 1)], adc, None),
        ("no_eor", &[("1", 2), ("BeginOfRun", 1)], adc, None),
        ("no_odb", &[("1", 2)], adc, None),
        ("odd_size", one, &[("YYYY:UINT16", 1)], None),
        (
            "ok",
            &[("1", 3), ("BeginOfRun", 1), ("EndOfRun", 1)],
            &[("ADC0:UINT16", 3)],
            None,
        ),
        ("subrun2", one, &[("ADC0:UINT16", 1)], None),
        (
            "trunc",
            &[("1", 2), ("BeginOfRun", 1)],
            adc,
            Some((145, 35)),
        ),
        (
            "trunc_mid",
            &[("1", 1), ("BeginOfRun", 1)],
            &[("ADC0:UINT16", 1)],
            Some((97, 41)),
        ),
        (
            "two_runs",
            &[("1", 2), ("BeginOfRun", 2), ("EndOfRun", 2)],
            adc,
            None,
        ),
        ("unknown_tid", one, &[("XXXX:TID 99", 1)], None),
    ];
    for (name, kinds, banks, truncated) in cases {
        let all = summary(&folder.join(format!("edge/edge_{name}.mid")));
        assert_eq!(all.kinds, counts(kinds), "{name}");
        assert_eq!(all.banks, counts(banks), "{name}");
        assert_eq!(all.truncated, *truncated, "{name}");
        assert_eq!(all.bank_errors, 0, "{name}");
    }
}
