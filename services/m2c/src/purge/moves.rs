//! Files of one order into its trash, out of it, and away: each move may be done again
//! after a crash, and nothing moves that is not the file that was looked at. Blocking.

use aquifer_digest::FileIdentity;
use aquifer_runtime::crash::crash_point;
use aquifer_schemas::{FileName, Severity};
use uuid::Uuid;

use super::disk::{BufferDir, DiskError, Trash};
use super::recheck::Void;
use crate::journal::PurgedFile;
use crate::steps;

/// A file of an order with the names of what the logger may have put beside it.
#[derive(Debug, Clone)]
pub(super) struct Moving {
    pub file: PurgedFile,
    pub sides: Vec<FileName>,
}

/// Every name that an order is about.
fn names(files: &[Moving]) -> Vec<FileName> {
    let names = files.iter().flat_map(|moving| {
        let sides = moving.sides.iter();
        sides.chain([moving.file.disk()]).cloned()
    });
    names.collect()
}

/// How moving files to the trash ended.
pub(super) enum Moved {
    /// All are there.
    All,
    /// One is not what was looked at.
    Void(Void),
}

/// Moves what is not in the trash yet there, if it is still what was looked at.
pub(super) fn to_trash(
    buffer: &BufferDir,
    order: Uuid,
    files: &[Moving],
) -> Result<Moved, DiskError> {
    let trash = buffer.trash(order, true)?.ok_or(DiskError::NotATrash)?;
    for Moving { file, sides } in files {
        if trash.look(file.disk())?.is_none() {
            match take(buffer, &trash, file) {
                Ok(None) => {}
                Ok(Some(void)) => return Ok(Moved::Void(void)),
                Err(
                    error @ (DiskError::Replaced { .. }
                    | DiskError::NotRegular { .. }
                    | DiskError::NameTaken { .. }),
                ) => return Ok(Moved::Void(suspect(file, &error.to_string()))),
                Err(error) => return Err(error),
            }
            crash_point(steps::PURGE_MOVED);
        }
        for side in sides {
            if trash.look(side)?.is_none() {
                trash.take_along(side)?;
            }
        }
    }
    trash.sync(&names(files))?;
    Ok(Moved::All)
}

fn take(
    buffer: &BufferDir,
    trash: &Trash<'_>,
    file: &PurgedFile,
) -> Result<Option<Void>, DiskError> {
    let Some(held) = buffer.hold(file.disk())? else {
        let reason = format!("{} is not in the buffer", file.disk());
        return Ok(Some(suspect(file, &reason)));
    };
    // Whatever changed it since the check, a rename or a new name included, is a reason.
    if held.identity != file.identity || held.links != 1 {
        let reason = format!("{} changed after it was checked", file.disk());
        return Ok(Some(suspect(file, &reason)));
    }
    trash.take(file.disk(), &held).map(|()| None)
}

fn suspect(file: &PurgedFile, reason: &str) -> Void {
    Void {
        reason: reason.to_owned(),
        severity: Some(Severity::Error),
        suspect: Some(file.name.clone()),
    }
}

/// Removes the files of an order from its trash, and the trash.
pub(super) fn empty_trash(
    buffer: &BufferDir,
    order: Uuid,
    files: &[Moving],
) -> Result<(), DiskError> {
    let Some(trash) = buffer.trash(order, false)? else {
        return Ok(());
    };
    for Moving { file, sides } in files {
        if trash.remove(file.disk(), &file.identity)? {
            crash_point(steps::PURGE_UNLINKED);
        }
        for side in sides {
            trash.remove_along(side)?;
        }
    }
    let names = names(files);
    trash.sync(&names)?;
    trash.close(&names)
}

/// A file that was to be put back.
pub(super) struct Back {
    pub file: PurgedFile,
    /// Whether it was moved now.
    pub moved: bool,
    /// What stands under its name in the buffer then.
    pub lies: Option<FileIdentity>,
}

/// Puts the files of an order back.
pub(super) fn from_trash(
    buffer: &BufferDir,
    order: Uuid,
    files: &[Moving],
) -> Result<Vec<Back>, DiskError> {
    let trash = buffer.trash(order, false)?;
    let mut back = Vec::with_capacity(files.len());
    for Moving { file, sides } in files {
        let mut moved = false;
        if let Some(trash) = &trash {
            moved = trash.put_back(file.disk())?.is_some();
            if moved {
                crash_point(steps::RESTORE_MOVED);
            }
            for side in sides {
                trash.put_back(side)?;
            }
        }
        let lies = match buffer.look(file.disk()) {
            Ok(lies) => lies,
            Err(DiskError::NotRegular { .. }) => None,
            Err(error) => return Err(error),
        };
        let file = file.clone();
        back.push(Back { file, moved, lies });
    }
    if let Some(trash) = trash {
        let names = names(files);
        trash.sync(&names)?;
        trash.close(&names)?;
    }
    Ok(back)
}
