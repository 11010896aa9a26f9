//! Check: what is damaged, and which snapshots and paths that touches.

use std::collections::BTreeSet;

pub use super::check_documents::{DeploymentDamage, DocumentGap};
use super::{
    check_documents::Collections,
    deployment::catalogue_root,
    entries::{self, files_root},
    prune::Error,
    reach::Trees,
};
use crate::{
    id::{BlobId, Sid},
    progress::Progress,
    repo::{
        self, Kept, Reader, Repository,
        collect::{self, Checked, Ground, ReadData},
    },
    tree::{self, KeyRange, Pieces, Root, Value, content::pieces},
};

/// So many paths, and so many documents, of each snapshot are named; all are counted.
pub(super) const NAMED_MAX: usize = 100;

/// What was found, and what it means.
#[derive(Debug, Default)]
pub struct Outcome {
    pub checked: Checked,
    /// Small objects that can't be read: copies of the config, keys, snapshots, tombstones.
    pub objects: Vec<String>,
    pub touched: Vec<Touched>,
    /// Why what was found could not be written down: backups may still build on what is bad.
    pub unrecorded: Option<collect::Error>,
}

impl Outcome {
    pub fn is_good(&self) -> bool {
        self.checked.is_good() && self.objects.is_empty()
    }
}

/// A snapshot that is not whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    pub sid: Sid,
    /// The first of the files, in order.
    pub paths: Vec<String>,
    /// How many in all.
    pub count: u64,
    /// After these paths something is missing from the tree itself; how much is not known.
    pub gaps_after: Vec<String>,
    /// Of collections and documents.
    pub deployment: DeploymentDamage,
}

impl Touched {
    fn of(sid: Sid) -> Self {
        let (paths, gaps_after) = Default::default();
        Touched { sid, paths, count: 0, gaps_after, deployment: DeploymentDamage::default() }
    }

    fn is_whole(&self) -> bool {
        self.count == 0 && self.gaps_after.is_empty() && self.deployment.is_none()
    }
}

/// Checks, and writes down what is bad. A repository that can't be written to is checked too.
pub fn check(
    repository: &Repository,
    read_data: ReadData,
    progress: &Progress,
) -> Result<Outcome, Error> {
    let reader = repository.reader()?;
    let ground = Ground::of(repository);
    let checked = collect::check(&ground, &Trees(&reader), read_data, progress)?;
    let survey = repository.survey()?;
    let (_, keys) = repository.list_keys()?;
    let damage = repository.damage().iter().chain(&survey.damage).chain(&keys);
    let objects: BTreeSet<String> = damage.map(told).collect();
    let objects: Vec<String> = objects.into_iter().collect();
    let mut outcome = Outcome { checked, objects, ..Outcome::default() };
    let is_good = outcome.checked.is_good();
    if !is_good {
        // Bad in one pack and good in another is no loss.
        let bad = outcome.checked.lost.iter().map(|(_, blob)| *blob).collect();
        progress.phase("finding what it touches");
        outcome.touched = touched(&reader, &survey.kept, &bad, progress)?;
    }
    if !is_good || !outcome.checked.judged.is_empty() {
        outcome.unrecorded = collect::record_damage(&ground, &outcome.checked).err();
    }
    Ok(outcome)
}

/// The object, and what is wrong with it; its name once.
fn told(damage: &repo::Damage) -> String {
    let object = &damage.object;
    match &damage.error {
        repo::Error::Damaged { source, .. } => format!("{object}: {source}"),
        repo::Error::Store(error) => format!("{object}: {}", error.kind),
        error => format!("{object}: {error}"),
    }
}

fn touched(
    reader: &Reader,
    all: &[Kept],
    bad: &BTreeSet<BlobId>,
    progress: &Progress,
) -> Result<Vec<Touched>, Error> {
    let mut touched = Vec::new();
    let mut collections = Collections::new(reader, bad);
    progress.expect(all.len() as u64, 0);
    // Of forgotten ones a prune may have freed what only they needed.
    for kept in all.iter().filter(|kept| kept.forgotten.is_none()) {
        if progress.is_cancelled() {
            return Err(collect::Error::Cancelled.into());
        }
        let mut found = Touched::of(kept.sid);
        if let Some(root) = files_root(&kept.snapshot) {
            walk_files(reader, &root, bad, &mut found)?;
        }
        if let Some(root) = catalogue_root(&kept.snapshot) {
            found.deployment = collections.of_catalogue(&root)?;
        }
        if !found.is_whole() {
            touched.push(found);
        }
        progress.done(1, 0);
    }
    Ok(touched)
}

fn walk_files(
    reader: &Reader,
    root: &Root,
    bad: &BTreeSet<BlobId>,
    found: &mut Touched,
) -> Result<(), Error> {
    let mut last = Vec::new();
    for entry in tree::iter(reader, root, KeyRange::all()).going_on() {
        match entry {
            Ok((key, value)) => {
                last = key.to_vec();
                if needs_bad(reader, &value, bad) {
                    found.count += 1;
                    if found.paths.len() < NAMED_MAX {
                        found.paths.push(entries::show(&key));
                    }
                }
            }
            Err(error) => {
                is_damage(error)?;
                found.gaps_after.push(entries::show(&last));
            }
        }
    }
    Ok(())
}

/// What ends the check as an error; damage does not.
pub(super) fn is_damage(error: tree::Error<repo::Error>) -> Result<(), Error> {
    match error {
        error if error.is_damage(repo::Error::is_damage) => Ok(()),
        tree::Error::Read { source, .. } => Err(source.into()),
        error => Err(Error::Walk(Box::new(error))),
    }
}

/// A long list of pieces that can't be read is as bad as a piece that can't.
pub(super) fn needs_bad(reader: &Reader, value: &Value, bad: &BTreeSet<BlobId>) -> bool {
    match &value.pieces {
        Pieces::None | Pieces::Map(_) => false,
        Pieces::List(list) => list.iter().any(|piece| piece.id.is_some_and(|id| bad.contains(&id))),
        long @ Pieces::Tree(_) => pieces(reader, long, 0..u64::MAX).any(|piece| match piece {
            Ok((_, piece)) => piece.id.is_some_and(|id| bad.contains(&id)),
            Err(_) => true,
        }),
    }
}
