//! Between values and SQL: times, words, rows read column by column, and inserts of
//! many rows in few statements.
//!
//! Every value travels as a parameter of a prepared statement. Rows are inserted in
//! chunks whose sizes are powers of two, so that a handful of statements per table
//! serves any number of rows and all stay in the connection's cache.

use std::str::FromStr;

use aquifer_profile::Pattern;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use mysql_async::prelude::{FromValue, Queryable};
use mysql_async::{Row, Value};
use uuid::Uuid;

use crate::error::CatalogueError;

/// Most rows of one statement.
const MOST_ROWS: usize = 512;

/// Cuts a time to what `DATETIME(6)` holds, so that what is read back compares equal.
pub(crate) fn micros(what: &'static str, at: Timestamp) -> Result<Timestamp, CatalogueError> {
    let out_of_range = || CatalogueError::Value {
        what,
        value: at.to_string(),
        why: "times are from the year 1000 to the year 9999",
    };
    // -30610224000 is 1000-01-01T00:00:00Z.
    if at.as_second() < -30_610_224_000 {
        return Err(out_of_range());
    }
    let micros = at.as_nanosecond().div_euclid(1000);
    let micros = i64::try_from(micros).map_err(|_| out_of_range())?;
    Timestamp::from_microsecond(micros).map_err(|_| out_of_range())
}

/// A time that went through [`micros`], as a parameter.
pub(crate) fn time(at: Timestamp) -> Value {
    let utc = TimeZone::UTC.to_datetime(at);
    Value::Date(
        utc.year().unsigned_abs(),
        utc.month().unsigned_abs(),
        utc.day().unsigned_abs(),
        utc.hour().unsigned_abs(),
        utc.minute().unsigned_abs(),
        utc.second().unsigned_abs(),
        utc.subsec_nanosecond().unsigned_abs() / 1000,
    )
}

/// [`time`] of what may be absent.
pub(crate) fn opt_time(at: Option<Timestamp>) -> Value {
    at.map_or(Value::NULL, time)
}

/// The columns of one row, taken from left to right.
pub(crate) struct Columns {
    table: &'static str,
    values: std::vec::IntoIter<Value>,
    column: usize,
}

impl Columns {
    /// `table` names the query in errors.
    pub(crate) fn of(table: &'static str, row: Row) -> Self {
        Self {
            table,
            values: row.unwrap().into_iter(),
            column: 0,
        }
    }

    fn value(&mut self) -> Value {
        self.column += 1;
        self.values.next().unwrap_or(Value::NULL)
    }

    fn unreadable(&self, value: &Value, want: &'static str) -> CatalogueError {
        CatalogueError::Unreadable {
            table: self.table,
            column: self.column - 1,
            value: value.as_sql(false),
            want,
        }
    }

    /// A number, text or anything else that the driver reads; `Option` where NULL is
    /// allowed.
    pub(crate) fn next<T: FromValue>(&mut self) -> Result<T, CatalogueError> {
        let value = self.value();
        mysql_async::from_value_opt(value.clone())
            .map_err(|_| self.unreadable(&value, std::any::type_name::<T>()))
    }

    /// A word of ours.
    pub(crate) fn word<T: FromStr>(&mut self) -> Result<T, CatalogueError> {
        let text: String = self.next()?;
        text.parse()
            .map_err(|_| self.unreadable(&text.into(), std::any::type_name::<T>()))
    }

    /// A word of ours, or NULL.
    pub(crate) fn opt_word<T: FromStr>(&mut self) -> Result<Option<T>, CatalogueError> {
        let text: Option<String> = self.next()?;
        let word = text.map(|text| {
            let parsed = text.parse();
            parsed.map_err(|_| self.unreadable(&text.into(), std::any::type_name::<T>()))
        });
        word.transpose()
    }

    /// A `BINARY(16)` UUID.
    pub(crate) fn uuid(&mut self) -> Result<Uuid, CatalogueError> {
        let bytes: Vec<u8> = self.next()?;
        Uuid::from_slice(&bytes).map_err(|_| self.unreadable(&bytes.into(), "a UUID"))
    }

