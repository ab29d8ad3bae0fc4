//! How runs, files, replicas and attributes are read: the columns of each, in one order.

use std::collections::{BTreeMap, HashMap};

use aquifer_digest::FileIdentity;
use aquifer_schemas::{RunId, RunNumber, Site};
use mysql_async::prelude::Queryable;
use mysql_async::{Row, Transaction, Value};

use crate::adopt::Versions;
use crate::draft::Draft;
use crate::error::CatalogueError;
use crate::facts::{Attribute, AttributeValue};
use crate::rows::{FileRow, ReplicaRow, RunRow};
use crate::sql::Columns;

/// Columns of [`run_row`].
pub(crate) const RUN: &str = "r.id,r.site,r.number,r.version,r.state,r.revision,r.run_type,\
    r.type_by,r.started_at,r.ended_at,r.closed_by,r.events,r.files,r.sealed_files,r.bytes,r.traceparent,\
    r.manifest_key,r.stored_at,r.taken_at,r.created_at,r.updated_at";

/// Columns of [`file_row`].
pub(crate) const FILE: &str = "f.id,f.name,f.state,f.announced_size,f.size,f.crc64nvme,f.adler32,\
    f.crc32c,f.buffer,f.buffer_dev,f.buffer_ino,f.buffer_size,f.buffer_mtime_ns,f.buffer_ctime_ns,\
    f.sealed_at,f.stored_at,f.safe_at,f.reason";

/// Columns of [`replica_row`], of `replica p` joined with `file f`.
pub(crate) const REPLICA: &str = "p.id,f.name,p.element,p.state,p.encoding,p.bucket,p.location,\
    p.stored_size,p.stored_crc64nvme,p.evidence,p.evidence_method,p.evidence_value,p.evidence_at,\
    p.fence";

pub(crate) fn run_row(columns: &mut Columns) -> Result<RunRow, CatalogueError> {
    Ok(RunRow {
        row: columns.next()?,
        id: run_id(columns)?,
        state: columns.word()?,
        revision: columns.next()?,
        run_type: columns.next()?,
        type_by: columns.next()?,
        started_at: columns.opt_time()?,
        ended_at: columns.opt_time()?,
        closed_by: columns.opt_word()?,
        events: columns.next()?,
        files: columns.next()?,
        sealed_files: columns.next()?,
        bytes: columns.next()?,
        trace: columns.next()?,
        manifest_key: columns.next()?,
        stored_at: columns.opt_time()?,
        taken_at: columns.time()?,
        created_at: columns.time()?,
        updated_at: columns.time()?,
    })
}

pub(crate) fn run_id(columns: &mut Columns) -> Result<RunId, CatalogueError> {
    Ok(RunId {
        site: columns.word::<Site>()?,
        number: columns.next()?,
        version: columns.next()?,
    })
}

pub(crate) fn file_row(columns: &mut Columns) -> Result<FileRow, CatalogueError> {
    Ok(FileRow {
        row: columns.next()?,
        name: columns.word()?,
        state: columns.word()?,
        announced_size: columns.next()?,
        size: columns.next()?,
        crc64nvme: columns.next()?,
        adler32: columns.next()?,
        crc32c: columns.next()?,
        buffer: columns.next()?,
        identity: identity(columns)?,
        sealed_at: columns.opt_time()?,
        stored_at: columns.opt_time()?,
        safe_at: columns.opt_time()?,
        reason: columns.next()?,
    })
}

pub(crate) fn identity(columns: &mut Columns) -> Result<Option<FileIdentity>, CatalogueError> {
    let (dev, ino, size) = (columns.next()?, columns.next()?, columns.next()?);
    let (mtime_ns, ctime_ns) = (columns.next()?, columns.next()?);
    let parts = (dev, ino, size, mtime_ns, ctime_ns);
    // The five are written together.
    let (Some(dev), Some(ino), Some(size), Some(mtime_ns), Some(ctime_ns)) = parts else {
        return Ok(None);
    };
    Ok(Some(FileIdentity {
        dev,
        ino,
        size,
        mtime_ns,
        ctime_ns,
    }))
}

