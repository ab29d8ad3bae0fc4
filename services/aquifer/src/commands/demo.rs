//! `aquifer demo`: everything on one machine, with a simulated detector, to watch.
//!
//! With `--runs` it ends by itself when all of them are stored and announced, audits,
//! and says so by its exit code; otherwise it goes on until it is left.

use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use aquifer_catalogue::{Catalogue, CatalogueError};
use aquifer_profile::{DetectorKind, shipped};
use aquifer_runtime::retry::{Classify as _, ErrorClass};

use super::audit::audit;
use super::up::{Machine, StopSignals};
use crate::cli::{DemoArgs, DetectorArgs};
use crate::output;
use crate::view::{Model, Plain, REFRESH, Screen, Wish, look};

/// How long the last runs may take to be stored and announced.
const SETTLE: Duration = Duration::from_mins(1);

/// Runs the demonstration.
pub(super) async fn run(mut args: DemoArgs) -> anyhow::Result<ExitCode> {
    let profile = &mut args.up.profile;
    profile.get_or_insert_with(|| shipped()[0].name.to_owned());
    let mut machine = Machine::start(&args.up).await?;
    machine.say_where()?;
    output::line(announce(machine.config.experiment.detector, &args.detector))?;
    let catalogue = Catalogue::connect(&machine.config.catalogue).await?;
    let mut model = Model::default();
    look(&catalogue, &mut model).await?;
    let before = model.total();
    let mut watch = Watch {
        end: End::after(&model, &args),
        catalogue,
        model,
    };
    machine.start_command("detector", &detector(&args.detector))?;
    let site = machine.config.m2c.site.clone();
    let watched = if args.plain || !std::io::stdout().is_terminal() {
        watch_plainly(&mut machine, &mut watch).await
    } else {
        watch_live(&mut machine, &mut watch, &site).await
    };
    let verdict = match watched {
        Ok(()) => conclude(&machine, &args).await,
        Err(error) => Err(error),
    };
    // Nobody may be there to read it.
    let _ = output::line("stopping");
    let root = machine.root().to_owned();
    machine.stop().await?;
    let _ = output::line(summary(&root, watch.model.total(), before));
    verdict
}

/// What the detector will do, and what that costs.
fn announce(detector: DetectorKind, args: &DetectorArgs) -> String {
    if detector != DetectorKind::Cameras {
        return format!(
            "detector       {} runs a second of {} events",
            args.rate, args.events
        );
    }
    let picture = 2.0 * f64::from(args.pixels) * f64::from(args.pixels);
    // Once in the buffer, once in the storage.
    let pictures = u64::from(args.frames) * u64::from(args.cameras);
    let per_hour = 2.0 * picture * pictures as f64 * args.rate * 3600.0;
    format!(
        "detector       {} runs a second of {} pictures of {} x {} pixels: {} an hour, in the buffer and in S3",
        args.rate,
        pictures,
        args.pixels,
        args.pixels,
        output::size(per_hour as u64)
    )
}

/// What is left, and how to get rid of it.
fn summary(root: &Path, runs: u64, before: u64) -> String {
    let new = runs.saturating_sub(before);
    let size = output::size(disk_usage(root));
    format!(
        "{new} runs were taken; {runs} runs, {size}, stay in {}; `make clean-stack` or removing the folder ends them",
        root.display()
    )
}

/// Bytes of the disk that a folder takes; what cannot be looked at counts as none.
fn disk_usage(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk_usage(&entry.path()),
        // stat(2): `st_blocks` is in units of 512 bytes whatever the block size is.
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    });
    sizes.sum()
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

/// What is watched, and until when.
struct Watch {
    catalogue: Catalogue,
    model: Model,
    end: End,
}

impl Watch {
    /// Looks again. `Some` says that the catalogue is away, which a demonstration
    /// outlives.
    async fn look(&mut self) -> anyhow::Result<Option<String>> {
        match look(&self.catalogue, &mut self.model).await {
            Ok(()) => Ok(None),
            Err(error) if is_outage(&error) => Ok(Some(format!("waiting: {error}"))),
            Err(error) => Err(error),
        }
    }

    fn is_over(&mut self) -> anyhow::Result<bool> {
        self.end.reached(&self.model)
    }
}

fn is_outage(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<CatalogueError>();
    error.is_some_and(|error| error.class() == ErrorClass::Unavailable)
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

async fn watch_plainly(machine: &mut Machine, watch: &mut Watch) -> anyhow::Result<()> {
    let mut stop = StopSignals::new()?;
    let began = Instant::now();
    let stored_before = watch.model.stored();
    let mut first_is_in = false;
    let mut away = None;
    loop {
        let outage = watch.look().await?;
        if outage.is_none() {
            Plain::show(&watch.model)?;
        }
        if away != outage {
            output::line(outage.as_deref().unwrap_or("the catalogue is back"))?;
            away = outage;
        }
        if !first_is_in && watch.model.stored() > stored_before {
            let after = began.elapsed().as_secs_f64();
            output::line(format!(
                "the first run was stored {after:.1} s after the detector was started"
            ))?;
            first_is_in = true;
        }
        if watch.is_over()? {
            return Ok(());
        }
        tokio::select! {
            () = stop.received() => return Ok(()),
            notes = machine.tend_for(REFRESH) => {
                for note in notes? {
                    output::line(note)?;
                }
            }
        }
    }
}

async fn watch_live(machine: &mut Machine, watch: &mut Watch, site: &str) -> anyhow::Result<()> {
    let mut stop = StopSignals::new()?;
    let title = format!("aquifer: runs of {site} on their way into storage and catalogue");
    let hints = [
        "q or Ctrl-C stops everything. In another terminal:",
        "aquifer runs list",
        "aquifer explain RUN",
        "aquifer audit",
        "aquifer stack show",
    ];
    let mut screen = Screen::open(title, hints.map(str::to_owned).to_vec())?;
    let mut note = String::new();
    loop {
        if let Some(outage) = watch.look().await? {
            note = outage;
        }
        screen.show(&watch.model, &note)?;
        if watch.is_over()? {
            return Ok(());
        }
        let key = tokio::task::spawn_blocking(|| Screen::wish(REFRESH));
        tokio::select! {
            () = stop.received() => return Ok(()),
            (wish, notes) = async { tokio::join!(key, machine.tend_for(REFRESH)) } => {
                if wish?? == Wish::Leave {
                    return Ok(());
                }
                let notes = notes?;
                if !notes.is_empty() {
                    note = notes.join("; ");
                }
            }
        }
    }
}

fn detector(args: &DetectorArgs) -> Vec<String> {
    let mut command: Vec<String> = ["daq", "simulate"].map(str::to_owned).to_vec();
    let mut option = |name: &str, value: String| command.push(format!("--{name}={value}"));
    option("rate", args.rate.to_string());
    option("frames", args.frames.to_string());
    option("pixels", args.pixels.to_string());
    option("cameras", args.cameras.to_string());
    option("events", args.events.to_string());
    option("seed", args.seed.to_string());
    option("crash-probability", args.crash_probability.to_string());
    if let Some(runs) = args.runs {
        option("runs", runs.to_string());
    }
    command
}
