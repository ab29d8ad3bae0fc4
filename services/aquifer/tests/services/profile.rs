//! One profile per experiment: three that come with the program from the buffer to the
//! announcement, and what people do with types and periods afterwards.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use aquifer_bus::Producer;
use aquifer_profile::{FileTemplate, RunNumbers};
use aquifer_schemas::RunStored;
use aquifer_sim::{Content, OpaqueConfig, OpaqueDaq, OpaqueRun};
use jiff::Timestamp;
use serde_json::Value;

use crate::command_line::shown;
use crate::deployment::{AQUIFER, Deployment, take};

impl Deployment {
    /// Chooses a profile, by name or folder.
    fn choose(&self, profile: &str) {
        let path = self.folder.path().join("aquifer.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let rest = text
            .split_once("\n\n")
            .map_or(text.as_str(), |(first, rest)| {
                if first.starts_with("profile") {
                    rest
                } else {
                    &text
                }
            });
        std::fs::write(&path, format!("profile = \"{profile}\"\n\n{rest}")).unwrap();
    }

    fn opaque_daq(&self, config: OpaqueConfig) -> OpaqueDaq {
        let list = self.folder.path().join("daq-runs.jsonl");
        OpaqueDaq::new(config, &self.buffer(), &list).unwrap()
    }

    fn shown(&self, run: &str) -> Value {
        let shown = self.expect(&["runs", "show", run, "--json"]);
        serde_json::from_str(&shown).unwrap()
    }

    /// What was announced last of a run as stored.
    fn last_announced(&self, run: u64) -> RunStored {
        let announced = self.announced().remove(&run).unwrap();
        announced
            .into_iter()
            .max_by_key(|told| told.revision)
            .unwrap()
    }

    /// Nothing is missing, and every byte reads back.
    fn check_all_read_back(&self, files: usize) {
        self.wait_told();
        let report = self.audit(&["--read-back", "--strict"]);
        assert_eq!(report["unaccounted"], 0, "{report:#}\n{}", self.logs());
        assert_eq!(report["tally"]["stored"], files, "{report:#}");
    }
}

fn opaque(content: Content, files: &str) -> OpaqueConfig {
    let template = |text: &str| FileTemplate::parse(text).unwrap();
    OpaqueConfig {
        site: "LAB".parse().unwrap(),
        content,
        files: template(files),
        metadata: None,
        marker: None,
        temporary: ".tmp".to_owned(),
        numbers: RunNumbers::Counter,
        first_run: 26_762,
        seed: 3,
        first_start: Timestamp::now(),
        run_duration: Duration::ZERO,
        pause: Duration::ZERO,
        events_per_run: 250,
        events_per_file: 100,
        fsync: false,
    }
}

fn take_opaque(daq: &mut OpaqueDaq) -> OpaqueRun {
    daq.take_run(&mut |_| {}).unwrap()
}

fn attribute<'a>(run: &'a Value, name: &str) -> (&'a Value, Option<&'a str>) {
    let attribute = &run["attributes"][name];
    (&attribute["value"], attribute["unit"].as_str())
}

