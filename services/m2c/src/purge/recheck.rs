//! Whether everything that an order relies on is still true: what the catalogue says of
//! the run and of the copies that stay, what the copies' servers say, and whether the
//! buffer's file is the one that was sealed and nobody has it open.

use std::time::Duration;

use aquifer_catalogue::{PurgeOrderFile, PurgeOrderRow};
use aquifer_digest::FileIdentity;
use aquifer_schemas::{FileName, ReplicaState, RunState, Severity};
use aquifer_storage::ObjectInfo;

use super::disk::{BufferDir, DiskError, HeldFile};
use crate::journal::KnownFile;
use crate::naming::BufferName;

/// Why an order is void.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Void {
    /// In words.
    pub reason: String,
    /// What people should hear, if anything.
    pub severity: Option<Severity>,
    /// The file of the buffer that is not what it should be.
    pub suspect: Option<FileName>,
}

impl Void {
    /// Nothing is wrong, the order just cannot be carried out any more.
    pub(super) fn quiet(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            severity: None,
            suspect: None,
        }
    }

    /// A person should hear of it.
    pub(super) fn loud(severity: Severity, reason: impl Into<String>) -> Self {
        Self {
            severity: Some(severity),
            ..Self::quiet(reason)
        }
    }

    /// The buffer does not hold the file that was sealed.
    fn suspect(name: &BufferName, what: impl std::fmt::Display) -> Self {
        Self {
            suspect: Some(name.file.clone()),
            ..Self::loud(Severity::Error, format!("{} {what}", name.disk))
        }
    }
}

/// A file as the journal knows it to lie in the buffer.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// Under which name.
    pub name: BufferName,
    /// What was stored, or found to hold the stored bytes.
    pub as_stored: KnownFile,
}

/// What a look at a file of the buffer can end with.
#[derive(Debug)]
pub(super) enum FileCheck {
    /// It is the file that was sealed.
    Sealed(HeldFile),
    /// It is not, and the order is void.
    Void(Void),
}

/// Whether the order itself is young enough to begin with.
pub(super) fn freshness(order: &PurgeOrderRow, max_age: Duration) -> Result<(), Void> {
    let age = order.since(order.proposed_at);
    if age > max_age {
        return Err(Void::quiet(format!(
            "the order is {age:?} old, more than {max_age:?}"
        )));
    }
    for file in &order.files {
        let age = order.since(file.evidence_at);
        if age > order.evidence_max_age {
            return Err(Void::quiet(format!(
                "the evidence of {} at {} is {age:?} old, more than {:?}",
                file.name, file.element, order.evidence_max_age
            )));
        }
    }
    Ok(())
}

/// What the catalogue says now of the run and of the copies that stay.
pub(super) fn standing(order: &PurgeOrderRow) -> Result<(), Void> {
    if order.held {
        return Err(Void::quiet("the run is held"));
    }
    if let RunState::Open
    | RunState::Incomplete
    | RunState::Degraded
    | RunState::Quarantined
    | RunState::Adopted
    | RunState::Missing = order.run_state
    {
        return Err(Void::quiet(format!("the run is {}", order.run_state)));
    }
    if order.files.is_empty() {
        return Err(Void::quiet("the order names no file"));
    }
    order.files.iter().try_for_each(|file| {
        let weak = |why: String| {
            let reason = format!("the copy of {} at {} {why}", file.name, file.element);
            Err(Void::loud(Severity::Error, reason))
        };
        let weaker = file.evidence.min(file.copy_evidence);
        if !matches!(
            file.copy_state,
            ReplicaState::Available | ReplicaState::OnTape
        ) {
            weak(format!("is {}", file.copy_state))
        } else if weaker < order.required {
            weak(format!("has evidence {weaker}, below {}", order.required))
        } else if file.evidence_value != found(file) {
            weak(format!(
                "is {} now, and was ordered on {}",
                found(file),
                file.evidence_value
            ))
        } else {
            Ok(())
        }
    })
}

fn found(file: &PurgeOrderFile) -> String {
    let crc64nvme = file.copy_crc64nvme.as_deref().unwrap_or("unknown");
    format!("crc64nvme:{crc64nvme} size:{}", file.copy_size)
}

