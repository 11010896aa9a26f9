//! The master key, and the keys for each purpose that come from it.

use zeroize::{Zeroize, Zeroizing};

use crate::id::{BlobId, BlobKind, RepoId};

/// 32 random bytes from which everything else is derived. Whoever has them reads everything.
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    pub fn new(bytes: [u8; 32]) -> Self {
        MasterKey(Zeroizing::new(bytes))
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Drawn anew for each pack, stored in clear: no two packs share a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct PackSalt(pub [u8; 32]);

/// One key a purpose, so that no bytes made for one mean anything for another.
pub struct Keys {
    repo: RepoId,
    id: [u8; 32],
    chunker: [u8; 32],
    splitter: [u8; 32],
    salt: [u8; 32],
    pub(super) data: [u8; 32],
    pub(super) node: [u8; 32],
    pub(super) index: [u8; 32],
    pub(super) control: [u8; 32],
    pub(super) config: [u8; 32],
}

impl Keys {
    pub fn derive(master: &MasterKey, repo: &RepoId) -> Keys {
        let mut material = Zeroizing::new([0; 48]);
        material[..32].copy_from_slice(master.bytes());
        material[32..].copy_from_slice(&repo.0);
        let sub = |context| blake3::derive_key(context, &*material);
        let node = sub("icecore v1 node");
        Keys {
            repo: *repo,
            id: sub("icecore v1 id"),
            chunker: sub("icecore v1 chunker"),
            splitter: blake3::derive_key("icecore v1 splitter", &node),
            salt: sub("icecore v1 salt"),
            data: sub("icecore v1 data"),
            node,
            index: sub("icecore v1 index"),
            control: sub("icecore v1 control"),
            config: sub("icecore v1 config"),
        }
    }

    pub fn repo_id(&self) -> &RepoId {
        &self.repo
    }

    /// The name of these bytes as a blob of this kind: the same for the same bytes, in this
    /// repository only.
    pub fn blob_id(&self, kind: BlobKind, plain: &[u8]) -> BlobId {
        let mut hasher = blake3::Hasher::new_keyed(&self.id);
        hasher.update(&[kind as u8]);
        hasher.update(plain);
        BlobId::new(*hasher.finalize().as_bytes())
    }

    /// Keys the table by which content is cut into chunks.
    pub fn chunker_secret(&self) -> &[u8; 32] {
        &self.chunker
    }

    /// Keys the hash by which trees are cut into nodes.
    pub fn splitter_secret(&self) -> [u8; 32] {
        self.splitter
    }

    /// A pack's salt from fresh random bytes, so that the store never sees the generator's own.
    pub fn pack_salt(&self, random: [u8; 32]) -> PackSalt {
        PackSalt(*blake3::keyed_hash(&self.salt, &random).as_bytes())
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        for key in [
            &mut self.id,
            &mut self.chunker,
            &mut self.splitter,
            &mut self.salt,
            &mut self.data,
            &mut self.node,
            &mut self.index,
            &mut self.control,
            &mut self.config,
        ] {
            key.zeroize();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_purpose_and_every_repository_has_its_own_key() {
        let master = || MasterKey::new([1; 32]);
        let mut seen = HashSet::new();
        for repo in [RepoId([2; 16]), RepoId([3; 16])] {
            let keys = Keys::derive(&master(), &repo);
            for key in [
                keys.id,
                keys.chunker,
                keys.splitter,
                keys.salt,
                keys.data,
                keys.node,
                keys.index,
                keys.control,
                keys.config,
            ] {
                assert!(seen.insert(key));
            }
        }
    }

    #[test]
    fn a_chunk_and_a_node_of_the_same_bytes_have_different_names() {
        let keys = Keys::derive(&MasterKey::new([1; 32]), &RepoId([2; 16]));
        assert_ne!(keys.blob_id(BlobKind::Chunk, b"x"), keys.blob_id(BlobKind::Node, b"x"));
    }

    // Written out from DESIGN.md 5, with nothing of this file's but the master key.
    #[test]
    fn names_follow_the_published_derivation() {
        let keys = Keys::derive(&MasterKey::new([7; 32]), &RepoId([9; 16]));
        let material = [[7; 32].as_slice(), &[9; 16]].concat();
        let sub = blake3::derive_key("icecore v1 id", &material);
        let id = blake3::keyed_hash(&sub, b"\x01some node");
        assert_eq!(keys.blob_id(BlobKind::Node, b"some node").bytes(), id.as_bytes());
    }
}
