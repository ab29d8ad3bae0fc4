//! Processes of a stack: how they are recognised and how they are ended.
//!
//! Each server carries a mark in its environment, so that what is left of a crashed stack
//! is found without trusting a recorded process id. A process is named by its id and its
//! start time together: an id alone may by now belong to somebody else.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::StackError;

/// The environment variable that marks the processes of a stack: `<start>:<root>`.
pub(crate) const MARK: &str = "AQUIFER_STACK";
/// How often a condition is looked at.
pub(crate) const POLL: Duration = Duration::from_millis(20);
/// How long a server may take to end in order.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How long the kernel may take to end what was killed.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// One process, never mistaken for a later one with the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    /// The process id.
    pub(crate) pid: u32,
    /// When it started, in clock ticks after boot: field 22 of proc(5) `stat`.
    pub(crate) started: u64,
}

impl ProcessId {
    /// The process that has this id now; `None` if none runs.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let started = running_since(&stat)?;
        Some(Self { pid, started })
    }

    /// Whether this very process still runs.
    pub(crate) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Sends a signal if the process still runs.
    pub(crate) fn signal(self, signal: Signal) {
        if self.is_alive() {
            // It may have ended since the check, or belong to another user now: in both
            // cases there is nothing to do, and the caller looks whether it is gone.
            let _ = kill(Pid::from_raw(self.pid as i32), signal);
        }
    }
}

/// The start time in a line of `/proc/<pid>/stat`, if it is of a process that runs.
fn running_since(stat: &str) -> Option<u64> {
    // The second field is the program's name in parentheses, with anything in it.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    match fields.next()? {
        "Z" | "X" => None,
        _ => fields.nth(18)?.parse().ok(),
    }
}

/// The processes that carry the mark of any start of the stack in `root`.
pub(crate) fn of_stack(root: &Path) -> Result<Vec<ProcessId>, StackError> {
    let listing = fs::read_dir("/proc").map_err(StackError::io("list", "/proc"))?;
    let pids = listing
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    Ok(pids
        .filter_map(ProcessId::of)
        .filter(|process| is_marked(process.pid, root).unwrap_or(false))
        .collect())
}

fn is_marked(pid: u32, root: &Path) -> io::Result<bool> {
    let environment = fs::read(format!("/proc/{pid}/environ"))?;
    Ok(environment
        .split(|byte| *byte == 0)
        .filter_map(|entry| entry.strip_prefix(MARK.as_bytes())?.strip_prefix(b"="))
        .filter_map(|mark| mark.splitn(2, |byte| *byte == b':').nth(1))
        .any(|marked| marked == root.as_os_str().as_bytes()))
}

/// Ends all processes of the stack in `root`: SIGTERM, and SIGKILL for those that do not
/// heed it in time.
pub(crate) async fn end_all(root: &Path) -> Result<(), StackError> {
    for (signal, patience) in [
        (Signal::SIGTERM, PATIENCE),
        (Signal::SIGKILL, KILL_PATIENCE),
    ] {
        let processes = of_stack(root)?;
        for process in &processes {
            process.signal(signal);
        }
        if all_ended(&processes, patience).await {
            break;
        }
    }
    match of_stack(root)?.first() {
        None => Ok(()),
        Some(process) => Err(StackError::StillAlive {
            pid: process.pid,
            root: root.to_path_buf(),
            waited: PATIENCE + KILL_PATIENCE,
        }),
    }
}

/// Waits until all of `processes` have ended; `false` if some still run after `patience`.
pub(crate) async fn all_ended(processes: &[ProcessId], patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    while processes.iter().any(|process| process.is_alive()) {
        if Instant::now() >= deadline {
            return false;
        }
        sleep(POLL).await;
    }
    true
}

#[cfg(test)]
mod tests {
    use std::process::{self, Command, Stdio};

    use super::*;

    #[test]
    fn the_start_time_is_found_behind_any_name() {
        let line = "7 (a) b (c) S 1 7 7 0 -1 4 1 0 0 0 2 3 0 0 20 0 1 0 987654 1 2 3";
        assert_eq!(running_since(line), Some(987_654));
        assert_eq!(running_since(&line.replace(" S ", " Z ")), None);
        assert_eq!(running_since("garbage"), None);
    }

    #[test]
    fn a_process_with_another_start_time_is_another_process() {
        let me = ProcessId::of(process::id()).unwrap();
        assert!(me.is_alive());
        let other = ProcessId {
            started: me.started + 1,
            ..me
        };
        assert!(!other.is_alive());
        other.signal(Signal::SIGKILL);
    }

    #[tokio::test]
    async fn only_processes_marked_with_this_root_are_ended() {
        let sleeper = |root: &str| {
            Command::new("sleep")
                .arg("60")
                .env(MARK, format!("start:{root}"))
                .stdin(Stdio::null())
                .spawn()
                .unwrap()
        };
        let (mut mine, mut other) = (sleeper("/nowhere/mine"), sleeper("/nowhere/mine:too"));
        let root = Path::new("/nowhere/mine");
        // The mark shows once the child has executed its program.
        while of_stack(root).unwrap().is_empty() {
            sleep(POLL).await;
        }
        end_all(root).await.unwrap();
        assert!(mine.try_wait().unwrap().is_some());
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
