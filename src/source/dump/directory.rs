//! A directory as mongodump makes it.

use std::{
    collections::BTreeMap,
    fs, io,
    io::Read,
    path::{Path, PathBuf},
};

use super::{Documents, DumpError, Dumped, metadata, scan};
use crate::{
    document::{extjson, get, namespace::Namespace},
    source::mongo::Kind,
};

/// What lies in a directory.
#[derive(Default)]
pub struct Files {
    pub collections: Vec<Dumped>,
    pub server_version: Option<String>,
    pub has_oplog: bool,
}

/// The files of one collection.
#[derive(Default)]
struct Pair {
    documents: Option<PathBuf>,
    metadata: Option<PathBuf>,
    /// Their file's name ends within an escape.
    is_cut: bool,
}

/// What the server makes by itself, or what was only of use to servers of long ago.
const NOT_COLLECTIONS: &[&str] =
    &["system.indexes", "system.profile", "system.views", "system.version", "system.namespaces"];
/// So begin the names of what `--dumpDbUsersAndRoles` puts beside a database's collections.
const OF_ADMIN: &str = "$admin.system.";
const BUCKETS: &str = "system.buckets.";

/// Whether a dump's file or stretch is a collection of the database that it stands with.
pub fn is_collection(name: &str) -> bool {
    !NOT_COLLECTIONS.contains(&name) && !name.starts_with(OF_ADMIN)
}

/// A directory of databases, or the directory of one.
pub fn read(path: &Path) -> Result<Files, DumpError> {
    let mut files = Files::default();
    let (mut directories, mut has_bson) = (Vec::new(), false);
    for entry in list(path)? {
        let name = name_of(&entry)?;
        if entry.is_dir() {
            directories.push(entry);
        } else if matches!(name, "oplog.bson" | "oplog.bson.gz") {
            files.has_oplog = true;
        } else if matches!(name, "prelude.json" | "prelude.json.gz") {
            files.server_version = server_version(&entry)?;
        } else {
            has_bson |= kind_of(name).is_some();
        }
    }
    if has_bson {
        let named = fs::canonicalize(path);
        let named = named.map_err(|source| DumpError::Read { path: path.into(), source })?;
        files.collections = database(path, name_of(&named)?)?;
        return Ok(files);
    }
    for directory in directories {
        let db = unescaped(name_of(&directory)?);
        let db = db.ok_or_else(|| DumpError::Name { path: directory.clone() })?;
        files.collections.extend(database(&directory, &db)?);
    }
    Ok(files)
}

fn list(path: &Path) -> Result<Vec<PathBuf>, DumpError> {
    let cannot = |source| DumpError::Read { path: path.to_owned(), source };
    let entries = fs::read_dir(path).map_err(cannot)?;
    let paths: io::Result<Vec<PathBuf>> = entries.map(|e| e.map(|e| e.path())).collect();
    let mut paths = paths.map_err(cannot)?;
    paths.sort();
    Ok(paths)
}

fn name_of(path: &Path) -> Result<&str, DumpError> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.ok_or_else(|| DumpError::Name { path: path.to_owned() })
}

/// Whether a file has documents (true) or metadata, and of which collection.
fn kind_of(name: &str) -> Option<(bool, &str)> {
    let name = name.strip_suffix(".gz").unwrap_or(name);
    let documents = name.strip_suffix(".bson").map(|stem| (true, stem));
    documents.or_else(|| name.strip_suffix(".metadata.json").map(|stem| (false, stem)))
}

fn database(path: &Path, db: &str) -> Result<Vec<Dumped>, DumpError> {
    let mut pairs: BTreeMap<String, Pair> = BTreeMap::new();
    for entry in list(path)? {
        let Some((has_documents, stem)) = kind_of(name_of(&entry)?) else { continue };
        // One that was too long for a file may end within an escape; then the metadata tells it.
        let (name, is_cut) = unescaped(stem).map_or((stem.to_owned(), true), |name| (name, false));
        if !is_collection(&name) {
            continue;
        }
        // The documents of a time series lie under the name of its buckets.
        let name = name.strip_prefix(BUCKETS).filter(|_| has_documents).unwrap_or(&name).to_owned();
        let pair = pairs.entry(name).or_default();
        pair.is_cut = is_cut;
        *(if has_documents { &mut pair.documents } else { &mut pair.metadata }) = Some(entry);
    }
    let mut found = Vec::new();
    for (name, Pair { documents, metadata, is_cut }) in pairs {
        let text = metadata.as_deref().map(text_of).transpose()?;
        let told_by = metadata.or_else(|| documents.clone()).expect("one of them made the pair");
        let namespace = Namespace::new(db, name.as_str());
        let collection = metadata::collection(&told_by, namespace, text.as_deref())?;
        if is_cut && collection.namespace.collection == name {
            return Err(DumpError::Name { path: told_by });
        }
        let documents = documents.filter(|_| collection.kind != Kind::View);
        if documents.is_none() && collection.kind != Kind::View {
            return Err(DumpError::NoDocuments { path: told_by });
        }
        let size = |path: &PathBuf| fs::metadata(path).map_or(0, |metadata| metadata.len());
        let bytes = documents.as_ref().map_or(0, size);
        let documents = documents.map_or(Documents::None, Documents::File);
        found.push(Dumped { collection, bytes, documents });
    }
    Ok(found)
}

fn text_of(path: &Path) -> Result<String, DumpError> {
    let cannot = |source| DumpError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    scan::open(path).and_then(|mut source| source.read_to_string(&mut text)).map_err(cannot)?;
    Ok(text)
}

fn server_version(path: &Path) -> Result<Option<String>, DumpError> {
    let text = text_of(path)?;
    let document = extjson::parse(&text);
    let document =
        document.map_err(|source| DumpError::Metadata { path: path.to_owned(), source })?;
    let version = get(&document, b"ServerVersion").ok().flatten();
    let version = version.and_then(|version| version.as_str().map(<[u8]>::to_vec));
    Ok(version.and_then(|version| String::from_utf8(version).ok()))
}

/// `%2F` and its kin back to what they stand for. `None`: not escaped in this way.
fn unescaped(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut parts = name.split('%');
    bytes.extend_from_slice(parts.next()?.as_bytes());
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok().filter(|name| !name.is_empty() && !name.contains('\0'))
}
