//! Products: objects made from runs. A product's name is (run, level, pass, version);
//! what was recorded under a name is never replaced.

use aquifer_schemas::RunId;
use mysql_async::Row;
use mysql_async::prelude::Queryable;
use serde::{Deserialize, Serialize};

use crate::catalogue::{Catalogue, begin, commit, scalar};
use crate::error::CatalogueError;
use crate::load::read_all;
use crate::sql::Columns;

/// An object made from a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// `reco`, `minute` or `minitree`.
    pub level: String,
    /// Such as `online`, `std` or `pass7`.
    pub pass: String,
    /// 1 for the first.
    pub version: u32,
    /// Storage element.
    pub element: String,
    /// Bucket, in object storage.
    pub bucket: Option<String>,
    /// Object key, or path below the element.
    pub location: String,
    /// Bytes.
    pub size: u64,
    /// CRC-64/NVME of the bytes, 16 hexadecimal digits.
    pub crc64nvme: String,
}

impl Catalogue {
    /// Records a product of a run; true if it is new.
    ///
    /// Errors: [`CatalogueError::UnknownRun`], [`CatalogueError::UnknownElement`],
    /// [`CatalogueError::Registered`] if another object has that name.
    pub async fn record_product(
        &self,
        id: &RunId,
        product: &Product,
    ) -> Result<bool, CatalogueError> {
        self.restarting("record a product", || self.product_once(id, product))
            .await
    }

    async fn product_once(&self, id: &RunId, product: &Product) -> Result<bool, CatalogueError> {
        let failed = || CatalogueError::server("record a product");
        let mut conn = self.conn().await?;
        let mut tx = begin(&mut conn).await?;
        let query = "SELECT id FROM run WHERE site=? AND number=? AND version=? FOR UPDATE";
        let params = (id.site.as_str(), id.number, id.version);
        let run: Option<u64> = scalar(&mut tx, "record a product", query, params).await?;
        let run = run.ok_or_else(|| CatalogueError::UnknownRun { run: id.clone() })?;
        let known = products_of(&mut tx, run).await?;
        let same_name = |have: &&Product| {
            (&have.level, &have.pass, have.version)
                == (&product.level, &product.pass, product.version)
        };
        match known.iter().find(same_name) {
            Some(have) if have == product => return Ok(false),
            Some(have) => {
                return Err(CatalogueError::Registered {
                    what: "product",
                    name: format!(
                        "{id} {} {} v{}",
                        product.level, product.pass, product.version
                    ),
                    have: format!("{} crc64nvme:{}", have.location, have.crc64nvme),
                    got: format!("{} crc64nvme:{}", product.location, product.crc64nvme),
                });
            }
            None => {}
        }
        tx.exec_drop(
            "INSERT INTO product (run_id,level,pass,version,element,bucket,location,size,crc64nvme) \
             VALUES (?,?,?,?,?,?,?,?,?)",
            (
                run,
                &product.level,
                &product.pass,
                product.version,
                &product.element,
                &product.bucket,
                &product.location,
                product.size,
                &product.crc64nvme,
            ),
        )
        .await
        .map_err(failed())
        .map_err(|error| {
            if error.breaks("product_element") {
                let elements = vec![product.element.clone()];
                return CatalogueError::UnknownElement { elements };
            }
            error
        })?;
        commit(tx).await?;
        Ok(true)
    }

    /// Products of a run, in the order they were recorded; none if there is no such run.
    pub async fn products(&self, id: &RunId) -> Result<Vec<Product>, CatalogueError> {
        self.restarting("list products", || async {
            let Some(run) = self.run(id).await? else {
                return Ok(Vec::new());
            };
            let mut conn = self.conn().await?;
            products_of(&mut conn, run.row).await
        })
        .await
    }
}

async fn products_of(conn: &mut impl Queryable, run: u64) -> Result<Vec<Product>, CatalogueError> {
    let rows: Vec<Row> = conn
        .exec(
            "SELECT level,pass,version,element,bucket,location,size,crc64nvme FROM product \
             WHERE run_id=? ORDER BY id",
            (run,),
        )
        .await
        .map_err(CatalogueError::server("list products"))?;
    read_all("product", rows, product_row)
}

fn product_row(columns: &mut Columns) -> Result<Product, CatalogueError> {
    Ok(Product {
        level: columns.next()?,
        pass: columns.next()?,
        version: columns.next()?,
        element: columns.next()?,
        bucket: columns.next()?,
        location: columns.next()?,
        size: columns.next()?,
        crc64nvme: columns.next()?,
    })
}
