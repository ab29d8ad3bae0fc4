//! The readers: runs by name and by number; everything about one run; a walk
//! over all files in bounded memory.

use std::collections::{BTreeMap, HashMap};

use aquifer_schemas::{RunId, RunNumber, RunState, Site};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row, Value};

use crate::catalogue::{Catalogue, begin_snapshot, commit, first};
use crate::error::CatalogueError;
use crate::facts::Attribute;
use crate::load::{self, FILE, REPLICA, RUN, file_row, read_all, replica_row, run_row};
use crate::rows::{ReplicaRow, RunDetail, RunFile, RunRow, TransitionRow};
use crate::sql::Columns;

/// Most files of one page.
const MOST_FILES: u32 = 10_000;

impl Catalogue {
    /// A run, by name.
    pub async fn run(&self, id: &RunId) -> Result<Option<RunRow>, CatalogueError> {
        let versions = self.versions(&id.site, id.number).await?;
        Ok(versions.into_iter().find(|run| run.id == *id))
    }

    /// Every version under a number, first to last.
    pub async fn versions(
        &self,
        site: &Site,
        number: RunNumber,
    ) -> Result<Vec<RunRow>, CatalogueError> {
        self.restarting("read a run", || async {
            let mut conn = self.conn().await?;
            versions(&mut conn, site, number).await
        })
        .await
    }

    /// All that is known about a run, as of one moment.
    pub async fn run_detail(&self, id: &RunId) -> Result<Option<RunDetail>, CatalogueError> {
        self.restarting("read a run", || async {
            let mut conn = self.conn().await?;
            let mut tx = begin_snapshot(&mut conn).await?;
            let query =
                format!("SELECT {RUN} FROM run r WHERE r.site=? AND r.number=? AND r.version=?");
            let params = (id.site.as_str(), id.number, id.version);
            let Some(mut columns) = first(&mut tx, "read a run", &query, params).await? else {
                return Ok(None);
            };
            let row = run_row(&mut columns)?;
            let detail = RunDetail {
                attributes: load::attributes(&mut tx, row.row).await?,
                files: load::files(&mut tx, row.row, "").await?,
                replicas: load::replicas(&mut tx, row.row, "").await?,
                transitions: transitions(&mut tx, row.row).await?,
                row,
            };
            commit(tx).await?;
            Ok(Some(detail))
        })
        .await
    }

    /// Attributes of runs, by the runs' rows.
    pub async fn attributes_of(
        &self,
        runs: &[RunRow],
    ) -> Result<HashMap<u64, BTreeMap<String, Attribute>>, CatalogueError> {
        let rows: Vec<u64> = runs.iter().map(|run| run.row).collect();
        let of_runs = self.restarting("read attributes", || async {
            let mut conn = self.conn().await?;
            load::attributes_of(&mut conn, &rows).await
        });
        let of_runs = of_runs.await?.into_iter();
        Ok(of_runs
            .map(|(run, attributes)| (run, attributes.into_iter().collect()))
            .collect())
    }

    /// Number of runs in each state, of one site or of all. States without runs are
    /// absent.
    pub async fn counts_by_state(
        &self,
        site: Option<&Site>,
    ) -> Result<BTreeMap<RunState, u64>, CatalogueError> {
        self.restarting("count runs", || async {
            let mut conn = self.conn().await?;
            let (condition, params) = of_site(site);
            let query =
                format!("SELECT r.state,COUNT(*) FROM run r WHERE {condition} GROUP BY r.state");
            let rows: Vec<Row> = conn
                .exec(query, params)
                .await
                .map_err(CatalogueError::server("count runs"))?;
            let counts = read_all("run", rows, |columns| {
                Ok((columns.word()?, columns.next()?))
            })?;
            Ok(counts.into_iter().collect())
        })
        .await
    }

    /// Calls `each` with every file of every run, in the order they were recorded,
    /// reading `page` files (1 to 10 000) at a time and keeping no more in memory. Files
    /// recorded meanwhile are seen too.
    pub async fn for_each_run_file(
        &self,
        site: Option<&Site>,
        page: u32,
        mut each: impl FnMut(RunFile),
    ) -> Result<(), CatalogueError> {
        let mut after = 0;
        loop {
            let files = self
                .restarting("walk over files", || self.page(of_site(site), after, page))
                .await?;
            let Some(last) = files.last() else {
                return Ok(());
            };
            after = last.file.row;
            files.into_iter().for_each(&mut each);
        }
    }

