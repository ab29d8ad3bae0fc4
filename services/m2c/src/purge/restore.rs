//! How an order becomes void: its files go back where they were, as far as they were
//! moved, and the catalogue is told what lies there.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use aquifer_catalogue::{BufferFound, PurgeStep};
use aquifer_digest::FileIdentity;
use aquifer_runtime::crash::crash_point;
use aquifer_schemas::FileName;
use jiff::Timestamp;

use super::carry::Subject;
use super::disk::is_same;
use super::moves::{Back, from_trash};
use super::recheck::Void;
use super::{PurgeError, Purger, Step};
use crate::events;
use crate::journal::{Purge, PurgeEnd, PurgePhase, PurgedFile};
use crate::steps;

impl Purger {
    /// Puts the files back where they were, as far as they were moved, and makes the
    /// order void.
    pub(super) async fn put_back(
        &self,
        subject: &Subject,
        memory: Option<Purge>,
        void: Void,
    ) -> Result<Step, PurgeError> {
        let began = memory.is_some();
        let purge = memory.unwrap_or_else(|| self.as_catalogued(subject));
        if began && purge.phase != PurgePhase::Restoring {
            let phase = PurgePhase::Restoring;
            self.remember(
                subject,
                &Purge {
                    phase,
                    ..purge.clone()
                },
            )
            .await?;
            crash_point(steps::RESTORE_BEGUN);
        }
        let (order, files) = (subject.order, self.moving(&purge));
        let back = self.on_disk(move |buffer| from_trash(buffer, order, &files));
        let back = back.await?;
        let mut found: BTreeMap<FileName, BufferFound> = BTreeMap::new();
        let mut files = Vec::new();
        for Back { file, moved, lies } in back {
            let name = file.name.clone();
            match lies.filter(|lies| is_same(&file.identity, lies)) {
                // What was never touched is as it was.
                Some(_) if !began && !moved => {}
                Some(identity) => {
                    // Of several forms the catalogue knows one.
                    let known = catalogued(subject, &name);
                    let is_known = known.is_some_and(|known| is_same(&known, &identity));
                    match found.entry(name) {
                        Entry::Vacant(entry) => {
                            entry.insert(BufferFound::Same(identity));
                        }
                        Entry::Occupied(mut entry) if is_known => {
                            if let BufferFound::Same(same) = entry.get_mut() {
                                *same = identity;
                            }
                        }
                        Entry::Occupied(_) => {}
                    }
                    files.push(PurgedFile { identity, ..file });
                }
                None if began || moved => {
                    let what = "the file that was sealed is not in its place";
                    found.insert(name, BufferFound::Suspect(what.to_owned()));
                }
                None => {}
            }
        }
        if let Some(name) = &void.suspect {
            let reason = void.reason.clone();
            found.insert(name.clone(), BufferFound::Suspect(reason));
        }
        self.tell_void(subject, &void, found).await?;
        crash_point(steps::RESTORE_TOLD);
        if began {
            let version = subject.version(Some(&purge));
            let ended = Purge {
                version,
                phase: PurgePhase::Restoring,
                files,
            };
            self.forget(subject, Some(ended), PurgeEnd::Restored)
                .await?;
        }
        Ok(Step::Wait)
    }

    async fn tell_void(
        &self,
        subject: &Subject,
        void: &Void,
        found: BTreeMap<FileName, BufferFound>,
    ) -> Result<(), PurgeError> {
        let Some(row) = subject.row.as_ref().filter(|row| row.is_live()) else {
            return Ok(());
        };
        let signal = void.severity.map(|severity| {
            self.edge.signals.purge_cancelled(
                &row.run,
                row.order,
                severity,
                &void.reason,
                Timestamp::now(),
            )
        });
        let step = PurgeStep::Cancelled {
            reason: void.reason.clone(),
            found,
            signals: signal.into_iter().collect(),
        };
        let row = self.advance(row.order, step).await?;
        events::purge_cancelled(row.order, &row.run, &void.reason, void.severity.is_some());
        Ok(())
    }

    /// The order's files as the catalogue knows them, under every name that they may
    /// have: all there is where the journal was lost, and enough to put a file back,
    /// never to remove it.
    fn as_catalogued(&self, subject: &Subject) -> Purge {
        let rows = subject.row.iter().flat_map(|row| &row.files);
        let known = rows.filter_map(|file| Some((&file.name, file.identity?)));
        let files = known.flat_map(|(name, identity)| {
            let names = self.names_of(name).into_iter();
            names.map(move |disk| PurgedFile {
                disk: (disk != *name).then_some(disk),
                name: name.clone(),
                identity,
            })
        });
        Purge {
            version: subject.version(None),
            phase: PurgePhase::Moving,
            files: files.collect(),
        }
    }
}

/// What the catalogue knows to lie in the buffer for a file.
fn catalogued(subject: &Subject, name: &FileName) -> Option<FileIdentity> {
    let mut rows = subject.row.iter().flat_map(|row| &row.files);
    rows.find(|file| file.name == *name)?.identity
}

/// The reason of an order whose files were asked back.
pub(super) fn asked_back(subject: &Subject) -> Option<Void> {
    let row = subject.row.as_ref()?;
    let (who, why) = (row.restore_by.as_ref()?, row.restore_reason.as_deref());
    let why = why.unwrap_or_default();
    Some(Void::quiet(format!("asked back by {who}: {why}")))
}
