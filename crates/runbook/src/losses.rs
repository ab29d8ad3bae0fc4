//! What a run book shows to be lost, or may have been.

use std::collections::BTreeSet;

use aquifer_schemas::RunNumber;
use serde::Serialize;

use crate::row::Row;
use crate::status::{Claim, Store};

/// What the old scripts could not handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Files above this size were never uploaded, in bytes.
    pub upload: u64,
}

/// What is known to exist elsewhere, as run numbers; `None` where nobody has looked.
#[derive(Debug, Clone, Default)]
pub struct Listings {
    /// Runs with an object in the bucket.
    pub bucket: Option<BTreeSet<RunNumber>>,
    /// Runs with a file on tape.
    pub tape: Option<BTreeSet<RunNumber>>,
}

/// One run that is in a report, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// The run.
    pub run: RunNumber,
    /// Its line in the book.
    pub line: u64,
    /// What the book says of it.
    pub why: String,
}

/// What a run book shows to be lost. A run may be in several lists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LossReport {
    /// Runs without an end: the DAQ died.
    pub never_ended: Vec<Loss>,
    /// Uploaded runs of which the book has no size.
    pub size_lost: Vec<Loss>,
    /// Files above the old limit, by their size or by that of their neighbours.
    pub over_limit: Vec<Loss>,
    /// A copy exists, and the book does not say that it was uploaded.
    pub unmarked: Vec<Loss>,
    /// The book says that a copy exists, and the listing does not have it.
    pub missing: Vec<Loss>,
    /// No copy outside the DAQ's disk that anybody knows of.
    pub nowhere: Vec<Loss>,
    /// Codes of which one cannot tell what they mean, most frequent first.
    pub ambiguous: Vec<AmbiguousCode>,
}

/// A code of which one cannot tell what it means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AmbiguousCode {
    /// What it is about.
    pub store: Store,
    /// The code.
    pub code: i64,
    /// What it may mean.
    pub words: &'static str,
    /// How many runs have it.
    pub runs: usize,
}

impl LossReport {
    /// What `rows` and `listings` show.
    pub fn of(rows: &[Row], listings: &Listings, limits: Limits) -> Self {
        let per_event = bytes_per_event(rows);
        let mut report = Self::default();
        for row in rows {
            let copies = Copies::of(row, listings);
            let loss = |why: String| Loss {
                run: row.run,
                line: row.line,
                why,
            };
            if row.stop.is_none() {
                let kept = if copies.anywhere() {
                    "a copy exists"
                } else {
                    "no copy is known"
                };
                report
                    .never_ended
                    .push(loss(format!("no stop time; {kept}")));
            }
            if row.size.is_none() && copies.cloud_marked {
                let events = row
                    .events
                    .map_or("an unknown number of".to_owned(), |n| n.to_string());
                report.size_lost.push(loss(format!(
                    "uploaded with {events} events, size not recorded"
                )));
            }
            if let Some(why) = over_limit(row, per_event, limits) {
                report.over_limit.push(loss(why));
            }
            if let Some(why) = copies.unmarked() {
                report.unmarked.push(loss(why.to_owned()));
            }
            if let Some(why) = copies.missing() {
                report.missing.push(loss(why.to_owned()));
            }
            if !copies.anywhere() {
                report.nowhere.push(loss(row.remains()));
            }
        }
        report.ambiguous = ambiguous(rows);
        report
    }

    /// How many runs are in no list at all, of `rows`.
    pub fn untouched(&self, rows: &[Row]) -> usize {
        let lists = [
            &self.never_ended,
            &self.size_lost,
            &self.over_limit,
            &self.unmarked,
            &self.missing,
            &self.nowhere,
        ];
        let touched: BTreeSet<u64> = lists.into_iter().flatten().map(|loss| loss.line).collect();
        rows.len() - touched.len()
    }
}

