//! `aquifer on`: what people want done with each run, and how that stands.

mod action;
mod facts;
mod worker;

use std::process::ExitCode;

use aquifer_catalogue::{Catalogue, HookJob, NewHook, hook_run};
use aquifer_runtime::service::{self, Context};
use aquifer_schemas::redact::redact_text;

use self::action::Action;
use self::worker::Worker;
use super::open_catalogue;
use super::services::tie;
use crate::cli::{JsonArg, OnCommand, OnShowArgs, RunStoredArgs};
use crate::config::Config;
use crate::failure::Hinted;
use crate::output;

/// Lists hooks, shows one, or tries its work again.
pub(super) async fn run(config: Config, command: OnCommand) -> anyhow::Result<ExitCode> {
    let catalogue = open_catalogue(&config).await?;
    match command {
        OnCommand::RunStored(_) => unreachable!("it is a service, and started as one"),
        OnCommand::List(JsonArg { json }) => list(&catalogue, json).await?,
        OnCommand::Show(args) => show(&catalogue, &args).await?,
        OnCommand::Retry { name } => {
            require(&catalogue, &name).await?;
            let again = catalogue.retry_hook(&name).await?;
            output::line(format!("{again} are tried again"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Serves a hook until it is told to stop.
pub(super) fn run_stored(config: &Config, args: &RunStoredArgs) -> anyhow::Result<ExitCode> {
    let action = Action::new(args)?;
    let hook = NewHook {
        name: args.name.clone(),
        // It is listed to everybody.
        action: redact_text(&action.to_string()).0,
        site: args.site.clone(),
        run_type: args.run_type.clone(),
        from_begin: args.from_begin,
    };
    let tied = args.service.until_stdin_closes;
    let options = config.service("on", args.listen);
    let worker = Worker::new(config, hook, action, args)?;
    Ok(service::run(options, async move |context: Context| {
        tie(tied, &context)?;
        worker.run(context).await
    }))
}

async fn require(catalogue: &Catalogue, name: &str) -> anyhow::Result<()> {
    let hooks = catalogue.hooks().await?;
    if hooks.iter().any(|hook| hook.name == name) {
        return Ok(());
    }
    let what = format!("nothing is done under the name `{name}`");
    Err(Hinted::new(what, "`aquifer on list` shows the names").into())
}

async fn list(catalogue: &Catalogue, json: bool) -> anyhow::Result<()> {
    let hooks = catalogue.hooks().await?;
    if json {
        return output::json(&hooks);
    }
    let rows = hooks.into_iter().map(|hook| {
        let any = || "any".to_owned();
        vec![
            hook.name,
            hook.event,
            hook.site.map_or_else(any, |site| site.to_string()),
            hook.run_type.unwrap_or_else(any),
            hook.queued.to_string(),
            hook.running.to_string(),
            hook.done.to_string(),
            hook.failed.to_string(),
            hook.action,
        ]
    });
    let titles = [
        "NAME", "ON", "SITE", "TYPE", "WAIT", "RUN", "DONE", "GIVEN UP", "DOES",
    ];
    output::table(&titles, rows)?;
    Ok(())
}

async fn show(catalogue: &Catalogue, args: &OnShowArgs) -> anyhow::Result<()> {
    require(catalogue, &args.name).await?;
    let jobs = catalogue.hook_jobs(&args.name, args.limit).await?;
    if args.json {
        return output::json(&jobs);
    }
    for job in &jobs {
        output::line(headline(job))?;
        let error = job.last_error.iter().map(|error| format!("  {error}"));
        let said = job.outcome.iter().flat_map(|outcome| outcome.lines());
        let said = said.map(|line| format!("  | {line}"));
        for line in error.chain(said) {
            output::line(line.trim_end())?;
        }
    }
    Ok(())
}

fn headline(job: &HookJob) -> String {
    let run = hook_run(&job.key).map_or_else(|| job.key.clone(), |run| run.to_string());
    let state = match job.state.as_str() {
        "leased" => "runs",
        "queued" => "waits",
        "failed" => "GIVEN UP",
        state => state,
    };
    let times = match job.attempts {
        1 => "1 attempt".to_owned(),
        attempts => format!("{attempts} attempts"),
    };
    let next = match job.next_at {
        Some(next) if job.state == "queued" => format!(", next at {}", output::time(next)),
        _ => String::new(),
    };
    let at = output::time(job.updated_at);
    format!("{run}  {state} since {at}, {times}{next}")
}
