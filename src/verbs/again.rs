//! A snapshot committed once more: the same trees under another record.

use super::entries::files_root;
use crate::{
    format::snapshot::Snapshot,
    id::Sid,
    repo::{self, Kept, Repository, Reuse, Session, SessionOptions},
    tree,
};

/// Why a snapshot could not be committed again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Repo(#[from] repo::Error),
    #[error("the snapshot's tree can't be walked")]
    Tree(#[from] tree::Error<repo::Error>),
    #[error("a prune is about to delete data of snapshot {sid}")]
    Going { sid: Sid },
}

/// Commits the snapshot as `change` makes it, under a new sid that it returns. Its data is held by
/// the session meanwhile, or it is refused: what a prune may take must not be promised.
pub(super) fn commit_again(
    repository: &Repository,
    kept: &Kept,
    change: impl FnOnce(&mut Snapshot),
) -> Result<Sid, Error> {
    let session = repository.begin(SessionOptions { parents: vec![kept.sid] })?;
    if !is_held(&session, &kept.snapshot)? {
        session.abort()?;
        return Err(Error::Going { sid: kept.sid });
    }
    let mut snapshot = kept.snapshot.clone();
    snapshot.original = snapshot.original.or(Some(kept.sid));
    change(&mut snapshot);
    Ok(session.commit(snapshot)?)
}

fn is_held(session: &Session, snapshot: &Snapshot) -> Result<bool, Error> {
    match session.reuse() {
        Reuse::Free => Ok(true),
        Reuse::No => Ok(false),
        Reuse::Test => {
            let mut held = true;
            if let Some(root) = files_root(snapshot) {
                tree::walk(session, &root, &mut |_, id| {
                    held = held && session.depend(id);
                    held
                })?;
            }
            Ok(held)
        }
    }
}