    /// A time.
    pub(crate) fn time(&mut self) -> Result<Timestamp, CatalogueError> {
        self.opt_time()?
            .ok_or_else(|| self.unreadable(&Value::NULL, "a time"))
    }

    /// A time, or NULL.
    pub(crate) fn opt_time(&mut self) -> Result<Option<Timestamp>, CatalogueError> {
        let value = self.value();
        match read_time(&value) {
            Ok(at) => Ok(at),
            Err(NoTime) => Err(self.unreadable(&value, "a time")),
        }
    }
}

#[derive(Debug, PartialEq)]
struct NoTime;

fn read_time(value: &Value) -> Result<Option<Timestamp>, NoTime> {
    match *value {
        Value::NULL => Ok(None),
        Value::Date(year, month, day, hour, minute, second, micros) => {
            let date = (year, month, day);
            let utc = civil(date, (hour, minute, second, micros)).ok_or(NoTime)?;
            let at = TimeZone::UTC.to_timestamp(utc);
            at.map(Some).map_err(|_| NoTime)
        }
        _ => Err(NoTime),
    }
}

fn civil(
    (year, month, day): (u16, u8, u8),
    (hour, minute, second, micros): (u8, u8, u8, u32),
) -> Option<DateTime> {
    let (year, month, day) = (
        year.try_into().ok()?,
        month.try_into().ok()?,
        day.try_into().ok()?,
    );
    let (hour, minute, second) = (
        hour.try_into().ok()?,
        minute.try_into().ok()?,
        second.try_into().ok()?,
    );
    let nanos = i32::try_from(micros).ok()?.checked_mul(1000)?;
    DateTime::new(year, month, day, hour, minute, second, nanos).ok()
}

/// A pattern as `LIKE` takes it, with `!` as its escape.
pub(crate) fn like(pattern: &Pattern) -> String {
    let mut like = String::new();
    for c in pattern.as_str().chars() {
        match c {
            '*' => like.push('%'),
            '?' => like.push('_'),
            '%' | '_' | '!' => like.extend(['!', c]),
            other => like.push(other),
        }
    }
    like
}

/// Rows to be inserted, in as few statements as the cache can hold.
pub(crate) struct Insert<'a> {
    pub(crate) table: &'static str,
    pub(crate) columns: &'a [&'a str],
    /// What follows the values, such as ` ON DUPLICATE KEY UPDATE …`.
    pub(crate) tail: &'a str,
    pub(crate) rows: Vec<Vec<Value>>,
}

impl Insert<'_> {
    /// Inserts and returns how many rows the server counts as affected.
    pub(crate) async fn run(self, tx: &mut impl Queryable) -> Result<u64, CatalogueError> {
        let mut affected = 0;
        for (statement, values) in self.statements("") {
            let result = tx.exec_iter(statement, values).await;
            let result = result.map_err(CatalogueError::server("insert"))?;
            affected += result.affected_rows();
            let done = result.drop_result().await;
            done.map_err(CatalogueError::server("insert"))?;
        }
        Ok(affected)
    }

    /// Inserts and returns the ids of the rows, in their order.
    pub(crate) async fn ids(self, tx: &mut impl Queryable) -> Result<Vec<u64>, CatalogueError> {
        let given = self.returning(tx, "id").await?;
        given
            .into_iter()
            .map(|mut columns| columns.next())
            .collect()
    }

    /// Inserts and returns these columns of the rows, in their order.
    pub(crate) async fn returning(
        self,
        tx: &mut impl Queryable,
        columns: &str,
    ) -> Result<Vec<Columns>, CatalogueError> {
        let mut all = Vec::with_capacity(self.rows.len());
        let table = self.table;
        for (statement, values) in self.statements(&format!(" RETURNING {columns}")) {
            let given: Vec<Row> = tx
                .exec(statement, values)
                .await
                .map_err(CatalogueError::server("insert"))?;
            all.extend(given.into_iter().map(|row| Columns::of(table, row)));
        }
        Ok(all)
    }

    fn statements(self, returning: &str) -> impl Iterator<Item = (String, Vec<Value>)> + use<> {
        let row = format!("({})", vec!["?"; self.columns.len()].join(","));
        let head = format!(
            "INSERT INTO {} ({}) VALUES ",
            self.table,
            self.columns.join(",")
        );
        let tail = format!("{}{returning}", self.tail);
        let mut rest = self.rows.into_iter();
        std::iter::from_fn(move || {
            let chunk = chunk_size(rest.len())?;
            let values = vec![row.as_str(); chunk].join(",");
            let parameters = rest.by_ref().take(chunk).flatten().collect();
            Some((format!("{head}{values}{tail}"), parameters))
        })
    }
}

