//! `aquifer down`: stops what `up` or `demo` started, also when its starter is gone.

use std::process::ExitCode;
use std::time::Duration;

use super::stack::attach;
use crate::cli::RootArgs;
use crate::output;

/// How long services and servers may take to end in order.
const PATIENCE: Duration = Duration::from_mins(1);

/// Stops the stack in a folder.
pub(super) async fn run(args: RootArgs) -> anyhow::Result<ExitCode> {
    attach(&args.root)?.stop(PATIENCE).await?;
    output::line(format!("the stack in `{}` is stopped", args.root.display()))?;
    Ok(ExitCode::SUCCESS)
}
