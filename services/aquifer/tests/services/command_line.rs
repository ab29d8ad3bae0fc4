//! What the command line says to people.

use std::process::{Command, Stdio};

use aquifer_audit::FindingKind;

use crate::deployment::{AQUIFER, Deployment};

fn answer(args: &[&str]) -> String {
    answer_with(&[&["--config", "/dev/null"], args].concat())
}

fn answer_with(args: &[&str]) -> String {
    shown(Command::new(AQUIFER).args(args))
}

/// What a command prints and how it ends, on a terminal of 100 columns and without a
/// configuration.
pub(crate) fn shown(command: &mut Command) -> String {
    let output = command
        .env("COLUMNS", "100")
        .env_remove("AQUIFER_CONFIG")
        .output()
        .unwrap();
    format!(
        "exit code {}\n--- standard output\n{}--- standard error\n{}",
        output.status.code().unwrap(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn help_is_readable() {
    insta::assert_snapshot!(answer(&["--help"]));
}

#[test]
fn a_run_book_is_read_and_its_losses_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book.csv");
    let book = "run_number,run_description,start_time,stop_time,number_of_events,storage_local_status,storage_cloud_status,storage_tape_status,file_size\n\
        1,first light,2022-10-30 01:10:00,2022-10-30 01:20:00,400,0,1,1,1400000000\n\
        2,source in, out,2022-10-30 02:10:00,2022-10-30 02:40:00,400,0,1,1,-1\n\
        3,crashed,2022-10-30 02:20:00,,,-1,-1,-1,-1\n\
        4,long one,2022-10-30 12:00:00,2022-10-30 11:58:00,9000,-1,-1,-1,-1\n\
        five,what,,,,,,,\n";
    std::fs::write(&path, book).unwrap();
    let path = path.to_str().unwrap();
    let options = ["--site", "LAB", "--time-zone", "Europe/Rome", "--dry-run"];
    insta::assert_snapshot!(answer(
        &[&["import", "runlog", path][..], &options].concat()
    ));
}

#[test]
fn a_bare_number_needs_a_default_site() {
    insta::assert_snapshot!(answer(&["runs", "show", "7"]));
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    insta::assert_snapshot!(answer(&["--set", "m2c.sit=LNGS", "config", "check"]));
}

#[test]
fn an_unreachable_catalogue_says_what_to_do() {
    let args = [
        "--set",
        "catalogue.port=1",
        "--set",
        "catalogue.timeout-secs=1",
        "runs",
        "list",
    ];
    insta::assert_snapshot!(answer(&args));
}

#[test]
fn secrets_are_never_printed() {
    let shown = answer(&[
        "--set",
        "catalogue.password=verysecret",
        "--set",
        "storage.secret-key=verysecret",
        "config",
        "dump",
    ]);
    assert!(
        shown.contains("***") && !shown.contains("verysecret"),
        "{shown}"
    );
}

#[test]
fn the_reference_pages_are_what_the_program_knows() {
    for (page, command) in [
        ("configuration.md", &["config", "reference"][..]),
        ("words.md", &["words"]),
        ("commands.md", &["commands"]),
    ] {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference");
        let output = Command::new(AQUIFER).args(command).output().unwrap();
        let known = String::from_utf8(output.stdout).unwrap();
        let written = std::fs::read_to_string(format!("{folder}/{page}"));
        assert!(
            written.unwrap_or_default() == known,
            "docs/reference/{page} is not of this version; hint: `make reference`"
        );
    }
}

#[test]
fn what_cannot_run_is_not_said_to_be_usable() {
    insta::assert_snapshot!("check_of_nothing", answer(&["config", "check"]));
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let here = folder.path().display().to_string();
    let good = [
        "m2c.site=LAB".to_owned(),
        format!("m2c.buffer={here}"),
        "m2c.journal=/var/lib/aquifer".to_owned(),
        "storage.endpoint=http://127.0.0.1:1".to_owned(),
        "storage.bucket=raw".to_owned(),
    ];
    let check = |bad: Option<&str>| {
        let settings = good.iter().map(String::as_str).chain(bad);
        let args: Vec<&str> = settings.flat_map(|setting| ["--set", setting]).collect();
        answer(&[args.as_slice(), &["config", "check"]].concat()).replace(&here, "BUFFER")
    };
    insta::assert_snapshot!("check_of_what_can_run", check(None));
    let journal = format!("m2c.journal={here}/journal");
    let bad = [
        "storage.endpoint=not a url",
        "m2c.site=LN GS",
        &journal,
        "catalogue.connections=0",
        "kafka.bootstrap-servers=",
    ];
    let answers = bad.map(|setting| check(Some(setting)));
    insta::assert_snapshot!("check_of_what_cannot_run", answers.join("\n"));
}

/// Every configuration in the documentation can be read, keeps its secrets, and, where
/// it is a whole one, can be run.
#[test]
fn configurations_in_the_documentation_work() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let here = folder.path();
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs");
    let mut tried = 0;
    for block in toml_blocks(docs.as_ref()) {
        // What lies on the reader's machine lies in a folder here.
        let mut text = block.replace("\"/", &format!("\"{}/", here.display()));
        text = text.replace("file:/", &format!("file:{}/", here.display()));
        for path in text
            .split('"')
            .filter(|word| word.contains(&*here.to_string_lossy()))
        {
            if let Some(secret) = path.strip_prefix("file:") {
                let secret = std::path::Path::new(secret);
                std::fs::create_dir_all(secret.parent().unwrap()).unwrap();
                std::fs::write(secret, "verysecret").unwrap();
            } else {
                std::fs::create_dir_all(path).unwrap();
            }
        }
        let file = here.join("aquifer.toml");
        std::fs::write(&file, &text).unwrap();
        let ask = |args: &[&str]| {
            let mut command = Command::new(AQUIFER);
            command.arg("--config").arg(&file).args(args);
            for variable in text.split('"').filter_map(|word| word.strip_prefix("env:")) {
                command.env(variable, "verysecret");
            }
            let output = command.output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{block}\n{said}");
            String::from_utf8(output.stdout).unwrap()
        };
        let dump = ask(&["config", "dump"]);
        assert!(!dump.contains("verysecret"), "{dump}");
        if ["[m2c]", "[storage]", "[catalogue]"]
            .iter()
            .all(|part| text.contains(part))
        {
            ask(&["config", "check"]);
        }
        tried += 1;
    }
    assert!(tried > 0);
}

fn toml_blocks(folder: &std::path::Path) -> Vec<String> {
    let mut blocks = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            blocks.extend(toml_blocks(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            let page = std::fs::read_to_string(path).unwrap();
            let fenced = page.split("```toml\n").skip(1);
            blocks.extend(fenced.filter_map(|rest| Some(rest.split_once("\n```")?.0.to_owned())));
        }
    }
    blocks
}

#[test]
fn a_detector_that_cannot_be_is_wrong_usage() {
    let answers = [
        answer(&["daq", "simulate", "--runs", "1", "--rate", "0"]),
        answer(&["demo", "--pixels", "3"]),
        answer(&["daq", "simulate", "--crash-probability", "2"]),
        answer(&["daq", "simulate"]),
    ];
    insta::assert_snapshot!(answers.join("\n"));
}

/// The guide's table of findings is what the audit means.
#[test]
fn every_finding_is_in_the_guide() {
    let page = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/guide/look-and-check.md"
    );
    let page = std::fs::read_to_string(page).unwrap();
    let rows = FindingKind::ALL.iter().map(|kind| {
        let (worst, least) = (kind.gravity(false), kind.gravity(true));
        let mut gravity = worst.as_str().to_owned();
        if least != worst {
            gravity = format!("{gravity}, {} if another copy is sound", least.as_str());
        }
        let (name, meaning, remedy) = (kind.as_str(), kind.meaning(), kind.remedy());
        format!("| `{name}` | {gravity} | {meaning} | {remedy} |\n")
    });
    let table: String = rows.collect();
    assert!(page.contains(&table), "the table should be:\n{table}");
}

