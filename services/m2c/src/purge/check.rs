//! The check of an order before anything is touched: every source is asked again.

use std::collections::BTreeMap;
use std::time::Duration;

use aquifer_catalogue::{PurgeOrderFile, PurgeOrderRow, PurgeStep};
use aquifer_digest::FileIdentity;
use aquifer_runtime::crash::crash_point;
use aquifer_schemas::Severity;
use serde_json::json;

use super::carry::Subject;
use super::recheck::{self, FileCheck, Known, Void};
use super::{PurgeError, Purger, Step};
use crate::events;
use crate::journal::{Lying, PurgedFile};
use crate::steps;

impl Purger {
    /// Looks whether everything is true that the order relies on. Disarmed, says what
    /// would be done, once.
    pub(super) async fn check(
        &self,
        subject: &Subject,
        row: &PurgeOrderRow,
    ) -> Result<Step, PurgeError> {
        let armed = self.config.armed;
        let noted = row.note.as_deref();
        if !armed && noted.is_some_and(|note| note.starts_with("disarmed")) {
            return Ok(Step::Wait);
        }
        let max_age = Duration::from_secs(self.config.order_max_age_secs);
        let sound = recheck::freshness(row, max_age).and_then(|()| recheck::standing(row));
        if let Err(void) = sound {
            return self.refuse(subject, row, void).await;
        }
        let known = match self.known(row) {
            Ok(Some(known)) => known,
            Ok(None) => {
                return self
                    .note(row, "the journal does not know its files yet")
                    .await;
            }
            Err(void) => return self.refuse(subject, row, void).await,
        };
        if let Err(void) = self.copies(row).await? {
            return self.refuse(subject, row, void).await;
        }
        let files = match self.sealed(known).await? {
            Ok(files) => files,
            Err(void) => return self.refuse(subject, row, void).await,
        };
        let bytes: u64 = files.iter().map(|file| file.identity.size).sum();
        if !armed {
            let note = format!(
                "disarmed: would free {bytes} bytes in {} files (m2c.purge.armed)",
                files.len()
            );
            events::purge_disarmed(row.order, &row.run, files.len(), bytes);
            return self.note(row, &note).await;
        }
        if let Some(note) = self.in_use(&files).await? {
            return self.note(row, &note).await;
        }
        let looked = |file: &PurgedFile| (file.disk().to_string(), json!(file.identity));
        let evidence = json!({
            "buffer": files.iter().map(looked).collect::<BTreeMap<_, _>>(),
            "copies": "asked for again",
        });
        let row = self.advance(row.order, PurgeStep::Checked { evidence });
        let row = row.await?;
        crash_point(steps::PURGE_CHECKED);
        Ok(Step::On(Box::new(row)))
    }

    /// An order that was only given is void, or would be.
    async fn refuse(
        &self,
        subject: &Subject,
        row: &PurgeOrderRow,
        void: Void,
    ) -> Result<Step, PurgeError> {
        if !self.config.armed {
            let note = format!("disarmed: would be void: {}", void.reason);
            return self.note(row, &note).await;
        }
        self.put_back(subject, None, void).await
    }

    /// What the ledger knows of the order's files, under every name that they have in the
    /// buffer; `None` as long as it does not know all of them.
    pub(super) fn known(
        &self,
        row: &PurgeOrderRow,
    ) -> Result<Option<Vec<(PurgeOrderFile, Known)>>, Void> {
        let ledger = self.edge.journal.ledger();
        let (run, version) = (row.run.number, ledger.version(row.run.number));
        let mut known = Vec::with_capacity(row.files.len());
        for file in &row.files {
            match ledger.lying(run, &file.name) {
                Lying::Under(names) if version == row.run.version => {
                    for (disk, as_stored) in names {
                        let name = self.edge.rules.naming.recognise(disk.as_str());
                        let Some(name) = name.filter(|name| name.file == file.name) else {
                            let reason = format!(
                                "{} lies here as {disk}, which is not a name of it by the templates of this buffer",
                                file.name
                            );
                            return Err(Void::loud(Severity::Warning, reason));
                        };
                        known.push((file.clone(), Known { name, as_stored }));
                    }
                }
                Lying::Quarantined => {
                    let reason = format!("{} is quarantined here", file.name);
                    return Err(Void::loud(Severity::Error, reason));
                }
                _ if version > row.run.version => {
                    let reason = format!("the buffer holds version {version} of the run");
                    return Err(Void::loud(Severity::Warning, reason));
                }
                _ => return Ok(None),
            }
        }
        Ok(Some(known))
    }

    /// Asks the storage for each copy that stays there.
    pub(super) async fn copies(&self, row: &PurgeOrderRow) -> Result<Result<(), Void>, PurgeError> {
        let storage = &self.edge.storage;
        for file in row
            .files
            .iter()
            .filter(|file| file.element == storage.name())
        {
            let key = file.copy_location.parse();
            let key = key.map_err(aquifer_storage::StorageError::from)?;
            let info = storage.head(&key).await?;
            if let Err(void) = recheck::copy(file, info.as_ref()) {
                return Ok(Err(void));
            }
        }
        Ok(Ok(()))
    }

    /// Compares the buffer's files with what was sealed.
    pub(super) async fn sealed(
        &self,
        known: Vec<(PurgeOrderFile, Known)>,
    ) -> Result<Result<Vec<PurgedFile>, Void>, PurgeError> {
        let sealed = self.on_disk(move |buffer| {
            let mut sealed = Vec::with_capacity(known.len());
            for (file, known) in &known {
                match recheck::file(buffer, file, known)? {
                    FileCheck::Sealed(held) => sealed.push(PurgedFile {
                        name: file.name.clone(),
                        disk: (known.name.disk != file.name).then(|| known.name.disk.clone()),
                        identity: held.identity,
                    }),
                    FileCheck::Void(void) => return Ok(Err(void)),
                }
            }
            Ok(Ok(sealed))
        });
        sealed.await
    }

    async fn in_use(&self, files: &[PurgedFile]) -> Result<Option<String>, PurgeError> {
        let files: Vec<FileIdentity> = files.iter().map(|file| file.identity).collect();
        let users = self.on_disk(move |_| Ok(recheck::users(&files))).await?;
        Ok((!users.is_empty()).then(|| format!("its files are open in processes {users:?}")))
    }
}
