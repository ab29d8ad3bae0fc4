//! A whole run book: its rows, and by line what could not be taken as it stands.

use std::collections::BTreeMap;
use std::fmt;

use aquifer_schemas::RunNumber;
use serde::Serialize;
use thiserror::Error;

use crate::columns::Columns;
use crate::row::{self, Row};
use crate::text::{Record, records};

/// Most commas too many in one line that are looked into: a shifter's sentence, not
/// another table.
const MOST_EXTRA: usize = 24;

/// A text that is no run book.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BookError {
    /// There is nothing in it.
    #[error("the run book is empty")]
    Empty,
    /// It lacks a column without which nothing can be said.
    #[error("the run book has no column `{column}` (it has {head})")]
    NoColumn {
        /// The missing column.
        column: String,
        /// The columns that are there.
        head: String,
    },
}

/// Something that was not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Complaint {
    /// Line of the text, counted from 1.
    pub line: u64,
    /// What it is.
    #[serde(flatten)]
    pub kind: ComplaintKind,
}

/// What was not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "complaint")]
pub enum ComplaintKind {
    /// The book has no such column, so that it says nothing of it for any run.
    NoColumn {
        /// The column.
        column: String,
        /// What it would say.
        of: &'static str,
    },
    /// Commas stood unquoted in a text; there is one way only to put it together.
    CommasMended {
        /// The texts that were put together.
        columns: Vec<String>,
    },
    /// Another number of fields than columns, and no or several ways to mend it: the
    /// line is left out.
    LeftOut {
        /// Fields of the line.
        fields: usize,
        /// Columns of the book.
        columns: usize,
        /// In how many ways it could be read.
        ways: usize,
    },
    /// The line has no run number: it is left out.
    NoRun {
        /// What stands in its place.
        value: String,
    },
    /// A field is not what its column is for: it is left empty.
    Unreadable {
        /// The column.
        column: String,
        /// What stands there.
        value: String,
        /// What should.
        expected: String,
    },
    /// The run stands in the book twice, word for word: it counts once.
    Double {
        /// The run.
        run: RunNumber,
        /// Where it stands first.
        first: u64,
    },
    /// The run stands in the book twice and the lines differ: the later one counts.
    Contradiction {
        /// The run.
        run: RunNumber,
        /// Where it stands first.
        first: u64,
    },
    /// The number was used for another run before: this is its next version.
    NumberReused {
        /// The run.
        run: RunNumber,
        /// Where the number was used last.
        first: u64,
    },
}

impl Complaint {
    /// Whether the line is not among the rows.
    pub fn is_loss(&self) -> bool {
        matches!(
            self.kind,
            ComplaintKind::LeftOut { .. } | ComplaintKind::NoRun { .. }
        )
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        match &self.kind {
            ComplaintKind::NoColumn { column, of } => {
                write!(
                    f,
                    "there is no column `{column}`: the {of} is not known of any run"
                )
            }
            ComplaintKind::CommasMended { columns } => {
                write!(f, "unquoted commas in {}: put together", columns.join(", "))
            }
            ComplaintKind::LeftOut {
                fields,
                columns,
                ways,
            } => write!(
                f,
                "{fields} fields for {columns} columns and {ways} ways to read it: left out"
            ),
            ComplaintKind::NoRun { value } => {
                write!(f, "`{value}` is no run number: left out")
            }
            ComplaintKind::Unreadable {
                column,
                value,
                expected,
            } => write!(f, "{column} is `{value}`, not {expected}: left empty"),
            ComplaintKind::Double { run, first } => {
                write!(
                    f,
                    "run {run} again, word for word as in line {first}: counted once"
                )
            }
            ComplaintKind::Contradiction { run, first } => write!(
                f,
                "run {run} again, other than in line {first}: this line counts"
            ),
            ComplaintKind::NumberReused { run, first } => write!(
                f,
                "number {run} used again for another run than in line {first}: its next version"
            ),
        }
    }
}

