//! Precedence, errors that lead to the place to mend, and secrets that stay secret.

use std::io::Write as _;
use std::path::Path;

use proptest::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;
use tempfile::NamedTempFile;

use super::*;

/// How a logger is followed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Example {
    /// Where files are found | and kept.
    buffer: PathBuf,
    /// Seconds until a drain
    /// is given up.
    drain_timeout_secs: u64,
    /// Off means no more than one.
    parallel: Option<bool>,
    mode: Mode,
    catalogue: Catalogue,
    /// Places to store at.
    elements: Vec<Element>,
    topics: std::collections::BTreeMap<String, String>,
}

impl Default for Example {
    fn default() -> Self {
        Self {
            buffer: "/data".into(),
            drain_timeout_secs: 30,
            parallel: None,
            mode: Mode::Scan,
            catalogue: Catalogue::default(),
            elements: Vec::new(),
            topics: std::collections::BTreeMap::new(),
        }
    }
}

/// How files are found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    /// By looking.
    Scan,
    /// By being told.
    Announce,
}

/// The database.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Catalogue {
    /// Who we are there.
    user: String,
    /// How it knows us.
    password: Secret,
    /// Connections at most.
    pool_size: u32,
}

/// A storage element.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Element {
    /// Its name.
    name: String,
}

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn sources(file: Option<&Path>, environment: &[(&str, &str)], set: &[(&str, &str)]) -> Sources {
    let pairs = |list: &[(&str, &str)]| list.iter().map(|(n, v)| pair(n, v)).collect();
    Sources {
        profile: Vec::new(),
        file: file.map(Path::to_owned),
        environment: pairs(environment),
        overrides: pairs(set),
    }
}

fn from_file(text: &str) -> Result<Example, String> {
    let file = file(text);
    let name = file.path().display().to_string();
    let loaded = load(&sources(Some(file.path()), &[], &[]));
    loaded.map_err(|error| anyhow::Error::new(error).to_string().replace(&name, "FILE"))
}

fn from_environment(name: &str, value: &str) -> Result<Example, ConfigError> {
    load(&sources(None, &[(name, value)], &[]))
}

#[test]
fn no_sources_give_the_defaults() {
    assert_eq!(
        load::<Example>(&Sources::default()).unwrap(),
        Example::default()
    );
}

proptest! {
    #[test]
    fn the_last_layer_that_sets_a_key_wins(
        values in prop::collection::vec((0_u32..100, 0_u32..100, 0_u32..100, 0_u8..8), 2),
    ) {
        // Which layers set the key is told by the bits of the last number.
        let keys = ["drain-timeout-secs", "catalogue.pool-size"];
        let variables = ["AQUIFER__DRAIN_TIMEOUT_SECS", "AQUIFER__CATALOGUE__POOL_SIZE"];
        let mut toml = String::new();
        let mut sources = Sources::default();
        let mut expected = [30, 0];
        for (i, &(in_file, in_environment, in_set, layers)) in values.iter().enumerate() {
            if layers & 1 != 0 {
                toml += &[keys[i], " = ", &in_file.to_string(), "\n"].concat();
                expected[i] = in_file;
            }
            if layers & 2 != 0 {
                sources.environment.push(pair(variables[i], &in_environment.to_string()));
                expected[i] = in_environment;
            }
            if layers & 4 != 0 {
                sources.overrides.push(pair(keys[i], &in_set.to_string()));
                expected[i] = in_set;
            }
        }
        let file = file(&toml);
        sources.file = Some(file.path().to_owned());
        let loaded: Example = load(&sources).unwrap();
        prop_assert_eq!(loaded.drain_timeout_secs, u64::from(expected[0]));
        prop_assert_eq!(loaded.catalogue.pool_size, expected[1]);
    }

    #[test]
    fn a_dump_loads_as_what_was_dumped(
        buffer in "[ -~]{0,20}", secs in 0_u64..1 << 62, pool_size: u32, parallel: Option<bool>,
        user in "\\PC{0,12}",
    ) {
        let catalogue = Catalogue { user, pool_size, ..Catalogue::default() };
        let config = Example {
            buffer: buffer.into(), drain_timeout_secs: secs, parallel, catalogue,
            elements: vec![Element { name: "s3".to_owned() }],
            ..Example::default()
        };
        prop_assert_eq!(from_file(&dump(&config).unwrap()).unwrap(), config);
    }

    #[test]
    fn any_text_reaches_a_text_or_a_secret_unchanged(text in "[0-9a-z.+_ :-]{1,12}") {
        prop_assume!(!text.starts_with("file:") && !text.starts_with("env:"));
        prop_assume!(text != "***");
        let loaded = from_environment("AQUIFER__CATALOGUE__PASSWORD", &text).unwrap();
        prop_assert_eq!(loaded.catalogue.password.reveal(), &text);
        let loaded = from_environment("AQUIFER__CATALOGUE__USER", &text).unwrap();
        prop_assert_eq!(loaded.catalogue.user, text);
    }

    #[test]
    fn no_file_makes_the_loader_panic(text in "[a-z\\[\\]=\"'. \n0-9{}#,-]{0,60}") {
        from_file(&text).ok();
    }
}

