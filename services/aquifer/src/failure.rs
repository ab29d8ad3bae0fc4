//! How the command line says that something went wrong: what happened, to what, and
//! what to do next. Exit codes: 0 done, 1 failed or found something, 2 wrong usage.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use aquifer_bus::BusError;
use aquifer_catalogue::CatalogueError;
use aquifer_runtime::config::ConfigError;
use aquifer_runtime::retry::{Classify, ErrorClass};

/// An error with advice.
#[derive(Debug)]
pub(crate) struct Hinted {
    what: String,
    hint: String,
    wrong_usage: bool,
}

impl Hinted {
    /// `what` happened; `hint` says what to do.
    pub(crate) fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            hint: hint.into(),
            wrong_usage: false,
        }
    }

    /// As [`Hinted::new`], where the command line itself is wrong.
    pub(crate) fn usage(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            wrong_usage: true,
            ..Self::new(what, hint)
        }
    }
}

impl fmt::Display for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Hinted {}

/// Prints `error` with its causes and a hint where there is one.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    let mut stderr = std::io::stderr().lock();
    // Nothing is left to do if the terminal is gone.
    let _ = writeln!(stderr, "error: {}", said_once(error));
    if let Some(hint) = hint(error) {
        let _ = writeln!(stderr, "hint: {hint}");
    }
    let hinted = error.downcast_ref::<Hinted>();
    let wrong_usage = error.downcast_ref::<ConfigError>().is_some()
        || hinted.is_some_and(|hinted| hinted.wrong_usage);
    ExitCode::from(if wrong_usage { 2 } else { 1 })
}

/// The error and its causes, without what an outer one has said already.
fn said_once(error: &anyhow::Error) -> String {
    let mut said = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !said.contains(&cause) {
            said.push_str(": ");
            said.push_str(&cause);
        }
    }
    said
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

fn hint(error: &anyhow::Error) -> Option<String> {
    let hinted = error
        .downcast_ref::<Hinted>()
        .map(|hinted| hinted.hint.clone());
    if let Some(ConfigError::Read { .. }) = error.downcast_ref() {
        return Some("`--config FILE` or the variable AQUIFER_CONFIG names it".to_owned());
    }
    hinted.or_else(|| {
        error.chain().find_map(|cause| {
            let unreachable = cause
                .downcast_ref::<CatalogueError>()
                .is_some_and(is_unavailable)
                || cause
                    .downcast_ref::<BusError>()
                    .is_some_and(is_unavailable);
            unreachable.then(|| {
                "is it running? `aquifer stack show` says which server of a private stack answers, `aquifer up` starts one".to_owned()
            })
        })
    })
}

fn is_unavailable(error: &impl Classify) -> bool {
    error.class() == ErrorClass::Unavailable
}
