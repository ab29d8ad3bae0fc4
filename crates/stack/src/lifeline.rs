//! Ties the servers' lives to the process that started them.
//!
//! A small shell waits on a pipe whose other end only this process holds. When this
//! process ends in any way, also by SIGKILL, the kernel closes the pipe and the shell
//! ends the servers. (`PR_SET_PDEATHSIG` would not do: it follows the *thread* that
//! started a server, and a runtime's threads come and go.)

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::StackError;
use crate::process::{MARK, POLL};

/// What the shell does. It needs `grep`, `sleep` and `rm` of any Linux.
const SCRIPT: &str = include_str!("lifeline.sh");
/// The shell.
const SHELL: &str = "/bin/sh";

/// While it lives, the servers with its mark live.
#[derive(Debug)]
pub(crate) struct Lifeline {
    /// Closed when this process ends. The standard library opens it close-on-exec, so that
    /// no other child holds it.
    hold: Option<ChildStdin>,
    shell: Child,
}

impl Lifeline {
    /// Starts to watch over servers marked with `mark`, and over what is to go with them.
    pub(crate) fn tie(mark: &str, goes_with_them: &[PathBuf]) -> Result<Self, StackError> {
        let mut shell = Command::new(SHELL)
            .args(["-c", SCRIPT, "aquifer-lifeline"])
            .arg(format!("{MARK}={mark}"))
            .args(goes_with_them)
            .current_dir("/")
            // Ctrl-C on the terminal goes to the whole foreground group: not to this one.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(StackError::io("start", SHELL))?;
        Ok(Self {
            hold: shell.stdin.take(),
            shell,
        })
    }

    /// Lets go and waits until the shell has ended what still runs.
    pub(crate) async fn release(mut self, patience: Duration) -> Result<(), StackError> {
        drop(self.hold.take());
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            let ended = self.shell.try_wait();
            if ended.map_err(StackError::io("wait for", SHELL))?.is_some() {
                return Ok(());
            }
            sleep(POLL).await;
        }
        Err(StackError::StillAlive {
            pid: self.shell.id(),
            root: "/".into(),
            waited: patience,
        })
    }
}
