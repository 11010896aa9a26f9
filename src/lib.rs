//! A snapshot repository: deduplicated, encrypted, content-addressed, for files and MongoDB.
//!
//! `docs/architecture.md` tells the road a byte takes and the rooms it passes.

#![deny(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used))]

pub mod ambient;
pub mod buffers;
pub mod id;
pub mod limits;
pub mod progress;

pub mod chunk;
pub mod document;
pub mod format;
pub mod mongo;
pub mod seal;

pub mod sink;
pub mod source;
pub mod store;

pub mod repo;
pub mod tree;

pub mod verbs;
