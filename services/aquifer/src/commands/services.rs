//! The services: each is this binary, run as a process of its own.

use std::process::ExitCode;

use aquifer_runtime::service::{self, Context, Router, ServiceOptions};

use crate::cli::{M2cArgs, ServiceArgs};
use crate::config::Config;

/// Runs the ingester.
pub(super) fn m2c(config: &Config, args: &M2cArgs) -> ExitCode {
    let mut m2c = config.m2c.clone();
    m2c.shadow |= args.shadow;
    let settings = aquifer_m2c::Settings {
        m2c,
        experiment: config.experiment.clone(),
        kafka: config.kafka.clone(),
        catalogue: config.catalogue.clone(),
        storage: config.storage.clone(),
    };
    let door = aquifer_m2c::Door::default();
    let service = config.service("m2c", config.m2c.listen);
    start(service, door.routes(), &args.service, |context| {
        aquifer_m2c::run(settings, door, context)
    })
}

/// Runs the publisher of announcements.
pub(super) fn relay(config: &Config, args: &ServiceArgs) -> ExitCode {
    let settings = aquifer_relay::Settings {
        relay: config.relay.clone(),
        kafka: config.kafka.clone(),
        catalogue: config.catalogue.clone(),
    };
    let service = config.service("relay", config.relay.listen);
    start(service, Router::new(), args, |context| {
        aquifer_relay::run(settings, context)
    })
}

/// Runs the API.
pub(super) fn monitor(config: &Config, args: &ServiceArgs) -> ExitCode {
    let settings = aquifer_monitor::Settings {
        monitor: config.monitor.clone(),
        catalogue: config.catalogue.clone(),
        storage: config.storage.clone(),
    };
    let api = aquifer_monitor::Api::default();
    let service = config.service("monitor", config.monitor.listen);
    start(service, api.routes(), args, |context| {
        aquifer_monitor::run(settings, api, context)
    })
}

/// Runs a service until it is told to stop, or its starter is gone. `routes` are more
/// pages at its address.
fn start<F, Running>(
    service: ServiceOptions,
    routes: Router,
    args: &ServiceArgs,
    run: F,
) -> ExitCode
where
    F: FnOnce(Context) -> Running + Send + 'static,
    Running: Future<Output = anyhow::Result<()>> + Send,
{
    let tied = args.until_stdin_closes;
    service::run_with_routes(service, routes, async move |context: Context| {
        tie(tied, &context)?;
        run(context).await
    })
}

/// Drains when whoever holds the other end of standard input is gone.
pub(super) fn tie(tied: bool, context: &Context) -> anyhow::Result<()> {
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
