//! The queue of work: jobs by kind and key, each done under one live fence.
//!
//! A job is taken for a time and with a fence that only grows. A worker that does not
//! come back loses it to the next, whose fence is higher, and can then neither finish
//! nor prolong it. Time is the database's clock alone. What a job does must be idempotent
//! all the same: a worker may die after its effect and before it said so.

use std::time::Duration;

use jiff::Timestamp;
use mysql_async::prelude::Queryable;
use mysql_async::{Row, Transaction, Value};

use crate::catalogue::{Catalogue, begin, commit, first};
use crate::error::CatalogueError;
use crate::journal::{self, JournalAdvance};
use crate::lease::interval;
use crate::load::read_all;
use crate::sql::{Columns, Insert};

/// Most jobs taken at one time.
const MOST_JOBS: usize = 256;

/// Longest error that is kept, in characters.
const LONGEST_ERROR: usize = 4000;

/// A job to be queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWork {
    /// What is to be done.
    pub kind: String,
    /// To what: the same kind and key is the same job.
    pub key: String,
    /// Row of the run that it is about.
    pub run: Option<u64>,
    /// Row of the file that it is about.
    pub file: Option<u64>,
}

/// A job that a worker has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkLease {
    /// Its row.
    pub id: u64,
    /// What is to be done.
    pub kind: String,
    /// To what.
    pub key: String,
    /// Row of the run that it is about.
    pub run: Option<u64>,
    /// Row of the file that it is about.
    pub file: Option<u64>,
    /// Proof that it was taken.
    pub fence: u64,
    /// How often it was taken, this time included.
    pub attempts: u32,
    /// Until when, by the database's clock.
    pub until: Timestamp,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
}

impl Catalogue {
    /// Queues jobs that are not known yet and returns how many those were. With
    /// `journal`, in the transaction that also notes up to where messages were read:
    /// either both stand or neither does.
    ///
    /// Errors: [`CatalogueError::Journal`] if the messages do not follow those noted.
    pub async fn enqueue(
        &self,
        jobs: &[NewWork],
        journal: Option<&JournalAdvance>,
    ) -> Result<u64, CatalogueError> {
        self.restarting("queue work", || async {
            let mut conn = self.conn().await?;
            let mut tx = begin(&mut conn).await?;
            if let Some(journal) = journal {
                journal::advance(&mut tx, journal).await?;
            }
            let rows = jobs.iter().map(|job| {
                let (kind, key) = (job.kind.as_str(), job.key.as_str());
                let (run, file) = (job.run.into(), job.file.into());
                vec![kind.into(), key.into(), "queued".into(), run, file]
            });
            let insert = Insert {
                table: "work",
                columns: &["kind", "work_key", "state", "run_id", "file_id"],
                tail: " ON DUPLICATE KEY UPDATE kind=kind",
                rows: rows.collect(),
            };
            // A job that is known counts 0.
            let new = insert.run(&mut tx).await?;
            commit(tx).await?;
            Ok(new)
        })
        .await
    }

    /// Takes up to `limit` (and 256) due jobs of a kind for `ttl`: queued ones whose time
    /// has come, and leased ones whose worker did not come back. A call that loses its
    /// connection after the commit leaves its jobs leased to nobody until `ttl` is over.
    pub async fn lease_work(
        &self,
        kind: &str,
        holder: &str,
        ttl: Duration,
        limit: usize,
    ) -> Result<Vec<WorkLease>, CatalogueError> {
        self.restarting("take work", || async {
            let mut conn = self.conn().await?;
            let mut tx = begin(&mut conn).await?;
            let mut jobs = due(&mut tx, kind, limit.min(MOST_JOBS)).await?;
            for job in &mut jobs {
                job.fence += 1;
                job.attempts += 1;
                job.until = take(&mut tx, job, holder, ttl).await?;
            }
            commit(tx).await?;
            Ok(jobs)
        })
        .await
    }

    /// A job is done. Saying so again changes nothing.
    ///
    /// Errors: [`CatalogueError::StaleFence`] if another worker has taken it since.
    pub async fn complete_work(&self, job: &WorkLease) -> Result<(), CatalogueError> {
        let query = "UPDATE work SET state='done',next_at=NULL,last_error=NULL,\
                     updated_at=NOW(6) WHERE id=? AND fence=? AND state IN ('leased','done')";
        self.finish_work(job, query, vec![]).await
    }