/// What is said and seen of the copies of one run.
struct Copies {
    /// The book says "uploaded".
    cloud_marked: bool,
    /// The book says "on tape", which may mean that it was only asked for.
    tape_marked: bool,
    /// The listing has it; `None` without listing.
    in_bucket: Option<bool>,
    on_tape: Option<bool>,
}

impl Copies {
    fn of(row: &Row, listings: &Listings) -> Self {
        let code = |store: Store| row.codes.get(&store).map(|code| store.meaning(*code).claim);
        let listed =
            |set: &Option<BTreeSet<RunNumber>>| set.as_ref().map(|set| set.contains(&row.run));
        Self {
            cloud_marked: code(Store::Cloud) == Some(Claim::Present),
            tape_marked: row.codes.get(&Store::Tape) == Some(&1),
            in_bucket: listed(&listings.bucket),
            on_tape: listed(&listings.tape),
        }
    }

    /// Whether there is a copy outside the DAQ's disk, by listing where there is one.
    fn anywhere(&self) -> bool {
        self.in_bucket.unwrap_or(self.cloud_marked) || self.on_tape.unwrap_or(self.tape_marked)
    }

    fn unmarked(&self) -> Option<&'static str> {
        if self.cloud_marked {
            return None;
        }
        match (self.in_bucket, self.on_tape) {
            (Some(true), _) => Some("in the bucket, and not marked as uploaded"),
            (_, Some(true)) => Some("on tape, and not marked as uploaded"),
            (_, None) if self.tape_marked => Some("marked as on tape, and not as uploaded"),
            _ => None,
        }
    }

    fn missing(&self) -> Option<&'static str> {
        match (
            self.cloud_marked,
            self.in_bucket,
            self.tape_marked,
            self.on_tape,
        ) {
            (true, Some(false), _, _) => Some("marked as uploaded, and not in the bucket"),
            (_, _, true, Some(false)) => Some("marked as on tape, and not on tape"),
            _ => None,
        }
    }
}

impl Row {
    /// What the book says of a run without a copy.
    pub fn remains(&self) -> String {
        let events = self
            .events
            .map_or("no count of events".to_owned(), |n| format!("{n} events"));
        let said = |store: Store| {
            let code = self.codes.get(&store);
            code.map_or("nothing said", |code| store.meaning(*code).words)
        };
        let (cloud, local) = (said(Store::Cloud), said(Store::Local));
        format!("{cloud}; {events}; on the DAQ's disk: {local}")
    }
}

fn over_limit(row: &Row, per_event: Option<f64>, limits: Limits) -> Option<String> {
    if let Some(size) = row.size {
        return (size > limits.upload).then(|| format!("{size} bytes"));
    }
    let estimate = row
        .events
        .zip(per_event)
        .map(|(events, bytes)| events as f64 * bytes);
    let too_large = estimate.is_some_and(|bytes| bytes > limits.upload as f64);
    let refused = row.codes.get(&Store::Cloud) == Some(&2);
    let about = estimate.map_or(String::new(), |bytes| {
        format!("about {:.1} GB by the events of other runs", bytes / 1e9)
    });
    match (refused, too_large) {
        (true, _) if about.is_empty() => Some("marked as too large or deleted".to_owned()),
        (true, _) => Some(format!("marked as too large or deleted; {about}")),
        (false, true) => Some(about),
        (false, false) => None,
    }
}

/// Median size of an event over the runs whose size is known, in bytes.
fn bytes_per_event(rows: &[Row]) -> Option<f64> {
    let mut sizes: Vec<f64> = rows
        .iter()
        .filter_map(|row| Some((row.size?, row.events.filter(|events| *events > 0)?)))
        .map(|(size, events)| size as f64 / events as f64)
        .collect();
    sizes.sort_by(f64::total_cmp);
    sizes.get(sizes.len() / 2).copied()
}

