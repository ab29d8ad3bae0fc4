//! The outbox as its relay sees it: what waits, in order, and its removal.
//!
//! Ids of one key grow in the order of commits, because whoever writes under a run's key
//! holds the lock on the run until its commit (`load::lock_run`). Between keys, and for
//! signals raised at the same moment, there is no order to keep.

use aquifer_schemas::Announcement;
use jiff::Timestamp;
use mysql_async::prelude::Queryable;
use mysql_async::{Params, Row, Value};

use crate::catalogue::{Catalogue, begin, commit, first, scalar};
use crate::error::CatalogueError;
use crate::load::read_all;
use crate::sql::Columns;

/// Name of the lease that the relay holds.
pub const OUTBOX_LEASE: &str = "outbox-relay";

/// Most rows of one batch or one removal.
const MOST_ROWS: usize = 1000;

/// How full the outbox is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxStatus {
    /// Announcements that wait.
    pub rows: u64,
    /// When the oldest was written.
    pub oldest_at: Option<Timestamp>,
    /// Id of the newest.
    pub newest_id: Option<u64>,
}

impl Catalogue {
    /// How full the outbox is.
    pub async fn outbox_status(&self) -> Result<OutboxStatus, CatalogueError> {
        self.restarting("look at the outbox", || async {
            let mut conn = self.conn().await?;
            let query = "SELECT COUNT(*),MIN(created_at),MAX(id) FROM outbox";
            let row = first(&mut conn, "look at the outbox", query, Params::Empty).await?;
            let Some(mut columns) = row else {
                return Ok(OutboxStatus {
                    rows: 0,
                    oldest_at: None,
                    newest_id: None,
                });
            };
            Ok(OutboxStatus {
                rows: columns.next()?,
                oldest_at: columns.opt_time()?,
                newest_id: columns.next()?,
            })
        })
        .await
    }

    /// The oldest announcements, at most `limit` and at most 1000, in order.
    pub async fn outbox_batch(&self, limit: usize) -> Result<Vec<Announcement>, CatalogueError> {
        self.restarting("read the outbox", || async {
            let mut conn = self.conn().await?;
            let rows: Vec<Row> = conn
                .exec(
                    "SELECT id,topic,message_key,value,event_id,traceparent,created_at \
                     FROM outbox ORDER BY id LIMIT ?",
                    (limit.min(MOST_ROWS),),
                )
                .await
                .map_err(CatalogueError::server("read the outbox"))?;
            read_all("outbox", rows, outbox_row)
        })
        .await
    }

    /// Removes announcements that were relayed. Those that are gone already do not
    /// matter: a removal may be repeated.
    ///
    /// Errors: [`CatalogueError::StaleFence`] if someone else has taken the relay's lease
    /// since; nothing is removed then.
    pub async fn outbox_delete(&self, fence: u64, ids: &[u64]) -> Result<(), CatalogueError> {
        for ids in ids.chunks(MOST_ROWS) {
            self.restarting("empty the outbox", || self.delete_chunk(fence, ids))
                .await?;
        }
        Ok(())
    }

    async fn delete_chunk(&self, fence: u64, ids: &[u64]) -> Result<(), CatalogueError> {
        let failed = || CatalogueError::server("empty the outbox");
        let mut conn = self.conn().await?;
        let mut tx = begin(&mut conn).await?;
        // Locked, so that the lease cannot change hands before the commit.
        let query = "SELECT fence FROM lease WHERE name=? FOR UPDATE";
        let what = "empty the outbox";
        let current: Option<u64> = scalar(&mut tx, what, query, (OUTBOX_LEASE,)).await?;
        if current != Some(fence) {
            return Err(CatalogueError::StaleFence {
                what: format!("lease {OUTBOX_LEASE}"),
                fence,
            });
        }
        // Chunks of powers of two, for the same reason as in `sql::insert_rows`.
        let mut rest = ids;
        while !rest.is_empty() {
            let (chunk, left) = rest.split_at(1 << rest.len().ilog2());
            let marks = vec!["?"; chunk.len()].join(",");
            let values: Vec<Value> = chunk.iter().map(|id| (*id).into()).collect();
            tx.exec_drop(format!("DELETE FROM outbox WHERE id IN ({marks})"), values)
                .await
                .map_err(failed())?;
            rest = left;
        }
        commit(tx).await
    }
}

fn outbox_row(columns: &mut Columns) -> Result<Announcement, CatalogueError> {
    Ok(Announcement {
        id: columns.next()?,
        topic: columns.next()?,
        key: columns.next()?,
        value: columns.next()?,
        event_id: columns.uuid()?,
        traceparent: columns.next()?,
        created_at: columns.time()?,
    })
}
