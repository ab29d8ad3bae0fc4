//! Listening to what run files say of their run, and remembering it: before they are
//! stored, and before their run is recorded, so that storage and catalogue hear the same.

use aquifer_schemas::{FileName, RunId, RunNumber};

use crate::edge::Edge;
use crate::events;
use crate::journal::{Active, ExpectedFile, JournalError, Record};
use crate::said::Said;
use crate::told::Told;

impl Edge {
    /// What is told of a run now.
    pub(crate) fn told(&self, run: &RunId, active: &Active) -> Told {
        Told::of(&self.classifier, &self.rules.naming, run, active)
    }

    /// Listens to a closed file that lies in the buffer as `disk`. One that cannot be read
    /// now says nothing.
    pub(crate) async fn hear(
        &self,
        run: RunNumber,
        name: &FileName,
        disk: &FileName,
    ) -> Result<(), JournalError> {
        if self.classifier.questions().is_empty() || self.heard(run, name, true) {
            return Ok(());
        }
        let (classifier, path) = (self.classifier.clone(), self.rules.path(disk));
        let of = name.clone();
        let said = tokio::task::spawn_blocking(move || {
            Said::of_closed(classifier.questions(), run, &of, &path)
        });
        match said.await {
            Ok(Ok(said)) => self.remember(run, name, said).await,
            Ok(Err(error)) => {
                events::file_not_heard(run, name, &error);
                Ok(())
            }
            // The process ends.
            Err(_) => Ok(()),
        }
    }

    /// Listens to all closed files of a run that were not heard; true if there is news.
    pub(crate) async fn hear_all(
        &self,
        run: RunNumber,
        active: &Active,
    ) -> Result<bool, JournalError> {
        if self.classifier.questions().is_empty() {
            return Ok(false);
        }
        let files: Vec<ExpectedFile> = active.unheard().cloned().collect();
        let any = !files.is_empty();
        for file in files {
            let (rules, of) = (self.rules.clone(), file.clone());
            let lies = tokio::task::spawn_blocking(move || rules.lies_as(&of));
            if let Ok(Some(lies)) = lies.await {
                self.hear(run, &file.name, &lies.disk).await?;
            }
        }
        Ok(any)
    }

    /// Listens to the begin of a file that is still written. It is asked again until it
    /// says something.
    pub(crate) async fn hear_begin(
        &self,
        run: RunNumber,
        name: &FileName,
    ) -> Result<(), JournalError> {
        let asked = !self.classifier.questions().odb_begin.is_empty();
        if !asked || self.heard(run, name, false) {
            return Ok(());
        }
        let (classifier, path) = (self.classifier.clone(), self.rules.path(name));
        let said =
            tokio::task::spawn_blocking(move || Said::of_open(classifier.questions(), run, &path));
        match said.await {
            Ok(said) if !said.begin.is_empty() => self.remember(run, name, said).await,
            _ => Ok(()),
        }
    }

    fn heard(&self, run: RunNumber, name: &FileName, closed: bool) -> bool {
        let ledger = self.journal.ledger();
        // Of a run that is done, or that nobody knows, nothing is to be told.
        let Some(active) = ledger.active(run) else {
            return true;
        };
        let said = active.said.get(name);
        said.is_some_and(|said| said.closed || !closed)
    }

    async fn remember(
        &self,
        run: RunNumber,
        name: &FileName,
        said: Said,
    ) -> Result<(), JournalError> {
        let name = name.clone();
        self.journal.append(Record::Said { run, name, said }).await
    }
}
