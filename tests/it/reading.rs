//! ls, cat, find and diff over a tree made by hand: what they give, and how little they read.

use std::{collections::BTreeMap, ops::ControlFlow};

use icecore::{
    format::entry::{Entry, FileType, Kind, Time, key_of_path},
    id::{BlobId, BlobKind},
    repo::WriteBlobs,
    tree::{
        Aims, Merger, Piece, Pieces, Root, Splitter, Value,
        testing::{Missing, RecordingBlobs},
        walk,
    },
    verbs::{
        Error, cat,
        diff::{self, Modifier, Scope, Tally},
        entries::{self, Depth},
        find::{self, Matcher},
    },
};

/// Paths and what stands there.
#[derive(Clone, Default)]
struct Files(BTreeMap<Vec<u8>, (Entry, Pieces)>);

impl Files {
    fn put(&mut self, path: &str, kind: Kind, content: &[u8]) -> &mut Entry {
        let entry = Entry {
            kind,
            size: content.len() as u64,
            mode: 0o644,
            nlink: 1,
            inline: content.to_vec(),
            ..Entry::default()
        };
        let key = key_of_path(path.as_bytes()).unwrap();
        let slot = self.0.entry(key).or_default();
        *slot = (entry, Pieces::None);
        &mut slot.0
    }

    fn file(&mut self, path: &str, content: &str) -> &mut Entry {
        self.put(path, Kind::File, content.as_bytes())
    }

    fn dir(&mut self, path: &str) -> &mut Entry {
        self.put(path, Kind::Dir, b"")
    }

    fn write(&self, blobs: &RecordingBlobs) -> Root {
        let mut merger = Merger::new(blobs, Splitter::new([7; 32], Aims::default()), None);
        for (key, (entry, pieces)) in &self.0 {
            let head = entry.encode().unwrap().into();
            merger.put(key, &Value { head, pieces: pieces.clone() }).unwrap();
        }
        merger.finish().unwrap()
    }
}

fn small() -> Files {
    let mut files = Files::default();
    files.dir("/srv/app");
    files.file("/srv/app/a.txt", "aaa");
    files.dir("/srv/app/dir");
    files.file("/srv/app/dir/b.txt", "bb");
    files.dir("/srv/app/dir.d");
    files.file("/srv/app/dir.d/c.txt", "c");
    files.put("/srv/app/link", Kind::Symlink { target: b"a.txt".into() }, b"");
    files
}

fn many(count: usize) -> Files {
    let mut files = Files::default();
    for top in ["one", "two"] {
        files.dir(&format!("/{top}"));
        for n in 0..count {
            files.file(&format!("/{top}/file-{n:06}"), &format!("content of {n}, {top}"));
        }
    }
    files
}

fn paths(blobs: &RecordingBlobs, root: &Root, path: &str, depth: Depth) -> Vec<String> {
    entries::below(blobs, root, path.as_bytes(), depth)
        .unwrap()
        .map(|item| String::from_utf8(item.unwrap().path()).unwrap())
        .collect()
}

#[test]
fn a_directory_lists_its_children_or_everything() {
    let blobs = RecordingBlobs::default();
    let root = small().write(&blobs);
    let children = ["/srv/app/a.txt", "/srv/app/dir", "/srv/app/dir.d", "/srv/app/link"];
    assert_eq!(paths(&blobs, &root, "/srv/app", Depth::Children), children);
    assert_eq!(paths(&blobs, &root, "/srv/app/", Depth::Children), children);
    assert_eq!(paths(&blobs, &root, "/srv/app/dir", Depth::Everything), ["/srv/app/dir/b.txt"]);
    assert_eq!(paths(&blobs, &root, "/", Depth::Everything).len(), 7);
    // Above what was backed up there are names, and nothing is known of them.
    assert_eq!(paths(&blobs, &root, "/", Depth::Children), ["/srv"]);
    assert_eq!(paths(&blobs, &root, "/srv", Depth::Children), ["/srv/app"]);
    assert_eq!(paths(&blobs, &root, "/srv/app/a.txt", Depth::Children), ["/srv/app/a.txt"]);
}

