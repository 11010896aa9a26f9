//! An archive as `mongodump --archive` makes it: blocks of documents, of several collections by
//! turns.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use super::{
    Documents, DumpError, Dumped, metadata,
    scan::{self, DumpScan, Expected, read_document},
};
use crate::{
    document::{Element, get, namespace::Namespace},
    source::mongo::Kind,
};

const MAGIC: u32 = 0x8199_e26d;
/// What ends the prelude and each block, where a document's length might stand.
const END: [u8; 4] = [0xff; 4];
const BUCKETS: &str = "system.buckets.";

pub struct Archive {
    path: PathBuf,
    is_gzip: bool,
    namespaces: Vec<Stretch>,
    pub server_version: Option<String>,
    pub has_oplog: bool,
}

/// Where the documents of a collection lie.
#[derive(Debug, Clone)]
struct Stretch {
    db: String,
    collection: String,
    /// Offsets in the archive, of a gzipped one in what was gzipped.
    blocks: Vec<(u64, u64)>,
    crc: Option<u64>,
    /// The block that ends it was read.
    is_whole: bool,
}

/// Reads the archive from its beginning to its end: where things are is told nowhere.
pub fn read(path: &Path, mut file: File) -> Result<(Archive, Vec<Dumped>), DumpError> {
    let cannot = |source: io::Error| match source.kind() {
        io::ErrorKind::UnexpectedEof => DumpError::Cut { path: path.to_owned() },
        io::ErrorKind::InvalidData => DumpError::NoArchive { path: path.to_owned() },
        _ => DumpError::Read { path: path.to_owned(), source },
    };
    let is_gzip = scan::is_gzip(&mut file).map_err(cannot)?;
    drop(file);
    let source = scan::open(path).map_err(cannot)?;
    let mut reader = Reader { source: BufReader::new(source), at: 0 };
    let mut magic = [0; 4];
    reader.exact(&mut magic).map_err(cannot)?;
    if u32::from_le_bytes(magic) != MAGIC {
        return Err(DumpError::NoArchive { path: path.to_owned() });
    }
    let header = reader.document().map_err(cannot)?.ok_or_else(|| no_archive(path))?;
    let mut archive = Archive {
        path: path.to_owned(),
        is_gzip,
        namespaces: Vec::new(),
        server_version: text(&header, "server_version"),
        has_oplog: false,
    };
    let mut told = Vec::new();
    while let Some(document) = reader.document().map_err(cannot)? {
        told.push(document);
    }
    while reader.has_more().map_err(cannot)? {
        archive.block(&mut reader).map_err(cannot)?;
    }
    let collections = archive.collections(&told)?;
    Ok((archive, collections))
}

fn no_archive(path: &Path) -> DumpError {
    DumpError::NoArchive { path: path.to_owned() }
}

fn text(document: &[u8], name: &str) -> Option<String> {
    let found: Option<Element<'_>> = get(document, name.as_bytes()).ok().flatten();
    String::from_utf8(found?.as_str()?.to_vec()).ok()
}

impl Archive {
    fn block(&mut self, reader: &mut Reader) -> io::Result<()> {
        let bad = || io::Error::from(io::ErrorKind::InvalidData);
        let header = reader.document()?.ok_or_else(bad)?;
        let (db, collection) =
            text(&header, "db").zip(text(&header, "collection")).ok_or_else(bad)?;
        let is_end = get(&header, b"EOF").ok().flatten().and_then(|e| e.as_bool()) == Some(true);
        let crc = get(&header, b"CRC").ok().flatten().and_then(|crc| crc.as_i64());
        let start = reader.at;
        while reader.document()?.is_some() {}
        let block = (start, reader.at - END.len() as u64 - start);
        let known = self.namespaces.iter().position(|n| n.db == db && n.collection == collection);
        let place = known.unwrap_or_else(|| {
            let (blocks, crc, is_whole) = (Vec::new(), None, false);
            self.namespaces.push(Stretch { db, collection, blocks, crc, is_whole });
            self.namespaces.len() - 1
        });
        let stretch = &mut self.namespaces[place];
        if block.1 > 0 {
            stretch.blocks.push(block);
        }
        if is_end {
            stretch.crc = crc.map(i64::cast_unsigned);
            stretch.is_whole = true;
        }
        Ok(())
    }

