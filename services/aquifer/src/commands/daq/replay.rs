//! `aquifer daq replay`: the runs of a run book, taken anew in their order, faster and
//! smaller. Runs in which the DAQ died break off without an end and without a word, and
//! numbers that were used again are used again.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use aquifer_catalogue::Catalogue;
use aquifer_runbook::{Columns, Row, RunBook, Value};
use aquifer_schemas::{RunState, Site};
use aquifer_sim::{Daq, DetectorConfig, PlannedRun, RunKind};
use jiff::{SignedDuration, Timestamp};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::serve;
use super::voice::Voice;
use crate::cli::ReplayArgs;
use crate::commands::import::read_book;
use crate::config::Config;
use crate::failure::Hinted;
use crate::output;

/// Bytes of an event, where the book has events and no size.
const BYTES_PER_EVENT: f64 = 3.7e6;

/// How long a run took in which the DAQ died.
const CRASHED_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// How long a file may take to be stored before another one needs its name.
const PATIENCE: Duration = Duration::from_mins(5);

/// Time between two looks at it.
const LOOK: Duration = Duration::from_millis(200);

/// Takes the runs of the book.
pub(super) fn replay(config: &Config, args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let (book, columns) = read_book(&args.book, args.columns.as_deref())?;
    let mut plans = plans(book, &columns, args, Timestamp::now());
    plans.truncate(args.runs.unwrap_or(usize::MAX));
    let site = config.site()?;
    let detector = DetectorConfig {
        seed: args.seed,
        ..DetectorConfig::small(site.clone())
    };
    let names = Names {
        buffer: config.m2c.buffer.clone(),
        config: config.clone(),
        site,
    };
    let take = move |mut daq: Daq, voice: &Voice, shutdown: &CancellationToken| {
        let mut crashed = 0;
        let mut taken = 0;
        for plan in &plans {
            if shutdown.is_cancelled() {
                break;
            }
            names.make_room(plan, shutdown)?;
            let truth = daq.take_planned(plan, &mut |event| voice.hear(event))?;
            crashed += u64::from(truth.crashed);
            taken += 1;
        }
        let planned = plans.len();
        let line = format!("{taken} of {planned} runs taken; in {crashed} of them the DAQ died");
        Ok(output::line(line)?)
    };
    let daq = |pace| {
        let (buffer, list) = (&config.m2c.buffer, &config.audit.daq_run_list);
        Ok(Daq::new(detector, buffer, list)?.with_pace(pace))
    };
    serve(config, args.service.until_stdin_closes, false, daq, take)
}

/// The runs of the book in the order in which they were taken, from `now` on.
fn plans(book: RunBook, columns: &Columns, args: &ReplayArgs, now: Timestamp) -> Vec<PlannedRun> {
    let mut rows: Vec<Row> = book.rows;
    rows.retain(|row| row.start.is_some());
    rows.sort_by_key(|row| (row.start, row.run));
    let faster = |time: SignedDuration| {
        let secs = time.as_secs_f64().max(0.0) / args.speed;
        Duration::try_from_secs_f64(secs).unwrap_or(Duration::ZERO)
    };
    let pause_at_most = Duration::try_from_secs_f64(args.pause_at_most).unwrap_or(Duration::MAX);
    let mut plans: Vec<PlannedRun> = Vec::with_capacity(rows.len());
    let mut due = now;
    for (at, row) in rows.iter().enumerate() {
        let lasted = row.start.zip(row.stop);
        let lasted = lasted.map_or(CRASHED_AFTER, |(start, stop)| stop.duration_since(start));
        let duration = faster(lasted);
        plans.push(plan(row, columns, due, duration, args.scale));
        let next = rows.get(at + 1).and_then(|next| next.start).zip(row.start);
        let until_next = next.map_or(SignedDuration::ZERO, |(next, this)| {
            next.duration_since(this)
        });
        due += faster(until_next).clamp(duration, duration.saturating_add(pause_at_most));
    }
    plans
}

