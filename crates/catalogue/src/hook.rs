//! Hooks: what people want done with each run that is complete in object storage.
//!
//! A hook's jobs are made from the runs themselves, so that none is missed whatever
//! message was lost: one for each time that a run became complete. They are done as all
//! work is, under one live fence, at least once.

use aquifer_schemas::{RunId, Site};
use jiff::Timestamp;
use mysql_async::prelude::Queryable;
use mysql_async::{Params, Row, Value};
use serde::{Deserialize, Serialize};

use crate::catalogue::Catalogue;
use crate::error::CatalogueError;
use crate::load::read_all;
use crate::sql::Columns;
use crate::work::WorkLease;

/// Longest outcome that is kept, in characters.
const LONGEST_OUTCOME: usize = 8000;

/// Most jobs made in one statement.
const MOST_JOBS: u32 = 1000;

/// A hook as it is registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewHook {
    /// Its name: 1 to 48 characters of `A-Z a-z 0-9 _ . -`.
    pub name: String,
    /// What is run or called, for people; without secrets.
    pub action: String,
    /// Only runs of this site.
    pub site: Option<Site>,
    /// Only runs of this type.
    pub run_type: Option<String>,
    /// Also runs that were complete before the hook was first registered.
    pub from_begin: bool,
}

/// A hook and how it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookRow {
    /// Its name.
    pub name: String,
    /// What it waits for: `run-stored`.
    pub event: String,
    /// What is run or called.
    pub action: String,
    /// Only runs of this site.
    pub site: Option<Site>,
    /// Only runs of this type.
    pub run_type: Option<String>,
    /// Runs that were complete before are left out.
    pub since: Timestamp,
    /// Jobs that wait, or wait again.
    pub queued: u64,
    /// Jobs that somebody has taken.
    pub running: u64,
    /// Jobs that are done.
    pub done: u64,
    /// Jobs that were given up.
    pub failed: u64,
}

/// One job of a hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookJob {
    /// The run, and when it was complete.
    pub key: String,
    /// `queued`, `leased`, `done` or `failed`.
    pub state: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it may be tried again.
    pub next_at: Option<Timestamp>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// What the last attempt left to read.
    pub outcome: Option<String>,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// The kind of a hook's jobs.
pub fn hook_kind(name: &str) -> String {
    format!("on:{name}")
}

/// The run that a hook's job is about.
pub fn hook_run(key: &str) -> Option<RunId> {
    key.split('@').next()?.parse().ok()
}

impl Catalogue {
    /// Registers a hook, or says anew what it does. Since when it looks at runs stays as
    /// it was when it was first registered.
    pub async fn register_hook(&self, hook: &NewHook) -> Result<(), CatalogueError> {
        check_name(&hook.name)?;
        let params: Vec<Value> = vec![
            hook.name.as_str().into(),
            hook.action.as_str().into(),
            hook.site.as_ref().map(Site::as_str).into(),
            hook.run_type.clone().into(),
            hook.from_begin.into(),
        ];
        self.restarting("register a hook", || async {
            let mut conn = self.conn().await?;
            let statement = "INSERT INTO hook (name,event,action,site,run_type,since_at) \
                 VALUES (?,'run-stored',?,?,?,IF(?,'1970-01-02',NOW(6))) \
                 ON DUPLICATE KEY UPDATE action=VALUES(action),site=VALUES(site),\
                 run_type=VALUES(run_type),updated_at=NOW(6)";
            let done = conn.exec_drop(statement, params.clone()).await;
            done.map_err(CatalogueError::server("register a hook"))
        })
        .await
    }

    /// Makes the jobs of a hook that are not there yet, up to a thousand, and returns how
    /// many those were.
    pub async fn enqueue_hook(&self, name: &str) -> Result<u64, CatalogueError> {
        let statement = format!(
            "INSERT INTO work (kind,work_key,state,run_id) \
             SELECT k.kind,k.work_key,'queued',k.run_id FROM (\
             SELECT CONCAT('on:',h.name) AS kind,CONCAT(r.site,'/',r.number,'.v',r.version,'@',\
             DATE_FORMAT(r.stored_at,'%Y-%m-%dT%H:%i:%s.%fZ')) AS work_key,r.id AS run_id \
             FROM hook h JOIN run r ON (h.site IS NULL OR r.site=h.site) \
             AND (h.run_type IS NULL OR r.run_type=h.run_type) \
             WHERE h.name=? AND r.state IN ('stored','safe','buffer_free','degraded') \
             AND r.stored_at IS NOT NULL AND GREATEST(r.stored_at,r.created_at)>=h.since_at) k \
             LEFT JOIN work w ON w.kind=k.kind AND w.work_key=k.work_key \
             WHERE w.id IS NULL ORDER BY k.run_id LIMIT {MOST_JOBS} \
             ON DUPLICATE KEY UPDATE kind=work.kind"
        );
        self.restarting("queue work of a hook", || async {
            let mut conn = self.conn().await?;
            let result = conn.exec_iter(statement.as_str(), (name,)).await;
            let result = result.map_err(CatalogueError::server("queue work of a hook"))?;
            Ok(result.affected_rows())
        })
        .await
    }