pub(crate) fn replica_row(columns: &mut Columns) -> Result<ReplicaRow, CatalogueError> {
    Ok(ReplicaRow {
        row: columns.next()?,
        file: columns.word()?,
        element: columns.next()?,
        state: columns.word()?,
        encoding: columns.word()?,
        bucket: columns.next()?,
        location: columns.next()?,
        stored_size: columns.next()?,
        stored_crc64nvme: columns.next()?,
        evidence: columns.word()?,
        evidence_method: columns.next()?,
        evidence_value: columns.next()?,
        evidence_at: columns.time()?,
        fence: columns.next()?,
    })
}

fn attribute(columns: &mut Columns) -> Result<(String, Attribute), CatalogueError> {
    let name = columns.next()?;
    let text: Option<String> = columns.next()?;
    let number: Option<f64> = columns.next()?;
    let bool: Option<bool> = columns.next()?;
    let unit = columns.next()?;
    let value = match (number, bool) {
        (Some(number), _) => AttributeValue::Number(number),
        (None, Some(bool)) => AttributeValue::Bool(bool),
        (None, None) => AttributeValue::Text(text.unwrap_or_default()),
    };
    Ok((name, Attribute { value, unit }))
}

/// Reads each of `rows` with `read`.
pub(crate) fn read_all<T>(
    table: &'static str,
    rows: Vec<Row>,
    read: impl Fn(&mut Columns) -> Result<T, CatalogueError>,
) -> Result<Vec<T>, CatalogueError> {
    rows.into_iter()
        .map(|row| read(&mut Columns::of(table, row)))
        .collect()
}

pub(crate) async fn attributes(
    conn: &mut impl Queryable,
    run: u64,
) -> Result<BTreeMap<String, Attribute>, CatalogueError> {
    let rows: Vec<Row> = conn
        .exec(
            "SELECT name,text_value,number_value,bool_value,unit FROM run_attribute WHERE run_id=?",
            (run,),
        )
        .await
        .map_err(CatalogueError::server("read attributes"))?;
    Ok(read_all("run_attribute", rows, attribute)?
        .into_iter()
        .collect())
}

/// Files of a run, in the order they were recorded. `lock` is empty or ` FOR UPDATE`.
pub(crate) async fn files(
    conn: &mut impl Queryable,
    run: u64,
    lock: &str,
) -> Result<Vec<FileRow>, CatalogueError> {
    let query = format!("SELECT {FILE} FROM file f WHERE f.run_id=? ORDER BY f.id{lock}");
    let rows: Vec<Row> = conn
        .exec(query, (run,))
        .await
        .map_err(CatalogueError::server("read files"))?;
    read_all("file", rows, file_row)
}

/// Replicas of the files of a run. `lock` as for [`files`].
pub(crate) async fn replicas(
    conn: &mut impl Queryable,
    run: u64,
    lock: &str,
) -> Result<Vec<ReplicaRow>, CatalogueError> {
    let query = format!(
        "SELECT {REPLICA} FROM replica p JOIN file f ON f.id=p.file_id \
         WHERE f.run_id=? ORDER BY p.id{lock}"
    );
    let rows: Vec<Row> = conn
        .exec(query, (run,))
        .await
        .map_err(CatalogueError::server("read replicas"))?;
    read_all("replica", rows, replica_row)
}

/// Locks every version of many numbers of a site, then their files, then the replicas,
/// and reads them. `numbers` are in order, so that two who lock many wait for each other
/// rather than meet crosswise.
pub(crate) async fn lock_numbers(
    tx: &mut Transaction<'_>,
    site: &Site,
    numbers: &[RunNumber],
) -> Result<Versions, CatalogueError> {
    let mut drafts: BTreeMap<RunNumber, Vec<Draft>> = BTreeMap::new();
    if numbers.is_empty() {
        return Ok(Versions::new(site, drafts));
    }
    let query = format!(
        "SELECT STRAIGHT_JOIN {RUN},NOW(6) FROM {WANTED} \
         JOIN run r FORCE INDEX (run_name) ON r.site=? AND r.number=wanted.n \
         ORDER BY r.number,r.version FOR UPDATE"
    );
    let rows: Vec<Row> = tx
        .exec(query, (wanted(numbers), site.as_str()))
        .await
        .map_err(CatalogueError::server("lock runs"))?;
    let read = |columns: &mut Columns| Ok((run_row(columns)?, columns.time()?));
    let runs = read_all("run", rows, read)?;
    let ids: Vec<u64> = runs.iter().map(|(run, _)| run.row).collect();
    let mut files = of_runs(
        tx,
        &format!(
            "SELECT STRAIGHT_JOIN f.run_id,{FILE} FROM {WANTED} JOIN file f ON f.run_id=wanted.n \
             ORDER BY f.id FOR UPDATE"
        ),
        &ids,
        file_row,
    )
    .await?;
    let mut replicas = of_runs(
        tx,
        &format!(
            "SELECT STRAIGHT_JOIN f.run_id,{REPLICA} FROM {WANTED} JOIN file f ON f.run_id=wanted.n \
             JOIN replica p ON p.file_id=f.id ORDER BY p.id FOR UPDATE"
        ),
        &ids,
        replica_row,
    )
    .await?;
    let mut attributes = attributes_of(tx, &ids).await?;
    for (mut run, now) in runs {
        run.updated_at = now;
        let row = run.row;
        let attributes = attributes.remove(&row).unwrap_or_default();
        let draft = Draft::loaded(
            run,
            attributes.into_iter().collect(),
            files.remove(&row).unwrap_or_default(),
            replicas.remove(&row).unwrap_or_default(),
        );
        drafts.entry(draft.run.id.number).or_default().push(draft);
    }
    Ok(Versions::new(site, drafts))
}

