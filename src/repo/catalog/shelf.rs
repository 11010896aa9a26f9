//! The cache directory: which tables there are, and what they were made of.
//!
//! ```text
//! <cache>/<repository>/manifest     what belongs together; replaced whole, by rename
//!                      p-<lineage>  one row a pack; only grows, as far as the manifest counts
//!                      t-<n>        tables; written once, then only read or unlinked
//!                      lock         held while any of these is written
//! ```
//! All of it can be lost: it is then made again from the index segments.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use roaring::RoaringBitmap;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::entry::{self, PACK_BYTES, PackInfo, PackNumber};
use crate::id::SegmentId;

const VERSION: u32 = 1;
const MANIFEST: &str = "manifest";
const PACKS: &str = "p-";
const LOCK: &str = "lock";
const TABLE: &str = "t-";

/// What stands in the manifest, BLAKE3 of its bytes behind it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub version: u32,
    /// Numbers of packs mean the same as long as this is the same.
    pub lineage: [u8; 16],
    pub places: Vec<String>,
    pub deltas: Vec<String>,
    pub packs: u32,
    /// The next table's number.
    pub next_table: u64,
    pub segments: BTreeMap<SegmentId, Merged>,
    /// The packs whose rows are in the tables.
    #[serde(with = "bitmap_as_bytes")]
    pub filled: RoaringBitmap,
}

/// A segment whose rows are in the tables.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Merged {
    #[serde(with = "bitmap_as_bytes")]
    pub packs: RoaringBitmap,
    pub supersedes: Vec<SegmentId>,
}

mod bitmap_as_bytes {
    use roaring::RoaringBitmap;
    use serde::{Deserializer, Serializer, de::Error as _, ser::Error as _};

