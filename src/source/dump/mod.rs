//! What mongodump wrote, as a source: its directory, or its archive, either of them gzipped or not.

mod archive;
mod crc;
mod directory;
mod error;
mod metadata;
mod scan;
#[cfg(test)]
mod tests;

use std::{fs::File, path::Path};

pub use error::DumpError;
pub use scan::{DumpBatch, DumpScan};

use self::{archive::Archive, directory::Files};
use super::mongo::Collection;

/// A dump, and what is in it. It is no point in time: mongodump reads one collection after
/// another.
pub struct Dump {
    collections: Vec<Dumped>,
    place: Place,
    /// `6.0.5`, if the dump tells.
    pub server_version: Option<String>,
    /// It has changes of the time of the dump (`mongodump --oplog`), which are not taken in.
    pub has_oplog: bool,
}

enum Place {
    Directory,
    Archive(Archive),
}

/// A collection of a dump.
#[derive(Debug, Clone)]
pub struct Dumped {
    pub collection: Collection,
    /// Of the documents, as far as it is known beforehand; of a gzipped file, as stored.
    pub bytes: u64,
    documents: Documents,
}

/// Where documents lie.
#[derive(Debug, Clone)]
enum Documents {
    None,
    File(std::path::PathBuf),
    /// Which namespace of the archive.
    Archived(usize),
}

impl Dump {
    /// Reads what there is: the names and metadata of all collections; of an archive, its whole
    /// length once.
    pub fn open(path: &Path) -> Result<Dump, DumpError> {
        let cannot = |source| DumpError::Read { path: path.to_owned(), source };
        let metadata = std::fs::metadata(path).map_err(cannot)?;
        let mut dump = if metadata.is_dir() {
            let Files { collections, server_version, has_oplog } = directory::read(path)?;
            Dump { collections, place: Place::Directory, server_version, has_oplog }
        } else {
            let file = File::open(path).map_err(cannot)?;
            let (archive, collections) = archive::read(path, file)?;
            let (server_version, has_oplog) = (archive.server_version.clone(), archive.has_oplog);
            Dump { collections, place: Place::Archive(archive), server_version, has_oplog }
        };
        if dump.collections.is_empty() {
            return Err(DumpError::NoDump { path: path.to_owned() });
        }
        dump.collections.sort_by(|a, b| a.collection.namespace.cmp(&b.collection.namespace));
        Ok(dump)
    }

    /// In the order of their names.
    pub fn collections(&self) -> &[Dumped] {
        &self.collections
    }

    /// The documents of one of its collections, as they lie.
    pub fn scan(&self, dumped: &Dumped) -> Result<DumpScan, DumpError> {
        match (&dumped.documents, &self.place) {
            (Documents::File(path), _) => DumpScan::of_file(path),
            (Documents::Archived(which), Place::Archive(archive)) => archive.scan(*which),
            _ => Ok(DumpScan::empty()),
        }
    }
}
