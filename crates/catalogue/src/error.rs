//! What can go wrong in the catalogue, and whose fault it is.
//!
//! An outage, a full disk or missing rights of the database are never an error of the
//! data: its [`ErrorClass`] tells them apart, so that a caller waits for the one
//! and buries the other.

use std::borrow::Cow;
use std::time::Duration;

use aquifer_runtime::retry::{Classify, ErrorClass};
use aquifer_schemas::{FileName, RunId, Site};
use jiff::Timestamp;
use thiserror::Error;
use uuid::Uuid;

/// What the catalogue answers when it cannot do what was asked.
#[derive(Debug, Error)]
pub enum CatalogueError {
    /// The configuration cannot work.
    #[error("catalogue: {field} = `{value}` is not {need}")]
    Config {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What it should be.
        need: &'static str,
    },
    /// Runs are taken at registered sites only.
    #[error("site `{site}` is not registered")]
    UnknownSite {
        /// The site.
        site: Site,
    },
    /// Copies are on registered elements only.
    #[error("storage element not registered: one of {elements:?}")]
    UnknownElement {
        /// The elements that were named.
        elements: Vec<String>,
    },
    /// The name is registered, as something else.
    #[error("{what} `{name}` is registered with {have}, not {got}")]
    Registered {
        /// `site` or `storage element`.
        what: &'static str,
        /// Its name.
        name: String,
        /// What is registered.
        have: String,
        /// What was to be registered.
        got: String,
    },
    /// No such run.
    #[error("run {run} is not in the catalogue")]
    UnknownRun {
        /// The run.
        run: RunId,
    },
    /// A sealed file never gets other content under its name.
    #[error("{run} has other content under `{file}`: have {have}, got {got}")]
    Conflict {
        /// The run.
        run: RunId,
        /// The file.
        file: FileName,
        /// Digests in the catalogue.
        have: String,
        /// Digests brought.
        got: String,
    },
    /// A run book tells of another run under this name.
    #[error("{run} began at {have} by its run book, these data at {got}: they are another run")]
    OtherRun {
        /// The run.
        run: RunId,
        /// When the book's run began, or ended where that is not known.
        have: Timestamp,
        /// When that of the data did.
        got: Timestamp,
    },
    /// Files of the run may not be freed from its buffer.
    #[error("{run} cannot be freed: {why}")]
    NotPurgeable {
        /// The run.
        run: RunId,
        /// Why not.
        why: String,
    },
    /// No such purge order.
    #[error("purge order {order} is not in the catalogue")]
    UnknownOrder {
        /// The order.
        order: Uuid,
    },
    /// The files of an order cannot be taken back.
    #[error("the files of purge order {order} cannot be taken back: {why}")]
    NotRestorable {
        /// The order.
        order: Uuid,
        /// Why not.
        why: String,
    },
    /// The state machine has no way from one state to the other.
    #[error("{what} of {run} cannot go from {from} to {to}")]
    IllegalTransition {
        /// Which file or replica.
        what: String,
        /// The run.
        run: RunId,
        /// Its state.
        from: String,
        /// The state asked for.
        to: String,
    },
    /// A value that the catalogue cannot hold.
    #[error("{what} `{value}` cannot be stored: {why}")]
    Value {
        /// What it is.
        what: &'static str,
        /// The value.
        value: String,
        /// Why not.
        why: &'static str,
    },
    /// A message that cannot be encoded.
    #[error("cannot encode the announcement")]
    Encode(#[from] aquifer_schemas::CodecError),
    /// A row that this version cannot read.
    #[error("column {column} of {table} holds {value}, which cannot be read as {want}")]
    Unreadable {
        /// The query's name.
        table: &'static str,
        /// The column, counted from 0.
        column: usize,
        /// What it holds.
        value: String,
        /// What was expected.
        want: &'static str,
    },
    /// The schema is older than this program, or absent.
    #[error(
        "the catalogue's schema is version {have}, this program needs {need}; hint: run `aquifer migrate`"
    )]
    SchemaTooOld {
        /// Version in the database, 0 if none.
        have: u32,
        /// Version of this program.
        need: u32,
    },
    /// The schema is newer than this program.
    #[error(
        "the catalogue's schema is version {have}, newer than the {need} of this program; hint: upgrade this program, `aquifer migrate` never goes back"
    )]
    SchemaTooNew {
        /// Version in the database.
        have: u32,
        /// Version of this program.
        need: u32,
    },
    /// A migration was applied from another text.
    #[error(
        "migration V{version:04} was applied with another text ({have}, here {need}); hint: never edit an applied migration, add one"
    )]
    SchemaDiverged {
        /// The migration.
        version: u32,
        /// Checksum in the database.
        have: String,
        /// Checksum of this program's text.
        need: String,
    },
    /// Another process migrates, for too long.
    #[error(
        "another process has been migrating `{database}` for {waited:?}; hint: try again when it is done"
    )]
    MigrationLocked {
        /// The database.
        database: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// Someone else holds the lease or the job by now.
    #[error("{what} is no longer held with fence {fence}")]
    StaleFence {
        /// Which lease or job.
        what: String,
        /// The fence that was offered.
        fence: u64,
    },
    /// The effects of these messages stand already, or earlier ones are missing.
    #[error("{group} stands at offset {stored} of {topic}/{partition}: cannot add from {from}")]
    Journal {
        /// Consumer group.
        group: String,
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// Next offset in the catalogue.
        stored: i64,
        /// First offset of the batch.
        from: i64,
    },
    /// The server refused or could not be reached.
    #[error("catalogue: cannot {what}: {}", innermost(reason))]
    Server {
        /// What was attempted.
        what: Cow<'static, str>,
        /// Why not. Not a `source`: the message has its innermost cause, which is all
        /// that the driver's layers have to say.
        reason: mysql_async::Error,
    },
    /// The server did not answer in time. Whether the transaction was committed is not
    /// known; every writer may be called again.
    #[error("catalogue: no answer within {after:?} to {what}")]
    Timeout {
        /// What was attempted.
        what: &'static str,
        /// How long it was waited for.
        after: Duration,
    },
}

