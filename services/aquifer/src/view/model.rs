//! What is shown: the newest runs, how many are in each state, and what changed since
//! the last look.

use std::collections::{BTreeMap, HashMap};

use aquifer_catalogue::RunRow;
use aquifer_schemas::{RunId, RunState};

/// How things stand.
#[derive(Debug, Default)]
pub(crate) struct Model {
    /// Newest runs, newest first.
    pub runs: Vec<RunRow>,
    /// How many runs are in each state.
    pub counts: BTreeMap<RunState, u64>,
    /// Announcements that wait for the relay.
    pub waiting: u64,
    /// Runs whose state is other than at the last look, oldest first.
    pub moved: Vec<RunRow>,
    states: HashMap<RunId, RunState>,
}

impl Model {
    /// Takes in a new look.
    pub(crate) fn update(
        &mut self,
        runs: Vec<RunRow>,
        counts: BTreeMap<RunState, u64>,
        waiting: u64,
    ) {
        self.moved = runs
            .iter()
            .rev()
            .filter(|run| self.states.get(&run.id) != Some(&run.state))
            .cloned()
            .collect();
        self.states = runs.iter().map(|run| (run.id.clone(), run.state)).collect();
        self.runs = runs;
        self.counts = counts;
        self.waiting = waiting;
    }

    /// Runs that are in object storage or beyond.
    pub(crate) fn stored(&self) -> u64 {
        let beyond = [
            RunState::Stored,
            RunState::Safe,
            RunState::BufferFree,
            RunState::Degraded,
        ];
        beyond
            .iter()
            .filter_map(|state| self.counts.get(state))
            .sum()
    }

    /// Runs of any state.
    pub(crate) fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Whether nothing is on its way: every run has reached storage, someone was told, or
    /// only a book tells of it, and every announcement is out.
    pub(crate) fn is_at_rest(&self) -> bool {
        let resting = [RunState::Quarantined, RunState::Adopted, RunState::Missing];
        let resting = resting.iter().filter_map(|state| self.counts.get(state));
        self.stored() + resting.sum::<u64>() == self.total() && self.waiting == 0
    }
}
