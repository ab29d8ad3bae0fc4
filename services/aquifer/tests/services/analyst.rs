//! What analysts do: list, fetch, verify and digest files of runs.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use aquifer_bus::Producer;
use aquifer_digest::Digests;
use aquifer_midas::{Encoder, Encoding};
use aquifer_stack::{LinkMode, LinkProxy};
use aquifer_storage::{ObjectMeta, StorageElement};

use crate::command_line::shown;
use crate::deployment::{AQUIFER, Deployment, take};
use crate::slow_run::AwaitOn;

impl Deployment {
    /// A closed run of known bytes.
    fn write_run(&self, number: u64, bytes: &[u8]) {
        let path = self.buffer().join(format!("run{number:05}.mid"));
        fs::write(&path, bytes).unwrap();
        let digests = Digests::of(bytes);
        let line = format!("{} {} {}\n", digests.crc32c, digests.size, path.display());
        fs::write(path.with_extension("mid.crc32c"), line).unwrap();
    }

    /// What a command says, with this deployment's folder called FOLDER.
    pub(crate) fn said(&self, args: &[&str]) -> String {
        let mut command = self.command(args);
        command.current_dir(self.folder.path()).env("USER", "ada");
        let folder = self.folder.path().display().to_string();
        shown(&mut command).replace(&folder, "FOLDER")
    }
}

fn bytes_of(number: u8) -> Vec<u8> {
    (0..100_000_u32)
        .map(|at| (at >> 3) as u8 ^ number)
        .collect()
}

#[test]
fn files_are_listed_fetched_proven_and_not_fetched_twice() {
    let deployment = Deployment::start();
    let m2c = deployment.service("m2c", None);
    for number in 1..=3 {
        deployment.write_run(number.into(), &bytes_of(number));
    }
    deployment.wait_until("stored", || deployment.count("stored") == 3);
    let out = deployment.folder.path().join("out");
    insta::assert_snapshot!("files", deployment.said(&["files", "1..3"]));
    insta::assert_snapshot!(
        "files_by_name",
        deployment.said(&["files", "--name", "run?0002*"])
    );
    insta::assert_snapshot!("get", deployment.said(&["get", "1..3", "-o", "out"]));
    for number in 1..=3 {
        let got = fs::read(out.join(format!("run{number:05}.mid"))).unwrap();
        assert!(got == bytes_of(number), "{number}");
    }
    assert_eq!(
        fs::read_dir(&out).unwrap().count(),
        3,
        "nothing else is left"
    );
    // One is right, one is another, one is gone.
    fs::write(out.join("run00002.mid"), bytes_of(9)).unwrap();
    fs::remove_file(out.join("run00003.mid")).unwrap();
    let again = ["get", "LAB/1..3", "-o", "out"];
    insta::assert_snapshot!("get_again", deployment.said(&again));
    deployment.expect(&["get", "LAB/2", "-o", out.to_str().unwrap(), "--replace"]);
    assert!(fs::read(out.join("run00002.mid")).unwrap() == bytes_of(2));
    deployment.expect(&["get", "2..3", "-o", out.to_str().unwrap(), "--folders"]);
    assert!(fs::read(out.join("LAB/3/run00003.mid")).unwrap() == bytes_of(3));
    insta::assert_snapshot!(
        "get_nothing",
        [
            deployment.said(&["get", "7..9"]),
            deployment.said(&["get", "9"]),
            deployment.said(&["get", "1", "--file", "*.root"]),
            deployment.said(&["get", "3..1"]),
        ]
        .join("\n")
    );
    // What lies here is found by what is in it.
    fs::copy(out.join("run00001.mid"), out.join("renamed")).unwrap();
    fs::write(out.join("run00001.mid"), bytes_of(9)).unwrap();
    fs::write(out.join("notes"), "of nobody").unwrap();
    let files = ["out/renamed", "out/run00001.mid", "out/notes"];
    insta::assert_snapshot!(
        "verify_files",
        deployment.said(&[&["verify"], &files[..]].concat())
    );
    drop(m2c);
}

