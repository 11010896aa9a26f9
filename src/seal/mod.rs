//! Craft: plain bytes to sealed bytes and back.
//!
//! `docs/format.md` describes every byte that comes out of here. Nothing in this room asks for
//! time or chance: salts and nonces are handed in.

mod aead;
mod blob;
mod control;
mod error;
mod keys;
mod memory;
mod scratch;
mod slot;
mod squeeze;

pub use aead::TAG_BYTES;
pub use blob::{Codec, Row, open_blob, open_blob_into, seal_blob, unseal_blob, verify_blob};
pub use control::{ControlKind, control_repo, open_control, open_table, seal_control, seal_table};
pub use error::Error;
pub use keys::{Keys, MasterKey, PackSalt};
pub use scratch::{ScratchKey, ScratchNumber};
pub use slot::{SlotHeader, SlotParams, slot_header, unwrap_master, wrap_master};
pub use squeeze::{Compression, Squeezer, with_squeezer};

/// The version of everything sealed here, bound into each seal.
pub const FORMAT_VERSION: u16 = 1;
