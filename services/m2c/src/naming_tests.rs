//! Each name means one file, whatever its form; what closes it is told by its name.

use proptest::prelude::*;

use super::*;

fn naming(templates: &[&str]) -> Naming {
    let parse = |template: &&str| FileTemplate::parse(template).unwrap();
    Naming {
        templates: templates.iter().map(parse).collect(),
        encodings: vec![".gz".to_owned(), ".lz4".to_owned()],
        temporary: vec![
            Temporary::parse(".*").unwrap(),
            Temporary::parse("*.tmp").unwrap(),
        ],
        markers: vec![
            Marker::parse("{name}.done").unwrap(),
            Marker::parse("run{run}.end").unwrap(),
        ],
        side_files_close: true,
        ignore_suffixes: vec![".log".to_owned()],
    }
}

fn read(naming: &Naming, name: &str) -> (u64, String, bool, bool) {
    let found = naming.recognise(name).unwrap_or_else(|| panic!("{name}"));
    assert_eq!(found.disk.as_str(), name);
    (
        found.run,
        found.file.to_string(),
        found.packed,
        found.temporary,
    )
}

#[test]
fn one_file_has_many_names() {
    let naming = naming(&["run{run:05}.mid"]);
    let file = "run00007.mid".to_owned();
    assert_eq!(
        read(&naming, "run00007.mid"),
        (7, file.clone(), false, false)
    );
    assert_eq!(
        read(&naming, "run00007.mid.gz"),
        (7, file.clone(), true, false)
    );
    assert_eq!(
        read(&naming, ".run00007.mid"),
        (7, file.clone(), false, true)
    );
    assert_eq!(read(&naming, "run00007.mid.gz.tmp"), (7, file, true, true));
    for name in [
        "run00007.mid.xz",
        "run.mid",
        "run00007.mid.gz.lz4",
        "x.tmp",
        ".",
    ] {
        assert_eq!(naming.recognise(name), None, "{name}");
    }
}

#[test]
fn what_the_logger_compresses_itself_keeps_its_name() {
    let naming = naming(&["run{run}.mid.lz4"]);
    let found = read(&naming, "run7.mid.lz4");
    assert_eq!(found, (7, "run7.mid.lz4".to_owned(), true, false));
    // Where both may be, the plain file is the file: the first template counts.
    let both = self::naming(&["run{run}.mid", "run{run}.mid.lz4"]);
    assert_eq!(read(&both, "run7.mid.lz4").1, "run7.mid");
    let both = self::naming(&["run{run}.mid.lz4", "run{run}.mid"]);
    assert_eq!(read(&both, "run7.mid.lz4").1, "run7.mid.lz4");
}

#[test]
fn temporary_names_lie_in_the_files_own_folder() {
    let naming = naming(&["run{run}/part_{subrun}.bin"]);
    let found = naming.recognise("run7/.part_3.bin").unwrap();
    assert_eq!(
        (found.file.as_str(), found.subrun),
        ("run7/part_3.bin", Some(3))
    );
    assert_eq!(naming.recognise(".run7/part_3.bin"), None);
    assert!(naming.may_hold("run7") && !naming.may_hold("run") && !naming.may_hold("run7/x"));
}

/// The table of midas.md A2 and A3: which side files may be trusted to close.
#[test]
fn side_files_of_the_logger_by_what_they_are_about() {
    let naming = naming(&["run{run}.mid", "run{run}sub{subrun}.mid.lz4"]);
    let about = |name: &str, side: &str| {
        let name = naming.recognise(name).unwrap();
        let found = naming.side_files(&name).into_iter();
        let mut found = found.filter(|file| file.name == side);
        found
            .next()
            .map(|file| (file.algorithm, file.about, file.closes))
    };
    let crc = Algorithm::Crc32c;
    let plain = "run42901.mid";
    let closed_otherwise = Naming {
        side_files_close: false,
        ..naming.clone()
    };
    let name = naming.recognise(plain).unwrap();
    let found = closed_otherwise.side_files(&name);
    assert!(found.iter().all(|file| !file.closes), "nothing closes");
    let names =
        |found: &[SideFile]| -> Vec<_> { found.iter().map(|side| side.name.clone()).collect() };
    let all = naming.side_files(&name);
    assert_eq!(names(&found), names(&all), "all are verified");
    assert_eq!(
        about(plain, "run42901.mid.crc32c"),
        Some((crc, About::Bytes, true))
    );
    assert_eq!(
        about(plain, "run42901.crc32c"),
        Some((crc, About::Bytes, true))
    );
    let packed = "run407sub0.mid.lz4";
    let file = about(packed, "run407sub0.mid.lz4.crc32c");
    assert_eq!(file, Some((crc, About::Bytes, true)));
    let data = about(packed, "run407sub0.mid.crc32c");
    assert_eq!(data, Some((crc, About::Decoded, false)));
    // Another program's form of a plain file: the plain file's checksum says what it
    // must decode to, and nothing about being whole.
    let later = about("run42901.mid.gz", "run42901.mid.sha512");
    assert_eq!(later, Some((Algorithm::Sha512, About::Decoded, false)));
    let zlib = about(plain, "run42901.mid.crc32zlib");
    assert_eq!(zlib, Some((Algorithm::Crc32, About::Bytes, true)));
    assert!(naming.is_ignored("run42901.sha256") && naming.is_ignored("a.log"));
    assert!(naming.is_ignored("run7.mid.done") && naming.is_ignored("run7.end"));
    assert!(!naming.is_ignored("run7.mid"));
}

#[test]
fn markers_name_a_file_or_a_run() {
    let naming = naming(&["run{run}.mid"]);
    assert_eq!(naming.marked_run("run7.end"), Some(7));
    assert_eq!(naming.marked_run("run7.mid.done"), None);
    let name = naming.recognise("run7.mid").unwrap();
    assert_eq!(
        naming.markers_of(&name).collect::<Vec<_>>(),
        ["run7.mid.done"]
    );
    for wrong in ["{name}", "all.done", "*", "a*b"] {
        assert!(Marker::parse(wrong).is_err(), "{wrong}");
    }
    for wrong in ["*", "", "abc", "a*b"] {
        assert!(Temporary::parse(wrong).is_err(), "{wrong}");
    }
}

proptest! {
    /// A file is found under each of its names, and each of these means only it.
    #[test]
    fn names_and_files_agree(run in any::<u64>(), subrun in any::<u64>(), folder in any::<bool>()) {
        let template = if folder { "r{run}/s{subrun}.mid" } else { "r{run}s{subrun}.mid" };
        let naming = naming(&[template]);
        let own = if folder { format!("r{run}/s{subrun}.mid") } else { format!("r{run}s{subrun}.mid") };
        let own: FileName = own.parse().unwrap();
        let names = naming.names_of(&own);
        prop_assert_eq!(names.len(), 9);
        prop_assert_eq!(&names[0].disk, &own);
        for name in names {
            prop_assert_eq!(&name.file, &own);
            prop_assert_eq!((name.run, name.subrun), (run, Some(subrun)));
        }
    }

    #[test]
    fn no_name_upsets_it(name in "\\PC{0,20}|(run|\\.|[0-9]|/|gz|mid){0,8}") {
        let naming = naming(&["run{run}.mid", "{run}/{subrun}"]);
        let _ = naming.recognise(&name);
        let _ = naming.is_ignored(&name);
        let _ = naming.may_hold(&name);
    }
}