#[test]
fn a_copy_that_is_read_back_is_proven_or_bad_and_somebody_is_told() {
    let deployment = Deployment::start();
    let m2c = deployment.service("m2c", None);
    let relay = deployment.service("relay", None);
    deployment.write_run(1, &bytes_of(1));
    deployment.wait_stored(1);
    insta::assert_snapshot!("verify", deployment.said(&["verify", "1"]));
    assert!(deployment.expect(&["runs", "show", "1"]).contains("E4"));
    // Somebody damages the object.
    let storage = deployment.storage();
    let key = "raw/LAB/00000001/v1/run00001.mid".parse().unwrap();
    let replace = |bytes: Vec<u8>| {
        storage.delete_for_good(&key).await_on(&deployment);
        let meta = ObjectMeta::new();
        let put = storage.put(&key, bytes.into(), &meta);
        put.await_on(&deployment);
    };
    replace(bytes_of(2));
    let differs = deployment.said(&["get", "1", "-o", "out"]);
    insta::assert_snapshot!("get_differs", differs);
    insta::assert_snapshot!("verify_bad", deployment.said(&["verify", "1"]));
    assert!(deployment.expect(&["runs", "show", "1"]).contains("bad"));
    deployment.wait_until("told", || deployment.signal_names() == ["copy-bad"]);
    insta::assert_snapshot!("get_bad", deployment.said(&["get", "1", "-o", "out"]));
    // And mends it.
    replace(bytes_of(1));
    deployment.expect(&["verify", "1"]);
    let out = deployment.folder.path().join("out");
    deployment.expect(&["get", "1", "-o", out.to_str().unwrap()]);
    drop((m2c, relay));
}

#[test]
fn what_is_stored_compressed_is_decoded_and_held_against_the_file() {
    let deployment = Deployment::start();
    let bytes = bytes_of(1);
    let mut encoder = Encoder::new(Vec::new(), Encoding::Gzip).unwrap();
    encoder.write_all(&bytes).unwrap();
    let packed = encoder.finish().unwrap();
    fs::write(deployment.buffer().join("run00001.mid.gz"), &packed).unwrap();
    let m2c = deployment.service("m2c", None);
    deployment.wait_until("stored", || deployment.count("stored") == 1);
    let out = deployment.folder.path().join("out");
    insta::assert_snapshot!(
        "get_decoded",
        deployment.said(&["get", "1", "-o", "out", "--decode"])
    );
    assert!(fs::read(out.join("run00001.mid")).unwrap() == bytes);
    assert_eq!(
        fs::read_dir(&out).unwrap().count(),
        1,
        "nothing else is left"
    );
    deployment.said(&["get", "1", "-o", "out"]);
    assert!(fs::read(out.join("run00001.mid.gz")).unwrap() == packed);
    let files = ["verify", "out/run00001.mid", "out/run00001.mid.gz"];
    insta::assert_snapshot!("verify_decoded", deployment.said(&files));
    drop(m2c);
}