fn plan(
    row: &Row,
    columns: &Columns,
    starts_at: Timestamp,
    duration: Duration,
    scale: f64,
) -> PlannedRun {
    let by_events = || row.events.map(|events| events as f64 * BYTES_PER_EVENT);
    let size = row.size.map(|size| size as f64).or_else(by_events);
    let pedestal = row.attributes.iter().any(|(name, value)| {
        name.eq_ignore_ascii_case(&columns.pedestal) && *value == Value::Flag(true)
    });
    PlannedRun {
        number: row.run,
        kind: if pedestal {
            RunKind::Pedestal
        } else {
            RunKind::Standard
        },
        description: row.description.clone().unwrap_or_default(),
        starts_at,
        duration,
        bytes: (size.unwrap_or_default() * scale) as u64,
        crashes: row.stop.is_none(),
    }
}

/// Names of files in the buffer, of which a number that is used again needs one twice.
struct Names {
    buffer: PathBuf,
    config: Config,
    site: Site,
}

impl Names {
    /// Removes the older file that has the name of the next one, as a logger does that
    /// overwrites; but not before it is stored.
    fn make_room(&self, plan: &PlannedRun, shutdown: &CancellationToken) -> anyhow::Result<()> {
        let file = self.buffer.join(plan.file().as_str());
        let shown = || file.display().to_string();
        if !file.try_exists().with_context(shown)? {
            return Ok(());
        }
        let stored = Handle::current().block_on(self.is_stored(plan, shutdown))?;
        if !stored {
            let what = format!(
                "run {} is used again, and its older file is not stored",
                plan.number
            );
            return Err(Hinted::new(what, "is the ingester of this buffer running?").into());
        }
        let mut named = file.clone().into_os_string();
        named.push(".crc32c");
        for old in [
            file.as_path(),
            &file.with_extension("crc32c"),
            Path::new(&named),
        ] {
            match std::fs::remove_file(old) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| old.display().to_string());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the last run under the number reaches the storage in time.
    async fn is_stored(
        &self,
        plan: &PlannedRun,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<bool> {
        let catalogue = Catalogue::connect(&self.config.catalogue).await?;
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until && !shutdown.is_cancelled() {
            let versions = catalogue.versions(&self.site, plan.number).await?;
            let stored = |state| matches!(state, RunState::Stored | RunState::Safe);
            if versions.last().is_some_and(|run| stored(run.state)) {
                return Ok(true);
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use aquifer_sim::Past;

    use super::*;

    #[test]
    fn runs_keep_their_order_and_their_crashes() {
        let past = Past::new(3, 100);
        let book = RunBook::parse(&past.text, &Columns::default()).unwrap();
        let args = ReplayArgs {
            book: PathBuf::new(),
            speed: 100.0,
            scale: 1e-5,
            pause_at_most: 2.0,
            runs: None,
            columns: None,
            seed: 1,
            service: crate::cli::ServiceArgs {
                until_stdin_closes: false,
            },
        };
        let now = Timestamp::UNIX_EPOCH;
        let plans = plans(book, &Columns::default(), &args, now);
        assert_eq!(plans.len(), past.truth.runs);
        let crashed: Vec<_> = plans
            .iter()
            .filter(|plan| plan.crashes)
            .map(|plan| plan.number)
            .collect();
        assert_eq!(crashed, past.truth.never_ended);
        let last: Vec<_> = plans[plans.len() - 2..]
            .iter()
            .map(|plan| plan.number)
            .collect();
        assert_eq!(last, past.truth.reused, "used again at the end");
        for pair in plans.windows(2) {
            let gap = pair[1].starts_at.duration_since(pair[0].starts_at);
            let gap = Duration::try_from(gap).unwrap();
            assert!(gap >= pair[0].duration && gap <= pair[0].duration + Duration::from_secs(2));
        }
        let typical = plans
            .iter()
            .filter(|plan| (14_000..16_000).contains(&plan.bytes));
        assert!(typical.count() > 60);
    }
}