#[test]
fn sections_merge_key_by_key() {
    let file = file("[catalogue]\nuser = \"m2c\"\npool-size = 3\n[topics]\na = \"x\"\n");
    let environment = [
        ("AQUIFER__CATALOGUE__POOL_SIZE", "5"),
        ("AQUIFER__TOPICS__B", "y"),
    ];
    let set = [
        ("mode", "announce"),
        ("catalogue", "{ password = \"p\" }"),
        ("elements", "[{ name = \"tape\" }]"),
    ];
    let loaded: Example = load(&sources(Some(file.path()), &environment, &set)).unwrap();
    assert_eq!(
        (&*loaded.catalogue.user, loaded.catalogue.pool_size),
        ("m2c", 5)
    );
    assert_eq!(loaded.catalogue.password.reveal(), "p");
    assert_eq!(loaded.topics.len(), 2);
    assert_eq!(loaded.mode, Mode::Announce);
    assert_eq!(loaded.elements[0].name, "tape");
}

fn profile(parts: &[(&str, &str)]) -> Vec<ProfileText> {
    let part = |(path, text): &(&str, &str)| ProfileText {
        path: path.into(),
        text: (*text).to_owned(),
    };
    parts.iter().map(part).collect()
}

#[test]
fn a_profile_is_the_lowest_layer_and_sets_each_key_once() {
    let file = file("[catalogue]\npool-size = 3\n");
    let parts = [
        (
            "lab/a.toml",
            "mode = \"announce\"\n[catalogue]\nuser = \"lab\"\n",
        ),
        (
            "lab/b.toml",
            "[catalogue]\npool-size = 9\n[topics]\na = \"x\"\n",
        ),
    ];
    let with = |parts: &[(&str, &str)]| Sources {
        profile: profile(parts),
        ..sources(Some(file.path()), &[], &[("mode", "scan")])
    };
    let (loaded, origins): (Example, _) = load_with_origins(&with(&parts)).unwrap();
    let catalogue = &loaded.catalogue;
    assert_eq!((catalogue.user.as_str(), catalogue.pool_size), ("lab", 3));
    assert_eq!(loaded.mode, Mode::Scan);
    assert_eq!(origins.of("catalogue.user").to_string(), "lab/a.toml:3");
    let refused = |parts: &[(&str, &str)]| load::<Example>(&with(parts)).unwrap_err().to_string();
    let told = [
        refused(&[parts[0], ("lab/c.toml", "\n[catalogue]\nuser = \"x\"")]),
        refused(&[parts[0], ("lab/c.toml", "catalogue = 7")]),
        refused(&[("lab/c.toml", "[catalogue]\nusr = \"x\"")]),
        refused(&[("lab/c.toml", "[catalogue")]),
    ];
    insta::assert_snapshot!(told.join("\n"), @r#"
    `catalogue.user` is set twice: lab/a.toml:3 and lab/c.toml:3
    hint: a profile sets each key once
    `catalogue` is set twice: lab/a.toml:2 and lab/c.toml:1
    hint: a profile sets each key once
    `catalogue.usr` (lab/c.toml:2): unknown key
    hint: did you mean `user`?
    lab/c.toml:1:11: unclosed table, expected `]`
    "#);
}

#[test]
fn only_our_variables_are_taken_from_the_environment() {
    use std::os::unix::ffi::OsStringExt as _;
    let variables = |list: &[(&str, &[u8])]| {
        let list = list
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from_vec(value.to_vec())));
        environment(list.collect::<Vec<_>>())
    };
    let taken = variables(&[
        ("AQUIFER__MODE", b"scan"),
        ("AQUIFER_CRASH_AT", b"commit"),
        ("PATH", b"\xff"),
        ("AQUIFER__BUFFER", b"/x"),
    ]);
    let expected = [pair("AQUIFER__BUFFER", "/x"), pair("AQUIFER__MODE", "scan")];
    assert_eq!(taken.unwrap(), expected);
    let error = variables(&[("AQUIFER__MODE", b"\xffhunter2")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot use `AQUIFER__MODE`: its value is not UTF-8"
    );
}