    /// Files behind row `after` that are so, in the order they were recorded.
    pub(crate) async fn page(
        &self,
        (condition, which): (&str, Vec<Value>),
        after: u64,
        page: u32,
    ) -> Result<Vec<RunFile>, CatalogueError> {
        let failed = || CatalogueError::server("walk over files");
        let limit = page.clamp(1, MOST_FILES);
        let mut conn = self.conn().await?;
        let query = format!(
            "SELECT r.site,r.number,r.version,r.state,{FILE} \
             FROM file f JOIN run r ON r.id=f.run_id \
             WHERE f.id>? AND {condition} ORDER BY f.id LIMIT {limit}"
        );
        let mut params: Vec<Value> = vec![after.into()];
        params.extend(which.clone());
        let rows: Vec<Row> = conn.exec(query, params).await.map_err(failed())?;
        let mut files = read_all("file", rows, |columns| {
            Ok(RunFile {
                run: load::run_id(columns)?,
                run_state: columns.word()?,
                file: file_row(columns)?,
                replicas: Vec::new(),
            })
        })?;
        let (Some(head), Some(last)) = (files.first(), files.last()) else {
            return Ok(files);
        };
        let mut params: Vec<Value> = vec![head.file.row.into(), last.file.row.into()];
        params.extend(which);
        let query = format!(
            "SELECT p.file_id,{REPLICA} FROM replica p JOIN file f ON f.id=p.file_id \
             JOIN run r ON r.id=f.run_id \
             WHERE p.file_id BETWEEN ? AND ? AND {condition} ORDER BY p.id"
        );
        let rows: Vec<Row> = conn.exec(query, params).await.map_err(failed())?;
        let replicas = read_all("replica", rows, |columns| {
            Ok((columns.next()?, replica_row(columns)?))
        })?;
        let mut by_file: HashMap<u64, Vec<ReplicaRow>> = HashMap::new();
        for (file, replica) in replicas {
            by_file.entry(file).or_default().push(replica);
        }
        for file in &mut files {
            file.replicas = by_file.remove(&file.file.row).unwrap_or_default();
        }
        Ok(files)
    }
}

async fn versions(
    conn: &mut Conn,
    site: &Site,
    number: RunNumber,
) -> Result<Vec<RunRow>, CatalogueError> {
    let query = format!("SELECT {RUN} FROM run r WHERE r.site=? AND r.number=? ORDER BY r.version");
    let rows: Vec<Row> = conn
        .exec(query, (site.as_str(), number))
        .await
        .map_err(CatalogueError::server("read a run"))?;
    read_all("run", rows, run_row)
}

async fn transitions(
    conn: &mut impl Queryable,
    run: u64,
) -> Result<Vec<TransitionRow>, CatalogueError> {
    let rows: Vec<Row> = conn
        .exec(
            "SELECT id,at,entity,entity_id,from_state,to_state,who,why,evidence,revision \
             FROM transition WHERE run_id=? ORDER BY id",
            (run,),
        )
        .await
        .map_err(CatalogueError::server("read the history"))?;
    read_all("transition", rows, transition_row)
}

pub(crate) fn transition_row(columns: &mut Columns) -> Result<TransitionRow, CatalogueError> {
    Ok(TransitionRow {
        row: columns.next()?,
        at: columns.time()?,
        entity: columns.next()?,
        entity_row: columns.next()?,
        from: columns.next()?,
        to: columns.next()?,
        who: columns.next()?,
        why: columns.next()?,
        evidence: columns.opt_word()?,
        revision: columns.next()?,
    })
}

pub(crate) fn of_site(site: Option<&Site>) -> (&'static str, Vec<Value>) {
    match site {
        Some(site) => ("r.site=?", vec![site.as_str().into()]),
        None => ("TRUE", Vec::new()),
    }
}
