//! The history by months: which there are, what one holds, and letting one go.
//!
//! History only grows; runs, files and copies do not need it. A month that nobody asks
//! about may leave the database whole, once all of it was read and kept elsewhere: it is
//! dropped only if it holds exactly the rows that were read.

use std::fmt;
use std::str::FromStr;

use aquifer_schemas::RunId;
use jiff::Timestamp;
use jiff::civil::Date;
use mysql_async::prelude::Queryable;
use mysql_async::{Params, Row};
use serde::{Serialize, Serializer};
use thiserror::Error;

use crate::catalogue::{Catalogue, first};
use crate::error::CatalogueError;
use crate::load::{read_all, run_id};
use crate::read::transition_row;
use crate::rows::TransitionRow;

/// Most steps of one page.
const PAGE: u32 = 5000;

/// A month of the calendar, as `2026-11`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month {
    year: i16,
    month: i8,
}

/// Not a month.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("`{0}` is not a month such as 2026-11")]
pub struct NotAMonth(String);

/// A month of history in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HistoryMonth {
    /// Which.
    pub month: Month,
    /// Steps in it, as the server estimates.
    pub rows_about: u64,
    /// Bytes that they take, as the server estimates.
    pub bytes_about: u64,
}

/// One step of the history, with the run that it is about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ToldStep {
    /// The run.
    pub run: RunId,
    /// The step.
    #[serde(flatten)]
    pub step: TransitionRow,
}

impl Month {
    /// The month of a time, UTC.
    pub fn of(at: Timestamp) -> Self {
        let day = at.to_zoned(jiff::tz::TimeZone::UTC).date();
        Self {
            year: day.year(),
            month: day.month(),
        }
    }

    /// Its partition of the history.
    fn partition(self) -> String {
        format!("p{:04}{:02}", self.year, self.month)
    }

    fn of_partition(name: &str) -> Option<Self> {
        let digits = name.strip_prefix('p')?;
        let (year, month) = (digits.get(..4)?, digits.get(4..)?);
        format!("{year}-{month}").parse().ok()
    }
}

impl FromStr for Month {
    type Err = NotAMonth;

    fn from_str(text: &str) -> Result<Self, NotAMonth> {
        let wrong = || NotAMonth(text.to_owned());
        let first: Date = format!("{text}-01").parse().map_err(|_| wrong())?;
        // A date may be written in other ways, too.
        let month = Self {
            year: first.year(),
            month: first.month(),
        };
        if month.to_string() == text {
            Ok(month)
        } else {
            Err(wrong())
        }
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:04}-{:02}", self.year, self.month))
    }
}

impl Serialize for Month {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Catalogue {
    /// The months of history, oldest first.
    pub async fn history_months(&self) -> Result<Vec<HistoryMonth>, CatalogueError> {
        self.restarting("list the months of history", || async {
            let mut conn = self.conn().await?;
            let query = "SELECT partition_name,table_rows,data_length+index_length \
                         FROM information_schema.partitions \
                         WHERE table_schema=DATABASE() AND table_name='transition' \
                         AND partition_name<>'later' ORDER BY partition_name";
            let rows: Vec<Row> = conn
                .exec(query, Params::Empty)
                .await
                .map_err(CatalogueError::server("list the months of history"))?;
            let months = read_all("partitions", rows, |columns| {
                let name: String = columns.next()?;
                let (rows_about, bytes_about) = (columns.next()?, columns.next()?);
                Ok(Month::of_partition(&name).map(|month| HistoryMonth {
                    month,
                    rows_about,
                    bytes_about,
                }))
            })?;
            Ok(months.into_iter().flatten().collect())
        })
        .await
    }

    /// Steps of a month after row `after`, in order, a page of them; empty at its end.
    pub async fn history(&self, month: Month, after: u64) -> Result<Vec<ToldStep>, CatalogueError> {
        // The name is of digits, and a partition cannot be a parameter.
        let query = format!(
            "SELECT r.site,r.number,r.version,\
             t.id,t.at,t.entity,t.entity_id,t.from_state,t.to_state,t.who,t.why,t.evidence,t.revision \
             FROM transition PARTITION ({}) t JOIN run r ON r.id=t.run_id \
             WHERE t.id>? ORDER BY t.id LIMIT {PAGE}",
            month.partition()
        );
        self.restarting("read a month of history", || async {
            let mut conn = self.conn().await?;
            let rows: Vec<Row> = conn
                .exec(query.as_str(), (after,))
                .await
                .map_err(CatalogueError::server("read a month of history"))?;
            read_all("transition", rows, |columns| {
                Ok(ToldStep {
                    run: run_id(columns)?,
                    step: transition_row(columns)?,
                })
            })
        })
        .await
    }

    /// Lets a month of history go, if it holds exactly `rows` steps; says how many it has
    /// otherwise. Steps are only added to the month that it is, so that an old month does
    /// not change in between.
    pub async fn drop_history(
        &self,
        month: Month,
        rows: u64,
    ) -> Result<Result<(), u64>, CatalogueError> {
        let what = "let a month of history go";
        let partition = month.partition();
        let mut conn = self.conn().await?;
        let query = format!("SELECT COUNT(*) FROM transition PARTITION ({partition})");
        let has = match first(&mut conn, what, &query, Params::Empty).await? {
            Some(mut columns) => columns.next()?,
            None => 0,
        };
        if has != rows {
            return Ok(Err(has));
        }
        conn.query_drop(format!("ALTER TABLE transition DROP PARTITION {partition}"))
            .await
            .map_err(CatalogueError::server(what))?;
        Ok(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_named_as_their_partitions() {
        let month: Month = "2026-03".parse().unwrap();
        assert_eq!(month.partition(), "p202603");
        assert_eq!(Month::of_partition("p202603"), Some(month));
        assert_eq!(month.to_string(), "2026-03");
        assert_eq!(Month::of("2026-03-31T23:59:59Z".parse().unwrap()), month);
        for other in ["", "2026", "2026-13", "2026-3", "202603", "2026-03-01"] {
            assert_eq!(other.parse::<Month>(), Err(NotAMonth(other.to_owned())));
        }
        for partition in ["later", "p", "p2026", "q202603", "p20260é"] {
            assert_eq!(Month::of_partition(partition), None, "{partition}");
        }
    }
}
