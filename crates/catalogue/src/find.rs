//! Files by their names and by what is in them.

use aquifer_digest::Crc64Nvme;
use aquifer_profile::Pattern;
use aquifer_schemas::Site;
use mysql_async::Value;

use crate::catalogue::Catalogue;
use crate::error::CatalogueError;
use crate::rows::RunFile;
use crate::sql::like;

/// Which files to find; the default finds all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileFilter {
    /// Of this site.
    pub site: Option<Site>,
    /// With such a name.
    pub name: Option<Pattern>,
    /// Whose decoded bytes have this CRC-64/NVME.
    pub crc64nvme: Option<Crc64Nvme>,
}

impl Catalogue {
    /// The first `limit` (1 to 10 000) files that pass a filter, with their copies, in the
    /// order they were recorded.
    pub async fn find_files(
        &self,
        filter: &FileFilter,
        limit: u32,
    ) -> Result<Vec<RunFile>, CatalogueError> {
        let (condition, params) = conditions(filter);
        self.restarting("find files", || {
            self.page((&condition, params.clone()), 0, limit)
        })
        .await
    }
}

/// The filter as SQL with its parameters: no value of it stands in the text.
fn conditions(filter: &FileFilter) -> (String, Vec<Value>) {
    let site = filter.site.as_ref().map(|site| site.as_str().into());
    let name = filter.name.as_ref().map(|name| like(name).into());
    let crc64nvme = filter.crc64nvme.map(|sum| sum.to_string().into());
    let all = [
        ("r.site=?", site),
        ("f.name LIKE ? ESCAPE '!'", name),
        ("f.crc64nvme=?", crc64nvme),
    ];
    let (mut conditions, mut params) = (vec!["TRUE"], Vec::new());
    for (condition, value) in all {
        if let Some(value) = value {
            conditions.push(condition);
            params.push(value);
        }
    }
    (conditions.join(" AND "), params)
}
