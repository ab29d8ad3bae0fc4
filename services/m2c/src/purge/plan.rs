//! What to do next about an order. Pure.
//!
//! Three things say how far an order is: the catalogue's row, the journal, and where its
//! files lie. A crash can come between any two of them, so every combination has an
//! answer, and doing the answer again does nothing.
//!
//! | catalogue | journal | files | next |
//! |---|---|---|---|
//! | proposed | – | | check |
//! | checked | –, moving | in the buffer or the trash, side files anywhere | move |
//! | checked | trashed | all in the trash | tell |
//! | trashed | trashed | all in the trash | wait for the grace, then commit |
//! | trashed, unlinking | any | in the trash or gone | remove |
//! | trashed, unlinking | – | all gone | tell |
//! | deleted | any | | forget |
//! | cancelled, or no such order | any | | put back |
//! | asked back, restoring | | | put back |
//! | anything else | | | put back: what cannot be explained is not removed |

use aquifer_schemas::PurgeState;

use crate::journal::PurgePhase;

/// What the catalogue says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Said {
    /// How far the order is.
    pub state: PurgeState,
    /// Whether its files were asked back.
    pub asked_back: bool,
    /// Whether there is no way back.
    pub unlinking: bool,
}

/// Where one file of the order lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Something stands under its name in the buffer.
    pub in_buffer: bool,
    /// Something stands under its name in the order's trash.
    pub in_trash: bool,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Look whether everything that the order relies on is true.
    Check,
    /// Move its files to the trash.
    Move,
    /// Tell the catalogue that they are there.
    TellTrashed,
    /// Wait for the grace, then begin the last step.
    AwaitGrace,
    /// Remove its files for good, and tell.
    Remove,
    /// Put its files back where they were, and tell.
    PutBack(&'static str),
    /// Drop it from the journal.
    Forget,
    /// Nothing.
    Rest,
    /// A person has to look: files that are to be removed lie in the trash, and the
    /// journal does not say which they are.
    Stuck,
}

/// See the module.
pub(crate) fn next(said: Option<Said>, journal: Option<PurgePhase>, files: &[Place]) -> Act {
    let Some(said) = said else {
        return match journal {
            Some(_) => Act::PutBack("the catalogue does not know the order"),
            None => Act::Rest,
        };
    };
    let trashed = |file: &Place| file.in_trash;
    let all_trashed = files.iter().all(trashed);
    let lost = files.iter().any(|file| !file.in_trash && !file.in_buffer);
    match (said.state, journal) {
        (PurgeState::Deleted, Some(_)) => Act::Forget,
        (PurgeState::Cancelled, Some(_)) => Act::PutBack("the order is void"),
        (PurgeState::Deleted | PurgeState::Cancelled, None) => Act::Rest,
        (PurgeState::Trashed, Some(_)) if said.unlinking => Act::Remove,
        (PurgeState::Trashed, None) if said.unlinking => {
            if files.iter().any(trashed) {
                Act::Stuck
            } else {
                Act::Remove
            }
        }
        (_, Some(PurgePhase::Restoring)) => Act::PutBack("it was being put back"),
        (PurgeState::Checked | PurgeState::Trashed, _) if said.asked_back => {
            Act::PutBack("asked back")
        }
        (PurgeState::Proposed, None) => Act::Check,
        (PurgeState::Proposed, Some(_)) => Act::PutBack("the catalogue knows of no check"),
        (PurgeState::Checked | PurgeState::Trashed, _) if lost => {
            Act::PutBack("a file is neither in the buffer nor in the trash")
        }
        (PurgeState::Checked, Some(PurgePhase::Trashed)) if all_trashed => Act::TellTrashed,
        (PurgeState::Checked, None) if files.iter().any(trashed) => {
            Act::PutBack("the journal does not know that its files were moved")
        }
        (PurgeState::Checked, _) => Act::Move,
        (PurgeState::Trashed, Some(PurgePhase::Trashed)) if all_trashed => Act::AwaitGrace,
        (PurgeState::Trashed, _) => Act::PutBack("the journal and the trash do not agree"),
    }
}

#[cfg(test)]
mod tests {
    use PurgePhase::{Moving, Restoring, Trashed};

    use super::*;

    const BUFFER: Place = Place {
        in_buffer: true,
        in_trash: false,
    };
    const TRASH: Place = Place {
        in_buffer: false,
        in_trash: true,
    };
    const BOTH: Place = Place {
        in_buffer: true,
        in_trash: true,
    };
    const NOWHERE: Place = Place {
        in_buffer: false,
        in_trash: false,
    };
    const PLACES: [Place; 4] = [BUFFER, TRASH, BOTH, NOWHERE];
    const JOURNAL: [Option<PurgePhase>; 4] = [None, Some(Moving), Some(Trashed), Some(Restoring)];

    /// Every state of a row that the catalogue can hold.
    fn rows() -> Vec<Option<Said>> {
        let mut rows = vec![None];
        for &state in PurgeState::ALL {
            for (asked_back, unlinking) in [(false, false), (true, false), (false, true)] {
                let unlinks = matches!(state, PurgeState::Trashed | PurgeState::Deleted);
                if !unlinking || unlinks {
                    rows.push(Some(Said {
                        state,
                        asked_back,
                        unlinking,
                    }));
                }
            }
        }
        rows
    }

