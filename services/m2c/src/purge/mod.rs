//! Frees the buffer: carries out orders that stand in the catalogue, each only after its
//! own check, through a trash from which files can be taken back.
//!
//! This is the only place that removes files of the buffer. What it does follows from
//! [`plan::next`]; each act ends by telling first the catalogue and then the journal, or,
//! before anything is moved, the other way round, so that a crash at any point is
//! continued. Disarmed, it says what it would do and moves nothing but what is asked back.

mod carry;
mod check;
mod disk;
mod moves;
mod plan;
mod recheck;
mod restore;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aquifer_catalogue::{CatalogueError, PurgeOrderRow};
use aquifer_runtime::retry::{Classify, ErrorClass};
use aquifer_schemas::{FileName, PurgeState};
use aquifer_storage::StorageError;
use thiserror::Error;
use tokio::sync::Notify;
use uuid::Uuid;

use self::carry::Subject;
pub use self::disk::TRASH;
use self::disk::{BufferDir, DiskError};
use self::plan::Place;
use crate::config::PurgeConfig;
use crate::edge::Edge;
use crate::events;
use crate::journal::{JournalError, Purge};

/// Most orders that are looked at in one round.
const MOST_ORDERS: u32 = 200;

/// Most acts on one order in one round: more than any order has.
const MOST_ACTS: usize = 12;

/// Why an order is not carried further now.
#[derive(Debug, Error)]
pub(crate) enum PurgeError {
    /// The catalogue could not be asked or told.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// A copy that stays could not be asked for.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The buffer's disk said no.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Nothing can be remembered.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The work on the disk ended without an answer.
    #[error("the work on the disk was cut off: {0}")]
    Cut(#[from] tokio::task::JoinError),
}

impl PurgeError {
    /// Whether a dependency is away, which mends itself.
    fn is_outage(&self) -> bool {
        match self {
            Self::Catalogue(error) => error.class() != ErrorClass::Permanent,
            Self::Storage(error) => error.class() != ErrorClass::Permanent,
            Self::Disk(_) | Self::Journal(_) | Self::Cut(_) => false,
        }
    }
}

/// Carries out the orders about one buffer.
pub(crate) struct Purger {
    edge: Edge,
    config: PurgeConfig,
    hint: Arc<Notify>,
}

/// What became of an act.
enum Step {
    /// There may be more to do at once.
    On(Box<PurgeOrderRow>),
    /// Not before the next round.
    Wait,
}

impl Purger {
    /// Frees the buffer of `edge`; `hint` tells of orders.
    pub(crate) fn new(edge: Edge, config: PurgeConfig, hint: Arc<Notify>) -> Self {
        Self { edge, config, hint }
    }

    /// Carries out orders until shutdown.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let pause = Duration::from_secs(self.config.poll_secs.max(1));
        let shutdown = self.edge.shutdown.clone();
        while !shutdown.is_cancelled() {
            if let Err(error) = self.round().await {
                events::purge_delayed(&error, error.is_outage());
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.hint.notified() => {}
                () = shutdown.cancelled() => {}
            }
        }
        Ok(())
    }

    /// Looks at every order that is neither done nor void, and at every one that the
    /// journal has not forgotten.
    async fn round(&self) -> Result<(), PurgeError> {
        let (catalogue, buffer) = (&self.edge.catalogue, &self.edge.buffer_element);
        let live = catalogue.live_purge_orders(buffer, MOST_ORDERS).await?;
        let mut subjects: Vec<Subject> = live.into_iter().map(Subject::ordered).collect();
        for (run, order) in self.edge.journal.ledger().purges() {
            if !subjects.iter().any(|subject| subject.order == order) {
                subjects.push(Subject::remembered(order, run));
            }
        }
        report(&subjects);
        for mut subject in subjects {
            if subject.row.is_none() {
                subject.row = catalogue.purge_order(subject.order).await?;
            }
            let order = subject.order;
            if let Err(error) = self.carry(subject).await {
                events::purge_order_delayed(order, &error, error.is_outage());
                // What it waits for is for people; that it waits is no news of it.
                let noted = catalogue.note_purge(order, &error.to_string()).await;
                noted.or_else(|failed| match failed.class() {
                    ErrorClass::Permanent => Err(failed),
                    _ => Ok(()),
                })?;
            }
        }
        Ok(())
    }

