//! Periods: set, listed and removed. Which runs are of one is for [`Period::covers`].

use aquifer_schemas::{Period, PeriodEdge, Site};
use jiff::Timestamp;
use mysql_async::Value;
use mysql_async::prelude::Queryable;
use serde::{Deserialize, Serialize};

use crate::catalogue::Catalogue;
use crate::error::CatalogueError;
use crate::load::read_all;
use crate::rows::RunRow;
use crate::sql::{Columns, micros, time};

/// A period as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeriodRow {
    /// What it is.
    #[serde(flatten)]
    pub period: Period,
    /// Who set it so.
    pub set_by: String,
    /// When, by the database's clock.
    pub set_at: Timestamp,
}

impl PeriodRow {
    /// Whether a run is of it.
    pub fn covers(&self, run: &RunRow) -> bool {
        self.period
            .covers(&run.id.site, run.id.number, run.taken_at)
    }
}

impl Catalogue {
    /// Sets a period, new or known; true if that changed anything.
    ///
    /// Errors: [`CatalogueError::Value`] for a period that cannot be,
    /// [`CatalogueError::UnknownSite`], outages.
    pub async fn set_period(&self, period: &Period, who: &str) -> Result<bool, CatalogueError> {
        const WHAT: &str = "set a period";
        let params = columns_of(period, who)?;
        // `set_by` changes only with something else: else a repeat would look like news.
        let statement = "INSERT INTO period \
            (name,site,from_number,from_at,to_number,to_at,description,set_by) \
            VALUES (?,?,?,?,?,?,?,?) ON DUPLICATE KEY UPDATE \
            set_by=IF(site<=>VALUES(site) AND from_number<=>VALUES(from_number) \
                AND from_at<=>VALUES(from_at) AND to_number<=>VALUES(to_number) \
                AND to_at<=>VALUES(to_at) AND description=VALUES(description),\
                set_by,VALUES(set_by)),\
            site=VALUES(site),from_number=VALUES(from_number),from_at=VALUES(from_at),\
            to_number=VALUES(to_number),to_at=VALUES(to_at),description=VALUES(description)";
        self.restarting(WHAT, || async {
            let mut conn = self.conn().await?;
            let result = conn
                .exec_iter(statement, params.clone())
                .await
                .map_err(CatalogueError::server(WHAT))?;
            Ok(result.affected_rows() > 0)
        })
        .await
        .map_err(|error| match (error.breaks("period_site"), &period.site) {
            (true, Some(site)) => CatalogueError::UnknownSite { site: site.clone() },
            _ => error,
        })
    }

    /// Removes a period; true if there was one. Its runs are what they were.
    pub async fn remove_period(&self, name: &str) -> Result<bool, CatalogueError> {
        const WHAT: &str = "remove a period";
        self.restarting(WHAT, || async {
            let mut conn = self.conn().await?;
            let result = conn
                .exec_iter("DELETE FROM period WHERE name=?", (name,))
                .await
                .map_err(CatalogueError::server(WHAT))?;
            Ok(result.affected_rows() == 1)
        })
        .await
    }

    /// The periods, by name.
    pub async fn periods(&self) -> Result<Vec<PeriodRow>, CatalogueError> {
        let query = "SELECT name,site,from_number,from_at,to_number,to_at,description,\
                     set_by,set_at FROM period ORDER BY name";
        let rows = self.list("list periods", query).await?;
        read_all("period", rows, period_row)
    }
}

fn columns_of(period: &Period, who: &str) -> Result<Vec<Value>, CatalogueError> {
    period.check().map_err(|error| CatalogueError::Value {
        what: "period",
        value: error.to_string(),
        why: "it has no runs, or no name",
    })?;
    let edge = |edge: Option<PeriodEdge>| {
        Ok::<_, CatalogueError>(match edge {
            None => [Value::NULL, Value::NULL],
            Some(PeriodEdge::Run(number)) => [number.into(), Value::NULL],
            Some(PeriodEdge::At(at)) => [Value::NULL, time(micros("end of a period", at)?)],
        })
    };
    let [from_number, from_at] = edge(period.from)?;
    let [to_number, to_at] = edge(period.to)?;
    Ok(vec![
        period.name.as_str().into(),
        period.site.as_ref().map(Site::as_str).into(),
        from_number,
        from_at,
        to_number,
        to_at,
        period.description.as_str().into(),
        who.into(),
    ])
}

fn period_row(columns: &mut Columns) -> Result<PeriodRow, CatalogueError> {
    Ok(PeriodRow {
        period: Period {
            name: columns.next()?,
            site: columns.opt_word()?,
            from: edge(columns)?,
            to: edge(columns)?,
            description: columns.next()?,
        },
        set_by: columns.next()?,
        set_at: columns.time()?,
    })
}

fn edge(columns: &mut Columns) -> Result<Option<PeriodEdge>, CatalogueError> {
    let number: Option<u64> = columns.next()?;
    let at = columns.opt_time()?;
    Ok(number.map(PeriodEdge::Run).or(at.map(PeriodEdge::At)))
}
