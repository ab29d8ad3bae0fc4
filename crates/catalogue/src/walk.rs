//! A walk over all runs of a site by their numbers, with files and copies, in bounded
//! memory: what an audit compares. What the DAQ says and the history are left out.

use aquifer_schemas::{RunNumber, Site};
use mysql_async::prelude::Queryable;
use mysql_async::{Row, Transaction};

use crate::catalogue::{Catalogue, begin_snapshot, commit};
use crate::error::CatalogueError;
use crate::load::{FILE, REPLICA, RUN, WANTED, file_row, of_runs, read_all, replica_row, run_row};
use crate::rows::{FileRow, ReplicaRow, RunRow};

/// A run with its files and their copies.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldRun {
    /// The run.
    pub row: RunRow,
    /// Its files, in the order they were recorded.
    pub files: Vec<FileRow>,
    /// Their copies.
    pub replicas: Vec<ReplicaRow>,
}

impl Catalogue {
    /// Runs of a site from a number on, by number and version, as of one moment: those of
    /// as many numbers as `limit` runs have, at least one. Never some versions of a number
    /// without the others. Empty at the end.
    pub async fn held_runs(
        &self,
        site: &Site,
        from: RunNumber,
        limit: u32,
    ) -> Result<Vec<HeldRun>, CatalogueError> {
        self.restarting("walk over runs", || async {
            let mut conn = self.conn().await?;
            let mut tx = begin_snapshot(&mut conn).await?;
            let rows = whole_numbers(&mut tx, site, from, limit).await?;
            let held = with_files(&mut tx, rows).await?;
            commit(tx).await?;
            Ok(held)
        })
        .await
    }
}

async fn whole_numbers(
    tx: &mut Transaction<'_>,
    site: &Site,
    from: RunNumber,
    limit: u32,
) -> Result<Vec<RunRow>, CatalogueError> {
    let failed = || CatalogueError::server("walk over runs");
    let limit = limit.max(1);
    let query = format!(
        "SELECT {RUN} FROM run r FORCE INDEX (run_name) WHERE r.site=? AND r.number>=? \
         ORDER BY r.number,r.version LIMIT {limit}"
    );
    let rows: Vec<Row> = tx
        .exec(query, (site.as_str(), from))
        .await
        .map_err(failed())?;
    let mut rows = read_all("run", rows, run_row)?;
    let Some(last) = rows.last().map(|run| run.id.number) else {
        return Ok(rows);
    };
    if rows.len() < limit as usize {
        return Ok(rows);
    }
    // The last number may have more versions than fit.
    rows.retain(|run| run.id.number < last);
    if rows.is_empty() {
        let query =
            format!("SELECT {RUN} FROM run r WHERE r.site=? AND r.number=? ORDER BY r.version");
        let all: Vec<Row> = tx
            .exec(query, (site.as_str(), last))
            .await
            .map_err(failed())?;
        rows = read_all("run", all, run_row)?;
    }
    Ok(rows)
}

async fn with_files(
    tx: &mut Transaction<'_>,
    rows: Vec<RunRow>,
) -> Result<Vec<HeldRun>, CatalogueError> {
    let runs: Vec<u64> = rows.iter().map(|run| run.row).collect();
    let files = format!(
        "SELECT STRAIGHT_JOIN f.run_id,{FILE} FROM {WANTED} JOIN file f ON f.run_id=wanted.n \
         ORDER BY f.id"
    );
    let mut files = of_runs(tx, &files, &runs, file_row).await?;
    let replicas = format!(
        "SELECT STRAIGHT_JOIN f.run_id,{REPLICA} FROM {WANTED} JOIN file f ON f.run_id=wanted.n \
         JOIN replica p ON p.file_id=f.id ORDER BY p.id"
    );
    let mut replicas = of_runs(tx, &replicas, &runs, replica_row).await?;
    Ok(rows
        .into_iter()
        .map(|row| HeldRun {
            files: files.remove(&row.row).unwrap_or_default(),
            replicas: replicas.remove(&row.row).unwrap_or_default(),
            row,
        })
        .collect())
}
