//! The writers of runs. Each is one transaction and may be called again with the same
//! facts, which then changes and announces nothing.

use aquifer_schemas::{AlertSignal, FileName, FileState, RunId};

use crate::announce::{self, Mail};
use crate::apply;
use crate::catalogue::{Catalogue, begin, commit};
use crate::error::CatalogueError;
use crate::facts::{BufferCopy, ClosedRun, OpenedRun, StoredRun};
use crate::fit;
use crate::rows::RunRow;
use crate::save::post;

/// What [`Catalogue::record_stored`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredOutcome {
    /// The run after it.
    pub row: RunRow,
    /// Whether `run-stored` was written to the outbox. False also if this call lost its
    /// connection after the commit that wrote it.
    pub announced: bool,
}

/// A type that somebody gives to a run after the fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retyped {
    /// Which type; cut to 128 characters.
    pub run_type: String,
    /// Why, for those who read the history.
    pub why: String,
    /// Whether a person said so: then neither the DAQ nor the profile changes it any more.
    pub by_hand: bool,
}

impl Catalogue {
    /// Gives a run another type: the history has the old and the new one, the revision
    /// grows, and what was announced of the run (`run-stored`, else `run-closed`) is
    /// announced anew. A type that was set by hand is only changed by hand.
    ///
    /// Errors: [`CatalogueError::UnknownRun`], outages.
    pub async fn retype(
        &self,
        id: &RunId,
        retyped: &Retyped,
        who: &str,
    ) -> Result<RunRow, CatalogueError> {
        let apply = |draft: &mut _| apply::retype(draft, retyped, who);
        let announce = |draft: &_| announce::again(draft, who);
        let draft = self
            .change("retype a run", id, who, apply, announce)
            .await?;
        Ok(draft.run)
    }

    /// A run began. A run that is known gets only the facts it has not: it never opens
    /// again.
    ///
    /// Errors: [`CatalogueError::UnknownSite`], values that do not fit, outages.
    pub async fn record_opened(&self, opened: &OpenedRun) -> Result<RunRow, CatalogueError> {
        let apply = |draft: &mut _| apply::open(draft, opened);
        let announce = |_: &_| Ok(Vec::new());
        let draft = self
            .change(
                "record an opened run",
                &opened.id,
                &opened.who,
                apply,
                announce,
            )
            .await?;
        Ok(draft.run)
    }

    /// A run is over. Announces `run-closed` if `announce` is set and anything changed.
    ///
    /// Errors: [`CatalogueError::UnknownSite`], [`CatalogueError::UnknownElement`],
    /// values that do not fit, outages.
    pub async fn record_closed(&self, closed: &ClosedRun) -> Result<RunRow, CatalogueError> {
        let apply = |draft: &mut _| apply::close(draft, closed);
        let announce = |draft: &_| announce::closed(draft, closed);
        let draft = self
            .change(
                "record a closed run",
                &closed.id,
                &closed.who,
                apply,
                announce,
            )
            .await?;
        Ok(draft.run)
    }

    /// Files of a closed run are in object storage: records the run (closing it if it
    /// was not), the files with their digests, their copies in object storage and in the
    /// buffer, every step of the history, and announces `file-stored` for each file that
    /// was not stored before and `run-stored` when that makes the run complete.
    ///
    /// Errors: [`CatalogueError::Conflict`] if a file has other content in the
    /// catalogue, [`CatalogueError::UnknownSite`], [`CatalogueError::UnknownElement`],
    /// values that do not fit, outages.
    pub async fn record_stored(&self, stored: &StoredRun) -> Result<StoredOutcome, CatalogueError> {
        let closed = &stored.closed;
        let apply = |draft: &mut _| apply::store(draft, stored);
        let announce = |draft: &_| announce::stored(draft, stored);
        let draft = self
            .change(
                "record a stored run",
                &closed.id,
                &closed.who,
                apply,
                announce,
            )
            .await?;
        Ok(StoredOutcome {
            announced: announce::completes(&draft),
            row: draft.run,
        })
    }

    /// A file cannot be trusted (`changed`) or is gone (`vanished`). If it is in object
    /// storage already that concerns only the buffer's copy, which becomes suspect.
    ///
    /// Errors: another state than those two, [`CatalogueError::UnknownSite`], outages.
    pub async fn record_quarantined(
        &self,
        id: &RunId,
        name: &FileName,
        state: FileState,
        reason: &str,
        who: &str,
        signals: &[AlertSignal],
    ) -> Result<RunRow, CatalogueError> {
        let apply = |draft: &mut _| apply::quarantine(draft, name, state, reason);
        let announce = |draft: &_| announce::signals(draft, signals);
        let draft = self
            .change("quarantine a file", id, who, apply, announce)
            .await?;
        Ok(draft.run)
    }

    /// The buffer holds a stored file's bytes in another form than before: compressed by
    /// another program, or in another inode. Changes nothing for files that are not
    /// stored and for copies that are being deleted.
    ///
    /// Errors: [`CatalogueError::UnknownSite`], [`CatalogueError::UnknownElement`],
    /// outages.
    pub async fn record_buffer_copy(
        &self,
        id: &RunId,
        copy: &BufferCopy,
        who: &str,
    ) -> Result<RunRow, CatalogueError> {
        let apply = |draft: &mut _| apply::buffer_copy(draft, copy);
        let announce = |_: &_| Ok(Vec::new());
        let draft = self
            .change("record a copy in the buffer", id, who, apply, announce)
            .await?;
        Ok(draft.run)
    }

    /// The buffer holds other bytes under the names of these files: its copies of them are
    /// lost. Changes nothing for files that it does not hold.
    ///
    /// Errors: [`CatalogueError::UnknownSite`], outages.
    pub async fn record_overwritten(
        &self,
        id: &RunId,
        names: &[FileName],
        buffer: &str,
        who: &str,
    ) -> Result<RunRow, CatalogueError> {
        let apply = |draft: &mut _| apply::overwritten(draft, names, buffer);
        let announce = |_: &_| Ok(Vec::new());
        let draft = self
            .change("record overwritten copies", id, who, apply, announce)
            .await?;
        Ok(draft.run)
    }

    /// Puts a signal into the outbox. One that waits there already is not repeated.
    pub async fn raise(
        &self,
        signal: &AlertSignal,
        trace: Option<&str>,
    ) -> Result<(), CatalogueError> {
        let mail = Mail::new(signal, fit::trace(trace).as_deref())?;
        self.restarting("raise a signal", || async {
            let mut conn = self.conn().await?;
            let mut tx = begin(&mut conn).await?;
            post(&mut tx, vec![mail.clone()]).await?;
            commit(tx).await
        })
        .await
    }
}
