//! Files and directories: a walk in key order, and what is asked of each thing that it finds.
//!
//! Nothing follows a symbolic link, except those that stand above the roots that were asked for.
//! Everything is opened relative to the directory it was found in, so paths may be of any length.

mod attributes;
mod content;
mod dir;
mod excludes;
mod found;
mod frame;
mod list;
mod names;
mod roots;
mod tag;
mod walk;
mod window;

#[cfg(test)]
mod tests;

pub use content::{Content, Got};
pub use excludes::{Excludes, at_any_depth, line_of, patterns_in};
pub use found::Found;
pub use list::{Separator, paths_in};
pub use names::Names;
pub use tag::Tag;
pub use walk::{Walk, WalkOptions};