    /// By the metadata that stand at the beginning. Each collection, an empty one as well, has a
    /// block that ends it; views have none.
    fn collections(&mut self, told: &[Vec<u8>]) -> Result<Vec<Dumped>, DumpError> {
        let cut = || DumpError::Cut { path: self.path.clone() };
        if !self.namespaces.iter().all(|stretch| stretch.is_whole) {
            return Err(cut());
        }
        self.has_oplog = self.namespaces.iter().any(|n| n.db.is_empty());
        let mut found = Vec::new();
        for document in told {
            let names = text(document, "db").zip(text(document, "collection"));
            let (db, name) = names.ok_or_else(|| no_archive(&self.path))?;
            if db.is_empty() || !super::directory::is_collection(&name) {
                continue;
            }
            let plain = name.strip_prefix(BUCKETS).unwrap_or(&name);
            let metadata = text(document, "metadata").filter(|text| !text.is_empty());
            let namespace = Namespace::new(&db, plain);
            let collection = metadata::collection(&self.path, namespace, metadata.as_deref())?;
            let buckets = format!("{BUCKETS}{plain}");
            let is_it =
                |n: &Stretch| n.db == db && (n.collection == name || n.collection == buckets);
            let place = self.namespaces.iter().position(is_it);
            if place.is_none() && collection.kind != Kind::View {
                return Err(cut());
            }
            let bytes = place.map_or(0, |place| {
                self.namespaces[place].blocks.iter().map(|(_, length)| length).sum()
            });
            let documents = place.map_or(Documents::None, Documents::Archived);
            found.push(Dumped { collection, bytes, documents });
        }
        Ok(found)
    }

    /// The documents of one namespace. A gzipped archive is unpacked from its beginning for it.
    pub fn scan(&self, which: usize) -> Result<DumpScan, DumpError> {
        let cannot = |source| DumpError::Read { path: self.path.clone(), source };
        let Stretch { db, collection, blocks, crc, .. } = &self.namespaces[which];
        let source: Box<dyn Read + Send> = if self.is_gzip {
            let source = scan::open(&self.path).map_err(cannot)?;
            Box::new(Blocks {
                source: Skipping { source, at: 0 },
                blocks: blocks.clone(),
                next: 0,
                left: 0,
            })
        } else {
            let source = BufReader::with_capacity(1 << 20, File::open(&self.path).map_err(cannot)?);
            Box::new(Blocks { source, blocks: blocks.clone(), next: 0, left: 0 })
        };
        let expected = Expected { namespace: format!("{db}.{collection}"), crc: *crc };
        Ok(DumpScan::of_archive(&self.path, source, expected))
    }
}

/// Reads documents and counts bytes.
struct Reader {
    source: BufReader<Box<dyn Read + Send>>,
    at: u64,
}

impl Reader {
    fn exact(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.source.read_exact(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// `None`: the end of what documents these are.
    fn document(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut length = [0; 4];
        self.exact(&mut length)?;
        if length == END {
            return Ok(None);
        }
        let mut document = Vec::new();
        let mut source = length.chain(&mut self.source);
        if !read_document(&mut source, &mut document)? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += document.len() as u64 - 4;
        Ok(Some(document))
    }

    fn has_more(&mut self) -> io::Result<bool> {
        Ok(!self.source.fill_buf()?.is_empty())
    }
}

/// Moves to a place further on.
trait Forward: Read {
    fn forward(&mut self, to: u64) -> io::Result<()>;
}

impl Forward for BufReader<File> {
    fn forward(&mut self, to: u64) -> io::Result<()> {
        self.seek(SeekFrom::Start(to)).map(drop)
    }
}

/// What can't seek reads on.
struct Skipping {
    source: Box<dyn Read + Send>,
    at: u64,
}

impl Read for Skipping {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(bytes)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Forward for Skipping {
    fn forward(&mut self, to: u64) -> io::Result<()> {
        let left = to - self.at;
        if io::copy(&mut self.take(left), &mut io::sink())? < left {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

/// Some stretches of a source as one.
struct Blocks<S> {
    source: S,
    blocks: Vec<(u64, u64)>,
    next: usize,
    left: u64,
}

impl<S: Forward> Read for Blocks<S> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        while self.left == 0 {
            let Some((at, length)) = self.blocks.get(self.next) else { return Ok(0) };
            self.source.forward(*at)?;
            self.left = *length;
            self.next += 1;
        }
        let wanted = (bytes.len() as u64).min(self.left) as usize;
        let read = self.source.read(&mut bytes[..wanted])?;
        if read == 0 && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read as u64;
        Ok(read)
    }
}
