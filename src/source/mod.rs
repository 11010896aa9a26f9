//! Where plain bytes come from.

mod error;
pub mod files;
pub mod mongo;
pub mod sorter;
pub mod stream;

pub use error::{Error, Trouble};
