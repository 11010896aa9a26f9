//! What a backup would read and store, found out by looking only.

use super::{
    Counts, Error as Failure,
    previous::shown,
    run::{files_root, find_parent, shown_path_list},
};
use crate::{
    format::{entry::StatKey, snapshot::Summary},
    id::Sid,
    progress::{Action, Progress},
    repo::{Error as RepoError, Repository},
    source::files::{Walk, WalkOptions},
    tree::{self, KeyRange},
};

type Error = Failure<RepoError>;

/// What a backup would do now.
#[derive(Debug, Clone)]
pub struct Plan {
    pub parent: Option<Sid>,
    /// What it would say of files and directories; nothing is known of data before it is read.
    pub summary: Summary,
    /// Of files that are new or changed.
    pub bytes_to_read: u64,
}

/// Walks the source and the previous tree side by side. Writes nothing, reads no file.
pub fn plan(
    repo: &Repository,
    paths: Vec<Vec<u8>>,
    options: WalkOptions,
    host: &str,
    force: bool,
    progress: &Progress,
) -> Result<Plan, Error> {
    let now = repo.ambient().clock.now();
    let parent = find_parent(repo, host, &shown_path_list(&paths), progress)?;
    let reader = repo.reader().map_err(Error::Repo)?;
    let old = parent.as_ref().and_then(|parent| files_root(&parent.snapshot));
    let mut known = old.map(|root| tree::iter(&reader, &root, KeyRange::all()).peekable());
    let mut walk = Walk::new(paths, options).map_err(Error::Source)?;
    let (mut counts, mut bytes_to_read) = (Counts::default(), 0);
    progress.phase("plan");
    for found in &mut walk {
        if progress.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let found = match found {
            Ok(found) => found,
            Err(trouble) => {
                progress.trouble(trouble.into());
                continue;
            }
        };
        let stat = &found.stat;
        let before = match &mut known {
            Some(known) => look_up(known, &found.key)?,
            None => None,
        };
        // As a backup judges and counts.
        let bytes = if found.is_file() { stat.size } else { 0 };
        let now = StatKey::of(stat);
        let is_same = before.is_some_and(|before| match found.passage {
            true => before.is_same_but_for_content(&now),
            false => before == now,
        });
        let action = match (is_same && !force, before, found.is_file()) {
            (true, ..) => Action::Unchanged,
            (false, None, _) => Action::New,
            (false, Some(_), true) => Action::Modified,
            (false, Some(_), false) => Action::Metadata,
        };
        progress.item(action, bytes, || shown(&found.key));
        if is_same && !force {
            counts.unmodified(stat.file_type, bytes);
        } else {
            counts.fresh(stat.file_type, bytes, before.is_some());
            bytes_to_read += bytes;
        }
        progress.done(1, bytes);
    }
    if walk.roots_found() == 0 {
        return Err(Error::NoSource);
    }
    let summary = Summary { backup_start: now, backup_end: now, ..counts.summary() };
    Ok(Plan { parent: parent.map(|parent| parent.sid), summary, bytes_to_read })
}

type Known<'a, R> = std::iter::Peekable<tree::Iter<'a, R>>;

/// What was known of `key`; everything below it is passed.
fn look_up<R: crate::repo::ReadBlobs<Error = RepoError>>(
    known: &mut Known<'_, R>,
    key: &[u8],
) -> Result<Option<StatKey>, Error> {
    loop {
        match known.peek() {
            Some(Ok((at, _))) if &at[..] > key => return Ok(None),
            None => return Ok(None),
            _ => {}
        }
        let Some(entry) = known.next() else { return Ok(None) };
        let (at, value) = entry?;
        if at == key {
            let stat = StatKey::decode(&value.head);
            return stat.map(Some).map_err(|source| Error::Entry { path: shown(key), source });
        }
    }
}
