//! `aquifer daq`: a detector that takes runs into the configured buffer and announces them
//! as an experiment's DAQ does, and run books of a past that never was.

mod any;
mod replay;
mod voice;

use std::process::ExitCode;
use std::sync::mpsc as blocking;
use std::time::Duration;

use aquifer_runtime::service::{self, Context, TaskKind};
use aquifer_sim::{Pace, Past};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use self::any::AnyDaq;
use self::voice::{Voice, publish};
use super::services::tie;
use crate::cli::{BookArgs, DaqCommand, SimulateArgs};
use crate::config::Config;
use crate::output;

/// A detector that is late by no more than this catches up, so that its rate holds.
const CATCHES_UP: Duration = Duration::from_secs(1);

/// Takes runs.
pub(super) fn run(config: &Config, command: &DaqCommand) -> anyhow::Result<ExitCode> {
    match command {
        DaqCommand::Simulate(args) => simulate(config, args),
        DaqCommand::Replay(args) => replay::replay(config, args),
        DaqCommand::Book(args) => book(args),
    }
}

/// Prints a run book that is made up.
pub(super) fn book(args: &BookArgs) -> anyhow::Result<ExitCode> {
    output::text(&Past::new(args.seed, args.runs).text)?;
    Ok(ExitCode::SUCCESS)
}

/// Takes runs until the number asked for is taken or the process is told to stop.
fn simulate(config: &Config, args: &SimulateArgs) -> anyhow::Result<ExitCode> {
    config.site()?;
    let runs = args.detector.runs;
    let detector = |pace| AnyDaq::new(config, &args.detector, pace);
    let take = move |mut daq: AnyDaq, voice: &Voice, shutdown: &CancellationToken| {
        let mut taken = 0;
        while runs.is_none_or(|runs| taken < runs) && !shutdown.is_cancelled() {
            daq.take_run(voice)?;
            taken += 1;
        }
        Ok(())
    };
    let tied = args.service.until_stdin_closes;
    serve(config, tied, args.json, detector, take)
}

/// Runs a DAQ as a service until `take` is done or the process is told to stop.
fn serve<D: Send + 'static>(
    config: &Config,
    tied: bool,
    json: bool,
    detector: impl FnOnce(Pace) -> anyhow::Result<D>,
    take: impl FnOnce(D, &Voice, &CancellationToken) -> anyhow::Result<()> + Send + 'static,
) -> anyhow::Result<ExitCode> {
    let (stop, stopped) = blocking::channel();
    let daq = detector(real_time(stopped))?;
    let (voice, announcements) = Voice::of(config, json);
    let kafka = config.kafka.clone();
    let options = config.service("daq", "127.0.0.1:0".parse()?);
    Ok(service::run(options, async move |context: Context| {
        tie(tied, &context)?;
        context.tasks.spawn(
            "announce",
            TaskKind::Background,
            publish(kafka, announcements),
        );
        let shutdown = context.shutdown.clone();
        let mut taken = tokio::task::spawn_blocking(move || take(daq, &voice, &shutdown));
        tokio::select! {
            taken = &mut taken => taken?,
            () = context.shutdown.cancelled() => {
                // The run under way is ended in order, without waiting for its time.
                drop(stop);
                taken.await?
            }
        }
    }))
}

/// Waits on the wall clock until each thing is due. What is only a little late counts
/// as taken in time: else the lateness of each run would delay all that follow.
fn real_time(stopped: blocking::Receiver<()>) -> Pace {
    Box::new(move |due| {
        let wait = due.duration_since(Timestamp::now());
        if let Ok(wait) = Duration::try_from(wait) {
            // Ends early when the process stops.
            let _ = stopped.recv_timeout(wait);
        }
        on_time(due, Timestamp::now())
    })
}

fn on_time(due: Timestamp, now: Timestamp) -> Timestamp {
    match Duration::try_from(now.duration_since(due)) {
        Ok(late) if late <= CATCHES_UP => due,
        _ => now,
    }
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan as _;

    use super::*;

    #[test]
    fn a_little_late_is_on_time_and_early_or_very_late_is_not() {
        let due = Timestamp::UNIX_EPOCH;
        assert_eq!(on_time(due, due + 900.milliseconds()), due);
        let stalled = due + 1100.milliseconds();
        assert_eq!(on_time(due, stalled), stalled);
        let stopped = due - 5.seconds();
        assert_eq!(on_time(due, stopped), stopped);
    }
}