#[test]
fn wrong_usage_is_said_to_be_that_and_what_would_be_right() {
    let answers = [
        answer(&["runs", "show", "LAB/x"]),
        answer(&["runs", "list", "--state", "foo"]),
        answer(&["runs", "list", "--site", "LN GS"]),
        answer(&["dead-letters", "replay", "abc"]),
        answer(&["sites", "add", "LNGS", "--time-zone", "Mars/Base"]),
        answer(&["up", "--site", "bad site"]),
        answer(&[
            "import",
            "runlog",
            "x.csv",
            "--site",
            "LAB",
            "--key-template",
            "{nr}",
        ]),
        answer(&[
            "import",
            "runlog",
            "mysql://u@h/d",
            "--dry-run",
            "--site",
            "LAB",
            "--password",
            "verysecret",
        ]),
        answer(&[
            "import",
            "runlog",
            "mysql://u:verysecret@h/d",
            "--site",
            "LAB",
            "--dry-run",
        ]),
        answer_with(&["--config", "/nonexistent", "config", "check"]),
    ];
    insta::assert_snapshot!(answers.join("\n"));
}

#[test]
fn a_registered_site_is_changed_on_purpose_only() {
    let deployment = Deployment::start();
    let other = deployment.run(&["sites", "add", "LAB", "--time-zone", "Europe/Rome"]);
    assert_eq!(other.status.code(), Some(1));
    let complaint = String::from_utf8(other.stderr).unwrap();
    assert!(complaint.contains("aquifer sites set LAB"), "{complaint}");
    deployment.expect(&["sites", "add", "LAB", "--time-zone", "UTC"]);
    deployment.expect(&["sites", "set", "LAB", "--time-zone", "Europe/Rome"]);
    let listed = deployment.expect(&["sites", "list"]);
    assert!(listed.contains("Europe/Rome"), "{listed}");
    let unknown = deployment.run(&["runs", "list", "--site", "XYZ"]);
    assert_eq!(unknown.status.code(), Some(1));
    deployment.expect(&["runs", "list", "--site", "LAB"]);

    // A reader that goes early (`| head`) is no error.
    let mut child = deployment
        .command(&["sites", "list", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn shells_and_readers_of_manuals_are_served() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let output = Command::new(AQUIFER)
            .args(["completions", shell])
            .output()
            .unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        for word in ["run-stored", "from-begin", "rebuild"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
        std::fs::write(folder.path().join(shell), script).unwrap();
    }
    // What bash offers behind `aquifer run`.
    let asked = "source ./bash; COMP_WORDS=(aquifer run); COMP_CWORD=1; \
        _aquifer aquifer run aquifer; echo ${COMPREPLY[@]}";
    let offered = Command::new("bash")
        .args(["-c", asked])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let offered = String::from_utf8(offered.stdout).unwrap();
    assert_eq!(offered.trim(), "runs", "{offered}");
    let pages = folder.path().join("man1");
    let written = Command::new(AQUIFER)
        .arg("man")
        .arg(&pages)
        .output()
        .unwrap();
    assert!(written.status.success());
    let page = std::fs::read_to_string(pages.join("aquifer-on-run-stored.1")).unwrap();
    assert!(page.contains("EX_TEMPFAIL"), "{page}");
}

#[test]
fn what_was_done_is_said_to_programs_too() {
    let deployment = Deployment::start();
    let json = |args: &[&str]| -> serde_json::Value {
        serde_json::from_str(&deployment.expect(args)).unwrap()
    };
    let site = json(&[
        "sites",
        "add",
        "LNGS",
        "--time-zone",
        "Europe/Rome",
        "--json",
    ]);
    assert_eq!(site["name"], "LNGS");
    let site = json(&["sites", "set", "LNGS", "--time-zone", "UTC", "--json"]);
    assert_eq!(site["time_zone"], "UTC");
    let usable = json(&["config", "check", "relay", "--json"]);
    assert_eq!(usable["usable_for"][0], "relay");
    let taken = deployment.expect(&["daq", "simulate", "--runs", "2", "--rate", "100", "--json"]);
    let taken: Vec<serde_json::Value> = taken
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(taken[1]["run"], "LAB/2");
}

#[test]
fn an_ingester_that_does_not_answer_is_no_yes_and_no_no() {
    let args = ["m2c", "status", "--url", "http://127.0.0.1:1"];
    insta::assert_snapshot!(answer(&args));
}
