//! What one can ask of a repository: one file a verb.

pub mod forget;
pub mod mount;
pub mod restore;
