//! Sites and storage elements: registered by people, referred to by runs and replicas.

use aquifer_schemas::Site;
use mysql_async::prelude::Queryable;
use mysql_async::{Params, Row};

use crate::catalogue::Catalogue;
use crate::error::CatalogueError;
use crate::load::read_all;
use crate::rows::{ElementKind, ElementRow, SiteRow};
use crate::sql::Columns;

impl Catalogue {
    /// Registers a site; true if it is new. A known site gets the new description and
    /// time zone: both are for people.
    pub async fn register_site(
        &self,
        site: &Site,
        time_zone: &str,
        description: &str,
    ) -> Result<bool, CatalogueError> {
        self.restarting("register a site", || async {
            let mut conn = self.conn().await?;
            let result = conn
                .exec_iter(
                    "INSERT INTO site (name,time_zone,description) VALUES (?,?,?) \
                     ON DUPLICATE KEY UPDATE time_zone=VALUES(time_zone),\
                     description=VALUES(description)",
                    (site.as_str(), time_zone, description),
                )
                .await
                .map_err(CatalogueError::server("register a site"))?;
            // 1: inserted, 2: changed, 0: as it was.
            Ok(result.affected_rows() == 1)
        })
        .await
    }

    /// The registered sites, by name.
    pub async fn sites(&self) -> Result<Vec<SiteRow>, CatalogueError> {
        let query = "SELECT name,time_zone,description FROM site ORDER BY name";
        let rows = self.list("list sites", query).await?;
        read_all("site", rows, |columns| {
            Ok(SiteRow {
                name: columns.word()?,
                time_zone: columns.next()?,
                description: columns.next()?,
            })
        })
    }

    /// Registers a storage element; true if it is new. A known one may get another URL,
    /// never another kind or site: replicas were recorded for what it is.
    pub async fn register_element(
        &self,
        name: &str,
        kind: ElementKind,
        site: Option<&Site>,
        url: &str,
    ) -> Result<bool, CatalogueError> {
        let affected = self
            .restarting("register a storage element", || async {
                let mut conn = self.conn().await?;
                let result = conn
                    .exec_iter(
                        "INSERT INTO element (name,kind,site,url) VALUES (?,?,?,?) \
                         ON DUPLICATE KEY UPDATE \
                         url=IF(kind=VALUES(kind) AND site<=>VALUES(site),VALUES(url),url)",
                        (name, kind.as_str(), site.map(Site::as_str), url),
                    )
                    .await
                    .map_err(CatalogueError::server("register a storage element"))?;
                Ok(result.affected_rows())
            })
            .await
            .map_err(|error| match (error.breaks("element_site"), site) {
                (true, Some(site)) => CatalogueError::UnknownSite { site: site.clone() },
                _ => error,
            })?;
        if affected == 1 {
            return Ok(true);
        }
        let elements = self.elements().await?;
        let have = elements.iter().find(|element| element.name == name);
        match have {
            Some(have) if have.kind != kind || have.site.as_ref() != site => {
                Err(CatalogueError::Registered {
                    what: "storage element",
                    name: name.to_owned(),
                    have: described(have.kind, have.site.as_ref()),
                    got: described(kind, site),
                })
            }
            _ => Ok(false),
        }
    }

    /// The registered storage elements, by name.
    pub async fn elements(&self) -> Result<Vec<ElementRow>, CatalogueError> {
        let query = "SELECT name,kind,site,url FROM element ORDER BY name";
        let rows = self.list("list storage elements", query).await?;
        read_all("element", rows, element_row)
    }

    /// Keeps what an element was probed to do; false where it is not registered.
    pub async fn record_capabilities(
        &self,
        name: &str,
        capabilities: &serde_json::Value,
    ) -> Result<bool, CatalogueError> {
        const WHAT: &str = "record what a storage element does";
        let json = capabilities.to_string();
        self.restarting(WHAT, || async {
            let mut conn = self.conn().await?;
            // Rows that match, not rows that change: the same may be found again.
            let known: Option<u8> = conn
                .exec_first("SELECT 1 FROM element WHERE name=?", (name,))
                .await
                .map_err(CatalogueError::server(WHAT))?;
            let statement = "UPDATE element SET capabilities=? WHERE name=?";
            conn.exec_drop(statement, (&json, name))
                .await
                .map_err(CatalogueError::server(WHAT))?;
            Ok(known.is_some())
        })
        .await
    }

    /// What an element was last probed to do, if it ever was.
    pub async fn capabilities(
        &self,
        name: &str,
    ) -> Result<Option<serde_json::Value>, CatalogueError> {
        const WHAT: &str = "read what a storage element does";
        let json = self.restarting(WHAT, || async {
            let mut conn = self.conn().await?;
            let query = "SELECT capabilities FROM element WHERE name=?";
            let found: Option<Option<String>> = conn
                .exec_first(query, (name,))
                .await
                .map_err(CatalogueError::server(WHAT))?;
            Ok(found.flatten())
        });
        // The server checks that the column holds JSON.
        Ok(json
            .await?
            .and_then(|json| serde_json::from_str(&json).ok()))
    }

    pub(crate) async fn list(
        &self,
        what: &'static str,
        query: &str,
    ) -> Result<Vec<Row>, CatalogueError> {
        self.restarting(what, || async {
            let mut conn = self.conn().await?;
            let rows = conn.exec(query, Params::Empty).await;
            rows.map_err(CatalogueError::server(what))
        })
        .await
    }
}

fn element_row(columns: &mut Columns) -> Result<ElementRow, CatalogueError> {
    Ok(ElementRow {
        name: columns.next()?,
        kind: columns.word()?,
        site: columns.opt_word()?,
        url: columns.next()?,
    })
}

fn described(kind: ElementKind, site: Option<&Site>) -> String {
    let site = site.map_or("no site", Site::as_str);
    format!("kind {} and {site}", kind.as_str())
}
