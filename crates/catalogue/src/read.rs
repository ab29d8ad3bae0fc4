//! The readers: runs by name, by number, by filter; everything about one run; a walk
//! over all files in bounded memory.

use std::collections::{BTreeMap, HashMap};

use aquifer_schemas::{RunId, RunNumber, RunState, Site};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Params, Row, Value};

use crate::catalogue::{Catalogue, begin_snapshot, commit, first};
use crate::error::CatalogueError;
use crate::load::{self, FILE, REPLICA, RUN, file_row, read_all, replica_row, run_row};
use crate::rows::{ReplicaRow, RunDetail, RunFile, RunFilter, RunRow, TransitionRow};
use crate::sql::{Columns, micros, time};

/// Most runs of one list.
const MOST_RUNS: u32 = 10_000;

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

    /// Runs that pass a filter, those taken last first.
    pub async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRow>, CatalogueError> {
        let (conditions, params) = conditions(filter)?;
        let limit = filter.limit.min(MOST_RUNS);
        let query = format!(
            "SELECT {RUN} FROM run r WHERE {conditions} \
             ORDER BY r.taken_at DESC,r.id DESC LIMIT {limit}"
        );
        self.restarting("list runs", || async {
            let mut conn = self.conn().await?;
            let rows: Vec<Row> = conn
                .exec(query.as_str(), params.clone())
                .await
                .map_err(CatalogueError::server("list runs"))?;
            read_all("run", rows, run_row)
        })
        .await
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

fn transition_row(columns: &mut Columns) -> Result<TransitionRow, CatalogueError> {
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

fn of_site(site: Option<&Site>) -> (&'static str, Vec<Value>) {
    match site {
        Some(site) => ("r.site=?", vec![site.as_str().into()]),
        None => ("TRUE", Vec::new()),
    }
}

/// The filter as SQL with its parameters: no value of it stands in the text.
fn conditions(filter: &RunFilter) -> Result<(String, Params), CatalogueError> {
    let (of_site, mut params) = of_site(filter.site.as_ref());
    let mut conditions = vec![of_site.to_owned()];
    if !filter.states.is_empty() {
        let marks = vec!["?"; filter.states.len()].join(",");
        conditions.push(format!("r.state IN ({marks})"));
        let states = filter.states.iter();
        params.extend(states.map(|state| Value::from(state.as_str())));
    }
    let mut and = |condition: &str, value: Option<Value>| {
        if let Some(value) = value {
            conditions.push(condition.to_owned());
            params.push(value);
        }
    };
    let at = |time_of: Option<_>| {
        time_of
            .map(|at| micros("time of the filter", at))
            .transpose()
    };
    and("r.number>=?", filter.from_number.map(Value::from));
    and("r.number<=?", filter.to_number.map(Value::from));
    and("r.taken_at>=?", at(filter.since)?.map(time));
    and("r.taken_at<?", at(filter.until)?.map(time));
    and("r.run_type=?", filter.run_type.as_deref().map(Value::from));
    if let Some(cursor) = filter.before {
        let taken_at = time(micros("time of the cursor", cursor.taken_at)?);
        conditions.push("(r.taken_at<? OR (r.taken_at=? AND r.id<?))".to_owned());
        params.extend([taken_at.clone(), taken_at, cursor.row.into()]);
    }
    let params = if params.is_empty() {
        Params::Empty
    } else {
        Params::Positional(params)
    };
    Ok((conditions.join(" AND "), params))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_filter_are_parameters() {
        let filter = RunFilter {
            site: Some("LNGS".parse().unwrap()),
            states: vec![RunState::Closed, RunState::Incomplete],
            from_number: Some(7),
            run_type: Some("x' OR 1=1 --".to_owned()),
            ..RunFilter::default()
        };
        let (text, params) = conditions(&filter).unwrap();
        assert_eq!(
            text,
            "r.site=? AND r.state IN (?,?) AND r.number>=? AND r.run_type=?"
        );
        let Params::Positional(params) = params else {
            panic!("{params:?}");
        };
        assert_eq!(params.len(), 5);
    }
}