/// A run book, read.
#[derive(Debug, Clone, PartialEq)]
pub struct RunBook {
    /// The runs by number and version.
    pub rows: Vec<Row>,
    /// What was not as it should be, by line.
    pub complaints: Vec<Complaint>,
}

impl RunBook {
    /// Reads a run book. Only a text without the columns of run and start is refused as
    /// a whole.
    pub fn parse(text: &str, columns: &Columns) -> Result<Self, BookError> {
        let mut records = records(text, None);
        let head: Vec<String> = records.next().ok_or(BookError::Empty)?.fields;
        Self::read(&head, records, columns)
    }

    /// Reads the rows of a table whose columns are `head`. Their lines are counted from 1.
    /// Refuses what [`RunBook::parse`] does.
    pub fn of_table(
        head: &[String],
        rows: impl IntoIterator<Item = Vec<String>>,
        columns: &Columns,
    ) -> Result<Self, BookError> {
        let rows = (1..).zip(rows);
        let records = rows.map(|(line, fields)| Record { line, fields });
        Self::read(head, records, columns)
    }

    fn read(
        head: &[String],
        records: impl Iterator<Item = Record>,
        columns: &Columns,
    ) -> Result<Self, BookError> {
        let head: Vec<String> = head.iter().map(|name| name.trim().to_owned()).collect();
        for column in [&columns.run, &columns.start] {
            if !head.iter().any(|name| name.eq_ignore_ascii_case(column)) {
                return Err(BookError::NoColumn {
                    column: column.clone(),
                    head: head.join(", "),
                });
            }
        }
        let mut reader = Reader {
            head,
            columns,
            runs: BTreeMap::new(),
            complaints: Vec::new(),
        };
        reader.miss_columns();
        for record in records {
            reader.record(record);
        }
        Ok(Self {
            rows: reader.runs.into_values().flatten().collect(),
            complaints: reader.complaints,
        })
    }
}

struct Reader<'a> {
    head: Vec<String>,
    columns: &'a Columns,
    /// The versions of each number, in the order of their lines.
    runs: BTreeMap<RunNumber, Vec<Row>>,
    complaints: Vec<Complaint>,
}