    /// An attempt failed. With `retry_in` the job is due again after that; without it
    /// has failed for good and a person has to look.
    ///
    /// Errors: as for [`Catalogue::complete_work`].
    pub async fn fail_work(
        &self,
        job: &WorkLease,
        error: &str,
        retry_in: Option<Duration>,
    ) -> Result<(), CatalogueError> {
        let state = if retry_in.is_some() {
            "queued"
        } else {
            "failed"
        };
        let error: String = error.chars().take(LONGEST_ERROR).collect();
        let query = "UPDATE work SET state=?,next_at=NOW(6)+INTERVAL ? MICROSECOND,last_error=?,\
                     updated_at=NOW(6) WHERE id=? AND fence=? \
                     AND state IN ('leased','queued','failed')";
        let values = vec![state.into(), retry_in.map(interval).into(), error.into()];
        self.finish_work(job, query, values).await
    }

    /// Prolongs a job that takes longer, also past its end if nobody took it since.
    ///
    /// Errors: as for [`Catalogue::complete_work`].
    pub async fn extend_work(&self, job: &WorkLease, ttl: Duration) -> Result<(), CatalogueError> {
        let query = "UPDATE work SET next_at=NOW(6)+INTERVAL ? MICROSECOND,updated_at=NOW(6) \
                     WHERE id=? AND fence=? AND state='leased'";
        self.finish_work(job, query, vec![interval(ttl).into()])
            .await
    }

    async fn finish_work(
        &self,
        job: &WorkLease,
        query: &'static str,
        mut values: Vec<Value>,
    ) -> Result<(), CatalogueError> {
        values.extend([job.id.into(), job.fence.into()]);
        self.restarting("finish work", || async {
            let mut conn = self.conn().await?;
            let result = conn.exec_iter(query, values.clone()).await;
            let result = result.map_err(CatalogueError::server("finish work"))?;
            if result.affected_rows() == 0 {
                return Err(stale(job));
            }
            Ok(())
        })
        .await
    }
}

/// Locks due jobs. SKIP LOCKED would need `MariaDB` 10.6: workers wait for each other's
/// short transactions instead, and read what the other left.
async fn due(
    tx: &mut Transaction<'_>,
    kind: &str,
    limit: usize,
) -> Result<Vec<WorkLease>, CatalogueError> {
    let rows: Vec<Row> = tx
        .exec(
            "SELECT id,kind,work_key,run_id,file_id,fence,attempts,next_at,last_error FROM work \
             WHERE kind=? AND next_at<=NOW(6) ORDER BY next_at,id LIMIT ? FOR UPDATE",
            (kind, limit),
        )
        .await
        .map_err(CatalogueError::server("take work"))?;
    read_all("work", rows, job_row)
}

async fn take(
    tx: &mut Transaction<'_>,
    job: &WorkLease,
    holder: &str,
    ttl: Duration,
) -> Result<Timestamp, CatalogueError> {
    let failed = || CatalogueError::server("take work");
    tx.exec_drop(
        "UPDATE work SET state='leased',holder=?,fence=?,attempts=?,\
         next_at=NOW(6)+INTERVAL ? MICROSECOND,updated_at=NOW(6) WHERE id=?",
        (holder, job.fence, job.attempts, interval(ttl), job.id),
    )
    .await
    .map_err(failed())?;
    let query = "SELECT next_at FROM work WHERE id=?";
    let row = first(tx, "take work", query, (job.id,)).await?;
    let mut columns = row.ok_or_else(|| stale(job))?;
    columns.time()
}

fn stale(job: &WorkLease) -> CatalogueError {
    CatalogueError::StaleFence {
        what: format!("{} {}", job.kind, job.key),
        fence: job.fence,
    }
}

fn job_row(columns: &mut Columns) -> Result<WorkLease, CatalogueError> {
    Ok(WorkLease {
        id: columns.next()?,
        kind: columns.next()?,
        key: columns.next()?,
        run: columns.next()?,
        file: columns.next()?,
        fence: columns.next()?,
        attempts: columns.next()?,
        until: columns.time()?,
        last_error: columns.next()?,
    })
}
