//! The rules of one buffer: where it is, what its names mean, when its files are closed.

use std::fs;
use std::io;
use std::path::PathBuf;

use aquifer_schemas::{FileName, RunNumber};

use crate::close_rule::CloseRule;
use crate::journal::ExpectedFile;
use crate::naming::{BufferName, Naming};
use crate::walk::{Entry, walk};

/// The buffer's rules.
#[derive(Debug, Clone)]
pub struct BufferRules {
    /// The folder.
    pub folder: PathBuf,
    /// Whether the files are MIDAS files, and tell when their run began.
    pub midas: bool,
    /// What names mean.
    pub naming: Naming,
    /// When a file is closed.
    pub close: CloseRule,
}

impl BufferRules {
    /// The run that a file belongs to; `None` for other files.
    pub fn run_of(&self, name: &FileName) -> Option<RunNumber> {
        self.naming.recognise(name.as_str()).map(|name| name.run)
    }

    /// Shows the names below the folder that are run files or nobody's; folders that are
    /// nobody's end with a slash. Blocking.
    pub fn files(&self, visit: &mut dyn FnMut(&str)) -> io::Result<()> {
        let naming = &self.naming;
        walk(&self.folder, naming, &mut |entry| match entry {
            Entry::File(name) if naming.is_ignored(name) => {}
            Entry::File(name) => visit(name),
            Entry::OtherFolder(name) | Entry::Unreadable(name, _) => visit(&format!("{name}/")),
        })
    }

    /// Where a name in the buffer lies.
    pub fn path(&self, name: &FileName) -> PathBuf {
        self.folder.join(name.as_str())
    }

    /// The name under which a file lies in the buffer now: the one that was said if it is
    /// there, or the best of those that are, or its own. Blocking.
    pub(crate) fn lies_as(&self, file: &ExpectedFile) -> Option<BufferName> {
        let mut names = self.naming.names_of(&file.name);
        let there = |name: &BufferName| fs::symlink_metadata(self.path(&name.disk)).is_ok();
        let said = |name: &BufferName| Some(&name.disk) == file.disk.as_ref() && there(name);
        let place = names.iter().position(said);
        let place = place.or_else(|| names.iter().position(there)).unwrap_or(0);
        (!names.is_empty()).then(|| names.swap_remove(place))
    }
}