#[test]
fn a_folder_per_run_is_stored_with_its_attributes_and_its_type() {
    let deployment = Deployment::start();
    deployment.choose("xenon-like");
    let m2c = deployment.service("m2c", None);
    let relay = deployment.service("relay", None);
    let mut daq = deployment.opaque_daq(OpaqueConfig {
        metadata: Some(FileTemplate::parse("{run:06}/run.json").unwrap()),
        marker: Some(FileTemplate::parse("{run:06}/finished").unwrap()),
        ..opaque(Content::Pulses, "{run:06}/events-{run:06}-{subrun:06}.bin")
    });
    // Nobody announces it: the marker ends it.
    let run = take_opaque(&mut daq);
    deployment.wait_stored(1);
    let told = deployment.last_announced(26_762);
    let expected = match run.attributes["mode"].as_str() {
        "LED" => "led",
        "calibration" => "calibration",
        _ => "dark_matter",
    };
    assert_eq!(told.run_type.as_deref(), Some(expected));
    let names: Vec<_> = told
        .files
        .iter()
        .map(|file| file.name.to_string())
        .collect();
    let events = |place: u32| format!("026762/events-026762-{place:06}.bin");
    assert_eq!(names.len(), 4, "{names:?}");
    for name in [
        events(0),
        events(1),
        events(2),
        "026762/run.json".to_owned(),
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
    let shown = deployment.shown("LAB/26762");
    assert_eq!(shown["run"]["run_type"], expected);
    assert_eq!(shown["run"]["events"], 250, "{shown:#}");
    assert_eq!(shown["run"]["closed_by"], "logger");
    let cathode = attribute(&shown, "cathode_kV");
    assert_eq!(cathode, (&Value::from(-12.0), Some("kV")));
    assert_eq!(attribute(&shown, "muon_veto").0, &Value::from(true));
    let closed = &deployment.closed_on_bus()[0];
    assert_eq!(closed.attributes["cathode_kV"], "-12 kV");
    assert_eq!(closed.run_type.as_deref(), Some(expected));
    deployment.check_all_read_back(4);
    drop((m2c, relay));
}

#[test]
fn a_telemetry_run_is_known_by_the_second_at_which_it_began() {
    let deployment = Deployment::start();
    deployment.choose("ams-like");
    let producer = Producer::connect(&deployment.kafka()).unwrap();
    let m2c = deployment.service("m2c", None);
    let relay = deployment.service("relay", None);
    let started_at = Timestamp::from_second(1_305_853_512).unwrap();
    let mut daq = deployment.opaque_daq(OpaqueConfig {
        marker: Some(FileTemplate::parse("{run:010}.done").unwrap()),
        numbers: RunNumbers::StartSecond,
        first_run: 0,
        first_start: started_at,
        ..opaque(Content::Blocks, "HRDL{stream}/{run:010}-{subrun:03}.blk")
    });
    let found = take_opaque(&mut daq);
    assert_eq!(found.number, 1_305_853_512);
    // The second one has said what it is before it is found.
    let mut announced = take_opaque(&mut daq);
    announced
        .attributes
        .insert("trigger".to_owned(), "calibration".to_owned());
    let message = announced.closed("deframer@test", None);
    let published = producer.publish(&message, None);
    deployment.runtime.block_on(published).unwrap();
    deployment.wait_stored(2);
    let first = deployment.shown("LAB/1305853512");
    assert_eq!(first["run"]["run_type"], "science");
    assert_eq!(first["run"]["started_at"], "2011-05-20T01:05:12Z");
    assert_eq!(attribute(&first, "streams").0, "A,B");
    let second = format!("LAB/{}", announced.number);
    deployment.wait_until("the announcement is heard", || {
        deployment.shown(&second)["run"]["run_type"] == "calibration"
    });
    let shown = deployment.shown(&second);
    assert_eq!(shown["run"]["closed_by"], "daq");
    assert_eq!(attribute(&shown, "events").0, &Value::from(500.0));
    deployment.check_all_read_back(12);
    drop((m2c, relay));
}

#[test]
fn what_the_odb_says_of_a_run_is_kept_and_tells_its_type() {
    let deployment = Deployment::start();
    deployment.choose("cygno-like");
    let m2c = deployment.service("m2c", None);
    let relay = deployment.service("relay", None);
    // Each second run is a pedestal: run 2 is the first.
    let mut daq = deployment.daq(|config| {
        config.pedestal_every = 2;
        config.cameras = 6;
    });
    let first = take(&mut daq);
    take(&mut daq);
    deployment.wait_stored(2);
    let shown = deployment.shown("1");
    assert_eq!(shown["run"]["run_type"], first.start.kind.as_str());
    assert_eq!(
        attribute(&shown, "GEM3_V"),
        (&Value::from(440.0), Some("V"))
    );
    assert_eq!(
        attribute(&shown, "exposure_sec"),
        (&Value::from(0.3), Some("s"))
    );
    assert_eq!(attribute(&shown, "pedestal_run").0, &Value::from(false));
    // From the end of the file.
    assert_eq!(shown["run"]["events"], first.frames.len());
    let pedestal = deployment.shown("2");
    assert_eq!(pedestal["run"]["run_type"], "pedestal");
    assert_eq!(attribute(&pedestal, "GEM3_V").0, &Value::from(0.0));
    assert_eq!(
        deployment.last_announced(2).run_type.as_deref(),
        Some("pedestal")
    );
    let manifest = pedestal["run"]["manifest_key"].as_str().unwrap();
    let manifest = deployment.json_object(manifest);
    let said = &manifest["attributes"];
    assert_eq!(said["pedestal_run"]["value"], true);
    assert_eq!(said["exposure_sec"]["unit"], "s");
    assert_eq!(manifest["run_type"], "pedestal");
    deployment.check_conserved(2);
    drop((m2c, relay));
}

impl Deployment {
    fn json_object(&self, key: &str) -> Value {
        use aquifer_storage::StorageElement as _;
        let storage = self.storage();
        let key = key.parse().unwrap();
        let bytes = self.runtime.block_on(storage.read_all(&key, 1 << 20));
        serde_json::from_slice(&bytes.unwrap()).unwrap()
    }

    /// What a command says, without what differs from test to test.
    fn says(&self, args: &[&str]) -> String {
        let folder = self.folder.path().display().to_string();
        let said = shown(self.command(args).env("USER", "ada"));
        said.replace(&folder, "FOLDER")
    }
}

#[test]
fn runs_are_reclassified_and_nothing_of_it_is_forgotten() {
    let deployment = Deployment::start();
    deployment.choose("cygno-like");
    let relay = deployment.service("relay", None);
    let m2c = deployment.service("m2c", None);
    let mut daq = deployment.daq(|config| config.pedestal_every = 1);
    // One after the other: runs that began in the same second are listed as recorded.
    for run in 1..=3 {
        take(&mut daq);
        deployment.wait_stored(run);
    }
    let before = deployment.last_announced(1);
    assert_eq!(before.run_type.as_deref(), Some("pedestal"));
    let by_hand = [
        "runs",
        "reclassify",
        "1",
        "--type",
        "flush",
        "--why",
        "gas was changed",
    ];
    let mut told = vec![deployment.says(&[&by_hand[..], &["--dry-run"]].concat())];
    assert_eq!(
        deployment.shown("1")["run"]["run_type"],
        "pedestal",
        "a dry run"
    );
    told.push(deployment.says(&by_hand));
    told.push(deployment.says(&by_hand));
    let shown = deployment.shown("1");
    assert_eq!(shown["run"]["run_type"], "flush");
    assert_eq!(shown["run"]["type_by"], "ada@aquifer");
    let steps = shown["transitions"].as_array().unwrap().iter();
    let steps: Vec<_> = steps.filter(|step| step["entity"] == "type").collect();
    assert_eq!(steps.len(), 1, "said again changes nothing: {steps:?}");
    assert_eq!(
        (&steps[0]["from"], &steps[0]["to"]),
        (&"pedestal".into(), &"flush".into())
    );
    assert_eq!(steps[0]["why"], "gas was changed");
    deployment.wait_until("announced anew", || {
        deployment.last_announced(1).revision > before.revision
    });
    let after = deployment.last_announced(1);
    assert_eq!(after.run_type.as_deref(), Some("flush"));
    assert_eq!(after.files, before.files);
    assert!(
        deployment
            .expect(&["explain", "1"])
            .contains("pedestal → flush: gas was changed")
    );

    // The profile's rules change: by hand stays by hand.
    let folder = deployment.folder.path().join("profile");
    let init = ["profile", "init", folder.to_str().unwrap()];
    deployment.expect(&init);
    let rules = folder.join("run-types.toml");
    let text = std::fs::read_to_string(&rules).unwrap();
    let changed = text.replace("name = \"pedestal\"", "name = \"noise\"");
    std::fs::write(&rules, changed).unwrap();
    deployment.choose(&format!("{}/", folder.display()));
    let by_profile = ["runs", "reclassify", "--by-profile"];
    told.push(deployment.says(&[&by_profile[..], &["--dry-run"]].concat()));
    assert_eq!(
        deployment.shown("2")["run"]["run_type"],
        "pedestal",
        "a dry run"
    );
    told.push(deployment.says(&[&by_profile[..], &["LAB/2", "--why", "new words"]].concat()));
    told.push(deployment.says(&by_profile));
    told.push(deployment.says(&by_profile));
    assert_eq!(deployment.shown("3")["run"]["run_type"], "noise");
    assert_eq!(deployment.shown("1")["run"]["run_type"], "flush");
    told.push(deployment.says(&["runs", "reclassify", "LAB/9", "--type", "x", "--why", "y"]));
    told.push(deployment.says(&["runs", "reclassify", "1"]));
    insta::assert_snapshot!(told.join("\n"));
    drop((m2c, relay));
}

#[test]
fn periods_are_rows_and_a_profile_brings_its_own() {
    let deployment = Deployment::start();
    deployment.choose("xenon-like");
    let relay = deployment.service("relay", None);
    let m2c = deployment.service_set("m2c", &["profile=cygno-like"], None);
    take(&mut deployment.daq(|config| config.first_run = 7));
    deployment.wait_stored(1);
    let period = |args: &[&str]| deployment.says(&[&["runs", "period"], args].concat());
    let told = [
        deployment.says(&["profile", "apply"]),
        deployment.says(&["profile", "apply"]),
        period(&["set", "SR1", "--from", "100", "--site", "LNGS"]),
        deployment.says(&["profile", "apply"]),
        deployment.says(&["profile", "apply", "--update"]),
        period(&["set", "now", "--from", "7", "--to", "7", "--site", "LAB"]),
        period(&["set", "now", "--from", "7", "--to", "7", "--site", "LAB"]),
        period(&[
            "set",
            "then",
            "--to",
            "2020-01-01",
            "--description",
            "long ago",
        ]),
        period(&["set", "back", "--from", "9", "--to", "8"]),
        period(&["set", "there", "--site", "MARS"]),
        period(&["set", "soon", "--from", "soon"]),
        period(&["list"]),
        period(&["remove", "then"]),
        period(&["remove", "then"]),
    ];
    insta::assert_snapshot!(told.join("\n"));
    assert_eq!(
        deployment.shown("LAB/7")["periods"],
        serde_json::json!(["now"])
    );
    let shown = deployment.expect(&["runs", "show", "LAB/7"]);
    assert!(shown.contains("periods    now\n"), "{shown}");
    drop((m2c, relay));
}

fn profile(args: &[&str], folder: &Path) -> String {
    let mut command = Command::new(AQUIFER);
    command.arg("profile").args(args).current_dir(folder);
    shown(&mut command)
}

#[test]
fn every_profile_that_comes_with_the_program_is_written_checked_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let mut told = vec![profile(&["show", "--json"], folder.path())];
    for name in ["cygno-like", "xenon-like", "ams-like"] {
        told.push(profile(&["init", name, "--from", name], folder.path()));
        told.push(profile(&["check", name], folder.path()));
        told.push(profile(&["show", name], folder.path()));
    }
    told.push(profile(&["init", "ams-like"], folder.path()));
    told.push(profile(&["init", "x", "--from", "y"], folder.path()));
    told.push(profile(&["check", "y"], folder.path()));
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_check_says_what_a_profile_makes_of_files() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let buffer = here.join("data");
    let site = "LAB".parse().unwrap();
    let mut midas = aquifer_sim::Daq::new(
        aquifer_sim::DetectorConfig {
            pedestal_every: 1,
            first_run: 42,
            ..aquifer_sim::DetectorConfig::small(site)
        },
        &buffer,
        &here.join("list"),
    )
    .unwrap();
    take(&mut midas);
    std::fs::write(buffer.join("notes.txt"), "no run").unwrap();
    let mut xenon = OpaqueDaq::new(
        OpaqueConfig {
            metadata: Some(FileTemplate::parse("{run:06}/run.json").unwrap()),
            ..opaque(Content::Pulses, "{run:06}/events-{run:06}-{subrun:06}.bin")
        },
        &buffer,
        &here.join("list2"),
    )
    .unwrap();
    take_opaque(&mut xenon);
    let told = [
        profile(
            &["check", "cygno-like", "data/run00042.mid", "data/notes.txt"],
            here,
        ),
        profile(
            &[
                "check",
                "xenon-like",
                "data/026762/events-026762-000001.bin",
                "data/026762/run.json",
            ],
            here,
        ),
        profile(
            &[
                "check",
                "ams-like",
                "data/nothing.blk",
                "HRDLB/1305853512-001.blk",
            ],
            here,
        ),
    ];
    insta::assert_snapshot!(told.join("\n"));
    std::fs::write(buffer.join("026762/run.json"), "{\"mode\": ").unwrap();
    let torn = profile(&["check", "xenon-like", "data/026762/run.json"], here);
    insta::assert_snapshot!("check_of_torn_metadata", torn);
}

