//! How an order becomes void: its files go back where they were, as far as they were
//! moved, and the catalogue is told what lies there.

use std::collections::BTreeMap;

use aquifer_catalogue::{BufferFound, PurgeStep};
use aquifer_runtime::crash::crash_point;
use aquifer_schemas::FileName;
use jiff::Timestamp;

use super::carry::Subject;
use super::disk::is_same;
use super::moves::from_trash;
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
        let purge = memory.unwrap_or_else(|| from_catalogue(subject));
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
        for (name, moved, lies) in back {
            let same = lies.is_some_and(|lies| {
                let file = purge.files.iter().find(|file| file.name == name);
                file.is_some_and(|file| is_same(&file.identity, &lies))
            });
            match lies.filter(|_| same) {
                // What was never touched is as it was.
                Some(_) if !began && !moved => {}
                Some(identity) => {
                    files.push(PurgedFile {
                        name: name.clone(),
                        identity,
                    });
                    found.insert(name, BufferFound::Same(identity));
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
}

/// The order's files as the catalogue knows them: all there is where the journal was
/// lost, and enough to put a file back, never to remove it.
fn from_catalogue(subject: &Subject) -> Purge {
    let rows = subject.row.iter().flat_map(|row| &row.files);
    let files = rows.filter_map(|file| {
        Some(PurgedFile {
            name: file.name.clone(),
            identity: file.identity?,
        })
    });
    Purge {
        version: subject.version(None),
        phase: PurgePhase::Moving,
        files: files.collect(),
    }
}

/// The reason of an order whose files were asked back.
pub(super) fn asked_back(subject: &Subject) -> Option<Void> {
    let row = subject.row.as_ref()?;
    let (who, why) = (row.restore_by.as_ref()?, row.restore_reason.as_deref());
    let why = why.unwrap_or_default();
    Some(Void::quiet(format!("asked back by {who}: {why}")))
}
