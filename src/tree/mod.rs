//! Ordered maps of blobs: build, merge, walk, diff.

mod value;

pub use value::{Piece, Pieces, Root, Value};