/// The numbers of [`wanted`], as rows `wanted.n`. Every one is looked up by itself: a long
/// list after `IN` may be answered by reading, and locking, all there is.
pub(crate) const WANTED: &str = "JSON_TABLE(?,'$[*]' COLUMNS (n BIGINT UNSIGNED PATH '$')) wanted";

/// Numbers, as one parameter.
pub(crate) fn wanted(numbers: &[u64]) -> String {
    let numbers: Vec<_> = numbers.iter().map(u64::to_string).collect();
    format!("[{}]", numbers.join(","))
}

/// Rows by the run that stands in their first column. `select` goes over [`WANTED`].
pub(crate) async fn of_runs<T>(
    tx: &mut impl Queryable,
    select: &str,
    runs: &[u64],
    read: impl Fn(&mut Columns) -> Result<T, CatalogueError>,
) -> Result<HashMap<u64, Vec<T>>, CatalogueError> {
    let mut by_run: HashMap<u64, Vec<T>> = HashMap::new();
    if runs.is_empty() {
        return Ok(by_run);
    }
    let rows: Vec<Row> = tx
        .exec(select, (wanted(runs),))
        .await
        .map_err(CatalogueError::server("read runs"))?;
    for row in rows {
        let mut columns = Columns::of("rows of runs", row);
        let run = columns.next()?;
        by_run.entry(run).or_default().push(read(&mut columns)?);
    }
    Ok(by_run)
}

/// Attributes by run.
pub(crate) async fn attributes_of(
    tx: &mut impl Queryable,
    runs: &[u64],
) -> Result<HashMap<u64, Vec<(String, Attribute)>>, CatalogueError> {
    let select = format!(
        "SELECT STRAIGHT_JOIN run_id,name,text_value,number_value,bool_value,unit \
         FROM {WANTED} JOIN run_attribute ON run_id=wanted.n"
    );
    of_runs(tx, &select, runs, attribute).await
}

/// Locks a run, then its files, then their replicas, and reads them.
///
/// Every version of the run's number is locked, because they share the key of their
/// announcements: whoever writes to the outbox under a key holds this lock until its
/// commit, so ids of one key grow in the order of commits.
pub(crate) async fn lock_run(
    tx: &mut Transaction<'_>,
    id: &RunId,
) -> Result<Draft, CatalogueError> {
    const LOCK: &str = " FOR UPDATE";
    let query = format!(
        "SELECT {RUN},NOW(6) FROM run r WHERE r.site=? AND r.number=? ORDER BY r.version{LOCK}"
    );
    let params: Vec<Value> = vec![id.site.as_str().into(), id.number.into()];
    let rows: Vec<Row> = tx
        .exec(query, params)
        .await
        .map_err(CatalogueError::server("lock a run"))?;
    let read = |columns: &mut Columns| Ok((run_row(columns)?, columns.time()?));
    let versions = read_all("run", rows, read)?;
    let Some((mut run, now)) = versions.into_iter().find(|(run, _)| run.id == *id) else {
        return Ok(Draft::new(id.clone()));
    };
    run.updated_at = now;
    let files = files(tx, run.row, LOCK).await?;
    let replicas = replicas(tx, run.row, LOCK).await?;
    let attributes = attributes(tx, run.row).await?;
    Ok(Draft::loaded(run, attributes, files, replicas))
}