#[test]
fn mistakes_in_a_profile_are_told_with_file_line_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let lab = here.join("lab");
    std::fs::create_dir(&lab).unwrap();
    let good = "[experiment]\nname = \"lab\"\n";
    let attributes =
        "[[experiment.attributes]]\nname = \"hv\"\nkind = \"number\"\nmessage = \"hv\"\n";
    let told = |files: BTreeMap<&str, &str>| {
        for old in std::fs::read_dir(&lab).unwrap() {
            std::fs::remove_file(old.unwrap().path()).unwrap();
        }
        for (name, text) in files {
            std::fs::write(lab.join(name), text).unwrap();
        }
        profile(&["check", "lab"], here)
    };
    let when = |when: &str| {
        format!("{attributes}\n[[experiment.run-types]]\nname = \"on\"\nwhen = \"{when}\"\n")
    };
    let told = [
        told(BTreeMap::from([("a.toml", good)])),
        told(BTreeMap::from([
            ("a.toml", good),
            ("b.toml", "\n[experiment]\nname = \"b\"\n"),
        ])),
        told(BTreeMap::from([(
            "a.toml",
            "[experiment]\nnam = \"lab\"\n",
        )])),
        told(BTreeMap::from([("a.toml", "[experiment\n")])),
        told(BTreeMap::from([("a.toml", when("hv > 3 and").as_str())])),
        told(BTreeMap::from([(
            "a.toml",
            when("hv > 3 or hw = 1").as_str(),
        )])),
        told(BTreeMap::from([("a.toml", when("hv ~ '3*'").as_str())])),
        told(BTreeMap::from([(
            "f.toml",
            "[m2c]\nfiles = [\n  \"run{run}.mid\",\n  \"run{rum}.bin\",\n]\n",
        )])),
        told(BTreeMap::from([(
            "f.toml",
            "[m2c]\nfiles = [\n  \"{run}_{subrn}.bin\",\n]\n",
        )])),
        told(BTreeMap::from([(
            "p.toml",
            "[[experiment.periods]]\nname = \"P\"\nfrom = \"soon\"\n",
        )])),
        told(BTreeMap::from([(
            "p.toml",
            "[[experiment.periods]]\nname = \"P\"\nfrom = 3\nto = 2\n",
        )])),
        told(BTreeMap::from([(
            "s.toml",
            "[[experiment.sites]]\nname = \"A\"\ntime-zone = \"CET/CEST\"\n",
        )])),
        told(BTreeMap::new()),
    ];
    insta::assert_snapshot!(told.join("\n"));
}
