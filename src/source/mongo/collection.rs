//! One collection as the catalogue has it: all that a faithful restore needs besides documents.

use crate::document::namespace::Namespace;

/// The server's identity of a collection, which outlives its name.
pub type Uuid = [u8; 16];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Collection,
    /// Has no documents of its own.
    View,
    /// Its documents are the raw buckets.
    TimeSeries,
}

/// What orders the documents of a collection in its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    Id,
    /// The position in natural order: capped collections.
    Ordinal,
}

/// Raw documents are bytes as the server gave them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    pub namespace: Namespace,
    pub kind: Kind,
    /// None for a view; for a time series, of the collection of its buckets.
    pub uuid: Option<Uuid>,
    /// A raw document.
    pub options: Vec<u8>,
    /// A raw document; a view has none, nor has a collection clustered by `_id`.
    pub id_index: Option<Vec<u8>>,
    /// Raw documents, in the server's order. Those of a time series are in its own terms.
    pub indexes: Vec<Vec<u8>>,
    pub keys: Keys,
}

impl Collection {
    /// The collection whose documents are read for it.
    pub fn stored_in(&self) -> String {
        match self.kind {
            Kind::TimeSeries => format!("{BUCKETS}{}", self.namespace.collection),
            _ => self.namespace.collection.clone(),
        }
    }

    pub fn has_documents(&self) -> bool {
        self.kind != Kind::View
    }
}

/// A time series named X keeps its buckets in `system.buckets.X`.
pub(super) const BUCKETS: &str = "system.buckets.";
