//! The state machines of runs, files, replicas and purge orders: which step may follow
//! which.
//!
//! Pure. Writers move things only along [`path`], so that the history shows every step
//! and no illegal one. A run's state is never chosen: [`derive_run_state`] computes it
//! from the run's facts. Which step is *wise* (copies, evidence, age) is for the policy.

use aquifer_schemas::{FileState, PurgeState, ReplicaState, RunState};

/// A state with its place in a machine.
pub trait Machine: Copy + Eq + 'static {
    /// Every state.
    const STATES: &'static [Self];

    /// Whether a thing may be first recorded in this state.
    fn may_begin(self) -> bool;

    /// States that may directly follow this one.
    fn successors(self) -> &'static [Self];
}

impl Machine for RunState {
    const STATES: &'static [Self] = Self::ALL;

    /// A run may be first heard of when it is over, or from a book of the past.
    fn may_begin(self) -> bool {
        matches!(
            self,
            Self::Open | Self::Closed | Self::Adopted | Self::Missing
        )
    }

    /// Nothing returns to `open`. A late file takes a stored run back to `closed`, or
    /// directly to `stored` when it comes with its object. What a book tells of is on
    /// its way like any other run once its files are found.
    fn successors(self) -> &'static [Self] {
        use RunState::{
            Adopted, BufferFree, Closed, Degraded, Incomplete, Missing, Open, Quarantined, Safe,
            Stored,
        };
        match self {
            Open => &[Closed],
            Closed => &[Stored, Incomplete, Quarantined, Adopted, Missing],
            Stored => &[Safe, Closed, Incomplete, Quarantined, Adopted, Missing],
            Safe => &[
                BufferFree,
                Degraded,
                Stored,
                Closed,
                Incomplete,
                Quarantined,
            ],
            BufferFree => &[Safe, Degraded, Stored, Closed, Incomplete, Quarantined],
            Degraded => &[Safe, BufferFree, Stored, Closed, Incomplete, Quarantined],
            Incomplete => &[Closed, Stored, Safe, Degraded, Quarantined],
            Quarantined => &[Closed, Stored, Safe, Degraded, Incomplete],
            Adopted => &[Missing, Closed, Stored, Incomplete, Quarantined],
            Missing => &[Adopted, Closed, Stored, Incomplete, Quarantined],
        }
    }
}

impl Machine for FileState {
    const STATES: &'static [Self] = Self::ALL;

    fn may_begin(self) -> bool {
        matches!(self, Self::Discovered | Self::Adopted | Self::Missing)
    }

    /// From `stored` on a file has a copy elsewhere and never goes back before it:
    /// whatever then happens in the buffer happens to the buffer's replica.
    fn successors(self) -> &'static [Self] {
        use FileState::{
            Adopted, Changed, Discovered, Missing, PurgeOrdered, Purged, Safe, Sealed, Stable,
            Stored, Streaming, Trashed, Vanished,
        };
        match self {
            Discovered => &[Stable, Streaming, Changed, Vanished],
            Streaming => &[Stable, Changed, Vanished],
            Stable => &[Sealed, Discovered, Changed, Vanished],
            Sealed => &[Stored, Changed, Vanished],
            Stored => &[Safe],
            Safe => &[PurgeOrdered, Stored],
            PurgeOrdered => &[Trashed, Safe],
            Trashed => &[Purged, Safe],
            // A copy went bad after the buffer was freed.
            Purged => &[Stored],
            // Someone looked at it, or it came back: it begins again.
            Changed => &[Discovered, Vanished],
            Vanished => &[Discovered],
            // Found in the buffer after all.
            Adopted => &[Discovered, Missing],
            Missing => &[Adopted, Discovered],
        }
    }
}

impl Machine for ReplicaState {
    const STATES: &'static [Self] = Self::ALL;

    /// Copies begin as a plan, as bytes written while a file was ingested, as what was
    /// found in place (the DAQ's own file), or as somebody's word.
    fn may_begin(self) -> bool {
        matches!(
            self,
            Self::Claimed | Self::Planned | Self::Written | Self::Available
        )
    }

