//! Lists of runs: by site, number, time, state, type, period, and by what the DAQ says.
//!
//! A list is of the runs taken last first. Two ways lead to it. From the newest run
//! backwards, asking of each whether it passes: quick where many pass. Or from the index
//! of one attribute, where the newest with a value stand first, whenever they were taken:
//! quick where few pass, or none of late. Equality with a value goes by its index always;
//! a range goes by its index where few are in it.

mod condition;
mod expression;

use mysql_async::Row;
use mysql_async::prelude::Queryable;

use crate::catalogue::{Catalogue, first};
use crate::error::CatalogueError;
use crate::load::{RUN, read_all, run_row};
use crate::rows::{RunFilter, RunRow};
use crate::sql::Columns;

use condition::Condition;
use expression::{INDEX, Lead};

/// Most runs of one list.
const MOST_RUNS: u32 = 10_000;

/// Most runs that a range of an attribute may have to be gone through by its index.
const FEW: u64 = 5_000;

impl Catalogue {
    /// Runs that pass a filter, those taken last first.
    pub async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRow>, CatalogueError> {
        let mut conditions = condition::of(filter)?;
        if let Some(holds) = &filter.holds {
            conditions.push(expression::holds(holds));
        }
        let limit = filter.limit.min(MOST_RUNS);
        self.restarting("list runs", || async {
            let mut conn = self.conn().await?;
            let lead = self.lead(&mut conn, filter).await?;
            let (from, order) = match &lead {
                Some(lead) => (lead.from(), lead.order()),
                None => (
                    Condition::new("run r WHERE TRUE", []),
                    "r.taken_at DESC,r.id DESC",
                ),
            };
            let mut all = from;
            for condition in &conditions {
                all = all.and(condition);
            }
            let query = format!(
                "SELECT {RUN} FROM {} ORDER BY {order} LIMIT {limit}",
                all.text
            );
            let rows: Vec<Row> = conn
                .exec(query.as_str(), all.params())
                .await
                .map_err(CatalogueError::server("list runs"))?;
            read_all("run", rows, run_row)
        })
        .await
    }

    /// Names of attributes that runs have, in order.
    pub async fn attribute_names(&self) -> Result<Vec<String>, CatalogueError> {
        // The index alone answers, and jumps from name to name.
        let query =
            format!("SELECT DISTINCT name FROM run_attribute FORCE INDEX ({INDEX}) ORDER BY name");
        let rows = self.list("list attributes", &query).await?;
        read_all("run_attribute", rows, Columns::next)
    }

    /// Types that runs have, in order.
    pub async fn run_types(&self) -> Result<Vec<String>, CatalogueError> {
        let query =
            "SELECT DISTINCT run_type FROM run WHERE run_type IS NOT NULL ORDER BY run_type";
        let rows = self.list("list types", query).await?;
        read_all("run", rows, Columns::next)
    }

    /// The attribute whose index leads to the runs soonest, if one does.
    async fn lead(
        &self,
        conn: &mut mysql_async::Conn,
        filter: &RunFilter,
    ) -> Result<Option<Lead>, CatalogueError> {
        let mut leads: Vec<Lead> = filter.holds.iter().flat_map(expression::leads).collect();
        if leads.len() == 1 && leads[0].is_ordered() {
            return Ok(leads.pop());
        }
        let mut best: Option<(u64, Lead)> = None;
        for lead in leads {
            let count = lead.count(FEW + 1);
            let query = format!("SELECT COUNT(*) FROM ({}) few", count.text);
            let found = first(conn, "count runs", &query, count.params()).await?;
            let found: u64 = match found {
                Some(mut columns) => columns.next()?,
                None => 0,
            };
            let useful = found <= FEW || lead.is_ordered();
            if useful && best.as_ref().is_none_or(|(least, _)| found < *least) {
                best = Some((found, lead));
            }
        }
        Ok(best.map(|(_, lead)| lead))
    }
}
