//! The catalogue of a deployment: what the previous one said, and the new one.

use std::collections::{HashMap, HashSet};

use super::{Error, Ground, plant::Planted};
use crate::{
    document::namespace::Namespace,
    format::catalogue::{CollectionKind, CollectionRecord, DocumentKeys},
    repo::{ReadBlobs, WriteBlobs},
    source::mongo::{Collection, Keys, Kind},
    tree::{self, KeyRange, Pieces, Rebuilder, Root, Value},
};

/// The collections of the previous snapshot, by the keys of the catalogue.
pub(super) struct Previous {
    trees: HashMap<Vec<u8>, Option<Root>>,
    keys: HashMap<[u8; 16], Vec<u8>>,
}

impl Previous {
    pub fn read<R: ReadBlobs>(blobs: &R, root: Option<Root>) -> Result<Self, Error<R::Error>> {
        let (mut trees, mut keys) = (HashMap::new(), HashMap::new());
        let Some(root) = root else { return Ok(Previous { trees, keys }) };
        for entry in tree::iter(blobs, &root, KeyRange::all()) {
            let (key, value) = entry?;
            let record = CollectionRecord::decode(&value.head).map_err(|source| {
                let namespace = key.escape_ascii().to_string();
                Error::Record { namespace, source }
            })?;
            let tree = match value.pieces {
                Pieces::Map(root) => Some(root),
                _ => None,
            };
            keys.extend(record.uuid.map(|uuid| (uuid, key.to_vec())));
            trees.insert(key.to_vec(), tree);
        }
        Ok(Previous { trees, keys })
    }

    /// The tree that the collection of this name had; failing that, the same collection under
    /// another name.
    pub fn tree_of(&self, collection: &Collection) -> Option<Root> {
        *self.trees.get(&self.key_of(collection)?)?
    }

    fn key_of(&self, collection: &Collection) -> Option<Vec<u8>> {
        let key = collection.namespace.key();
        if self.trees.contains_key(&key) {
            return Some(key);
        }
        self.keys.get(&collection.uuid?).cloned()
    }

    /// Documents of collections that `catalogue` has no more.
    pub fn documents_gone(&self, catalogue: &[Collection]) -> u64 {
        let kept: HashSet<_> = catalogue.iter().filter_map(|one| self.key_of(one)).collect();
        let gone = self.trees.iter().filter(|(key, _)| !kept.contains(*key));
        gone.filter_map(|(_, tree)| Some(tree.as_ref()?.entries)).sum()
    }
}

/// Writes the catalogue; collections come in the order of their keys.
pub(super) struct Catalogue<'a, W: WriteBlobs> {
    rebuilder: Rebuilder<'a, W>,
}

impl<'a, W: WriteBlobs> Catalogue<'a, W> {
    pub fn new(ground: &Ground<'a, W>, old: Option<Root>) -> Self {
        Catalogue { rebuilder: Rebuilder::new(ground.writer, ground.splitter, old) }
    }

    pub fn put(
        &mut self,
        collection: &Collection,
        planted: Option<&Planted>,
    ) -> Result<(), Error<W::Error>> {
        let record = CollectionRecord {
            kind: match collection.kind {
                Kind::Collection => CollectionKind::Collection,
                Kind::View => CollectionKind::View,
                Kind::TimeSeries => CollectionKind::TimeSeries,
            },
            uuid: collection.uuid,
            options: collection.options.clone(),
            id_index: collection.id_index.clone(),
            indexes: collection.indexes.clone(),
            keys: document_keys(collection.keys),
            count: planted.map_or(0, |planted| planted.root.entries),
            bytes: planted.map_or(0, |planted| planted.bytes),
        };
        let pieces = planted.map_or(Pieces::None, |planted| Pieces::Map(planted.root));
        let value = Value { head: record.encode().into(), pieces };
        Ok(self.rebuilder.put(&collection.namespace.key(), &value)?)
    }

    pub fn finish(self) -> Result<Root, Error<W::Error>> {
        Ok(self.rebuilder.finish()?.0)
    }
}

pub(super) fn document_keys(keys: Keys) -> DocumentKeys {
    match keys {
        Keys::Id => DocumentKeys::Id,
        Keys::Ordinal => DocumentKeys::Ordinal,
    }
}

/// What a collection is known by between its scan and the end of the capture.
pub(super) fn identity(uuid: Option<[u8; 16]>, namespace: &Namespace) -> Vec<u8> {
    uuid.map_or_else(|| namespace.key(), Vec::from)
}
