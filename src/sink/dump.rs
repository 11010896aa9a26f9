//! A directory as mongodump makes it: `DIR/db/collection.bson` and `collection.metadata.json`.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};

/// What can go wrong with a dump.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    #[error("{} is there already", path.display())]
    Exists { path: PathBuf },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// mongorestore takes file names up to this, and so do most file systems (with their endings).
const NAME_BYTES_MAX: usize = 238;
/// Of a longer name so much is kept, before `%24` and a hash.
const NAME_BYTES_KEPT: usize = 208;

/// Never overwrites: a file that is there is an error.
#[derive(Debug, Clone)]
pub struct Dump {
    directory: PathBuf,
    gzip: bool,
}

impl Dump {
    /// Below `directory`, which is made when it is missing.
    pub fn new(directory: &Path, gzip: bool) -> Dump {
        Dump { directory: directory.to_owned(), gzip }
    }

    /// A file for a collection's documents, with the ending `bson` or `jsonl`.
    pub fn documents(
        &self,
        db: &str,
        collection: &str,
        ending: &str,
    ) -> Result<DumpFile, DumpError> {
        self.file(db, collection, ending)
    }

    /// All of a collection's metadata.
    pub fn metadata(&self, db: &str, collection: &str, text: &str) -> Result<(), DumpError> {
        let mut file = self.file(db, collection, "metadata.json")?;
        file.write(text.as_bytes())?;
        file.finish()
    }

    fn file(&self, db: &str, collection: &str, ending: &str) -> Result<DumpFile, DumpError> {
        let directory = self.directory.join(file_name(db));
        fs::create_dir_all(&directory)
            .map_err(|source| DumpError::Write { path: directory.clone(), source })?;
        let suffix = if self.gzip { ".gz" } else { "" };
        let path = directory.join(format!("{}.{ending}{suffix}", file_name(collection)));
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = file.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => DumpError::Exists { path: path.clone() },
            _ => DumpError::Write { path: path.clone(), source },
        })?;
        let file = BufWriter::with_capacity(1 << 20, file);
        let out = match self.gzip {
            true => Out::Gzip(GzEncoder::new(file, Compression::default())),
            false => Out::Plain(file),
        };
        Ok(DumpFile { path, out })
    }
}

/// One file of a dump.
pub struct DumpFile {
    path: PathBuf,
    out: Out,
}

enum Out {
    Plain(BufWriter<File>),
    Gzip(GzEncoder<BufWriter<File>>),
}

impl DumpFile {
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), DumpError> {
        let written = match &mut self.out {
            Out::Plain(out) => out.write_all(bytes),
            Out::Gzip(out) => out.write_all(bytes),
        };
        written.map_err(|source| DumpError::Write { path: self.path.clone(), source })
    }

    /// Everything has been written when this returns.
    pub fn finish(self) -> Result<(), DumpError> {
        let written = match self.out {
            Out::Plain(mut out) => out.flush(),
            Out::Gzip(out) => out.finish().and_then(|mut out| out.flush()),
        };
        written.map_err(|source| DumpError::Write { path: self.path, source })
    }
}

/// A collection's name as mongodump writes it: all but letters, digits and `-_.~$&+=:@` as `%`
/// and two hex digits. Names that are too long are cut and get a hash; their metadata tell them.
pub fn file_name(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~$&+=:@".contains(&byte);
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        // A name of dots alone would lead elsewhere.
        if is_plain(byte) && !(byte == b'.' && name.bytes().all(|byte| byte == b'.')) {
            escaped.push(byte.into());
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    if escaped.len() <= NAME_BYTES_MAX {
        return escaped;
    }
    let hash = blake3::hash(name.as_bytes()).to_hex();
    format!("{}%24{}", &escaped[..NAME_BYTES_KEPT], &hash[..27])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_mongodump_does() {
        assert_eq!(file_name("orders"), "orders");
        assert_eq!(file_name("a/b c,d;e?"), "a%2Fb%20c%2Cd%3Be%3F");
        assert_eq!(file_name("ü%"), "%C3%BC%25");
        assert_eq!(file_name("$a&b+c=d:e@f.g"), "$a&b+c=d:e@f.g");
        assert_eq!((file_name(".."), file_name("..a")), ("%2E%2E".into(), "..a".into()));
        let (long, other) = (file_name(&"x".repeat(300)), file_name(&"x".repeat(301)));
        assert_eq!((long.len(), long == other), (NAME_BYTES_MAX, false));
        assert_eq!(file_name(&"x".repeat(238)), "x".repeat(238));
    }

    #[test]
    fn files_are_made_and_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        for gzip in [false, true] {
            let dump = Dump::new(directory.path(), gzip);
            let mut file = dump.documents("shop", "a/b", "bson").unwrap();
            file.write(b"some bytes").unwrap();
            file.finish().unwrap();
            let again = dump.documents("shop", "a/b", "bson");
            assert!(matches!(again, Err(DumpError::Exists { .. })));
            dump.metadata("shop", "a/b", "{}").unwrap();
        }
        let path = directory.path().join("shop/a%2Fb.bson");
        assert_eq!(fs::read(&path).unwrap(), b"some bytes");
        let packed = fs::read(path.with_extension("bson.gz")).unwrap();
        let mut plain = Vec::new();
        io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed[..]), &mut plain).unwrap();
        assert_eq!(plain, b"some bytes");
    }
}
