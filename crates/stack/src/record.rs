//! `stack.json`: what a stack's folder remembers, for its next start and for others.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::folder::write_private;
use crate::process::ProcessId;
use crate::{Endpoints, Server, StackError};

/// The file in the stack's folder.
const NAME: &str = "stack.json";

/// What is known about a stack from its folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Where the servers listen, or listened; the credentials stay the same.
    #[serde(flatten)]
    pub(crate) endpoints: Endpoints,
    /// First port of its block.
    pub(crate) port_base: u16,
    /// The processes, absent when the stack was stopped in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) running: Option<Running>,
}

/// The processes of a stack.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) starter: ProcessId,
    pub(crate) servers: BTreeMap<Server, ProcessId>,
}

impl Record {
    /// Reads the record of a folder; `None` if no stack was ever healthy there.
    pub(crate) fn read(root: &Path) -> Result<Option<Self>, StackError> {
        let path = root.join(NAME);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StackError::io("read", &path)(error)),
        };
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|source| StackError::Record { path, source })
    }

    /// Writes the record, readable by its owner only.
    pub(crate) fn write(&self) -> Result<(), StackError> {
        let path = self.endpoints.root.join(NAME);
        let mut text = serde_json::to_string_pretty(self).map_err(|source| StackError::Record {
            path: path.clone(),
            source,
        })?;
        text.push('\n');
        write_private(&path, text.as_bytes()).map_err(StackError::io("write", &path))
    }
}
