//! How orders are read, with the copies that stay as they stand now.

use std::collections::HashMap;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Params, Row, Value};
use uuid::Uuid;

use super::apply::is_held;
use super::{HOLD, PurgeOrderFile, PurgeOrderFilter, PurgeOrderRow};
use crate::catalogue::{Catalogue, begin_snapshot, commit};
use crate::error::CatalogueError;
use crate::facts::Attribute;
use crate::load::{self, read_all};
use crate::sql::Columns;

/// Most orders of one list.
const MOST_ORDERS: u32 = 10_000;

const ORDER: &str = "o.id,o.order_id,r.site,r.number,r.version,r.state,a.name IS NOT NULL,\
    a.bool_value,o.buffer,o.state,o.policy,o.reason,o.required,o.evidence_max_age_secs,\
    o.ordered_by,o.note,o.cancelled_because,o.restore_by,o.restore_reason,o.proposed_at,\
    o.checked_at,o.trashed_at,o.unlinking_at,o.ended_at,NOW(6)";

const ORDER_FILE: &str = "x.purge_order_id,f.name,f.state,f.size,f.crc64nvme,f.buffer_dev,\
    f.buffer_ino,f.buffer_size,f.buffer_mtime_ns,f.buffer_ctime_ns,x.element,x.evidence,\
    x.evidence_method,x.evidence_value,x.evidence_at,p.state,p.evidence,p.location,p.stored_size,\
    p.stored_crc64nvme";

impl Catalogue {
    /// Orders of a buffer that are neither done nor void, at most `limit`: those under
    /// way first, then the oldest.
    pub async fn live_purge_orders(
        &self,
        buffer: &str,
        limit: u32,
    ) -> Result<Vec<PurgeOrderRow>, CatalogueError> {
        let limit = limit.min(MOST_ORDERS);
        let query = format!(
            "o.buffer=? AND o.state IN ('proposed','checked','trashed') \
             ORDER BY o.state='proposed',o.id LIMIT {limit}"
        );
        self.orders_where(&query, vec![buffer.into()]).await
    }

    /// Orders that pass a filter, those given last first.
    pub async fn purge_orders(
        &self,
        filter: &PurgeOrderFilter,
    ) -> Result<Vec<PurgeOrderRow>, CatalogueError> {
        let mut conditions = vec!["TRUE".to_owned()];
        let mut params: Vec<Value> = Vec::new();
        if let Some(run) = &filter.run {
            conditions.push("r.site=? AND r.number=? AND r.version=?".to_owned());
            let (number, version) = (run.number.into(), run.version.into());
            params.extend([run.site.as_str().into(), number, version]);
        }
        if !filter.states.is_empty() {
            let marks = vec!["?"; filter.states.len()].join(",");
            conditions.push(format!("o.state IN ({marks})"));
            let states = filter.states.iter();
            params.extend(states.map(|state| Value::from(state.as_str())));
        }
        let query = format!(
            "{} ORDER BY o.id DESC LIMIT {}",
            conditions.join(" AND "),
            filter.limit.min(MOST_ORDERS)
        );
        self.orders_where(&query, params).await
    }

    /// An order, by its identity.
    pub async fn purge_order(&self, order: Uuid) -> Result<Option<PurgeOrderRow>, CatalogueError> {
        let params = vec![order.as_bytes().as_slice().into()];
        let mut found = self.orders_where("o.order_id=?", params).await?;
        Ok(found.pop())
    }

    async fn orders_where(
        &self,
        rest: &str,
        params: Vec<Value>,
    ) -> Result<Vec<PurgeOrderRow>, CatalogueError> {
        self.restarting("read purge orders", || async {
            let mut conn = self.conn().await?;
            let mut tx = begin_snapshot(&mut conn).await?;
            let orders = orders(&mut tx, rest, params.clone()).await?;
            commit(tx).await?;
            Ok(orders)
        })
        .await
    }
}

