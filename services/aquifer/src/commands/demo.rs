//! `aquifer demo`: everything on one machine, with a simulated detector, to watch.
//!
//! With `--runs` it ends by itself when all of them are stored and announced, audits,
//! and says so by its exit code; otherwise it goes on until it is left.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use aquifer_catalogue::Catalogue;

use super::audit::audit;
use super::up::{Machine, StopSignals};
use crate::cli::{DemoArgs, DetectorArgs};
use crate::output;
use crate::view::{Model, Plain, REFRESH, Screen, Wish, look};

/// How long the last runs may take to be stored and announced.
const SETTLE: Duration = Duration::from_mins(1);

/// Runs the demonstration.
pub(super) async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let mut machine = Machine::start(&args.up).await?;
    machine.say_where()?;
    let catalogue = Catalogue::connect(&machine.config.catalogue).await?;
    let mut model = Model::default();
    look(&catalogue, &mut model).await?;
    let end = End::after(&model, &args);
    machine.start_command("detector", &detector(&args.detector))?;
    let watched = if args.plain || !std::io::stdout().is_terminal() {
        watch_plainly(&mut machine, &catalogue, end).await
    } else {
        watch_live(&mut machine, &catalogue, end, &args.up.site).await
    };
    let verdict = match watched {
        Ok(()) => conclude(&machine, &args).await,
        Err(error) => Err(error),
    };
    output::line("stopping")?;
    machine.stop().await?;
    verdict
}

/// The audit that ends a demonstration of a given number of runs.
async fn conclude(machine: &Machine, args: &DemoArgs) -> anyhow::Result<ExitCode> {
    if args.detector.runs.is_none() {
        return Ok(ExitCode::SUCCESS);
    }
    let report = audit(&machine.config, true, true).await?;
    output::line(format!(
        "audit: {} files stored and read back, {} quarantined, {} in progress, {} unaccounted",
        report.tally.stored, report.tally.quarantined, report.tally.in_progress, report.unaccounted
    ))?;
    Ok(if report.unaccounted == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Knows when a demonstration of a given number of runs is over.
struct End {
    runs: Option<u64>,
    deadline: Option<Instant>,
}

impl End {
    /// The end that is reached when the runs asked for have joined those there are.
    fn after(model: &Model, args: &DemoArgs) -> Self {
        Self {
            runs: args.detector.runs.map(|runs| model.total() + runs),
            deadline: None,
        }
    }

    /// Whether the wanted runs are all in, and at rest.
    fn reached(&mut self, model: &Model) -> anyhow::Result<bool> {
        if self.runs.is_none_or(|runs| model.total() < runs) {
            return Ok(false);
        }
        if model.is_at_rest() {
            return Ok(true);
        }
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + SETTLE);
        anyhow::ensure!(
            Instant::now() < deadline,
            "runs are still on their way {} s after the last was taken",
            SETTLE.as_secs()
        );
        Ok(false)
    }
}

async fn watch_plainly(
    machine: &mut Machine,
    catalogue: &Catalogue,
    mut end: End,
) -> anyhow::Result<()> {
    let mut stop = StopSignals::new()?;
    let mut model = Model::default();
    let began = Instant::now();
    let mut first = None;
    loop {
        look(catalogue, &mut model).await?;
        Plain::show(&model)?;
        if first.is_none() && model.stored() > 0 {
            let after = began.elapsed().as_secs_f64();
            output::line(format!(
                "the first run was stored {after:.1} s after the detector was started"
            ))?;
            first = Some(after);
        }
        if end.reached(&model)? {
            return Ok(());
        }
        tokio::select! {
            () = stop.received() => return Ok(()),
            died = machine.watch() => output::line(died)?,
            () = tokio::time::sleep(REFRESH) => {}
        }
    }
}

async fn watch_live(
    machine: &mut Machine,
    catalogue: &Catalogue,
    mut end: End,
    site: &str,
) -> anyhow::Result<()> {
    let mut stop = StopSignals::new()?;
    let title = format!("aquifer: runs of {site}, from the buffer into storage, catalogue and bus");
    let hints = vec![
        "q or Ctrl-C stops everything. In another terminal:".to_owned(),
        "  aquifer runs list    aquifer explain RUN    aquifer audit    aquifer stack show"
            .to_owned(),
    ];
    let mut screen = Screen::open(title, hints)?;
    let mut model = Model::default();
    let mut note = String::new();
    loop {
        look(catalogue, &mut model).await?;
        screen.show(&model, &note)?;
        if end.reached(&model)? {
            return Ok(());
        }
        let key = tokio::task::spawn_blocking(|| Screen::wish(REFRESH));
        tokio::select! {
            () = stop.received() => return Ok(()),
            died = machine.watch() => note = died,
            wish = key => if wish?? == Wish::Leave { return Ok(()) },
        }
    }
}

fn detector(args: &DetectorArgs) -> Vec<String> {
    let mut command: Vec<String> = ["daq", "simulate"].map(str::to_owned).to_vec();
    let mut option = |name: &str, value: String| command.push(format!("--{name}={value}"));
    option("rate", args.rate.to_string());
    option("frames", args.frames.to_string());
    option("pixels", args.pixels.to_string());
    option("seed", args.seed.to_string());
    option("crash-probability", args.crash_probability.to_string());
    if let Some(runs) = args.runs {
        option("runs", runs.to_string());
    }
    command
}