    /// Keeps what an attempt left to read: its end, where it is long. Of an attempt that
    /// lost its job nothing is kept.
    pub async fn note_outcome(&self, job: &WorkLease, text: &str) -> Result<(), CatalogueError> {
        let skip = text.chars().count().saturating_sub(LONGEST_OUTCOME);
        let text: String = text.chars().skip(skip).collect();
        self.restarting("note an outcome", || async {
            let mut conn = self.conn().await?;
            let statement = "UPDATE work SET outcome=? WHERE id=? AND fence=?";
            let params = (text.as_str(), job.id, job.fence);
            let done = conn.exec_drop(statement, params).await;
            done.map_err(CatalogueError::server("note an outcome"))
        })
        .await
    }

    /// The hooks, by name.
    pub async fn hooks(&self) -> Result<Vec<HookRow>, CatalogueError> {
        const WHAT: &str = "list hooks";
        let query = "SELECT h.name,h.event,h.action,h.site,h.run_type,h.since_at,\
             COUNT(IF(w.state='queued',1,NULL)),COUNT(IF(w.state='leased',1,NULL)),\
             COUNT(IF(w.state='done',1,NULL)),COUNT(IF(w.state='failed',1,NULL)) \
             FROM hook h LEFT JOIN work w ON w.kind=CONCAT('on:',h.name) \
             GROUP BY h.name ORDER BY h.name";
        self.restarting(WHAT, || async {
            let mut conn = self.conn().await?;
            let rows: Vec<Row> = conn
                .exec(query, Params::Empty)
                .await
                .map_err(CatalogueError::server(WHAT))?;
            read_all("hook", rows, hook_row)
        })
        .await
    }

    /// Jobs of a hook, those that changed last first.
    pub async fn hook_jobs(&self, name: &str, limit: u32) -> Result<Vec<HookJob>, CatalogueError> {
        const WHAT: &str = "list jobs of a hook";
        let query = "SELECT work_key,state,attempts,next_at,last_error,outcome,updated_at \
             FROM work WHERE kind=? ORDER BY updated_at DESC,id DESC LIMIT ?";
        let kind = hook_kind(name);
        self.restarting(WHAT, || async {
            let mut conn = self.conn().await?;
            let rows: Vec<Row> = conn
                .exec(query, (kind.as_str(), limit))
                .await
                .map_err(CatalogueError::server(WHAT))?;
            read_all("work", rows, job_row)
        })
        .await
    }

    /// Queues the jobs of a hook again that were given up, and returns how many.
    pub async fn retry_hook(&self, name: &str) -> Result<u64, CatalogueError> {
        const WHAT: &str = "try jobs of a hook again";
        let kind = hook_kind(name);
        self.restarting(WHAT, || async {
            let mut conn = self.conn().await?;
            let statement = "UPDATE work SET state='queued',attempts=0,next_at=NOW(6),\
                 updated_at=NOW(6) WHERE kind=? AND state='failed'";
            let result = conn.exec_iter(statement, (kind.as_str(),)).await;
            Ok(result
                .map_err(CatalogueError::server(WHAT))?
                .affected_rows())
        })
        .await
    }
}

fn check_name(name: &str) -> Result<(), CatalogueError> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if !name.is_empty() && name.len() <= 48 && name.bytes().all(good) {
        return Ok(());
    }
    Err(CatalogueError::Value {
        what: "name of a hook",
        value: name.to_owned(),
        why: "it has 1 to 48 letters, digits, `_`, `.` or `-`",
    })
}

fn hook_row(columns: &mut Columns) -> Result<HookRow, CatalogueError> {
    Ok(HookRow {
        name: columns.next()?,
        event: columns.next()?,
        action: columns.next()?,
        site: columns.opt_word()?,
        run_type: columns.next()?,
        since: columns.time()?,
        queued: columns.next()?,
        running: columns.next()?,
        done: columns.next()?,
        failed: columns.next()?,
    })
}

fn job_row(columns: &mut Columns) -> Result<HookJob, CatalogueError> {
    Ok(HookJob {
        key: columns.next()?,
        state: columns.next()?,
        attempts: columns.next()?,
        next_at: columns.opt_time()?,
        last_error: columns.next()?,
        outcome: columns.next()?,
        updated_at: columns.time()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_knows_its_run() {
        let run = hook_run("LNGS/42.v2@2026-11-22T06:00:00.000001Z").unwrap();
        assert_eq!(run.to_string(), "LNGS/42.v2");
        assert_eq!(hook_run("LNGS/1.v1@x").unwrap().to_string(), "LNGS/1");
        assert_eq!(hook_run("x"), None);
    }

    #[test]
    fn names_of_hooks_are_plain() {
        assert!(check_name("reco-std_1.2").is_ok());
        for name in ["", "a b", "a:b", "a/b", &"x".repeat(49)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }
}
