//! `aquifer import runlog`: the runs of a run book into the catalogue, some hundred in a
//! transaction.

use std::process::ExitCode;
use std::time::Instant;

use aquifer_catalogue::{Adopted, AdoptedRun, Adoption, Catalogue, ElementKind};
use aquifer_runbook::{Columns, RunBook, Span, Store};
use aquifer_runtime::crash::crash_point;
use aquifer_schemas::RunNumber;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use tokio::task::JoinSet;

use super::adopt::{Places, adopted};
use super::report::{Report, runs, spans};
use super::{bucket_of, introduce, registered, source};
use crate::cli::ImportRunlogArgs;
use crate::commands::{open_catalogue, operator};
use crate::config::Config;
use crate::output;

/// Runs of one transaction: few enough that m2c, which may wait for one of them, does not
/// wait for long.
const BATCH: usize = 512;

/// Transactions at a time.
const AT_A_TIME: usize = 3;

/// What a book became in the catalogue.
#[derive(Debug, Default, Serialize)]
struct Imported {
    /// Runs that were not known.
    added: u64,
    /// Runs of which something was not.
    changed: u64,
    /// Runs of which all was.
    as_they_were: u64,
    /// Runs that had been recorded from their data: nothing of that was changed.
    recorded_here: u64,
    /// Runs that are so young that they are left to the ingester.
    left_to_ingester: Vec<RunNumber>,
    /// How long it took, in seconds.
    seconds: f64,
}

/// All that is said about an import.
#[derive(Serialize)]
struct Said<'a> {
    #[serde(flatten)]
    report: &'a Report,
    imported: Option<&'a Imported>,
}

/// Reads a book and says what it says.
pub(in crate::commands) async fn dry_run(args: ImportRunlogArgs) -> anyhow::Result<ExitCode> {
    let (book, _) = source::read(&args).await?;
    let zone = TimeZone::get(args.time_zone.as_deref().unwrap_or("UTC"))?;
    let spans = spans(&book, &zone);
    say(
        &args,
        &Report::of(book, &spans, &zone, args.upload_limit),
        None,
    )
}

/// Imports a book.
pub(super) async fn run(config: &Config, args: &ImportRunlogArgs) -> anyhow::Result<ExitCode> {
    let (element, bucket) = bucket_of(config, &args.place)?;
    let catalogue = open_catalogue(config).await?;
    let site = registered(&catalogue, &args.site).await?;
    let (book, columns) = source::read(args).await?;
    let zone = TimeZone::get(args.time_zone.as_deref().unwrap_or(&site.time_zone))?;
    let spans = spans(&book, &zone);
    let places = Places {
        site: &args.site,
        keys: &args.place.key_template,
        element,
        bucket,
        tape: args.tape_element.clone(),
    };
    let url = config.storage.at_bucket(&places.bucket).url();
    introduce_elements(&catalogue, &book, &places, &url).await?;
    let began = Instant::now();
    let mut imported = Imported::default();
    let batches = batches(&book, &spans, &columns, &places, args, &mut imported)?;
    let who = operator();
    // Each on any core: to write a statement takes a third of the time of its execution.
    let mut adopting = JoinSet::new();
    let mut batches = batches.into_iter();
    loop {
        for batch in batches.by_ref().take(AT_A_TIME - adopting.len()) {
            let (catalogue, site, who) = (catalogue.clone(), args.site.clone(), who.clone());
            adopting.spawn(async move {
                let done = catalogue.adopt_runs(&site, &batch, &who).await;
                crash_point("import.batch-committed");
                done
            });
        }
        let Some(done) = adopting.join_next().await else {
            break;
        };
        for run in &done?? {
            imported.count(run);
        }
    }
    imported.seconds = began.elapsed().as_secs_f64();
    say(
        args,
        &Report::of(book, &spans, &zone, args.upload_limit),
        Some(&imported),
    )
}

/// Registers the elements on which the book claims copies; that of object storage is at
/// `url`.
async fn introduce_elements(
    catalogue: &Catalogue,
    book: &RunBook,
    places: &Places<'_>,
    url: &str,
) -> anyhow::Result<()> {
    let claimed = |store: Store| {
        let mut codes = book.rows.iter().filter_map(|row| row.codes.get(&store));
        codes.any(|code| store.claims(*code))
    };
    if claimed(Store::Cloud) {
        introduce(catalogue, &places.element, ElementKind::S3, url).await?;
    }
    if claimed(Store::Tape) {
        introduce(catalogue, &places.tape, ElementKind::Tape, "").await?;
    }
    Ok(())
}

/// The runs of the book that are to be imported. All versions of a number are in one
/// batch: which one a row means is decided with the others in sight.
fn batches(
    book: &RunBook,
    spans: &[Span],
    columns: &Columns,
    places: &Places<'_>,
    args: &ImportRunlogArgs,
    imported: &mut Imported,
) -> anyhow::Result<Vec<Vec<AdoptedRun>>> {
    let now = Timestamp::now();
    let mut batches: Vec<Vec<AdoptedRun>> = Vec::new();
    for (row, span) in book.rows.iter().zip(spans) {
        let young = |began: Timestamp| now.duration_since(began) < args.leave_younger;
        if span.start.is_some_and(|start| young(start.at)) {
            imported.left_to_ingester.push(row.run);
            continue;
        }
        let run = adopted(row, span, columns, places)?;
        match batches.last_mut() {
            Some(batch)
                if batch.len() < BATCH
                    || batch.last().is_some_and(|last| last.number == run.number) =>
            {
                batch.push(run);
            }
            _ => batches.push(vec![run]),
        }
    }
    Ok(batches)
}

impl Imported {
    fn count(&mut self, run: &Adopted) {
        let counter = match run.outcome {
            Adoption::Added => &mut self.added,
            Adoption::Changed => &mut self.changed,
            Adoption::AsItWas => &mut self.as_they_were,
        };
        *counter += 1;
        self.recorded_here += u64::from(run.recorded_here);
    }
}

fn say(
    args: &ImportRunlogArgs,
    report: &Report,
    imported: Option<&Imported>,
) -> anyhow::Result<ExitCode> {
    if args.json {
        output::json(&Said { report, imported })?;
    } else {
        report.print()?;
        if let Some(imported) = imported {
            print(imported)?;
        }
    }
    Ok(ExitCode::from(u8::from(report.left_out > 0)))
}

fn print(imported: &Imported) -> anyhow::Result<()> {
    let counts = [
        (imported.added, "added"),
        (imported.changed, "changed"),
        (imported.as_they_were, "as they were"),
        (
            imported.recorded_here,
            "of these recorded from their data: left as they are",
        ),
    ];
    output::line("imported")?;
    for (count, what) in counts {
        output::line(format!("{count:>6}  {what}"))?;
    }
    runs(
        "too young: left to the ingester",
        imported.left_to_ingester.iter(),
    )
}