impl CatalogueError {
    /// Names what was attempted when the server failed.
    pub(crate) fn server(
        what: impl Into<Cow<'static, str>>,
    ) -> impl FnOnce(mysql_async::Error) -> Self {
        move |reason| Self::Server {
            what: what.into(),
            reason,
        }
    }

    /// Whether the foreign key `constraint` was what the server refused.
    pub(crate) fn breaks(&self, constraint: &str) -> bool {
        match self {
            Self::Server {
                reason: mysql_async::Error::Server(refusal),
                ..
            } => {
                refusal.code == NO_REFERENCED_ROW
                    && refusal.message.contains(&format!("`{constraint}`"))
            }
            _ => false,
        }
    }

    /// Whether to run the transaction again at once: it lost against another one
    /// (1020, 1205, 1213; 1062 when two create the same row), or the connection broke
    /// and nobody knows whether it was committed.
    pub(crate) fn restarts(&self) -> bool {
        match self {
            Self::Server { reason, .. } => match reason {
                mysql_async::Error::Server(refusal) => {
                    matches!(refusal.code, 1020 | 1062 | 1205 | 1213) || lost(refusal.code)
                }
                mysql_async::Error::Io(_) => true,
                mysql_async::Error::Driver(driver) => {
                    matches!(driver, mysql_async::DriverError::ConnectionClosed)
                }
                _ => false,
            },
            _ => false,
        }
    }
}

/// What the error is at its bottom: "connection refused", not three times "input/output
/// error" around it.
fn innermost(error: &mysql_async::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

impl Classify for CatalogueError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Server { reason, .. } => server_class(reason),
            Self::Timeout { .. }
            | Self::MigrationLocked { .. }
            | Self::SchemaTooOld { .. }
            | Self::SchemaTooNew { .. }
            | Self::SchemaDiverged { .. } => ErrorClass::Unavailable,
            _ => ErrorClass::Permanent,
        }
    }
}

/// `ER_NO_REFERENCED_ROW_2`.
const NO_REFERENCED_ROW: u16 = 1452;

/// Codes by which a dying server or a killed connection says goodbye.
fn lost(code: u16) -> bool {
    matches!(code, 1053 | 1152..=1161 | 1184 | 1317 | 1927 | 2006 | 2013)
}

fn server_class(error: &mysql_async::Error) -> ErrorClass {
    use mysql_async::{DriverError, Error};
    match error {
        Error::Server(refusal) => match refusal.code {
            1020 | 1062 | 1205 | 1213 => ErrorClass::Transient,
            // SQLSTATE classes 22 (data) and 23 (constraints) speak of the values.
            _ if refusal.state.starts_with("22") || refusal.state.starts_with("23") => {
                ErrorClass::Permanent
            }
            // Disk or table full, read-only, too many connections, no rights, no schema:
            // whatever it is, it is not in the data.
            _ => ErrorClass::Unavailable,
        },
        Error::Driver(
            DriverError::FromValue { .. }
            | DriverError::FromRow { .. }
            | DriverError::Params(_)
            | DriverError::MixedParams
            | DriverError::StmtParamsMismatch { .. }
            | DriverError::StmtParamsNumberExceedsLimit { .. }
            | DriverError::PacketTooLarge,
        )
        | Error::Url(_) => ErrorClass::Permanent,
        Error::Driver(_) | Error::Io(_) | Error::Other(_) => ErrorClass::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use mysql_async::{Error, ServerError};

    use super::*;

    fn refusal(code: u16, state: &str) -> CatalogueError {
        CatalogueError::Server {
            what: "store".into(),
            reason: Error::Server(ServerError {
                code,
                message: "CONSTRAINT `run_site` FOREIGN KEY".to_owned(),
                state: state.to_owned(),
            }),
        }
    }

    #[test]
    fn an_outage_is_not_an_error_of_the_data() {
        let outages = [
            (1040, "08004"),
            (1045, "28000"),
            (1021, "HY000"),
            (1114, "HY000"),
            (1290, "HY000"),
            (1146, "42S02"),
        ];
        for (code, state) in outages {
            let error = refusal(code, state);
            assert_eq!(error.class(), ErrorClass::Unavailable, "{code}");
            assert!(!error.restarts(), "{code}");
        }
        assert_eq!(refusal(1406, "22001").class(), ErrorClass::Permanent);
        assert_eq!(refusal(1452, "23000").class(), ErrorClass::Permanent);
    }

    #[test]
    fn lost_races_and_lost_connections_restart_the_transaction() {
        for code in [1020, 1205, 1213, 1062, 2013, 1927] {
            assert!(refusal(code, "HY000").restarts(), "{code}");
        }
        assert!(!refusal(1406, "22001").restarts());
    }

    #[test]
    fn a_broken_reference_names_its_constraint() {
        assert!(refusal(1452, "23000").breaks("run_site"));
        assert!(!refusal(1452, "23000").breaks("run"));
        assert!(!refusal(1062, "23000").breaks("run_site"));
    }
}
