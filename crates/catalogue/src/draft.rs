//! A run in memory between its lock and its commit.
//!
//! Pure: writers apply facts to a draft, which works out what changes, which steps the
//! state machines take and what the run's state becomes; only then is it saved. Facts
//! that are there already change nothing, so every writer may be called again. How rows
//! are read and saved is for `save`, what is announced for `announce`.

use std::collections::{BTreeMap, HashMap};

use aquifer_schemas::{FileName, FileState, PurgeState, ReplicaState, RunId, RunState};
use jiff::Timestamp;
use serde_json::Value;

use crate::error::CatalogueError;
use crate::facts::Attribute;
use crate::machine::{self, FileFact, Machine};
use crate::rows::{FileRow, ReplicaRow, RunRow};

/// A row that is saved if it is new or was changed.
#[derive(Debug, Clone)]
pub(crate) struct Kept<T> {
    pub(crate) row: T,
    pub(crate) dirty: bool,
}

/// What a step is about: the run, a file or replica by its place in the draft, or a purge
/// order by its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    Run,
    File(usize),
    Replica(usize),
    Order(u64),
}

/// One step of a state machine, for the history.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    pub(crate) about: About,
    pub(crate) from: Option<&'static str>,
    pub(crate) to: &'static str,
    pub(crate) why: String,
    pub(crate) evidence: Option<Value>,
}

/// A change of the run's type by somebody other than its observer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TypeChange {
    pub(crate) from: Option<String>,
    pub(crate) why: String,
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) run: RunRow,
    /// State and revision in the catalogue; `None` if the run is new.
    pub(crate) before: Option<(RunState, u64)>,
    pub(crate) attributes: BTreeMap<String, Attribute>,
    /// Those that are new, have another value, or are no more.
    pub(crate) changed_attributes: Vec<String>,
    pub(crate) files: Vec<Kept<FileRow>>,
    pub(crate) replicas: Vec<Kept<ReplicaRow>>,
    pub(crate) steps: Vec<Step>,
    /// Files that this draft takes to `stored`, by place.
    pub(crate) stored_now: Vec<usize>,
    /// Whether this draft closes the run.
    pub(crate) closes: bool,
    /// What this draft makes of the run's type, if somebody set it anew.
    pub(crate) retyped: Option<TypeChange>,
    changed: bool,
    file_places: HashMap<FileName, usize>,
    replica_places: HashMap<(FileName, String), usize>,
}

impl Draft {
    /// A run that is not in the catalogue. Times of the database follow when it is saved.
    pub(crate) fn new(id: RunId) -> Self {
        let run = RunRow {
            row: 0,
            id,
            state: RunState::Open,
            revision: 0,
            run_type: None,
            type_by: None,
            started_at: None,
            ended_at: None,
            closed_by: None,
            events: None,
            files: 0,
            sealed_files: 0,
            bytes: 0,
            trace: None,
            manifest_key: None,
            stored_at: None,
            taken_at: Timestamp::UNIX_EPOCH,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
        };
        let mut draft = Self::loaded(run, BTreeMap::new(), Vec::new(), Vec::new());
        draft.before = None;
        draft.changed = true;
        draft
    }

    /// A run as it stands.
    pub(crate) fn loaded(
        run: RunRow,
        attributes: BTreeMap<String, Attribute>,
        files: Vec<FileRow>,
        replicas: Vec<ReplicaRow>,
    ) -> Self {
        let clean = |row| Kept { row, dirty: false };
        let file_places = files.iter().enumerate();
        let replica_places = replicas.iter().enumerate();
        Self {
            before: Some((run.state, run.revision)),
            run,
            attributes,
            changed_attributes: Vec::new(),
            file_places: file_places.map(|(at, f)| (f.name.clone(), at)).collect(),
            replica_places: replica_places
                .map(|(at, r)| ((r.file.clone(), r.element.clone()), at))
                .collect(),
            files: files.into_iter().map(clean).collect(),
            replicas: replicas
                .into_iter()
                .map(|row| Kept { row, dirty: false })
                .collect(),
            steps: Vec::new(),
            stored_now: Vec::new(),
            closes: false,
            retyped: None,
            changed: false,
        }
    }

    /// Marks a fact of the run as changed if `set` changed one.
    pub(crate) fn touch(&mut self, changed: bool) {
        self.changed |= changed;
    }