    /// Takes one order as far as it goes now.
    async fn carry(&self, mut subject: Subject) -> Result<(), PurgeError> {
        for _ in 0..MOST_ACTS {
            if self.edge.shutdown.is_cancelled() {
                return Ok(());
            }
            let memory = self.edge.journal.ledger().purge(subject.order).cloned();
            if let Some(memory) = &memory {
                let names: BTreeSet<_> = memory.files.iter().map(|file| &file.name).collect();
                subject.names = names.into_iter().cloned().collect();
            }
            if let Some(foreign) = self.foreign(&subject) {
                events::purge_foreign(subject.order, &foreign);
                return Ok(());
            }
            let (order, names) = (subject.order, self.names(&subject, memory.as_ref()));
            let places = self.on_disk(move |buffer| places(buffer, order, &names));
            let places = places.await?;
            let phase = memory.as_ref().map(|memory| memory.phase);
            let act = plan::next(subject.said(), phase, &places);
            match self.act(act, &subject, memory).await? {
                Step::Wait => return Ok(()),
                Step::On(row) => subject.row = Some(*row),
            }
        }
        Ok(())
    }

    /// Why an order is none of this buffer's business: what it names is not named by the
    /// buffer's own templates.
    fn foreign(&self, subject: &Subject) -> Option<String> {
        if let Some(row) = &subject.row
            && (row.run.site != self.edge.site || row.buffer != self.edge.buffer_element)
        {
            return Some(format!("it is about {} of {}", row.buffer, row.run));
        }
        let run = Some(subject.run);
        let mut names = subject.names.iter();
        names
            .find(|name| self.edge.rules.run_of(name) != run)
            .map(|name| format!("`{name}` is not a file of run {}", subject.run))
    }

    /// Does something with the buffer on a thread that may block.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&BufferDir) -> Result<T, DiskError> + Send + 'static,
    ) -> Result<T, PurgeError> {
        let folder = self.edge.rules.folder.clone();
        let done = tokio::task::spawn_blocking(move || {
            let buffer = BufferDir::open(&folder)?;
            work(&buffer)
        });
        Ok(done.await??)
    }

    /// The names under which each file of an order lies: those that the journal says, or
    /// any that it may have.
    fn names(&self, subject: &Subject, memory: Option<&Purge>) -> Vec<Vec<FileName>> {
        if let Some(memory) = memory {
            let files = memory.files.iter();
            files.map(|file| vec![file.disk().clone()]).collect()
        } else {
            let names = subject.names.iter();
            names.map(|name| self.names_of(name)).collect()
        }
    }

    /// Every name that a file may have in the buffer.
    fn names_of(&self, name: &FileName) -> Vec<FileName> {
        let names = self.edge.rules.naming.names_of(name).into_iter();
        names.map(|name| name.disk).collect()
    }

    /// What a logger may have put beside the file of this name: checksums and markers. It
    /// goes where the file goes, or it would speak for the next file of the name.
    fn beside(&self, disk: &FileName) -> Vec<FileName> {
        let naming = &self.edge.rules.naming;
        let Some(name) = naming.recognise(disk.as_str()) else {
            return Vec::new();
        };
        let side_files = naming.side_files(&name).into_iter().map(|side| side.name);
        let beside = side_files.chain(naming.markers_of(&name));
        beside.filter_map(|name| name.parse().ok()).collect()
    }
}

/// Says how many bytes orders wait for, and how many the trash holds.
fn report(subjects: &[Subject]) {
    let bytes_in = |states: &[PurgeState]| {
        let rows = subjects.iter().filter_map(|subject| subject.row.as_ref());
        let rows = rows.filter(|row| states.contains(&row.state));
        rows.flat_map(|row| &row.files)
            .map(|file| file.size)
            .sum::<u64>()
    };
    let waiting = bytes_in(&[PurgeState::Proposed, PurgeState::Checked]);
    events::purge_backlog(waiting, bytes_in(&[PurgeState::Trashed]));
}

/// Where each file of an order lies. What is no regular file counts as there: whatever is
/// done next refuses it.
fn places(
    buffer: &BufferDir,
    order: Uuid,
    files: &[Vec<FileName>],
) -> Result<Vec<Place>, DiskError> {
    let trash = buffer.trash(order, false)?;
    let there = |found: Result<Option<_>, DiskError>| match found {
        Ok(found) => Ok(found.is_some()),
        Err(DiskError::NotRegular { .. }) => Ok(true),
        Err(error) => Err(error),
    };
    let place = |names: &Vec<FileName>| {
        let mut place = Place {
            in_buffer: false,
            in_trash: false,
        };
        for name in names {
            place.in_buffer |= there(buffer.look(name))?;
            if let Some(trash) = &trash {
                place.in_trash |= there(trash.look(name))?;
            }
        }
        Ok(place)
    };
    files.iter().map(place).collect()
}