    fn every_combination(mut check: impl FnMut(Option<Said>, Option<PurgePhase>, [Place; 2], Act)) {
        for said in rows() {
            for journal in JOURNAL {
                for first in PLACES {
                    for second in PLACES {
                        let files = [first, second];
                        check(said, journal, files, next(said, journal, &files));
                    }
                }
            }
        }
    }

    #[test]
    fn files_are_removed_only_after_the_point_of_no_return() {
        every_combination(|said, journal, files, act| {
            let committed =
                said.is_some_and(|said| said.unlinking && said.state == PurgeState::Trashed);
            assert_eq!(
                matches!(act, Act::Remove | Act::Stuck),
                committed,
                "{said:?} {journal:?} {files:?}: {act:?}"
            );
            // What lies in the trash is removed only by who remembers what it is.
            if act == Act::Remove && journal.is_none() {
                assert!(files.iter().all(|file| !file.in_trash));
            }
        });
    }

    #[test]
    fn files_are_moved_only_by_a_checked_order_that_nobody_asked_back() {
        every_combination(|said, journal, files, act| {
            if matches!(act, Act::Move | Act::TellTrashed) {
                let said = said.unwrap();
                assert_eq!(said.state, PurgeState::Checked);
                assert!(!said.asked_back && journal != Some(Restoring));
            }
            if matches!(act, Act::TellTrashed | Act::AwaitGrace) {
                assert!(files.iter().all(|file| file.in_trash));
            }
        });
    }

    #[test]
    fn what_is_asked_back_is_put_back() {
        every_combination(|said, _, _, act| {
            let under_way =
                |said: Said| matches!(said.state, PurgeState::Checked | PurgeState::Trashed);
            if said.is_some_and(|said| said.asked_back && under_way(said)) {
                assert!(matches!(act, Act::PutBack(_)), "{act:?}");
            }
        });
    }

    #[test]
    fn the_way_of_an_order_is_the_modules_table() {
        let row = |state, asked_back, unlinking| {
            Some(Said {
                state,
                asked_back,
                unlinking,
            })
        };
        let proposed = row(PurgeState::Proposed, false, false);
        let checked = row(PurgeState::Checked, false, false);
        let trashed = row(PurgeState::Trashed, false, false);
        let unlinking = row(PurgeState::Trashed, false, true);
        let deleted = row(PurgeState::Deleted, false, true);
        let cancelled = row(PurgeState::Cancelled, true, false);
        let put_back = |act| matches!(act, Act::PutBack(_));
        assert_eq!(next(proposed, None, &[BUFFER, BUFFER]), Act::Check);
        assert_eq!(next(proposed, None, &[NOWHERE, BUFFER]), Act::Check);
        assert_eq!(next(checked, None, &[BUFFER, BUFFER]), Act::Move);
        assert_eq!(next(checked, Some(Moving), &[TRASH, BUFFER]), Act::Move);
        // A side file may be left behind.
        assert_eq!(next(checked, Some(Moving), &[TRASH, TRASH]), Act::Move);
        assert_eq!(
            next(checked, Some(Trashed), &[TRASH, TRASH]),
            Act::TellTrashed
        );
        assert_eq!(
            next(checked, Some(Trashed), &[BOTH, TRASH]),
            Act::TellTrashed
        );
        assert!(put_back(next(checked, None, &[TRASH, BUFFER])));
        assert!(put_back(next(checked, Some(Moving), &[NOWHERE, TRASH])));
        assert_eq!(
            next(trashed, Some(Trashed), &[TRASH, TRASH]),
            Act::AwaitGrace
        );
        // A new file under the old name is none of the order's business.
        assert_eq!(
            next(trashed, Some(Trashed), &[BOTH, TRASH]),
            Act::AwaitGrace
        );
        assert!(put_back(next(trashed, Some(Trashed), &[BUFFER, TRASH])));
        assert!(put_back(next(trashed, None, &[TRASH, TRASH])));
        assert_eq!(
            next(unlinking, Some(Trashed), &[TRASH, NOWHERE]),
            Act::Remove
        );
        assert_eq!(next(unlinking, None, &[NOWHERE, NOWHERE]), Act::Remove);
        assert_eq!(next(unlinking, None, &[NOWHERE, TRASH]), Act::Stuck);
        assert_eq!(next(deleted, Some(Trashed), &[NOWHERE; 2]), Act::Forget);
        assert_eq!(next(deleted, None, &[NOWHERE; 2]), Act::Rest);
        assert!(put_back(next(cancelled, Some(Restoring), &[TRASH, BUFFER])));
        assert_eq!(next(cancelled, None, &[BUFFER; 2]), Act::Rest);
        assert!(put_back(next(None, Some(Trashed), &[TRASH; 2])));
        assert_eq!(next(None, None, &[]), Act::Rest);
    }
}
