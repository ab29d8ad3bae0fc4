//! What an order is here, and the acts that carry it out, one function each.

use aquifer_catalogue::{PurgeOrderRow, PurgeStep};
use aquifer_runtime::crash::crash_point;
use aquifer_schemas::{FileName, RunNumber, RunVersion, Severity};
use uuid::Uuid;

use super::moves::{Moved, Moving, empty_trash, to_trash};
use super::plan::{Act, Said};
use super::recheck::{self, Void};
use super::restore::asked_back;
use super::{PurgeError, Purger, Step};
use crate::events;
use crate::journal::{Purge, PurgeEnd, PurgePhase, Record};
use crate::steps;

/// An order, from the catalogue or from the journal's memory of it.
#[derive(Debug)]
pub(super) struct Subject {
    pub order: Uuid,
    pub run: RunNumber,
    /// Its files' own names.
    pub names: Vec<FileName>,
    /// The catalogue's row, if there is one.
    pub row: Option<PurgeOrderRow>,
}

impl Subject {
    /// An order that stands in the catalogue.
    pub(super) fn ordered(row: PurgeOrderRow) -> Self {
        Self {
            order: row.order,
            run: row.run.number,
            names: row.files.iter().map(|file| file.name.clone()).collect(),
            row: Some(row),
        }
    }

    /// An order that the journal has not forgotten.
    pub(super) fn remembered(order: Uuid, run: RunNumber) -> Self {
        Self {
            order,
            run,
            names: Vec::new(),
            row: None,
        }
    }

    pub(super) fn said(&self) -> Option<Said> {
        self.row.as_ref().map(|row| Said {
            state: row.state,
            asked_back: row.restore_by.is_some(),
            unlinking: row.unlinking_at.is_some(),
        })
    }

    pub(super) fn version(&self, memory: Option<&Purge>) -> RunVersion {
        let row = self.row.as_ref().map(|row| row.run.version);
        memory.map(|memory| memory.version).or(row).unwrap_or(1)
    }
}

impl Purger {
    pub(super) async fn act(
        &self,
        act: Act,
        subject: &Subject,
        memory: Option<Purge>,
    ) -> Result<Step, PurgeError> {
        let armed = self.config.armed;
        match (act, &subject.row) {
            (Act::Rest, _) => Ok(Step::Wait),
            (Act::Forget, _) => self.forget(subject, memory, PurgeEnd::Gone).await,
            (Act::PutBack(why), _) => {
                let void = asked_back(subject)
                    .unwrap_or_else(|| Void::loud(Severity::Warning, why.to_owned()));
                self.put_back(subject, memory, void).await
            }
            (Act::Stuck, _) => {
                let why = "its files lie in the trash to be removed, and the journal does not know them; hint: compare them with the catalogue and remove them by hand";
                events::purge_stuck(subject.order, why);
                self.edge.catalogue.note_purge(subject.order, why).await?;
                Ok(Step::Wait)
            }
            (Act::Check, Some(row)) => self.check(subject, row).await,
            (_, Some(row)) if !armed => {
                let note = format!("disarmed: it stays {}", row.state);
                self.note(row, &note).await
            }
            (Act::Move, Some(row)) => self.move_files(subject, row, memory).await,
            (Act::TellTrashed, Some(_)) => self.tell_trashed(subject, memory).await,
            (Act::AwaitGrace, Some(row)) => self.await_grace(subject, row, memory).await,
            (Act::Remove, Some(row)) => self.remove(subject, row, memory).await,
            // The plan gives the other acts only to orders that the catalogue has.
            (_, None) => Ok(Step::Wait),
        }
    }

    pub(super) async fn advance(
        &self,
        order: Uuid,
        step: PurgeStep,
    ) -> Result<PurgeOrderRow, PurgeError> {
        let who = &self.edge.signals.producer;
        Ok(self.edge.catalogue.advance_purge(order, &step, who).await?)
    }

    pub(super) async fn note(&self, row: &PurgeOrderRow, note: &str) -> Result<Step, PurgeError> {
        if row.note.as_deref() != Some(note) {
            events::purge_waits(row.order, note);
            self.edge.catalogue.note_purge(row.order, note).await?;
        }
        Ok(Step::Wait)
    }

