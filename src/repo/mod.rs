//! The repository: sessions, the catalog of blobs, reading, writing and collecting.

mod blobs;
pub mod catalog;
pub mod delta;

pub use blobs::{Like, ReadBlobs, WriteBlobs, Written};
