//! Prune and repair: the collector's work, on a repository with trees.

use super::reach::Trees;
use crate::{
    progress::Progress,
    repo::{
        self, Repository,
        collect::{self, Ground, Options, Outcome, Plan, Repaired},
    },
    store,
};

/// What stops a look at the whole repository: prune, repair, check, stats.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Repo(#[from] repo::Error),
    #[error(transparent)]
    Collect(#[from] collect::Error),
    #[error("what the store can do could not be found out")]
    Probe(#[source] store::Error),
    #[error("a snapshot's tree can't be walked")]
    Walk(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the index has more rows than can be counted")]
    TooManyRows,
}

/// What `carry_out` would do now.
pub fn plan(
    repository: &Repository,
    options: &Options,
    progress: &Progress,
) -> Result<Plan, Error> {
    let reader = repository.reader()?;
    Ok(collect::plan(&Ground::of(repository), &Trees(&reader), options, progress)?)
}

/// Carries the plan out, after a look at what the store can do.
pub fn carry_out(
    repository: &Repository,
    plan: Plan,
    progress: &Progress,
) -> Result<Outcome, Error> {
    let abilities =
        store::probe(&**repository.store(), repository.ambient()).map_err(Error::Probe)?;
    let reader = repository.reader()?;
    let mut ground = Ground::of(repository);
    ground.may_fence &= abilities.create_if_absent;
    Ok(collect::carry_out(&ground, &Trees(&reader), plan, progress)?)
}

/// Makes the index again from the packs.
pub fn repair_index(repository: &Repository, progress: &Progress) -> Result<Repaired, Error> {
    Ok(collect::repair_index(&Ground::of(repository), progress)?)
}
