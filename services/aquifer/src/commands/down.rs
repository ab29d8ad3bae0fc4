//! `aquifer down`: stops what `up` or `demo` started, also when its starter is gone.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use super::stack::attach;
use crate::cli::DownArgs;
use crate::output;

/// How long services and servers may take to end in order.
const PATIENCE: Duration = Duration::from_mins(1);

/// Stops the stack in a folder.
pub(super) async fn run(args: DownArgs) -> anyhow::Result<ExitCode> {
    let root = &args.root.root;
    attach(root)?.stop(PATIENCE).await?;
    if args.json {
        output::json(&json!({ "root": root, "stopped": true }))?;
    } else {
        output::line(format!("the stack in `{}` is stopped", root.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