impl Reader<'_> {
    /// Says of columns that a loss would be read from that they are not there: else a
    /// misspelt name would look like a loss of every run.
    fn miss_columns(&mut self) {
        let columns = self.columns;
        for (column, of) in [
            (&columns.stop, "end"),
            (&columns.size, "size"),
            (&columns.cloud, "copy in object storage"),
        ] {
            let there = self
                .head
                .iter()
                .any(|name| name.eq_ignore_ascii_case(column));
            if !there && !column.is_empty() {
                let column = column.clone();
                self.complain(1, ComplaintKind::NoColumn { column, of });
            }
        }
    }

    fn record(&mut self, record: Record) {
        let line = record.line;
        let Some(fields) = self.whole(record) else {
            return;
        };
        match row::read(line, &self.head, &fields, self.columns) {
            Ok((row, unreadable)) => {
                for field in unreadable {
                    self.complain(
                        line,
                        ComplaintKind::Unreadable {
                            column: field.column,
                            value: field.value,
                            expected: field.expected.to_owned(),
                        },
                    );
                }
                self.enter(row);
            }
            Err(field) => self.complain(line, ComplaintKind::NoRun { value: field.value }),
        }
    }

    /// As many fields as columns, where that can be had.
    fn whole(&mut self, record: Record) -> Option<Vec<String>> {
        let (found, wanted) = (record.fields.len(), self.head.len());
        if found == wanted {
            return Some(record.fields);
        }
        let mut ways = if found > wanted && found - wanted <= MOST_EXTRA {
            self.ways(&record.fields, found - wanted)
        } else {
            Vec::new()
        };
        let kind = if ways.len() == 1 {
            let (columns, fields) = ways.remove(0);
            self.complain(record.line, ComplaintKind::CommasMended { columns });
            return Some(fields);
        } else {
            ComplaintKind::LeftOut {
                fields: found,
                columns: wanted,
                ways: ways.len(),
            }
        };
        self.complain(record.line, kind);
        None
    }

    /// Every way in which `extra` commas belong to the columns of text and all other
    /// columns can be read, with the columns that were put together.
    fn ways(&self, fields: &[String], extra: usize) -> Vec<(Vec<String>, Vec<String>)> {
        let texts: Vec<usize> = (0..self.head.len())
            .filter(|at| self.columns.is_text(&self.head[*at]))
            .collect();
        shares(extra, texts.len())
            .into_iter()
            .filter_map(|shares| {
                let mut mended = Vec::with_capacity(self.head.len());
                let mut names = Vec::new();
                let mut at = 0;
                for (column, name) in self.head.iter().enumerate() {
                    let more = texts
                        .iter()
                        .position(|text| *text == column)
                        .map_or(0, |text| shares[text]);
                    mended.push(fields[at..=at + more].join(","));
                    at += more + 1;
                    if more > 0 {
                        names.push(name.clone());
                    }
                }
                row::fits(&self.head, &mended, self.columns).then_some((names, mended))
            })
            .collect()
    }

    fn enter(&mut self, mut row: Row) {
        let (run, line) = (row.run, row.line);
        let versions = self.runs.entry(run).or_default();
        let same_run = versions
            .iter()
            .position(|known| known.start == row.start || known.start.is_none());
        let kind = match (same_run, versions.last()) {
            (Some(at), _) => {
                let known = &mut versions[at];
                let first = known.line;
                (row.version, row.line) = (known.version, known.line);
                if *known == row {
                    ComplaintKind::Double { run, first }
                } else {
                    row.line = line;
                    *known = row;
                    ComplaintKind::Contradiction { run, first }
                }
            }
            (None, Some(last)) => {
                let first = last.line;
                row.version = last.version + 1;
                versions.push(row);
                ComplaintKind::NumberReused { run, first }
            }
            (None, None) => {
                versions.push(row);
                return;
            }
        };
        self.complain(line, kind);
    }

    fn complain(&mut self, line: u64, kind: ComplaintKind) {
        self.complaints.push(Complaint { line, kind });
    }
}

