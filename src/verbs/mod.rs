//! What one can ask of a repository: one file a verb.

mod again;
pub mod backup;
pub mod cat;
pub mod diff;
pub mod entries;
mod error;
pub mod find;
pub mod forget;
pub mod mount;
pub mod restore;
pub mod select;
pub mod tag;
pub mod undelete;

pub use error::Error;
