//! Leases: who may act as a singleton, until when.
//!
//! Time is the database's clock alone. Each change of holder raises the fence, and what
//! the holder writes carries its fence, so that a holder that slept through its lease
//! cannot undo the work of the next one.

use std::time::Duration;

use jiff::Timestamp;
use mysql_async::prelude::Queryable;

use crate::catalogue::{Catalogue, begin, commit, first};
use crate::error::CatalogueError;

/// A lease that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// What is leased.
    pub name: String,
    /// By whom.
    pub holder: String,
    /// Proof of it.
    pub fence: u64,
    /// Until when, by the database's clock.
    pub until: Timestamp,
}

/// Microseconds for `INTERVAL ? MICROSECOND`.
pub(crate) fn interval(time: Duration) -> u64 {
    // A century is longer than any lease; more would overflow DATETIME.
    let century = Duration::from_hours(100 * 365 * 24);
    u64::try_from(time.min(century).as_micros()).unwrap_or(u64::MAX)
}

impl Catalogue {
    /// Takes the lease `name` if it is free or has ended; prolongs it, with the same
    /// fence, if `holder` has it. `None` if someone else holds it. Holders must have
    /// different names, also from one start of a process to the next.
    pub async fn lease(
        &self,
        name: &str,
        holder: &str,
        ttl: Duration,
    ) -> Result<Option<Lease>, CatalogueError> {
        let failed = || CatalogueError::server("take a lease");
        self.restarting("take a lease", || async {
            let mut conn = self.conn().await?;
            let mut tx = begin(&mut conn).await?;
            tx.exec_drop(
                "INSERT INTO lease (name,holder,fence,until_at) VALUES (?,'',0,'1970-01-02') \
                 ON DUPLICATE KEY UPDATE name=name",
                (name,),
            )
            .await
            .map_err(failed())?;
            // The fence is set first: the assignments see each other's results in order.
            tx.exec_drop(
                "UPDATE lease SET fence=IF(until_at>NOW(6),fence,fence+1),holder=?,\
                 until_at=NOW(6)+INTERVAL ? MICROSECOND \
                 WHERE name=? AND (until_at<=NOW(6) OR holder=?)",
                (holder, interval(ttl), name, holder),
            )
            .await
            .map_err(failed())?;
            let query = "SELECT fence,until_at FROM lease \
                         WHERE name=? AND holder=? AND until_at>NOW(6)";
            let held = first(&mut tx, "take a lease", query, (name, holder)).await?;
            commit(tx).await?;
            let Some(mut columns) = held else {
                return Ok(None);
            };
            Ok(Some(Lease {
                name: name.to_owned(),
                holder: holder.to_owned(),
                fence: columns.next()?,
                until: columns.time()?,
            }))
        })
        .await
    }

    /// Prolongs a lease that has not ended; false if it has, or has another holder.
    pub async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<bool, CatalogueError> {
        self.end_at(lease, interval(ttl)).await
    }

    /// Gives a lease back; false if it was no longer held.
    pub async fn release(&self, lease: &Lease) -> Result<bool, CatalogueError> {
        self.end_at(lease, 0).await
    }

    async fn end_at(&self, lease: &Lease, micros: u64) -> Result<bool, CatalogueError> {
        self.restarting("prolong a lease", || async {
            let mut conn = self.conn().await?;
            let params = (micros, &lease.name, lease.fence, &lease.holder);
            let result = conn
                .exec_iter(
                    "UPDATE lease SET until_at=NOW(6)+INTERVAL ? MICROSECOND \
                     WHERE name=? AND fence=? AND holder=? AND until_at>NOW(6)",
                    params,
                )
                .await
                .map_err(CatalogueError::server("prolong a lease"))?;
            Ok(result.affected_rows() == 1)
        })
        .await
    }
}