#[test]
fn a_download_that_is_killed_goes_on_where_it_was() {
    let deployment = Deployment::start();
    let producer = Producer::connect(&deployment.kafka()).unwrap();
    let m2c = deployment.service("m2c", None);
    let truth = take(&mut deployment.daq(|config| config.frames_per_run = 4000));
    assert!(truth.files[0].size > 24 << 20, "several ranges");
    deployment.announce(&producer, &truth);
    deployment.wait_until("stored", || deployment.count("stored") == 1);
    m2c.stop();
    let server = deployment.stack.endpoints().s3.endpoint.clone();
    let server = server.strip_prefix("http://").unwrap().parse().unwrap();
    let link = LinkProxy::start(0, server, LinkMode::Slow(8 << 20)).unwrap();
    let out = deployment.folder.path().join("out");
    let endpoint = format!("storage.endpoint=http://{}", link.address());
    let args = [
        "--set",
        &endpoint,
        "get",
        "LAB/1",
        "-j",
        "1",
        "-o",
        out.to_str().unwrap(),
    ];
    let mut get = deployment
        .command(&args)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let name = truth.files[0].name.as_str();
    let ranges = || {
        let table = fs::read_to_string(out.join(format!(".{name}.aquifer-ranges")));
        table.unwrap_or_default().lines().count().saturating_sub(1)
    };
    deployment.wait_until("a range is there", || ranges() >= 1);
    get.kill().unwrap();
    get.wait().unwrap();
    assert!(!out.join(name).is_file(), "killed too late");
    let came = ranges();
    link.set(LinkMode::Open);
    deployment.expect(&args);
    let got = fs::read(out.join(name)).unwrap();
    assert!(
        got == fs::read(deployment.buffer().join(name)).unwrap(),
        "{came}"
    );
    assert_eq!(
        fs::read_dir(&out).unwrap().count(),
        1,
        "nothing else is left"
    );
}

fn in_folder(folder: &Path, args: &[&str]) -> String {
    shown(Command::new(AQUIFER).args(args).current_dir(folder))
}

#[test]
fn files_are_digested_as_the_catalogue_does() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("check"), "123456789").unwrap();
    let mut encoder = Encoder::new(Vec::new(), Encoding::Gzip).unwrap();
    encoder.write_all(b"123456789").unwrap();
    fs::write(folder.path().join("check.gz"), encoder.finish().unwrap()).unwrap();
    let all = ["checksum", "check", "none", "--md5", "--sha256"];
    let answers = [
        in_folder(folder.path(), &all),
        in_folder(
            folder.path(),
            &["checksum", "check.gz", "--decoded", "--json"],
        ),
    ];
    insta::assert_snapshot!("checksum", answers.join("\n"));
}

#[test]
fn two_sides_that_differ_are_shown_and_a_person_says_which_is_right() {
    let deployment = Deployment::start();
    let m2c = deployment.service("m2c", None);
    deployment.write_run(1, &bytes_of(1));
    deployment.write_run(2, &bytes_of(2));
    deployment.wait_until("stored", || deployment.count("stored") == 2);
    insta::assert_snapshot!("resolve_nothing", deployment.said(&["resolve"]));
    // Not what the logger wrote; other data under a used number.
    let path = deployment.buffer().join("run00003.mid");
    fs::write(&path, bytes_of(3)).unwrap();
    let line = format!("00000000 100000 {}\n", path.display());
    fs::write(path.with_extension("mid.crc32c"), line).unwrap();
    deployment.write_run(2, &bytes_of(4));
    deployment.wait_until("both are seen", || {
        deployment.count("quarantined") == 1 && deployment.count("stored") == 3
    });
    m2c.stop();
    // And a copy in the buffer that something spoke against.
    let doubt = "UPDATE replica p JOIN file f ON f.id=p.file_id SET p.state='suspect',\
        f.reason='it was written to after it was stored' \
        WHERE f.name='run00001.mid' AND p.element='LAB-buffer'";
    deployment.sql(doubt);
    insta::assert_snapshot!("resolve_list", deployment.said(&["resolve"]));
    let keep = |run: &str, file: &str, side: &str| {
        deployment.said(&[
            "resolve",
            run,
            file,
            "--keep",
            side,
            "--why",
            "the disk erred",
        ])
    };
    let answers = [
        keep("1", "run00001.mid", "buffer"),
        keep("3", "run00003.mid", "stored"),
        keep("1", "run00001.mid", "stored"),
        keep("1", "run00001.mid", "stored"),
        deployment.said(&["resolve", "1", "run00001.mid"]),
    ];
    insta::assert_snapshot!("resolve", answers.join("\n"));
    let story = deployment.expect(&["explain", "1"]);
    assert!(
        story.contains("suspect → bad: the stored copy stands: the disk erred"),
        "{story}"
    );
}
