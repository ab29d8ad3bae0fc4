//! Lists by what the DAQ says: the database answers as the expression itself would.

use std::collections::BTreeMap;

use aquifer_catalogue::{Attribute, AttributeValue, Catalogue, RunFilter};
use aquifer_profile::{Expr, Value};
use aquifer_schemas::Period;
use jiff::SignedDuration;

use super::facts::{at, lngs, opened, run};
use super::house::catalogue;
use crate::fixture::block_on;

const RUNS: u64 = 70;

type Attributes = BTreeMap<String, Attribute>;

/// What the `n`-th run says: every kind of value under the same names, and nothing.
fn attributes(n: u64) -> Attributes {
    let mut all = Attributes::new();
    let mut say = |name: &str, value: Attribute| all.insert(name.to_owned(), value);
    match n % 5 {
        0 => say("HV", Attribute::number(400.0 + n as f64)),
        1 => say("HV", Attribute::text("off")),
        2 => say("HV", Attribute::bool(true)),
        3 => say("HV", Attribute::number(0.0)),
        _ => None,
    };
    let beginning = "é".repeat(64);
    match n % 7 {
        0 => say("source", Attribute::text("AmBe")),
        1 => say("source", Attribute::text("100%_!sure")),
        2 => say("source", Attribute::text(&beginning)),
        3 => say("source", Attribute::text(format!("{beginning}{n}"))),
        4 => say("source", Attribute::text("ambe")),
        _ => None,
    };
    say("number", Attribute::number(n as f64));
    all
}

fn value(attribute: &Attribute) -> Value {
    match &attribute.value {
        AttributeValue::Text(text) => Value::Text(text.clone()),
        AttributeValue::Number(number) => Value::Number(*number),
        AttributeValue::Bool(flag) => Value::Bool(*flag),
    }
}

async fn numbers(catalogue: &Catalogue, filter: &RunFilter) -> Vec<u64> {
    let found = catalogue.runs(filter).await.unwrap();
    found.iter().map(|run| run.id.number).collect()
}

#[test]
fn the_database_finds_what_the_expression_holds_for() {
    block_on(async {
        let catalogue = catalogue().await;
        for number in 0..RUNS {
            let mut facts = opened(&run(number));
            // The order of recording is not that of taking.
            let minutes = (number * 37 % RUNS) as i64;
            facts.started_at += SignedDuration::from_mins(minutes);
            facts.attributes = attributes(number);
            catalogue.record_opened(&facts).await.unwrap();
        }
        let mut newest_first: Vec<u64> = (0..RUNS).collect();
        newest_first.sort_by_key(|number| std::cmp::Reverse(number * 37 % RUNS));
        let long = format!("source = '{}'", "é".repeat(64));
        let longer = format!("source = '{}3'", "é".repeat(64));
        for text in [
            "true",
            "false",
            "source = 'AmBe'",
            "source != 'AmBe'",
            "not source = 'AmBe'",
            "source > 'B' or source <= 'AmBe'",
            "source ~ 'Am*' or source ~ '100%_!*'",
            "source ~ '???e' and not source ~ 'a*'",
            "source in ('AmBe', 'ambe', 'none')",
            "HV",
            "not HV",
            "HV = 1",
            "HV != 1",
            "HV = 0",
            "HV >= 0",
            "HV > 420 and HV <= 450",
            "HV = 405 or HV = 'off'",
            "HV = off and number < 30",
            "source = 'AmBe' and HV > 400 and not number in (35, 70)",
            "number >= 10 and number < 12",
            "number = 42",
            "number != 42 and nothing = 3",
            "not (source = 'AmBe' or HV = 'off' or nothing)",
            "((number = 7 or number = 8) and source = 'AmBe') or number = 9",
            long.as_str(),
            longer.as_str(),
        ] {
            let expr: Expr = text.parse().unwrap();
            let held = newest_first.iter().copied().filter(|number| {
                let all = attributes(*number);
                expr.holds(&|name: &str| all.get(name).map(value))
            });
            let held: Vec<u64> = held.collect();
            let mut filter = RunFilter {
                holds: Some(expr.clone()),
                ..RunFilter::default()
            };
            assert_eq!(numbers(&catalogue, &filter).await, held, "{text}");
            // The same in pages.
            filter.limit = 4;
            let mut paged = Vec::new();
            loop {
                let page = catalogue.runs(&filter).await.unwrap();
                let Some(last) = page.last() else { break };
                filter.before = Some(last.cursor());
                paged.extend(page.iter().map(|run| run.id.number));
            }
            assert_eq!(paged, held, "{text}, in pages");
        }
    });
}

#[test]
fn attributes_follow_their_run_when_its_begin_becomes_known() {
    block_on(async {
        let catalogue = catalogue().await;
        for number in [1, 2] {
            let mut closed = super::facts::closed(&run(number), &["f"]);
            closed.started_at = None;
            closed.ended_at += SignedDuration::from_mins(number as i64);
            closed.attributes = attributes(42);
            catalogue.record_closed(&closed).await.unwrap();
        }
        let filter = RunFilter {
            holds: Some("number = 42".parse().unwrap()),
            ..RunFilter::default()
        };
        assert_eq!(numbers(&catalogue, &filter).await, [2, 1]);
        // The first one says that it began after both ended.
        let mut late = opened(&run(1));
        late.started_at = at("2026-11-22T09:00:00Z");
        late.attributes = attributes(42);
        catalogue.record_opened(&late).await.unwrap();
        assert_eq!(numbers(&catalogue, &filter).await, [1, 2]);
    });
}

#[test]
fn a_period_has_the_runs_that_it_covers() {
    block_on(async {
        let catalogue = catalogue().await;
        for number in 0..20 {
            let mut facts = opened(&run(number));
            facts.started_at += SignedDuration::from_hours(number as i64);
            catalogue.record_opened(&facts).await.unwrap();
        }
        let all = catalogue.runs(&RunFilter::default()).await.unwrap();
        for (site, from, to) in [
            (Some("LNGS"), "5", "9"),
            (Some("LNF"), "5", "9"),
            (None, "2026-11-22T09:00:00Z", "12"),
            (None, "3", "2026-11-22T15:00:00.123456Z"),
        ] {
            let period = Period {
                name: "SR0".to_owned(),
                site: site.map(|site| site.parse().unwrap()),
                from: Some(from.parse().unwrap()),
                to: Some(to.parse().unwrap()),
                description: String::new(),
            };
            let covered = all
                .iter()
                .filter(|run| period.covers(&lngs(), run.id.number, run.taken_at));
            let covered: Vec<u64> = covered.map(|run| run.id.number).collect();
            assert_eq!(covered.is_empty(), site == Some("LNF"));
            let filter = RunFilter {
                period: Some(period),
                ..RunFilter::default()
            };
            assert_eq!(numbers(&catalogue, &filter).await, covered);
        }
    });
}
