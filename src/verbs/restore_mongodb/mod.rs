//! Restore of collections: what a snapshot holds of a deployment, into a live server.
//!
//! `prepare` compares and shows what would be done, `Prepared::carry_out` does exactly that. What
//! it will touch is recorded first, in a snapshot that `icecore undo` brings back.

mod apply;
mod authority;
mod capped;
mod choose;
mod data;
mod documents;
mod error;
mod job;
mod known;
mod live;
mod losses;
mod pairs;
mod prepare;
mod record;
mod steps;
mod strategy;
mod tally;
mod touched;
pub mod undo;
mod verify;
mod weigh;
mod which;

use std::path::PathBuf;

use crate::{
    document::namespace::{Patterns, Renames},
    progress::Progress,
};

pub use choose::{Scope, scope_of};
pub use documents::Matches;
pub use error::Error;
pub use prepare::{Prepared, prepare};
pub use record::{UNDO_ROOT, UNDO_TAG};
pub use strategy::{Conflict, Strategy, Winner};
pub use tally::{
    Check, CollectionOutcome, CollectionPlan, Counts, Digest, Fate, Outcome, Plan, Sample,
};

/// What to restore, and what to do about what is there.
pub struct Options {
    pub scope: Scope,
    /// Empty: all.
    pub include: Patterns,
    pub exclude: Patterns,
    pub renames: Renames,
    /// Everything into this database, which the connection string named.
    pub into_database: Option<String>,
    /// Only documents that it says yes to.
    pub matches: Option<Matches>,
    pub strategy: Strategy,
    /// Collections that are there are dropped first.
    pub drop: bool,
    pub users_and_roles: bool,
    /// Record what will be touched. Without it nothing can be brought back.
    pub undo: bool,
    /// Find out, and write nothing anywhere.
    pub dry_run: bool,
    pub threads: usize,
    /// Where what does not fit into memory is sorted, sealed.
    pub spill_dir: PathBuf,
}

impl Options {
    /// Only some documents of a collection are wanted.
    fn is_part(&self) -> bool {
        self.matches.is_some() || !self.scope.ids.is_empty()
    }
}

/// Whether somebody asked to stop.
pub(super) fn go_on(progress: &Progress) -> Result<(), Error> {
    if progress.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
}
