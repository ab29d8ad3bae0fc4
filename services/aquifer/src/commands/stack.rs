//! `aquifer stack`: where a private stack listens.

use std::path::Path;
use std::process::ExitCode;

use aquifer_stack::{Attached, Stack};

use crate::cli::StackCommand;
use crate::failure::Hinted;
use crate::output;

/// Prints endpoints and credentials.
pub(super) fn run(command: StackCommand) -> anyhow::Result<ExitCode> {
    let StackCommand::Show { root, json } = command;
    let attached = attach(&root.root)?;
    let endpoints = &attached.endpoints;
    if json {
        output::json(endpoints)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (db, s3) = (&endpoints.mariadb, &endpoints.s3);
    let lines = [
        format!("kafka     {}", endpoints.kafka_bootstrap),
        format!("          kcat -b {} -L", endpoints.kafka_bootstrap),
        format!("mariadb   {}", db.url()),
        format!(
            "          mariadb -h {} -P {} -u {} -p{} {}",
            db.host, db.port, db.user, db.password, db.database
        ),
        format!(
            "s3        {} bucket {} region {}",
            s3.endpoint, s3.bucket, s3.region
        ),
        format!(
            "          AWS_ACCESS_KEY_ID={} AWS_SECRET_ACCESS_KEY={} s5cmd --endpoint-url {} ls s3://{}/",
            s3.access_key, s3.secret_key, s3.endpoint, s3.bucket
        ),
        format!("folder    {}", endpoints.root.display()),
    ];
    for text in lines {
        output::line(text)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The stack that runs in `root`.
pub(super) fn attach(root: &Path) -> anyhow::Result<Attached> {
    Stack::attach(root)?.ok_or_else(|| {
        Hinted::new(
            format!("no stack runs in `{}`", root.display()),
            "`aquifer up` starts one; `--root` names another folder",
        )
        .into()
    })
}