    /// Moves the files to the trash, after one more look at each of them.
    async fn move_files(
        &self,
        subject: &Subject,
        row: &PurgeOrderRow,
        memory: Option<Purge>,
    ) -> Result<Step, PurgeError> {
        let purge = if let Some(purge) = memory {
            purge
        } else {
            let known = match self.known(row) {
                Ok(Some(known)) => known,
                Ok(None) => return self.note(row, "the journal does not know its files").await,
                Err(void) => return self.put_back(subject, None, void).await,
            };
            let files = match self.sealed(known).await? {
                Ok(files) => files,
                Err(void) => return self.put_back(subject, None, void).await,
            };
            let purge = Purge {
                version: row.run.version,
                phase: PurgePhase::Moving,
                files,
            };
            self.remember(subject, &purge).await?;
            purge
        };
        crash_point(steps::PURGE_BEGUN);
        let (order, files) = (subject.order, self.moving(&purge));
        let moved = self.on_disk(move |buffer| to_trash(buffer, order, &files));
        match moved.await? {
            Moved::All => self.tell_trashed(subject, Some(purge)).await,
            Moved::Void(void) => self.put_back(subject, Some(purge), void).await,
        }
    }

    pub(super) fn moving(&self, purge: &Purge) -> Vec<Moving> {
        let files = purge.files.iter();
        let moving = files.map(|file| Moving {
            file: file.clone(),
            sides: self.beside(file.disk()),
        });
        moving.collect()
    }

    pub(super) async fn remember(
        &self,
        subject: &Subject,
        purge: &Purge,
    ) -> Result<(), PurgeError> {
        let (run, order) = (subject.run, subject.order);
        let purge = purge.clone();
        let record = Record::Purge { run, order, purge };
        Ok(self.edge.journal.append(record).await?)
    }

    async fn tell_trashed(
        &self,
        subject: &Subject,
        memory: Option<Purge>,
    ) -> Result<Step, PurgeError> {
        if let Some(purge) = memory.filter(|memory| memory.phase != PurgePhase::Trashed) {
            let phase = PurgePhase::Trashed;
            self.remember(subject, &Purge { phase, ..purge }).await?;
        }
        crash_point(steps::PURGE_TRASHED);
        let row = self.advance(subject.order, PurgeStep::Trashed).await?;
        events::purge_trashed(row.order, &row.run, row.files.len());
        Ok(Step::On(Box::new(row)))
    }

    /// After the grace, and one more look at the copies that stay, begins the last step.
    async fn await_grace(
        &self,
        subject: &Subject,
        row: &PurgeOrderRow,
        memory: Option<Purge>,
    ) -> Result<Step, PurgeError> {
        let in_trash = row.trashed_at.map(|at| row.since(at));
        if in_trash.is_none_or(|time| time.as_secs() < self.config.trash_grace_secs) {
            return Ok(Step::Wait);
        }
        let standing = match recheck::standing(row) {
            Ok(()) => self.copies(row).await?,
            void => void,
        };
        if let Err(void) = standing {
            return self.put_back(subject, memory, void).await;
        }
        let row = self.advance(row.order, PurgeStep::Unlinking).await?;
        if row.unlinking_at.is_some() {
            crash_point(steps::PURGE_COMMITTED);
        }
        Ok(Step::On(Box::new(row)))
    }

    /// Removes the files for good, tells the catalogue, and forgets them.
    async fn remove(
        &self,
        subject: &Subject,
        row: &PurgeOrderRow,
        memory: Option<Purge>,
    ) -> Result<Step, PurgeError> {
        if let Some(purge) = &memory {
            let (order, files) = (subject.order, self.moving(purge));
            let removed = self.on_disk(move |buffer| empty_trash(buffer, order, &files));
            removed.await?;
        }
        let row = self.advance(row.order, PurgeStep::Deleted).await?;
        crash_point(steps::PURGE_TOLD);
        let bytes = row.files.iter().map(|file| file.size).sum();
        events::purge_done(row.order, &row.run, row.files.len(), bytes);
        self.forget(subject, memory, PurgeEnd::Gone).await
    }

    /// The catalogue knows how the order ended: the journal may forget it.
    pub(super) async fn forget(
        &self,
        subject: &Subject,
        memory: Option<Purge>,
        end: PurgeEnd,
    ) -> Result<Step, PurgeError> {
        if let Some(purge) = memory {
            let record = Record::PurgeEnded {
                run: subject.run,
                order: subject.order,
                version: purge.version,
                end,
                files: purge.files,
            };
            self.edge.journal.append(record).await?;
        }
        if end == PurgeEnd::Gone {
            crash_point(steps::PURGE_ENDED);
        }
        Ok(Step::Wait)
    }
}
