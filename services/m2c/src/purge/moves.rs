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

/// A file of an order with the name of its side file.
#[derive(Debug, Clone)]
pub(super) struct Moving {
    pub file: PurgedFile,
    pub side: Option<FileName>,
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
    for Moving { file, side } in files {
        if trash.look(&file.name)?.is_none() {
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
        if let Some(side) = side
            && trash.look(side)?.is_none()
        {
            trash.take_along(side)?;
        }
    }
    trash.sync()?;
    Ok(Moved::All)
}

fn take(
    buffer: &BufferDir,
    trash: &Trash<'_>,
    file: &PurgedFile,
) -> Result<Option<Void>, DiskError> {
    let Some(held) = buffer.hold(&file.name)? else {
        let reason = format!("{} is not in the buffer", file.name);
        return Ok(Some(suspect(file, &reason)));
    };
    // Whatever changed it since the check, a rename or a new name included, is a reason.
    if held.identity != file.identity || held.links != 1 {
        let reason = format!("{} changed after it was checked", file.name);
        return Ok(Some(suspect(file, &reason)));
    }
    trash.take(&file.name, &held).map(|()| None)
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
    for Moving { file, side } in files {
        if trash.remove(&file.name, &file.identity)? {
            crash_point(steps::PURGE_UNLINKED);
        }
        if let Some(side) = side {
            trash.remove_along(side)?;
        }
    }
    trash.sync()?;
    trash.close()
}

/// Puts the files of an order back; tells for each whether it was moved now, and what
/// stands under its name then.
pub(super) fn from_trash(
    buffer: &BufferDir,
    order: Uuid,
    files: &[Moving],
) -> Result<Vec<(FileName, bool, Option<FileIdentity>)>, DiskError> {
    let trash = buffer.trash(order, false)?;
    let mut back = Vec::with_capacity(files.len());
    for Moving { file, side } in files {
        let mut moved = false;
        if let Some(trash) = &trash {
            moved = trash.put_back(&file.name)?.is_some();
            if moved {
                crash_point(steps::RESTORE_MOVED);
            }
            if let Some(side) = side {
                trash.put_back(side)?;
            }
        }
        let lies = match buffer.look(&file.name) {
            Ok(lies) => lies,
            Err(DiskError::NotRegular { .. }) => None,
            Err(error) => return Err(error),
        };
        back.push((file.name.clone(), moved, lies));
    }
    if let Some(trash) = trash {
        trash.sync()?;
        trash.close()?;
    }
    Ok(back)
}
