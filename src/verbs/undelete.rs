//! Undelete: a forgotten snapshot comes back under a new name.

use super::reach::Trees;
use crate::{
    id::Sid,
    repo::{Kept, Repository, collect},
};

/// Commits the forgotten snapshot again. What a prune is about to take is stored anew; when it has
/// taken something already, this is an error.
pub fn undelete(repository: &Repository, forgotten: &Kept) -> Result<Sid, collect::Error> {
    let reader = repository.reader()?;
    collect::undelete(repository, &Trees(&reader), forgotten.sid, &forgotten.snapshot)
}