#[test]
fn paths_that_lead_nowhere_are_errors() {
    let blobs = RecordingBlobs::default();
    let root = small().write(&blobs);
    for path in ["/srv/ap", "/srv/app/a.txt/x", "/nothing"] {
        let found = entries::below(&blobs, &root, path.as_bytes(), Depth::Children);
        assert!(matches!(found.err(), Some(Error::NoSuchPath { .. })), "{path}");
    }
    let found = entries::below(&blobs, &root, b"/srv/../etc", Depth::Children);
    assert!(matches!(found.err(), Some(Error::NoPath { .. })));
}

#[test]
fn children_are_found_without_reading_what_is_below_them() {
    let blobs = RecordingBlobs::default();
    let root = many(20_000).write(&blobs);
    blobs.take_counts();
    assert_eq!(paths(&blobs, &root, "/", Depth::Children), ["/one", "/two"]);
    let read = blobs.take_counts().nodes_read;
    assert!(read < 20, "{read} nodes for two names");
}

#[test]
fn found_by_name_path_and_kind() {
    let blobs = RecordingBlobs::default();
    let root = small().write(&blobs);
    let found = |pattern: &str, file_type| -> Vec<String> {
        let patterns = vec![pattern.to_owned()];
        let options = find::Options { patterns, file_type, ..find::Options::default() };
        let matcher = Matcher::new(&options).unwrap();
        let items: Vec<_> = find::find(&blobs, &root, &matcher).collect();
        let path = |item: entries::Item| String::from_utf8(item.path()).unwrap();
        items.into_iter().map(|item| path(item.unwrap())).collect()
    };
    assert_eq!(found("b.txt", None), ["/srv/app/dir/b.txt"]);
    assert_eq!(found("dir*", None), ["/srv/app/dir", "/srv/app/dir.d"]);
    assert_eq!(found("/srv/*/*.txt", None), ["/srv/app/a.txt"]);
    assert_eq!(found("*", Some(FileType::Symlink)), ["/srv/app/link"]);
    assert_eq!(found("nothing", None), Vec::<String>::new());
}

#[test]
fn a_file_reads_whole_holes_and_all() {
    let blobs = RecordingBlobs::default();
    let chunk = |byte: u8, len: usize| {
        let written = blobs.write(BlobKind::Chunk, &vec![byte; len], None).unwrap();
        Piece { id: Some(written.id), len: len as u64 }
    };
    let mut files = small();
    let hole = Piece { id: None, len: 200_000 };
    let pieces = Pieces::List(vec![chunk(1, 1000), hole, chunk(2, 5)]);
    files.file("/srv/app/holes", "").size = 201_005;
    files.0.get_mut(&key_of_path(b"/srv/app/holes").unwrap()[..]).unwrap().1 = pieces;
    let root = files.write(&blobs);
    let read = |path: &str| {
        let item = cat::open(&blobs, &root, path.as_bytes())?;
        let mut bytes = Vec::new();
        let flow = cat::read(&blobs, &item, &mut |some| {
            bytes.extend_from_slice(&some);
            ControlFlow::<()>::Continue(())
        })?;
        assert!(flow.is_continue());
        Ok(bytes)
    };
    assert_eq!(read("/srv/app/a.txt").unwrap(), b"aaa");
    let wanted = [vec![1; 1000], vec![0; 200_000], vec![2; 5]].concat();
    assert!(read("/srv/app/holes").unwrap() == wanted);
    for directory in ["/srv/app/dir", "/srv"] {
        let Err(Error::NotAFile { kind, .. }) = read(directory) else { panic!("{directory}") };
        assert_eq!(kind, "directory");
    }
    assert!(matches!(read("/srv/app/none"), Err(Error::NoSuchPath { .. })));
}

fn differences(
    blobs: &RecordingBlobs,
    (old, new): (&Files, &Files),
    scope: &Scope,
) -> (Vec<String>, Tally) {
    let (old, new) = (old.write(blobs), new.write(blobs));
    let mut tally = Tally::default();
    let mut lines = Vec::new();
    for changed in diff::diff(blobs, &old, &new, scope) {
        let changed = changed.unwrap();
        tally.count(&changed);
        let path = String::from_utf8(changed.item().path()).unwrap();
        lines.push(format!("{} {path}", changed.modifier.letter()));
    }
    (lines, tally)
}

