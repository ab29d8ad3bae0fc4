//! What a DAQ's script sends by HTTP: the message of the bus in JSON, of which it may
//! leave out all but the run's number.

use std::collections::BTreeMap;

use aquifer_runtime::request::BadField;
use aquifer_schemas::{
    ClosedBy, ClosedFile, FileName, RunClosed, RunNumber, RunOpened, Site, event_id,
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

/// A run began.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenedNotice {
    run: RunNumber,
    #[serde(default)]
    site: Option<Site>,
    #[serde(default)]
    started_at: Option<Timestamp>,
    #[serde(default)]
    run_type: Option<String>,
    #[serde(default)]
    attributes: BTreeMap<String, Value>,
    #[serde(default)]
    event_id: Option<Uuid>,
    #[serde(default)]
    producer: Option<String>,
    #[serde(default, rename = "version")]
    _version: u32,
}

/// A run ended.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClosedNotice {
    run: RunNumber,
    #[serde(default)]
    site: Option<Site>,
    #[serde(default)]
    started_at: Option<Timestamp>,
    #[serde(default)]
    ended_at: Option<Timestamp>,
    #[serde(default)]
    run_type: Option<String>,
    #[serde(default)]
    buffer: Option<String>,
    #[serde(default)]
    files: Vec<FileNotice>,
    #[serde(default)]
    events: Option<u64>,
    #[serde(default)]
    attributes: BTreeMap<String, Value>,
    #[serde(default)]
    event_id: Option<Uuid>,
    #[serde(default)]
    producer: Option<String>,
    // Of the bus's message, and nothing that a DAQ knows.
    #[serde(default, rename = "version")]
    _version: u32,
    #[serde(default, rename = "revision")]
    _revision: u64,
    #[serde(default, rename = "closed_by")]
    _closed_by: Option<ClosedBy>,
}

/// One file of the run.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileNotice {
    name: FileName,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    crc32c: Option<String>,
}

impl OpenedNotice {
    /// The announcement of a run at `site`, signed by `via` where the sender does not say
    /// who it is.
    pub(crate) fn into_message(self, site: &Site, via: &str) -> Result<RunOpened, BadField> {
        let site = self.site.unwrap_or_else(|| site.clone());
        let started_at = self.started_at.unwrap_or_else(Timestamp::now);
        let id = || event(&site, self.run, "opened", started_at);
        Ok(RunOpened {
            event_id: self.event_id.unwrap_or_else(id),
            run: self.run,
            version: 0,
            started_at,
            run_type: self.run_type,
            attributes: attributes(self.attributes)?,
            producer: self.producer.unwrap_or_else(|| via.to_owned()),
            site,
        })
    }
}

impl ClosedNotice {
    /// See [`OpenedNotice::into_message`].
    pub(crate) fn into_message(self, site: &Site, via: &str) -> Result<RunClosed, BadField> {
        let site = self.site.unwrap_or_else(|| site.clone());
        let ended_at = self.ended_at.unwrap_or_else(Timestamp::now);
        if self
            .started_at
            .is_some_and(|started_at| started_at > ended_at)
        {
            return Err(BadField {
                field: "ended_at".to_owned(),
                reason: "the run ends before it begins".to_owned(),
            });
        }
        let id = || event(&site, self.run, "closed", ended_at);
        let files = self.files.into_iter().map(|file| ClosedFile {
            name: file.name,
            size: file.size,
            crc32c: file.crc32c,
        });
        Ok(RunClosed {
            event_id: self.event_id.unwrap_or_else(id),
            run: self.run,
            version: 0,
            revision: 0,
            started_at: self.started_at,
            ended_at,
            run_type: self.run_type,
            closed_by: ClosedBy::Daq,
            buffer: self.buffer,
            files: files.collect(),
            events: self.events,
            attributes: attributes(self.attributes)?,
            producer: self.producer.unwrap_or_else(|| via.to_owned()),
            site,
        })
    }
}

/// A DAQ that was reset uses its numbers again: the time tells the runs apart.
fn event(site: &Site, run: RunNumber, transition: &str, at: Timestamp) -> Uuid {
    event_id(&format!("daq:{site}/{run}@{at}"), transition, 0)
}

/// Attributes are texts on the bus; a script may give numbers and flags as they are.
fn attributes(given: BTreeMap<String, Value>) -> Result<BTreeMap<String, String>, BadField> {
    given
        .into_iter()
        .map(|(name, value)| match value {
            Value::String(text) => Ok((name, text)),
            Value::Number(_) | Value::Bool(_) => Ok((name, value.to_string())),
            _ => Err(BadField {
                field: format!("attributes.{name}"),
                reason: "an attribute is a text, a number or a flag".to_owned(),
            }),
        })
        .collect()
}