#[test]
fn errors_say_which_key_where_and_what_would_be_right() {
    let set = |key, value| {
        let error = load::<Example>(&sources(None, &[], &[("buffer", "/x"), (key, value)]));
        error.unwrap_err().to_string()
    };
    let variable = |name, value| from_environment(name, value).unwrap_err().to_string();
    let in_file = |text| from_file(text).unwrap_err();
    let missing = sources(Some(Path::new("/nowhere/aquifer.toml")), &[], &[]);
    let flag = Sources::from_process(None, &["catalogue.password:hunter2".to_owned()]);
    let told = [
        in_file("\n\n[catalogue]\npasword = \"x\"\n"),
        in_file("bufer = \"/x\""),
        in_file("[zeppelin]\nx = 1"),
        in_file("mode = \"scam\""),
        in_file("drain-timeout-secs = \"soon\""),
        in_file("a = 1\nb = [1, 2\nc = 3"),
        in_file("buffer = \"/x\"\nbuffer = \"/y\""),
        in_file("[[elements]]\nname = \"a\"\n[[elements]]\nnam = \"b\""),
        in_file("catalogue = 7"),
        variable("AQUIFER__CATALOGUE__USR", "m2c"),
        variable("AQUIFER__DRAIN_TIMEOUT_SECS", "-5"),
        variable("AQUIFER__CATALOGUE____USER", "m2c"),
        set("buffer.path", "/y"),
        set("parallel", "perhaps"),
        load::<Example>(&missing).unwrap_err().to_string(),
        flag.unwrap_err().to_string(),
    ];
    insta::assert_snapshot!(told.join("\n"), @r#"
    `catalogue.pasword` (FILE:4): unknown key
    hint: did you mean `password`?
    `bufer` (FILE:1): unknown key
    hint: did you mean `buffer`?
    `zeppelin` (FILE:1): unknown key
    hint: known here: buffer, drain-timeout-secs, parallel, mode, catalogue, elements, topics
    `mode` (FILE:1): unknown word `scam`
    hint: did you mean `scan`?
    `drain-timeout-secs` (FILE:1): invalid type: string "soon", expected u64
    FILE:3:1: missing comma between array elements, expected `,`
    FILE:2:1: duplicate key
    `elements[1].nam` (FILE:4): unknown key
    hint: did you mean `name`?
    `catalogue` (FILE:1): invalid type: integer `7`, expected struct Catalogue
    `catalogue.usr` (environment variable AQUIFER__CATALOGUE__USR): unknown key
    hint: did you mean `user`?
    `drain-timeout-secs` (environment variable AQUIFER__DRAIN_TIMEOUT_SECS): invalid value: integer `-5`, expected u64
    cannot use `AQUIFER__CATALOGUE____USER`: a part of its key is empty
    `buffer.path` (--set buffer.path) lies inside `buffer`, which is not a section
    `parallel` (--set parallel): invalid type: string "perhaps", expected a boolean
    cannot read configuration file `/nowhere/aquifer.toml`
    cannot use `--set catalogue.password`: it is not written `key=value`
    "#);
}

#[test]
fn a_secret_is_shown_by_nothing() {
    const SECRET: &str = "hunter2-8164";
    let password = Secret::from(SECRET.to_owned());
    let catalogue = Catalogue {
        password,
        ..Catalogue::default()
    };
    let config = Example {
        catalogue,
        ..Example::default()
    };
    let mut shown = vec![
        dump(&config).unwrap(),
        format!("{config:?} {:#?}", config.catalogue.password),
        config.catalogue.password.to_string(),
        serde_json::to_string(&config).unwrap(),
    ];
    assert!(shown.iter().all(|text| text.contains("***")), "{shown:?}");
    // Mistakes around a secret, each of which quotes the value in serde's or TOML's words.
    for text in [
        format!("[catalogue]\npassword = \"{SECRET}"),
        format!("[catalogue]\npassword = {SECRET}"),
        format!("[catalogue]\npassword = [\"{SECRET}\"]"),
        format!("[catalogue]\npassword = {{ value = \"{SECRET}\" }}"),
        format!("[catalogue]\npasword = \"{SECRET}\""),
        format!("[catalogue]\npassword = \"{SECRET}\"\npassword = \"{SECRET}\""),
    ] {
        let file = file(&text);
        let error = load::<Example>(&sources(Some(file.path()), &[], &[])).unwrap_err();
        shown.push(format!("{error} {error:?}"));
    }
    let number = from_file("[catalogue]\npassword = 8164").unwrap_err();
    assert!(number.contains("written as a string"), "{number}");
    shown.push(number.replace("hunter2-", ""));
    for text in shown {
        assert!(!text.contains("8164"), "{text}");
    }
}

#[test]
fn a_secret_may_stand_elsewhere() {
    let load = |written: &str| from_environment("AQUIFER__CATALOGUE__PASSWORD", written);
    let kept = file("  s3cret\n");
    let path = kept.path().display();
    let loaded = load(&format!("file:{path}")).unwrap();
    assert_eq!(loaded.catalogue.password.reveal(), "s3cret");
    let loaded = load("env:PATH").unwrap();
    let path = std::env::var("PATH").unwrap();
    assert_eq!(loaded.catalogue.password.reveal(), path);
    for (written, expected) in [
        ("file:/nowhere/key", "`/nowhere/key`"),
        ("env:AQUIFER_NOT_SET", "`AQUIFER_NOT_SET`: not set"),
        ("***", "stands for a secret in a dump"),
    ] {
        let error = load(written).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(error.contains("`catalogue.password`"), "{error}");
    }
    let empty = file("\n");
    let error = load(&format!("file:{}", empty.path().display())).unwrap_err();
    assert!(error.to_string().contains("is empty"), "{error}");
}

#[test]
fn the_reference_tells_every_key() {
    insta::assert_snapshot!(reference::<Example>().unwrap(), @r#"
    How a logger is followed.

    | key | type | default | environment | description |
    |---|---|---|---|---|
    | `buffer` | string | `"/data"` | `AQUIFER__BUFFER` | Where files are found \| and kept. |
    | `drain-timeout-secs` | integer | `30` | `AQUIFER__DRAIN_TIMEOUT_SECS` | Seconds until a drain is given up. |
    | `mode` | `"scan"` or `"announce"` | `"scan"` | `AQUIFER__MODE` | How files are found. |
    | `parallel` | boolean | unset | `AQUIFER__PARALLEL` | Off means no more than one. |
    | `topics` | map of string | `{}` | `AQUIFER__TOPICS` |  |

    ## `[catalogue]`

    The database.

    | key | type | default | environment | description |
    |---|---|---|---|---|
    | `password` | secret | `""` | `AQUIFER__CATALOGUE__PASSWORD` | How it knows us. |
    | `pool-size` | integer | `0` | `AQUIFER__CATALOGUE__POOL_SIZE` | Connections at most. |
    | `user` | string | `""` | `AQUIFER__CATALOGUE__USER` | Who we are there. |

    ## `[[elements]]`

    Places to store at.

    | key | type | default | environment | description |
    |---|---|---|---|---|
    | `name` | string | unset |  | Its name. |
    "#);
}
