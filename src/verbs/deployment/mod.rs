//! What a snapshot holds of a deployment: its collections, and the documents in them.
//!
//! But for `live`, everything here reads the repository alone; no server is needed, none is asked.

mod catalogue;
pub mod diff;
mod documents;
mod live;

pub(crate) use catalogue::root_named;
pub use catalogue::{
    Collection, Found, catalogue_root, collection, collections, databases, resolve,
};
pub(crate) use documents::holding_id;
pub use documents::{
    Bounds, Document, Documents, by_id, content, document_bytes, documents, id_text,
    needed_collection,
};
pub use live::{LiveError, diff_live};