fn ambiguous(rows: &[Row]) -> Vec<AmbiguousCode> {
    let mut counts = std::collections::BTreeMap::new();
    for (store, code) in rows.iter().flat_map(|row| &row.codes) {
        if matches!(
            store.meaning(*code).claim,
            Claim::Ambiguous | Claim::Unknown
        ) {
            *counts.entry((*store, *code)).or_insert(0) += 1;
        }
    }
    let mut codes: Vec<_> = counts
        .into_iter()
        .map(|((store, code), runs)| AmbiguousCode {
            store,
            code,
            words: store.meaning(code).words,
            runs,
        })
        .collect();
    codes.sort_by_key(|code| std::cmp::Reverse(code.runs));
    codes
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::book::RunBook;
    use crate::columns::Columns;

    const LIMITS: Limits = Limits {
        upload: 5_400_000_000,
    };

    /// number, stop, events, local, cloud, tape, size.
    fn book(rows: &[(&str, &str, &str, &str, &str, &str, &str)]) -> Vec<Row> {
        let mut text = "run_number,start_time,stop_time,number_of_events,storage_local_status,storage_cloud_status,storage_tape_status,file_size\n".to_owned();
        for (run, stop, events, local, cloud, tape, size) in rows {
            writeln!(
                text,
                "{run},2022-03-21 15:17:13,{stop},{events},{local},{cloud},{tape},{size}"
            )
            .unwrap();
        }
        RunBook::parse(&text, &Columns::default()).unwrap().rows
    }

    fn runs(losses: &[Loss]) -> Vec<RunNumber> {
        losses.iter().map(|loss| loss.run).collect()
    }

    const STOP: &str = "2022-03-21 15:20:00";

    #[test]
    fn each_kind_of_loss_is_found_and_nothing_else() {
        let rows = book(&[
            ("1", STOP, "400", "0", "1", "1", "1400000000"),
            ("2", "", "", "-1", "-1", "-1", "-1"),
            ("3", "", "400", "-1", "1", "1", "1400000000"),
            ("4", STOP, "600", "0", "1", "1", "-1"),
            ("5", STOP, "2000", "1", "2", "-1", "-1"),
            ("6", STOP, "9073", "-1", "-1", "-1", "-1"),
            ("7", STOP, "10", "-1", "-1", "1", "-1"),
        ]);
        let report = LossReport::of(&rows, &Listings::default(), LIMITS);
        assert_eq!(runs(&report.never_ended), [2, 3]);
        assert_eq!(runs(&report.size_lost), [4]);
        assert_eq!(runs(&report.over_limit), [5, 6]);
        assert_eq!(runs(&report.unmarked), [7]);
        assert_eq!(runs(&report.nowhere), [2, 5, 6]);
        assert_eq!(runs(&report.missing), Vec::<u64>::new());
        assert_eq!(report.untouched(&rows), 1);
        assert_eq!(
            report.over_limit[1].why,
            "about 31.8 GB by the events of other runs"
        );
    }

    #[test]
    fn a_listing_is_believed_more_than_the_book() {
        let rows = book(&[
            ("1", STOP, "400", "0", "1", "1", "1400000000"),
            ("2", STOP, "400", "1", "-1", "-1", "-1"),
        ]);
        let listings = Listings {
            bucket: Some([2].into()),
            tape: Some(BTreeSet::new()),
        };
        let report = LossReport::of(&rows, &listings, LIMITS);
        assert_eq!(runs(&report.unmarked), [2]);
        assert_eq!(runs(&report.missing), [1]);
        assert_eq!(runs(&report.nowhere), [1]);
    }

    #[test]
    fn codes_with_two_meanings_are_counted() {
        let rows = book(&[
            ("1", STOP, "400", "0", "1", "1", "5"),
            ("2", STOP, "400", "3", "1", "1", "5"),
        ]);
        let found = LossReport::of(&rows, &Listings::default(), LIMITS).ambiguous;
        let found: Vec<_> = found.iter().map(|c| (c.store, c.code, c.runs)).collect();
        assert_eq!(
            found,
            [
                (Store::Tape, 1, 2),
                (Store::Local, 0, 1),
                (Store::Local, 3, 1)
            ]
        );
    }
}
