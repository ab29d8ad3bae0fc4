//! The systemd units: what that of the DAQ's host starts is started here as systemd does
//! it, and what it expects to be told is heard.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::deployment::AQUIFER;

fn unit(service: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/systemd");
    std::fs::read_to_string(folder.join(format!("aquifer-{service}.service"))).unwrap()
}

/// The value of a setting, which stands once.
fn setting<'a>(unit: &'a str, name: &str) -> &'a str {
    let mut values = unit
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let value = values.next().unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(values.next(), None, "{name} stands twice");
    value
}

/// A configuration of which only this host can be reached.
fn config(folder: &Path) -> PathBuf {
    std::fs::create_dir(folder.join("buffer")).unwrap();
    let config = folder.join("aquifer.toml");
    let text = format!(
        r#"
        [storage]
        endpoint = "http://127.0.0.1:1"
        bucket = "none"
        access-key = "none"
        secret-key = "none"
        [kafka]
        bootstrap-servers = "127.0.0.1:1"
        [catalogue]
        port = 1
        [m2c]
        listen = "127.0.0.1:0"
        site = "LAB"
        buffer = "{folder}/buffer"
        journal = "{folder}/journal"
        "#,
        folder = folder.display()
    );
    std::fs::write(&config, text).unwrap();
    config
}

#[test]
fn the_unit_starts_the_ingester_and_hears_of_its_life() {
    let unit = unit("m2c");
    assert_eq!(setting(&unit, "Type"), "notify");
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let manager = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    manager
        .set_read_timeout(Some(Duration::from_mins(1)))
        .unwrap();
    let heard = |wanted: &str| {
        let mut said = [0; 256];
        loop {
            let count = manager
                .recv(&mut said)
                .unwrap_or_else(|error| panic!("no {wanted}: {error}"));
            if &said[..count] == wanted.as_bytes() {
                return;
            }
        }
    };
    let mut words = setting(&unit, "ExecStart").split_whitespace();
    assert_eq!(words.next(), Some("/usr/bin/aquifer"));
    let mut child = Command::new(AQUIFER)
        .args(words.map(|word| match word {
            "/etc/aquifer/aquifer.toml" => config.as_os_str(),
            word => word.as_ref(),
        }))
        .env("NOTIFY_SOCKET", folder.path().join("notify"))
        .env("WATCHDOG_USEC", "3000000")
        .env_remove("WATCHDOG_PID")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // With nothing of the middle in reach.
    heard("READY=1");
    heard("WATCHDOG=1");
    heard("WATCHDOG=1");
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    heard("STOPPING=1");
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_units_start_what_there_is() {
    for service in ["m2c", "relay"] {
        let unit = unit(service);
        let mut words = setting(&unit, "ExecStart").split_whitespace();
        assert_eq!(words.next(), Some("/usr/bin/aquifer"));
        let output = Command::new(AQUIFER).args(words).arg("--help").output();
        assert!(output.unwrap().status.success(), "{service}");
    }
}

#[test]
fn systemd_understands_the_units() {
    let Ok(found) = Command::new("systemd-analyze").arg("--version").output() else {
        // Not a host with systemd: the other test knows what the unit starts.
        return;
    };
    assert!(found.status.success());
    let folder = tempfile::tempdir().unwrap();
    for service in ["m2c", "relay"] {
        let path = folder.path().join(format!("aquifer-{service}.service"));
        // It wants the program to be installed.
        std::fs::write(&path, unit(service).replace("/usr/bin/aquifer", AQUIFER)).unwrap();
        let verified = Command::new("systemd-analyze")
            .arg("verify")
            .arg(&path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&verified.stderr);
        assert!(
            verified.status.success() && !said.contains("Unknown"),
            "{said}"
        );
    }
}
