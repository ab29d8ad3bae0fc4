//! `aquifer stack`: where a private stack listens, and whether its servers answer.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use aquifer_stack::{Attached, Endpoints, Server, Stack};
use serde::Serialize;

use crate::cli::StackCommand;
use crate::failure::Hinted;
use crate::output;

/// Endpoints, and what each server answers.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    endpoints: &'a Endpoints,
    /// `null` for a server that answers, else what was found instead.
    trouble: BTreeMap<Server, Option<String>>,
}

/// Prints endpoints and credentials; exit code 1 if a server does not answer.
pub(super) async fn run(command: StackCommand) -> anyhow::Result<ExitCode> {
    let StackCommand::Show { root, json } = command;
    let attached = attach(&root.root)?;
    let endpoints = &attached.endpoints;
    let answers = attached.probe().await;
    let code = if answers.values().all(Result::is_ok) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    };
    if json {
        let trouble = answers.into_iter();
        output::json(&Shown {
            endpoints,
            trouble: trouble
                .map(|(server, answer)| (server, answer.err()))
                .collect(),
        })?;
        return Ok(code);
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
    for (server, answer) in &answers {
        match answer {
            Ok(()) => output::line(format!("{server:<9} answers"))?,
            Err(found) => output::line(format!("{server:<9} does not answer: {found}"))?,
        }
    }
    Ok(code)
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
