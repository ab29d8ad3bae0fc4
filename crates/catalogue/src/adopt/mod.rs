//! Runs of the past, taken over from run books and listings, many in one transaction.
//!
//! Everything here is hearsay and stays marked as such: copies are `claimed` on evidence
//! E0 or E1, files and runs `adopted`, or `missing` where nobody says that there is a
//! copy. What was recorded from data is never changed by it. Nothing is announced: these
//! runs are no news. Each call may be made again and then changes nothing.

mod apply;
mod facts;

use std::collections::BTreeMap;

use aquifer_schemas::{RunId, RunNumber, Site};
use jiff::Timestamp;

use crate::catalogue::{Catalogue, begin, commit};
use crate::draft::Draft;
use crate::error::CatalogueError;
use crate::load::lock_numbers;
use crate::save::save_all;

pub use facts::{
    Adopted, AdoptedCopy, AdoptedRun, Adoption, BOOK_AMBIGUOUS, BOOK_CLOCK, BOOK_NEGATIVE_DURATION,
    BOOK_NEVER_ENDED, BOOK_START, BOOK_STOP, Sighting,
};

pub(crate) use apply::{adopt, same_run, sight};

/// Runs under some numbers of a site, all versions of each, between their locks and their
/// commit.
pub(crate) struct Versions {
    site: Site,
    pub(crate) of: BTreeMap<RunNumber, Vec<Draft>>,
}

impl Versions {
    pub(crate) fn new(site: &Site, of: BTreeMap<RunNumber, Vec<Draft>>) -> Self {
        Self {
            site: site.clone(),
            of,
        }
    }

    /// The run with this name, which is new if it was not known.
    fn named(&mut self, id: &RunId) -> &mut Draft {
        let versions = self.of.entry(id.number).or_default();
        let place = versions.iter().position(|draft| draft.run.id == *id);
        let place = place.unwrap_or_else(|| {
            versions.push(Draft::new(id.clone()));
            versions.len() - 1
        });
        &mut versions[place]
    }

    /// The run that the book means: one that it told of before, or one that was recorded
    /// and began when the book says, or a new version.
    fn meant(&mut self, run: &AdoptedRun) -> &mut Draft {
        let versions = self.of.entry(run.number).or_default();
        let place = apply::place(versions, run).unwrap_or_else(|| {
            let last = versions.iter().map(|draft| draft.run.id.version).max();
            versions.push(Draft::new(RunId {
                site: self.site.clone(),
                number: run.number,
                version: last.unwrap_or(0) + 1,
            }));
            versions.len() - 1
        });
        &mut versions[place]
    }
}

impl Catalogue {
    /// Takes over runs of a book of `site`, in one transaction: some hundred at a time.
    /// Gives what was done with each, in their order.
    ///
    /// Errors: [`CatalogueError::UnknownSite`], [`CatalogueError::UnknownElement`],
    /// values that do not fit, outages.
    pub async fn adopt_runs(
        &self,
        site: &Site,
        runs: &[AdoptedRun],
        who: &str,
    ) -> Result<Vec<Adopted>, CatalogueError> {
        let numbers = runs.iter().map(|run| run.number);
        self.change_many(site, numbers, who, |versions| {
            let touched = runs.iter().map(|run| {
                let draft = versions.meant(run);
                let recorded_here = apply::is_recorded_here(draft);
                adopt(draft, run)?;
                Ok((draft.run.id.clone(), recorded_here))
            });
            touched.collect::<Result<Vec<_>, _>>()
        })
        .await
        .map(|(touched, outcomes)| {
            let adopted = touched.into_iter().map(|(run, recorded_here)| Adopted {
                outcome: outcomes.get(&run).copied().unwrap_or(Adoption::AsItWas),
                run,
                recorded_here,
            });
            adopted.collect()
        })
    }

    /// Takes over what a listing says of copies, in one transaction: some hundred at a
    /// time. A run that is not known is added without times. Gives what was done with
    /// each run.
    ///
    /// Errors: as [`Catalogue::adopt_runs`].
    pub async fn adopt_listing(
        &self,
        site: &Site,
        sightings: &[Sighting],
        who: &str,
    ) -> Result<BTreeMap<RunId, Adoption>, CatalogueError> {
        let numbers = sightings.iter().map(|sighting| sighting.run.number);
        let ((), outcomes) = self
            .change_many(site, numbers, who, |versions| {
                sightings
                    .iter()
                    .try_for_each(|sighting| sight(versions.named(&sighting.run), sighting))
            })
            .await?;
        Ok(outcomes)
    }

    /// Whether a run book tells of another run under this name than of one that began and
    /// ended at these times: its data then belong to the next version.
    pub async fn is_another_run(
        &self,
        id: &RunId,
        started_at: Option<Timestamp>,
        ended_at: Option<Timestamp>,
    ) -> Result<bool, CatalogueError> {
        let known = self.run(id).await?;
        Ok(known.is_some_and(|book| apply::apart(&book, started_at, ended_at).is_some()))
    }

    /// Changes runs under their locks, in one transaction, and says which were added or
    /// changed.
    async fn change_many<T>(
        &self,
        site: &Site,
        numbers: impl Iterator<Item = RunNumber>,
        who: &str,
        apply: impl Fn(&mut Versions) -> Result<T, CatalogueError>,
    ) -> Result<(T, BTreeMap<RunId, Adoption>), CatalogueError> {
        let mut numbers: Vec<RunNumber> = numbers.collect();
        numbers.sort_unstable();
        numbers.dedup();
        let (numbers, apply) = (&numbers, &apply);
        self.restarting("take over runs", || async move {
            let mut conn = self.conn().await?;
            let mut tx = begin(&mut conn).await?;
            let mut versions = lock_numbers(&mut tx, site, numbers).await?;
            let said = apply(&mut versions)?;
            let mut changed = Vec::new();
            let mut outcomes = BTreeMap::new();
            for mut draft in versions.of.into_values().flatten() {
                if draft.finish()? {
                    let outcome = match draft.before {
                        None => Adoption::Added,
                        Some(_) => Adoption::Changed,
                    };
                    outcomes.insert(draft.run.id.clone(), outcome);
                    changed.push(draft);
                }
            }
            save_all(&mut tx, &mut changed, who).await?;
            commit(tx).await?;
            Ok((said, outcomes))
        })
        .await
    }
}
