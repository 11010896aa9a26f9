//! Ordered maps of blobs: build, merge, walk, diff.

mod build;
pub mod content;
mod cursor;
mod diff;
mod error;
mod iter;
mod merge;
mod node;
mod range;
mod rebuild;
mod splitter;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod value;
mod varint;
mod walk;

pub use diff::{Change, Diff, diff};
pub use error::{Error, Fault};
pub use iter::{Iter, Totals, get, iter, totals};
pub use merge::Merger;
pub use range::KeyRange;
pub use rebuild::{Compared, Rebuilder};
pub use splitter::{Aims, BadAims, Bounds, Splitter};
pub use value::{Piece, Pieces, Root, Value};
pub use walk::{walk, walk_past};
