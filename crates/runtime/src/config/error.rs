//! What can be wrong with a configuration, in words that lead to the place to mend.
//!
//! Messages name the key and its origin and end with a `hint:` line where one is known.
//! They quote neither lines of files nor values of secrets.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// A configuration that cannot be used, and why.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read configuration file `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What the parser expected.
        message: String,
    },
    /// An environment variable or a `--set` that names no key.
    #[error("cannot use `{setting}`: {reason}")]
    Setting {
        /// The variable or the flag, without its value.
        setting: String,
        /// Why.
        reason: &'static str,
    },
    /// A key lies inside something that an earlier layer set to a plain value.
    #[error("`{key}` ({origin}) lies inside `{parent}`, which is not a section")]
    NotASection {
        /// The key.
        key: String,
        /// Where it is set.
        origin: Origin,
        /// What should be a section.
        parent: String,
    },
    /// A key that does not exist, or a value that does not fit.
    #[error("`{key}` ({origin}): {message}{}", hint_line(hint.as_deref()))]
    Value {
        /// The key, dotted.
        key: String,
        /// Where it is set.
        origin: Origin,
        /// What is wrong.
        message: String,
        /// What would be right.
        hint: Option<String>,
    },
    /// Two files of one profile set the same key.
    #[error("`{key}` is set twice: {first} and {second}\nhint: a profile sets each key once")]
    Twice {
        /// The key, dotted.
        key: String,
        /// Where it is set first.
        first: Origin,
        /// Where it is set again.
        second: Origin,
    },
    /// The configuration cannot be written as TOML.
    #[error("cannot write the configuration as TOML")]
    Write(#[source] toml::ser::Error),
}

fn hint_line(hint: Option<&str>) -> String {
    hint.map(|hint| format!("\nhint: {hint}"))
        .unwrap_or_default()
}

/// Where a key was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: the default.
    Default,
    /// In the file, on a line.
    File {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
    /// In the environment, by a variable.
    Environment(String),
    /// On the command line, by `--set`.
    Override(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("not set"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Override(key) => write!(f, "--set {key}"),
        }
    }
}
