//! The documents of one collection of a dump, in batches.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;

use super::{DumpError, crc::Crc};
use crate::{document, limits::DOCUMENT_MAX_BYTES};

/// A batch ends when it has grown to this.
const BATCH_BYTES: usize = 4 << 20;

/// Some documents as they lie.
#[derive(Debug, Default)]
pub struct DumpBatch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl DumpBatch {
    pub fn documents(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| &self.bytes[std::mem::replace(&mut start, *end)..*end])
    }

    pub fn len(&self) -> u64 {
        self.ends.len() as u64
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }
}

/// What the documents of an archive's namespace must be in the end.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    pub namespace: String,
    pub crc: Option<u64>,
}

/// Gives batches until the documents are at their end. After an error it is at its end.
pub struct DumpScan {
    path: PathBuf,
    source: Option<Box<dyn Read + Send>>,
    /// So far.
    at: u64,
    crc: Crc,
    expected: Option<Expected>,
}

impl DumpScan {
    pub(super) fn empty() -> Self {
        DumpScan { path: PathBuf::new(), source: None, at: 0, crc: Crc::new(), expected: None }
    }

    pub(super) fn of_file(path: &Path) -> Result<Self, DumpError> {
        let source = open(path).map_err(|source| DumpError::Read { path: path.into(), source })?;
        Ok(DumpScan { path: path.to_owned(), source: Some(source), ..DumpScan::empty() })
    }

    pub(super) fn of_archive(
        path: &Path,
        source: Box<dyn Read + Send>,
        expected: Expected,
    ) -> Self {
        let (path, source, expected) = (path.to_owned(), Some(source), Some(expected));
        DumpScan { path, source, expected, ..DumpScan::empty() }
    }

    fn step(&mut self) -> Result<Option<DumpBatch>, DumpError> {
        let mut batch = DumpBatch::default();
        while batch.bytes.len() < BATCH_BYTES {
            if !self.read_document(&mut batch)? {
                self.source = None;
                self.check_whole()?;
                break;
            }
        }
        Ok((!batch.is_empty()).then_some(batch))
    }

    /// False: there is none any more.
    fn read_document(&mut self, batch: &mut DumpBatch) -> Result<bool, DumpError> {
        let Some(source) = &mut self.source else { return Ok(false) };
        let start = batch.bytes.len();
        let read = read_document(source, &mut batch.bytes);
        let found = read.map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => DumpError::Cut { path: self.path.clone() },
            _ => DumpError::Read { path: self.path.clone(), source },
        })?;
        if !found {
            return Ok(false);
        }
        let document = &batch.bytes[start..];
        document::check(document).map_err(|source| DumpError::Document {
            path: self.path.clone(),
            at: self.at,
            source,
        })?;
        self.crc.update(document);
        self.at += document.len() as u64;
        batch.ends.push(batch.bytes.len());
        Ok(true)
    }

    fn check_whole(&self) -> Result<(), DumpError> {
        match &self.expected {
            Some(Expected { namespace, crc: Some(crc) }) if *crc != self.crc.value() => {
                let (path, namespace) = (self.path.clone(), namespace.clone());
                Err(DumpError::Checksum { path, namespace })
            }
            _ => Ok(()),
        }
    }
}

impl Iterator for DumpScan {
    type Item = Result<DumpBatch, DumpError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.source.as_ref()?;
        let step = self.step();
        if step.is_err() {
            self.source = None;
        }
        step.transpose()
    }
}

/// A file as it is, or what was gzipped in it: its first bytes tell.
pub(super) fn open(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    let mut file = File::open(path)?;
    let is_gzip = is_gzip(&mut file)?;
    let file = BufReader::with_capacity(1 << 20, file);
    Ok(if is_gzip {
        Box::new(BufReader::with_capacity(1 << 20, MultiGzDecoder::new(file)))
    } else {
        Box::new(file)
    })
}

/// Leaves the file at its start.
pub(super) fn is_gzip(file: &mut File) -> io::Result<bool> {
    let mut magic = Vec::new();
    file.take(2).read_to_end(&mut magic)?;
    io::Seek::rewind(file)?;
    Ok(magic == [0x1f, 0x8b])
}

/// Puts the next document behind what is in `out`, unchecked but for its length. False: the source
/// is at its end.
pub(super) fn read_document(source: &mut dyn Read, out: &mut Vec<u8>) -> io::Result<bool> {
    let mut length = [0; 4];
    if source.take(4).read(&mut length[..1])? == 0 {
        return Ok(false);
    }
    source.read_exact(&mut length[1..])?;
    let bytes = i32::from_le_bytes(length);
    if !(5..=DOCUMENT_MAX_BYTES as i32).contains(&bytes) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "no document begins here"));
    }
    out.extend_from_slice(&length);
    let wanted = bytes as u64 - 4;
    let found = source.take(wanted).read_to_end(out)? as u64;
    if found == wanted { Ok(true) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