/// All ways to share `extra` among `places`.
fn shares(extra: usize, places: usize) -> Vec<Vec<usize>> {
    match places {
        0 => Vec::new(),
        1 => vec![vec![extra]],
        _ => (0..=extra)
            .flat_map(|first| {
                shares(extra - first, places - 1)
                    .into_iter()
                    .map(move |rest| [vec![first], rest].concat())
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "run_number,run_description,start_time,sequence_filename,stop_time,number_of_events,file_size,storage_cloud_status,HV_STATE\n";

    fn book(rows: &str) -> RunBook {
        RunBook::parse(&(HEAD.to_owned() + rows), &Columns::default()).unwrap()
    }

    #[test]
    fn a_row_is_taken_as_it_stands() {
        let book = book(
            "7,first light,2022-03-21 15:17:13,seq.msl,2022-03-21 15:17:26,8.0,1588004699,1,0\n8,,2022-03-21 15:18:00,,,,-1,-1,\n",
        );
        assert_eq!(book.complaints, []);
        let [first, second] = &book.rows[..] else {
            panic!("{book:?}")
        };
        assert_eq!(first.run, 7);
        assert_eq!(first.start, "2022-03-21 15:17:13".parse().ok());
        assert_eq!(first.events, Some(8));
        assert_eq!(first.size, Some(1_588_004_699));
        assert_eq!(first.attributes["HV_STATE"], row::Value::Flag(false));
        assert_eq!(
            (second.stop, second.events, second.size),
            (None, None, None)
        );
        assert_eq!(second.line, 3);
    }

    #[test]
    fn unquoted_commas_are_put_together_where_there_is_one_way() {
        let book = book(
            "7,one, two,2022-03-21 15:17:13,a.msl,,1,-1,1,0\n8,x,2022-03-21 16:00:00,b, c.msl,,1,-1,1,0\n",
        );
        assert_eq!(book.rows[0].description.as_deref(), Some("one, two"));
        assert_eq!(book.rows[0].events, Some(1));
        assert_eq!(
            book.rows[1].attributes["sequence_filename"],
            row::Value::Text("b, c.msl".to_owned())
        );
        let mended: Vec<_> = book.complaints.iter().map(ToString::to_string).collect();
        assert_eq!(
            mended,
            [
                "line 2: unquoted commas in run_description: put together",
                "line 3: unquoted commas in sequence_filename: put together",
            ]
        );
    }

    #[test]
    fn a_line_that_can_be_read_in_no_or_two_ways_is_left_out_and_reported() {
        let book = book(
            "7,x,2022-03-21 15:17:13,a.msl\n8,x,not a time,a.msl,,1,-1,1,0,5\n9,y,2022-03-21 15:17:13,a.msl,,1,-1,1,0\n",
        );
        assert_eq!(book.rows.len(), 1);
        let losses: Vec<_> = book.complaints.iter().filter(|c| c.is_loss()).collect();
        assert_eq!(losses.len(), 2);
        assert_eq!((losses[0].line, losses[1].line), (2, 3));
    }

    #[test]
    fn double_rows_count_once_and_reused_numbers_are_versions() {
        let row = "7,x,2022-03-21 15:17:13,a.msl,,1,-1,1,0\n";
        let more = "7,x,2022-03-21 15:17:13,a.msl,2022-03-21 15:20:00,1,-1,1,0\n7,y,2023-01-01 00:00:00,a.msl,,2,-1,1,0\n";
        let book = book(&(row.to_owned() + row + more));
        let found: Vec<_> = book
            .rows
            .iter()
            .map(|row| (row.version, row.line, row.events))
            .collect();
        assert_eq!(found, [(1, 4, Some(1)), (2, 5, Some(2))]);
        let kinds: Vec<_> = book.complaints.iter().map(|c| c.kind.clone()).collect();
        assert_eq!(
            kinds,
            [
                ComplaintKind::Double { run: 7, first: 2 },
                ComplaintKind::Contradiction { run: 7, first: 2 },
                ComplaintKind::NumberReused { run: 7, first: 4 },
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_left_empty_and_reported() {
        let book = book("7,x,0000-00-00 00:00:00,a.msl,,many,-1,yes,0\nx,x,,,,,,,\n");
        assert_eq!(book.rows.len(), 1);
        assert_eq!(book.complaints.len(), 4);
        assert!(book.complaints[3].is_loss());
    }

    #[test]
    fn a_text_without_runs_is_refused() {
        let columns = Columns::default();
        assert_eq!(RunBook::parse("", &columns), Err(BookError::Empty));
        assert!(matches!(
            RunBook::parse("a,b\n1,2\n", &columns),
            Err(BookError::NoColumn { .. })
        ));
    }

    #[test]
    fn commas_are_shared_in_all_ways() {
        assert_eq!(shares(2, 2), [[0, 2], [1, 1], [2, 0]]);
        assert_eq!(shares(1, 0), Vec::<Vec<usize>>::new());
    }

    #[test]
    fn a_column_that_is_not_there_is_no_loss_of_every_run() {
        let text = "run_number,start_time,end_of_run,file_size,storage_cloud_status\n\
                    1,2024-01-01 00:00:00,2024-01-01 00:05:00,10,1\n";
        let said = |columns: &Columns| -> Vec<String> {
            let book = RunBook::parse(text, columns).unwrap();
            book.complaints.iter().map(ToString::to_string).collect()
        };
        let missed = "line 1: there is no column `stop_time`: the end is not known of any run";
        assert_eq!(said(&Columns::default()), [missed]);
        let named = Columns::set("stop = \"end_of_run\"").unwrap();
        assert_eq!(said(&named), [""; 0]);
    }
}