    pub fn serialize<S: Serializer>(map: &RoaringBitmap, to: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::with_capacity(map.serialized_size());
        map.serialize_into(&mut bytes).map_err(S::Error::custom)?;
        serde_bytes::serialize(&bytes, to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<RoaringBitmap, D::Error> {
        let bytes: serde_bytes::ByteBuf = serde_bytes::deserialize(from)?;
        RoaringBitmap::deserialize_from(&bytes[..]).map_err(D::Error::custom)
    }
}

/// The directory, shared with other processes or this one's alone.
pub(super) struct Shelf {
    dir: PathBuf,
    /// Removed with the process, when it is nobody else's.
    _own: Option<tempfile::TempDir>,
}

/// Held while the directory is written.
pub(super) struct Lock(#[expect(dead_code, reason = "the lock goes with the file")] File);

impl Shelf {
    /// Made if it is not there, for this user only. An error when it can't be read and written, as
    /// another user's can't.
    pub fn shared(dir: &Path) -> io::Result<Shelf> {
        let mut builder = fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(dir)?;
        let shelf = Shelf { dir: dir.to_owned(), _own: None };
        shelf.lock_file()?;
        match shelf.read_manifest() {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
            _ => Ok(shelf),
        }
    }

    pub fn temporary() -> io::Result<Shelf> {
        let own = tempfile::Builder::new().prefix("icecore-cache-").tempdir()?;
        Ok(Shelf { dir: own.path().to_owned(), _own: Some(own) })
    }

    pub fn is_shared(&self) -> bool {
        self._own.is_none()
    }

    /// `None`: another process is writing here now.
    pub fn lock(&self) -> io::Result<Option<Lock>> {
        let file = self.lock_file()?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn lock_file(&self) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).mode(0o600).open(self.dir.join(LOCK))
    }

    pub fn table(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub fn table_name(number: u64) -> String {
        format!("{TABLE}{number}")
    }

    fn packs(&self, lineage: &[u8; 16]) -> PathBuf {
        self.dir.join(format!("{PACKS}{}", hex::encode(lineage)))
    }

    /// What the directory says: `NotFound` when it says nothing, `InvalidData` when it is torn.
    pub fn read_manifest(&self) -> io::Result<Manifest> {
        let torn = || io::Error::from(io::ErrorKind::InvalidData);
        let mut bytes = Vec::new();
        File::open(self.dir.join(MANIFEST))?.read_to_end(&mut bytes)?;
        let (body, hash) = bytes.split_last_chunk::<32>().ok_or_else(torn)?;
        if blake3::hash(body) != *hash {
            return Err(torn());
        }
        let manifest: Manifest = rmp_serde::from_slice(body).map_err(|_| torn())?;
        if manifest.version != VERSION {
            return Err(torn());
        }
        Ok(manifest)
    }

    /// Durable on return, or as it was.
    pub fn write_manifest(&self, manifest: &mut Manifest) -> io::Result<()> {
        manifest.version = VERSION;
        let mut bytes = rmp_serde::to_vec(manifest).map_err(io::Error::other)?;
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
        file.write_all(&bytes)?;
        file.as_file().sync_data()?;
        file.persist(self.dir.join(MANIFEST)).map_err(|error| error.error)?;
        Ok(())
    }

    /// The packs from number `start` to `end`.
    pub fn read_packs(
        &self,
        lineage: &[u8; 16],
        start: PackNumber,
        end: PackNumber,
    ) -> io::Result<Vec<PackInfo>> {
        let count = end.checked_sub(start).ok_or(io::ErrorKind::InvalidData)? as usize;
        let file = File::open(self.packs(lineage))?;
        if file.metadata()?.len() < u64::from(end) * PACK_BYTES as u64 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut bytes = vec![0; count * PACK_BYTES];
        file.read_exact_at(&mut bytes, u64::from(start) * PACK_BYTES as u64)?;
        let packs = bytes.chunks_exact(PACK_BYTES).map(entry::decode_pack);
        packs.collect::<Option<_>>().ok_or(io::ErrorKind::InvalidData.into())
    }

    /// Puts these after the first `count` packs; what stood there was not counted by anyone.
    pub fn append_packs(
        &self,
        lineage: &[u8; 16],
        count: PackNumber,
        packs: &[PackInfo],
    ) -> io::Result<()> {
        if packs.is_empty() {
            return Ok(());
        }
        let bytes: Vec<u8> = packs.iter().flat_map(entry::encode_pack).collect();
        let path = self.packs(lineage);
        let options = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        options.write_all_at(&bytes, u64::from(count) * PACK_BYTES as u64)?;
        options.sync_data()
    }

    /// Unlinks tables that the manifest does not name: only under the lock.
    pub fn sweep(&self, manifest: &Manifest) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let named = entry.path() == self.packs(&manifest.lineage)
                || manifest.places.iter().chain(&manifest.deltas).any(|kept| kept == name);
            let ours = [TABLE, PACKS, ".tmp"].iter().any(|start| name.starts_with(start));
            if ours && !named {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{id::PackId, seal::PackSalt};

    fn pack(number: u8) -> PackInfo {
        PackInfo { id: PackId::new([number; 32]), salt: PackSalt([1; 32]), size_bytes: 7 }
    }

    #[test]
    fn a_manifest_comes_back_whole_or_not_at_all() {
        let shelf = Shelf::temporary().unwrap();
        assert_eq!(shelf.read_manifest().unwrap_err().kind(), io::ErrorKind::NotFound);
        let merged = Merged {
            packs: [1, 5, 70_000].into_iter().collect(),
            supersedes: vec![SegmentId::new([4; 32])],
        };
        let segments = BTreeMap::from([(SegmentId::new([3; 32]), merged)]);
        let mut manifest = Manifest { lineage: [9; 16], packs: 3, segments, ..Default::default() };
        shelf.write_manifest(&mut manifest).unwrap();
        let read = shelf.read_manifest().unwrap();
        assert_eq!((read.lineage, read.packs), ([9; 16], 3));
        assert_eq!(read.segments, manifest.segments);
        let whole = fs::read(shelf.dir.join(MANIFEST)).unwrap();
        for length in 0..whole.len() {
            fs::write(shelf.dir.join(MANIFEST), &whole[..length]).unwrap();
            assert_eq!(shelf.read_manifest().unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn packs_that_nobody_counted_are_written_over() {
        let shelf = Shelf::temporary().unwrap();
        shelf.append_packs(&[0; 16], 0, &[pack(0), pack(1), pack(2)]).unwrap();
        shelf.append_packs(&[0; 16], 2, &[pack(3)]).unwrap();
        assert_eq!(shelf.read_packs(&[0; 16], 1, 3).unwrap(), [pack(1), pack(3)]);
        assert!(shelf.read_packs(&[0; 16], 0, 4).is_err());
    }

    #[test]
    fn one_process_writes_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (Shelf::shared(dir.path()).unwrap(), Shelf::shared(dir.path()).unwrap());
        let lock = one.lock().unwrap();
        assert!(lock.is_some());
        assert!(other.lock().unwrap().is_none());
        drop(lock);
        assert!(other.lock().unwrap().is_some());
    }
}