    fn successors(self) -> &'static [Self] {
        use ReplicaState::{
            Absent, Active, Archiving, Available, Bad, Claimed, DeleteOrdered, Deleted, Deleting,
            Lost, OnTape, Planned, Queued, Repair, Suspect, Verified, Written,
        };
        match self {
            // A word becomes a copy when its bytes are read, and nothing when a listing
            // does not have it.
            Claimed => &[Verified, Suspect, Absent, Bad],
            Absent => &[Claimed],
            // A plan that is given up leaves nothing to delete.
            Planned => &[Queued, Deleted],
            Queued => &[Active, Deleted],
            Active => &[Written, Queued],
            Written => &[Verified, Queued, Bad],
            Verified => &[Available, Archiving],
            Archiving => &[OnTape, Suspect],
            Available | OnTape => &[Suspect, DeleteOrdered],
            Suspect => &[Available, OnTape, Bad, Claimed, Absent],
            Bad => &[Repair, Lost],
            Repair => &[Queued],
            // Another copy turned up, to make it from.
            Lost => &[Repair],
            // An order that is withdrawn: the copy has to be shown good again.
            DeleteOrdered => &[Deleting, Suspect],
            Deleting => &[Deleted],
            Deleted => &[Planned],
        }
    }
}

impl Machine for PurgeState {
    const STATES: &'static [Self] = Self::ALL;

    fn may_begin(self) -> bool {
        self == Self::Proposed
    }

    /// What is in the trash can be taken back; what is deleted cannot.
    fn successors(self) -> &'static [Self] {
        use PurgeState::{Cancelled, Checked, Deleted, Proposed, Trashed};
        match self {
            Proposed => &[Checked, Cancelled],
            Checked => &[Trashed, Cancelled],
            Trashed => &[Deleted, Cancelled],
            Deleted | Cancelled => &[],
        }
    }
}

/// The shortest legal way from `from` (`None`: not yet recorded) to `to`, without
/// `from` and with `to`; empty when already there, `None` when there is no way.
pub fn path<S: Machine>(from: Option<S>, to: S) -> Option<Vec<S>> {
    if from == Some(to) {
        return Some(Vec::new());
    }
    // A state may begin a record even if a longer way also leads to it: ways are
    // explored in order of length.
    let begins: Vec<S> = match from {
        Some(state) => state.successors().to_vec(),
        None => S::STATES
            .iter()
            .copied()
            .filter(|s| s.may_begin())
            .collect(),
    };
    let mut ways: Vec<Vec<S>> = begins.into_iter().map(|state| vec![state]).collect();
    let mut next = 0;
    while let Some(way) = ways.get(next) {
        let last = *way.last().expect("a way holds at least its first step");
        if last == to {
            return Some(ways.swap_remove(next));
        }
        let longer: Vec<Vec<S>> = last
            .successors()
            .iter()
            .filter(|step| !ways.iter().any(|seen| seen.last() == Some(*step)))
            .map(|step| way.iter().copied().chain([*step]).collect())
            .collect();
        ways.extend(longer);
        next += 1;
    }
    None
}

/// Whether a file in this state has a verified copy in object storage.
pub fn is_stored(state: FileState) -> bool {
    use FileState::{PurgeOrdered, Purged, Safe, Stored, Trashed};
    matches!(state, Stored | Safe | PurgeOrdered | Trashed | Purged)
}

/// Whether a file in this state has as many copies as the policy asks for.
pub fn is_safe(state: FileState) -> bool {
    is_stored(state) && state != FileState::Stored
}

/// Whether all that is known of a file in this state is what a book or a listing says.
pub fn is_hearsay(state: FileState) -> bool {
    matches!(state, FileState::Adopted | FileState::Missing)
}

/// What a run's state depends on, for one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileFact {
    /// How far it is.
    pub state: FileState,
    /// Whether it was ever safe.
    pub was_safe: bool,
}

