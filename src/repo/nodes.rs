//! The nodes read or written last, plain, as many as a bound allows.

use std::sync::Mutex;

use bytes::Bytes;
use lru::LruCache;

use crate::id::BlobId;

/// What an entry takes beside its bytes.
const ENTRY_BYTES: usize = 128;

/// Shared by all readers and sessions of a repository.
pub(super) struct NodeCache {
    kept: Mutex<Kept>,
    max_bytes: usize,
}

struct Kept {
    nodes: LruCache<BlobId, Bytes>,
    bytes: usize,
}

impl NodeCache {
    pub fn new(max_bytes: usize) -> Self {
        NodeCache { kept: Mutex::new(Kept { nodes: LruCache::unbounded(), bytes: 0 }), max_bytes }
    }

    pub fn get(&self, id: &BlobId) -> Option<Bytes> {
        self.kept.lock().expect("nobody panics while holding it").nodes.get(id).cloned()
    }

    pub fn put(&self, id: BlobId, plain: Bytes) {
        if plain.len() > self.max_bytes / 4 {
            return;
        }
        let mut kept = self.kept.lock().expect("nobody panics while holding it");
        kept.bytes += plain.len() + ENTRY_BYTES;
        if let Some(old) = kept.nodes.put(id, plain) {
            kept.bytes -= old.len() + ENTRY_BYTES;
        }
        while kept.bytes > self.max_bytes {
            let Some((_, old)) = kept.nodes.pop_lru() else { break };
            kept.bytes -= old.len() + ENTRY_BYTES;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_used_last_are_kept_within_the_bound() {
        let cache = NodeCache::new(10_000);
        let id = |number: u8| BlobId::new([number; 32]);
        for number in 0..20 {
            cache.put(id(number), Bytes::from(vec![number; 1000]));
            cache.put(id(number), Bytes::from(vec![number; 1000]));
            assert!(cache.get(&id(0)).is_some(), "it is asked for again and again");
        }
        let kept = (0..20).filter(|number| cache.get(&id(*number)).is_some()).count();
        assert_eq!(kept, 10_000 / (1000 + ENTRY_BYTES));
        cache.put(id(99), Bytes::from(vec![0; 5000]));
        assert!(cache.get(&id(99)).is_none());
    }
}
