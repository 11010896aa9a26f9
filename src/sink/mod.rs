//! Where plain bytes go back.

mod dir;
mod draft;
pub mod dump;
mod error;
mod meta;
pub mod mongo;
mod place;
mod target;

pub use dir::{Dir, Found, FoundKind, Node};
pub use draft::Draft;
pub use error::Error;
pub use meta::{Meta, Unset, What, Xattr};
pub use place::{Name, Place};
pub use target::{Resolve, Target, TargetOptions, Trail};