/// The largest power of two that is at most `left` and [`MOST_ROWS`].
fn chunk_size(left: usize) -> Option<usize> {
    Some(1 << left.min(MOST_ROWS).checked_ilog2()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_time_reads_back_to_the_microsecond(
            second in -30_610_224_000_i64..253_402_207_200,
            nanosecond in 0_i32..1_000_000_000,
        ) {
            let at = Timestamp::from_second(second).unwrap()
                + jiff::SignedDuration::from_nanos(i64::from(nanosecond));
            let cut = micros("t", at).unwrap();
            prop_assert_eq!(read_time(&time(cut)), Ok(Some(cut)));
            let lost = at.as_nanosecond() - cut.as_nanosecond();
            prop_assert!((0..1000).contains(&lost));
            prop_assert_eq!(micros("t", cut).unwrap(), cut);
        }

        #[test]
        fn chunks_cover_all_rows_with_few_statements(rows in 1_usize..5000) {
            let mut left = rows;
            let mut sizes = std::collections::BTreeSet::new();
            while left > 0 {
                let chunk = chunk_size(left).unwrap();
                prop_assert!(chunk <= left);
                sizes.insert(chunk);
                left -= chunk;
            }
            prop_assert!(sizes.len() <= 10);
        }
    }

    #[test]
    fn a_time_before_the_databases_first_is_refused() {
        let early: Timestamp = "0999-12-31T23:59:59Z".parse().unwrap();
        assert!(micros("t", early).is_err());
        let first: Timestamp = "1000-01-01T00:00:00Z".parse().unwrap();
        assert!(micros("t", first).is_ok());
    }

    #[test]
    fn signs_of_sql_in_a_pattern_are_themselves() {
        let pattern = Pattern::new("run_?%*!.mid".to_owned());
        assert_eq!(like(&pattern), "run!__!%%!!.mid");
    }

    #[test]
    fn a_zero_date_is_no_time() {
        assert_eq!(read_time(&Value::Date(0, 0, 0, 0, 0, 0, 0)), Err(NoTime));
        assert_eq!(read_time(&Value::Int(3)), Err(NoTime));
        assert_eq!(read_time(&Value::NULL), Ok(None));
    }

    #[test]
    fn a_statement_has_one_parameter_for_each_value() {
        let insert = Insert {
            table: "t",
            columns: &["a", "b"],
            tail: " ON DUPLICATE KEY UPDATE a=a",
            rows: vec![vec![Value::Int(1), Value::Int(2)]; 3],
        };
        let statements: Vec<_> = insert.statements(" RETURNING id").collect();
        let texts: Vec<_> = statements.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "INSERT INTO t (a,b) VALUES (?,?),(?,?) ON DUPLICATE KEY UPDATE a=a RETURNING id",
                "INSERT INTO t (a,b) VALUES (?,?) ON DUPLICATE KEY UPDATE a=a RETURNING id",
            ]
        );
        assert_eq!(statements[0].1.len(), 4);
        assert_eq!(statements[1].1.len(), 2);
    }
}
