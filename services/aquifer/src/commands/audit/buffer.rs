//! What lies in the buffer of this machine's ingester, and in its trash, by run number.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::Context as _;
use aquifer_audit::BufferFile;
use aquifer_m2c::{Rules, TRASH};
use aquifer_schemas::{FileName, RunNumber, Site};
use jiff::Timestamp;

use super::bytes::digest;
use crate::config::Config;

/// The buffer as it was listed last.
pub(super) struct Buffer {
    pub(super) site: Site,
    rules: Rules,
    read_back: bool,
    names: HashMap<RunNumber, Vec<Name>>,
    /// Files that belong to no run.
    pub(super) unrecognised: Vec<String>,
}

struct Name {
    path: PathBuf,
    file: FileName,
    /// Of a file in another form only what it decodes to could be compared.
    in_its_own_form: bool,
    in_trash: bool,
}

/// A run's files in the buffer and in its trash.
#[derive(Default)]
pub(super) struct Lying {
    pub(super) in_buffer: Vec<BufferFile>,
    pub(super) in_trash: Vec<BufferFile>,
}

impl Buffer {
    /// The buffer, if this machine has one.
    pub(super) fn of(config: &Config, read_back: bool) -> anyhow::Result<Option<Self>> {
        if config.m2c.buffer.as_os_str().is_empty() {
            return Ok(None);
        }
        Ok(Some(Self {
            site: config.site()?,
            rules: config.m2c.rules()?,
            read_back,
            names: HashMap::new(),
            unrecognised: Vec::new(),
        }))
    }

    /// Lists it anew.
    pub(super) fn list(&mut self) -> anyhow::Result<()> {
        self.names.clear();
        self.unrecognised.clear();
        let rules = self.rules.clone();
        // A buffer that is not there is not an empty one.
        std::fs::metadata(&rules.folder).with_context(|| rules.folder.display().to_string())?;
        self.folder(&rules, false)?;
        let trash = existing(std::fs::read_dir(rules.folder.join(TRASH)))?;
        for order in trash.into_iter().flatten() {
            let of_order = Rules {
                folder: order?.path(),
                ..rules.clone()
            };
            self.folder(&of_order, true)?;
        }
        Ok(())
    }

    /// The names in the folder of `rules`; one that has gone meanwhile is empty.
    fn folder(&mut self, rules: &Rules, in_trash: bool) -> anyhow::Result<()> {
        let mut texts = Vec::new();
        existing(rules.files(&mut |text| texts.push(text.to_owned())))
            .with_context(|| rules.folder.display().to_string())?;
        for text in texts {
            let Some(known) = rules.naming.recognise(&text) else {
                self.unrecognised.push(text);
                continue;
            };
            self.names.entry(known.run).or_default().push(Name {
                path: rules.folder.join(&text),
                in_its_own_form: known.disk == known.file,
                file: known.file,
                in_trash,
            });
        }
        Ok(())
    }

    /// The numbers of the runs that have files here.
    pub(super) fn numbers(&self) -> impl Iterator<Item = RunNumber> {
        self.names.keys().copied()
    }

    /// Whether a run had files here.
    pub(super) fn has(&self, number: RunNumber) -> bool {
        self.names.contains_key(&number)
    }

    /// The files of a run that are here now.
    pub(super) fn files(&self, number: RunNumber) -> anyhow::Result<Lying> {
        let mut lying = Lying::default();
        for name in self.names.get(&number).into_iter().flatten() {
            let file = name.look(self.read_back);
            let file = file.with_context(|| name.path.display().to_string())?;
            let place = if name.in_trash {
                &mut lying.in_trash
            } else {
                &mut lying.in_buffer
            };
            place.extend(file);
        }
        Ok(lying)
    }
}

impl Name {
    /// The file, unless it has gone meanwhile.
    fn look(&self, read_back: bool) -> anyhow::Result<Option<BufferFile>> {
        let Some(metadata) = existing(std::fs::symlink_metadata(&self.path))? else {
            return Ok(None);
        };
        Ok(Some(BufferFile {
            in_its_own_form: self.in_its_own_form,
            name: self.file.clone(),
            size: metadata.len(),
            modified_at: Timestamp::try_from(metadata.modified()?)?,
            crc64nvme: digest(&self.path, read_back && self.in_its_own_form)?,
        }))
    }
}

/// What is there, or `None` if it is gone.
fn existing<T>(found: std::io::Result<T>) -> std::io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