/// Orders with their files; `rest` follows WHERE.
pub(super) async fn orders(
    conn: &mut impl Queryable,
    rest: &str,
    params: Vec<Value>,
) -> Result<Vec<PurgeOrderRow>, CatalogueError> {
    let failed = || CatalogueError::server("read purge orders");
    let query = format!(
        "SELECT {ORDER} FROM purge_order o JOIN run r ON r.id=o.run_id \
         LEFT JOIN run_attribute a ON a.run_id=r.id AND a.name='{HOLD}' WHERE {rest}"
    );
    let params = if params.is_empty() {
        Params::Empty
    } else {
        Params::Positional(params)
    };
    let rows: Vec<Row> = conn.exec(query, params).await.map_err(failed())?;
    let mut orders = read_all("purge_order", rows, order_row)?;
    if orders.is_empty() {
        return Ok(orders);
    }
    let ids: Vec<Value> = orders.iter().map(|order| order.row.into()).collect();
    let marks = vec!["?"; ids.len()].join(",");
    let query = format!(
        "SELECT {ORDER_FILE} FROM purge_order_file x JOIN file f ON f.id=x.file_id \
         JOIN replica p ON p.file_id=f.id AND p.element=x.element \
         WHERE x.purge_order_id IN ({marks}) ORDER BY f.name"
    );
    let rows: Vec<Row> = conn.exec(query, ids).await.map_err(failed())?;
    let files = read_all("purge_order_file", rows, |columns| {
        Ok((columns.next::<u64>()?, order_file_row(columns)?))
    })?;
    let mut by_order: HashMap<u64, Vec<PurgeOrderFile>> = HashMap::new();
    for (order, file) in files {
        by_order.entry(order).or_default().push(file);
    }
    for order in &mut orders {
        order.files = by_order.remove(&order.row).unwrap_or_default();
    }
    Ok(orders)
}

fn order_row(columns: &mut Columns) -> Result<PurgeOrderRow, CatalogueError> {
    Ok(PurgeOrderRow {
        row: columns.next()?,
        order: columns.uuid()?,
        run: load::run_id(columns)?,
        run_state: columns.word()?,
        held: held(columns)?,
        buffer: columns.next()?,
        state: columns.word()?,
        policy: columns.next()?,
        reason: columns.next()?,
        required: columns.word()?,
        evidence_max_age: Duration::from_secs(columns.next()?),
        ordered_by: columns.next()?,
        note: columns.next()?,
        cancelled_because: columns.next()?,
        restore_by: columns.next()?,
        restore_reason: columns.next()?,
        proposed_at: columns.time()?,
        checked_at: columns.opt_time()?,
        trashed_at: columns.opt_time()?,
        unlinking_at: columns.opt_time()?,
        ended_at: columns.opt_time()?,
        read_at: columns.time()?,
        files: Vec::new(),
    })
}

/// Whether there is an attribute that holds the run, and its value is not `false`.
fn held(columns: &mut Columns) -> Result<bool, CatalogueError> {
    let (there, value): (bool, Option<bool>) = (columns.next()?, columns.next()?);
    let hold = there.then(|| value.map_or_else(|| Attribute::text(""), Attribute::bool));
    Ok(is_held(hold.as_ref()))
}

fn order_file_row(columns: &mut Columns) -> Result<PurgeOrderFile, CatalogueError> {
    Ok(PurgeOrderFile {
        name: columns.word()?,
        state: columns.word()?,
        size: columns.next()?,
        crc64nvme: columns.next()?,
        identity: load::identity(columns)?,
        element: columns.next()?,
        evidence: columns.word()?,
        evidence_method: columns.next()?,
        evidence_value: columns.next()?,
        evidence_at: columns.time()?,
        copy_state: columns.word()?,
        copy_evidence: columns.word()?,
        copy_location: columns.next()?,
        copy_size: columns.next()?,
        copy_crc64nvme: columns.next()?,
    })
}
