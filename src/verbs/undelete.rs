//! Undelete: a forgotten snapshot comes back under a new name.

use super::again::{self, commit_again};
use crate::{
    id::Sid,
    repo::{Kept, Repository},
};

/// Commits the forgotten snapshot again. Possible as long as its data is there: refused when a
/// prune is just about to take it.
pub fn undelete(repository: &Repository, forgotten: &Kept) -> Result<Sid, again::Error> {
    commit_again(repository, forgotten, |_| {})
}
