//! The schema and its versions.
//!
//! One idempotent statement per migration, because `MariaDB` commits before and after each
//! DDL statement: a migration that was interrupted is simply run again. All run under a
//! named lock of the server. Services only check the version: a schema that is older,
//! newer or made from other text is refused.

use std::time::Duration;

use jiff::civil::Date;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Params, Row};
use serde::Serialize;

use crate::catalogue::{Catalogue, first};
use crate::error::CatalogueError;
use crate::load::read_all;

/// How long another migration is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(30);

/// Months of history made ahead.
const MONTHS_AHEAD: i32 = 12;

struct Migration {
    version: u32,
    name: &'static str,
    statement: &'static str,
}

macro_rules! migrations {
    ($($version:literal $name:literal $file:literal,)+) => {
        &[$(Migration {
            version: $version,
            name: $name,
            statement: include_str!(concat!("../migrations/", $file)),
        },)+]
    };
}

const MIGRATIONS: &[Migration] = migrations! {
    1 "sites" "V0001__sites.sql",
    2 "elements" "V0002__elements.sql",
    3 "runs" "V0003__runs.sql",
    4 "run_attributes" "V0004__run_attributes.sql",
    5 "files" "V0005__files.sql",
    6 "replicas" "V0006__replicas.sql",
    7 "products" "V0007__products.sql",
    8 "transitions" "V0008__transitions.sql",
    9 "outbox" "V0009__outbox.sql",
    10 "leases" "V0010__leases.sql",
    11 "work" "V0011__work.sql",
    12 "consumer_journal" "V0012__consumer_journal.sql",
    13 "purge_orders" "V0013__purge_orders.sql",
    14 "purge_order_files" "V0014__purge_order_files.sql",
    15 "run_type_by" "V0015__run_type_by.sql",
    16 "periods" "V0016__periods.sql",
    17 "wide_transitions" "V0017__wide_transitions.sql",
    18 "runlog_view" "V0018__runlog_view.sql",
    19 "hooks" "V0019__hooks.sql",
    20 "work_outcomes" "V0020__work_outcomes.sql",
    21 "one_attribute_index" "V0021__one_attribute_index.sql",
};

/// Version of the schema that this program needs.
pub const SCHEMA_VERSION: u32 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// What a migration did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MigrationReport {
    /// Version before, 0 for an empty database.
    pub from: u32,
    /// Version now.
    pub to: u32,
    /// Names of the migrations applied.
    pub applied: Vec<String>,
    /// Months of history prepared, such as `p202611`.
    pub months: Vec<String>,
}

impl Migration {
    /// Identity of its text. Line ends do not count: they depend on the checkout.
    fn checksum(&self) -> String {
        let text = self.statement.replace('\r', "");
        aquifer_schemas::event_id("migration", text.trim(), 0)
            .simple()
            .to_string()
    }
}

impl Catalogue {
    /// Brings the schema to this program's version, creating the database if it is not
    /// there, and prepares a year of months for the history. May be run at any time and
    /// by many at once.
    pub async fn migrate(&self) -> Result<MigrationReport, CatalogueError> {
        let mut conn = self.connect_alone().await?;
        let database = &self.config().database;
        // Named after the database: catalogues on one server do not wait for each other.
        let lock = format!("aquifer-migrate-{database}");
        let lock = lock.chars().take(64).collect::<String>();
        let query = "SELECT GET_LOCK(?,?)";
        let params = (&lock, LOCK_WAIT.as_secs());
        let answer = first(&mut conn, "lock the migration", query, params).await?;
        let got: Option<u8> = match answer {
            Some(mut columns) => columns.next()?,
            None => None,
        };
        if got != Some(1) {
            return Err(CatalogueError::MigrationLocked {
                database: database.clone(),
                waited: LOCK_WAIT,
            });
        }
        // The server drops the lock with the connection, however this ends.
        let report = migrate_locked(&mut conn, database).await;
        let closed = conn.disconnect().await;
        let report = report?;
        closed.map_err(CatalogueError::server("disconnect"))?;
        Ok(report)
    }

