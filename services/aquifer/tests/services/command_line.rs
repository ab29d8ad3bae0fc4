//! What the command line says to people.

use std::process::Command;

use crate::deployment::AQUIFER;

fn answer(args: &[&str]) -> String {
    let output = Command::new(AQUIFER)
        .args(["--config", "/dev/null"])
        .args(args)
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
fn the_reference_page_is_what_the_program_knows() {
    let page = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/reference/configuration.md"
    );
    let output = Command::new(AQUIFER)
        .args(["config", "reference"])
        .output()
        .unwrap();
    let known = String::from_utf8(output.stdout).unwrap();
    assert!(
        std::fs::read_to_string(page).unwrap() == known,
        "docs/reference/configuration.md is not of this version; hint: `make reference`"
    );
}

#[test]
fn an_ingester_that_does_not_answer_is_no_yes_and_no_no() {
    let args = ["m2c", "status", "--url", "http://127.0.0.1:1"];
    insta::assert_snapshot!(answer(&args));
}