    /// Takes over attributes that fit: all that are new, and others if `replace`.
    pub(crate) fn set_attributes(
        &mut self,
        attributes: &BTreeMap<String, Attribute>,
        replace: bool,
    ) {
        for (name, attribute) in attributes {
            let keep = match self.attributes.get(name) {
                Some(have) => !replace || have == attribute,
                None => false,
            };
            if !keep {
                self.attributes.insert(name.clone(), attribute.clone());
                self.changed_attributes.push(name.clone());
                self.changed = true;
            }
        }
    }

    /// Gives up an attribute, if it is there.
    pub(crate) fn forget_attribute(&mut self, name: &str) {
        if let Some((name, _)) = self.attributes.remove_entry(name) {
            self.changed_attributes.push(name);
            self.changed = true;
        }
    }

    /// Whether the run has a file of this name.
    pub(crate) fn has_file(&self, name: &FileName) -> bool {
        self.file_places.contains_key(name)
    }

    /// Place of a file, which is discovered if it was not known.
    pub(crate) fn file(&mut self, name: &FileName, why: &str) -> usize {
        self.begin_file(name, FileState::Discovered, why)
    }

    /// Place of a file, which begins in `state` if it was not known.
    pub(crate) fn begin_file(&mut self, name: &FileName, state: FileState, why: &str) -> usize {
        debug_assert!(state.may_begin(), "{name} begins {state}");
        if let Some(place) = self.file_places.get(name) {
            return *place;
        }
        let place = self.files.len();
        self.files.push(Kept {
            row: FileRow::new(name.clone(), state),
            dirty: true,
        });
        self.file_places.insert(name.clone(), place);
        self.changed = true;
        self.steps.push(Step {
            about: About::File(place),
            from: None,
            to: state.as_str(),
            why: why.to_owned(),
            evidence: None,
        });
        place
    }

    /// Row of a file of this draft, 0 before it is saved.
    pub(crate) fn file_row(&self, name: &FileName) -> u64 {
        let place = self.file_places.get(name);
        place.map_or(0, |place| self.files[*place].row.row)
    }

    /// The row of a file, to be changed.
    pub(crate) fn change_file(&mut self, place: usize) -> &mut FileRow {
        self.changed = true;
        let kept = &mut self.files[place];
        kept.dirty = true;
        &mut kept.row
    }

    /// Takes a file to a state through every step between.
    pub(crate) fn move_file(
        &mut self,
        place: usize,
        to: FileState,
        why: &str,
        evidence: Option<&Value>,
    ) -> Result<(), CatalogueError> {
        let file = &self.files[place].row;
        let from = file.state;
        let what = || format!("file {}", file.name);
        let way = way(&self.run.id, what, from, to)?;
        for step in &way {
            self.change_file(place).state = *step;
        }
        self.log(About::File(place), from, &way, why, evidence);
        Ok(())
    }

    /// Place of a replica, if there is one.
    pub(crate) fn replica(&self, file: &FileName, element: &str) -> Option<usize> {
        let key = (file.clone(), element.to_owned());
        self.replica_places.get(&key).copied()
    }

    /// Adds a replica, which begins in `row.state`.
    pub(crate) fn add_replica(&mut self, row: ReplicaRow, why: &str) -> usize {
        debug_assert!(row.state.may_begin(), "{} begins {}", row.file, row.state);
        let place = self.replicas.len();
        self.steps.push(Step {
            about: About::Replica(place),
            from: None,
            to: row.state.as_str(),
            why: why.to_owned(),
            evidence: None,
        });
        let key = (row.file.clone(), row.element.clone());
        self.replica_places.insert(key, place);
        self.replicas.push(Kept { row, dirty: true });
        self.changed = true;
        place
    }

    /// The row of a replica, to be changed.
    pub(crate) fn change_replica(&mut self, place: usize) -> &mut ReplicaRow {
        self.changed = true;
        let kept = &mut self.replicas[place];
        kept.dirty = true;
        &mut kept.row
    }

    /// Takes a replica to a state through every step between.
    pub(crate) fn move_replica(
        &mut self,
        place: usize,
        to: ReplicaState,
        why: &str,
        evidence: Option<&Value>,
    ) -> Result<(), CatalogueError> {
        let replica = &self.replicas[place].row;
        let from = replica.state;
        let what = || format!("replica of {} on {}", replica.file, replica.element);
        let way = way(&self.run.id, what, from, to)?;
        for step in &way {
            self.change_replica(place).state = *step;
        }
        self.log(About::Replica(place), from, &way, why, evidence);
        Ok(())
    }