    /// Refuses a schema that is not exactly this program's.
    pub async fn require_current_schema(&self) -> Result<(), CatalogueError> {
        self.restarting("check the schema", || async {
            let mut conn = self.connect_alone().await?;
            let applied = applied(&mut conn, &self.config().database).await?;
            let have = check(&applied)?;
            if have < SCHEMA_VERSION {
                return Err(CatalogueError::SchemaTooOld {
                    have,
                    need: SCHEMA_VERSION,
                });
            }
            Ok(())
        })
        .await
    }
}

async fn migrate_locked(
    conn: &mut Conn,
    database: &str,
) -> Result<MigrationReport, CatalogueError> {
    let failed = || CatalogueError::server("migrate");
    let applied_before = applied(conn, database).await?;
    let from = check(&applied_before)?;
    if !has_database(conn, database).await? {
        // The configuration allows only letters, digits and `_` in the name.
        let create = format!(
            "CREATE DATABASE IF NOT EXISTS `{database}` \
             CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"
        );
        conn.query_drop(create).await.map_err(failed())?;
    }
    conn.query_drop(format!("USE `{database}`"))
        .await
        .map_err(failed())?;
    conn.query_drop(
        "CREATE TABLE IF NOT EXISTS schema_version (\
         version INT UNSIGNED NOT NULL PRIMARY KEY, name VARCHAR(64) NOT NULL, \
         checksum CHAR(32) NOT NULL, \
         applied_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)\
         ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin",
    )
    .await
    .map_err(failed())?;
    let mut done = Vec::new();
    for migration in MIGRATIONS.iter().filter(|m| m.version > from) {
        conn.query_drop(migration.statement)
            .await
            .map_err(failed())?;
        let row = (migration.version, migration.name, migration.checksum());
        conn.exec_drop(
            "INSERT INTO schema_version (version,name,checksum) VALUES (?,?,?)",
            row,
        )
        .await
        .map_err(failed())?;
        done.push(migration.name.to_owned());
    }
    Ok(MigrationReport {
        from,
        to: SCHEMA_VERSION,
        applied: done,
        months: prepare_months(conn, database).await?,
    })
}

async fn has_database(conn: &mut Conn, database: &str) -> Result<bool, CatalogueError> {
    let query = "SELECT 1 FROM information_schema.schemata WHERE schema_name=?";
    let found = first(conn, "look for the database", query, (database,)).await?;
    Ok(found.is_some())
}

/// Versions and checksums that the database says were applied.
async fn applied(conn: &mut Conn, database: &str) -> Result<Vec<(u32, String)>, CatalogueError> {
    let failed = || CatalogueError::server("read the schema's version");
    let query = "SELECT 1 FROM information_schema.tables \
                 WHERE table_schema=? AND table_name='schema_version'";
    let table = first(conn, "look for the schema", query, (database,)).await?;
    if table.is_none() {
        return Ok(Vec::new());
    }
    let query =
        format!("SELECT version,checksum FROM `{database}`.schema_version ORDER BY version");
    let rows: Vec<Row> = conn.exec(query, Params::Empty).await.map_err(failed())?;
    read_all("schema_version", rows, |columns| {
        Ok((columns.next()?, columns.next()?))
    })
}

/// The schema's version, if it is a beginning of our migrations.
fn check(applied: &[(u32, String)]) -> Result<u32, CatalogueError> {
    let have = applied.last().map_or(0, |(version, _)| *version);
    if have > SCHEMA_VERSION {
        return Err(CatalogueError::SchemaTooNew {
            have,
            need: SCHEMA_VERSION,
        });
    }
    for (ours, (version, checksum)) in MIGRATIONS.iter().zip(applied) {
        let need = ours.checksum();
        if ours.version != *version || need != *checksum {
            return Err(CatalogueError::SchemaDiverged {
                version: ours.version,
                have: checksum.clone(),
                need,
            });
        }
    }
    Ok(have)
}

