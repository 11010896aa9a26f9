//! The craft on BSON as bytes: walking, keys, the server's order, changes; nothing is decoded.
//!
//! A document passes as `&[u8]` and leaves as bytes, so that what no decoder keeps (the order of
//! fields, names that are empty, doubled or not UTF-8, a NaN's payload) survives every road.

pub mod extjson;
pub mod fields;
pub mod kind;
pub mod namespace;
pub mod query;
pub mod typed_id;

mod diff;
mod key;
mod modifiers;
mod number;
mod order;
mod owned;
mod raw;
mod writer;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use self::{
    diff::{DiffError, apply_diff},
    key::{id_key, id_key_into},
    modifiers::apply_modifiers,
    order::compare,
    owned::OwnedValue,
    raw::{Element, Elements, Malformed, check, elements, get},
    writer::{ArrayWriter, Writer},
};
