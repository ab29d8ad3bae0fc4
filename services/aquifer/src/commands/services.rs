//! The services: each is this binary, run as a process of its own.

use std::process::ExitCode;

use aquifer_runtime::service::{self, Context};

use crate::cli::ServiceArgs;
use crate::config::Config;

/// Runs the ingester.
pub(super) fn m2c(config: &Config, args: &ServiceArgs) -> ExitCode {
    let settings = aquifer_m2c::Settings {
        m2c: config.m2c.clone(),
        kafka: config.kafka.clone(),
        catalogue: config.catalogue.clone(),
        storage: config.storage.clone(),
    };
    let tied = args.until_stdin_closes;
    let door = aquifer_m2c::Door::default();
    service::run_with_routes(
        config.service("m2c", config.m2c.listen),
        door.routes(),
        async move |context: Context| {
            tie(tied, &context)?;
            aquifer_m2c::run(settings, door, context).await
        },
    )
}

/// Runs the publisher of announcements.
pub(super) fn relay(config: &Config, args: &ServiceArgs) -> ExitCode {
    let settings = aquifer_relay::Settings {
        relay: config.relay.clone(),
        kafka: config.kafka.clone(),
        catalogue: config.catalogue.clone(),
    };
    let tied = args.until_stdin_closes;
    service::run(
        config.service("relay", config.relay.listen),
        async move |context: Context| {
            tie(tied, &context)?;
            aquifer_relay::run(settings, context).await
        },
    )
}

/// Drains when whoever holds the other end of standard input is gone.
fn tie(tied: bool, context: &Context) -> anyhow::Result<()> {
    if !tied {
        return Ok(());
    }
    let shutdown = context.shutdown.clone();
    // A thread of its own, joined by nobody: it may read for as long as the process lives.
    std::thread::Builder::new()
        .name("lifeline".to_owned())
        .spawn(move || {
            // Whether it ends or fails, nobody is at the other end.
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            tracing::info!("the starter is gone");
            shutdown.cancel();
        })?;
    Ok(())
}
