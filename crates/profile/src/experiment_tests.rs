//! What cannot be used is refused under its key, and what ships can be used.

use super::*;
use crate::shipped::shipped;

const MIDAS: Files<'_> = Files {
    templates: &[],
    midas: true,
};

fn experiment(toml: &str) -> Experiment {
    toml::from_str(toml).unwrap()
}

fn refused_with(toml: &str, templates: &[&str], midas: bool) -> String {
    let templates: Vec<_> = templates
        .iter()
        .map(|text| FileTemplate::parse(text).unwrap())
        .collect();
    let files = Files {
        templates: &templates,
        midas,
    };
    experiment(toml).check(files).unwrap_err().to_string()
}

fn refused(toml: &str) -> String {
    experiment(toml).check(MIDAS).unwrap_err().to_string()
}

#[test]
fn sites_have_names_and_time_zones() {
    assert_eq!(
        refused("[[sites]]\nname = \"L NGS\""),
        "experiment.sites[0].name: `L NGS` is not a site name (1 to 32 letters, digits, `_` or `-`)"
    );
    assert_eq!(
        refused("[[sites]]\nname = \"A\"\n[[sites]]\nname = \"A\""),
        "experiment.sites[1].name: `A` is there already"
    );
    assert_eq!(
        refused("[[sites]]\nname = \"A\"\ntime-zone = \"Mars/Olympus\""),
        "experiment.sites[0].time-zone: time zone `Mars/Olympus` is not known here"
    );
}

#[test]
fn attributes_have_names_and_sources_that_can_be() {
    let attribute = |keys: &str| format!("[[attributes]]\n{keys}");
    assert_eq!(
        refused(&attribute("name = \"a\"")),
        "experiment.attributes[0].name: nothing says where `a` is found"
    );
    assert_eq!(
        refused(&attribute("name = \"run\"\nmessage = \"x\"")),
        "experiment.attributes[0].name: `run` is known of every run; it needs no attribute"
    );
    assert_eq!(
        refused(&attribute("name = \"a\"\nodb-begin = \"HV\"")),
        "experiment.attributes[0].odb-begin: ODB path `HV` does not begin with `/`"
    );
    assert_eq!(
        refused(&attribute("name = \"a\"\nmetadata = \"/mode\"")),
        "experiment.attributes[0].metadata: no metadata file is named"
    );
    assert_eq!(
        refused_with(
            &attribute("name = \"a\"\nodb-end = \"/x\""),
            &["{run}"],
            false
        ),
        "experiment.attributes[0].odb-end: the files are opaque and have no ODB"
    );
    assert_eq!(
        refused_with(
            &attribute("name = \"a\"\nfile-name = \"b\""),
            &["{run}"],
            true
        ),
        "experiment.attributes[0].file-name: no file template has a field `{b}`"
    );
    let twice =
        attribute("name = \"a\"\nmessage = \"x\"\n") + &attribute("name = \"a\"\nmessage = \"y\"");
    assert_eq!(
        refused(&twice),
        "experiment.attributes[1].name: `a` is there already"
    );
    assert_eq!(
        refused("metadata-file = \"{run}.json\""),
        "experiment.metadata-file: `{run}.json` is none of the run's files"
    );
}

#[test]
fn a_field_of_a_file_name_that_nobody_takes_is_rather_a_mistake() {
    let templates = [FileTemplate::parse("run{run}_{subrn}.bin").unwrap()];
    let files = Files {
        templates: &templates,
        midas: true,
    };
    let fault = Experiment::default().check(files).unwrap_err();
    assert_eq!(fault.key, "m2c.files[0]");
    assert_eq!(fault.hint.as_deref(), Some("did you mean `{subrun}`?"));
}

#[test]
fn run_types_are_expressions_over_what_is_known() {
    let with = |when: &str| {
        let attributes = "[[attributes]]\nname = \"hv\"\nkind = \"number\"\nmessage = \"hv\"\n";
        format!("{attributes}[[run-types]]\nname = \"on\"\nwhen = \"{when}\"")
    };
    let usable = experiment(&with("hv > 3 and site = LNGS and run < 7")).check(MIDAS);
    let classifier = usable.unwrap();
    let value_of = |name: &str| match name {
        "hv" => Some(crate::value::Value::Number(4.0)),
        _ => None,
    };
    let type_of = |run: &str| classifier.run_type(&run.parse().unwrap(), None, value_of);
    assert_eq!(type_of("LNGS/6"), Some("on"));
    assert_eq!((type_of("LNGS/7"), type_of("LNF/6")), (None, None));
    let run = "LNGS/6".parse().unwrap();
    assert_eq!(classifier.run_type(&run, None, |_| None), None);
    assert_eq!(
        refused(&with("hv > 3 and hvv = 1")),
        "experiment.run-types[0].when: column 12: `hvv` is not known here; did you mean `hv`?"
    );
    assert_eq!(
        refused(&with("hv = high")),
        "experiment.run-types[0].when: column 1: `hv` is a number, and 'high' is a text"
    );
    assert_eq!(
        refused(&with("hv >")),
        "experiment.run-types[0].when: column 5: expected a value, found the end"
    );
}

#[test]
fn periods_have_runs() {
    let with = |keys: &str| format!("[[sites]]\nname = \"A\"\n[[periods]]\nname = \"P\"\n{keys}");
    let usable = experiment(&with("from = 10\nto = \"2024-05-01\"\nsite = \"A\""));
    let periods = usable.periods().unwrap();
    assert_eq!(periods[0].from, Some(PeriodEdge::Run(10)));
    assert_eq!(
        refused(&with("site = \"B\"")),
        "experiment.periods[0].site: site `B` is none of the experiment's"
    );
    assert_eq!(
        refused(&with("from = 10\nto = 9")),
        "experiment.periods[0].name: period `P` ends (9) before it begins (10)"
    );
    assert!(toml::from_str::<Experiment>(&with("from = \"soon\"")).is_err());
}

#[test]
fn what_comes_with_the_program_is_read() {
    for shipped in shipped() {
        for file in shipped.files {
            let table: toml::Table = toml::from_str(file.text).unwrap();
            if let Some(part) = table.get("experiment") {
                // Together they are checked where the whole configuration is known.
                let part: Result<Experiment, _> = part.clone().try_into();
                assert!(part.is_ok(), "{}/{}: {part:?}", shipped.name, file.name);
            }
        }
    }
}