#[test]
fn every_sort_of_difference_has_its_letter() {
    let blobs = RecordingBlobs::default();
    let (old, mut new) = (small(), small());
    new.file("/srv/app/a.txt", "aaaa");
    new.0.remove(&key_of_path(b"/srv/app/dir/b.txt").unwrap()[..]);
    new.file("/srv/app/dir/new", "12345");
    new.dir("/srv/app/dir.d").mode = 0o700;
    new.file("/srv/app/link", "now a file");
    // Neither can be brought back, so neither is a difference.
    new.file("/srv/app/dir.d/c.txt", "c").ctime = Time { seconds: 9, nanos: 9 };
    new.file("/srv/app/dir.d/c.txt", "c").inode = 99;
    let (lines, tally) = differences(&blobs, (&old, &new), &Scope::default());
    assert_eq!(
        lines,
        [
            "M /srv/app/a.txt",
            "- /srv/app/dir/b.txt",
            "+ /srv/app/dir/new",
            "U /srv/app/dir.d",
            "T /srv/app/link",
        ]
    );
    assert_eq!(tally.changed_files, 2);
    assert_eq!(tally.changed_metadata, 1);
    assert_eq!((tally.added.files, tally.added.bytes), (1, 4 + 5 + 10));
    assert_eq!((tally.removed.files, tally.removed.bytes), (1, 3 + 2));
    assert_eq!(differences(&blobs, (&old, &old), &Scope::default()).0, Vec::<String>::new());
}

#[test]
fn a_scope_is_one_place_or_two() {
    let blobs = RecordingBlobs::default();
    let (old, mut new) = (small(), small());
    new.file("/srv/app/a.txt", "other");
    new.file("/srv/app/dir/b.txt", "other");
    let key = |path: &str| key_of_path(path.as_bytes()).unwrap();
    let here = Scope { old: key("/srv/app/dir"), new: key("/srv/app/dir") };
    let (lines, _) = differences(&blobs, (&old, &new), &here);
    assert_eq!(lines, ["M /srv/app/dir/b.txt"], "neither `dir.d` nor what is beside it");

    let mut moved = Files::default();
    for (key, value) in &old.0 {
        let key = [b"new\0", &key[b"srv\0".len()..]].concat();
        moved.0.insert(key, value.clone());
    }
    let there = Scope { old: key("/srv"), new: key("/new") };
    assert_eq!(differences(&blobs, (&old, &moved), &there).0, Vec::<String>::new());
    moved.file("/new/app/more", "more");
    moved.0.remove(&key("/new/app/link")[..]);
    let (lines, _) = differences(&blobs, (&old, &moved), &there);
    assert_eq!(lines, ["- /srv/app/link", "+ /new/app/more"]);
}

#[test]
fn a_diff_costs_what_differs() {
    let blobs = RecordingBlobs::default();
    let (old, mut new) = (many(20_000), many(20_000));
    new.file("/two/file-010000", "another content");
    let (old, new) = (old.write(&blobs), new.write(&blobs));
    blobs.take_counts();
    let scope = Scope::default();
    let found: Vec<_> = diff::diff(&blobs, &old, &new, &scope).collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].as_ref().unwrap().modifier, Modifier::Content);
    let read = blobs.take_counts().nodes_read;
    assert!(read <= 2 * (u64::from(old.level) + 1), "{read} nodes for one change");
}

/// Few files, whose content fills several leaves.
fn long(count: usize) -> Files {
    let mut files = many(count);
    for (entry, _) in files.0.values_mut().filter(|(entry, _)| entry.kind == Kind::File) {
        entry.inline.resize(3_000, b'.');
        entry.size = 3_000;
    }
    files
}

/// The nodes of a tree below its root, in the order of keys.
fn nodes_below(blobs: &RecordingBlobs, root: &Root) -> Vec<BlobId> {
    let mut nodes = Vec::new();
    walk(blobs, root, &mut |_, id| {
        nodes.push(*id);
        true
    })
    .unwrap();
    nodes.split_off(1)
}

