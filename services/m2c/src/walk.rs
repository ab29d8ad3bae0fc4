//! The names below the buffer. Only folders in which a template looks for files are
//! entered, so that the walk is as deep as the templates and no deeper; links are not
//! followed. Nothing is asked of a file but its name.

use std::fs;
use std::io;
use std::path::Path;

use crate::naming::Naming;
use crate::purge::TRASH;

/// Folders that are nobody's business here.
const OTHERS_FOLDERS: [&str; 1] = ["lost+found"];

/// Something below the buffer.
pub(crate) enum Entry<'a> {
    /// Anything that is no folder. Bytes that are not UTF-8 are replaced: such a name
    /// matches no template.
    File(&'a str),
    /// A folder in which no template looks for files. Hidden ones are left out.
    OtherFolder(&'a str),
    /// A folder that cannot be listed.
    Unreadable(&'a str, io::Error),
}

/// Shows everything below `root` to `visit`. An error is about `root` itself.
pub(crate) fn walk(
    root: &Path,
    naming: &Naming,
    visit: &mut dyn FnMut(Entry<'_>),
) -> io::Result<()> {
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let listed = list(root, &folder, naming, &mut folders, visit);
        match listed {
            Err(error) if folder.is_empty() => return Err(error),
            // Removed since its parent was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => visit(Entry::Unreadable(&folder, error)),
            Ok(()) => {}
        }
    }
    Ok(())
}

fn list(
    root: &Path,
    folder: &str,
    naming: &Naming,
    folders: &mut Vec<String>,
    visit: &mut dyn FnMut(Entry<'_>),
) -> io::Result<()> {
    let mut name = String::with_capacity(folder.len() + 32);
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let last = entry.file_name();
        let last = last.to_string_lossy();
        name.clear();
        if !folder.is_empty() {
            name.push_str(folder);
            name.push('/');
        }
        name.push_str(&last);
        if name == TRASH {
            // What lies there is on its way out.
            continue;
        }
        if !entry.file_type()?.is_dir() {
            visit(Entry::File(&name));
        } else if naming.may_hold(&name) {
            folders.push(name.clone());
        } else if !last.starts_with('.')
            && !OTHERS_FOLDERS.contains(&&*last)
            && !naming.is_ignored(&name)
        {
            visit(Entry::OtherFolder(&name));
        }
    }
    Ok(())
}
