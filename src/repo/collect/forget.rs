//! Snapshots that are to go, and those that are to come back.

use super::{Error, Ground, Reach};
use crate::{
    format::{
        gc::Tombstone,
        snapshot::{NamedRoot, Snapshot},
    },
    id::{BlobId, BlobKind, Sid},
    repo::{self, ReadBlobs, Repository, Reuse, Session, SessionOptions, WriteBlobs, layout},
};

/// How often to begin again when collectors give the session up.
const TRIES: usize = 3;

/// Puts a tombstone for each. Nothing is deleted: the snapshot can come back until the undelete
/// window is over and a prune has run.
pub fn forget(ground: &Ground, sids: &[Sid], reason: &str) -> Result<(), Error> {
    let ambient = ground.ambient;
    for sid in sids {
        let tombstone = Tombstone {
            snapshot: *sid,
            actor: format!("{}@{}", ambient.user, ambient.host),
            reason: reason.to_owned(),
            time: ambient.clock.now(),
        };
        ground.put(&layout::tombstone(sid, ambient.random()), &tombstone)?;
    }
    Ok(())
}

/// Commits `snapshot`, whose trees are those of `from`, under a new sid. `from` may be forgotten.
pub fn commit_again(
    repo: &Repository,
    reach: &dyn Reach,
    from: Sid,
    snapshot: &Snapshot,
) -> Result<Sid, Error> {
    let mut tried = 0;
    loop {
        let session = begin_from(repo, reach, from, &snapshot.roots)?;
        match session.commit(snapshot.clone()) {
            Err(repo::Error::Fenced { .. }) if tried < TRIES => tried += 1,
            committed => return Ok(committed?),
        }
    }
}

/// Begins a session that may name all that `roots`, the trees of `from`, lead to.
pub fn begin_from(
    repo: &Repository,
    reach: &dyn Reach,
    from: Sid,
    roots: &[NamedRoot],
) -> Result<Session, Error> {
    let session = repo.begin(SessionOptions { parents: vec![from] })?;
    if session.reuse() == Reuse::Free {
        return Ok(session);
    }
    let mut missing: Vec<(BlobKind, BlobId)> = Vec::new();
    for root in roots {
        let mut seen = hashbrown::HashSet::new();
        let mut visit = |kind, id: &BlobId| {
            let new = seen.insert(*id);
            if new && !session.depend(id) {
                missing.push((kind, *id));
            }
            new && kind == BlobKind::Node
        };
        let walked = reach.reachable(root, &mut visit);
        walked.map_err(|source| Error::Walk { snapshot: from, source })?;
    }
    // These lie in packs that are about to go: they are put again.
    for (kind, id) in missing {
        let plain = session.read(kind, &id)?;
        session.write(kind, &plain, None)?;
    }
    Ok(session)
}

/// Brings a forgotten snapshot back under a new sid.
pub fn undelete(
    repo: &Repository,
    reach: &dyn Reach,
    sid: Sid,
    snapshot: &Snapshot,
) -> Result<Sid, Error> {
    let original = snapshot.original.or(Some(sid));
    commit_again(repo, reach, sid, &Snapshot { original, ..snapshot.clone() })
}

/// Replaces a snapshot by one with other words about the same trees (tags, host, time): a new
/// commit, then a tombstone for the old one.
pub fn replace(
    repo: &Repository,
    reach: &dyn Reach,
    sid: Sid,
    changed: &Snapshot,
    reason: &str,
) -> Result<Sid, Error> {
    let original = changed.original.or(Some(sid));
    let new = commit_again(repo, reach, sid, &Snapshot { original, ..changed.clone() })?;
    forget(&Ground::of(repo), &[sid], reason)?;
    Ok(new)
}
