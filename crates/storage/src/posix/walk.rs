//! Walking the folder, a page at a time. Blocking.

use std::fs::{self, ReadDir};
use std::io;
use std::path::{Path, PathBuf};

use crate::element::ListedObject;
use crate::key::OWN_NAMES;

/// Objects on a page.
const PAGE: usize = 1000;

/// A walk through all files whose keys begin with the prefix.
#[derive(Debug)]
pub(super) struct Walk {
    root: PathBuf,
    prefix: String,
    reading: Option<ReadDir>,
    waiting: Vec<PathBuf>,
}

impl Walk {
    pub(super) fn new(root: &Path, prefix: &str) -> Self {
        Self {
            root: root.to_owned(),
            prefix: prefix.to_owned(),
            reading: None,
            waiting: vec![root.to_owned()],
        }
    }

    /// The next objects; none at the end.
    pub(super) fn page(&mut self) -> io::Result<Vec<ListedObject>> {
        let mut page = Vec::new();
        while page.len() < PAGE {
            let Some(reading) = &mut self.reading else {
                let Some(folder) = self.waiting.pop() else {
                    break;
                };
                self.reading = Some(fs::read_dir(folder)?);
                continue;
            };
            let Some(entry) = reading.next() else {
                self.reading = None;
                continue;
            };
            let entry = entry?;
            let key = self.key(&entry.path());
            let kind = entry.file_type()?;
            if kind.is_dir() && self.may_hold(&key) {
                self.waiting.push(entry.path());
            } else if kind.is_file() && key.starts_with(&self.prefix) {
                let metadata = match entry.metadata() {
                    // Deleted since its folder was read.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    metadata => metadata?,
                };
                page.push(ListedObject {
                    key,
                    size: metadata.len(),
                    etag: None,
                    last_modified: metadata
                        .modified()
                        .ok()
                        .and_then(|time| jiff::Timestamp::try_from(time).ok()),
                });
            }
        }
        Ok(page)
    }

    fn key(&self, path: &Path) -> String {
        path.strip_prefix(&self.root)
            .unwrap_or(path)
            .to_string_lossy()
            .into_owned()
    }

    /// Whether keys with the prefix can lie in the folder.
    fn may_hold(&self, folder: &str) -> bool {
        let inside = format!("{folder}/");
        !folder.starts_with(OWN_NAMES)
            && (inside.starts_with(&self.prefix) || self.prefix.starts_with(&inside))
    }
}
