//! Craft: the records that lie in a repository, and their codecs.
//!
//! `docs/format.md` draws each of them. Records of people and sessions are MessagePack maps with
//! named fields, so that a reader skips what a later writer adds; tables of blobs, of which there
//! are millions of rows, are little-endian and as tight as they go.

pub mod catalogue;
pub mod config;
pub mod entry;
mod error;
pub mod gc;
pub mod index;
pub mod pack;
mod record;
mod row;
pub mod session;
pub mod slot;
pub mod snapshot;
mod wire;

pub use error::Error;
pub use record::{Record, open_record, seal_record};