/// Splits the catch-all partition of the history into months, so that it stays empty.
async fn prepare_months(conn: &mut Conn, database: &str) -> Result<Vec<String>, CatalogueError> {
    let failed = || CatalogueError::server("prepare months of history");
    let query = "SELECT CAST(CURRENT_DATE() AS CHAR),MAX(partition_name) \
                 FROM information_schema.partitions \
                 WHERE table_schema=? AND table_name='transition' AND partition_name<>'later'";
    let what = "read the months of history";
    let Some(mut columns) = first(conn, what, query, (database,)).await? else {
        return Ok(Vec::new());
    };
    let today: Date = columns.word()?;
    let last: Option<String> = columns.next()?;
    let missing = missing_months(today, last.as_deref());
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let parts = missing
        .iter()
        .map(|(name, end)| format!("PARTITION {name} VALUES LESS THAN ('{end}')"));
    let split = format!(
        "ALTER TABLE transition REORGANIZE PARTITION later INTO \
         ({},PARTITION later VALUES LESS THAN (MAXVALUE))",
        parts.collect::<Vec<_>>().join(",")
    );
    conn.query_drop(split).await.map_err(failed())?;
    Ok(missing.into_iter().map(|(name, _)| name).collect())
}

/// Names and ends (exclusive) of the months after `last`, up to [`MONTHS_AHEAD`] after
/// `today`.
fn missing_months(today: Date, last: Option<&str>) -> Vec<(String, Date)> {
    let ordinal = |date: Date| i32::from(date.year()) * 12 + i32::from(date.month()) - 1;
    let now = ordinal(today);
    let first = last
        .and_then(|name| {
            let digits = name.strip_prefix('p')?;
            let number: i32 = digits.parse().ok()?;
            Some(number / 100 * 12 + number % 100)
        })
        .unwrap_or(now);
    let month = |ordinal: i32| (ordinal.div_euclid(12), ordinal.rem_euclid(12) + 1);
    (first..=now + MONTHS_AHEAD)
        .filter_map(|ordinal| {
            let (year, number) = month(ordinal);
            let (end_year, end_number) = month(ordinal + 1);
            let end = Date::new(end_year.try_into().ok()?, end_number.try_into().ok()?, 1);
            Some((format!("p{year:04}{number:02}"), end.ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied_up_to(version: u32) -> Vec<(u32, String)> {
        let ours = MIGRATIONS.iter().filter(|m| m.version <= version);
        ours.map(|m| (m.version, m.checksum())).collect()
    }

    #[test]
    fn versions_follow_each_other_and_are_idempotent() {
        for (index, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(migration.version as usize, index + 1);
            let text = migration.statement;
            // What is changed to what it is already stays as it is.
            let idempotent = ["IF NOT EXISTS", "MODIFY COLUMN IF EXISTS"];
            let idempotent = idempotent.iter().any(|clause| text.contains(clause));
            assert!(idempotent, "{}", migration.name);
            assert!(!text.trim_end().ends_with(';'), "{}", migration.name);
        }
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let files = std::fs::read_dir(folder).unwrap();
        assert_eq!(files.count(), MIGRATIONS.len(), "a file that is not listed");
    }

    #[test]
    fn only_a_beginning_of_our_migrations_is_accepted() {
        assert_eq!(check(&[]).unwrap(), 0);
        assert_eq!(check(&applied_up_to(3)).unwrap(), 3);
        assert_eq!(
            check(&applied_up_to(SCHEMA_VERSION)).unwrap(),
            SCHEMA_VERSION
        );

        let mut newer = applied_up_to(SCHEMA_VERSION);
        newer.push((SCHEMA_VERSION + 1, "0".repeat(32)));
        assert!(matches!(
            check(&newer),
            Err(CatalogueError::SchemaTooNew { .. })
        ));

        let mut edited = applied_up_to(3);
        edited[1].1 = "0".repeat(32);
        let diverged = check(&edited);
        assert!(matches!(
            diverged,
            Err(CatalogueError::SchemaDiverged { version: 2, .. })
        ));

        let mut holed = applied_up_to(4);
        holed.remove(1);
        assert!(check(&holed).is_err());
    }

    #[test]
    fn a_year_of_months_is_prepared_ahead() {
        let today: Date = "2026-11-22".parse().unwrap();
        let first = missing_months(today, None);
        assert_eq!(first.len(), 13);
        assert_eq!(
            first[0],
            ("p202611".to_owned(), "2026-12-01".parse().unwrap())
        );
        assert_eq!(
            first[1],
            ("p202612".to_owned(), "2027-01-01".parse().unwrap())
        );
        assert_eq!(first[12].0, "p202711");
        assert!(missing_months(today, Some("p202711")).is_empty());
        let next = missing_months("2027-01-01".parse().unwrap(), Some("p202711"));
        let names: Vec<_> = next.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["p202712", "p202801"]);
    }
}
