//! Repositories that were written once and are kept for ever: each must open, for both readers.
//!
//! `ICECORE_GOLDEN=name cargo test --test it golden_rep` makes a new one.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use icecore::{
    ambient::Ambient,
    repo::{OpenOptions, Reader, Repository},
    store::local::LocalStore,
    tree::{self, KeyRange, Root, content},
};
use secrecy::SecretString;

use super::{
    repository::{self, Store},
    whole::{Map, PASSWORD, write_repository},
};

/// Name, and for each snapshot in the order of time what its tree holds, as `digest` tells it.
const KEPT: &[(&str, &[&str])] = &[(
    "repository-1",
    &["5472c24a0e44f824", "1d1af855fb763fd9", "d46a3955e175f606", "aa917a4c893b0782"],
)];

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn digest(map: &Map) -> String {
    let mut hasher = blake3::Hasher::new();
    for (key, (head, content)) in map {
        for part in [key, head, content] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for child in fs::read_dir(from).unwrap() {
        let (path, to) = {
            let child = child.unwrap();
            (child.path(), to.join(child.file_name()))
        };
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(path, to).unwrap();
        }
    }
}

fn by_the_second_reader(dir: &Path) -> Vec<String> {
    let store = Store::read(dir);
    let repository = repository::Repository::open(&store, PASSWORD.as_bytes());
    let snapshots = repository.snapshots();
    snapshots.iter().map(|snapshot| digest(&repository.tree(&snapshot.roots[0]))).collect()
}

fn by_the_library(dir: &Path) -> Vec<String> {
    let store = Arc::new(LocalStore::open(dir).unwrap());
    let password = SecretString::from(PASSWORD);
    let (ambient, _) = Ambient::fixed(2);
    let repo = Repository::open(store, &password, OpenOptions::default(), ambient).unwrap();
    assert!(repo.damage().is_empty());
    let reader = repo.reader().unwrap();
    let kept = repo.snapshots().unwrap();
    let roots = kept.iter().map(|kept| {
        let root = &kept.snapshot.roots[0];
        Root { id: root.id, level: root.level, entries: root.entries, bytes: root.bytes }
    });
    roots.map(|root| digest(&read_tree(&reader, &root))).collect()
}

fn read_tree(reader: &Reader, root: &Root) -> Map {
    let entries = tree::iter(reader, root, KeyRange::all());
    entries
        .map(|entry| {
            let (key, value) = entry.unwrap();
            let mut bytes = Vec::new();
            let mut take = |part: &[u8]| bytes.extend_from_slice(part);
            content::read_range(reader, &value.pieces, 0..u64::MAX, &mut take).unwrap();
            (key.to_vec(), (value.head.to_vec(), bytes))
        })
        .collect()
}

#[test]
fn golden_repositories_open_for_ever() {
    if let Ok(name) = std::env::var("ICECORE_GOLDEN") {
        let dir = top().join(name);
        assert!(!dir.exists(), "it is kept for ever");
        let maps = write_repository(&dir);
        panic!("made; now name it in KEPT: {:?}", maps.iter().map(digest).collect::<Vec<_>>());
    }
    for (name, digests) in KEPT {
        let dir = tempfile::tempdir().unwrap();
        copy(&top().join(name), dir.path());
        assert_eq!(by_the_second_reader(dir.path()), *digests, "{name}");
        assert_eq!(by_the_library(dir.path()), *digests, "{name}");
    }
}

#[test]
fn no_golden_repository_is_forgotten() {
    let mut found: Vec<_> = fs::read_dir(top())
        .unwrap()
        .map(|child| child.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    let named: Vec<_> = KEPT.iter().map(|(name, _)| *name).collect();
    assert_eq!(found, named);
    assert!(KEPT.iter().all(|(_, digests)| digests.len() > 1));
}