/// The state of a run with these facts. A run without files is never stored: nothing
/// proves that there were none.
pub fn derive_run_state(closed: bool, files: &[FileFact]) -> RunState {
    let any = |state| files.iter().any(|file| file.state == state);
    let all = |test: fn(FileState) -> bool| {
        !files.is_empty() && files.iter().all(|file| test(file.state))
    };
    let fell_back = files
        .iter()
        .any(|file| file.was_safe && !is_safe(file.state));
    if !closed {
        RunState::Open
    } else if any(FileState::Changed) {
        RunState::Quarantined
    } else if any(FileState::Vanished) {
        RunState::Incomplete
    } else if files
        .iter()
        .any(|file| !is_stored(file.state) && !is_hearsay(file.state))
    {
        RunState::Closed
    } else if any(FileState::Missing) {
        RunState::Missing
    } else if any(FileState::Adopted) {
        RunState::Adopted
    } else if all(|state| state == FileState::Purged) {
        RunState::BufferFree
    } else if all(is_safe) {
        RunState::Safe
    } else if all(is_stored) && fell_back {
        RunState::Degraded
    } else if all(is_stored) {
        RunState::Stored
    } else {
        RunState::Closed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fact(state: FileState) -> FileFact {
        FileFact {
            state,
            was_safe: is_safe(state),
        }
    }

    fn reachable<S: Machine>(from: S) -> Vec<S> {
        let ways = S::STATES
            .iter()
            .filter(|to| path(Some(from), **to).is_some());
        ways.copied().collect()
    }

    #[test]
    fn a_stored_file_never_goes_back_before_stored() {
        for state in reachable(FileState::Stored) {
            assert!(is_stored(state), "{state}");
        }
        // The only way out of `stored` is through its successors.
        assert_eq!(FileState::Stored.successors(), [FileState::Safe]);
    }

    #[test]
    fn a_file_is_purged_only_through_every_step_of_the_order() {
        use FileState::{PurgeOrdered, Purged, Safe, Stored, Trashed};
        let way = path(Some(Stored), Purged).unwrap();
        assert_eq!(way, [Safe, PurgeOrdered, Trashed, Purged]);
    }

    #[test]
    fn a_new_file_is_stored_through_every_step() {
        use FileState::{Discovered, Sealed, Stable, Stored};
        let way = path(None, Stored).unwrap();
        assert_eq!(way, [Discovered, Stable, Sealed, Stored]);
    }

    #[test]
    fn a_replica_counts_only_after_it_was_verified() {
        use ReplicaState::{Available, Verified, Written};
        let way = path(Some(Written), Available).unwrap();
        assert_eq!(way, [Verified, Available]);
        let direct = ReplicaState::ALL
            .iter()
            .filter(|state| state.successors().contains(&ReplicaState::OnTape));
        assert_eq!(
            direct.copied().collect::<Vec<_>>(),
            [ReplicaState::Archiving, ReplicaState::Suspect]
        );
    }

    #[test]
    fn nothing_unproven_becomes_available_without_being_verified() {
        use ReplicaState::{
            Absent, Active, Available, Bad, Claimed, Deleted, Lost, Planned, Queued, Repair,
            Verified, Written,
        };
        for from in [
            Claimed, Absent, Planned, Queued, Active, Written, Bad, Repair, Lost, Deleted,
        ] {
            let way = path(Some(from), Available).unwrap();
            assert!(way.contains(&Verified), "{from}: {way:?}");
        }
    }

    #[test]
    fn a_run_never_opens_again() {
        for state in RunState::ALL {
            assert!(!state.successors().contains(&RunState::Open), "{state}");
        }
    }

    #[test]
    fn every_state_can_be_reached() {
        fn all_reached<S: Machine + std::fmt::Debug>() {
            for state in S::STATES {
                assert!(path(None, *state).is_some(), "{state:?}");
            }
        }
        all_reached::<RunState>();
        all_reached::<FileState>();
        all_reached::<ReplicaState>();
        all_reached::<PurgeState>();
    }

    #[test]
    fn nothing_is_deleted_that_was_not_in_the_trash_and_nothing_deleted_comes_back() {
        use PurgeState::{Checked, Deleted, Proposed, Trashed};
        let way = path(Some(Proposed), Deleted).unwrap();
        assert_eq!(way, [Checked, Trashed, Deleted]);
        assert_eq!(Deleted.successors(), []);
    }

    #[test]
    fn the_state_of_a_run_follows_from_its_facts() {
        use FileState::{
            Adopted, Changed, Discovered, Missing, PurgeOrdered, Purged, Safe, Sealed, Stored,
            Vanished,
        };
        let table: &[(bool, &[FileState], RunState)] = &[
            (false, &[], RunState::Open),
            (false, &[Stored], RunState::Open),
            (true, &[], RunState::Closed),
            (true, &[Discovered], RunState::Closed),
            (true, &[Stored, Sealed], RunState::Closed),
            (true, &[Stored], RunState::Stored),
            (true, &[Stored, Stored], RunState::Stored),
            (true, &[Stored, Changed], RunState::Quarantined),
            (true, &[Vanished, Changed], RunState::Quarantined),
            (true, &[Stored, Vanished], RunState::Incomplete),
            (true, &[Safe, PurgeOrdered], RunState::Safe),
            (true, &[Safe, Stored], RunState::Stored),
            (true, &[Safe, Purged], RunState::Safe),
            (true, &[Purged, Purged], RunState::BufferFree),
            (true, &[Safe, Discovered], RunState::Closed),
            (true, &[Adopted], RunState::Adopted),
            (true, &[Adopted, Stored], RunState::Adopted),
            (true, &[Adopted, Missing], RunState::Missing),
            (true, &[Missing, Sealed], RunState::Closed),
            (true, &[Missing, Changed], RunState::Quarantined),
        ];
        for (closed, files, expected) in table {
            let facts: Vec<FileFact> = files.iter().copied().map(fact).collect();
            assert_eq!(derive_run_state(*closed, &facts), *expected, "{files:?}");
        }
        let fell_back = FileFact {
            state: Stored,
            was_safe: true,
        };
        assert_eq!(
            derive_run_state(true, &[fell_back, fact(Safe)]),
            RunState::Degraded
        );
    }

    /// Any legal history of a few files, as choices among successors.
    fn histories() -> impl Strategy<Value = Vec<(usize, usize)>> {
        proptest::collection::vec((0_usize..4, 0_usize..8), 1..60)
    }

    proptest! {
        #[test]
        fn a_path_is_made_of_legal_steps(from in 0..FileState::ALL.len(), to in 0..FileState::ALL.len()) {
            let (from, to) = (FileState::ALL[from], FileState::ALL[to]);
            if let Some(way) = path(Some(from), to) {
                let mut at = from;
                for step in way {
                    prop_assert!(at.successors().contains(&step));
                    at = step;
                }
                prop_assert_eq!(at, to);
            }
        }

        #[test]
        fn whatever_happens_to_files_the_run_has_a_legal_way(history in histories()) {
            let mut files: Vec<FileFact> = Vec::new();
            let mut run = None;
            for (which, choice) in history {
                if let Some(file) = files.get_mut(which) {
                    let ways = file.state.successors();
                    file.state = ways[choice % ways.len()];
                    file.was_safe |= is_safe(file.state);
                } else {
                    let begins = FileState::ALL.iter().filter(|state| state.may_begin());
                    let begins: Vec<_> = begins.collect();
                    files.push(fact(*begins[choice % begins.len()]));
                }
                let next = derive_run_state(true, &files);
                prop_assert!(path(run, next).is_some(), "{:?} -> {}", run, next);
                let stored = next == RunState::Stored;
                prop_assert!(!stored || files.iter().all(|f| is_stored(f.state)));
                run = Some(next);
            }
        }
    }
}
