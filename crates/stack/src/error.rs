//! What can go wrong with a stack, with enough in the message to act on.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use thiserror::Error;

use crate::Server;

/// A stack that could not be started, read or stopped.
#[derive(Debug, Error)]
pub enum StackError {
    /// A program of the stack is not where it is looked for.
    #[error("{what} not found (looked at {looked})\nhint: run `make setup`")]
    Missing {
        /// What is missing.
        what: &'static str,
        /// The paths that were tried.
        looked: String,
    },
    /// The folder cannot be used.
    #[error("cannot use `{path}` as a stack's folder: {reason}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        reason: &'static str,
    },
    /// Another process runs a stack in this folder.
    #[error(
        "a stack already runs in `{root}`\nhint: `aquifer down` stops it; `--root` names another folder"
    )]
    InUse {
        /// The folder.
        root: PathBuf,
    },
    /// No block of free ports was found.
    #[error("no {count} free neighbouring ports on 127.0.0.1 between {low} and {high}")]
    Ports {
        /// Ports needed.
        count: u16,
        /// The lowest port tried.
        low: u16,
        /// The highest port tried.
        high: u16,
    },
    /// A file, folder or process could not be handled.
    #[error("cannot {action} `{path}`: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Certificates could not be made.
    #[error("cannot make certificates: {0}")]
    Certificates(rcgen::Error),
    /// A server's folder could not be made.
    #[error("{server}: `{program}` failed ({status}); it said:\n{output}")]
    Prepare {
        /// Which server.
        server: Server,
        /// The program that was to make it.
        program: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// The end of its output.
        output: String,
    },
    /// A server ended by itself while starting.
    #[error("{server} ended while starting ({status}); the end of its log {log}:\n{tail}")]
    Exited {
        /// Which server.
        server: Server,
        /// How it ended.
        status: ExitStatus,
        /// Its log.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// A server runs but does not answer as it should.
    #[error(
        "{server} is not healthy after {waited:.1?}: {reason}; the end of its log {log}:\n{tail}"
    )]
    Unhealthy {
        /// Which server.
        server: Server,
        /// How long it was given.
        waited: Duration,
        /// What the last look found.
        reason: String,
        /// Its log.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// `stack.json` is not what a stack writes.
    #[error("cannot read `{path}`: {source}")]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A process did not end in time.
    #[error("process {pid} of the stack in `{root}` still runs after {waited:.1?}")]
    StillAlive {
        /// The process.
        pid: u32,
        /// The stack's folder.
        root: PathBuf,
        /// How long it was given.
        waited: Duration,
    },
}

impl StackError {
    /// For `map_err`: what was tried on which path.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}