    /// Notes a step of a purge order of this run.
    pub(crate) fn log_order(
        &mut self,
        row: u64,
        from: Option<PurgeState>,
        to: PurgeState,
        why: &str,
        evidence: Option<Value>,
    ) {
        self.changed = true;
        self.steps.push(Step {
            about: About::Order(row),
            from: from.map(PurgeState::as_str),
            to: to.as_str(),
            why: why.to_owned(),
            evidence,
        });
    }

    fn log<S: Machine + Word>(
        &mut self,
        about: About,
        from: S,
        way: &[S],
        why: &str,
        evidence: Option<&Value>,
    ) {
        let mut at = from;
        for (index, step) in way.iter().enumerate() {
            let last = index + 1 == way.len();
            self.steps.push(Step {
                about,
                from: Some(at.word()),
                to: step.word(),
                why: why.to_owned(),
                evidence: evidence.filter(|_| last).cloned(),
            });
            at = *step;
        }
    }

    /// Recomputes what follows from the files, and the run's state with its steps.
    /// False if nothing changed and there is nothing to save.
    pub(crate) fn finish(&mut self) -> Result<bool, CatalogueError> {
        if !self.changed {
            return Ok(false);
        }
        self.count();
        let facts: Vec<FileFact> = self
            .files
            .iter()
            .map(|file| FileFact {
                state: file.row.state,
                was_safe: file.row.safe_at.is_some(),
            })
            .collect();
        let next = machine::derive_run_state(self.run.closed_by.is_some(), &facts);
        let mut from = self.before.map(|(state, _)| state);
        let way = machine::path(from, next).ok_or_else(|| CatalogueError::IllegalTransition {
            what: "the state".to_owned(),
            run: self.run.id.clone(),
            from: from.map_or("new", RunState::as_str).to_owned(),
            to: next.to_string(),
        })?;
        for step in way {
            self.steps.push(Step {
                about: About::Run,
                from: from.map(RunState::as_str),
                to: step.as_str(),
                why: self.why(step),
                evidence: None,
            });
            from = Some(step);
        }
        self.run.state = next;
        self.run.revision += 1;
        Ok(true)
    }

    fn count(&mut self) {
        let sealed = self
            .files
            .iter()
            .filter(|file| file.row.crc64nvme.is_some());
        self.run.sealed_files = u32::try_from(sealed.clone().count()).unwrap_or(u32::MAX);
        self.run.bytes = sealed
            .filter_map(|file| file.row.size)
            .fold(0, u64::saturating_add);
        self.run.files = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        self.run.stored_at = self
            .files
            .iter()
            .filter_map(|file| file.row.stored_at)
            .max();
    }

    fn why(&self, step: RunState) -> String {
        let why = match step {
            RunState::Open => "the run was seen",
            RunState::Closed if self.closes => {
                let closer = self.run.closed_by.map_or("unknown", |by| by.as_str());
                return format!("closed by {closer}");
            }
            RunState::Closed => "a file of it waits to be stored",
            RunState::Stored => "every file is in object storage",
            RunState::Safe => "every file has the copies that the policy asks for",
            RunState::BufferFree => "the buffer holds none of its files",
            RunState::Incomplete => "a file vanished",
            RunState::Degraded => "a file that was safe no longer is",
            RunState::Quarantined => "a file cannot be trusted",
            RunState::Adopted => "a run book or a listing tells of it",
            RunState::Missing => "no copy of a file is known",
        };
        why.to_owned()
    }
}

/// Sets a fact if it is not set, or differs and may be replaced; true if it changed.
pub(crate) fn fill<T: PartialEq>(fact: &mut Option<T>, new: Option<T>, replace: bool) -> bool {
    let wanted = new.is_some() && *fact != new && (replace || fact.is_none());
    if wanted {
        *fact = new;
    }
    wanted
}

/// A state's spelling.
pub(crate) trait Word {
    fn word(self) -> &'static str;
}

impl Word for FileState {
    fn word(self) -> &'static str {
        self.as_str()
    }
}

impl Word for ReplicaState {
    fn word(self) -> &'static str {
        self.as_str()
    }
}

fn way<S: Machine + Word>(
    run: &RunId,
    what: impl Fn() -> String,
    from: S,
    to: S,
) -> Result<Vec<S>, CatalogueError> {
    machine::path(Some(from), to).ok_or_else(|| CatalogueError::IllegalTransition {
        what: what(),
        run: run.clone(),
        from: from.word().to_owned(),
        to: to.word().to_owned(),
    })
}
