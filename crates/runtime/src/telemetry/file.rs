//! Traces as files: one OTLP/JSON object per line.
//!
//! Format: OpenTelemetry Protocol File Exporter, "JSON Lines file". Each batch is one
//! write, so that a crash tears at most the last line; a file that is opened again is
//! mended first. Reading is in [`super::reader`].

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use opentelemetry_proto::tonic::trace::v1::TracesData;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use super::TelemetryError;

/// Writes spans to `<dir>/<service>-<pid>.jsonl`.
#[derive(Debug)]
pub(super) struct FileExporter {
    path: PathBuf,
    max_bytes: u64,
    file: Mutex<File>,
    resource: ResourceAttributesWithSchema,
}

impl FileExporter {
    pub(super) fn open(dir: &Path, service: &str, max_bytes: u64) -> Result<Self, TelemetryError> {
        let path = dir.join(format!("{service}-{}.jsonl", std::process::id()));
        let file = fs::create_dir_all(dir)
            .and_then(|()| open_mended(&path))
            .map_err(|source| TelemetryError::TraceFile {
                path: path.clone(),
                source,
            })?;
        Ok(Self {
            path,
            max_bytes,
            file: Mutex::new(file),
            resource: ResourceAttributesWithSchema::default(),
        })
    }

    fn write(&self, batch: Vec<SpanData>) -> io::Result<()> {
        let data = TracesData {
            resource_spans: group_spans_by_resource_and_scope(batch, &self.resource),
        };
        let mut line = serde_json::to_vec(&data)?;
        line.push(b'\n');
        let mut file = self
            .file
            .lock()
            .expect("nothing panics while it holds the lock");
        let bytes = file.metadata()?.len();
        if bytes > 0 && bytes.saturating_add(line.len() as u64) > self.max_bytes {
            fs::rename(&self.path, self.path.with_extension("old.jsonl"))?;
            *file = open_mended(&self.path)?;
        }
        file.write_all(&line)
    }
}

/// Opens for appending; ends a last line that a crash left torn, so that it does not
/// swallow the next one.
fn open_mended(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new()
        .create(true)
        .read(true)
        .append(true)
        .open(path)?;
    if file.metadata()?.len() > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

impl SpanExporter for FileExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.write(batch).map_err(|error| {
            OTelSdkError::InternalFailure(format!("{}: {error}", self.path.display()))
        })
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}