/// What the server says of a copy that stays, asked just now.
pub(super) fn copy(file: &PurgeOrderFile, info: Option<&ObjectInfo>) -> Result<(), Void> {
    let lost = |what: String| {
        let reason = format!("the copy of {} at {} {what}", file.name, file.element);
        Err(Void::loud(Severity::Critical, reason))
    };
    let Some(info) = info else {
        return lost("is not there".to_owned());
    };
    // A server that reports no checksum leaves the evidence that the order came with.
    let reported = info.crc64nvme.map(|crc64nvme| crc64nvme.to_string());
    if info.size != file.copy_size {
        lost(format!(
            "has {} bytes, the catalogue {}",
            info.size, file.copy_size
        ))
    } else if reported.is_some() && reported != file.copy_crc64nvme {
        lost(format!(
            "has crc64nvme {}, the catalogue {}",
            reported.unwrap_or_default(),
            file.copy_crc64nvme.as_deref().unwrap_or("unknown")
        ))
    } else {
        Ok(())
    }
}

/// Whether the buffer's file is the one that was sealed. Where its identity is not
/// exactly the sealed one (a rename, a restored or remounted disk), its bytes are
/// digested again, decoded if another program compressed it. Blocking.
pub(super) fn file(
    buffer: &BufferDir,
    file: &PurgeOrderFile,
    known: &Known,
) -> Result<FileCheck, DiskError> {
    let Known { name, as_stored } = known;
    let disk = &name.disk;
    let void = |what: &str| Ok(FileCheck::Void(Void::suspect(name, what)));
    if as_stored.crc64nvme.to_string() != file.crc64nvme {
        return void("was stored from here with other bytes than the catalogue has");
    }
    let held = match buffer.hold(disk) {
        Ok(Some(held)) => held,
        Ok(None) => return void("is not in the buffer"),
        Err(DiskError::NotRegular { .. }) => return void("is not a regular file"),
        Err(error) => return Err(error),
    };
    if held.links != 1 {
        let what = format!("has {} names (hard links)", held.links);
        return void(&what);
    }
    if held.identity.size != as_stored.identity.size && !name.packed {
        let (now, then) = (held.identity.size, as_stored.identity.size);
        let what = format!("has {now} bytes, and {then} were stored");
        return void(&what);
    }
    if held.identity != as_stored.identity {
        let unreadable = |source| DiskError::Io {
            action: "read",
            name: disk.to_string(),
            source,
        };
        let digests = held.digest().map_err(unreadable)?;
        // What never decoded was stored as it lay there.
        let mut same = digests.crc64nvme == as_stored.crc64nvme;
        if !same && name.packed {
            let decoded = held.decoded().map_err(unreadable)?;
            same = decoded.is_some_and(|decoded| decoded.crc64nvme == as_stored.crc64nvme);
        }
        let after = held.now().map_err(unreadable)?;
        if after != held.identity {
            return void("changed while it was read");
        }
        if !same {
            return void("has other bytes than were stored");
        }
    }
    Ok(FileCheck::Sealed(held))
}

/// The processes, other than this one, that have one of these files open, as far as they
/// can be seen. Blocking.
pub(super) fn users(files: &[FileIdentity]) -> Vec<u32> {
    let own = std::process::id();
    let numbers = |path: &str| {
        let entries = std::fs::read_dir(path).into_iter().flatten();
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
    };
    let has_open = |process: &u32| {
        numbers(&format!("/proc/{process}/fd")).any(|fd| {
            let open = std::fs::metadata(format!("/proc/{process}/fd/{fd}"));
            let open = open.map(|metadata| FileIdentity::from(&metadata));
            open.is_ok_and(|open| {
                let same = |file: &FileIdentity| (file.dev, file.ino) == (open.dev, open.ino);
                files.iter().any(same)
            })
        })
    };
    numbers("/proc")
        .filter(|process| *process != own)
        .filter(has_open)
        .collect()
}

#[cfg(test)]
#[path = "recheck_tests.rs"]
mod tests;
