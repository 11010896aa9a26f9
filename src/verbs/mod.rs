//! What one can ask of a repository: one file a verb.

pub mod address;
pub mod backup;
pub mod cat;
pub mod check;
mod check_documents;
pub mod deployment;
pub mod diff;
pub mod dump;
pub mod entries;
mod error;
pub mod find;
pub mod forget;
pub mod history;
pub mod mount;
pub mod prune;
mod reach;
pub mod restore;
pub mod restore_mongodb;
pub mod select;
pub mod stats;
pub mod tag;
pub mod undelete;

pub use error::{Error, Lost};
