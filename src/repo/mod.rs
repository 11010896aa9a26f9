//! The repository: sessions, the catalog of blobs, reading, writing and collecting.

mod ahead;
mod blobs;
pub mod catalog;
pub mod collect;
mod damage;
pub mod delta;
mod error;
mod keys;
pub mod layout;
mod nodes;
mod objects;
mod reader;
mod refresh;
mod repository;
mod session;
mod snapshots;

pub use blobs::{Like, ReadBlobs, WriteBlobs, Written};
pub use damage::KnownDamage;
pub use error::Error;
pub use keys::KeyInfo;
pub use reader::Reader;
pub use repository::{Damage, InitOptions, OpenOptions, PROGRAM, Repository};
pub use session::{Reuse, Session, SessionOptions, SessionStats};
pub use snapshots::{Kept, Survey};
