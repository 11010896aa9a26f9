//! Where plain bytes come from.

pub mod dump;
mod error;
pub mod files;
pub mod mongo;
pub mod sorter;
pub mod stream;

pub use error::{Error, Trouble};
