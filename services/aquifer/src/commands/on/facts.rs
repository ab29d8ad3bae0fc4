//! What a hook's command or webhook is told about a run.

use aquifer_catalogue::RunDetail;
use aquifer_schemas::{ClosedBy, Encoding, FileName, RunNumber, RunVersion, Site};
use jiff::Timestamp;
use serde::Serialize;

/// A run that is complete in object storage.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Facts {
    pub event: &'static str,
    pub hook: String,
    pub attempt: u32,
    pub run_id: String,
    pub site: Site,
    pub run: RunNumber,
    pub version: RunVersion,
    pub run_type: Option<String>,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub stored_at: Option<Timestamp>,
    pub closed_by: Option<ClosedBy>,
    /// Where the objects are.
    pub endpoint: String,
    pub manifest: Option<String>,
    pub traceparent: Option<String>,
    pub files: Vec<File>,
}

/// A file of it, and its object.
#[derive(Debug, Clone, Serialize)]
pub(super) struct File {
    pub name: FileName,
    pub size: Option<u64>,
    pub crc64nvme: Option<String>,
    pub adler32: Option<String>,
    pub element: String,
    pub bucket: String,
    pub key: String,
    pub encoding: Encoding,
    pub stored_size: u64,
    pub stored_crc64nvme: Option<String>,
}

impl Facts {
    pub(super) fn new(detail: &RunDetail, hook: &str, attempt: u32, endpoint: &str) -> Self {
        let row = &detail.row;
        let files = detail.files.iter().filter_map(|file| {
            let mut copies = detail.replicas.iter();
            let copy = copies.find(|copy| copy.file == file.name && copy.bucket.is_some())?;
            Some(File {
                name: file.name.clone(),
                size: file.size,
                crc64nvme: file.crc64nvme.clone(),
                adler32: file.adler32.clone(),
                element: copy.element.clone(),
                bucket: copy.bucket.clone()?,
                key: copy.location.clone(),
                encoding: copy.encoding,
                stored_size: copy.stored_size,
                stored_crc64nvme: copy.stored_crc64nvme.clone(),
            })
        });
        Self {
            event: "run-stored",
            hook: hook.to_owned(),
            attempt,
            run_id: row.id.to_string(),
            site: row.id.site.clone(),
            run: row.id.number,
            version: row.id.version,
            run_type: row.run_type.clone(),
            started_at: row.started_at,
            ended_at: row.ended_at,
            stored_at: row.stored_at,
            closed_by: row.closed_by,
            endpoint: endpoint.to_owned(),
            manifest: row.manifest_key.clone(),
            traceparent: row.trace.clone(),
            files: files.collect(),
        }
    }

    /// The same as variables of an environment.
    pub(super) fn variables(&self) -> Vec<(&'static str, String)> {
        let keys: Vec<_> = self.files.iter().map(|file| file.key.as_str()).collect();
        let bucket = self.files.first().map(|file| file.bucket.clone());
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let stored_at = self.stored_at.map(|at| at.to_string());
        vec![
            ("AQUIFER_EVENT", self.event.to_owned()),
            ("AQUIFER_HOOK", self.hook.clone()),
            ("AQUIFER_ATTEMPT", self.attempt.to_string()),
            ("AQUIFER_RUN_ID", self.run_id.clone()),
            ("AQUIFER_SITE", self.site.to_string()),
            ("AQUIFER_RUN", self.run.to_string()),
            ("AQUIFER_VERSION", self.version.to_string()),
            ("AQUIFER_RUN_TYPE", text(&self.run_type)),
            ("AQUIFER_STORED_AT", text(&stored_at)),
            ("AQUIFER_ENDPOINT", self.endpoint.clone()),
            ("AQUIFER_BUCKET", text(&bucket)),
            ("AQUIFER_KEYS", keys.join("\n")),
            ("AQUIFER_MANIFEST", text(&self.manifest)),
            ("TRACEPARENT", text(&self.traceparent)),
        ]
    }
}
