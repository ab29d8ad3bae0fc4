//! Arguments that several commands take.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct JsonArg {
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ServiceArgs {
    /// Stop when standard input is closed: ties the service to who started it
    #[arg(long, hide = true)]
    pub until_stdin_closes: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RootArgs {
    /// Folder of the stack: data, logs, configuration
    #[arg(long, value_name = "DIR", default_value = ".aquifer/run")]
    pub root: PathBuf,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RunArg {
    /// `SITE/NUMBER`, or a number at the default site; `.vN` for a later version
    pub run: String,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}
