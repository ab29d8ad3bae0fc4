//! What people ask a catalogue, and how long the answers take.

use std::io::Write as _;
use std::time::Instant;

use anyhow::ensure;
use aquifer_catalogue::{Catalogue, RunFilter, RunRow};
use aquifer_profile::Expr;
use aquifer_schemas::{RunId, RunState};
use jiff::{SignedDuration, Timestamp};

use super::fill::{EPOCH, SITES, SPACING_SECS, Years};
use super::report::P99_MS;

/// How long the answers to one question took.
pub(super) struct Answer {
    /// The question.
    pub(super) question: &'static str,
    /// Rows in the last answer.
    pub(super) rows: usize,
    /// Sorted, in milliseconds.
    millis: Vec<f64>,
}

impl Answer {
    /// The time that a fraction of all answers did not exceed, in milliseconds.
    pub(super) fn at(&self, fraction: f64) -> f64 {
        let last = self.millis.len().saturating_sub(1);
        let place = (fraction * last as f64).ceil() as usize;
        self.millis.get(place).copied().unwrap_or(f64::NAN)
    }

    /// Whether they were in time.
    pub(super) fn in_time(&self) -> bool {
        self.at(0.99) < P99_MS
    }
}

/// A question: a filter for the `n`-th time, out of so many runs.
type Question = fn(&Years, u64) -> RunFilter;

const QUESTIONS: [(&str, Question); 14] = [
    ("the newest runs", |_, _| RunFilter::default()),
    ("the newest of a site", |_, n| RunFilter {
        site: Some(site(n)),
        ..RunFilter::default()
    }),
    ("a page somewhere, by number", |years, n| RunFilter {
        site: Some(site(n)),
        from_number: Some(somewhere(years, n) / 4),
        to_number: Some(somewhere(years, n) / 4 + 100),
        ..RunFilter::default()
    }),
    ("the runs of a day, at a site", |years, n| {
        let from = taken_at(somewhere(years, n));
        RunFilter {
            site: Some(site(n)),
            since: Some(from),
            until: Some(from + SignedDuration::from_hours(24)),
            ..RunFilter::default()
        }
    }),
    ("those that are incomplete", |_, n| RunFilter {
        site: Some(site(n)),
        states: vec![RunState::Incomplete],
        ..RunFilter::default()
    }),
    ("those quarantined, all of them old", |_, _| RunFilter {
        states: vec![RunState::Quarantined],
        ..RunFilter::default()
    }),
    ("a common type", |_, n| RunFilter {
        site: Some(site(n)),
        run_type: Some("pedestal".to_owned()),
        ..RunFilter::default()
    }),
    ("a rare type", |_, _| RunFilter {
        run_type: Some("laser".to_owned()),
        ..RunFilter::default()
    }),
    ("a type of one year, long ago", |_, n| RunFilter {
        site: Some(site(n)),
        run_type: Some("source".to_owned()),
        ..RunFilter::default()
    }),
    ("a number: `gem_voltage >= 458`", |_, _| {
        holding("gem_voltage >= 458")
    }),
    ("a text: `source = 'Fe55'`", |_, _| {
        holding("source = 'Fe55'")
    }),
    ("a text of one year, long ago: `source = 'AmBe'`", |_, _| {
        holding("source = 'AmBe'")
    }),
    ("one in a million: `description = …`", |years, n| {
        holding(&format!(
            "description = 'shift note {}'",
            somewhere(years, n)
        ))
    }),
    (
        "several: `source = 'AmBe' and gem_voltage > 455 and not pedestal`",
        |_, _| holding("source = 'AmBe' and gem_voltage > 455 and not pedestal"),
    ),
];

/// Asks each so often.
pub(super) async fn ask(
    catalogue: &Catalogue,
    years: &Years,
    times: u32,
) -> anyhow::Result<Vec<Answer>> {
    let mut answers = Vec::new();
    for (question, filter) in QUESTIONS {
        let mut answer = Answer {
            question,
            rows: 0,
            millis: Vec::new(),
        };
        for n in 0..u64::from(times) {
            let filter = RunFilter {
                limit: 20,
                ..filter(years, n)
            };
            let began = Instant::now();
            let runs = catalogue.runs(&filter).await?;
            answer.note(began, runs.len());
            ensure!(
                runs.iter().all(|run| is_meant(run, &filter)),
                "an answer to `{question}` does not pass its filter"
            );
        }
        answers.push(answer.sorted()?);
    }
    let mut detail = Answer {
        question: "everything about one run",
        rows: 0,
        millis: Vec::new(),
    };
    for n in 0..u64::from(times) {
        let seq = somewhere(years, n);
        let id = RunId::first(SITES[(seq % 4) as usize].parse()?, seq / 4 + 1);
        let began = Instant::now();
        let found = catalogue.run_detail(&id).await?;
        let rows = found.map_or(0, |found| found.files.len() + found.transitions.len());
        detail.note(began, rows);
    }
    answers.push(detail.sorted()?);
    Ok(answers)
}

impl Answer {
    fn note(&mut self, began: Instant, rows: usize) {
        self.millis.push(began.elapsed().as_secs_f64() * 1000.0);
        self.rows = rows;
    }

    fn sorted(mut self) -> anyhow::Result<Self> {
        ensure!(self.rows > 0, "`{}` found nothing", self.question);
        self.millis.sort_by(f64::total_cmp);
        let (middle, late) = (self.at(0.5), self.at(0.99));
        writeln!(
            std::io::stderr(),
            "{}: {middle:.1} ms, p99 {late:.1} ms",
            self.question
        )?;
        Ok(self)
    }
}

fn holding(expression: &str) -> RunFilter {
    let holds: Expr = expression.parse().expect("the questions are expressions");
    RunFilter {
        holds: Some(holds),
        ..RunFilter::default()
    }
}

/// What can be told from a row alone.
fn is_meant(run: &RunRow, filter: &RunFilter) -> bool {
    let of_type = filter
        .run_type
        .as_ref()
        .is_none_or(|wanted| run.run_type.as_ref() == Some(wanted));
    let of_site = filter.site.as_ref().is_none_or(|site| run.id.site == *site);
    of_type && of_site && (filter.states.is_empty() || filter.states.contains(&run.state))
}

fn site(n: u64) -> aquifer_schemas::Site {
    let name = SITES[(n % 4) as usize];
    name.parse().expect("the names of the sites are such")
}

/// A run anywhere, another one for each `n` (Knuth's multiplicative hash).
fn somewhere(years: &Years, n: u64) -> u64 {
    1 + (n * 2_654_435_761) % years.runs
}

fn taken_at(seq: u64) -> Timestamp {
    let epoch = format!("{}Z", EPOCH.replace(' ', "T"));
    let epoch: Timestamp = epoch.parse().expect("it is a time");
    epoch + SignedDuration::from_secs((seq * SPACING_SECS) as i64)
}