/// What was given, and what was said of what could not be.
type Given = (Vec<String>, Vec<String>);

fn given(found: impl Iterator<Item = Result<entries::Item, Error<Missing>>>) -> Given {
    let (mut paths, mut lost) = (Vec::new(), Vec::new());
    for item in found {
        match item {
            Ok(item) => paths.push(String::from_utf8(item.path()).unwrap()),
            Err(Error::Lost { what, .. }) => lost.push(what),
            Err(error) => panic!("{error}"),
        }
    }
    (paths, lost)
}

#[test]
fn lists_go_on_past_a_damaged_node_and_say_where_it_was() {
    let files = long(600);
    let whole = RecordingBlobs::default();
    let root = files.write(&whole);
    let all = paths(&whole, &root, "/", Depth::Everything);
    let options = find::Options { patterns: vec!["*".into()], ..find::Options::default() };
    let matcher = Matcher::new(&options).unwrap();
    let nodes = nodes_below(&whole, &root);
    assert!(nodes.len() > 3, "{} nodes", nodes.len());
    for node in nodes {
        let blobs = RecordingBlobs::default();
        files.write(&blobs);
        blobs.plant(BlobKind::Node, node, b"no node");
        let (left, lost) = given(entries::below(&blobs, &root, b"/", Depth::Everything).unwrap());
        let ([what], true) = (&lost[..], left.len() < all.len()) else { panic!("{lost:?}") };
        let (from, to) = what.strip_prefix("what lies from ").unwrap().split_once(' ').unwrap();
        let to = to.strip_prefix("up to ");
        let gone = all.iter().filter(|path| !left.contains(path));
        let inside = |path: &&String| from <= &path[..] && to.is_none_or(|to| &path[..] < to);
        assert_eq!(gone.filter(inside).count(), all.len() - left.len(), "{what}");
        assert_eq!(given(find::find(&blobs, &root, &matcher)), (left, lost));
    }
}

#[test]
fn a_directory_of_which_nothing_is_left_is_no_directory_that_is_not_there() {
    let blobs = RecordingBlobs::default();
    let root = small().write(&blobs);
    blobs.plant(BlobKind::Node, root.id, b"no node");
    for path in ["/", "/srv/app", "/srv/app/a.txt"] {
        let found = entries::below(&blobs, &root, path.as_bytes(), Depth::Children);
        assert_eq!(given(found.unwrap()), (vec![], vec!["what lies from / on".to_owned()]));
        let error = cat::open(&blobs, &root, path.as_bytes()).unwrap_err();
        assert!(matches!(error, Error::Tree(_)), "{error}");
    }
}

#[test]
fn of_what_one_side_can_not_tell_a_diff_says_nothing() {
    let (old, mut new) = (long(600), long(600));
    for n in 0..600 {
        new.file(&format!("/two/file-{n:06}"), "another");
    }
    new.file("/one/new", "new");
    // Everything of /two differs, one file is new: there is nothing else to tell.
    let scopes = [
        Scope::default(),
        Scope { old: key_of_path(b"/one").unwrap(), new: key_of_path(b"/two").unwrap() },
    ];
    let whole = RecordingBlobs::default();
    let roots = [&old, &new].map(|files| files.write(&whole));
    for scope in &scopes {
        let (all, _) = differences(&whole, (&old, &new), scope);
        for (root, node) in roots
            .iter()
            .flat_map(|root| nodes_below(&whole, root).into_iter().map(move |n| (root, n)))
        {
            let blobs = RecordingBlobs::default();
            old.write(&blobs);
            new.write(&blobs);
            blobs.plant(BlobKind::Node, node, b"no node");
            let (mut told, mut lost) = (Vec::new(), 0);
            for changed in diff::diff(&blobs, &roots[0], &roots[1], scope) {
                let Ok(changed) = changed else {
                    lost += 1;
                    continue;
                };
                let path = String::from_utf8(changed.item().path()).unwrap();
                told.push(format!("{} {path}", changed.modifier.letter()));
            }
            let is_true = told.iter().all(|line| all.contains(line));
            assert!(is_true && (lost == 0) == (told.len() == all.len()), "{lost} of {root:?}");
        }
    }
}
