//! The demonstration survives what it invites people to do: services and servers are
//! killed under it and come back; when it is itself killed, nothing of it stays.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::deployment::{AQUIFER, PATIENCE, pause};

/// A demonstration as a child process.
struct Demo {
    child: Child,
    folder: TempDir,
}

impl Demo {
    fn start() -> Self {
        Self::start_in(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
    }

    fn start_in(folder: TempDir) -> Self {
        let said = fs::File::create(folder.path().join("said")).unwrap();
        let child = Command::new(AQUIFER)
            .args(["demo", "--plain", "--pixels", "32", "--rate", "2", "--root"])
            .arg(folder.path().join("stack"))
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("stack")
    }

    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("said")).unwrap()
    }

    /// Its processes whose command lines have `word` in them.
    fn processes(&self, word: &str) -> Vec<i32> {
        let root = format!(":{}", self.root().display());
        let is_ours = |pid: &i32| {
            let read = |what| fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default();
            let environment = String::from_utf8_lossy(&read("environ")).into_owned();
            let ours = environment
                .split('\0')
                .any(|entry| entry.starts_with("AQUIFER_STACK=") && entry.ends_with(&root));
            ours && String::from_utf8_lossy(&read("cmdline"))
                .split('\0')
                .any(|argument| argument.contains(word))
        };
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(is_ours).collect()
    }

    fn kill(&self, word: &str) {
        let found = self.processes(word);
        assert!(!found.is_empty(), "no {word} runs");
        for pid in found {
            kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        }
    }

    fn wait_until(&self, what: &str, mut condition: impl FnMut(&str) -> bool) {
        let deadline = Instant::now() + 2 * PATIENCE;
        while !condition(&self.said()) {
            assert!(Instant::now() < deadline, "{what}\n{}", self.said());
            pause(std::time::Duration::from_millis(50));
        }
    }

    /// Waits until three more runs are stored.
    fn wait_for_runs(&self) {
        let stored = |said: &str| said.matches("  stored  ").count();
        let before = stored(&self.said());
        self.wait_until("three more runs", |said| stored(said) >= before + 3);
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Its servers and services end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn whoever_is_killed_comes_back_and_nothing_outlives_the_demonstration() {
    let mut demo = Demo::start();
    demo.wait_for_runs();
    for (word, name) in [("m2c", "m2c"), ("relay", "relay"), ("mariadbd", "mariadb")] {
        demo.kill(word);
        demo.wait_until(name, |said| {
            said.contains(&format!("{name} was started again"))
        });
        demo.wait_for_runs();
    }
    assert!(!demo.processes("simulate").is_empty());
    demo.child.kill().unwrap();
    demo.child.wait().unwrap();
    demo.wait_until("all gone", |_| demo.processes("").is_empty());
}

#[test]
fn a_closed_terminal_stops_it_in_order_and_the_next_start_counts_new_runs_only() {
    let mut demo = Demo::start();
    demo.wait_for_runs();
    let pid = Pid::from_raw(demo.child.id().cast_signed());
    kill(pid, Signal::SIGHUP).unwrap();
    assert!(demo.child.wait().unwrap().success(), "{}", demo.said());
    assert!(demo.processes("").is_empty());
    let said = demo.said();
    assert!(said.contains(" an hour, in the buffer and in S3"), "{said}");
    assert!(said.contains("`make clean-stack`"), "{said}");

    // The detector cannot write its list any more: it fails before it takes a run.
    let list = demo.root().join("daq-runs.jsonl");
    fs::remove_file(&list).unwrap();
    fs::create_dir(&list).unwrap();
    let folder = std::mem::replace(&mut demo.folder, TempDir::new().unwrap());
    let mut again = Demo::start_in(folder);
    let status = again.child.wait().unwrap();
    let said = again.said();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("log/detector.log"), "{said}");
    assert!(!said.contains("the first run"), "{said}");
}

#[test]
fn what_is_broken_under_it_is_mended_and_nothing_is_lost() {
    let demo = Demo::start();
    demo.wait_for_runs();
    for (what, shown) in [
        ("kill-m2c", "it was started again"),
        ("cut-network", "the runs that waited are stored"),
        ("corrupt-file", "is quarantined: "),
    ] {
        let output = Command::new(AQUIFER)
            .args(["demo", "break", what, "--secs", "3", "--root"])
            .arg(demo.root())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{what}: {said}{complaint}");
        assert!(said.contains(shown), "{what}: {said}");
        assert!(said.ends_with(" 0 unaccounted\n"), "{what}: {said}");
    }
    demo.wait_for_runs();
}
