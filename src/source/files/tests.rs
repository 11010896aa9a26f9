//! Walks under bounds so small that every list of names is forgotten and every directory closed.

use std::{
    fs::{self, File},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, symlink},
    },
    path::Path,
};

use proptest::prelude::*;

use super::{
    walk::{Bounds, Walk, WalkOptions},
    window::Window,
    *,
};
use crate::source::{Error, Trouble};

const SMALL: Bounds = Bounds { names_max: 3, names_held_max: 4, dirs_open_max: 2 };

fn walk(root: &Path, options: WalkOptions) -> Walk {
    Walk::bounded([root.as_os_str().as_bytes()], options, SMALL).unwrap()
}

/// Paths below `root`, and the troubles.
fn paths(root: &Path, walk: Walk) -> (Vec<String>, Vec<Trouble>) {
    let (mut found, mut troubles) = (Vec::new(), Vec::new());
    let mut last: Option<Vec<u8>> = None;
    for item in walk {
        match item {
            Ok(item) => {
                assert!(last.as_ref().is_none_or(|last| *last < item.key), "{:?}", item.key);
                last = Some(item.key.clone());
                let path = String::from_utf8_lossy(&item.path()).into_owned();
                if let Some(path) = path.strip_prefix(root.to_str().unwrap()) {
                    found.push(path.to_owned());
                } else {
                    assert!(item.passage && item.is_dir());
                }
            }
            Err(trouble) => troubles.push(trouble),
        }
    }
    (found, troubles)
}

fn all(root: &Path, options: WalkOptions) -> Vec<String> {
    let (found, troubles) = paths(root, walk(root, options));
    assert!(troubles.is_empty(), "{troubles:?}");
    found
}

/// A name that ends in a slash becomes a directory.
fn plant(root: &Path, paths: &[&str]) {
    for path in paths {
        let is_dir = path.ends_with('/');
        let path = root.join(path);
        fs::create_dir_all(if is_dir { &path } else { path.parent().unwrap() }).unwrap();
        if !is_dir {
            fs::write(&path, path.to_str().unwrap()).unwrap();
        }
    }
}

#[test]
fn order_is_that_of_keys() {
    let dir = tempfile::tempdir().unwrap();
    plant(dir.path(), &["a/x", "a-b", "a.c", "a/y/z", "b", "A", "a/y-", "empty/"]);
    let wanted =
        ["", "/A", "/a", "/a/x", "/a/y", "/a/y/z", "/a/y-", "/a-b", "/a.c", "/b", "/empty"];
    assert_eq!(all(dir.path(), WalkOptions::default()), wanted);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    /// Against a naive walk that sorts everything at the end.
    #[test]
    fn any_tree_in_any_bounds(
        tree in prop::collection::vec(prop::collection::vec("[a-c.-]{1,10}", 1..6), 1..60),
        names_max in 1usize..6,
        names_held_max in 0usize..12,
        dirs_open_max in 1usize..4,
    ) {
        let dir = tempfile::tempdir().unwrap();
        for names in tree {
            let names: Vec<_> = names.into_iter().map(|name| format!("_{name}")).collect();
            let path = dir.path().join(names.join("/"));
            // One that is a file already, or has a file above it, is left as it is.
            let _ = fs::create_dir_all(path.parent().unwrap());
            if !path.exists() {
                let _ = File::create(path);
            }
        }
        let mut wanted = Vec::new();
        naive(dir.path(), &mut wanted);
        wanted.sort_by_key(|path: &String| path.replace('/', "\0"));
        let bounds = Bounds { names_max, names_held_max, dirs_open_max };
        let roots = [dir.path().as_os_str().as_bytes()];
        let walk = Walk::bounded(roots, WalkOptions::default(), bounds).unwrap();
        let (found, troubles) = paths(Path::new(""), walk);
        prop_assert!(troubles.is_empty());
        let start = dir.path().to_str().unwrap();
        let found: Vec<_> = found.into_iter().filter(|path| path.starts_with(start)).collect();
        prop_assert_eq!(found, wanted);
    }
}

fn naive(path: &Path, found: &mut Vec<String>) {
    found.push(path.to_str().unwrap().to_owned());
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| naive(&entry.unwrap().path(), found));
    }
}

#[test]
fn a_huge_directory_comes_by_windows() {
    const FILES: usize = 100_000;
    const WINDOW: usize = 9_000;
    let dir = tempfile::tempdir().unwrap();
    let mut wanted: Vec<String> = (0..FILES)
        .map(|i| format!("{:x}", (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        .collect();
    // Hard links to few files: quicker to make.
    let mut target = dir.path().join(&wanted[0]);
    for (i, name) in wanted.iter().enumerate() {
        let path = dir.path().join(name);
        if i % 10_000 == 0 {
            File::create(&path).unwrap();
            target = path;
        } else {
            fs::hard_link(&target, path).unwrap();
        }
    }
    wanted.sort_unstable();
    let fd = File::open(dir.path()).unwrap().into();
    let (mut window, mut buffer) = (Window::default(), Vec::with_capacity(64 << 10));
    let (mut found, mut reads) = (Vec::new(), 0);
    while !window.is_last() {
        let after = window.current().map(|name| name.to_bytes().to_vec()).unwrap_or_default();
        window.read(&fd, &after, WINDOW, &mut buffer).unwrap();
        reads += 1;
        assert!(window.held() <= WINDOW && window.capacity() <= 4 * WINDOW);
        while window.advance() {
            found.push(window.current().unwrap().to_str().unwrap().to_owned());
        }
    }
    assert_eq!(reads, FILES.div_ceil(WINDOW));
    assert!(found == wanted, "all names, once, in order");
}

#[test]
fn roots_overlap_repeat_and_lack() {
    let dir = tempfile::tempdir().unwrap();
    plant(dir.path(), &["a/b/c/d", "a/b/x", "a/y", "e/f", "g"]);
    let path = |name: &str| dir.path().join(name).as_os_str().as_bytes().to_vec();
    let roots = ["a/b", "g", "a/b/c", "missing/x", "e/", "g", "a/b/c/d"].map(path);
    let mut walk = Walk::bounded(roots, WalkOptions::default(), SMALL).unwrap();
    let found: Vec<_> = walk.by_ref().collect();
    assert_eq!(walk.roots_found(), 5);
    let (mut entries, mut troubles) = (Vec::new(), Vec::new());
    for item in found {
        match item {
            Ok(item) => entries.push((item.path(), item.passage)),
            Err(trouble) => troubles.push(trouble),
        }
    }
    entries.retain(|(found, _)| found.len() > path("").len());
    let wanted = ["a", "a/b", "a/b/c", "a/b/c/d", "a/b/x", "e", "e/f", "g"];
    assert_eq!(entries, wanted.map(|name| (path(name), name == "a")));
    assert_eq!(troubles.len(), 1);
    assert_eq!(troubles[0].path, path("missing"));
}

#[test]
fn the_root_of_everything_has_the_empty_key() {
    let first: Vec<_> = Walk::new(["/", "/usr"], WalkOptions::default())
        .unwrap()
        .take(2)
        .map(|found| found.unwrap())
        .collect();
    assert_eq!((first[0].key.as_slice(), first[0].path()), (&b""[..], b"/".to_vec()));
    assert!(!first[0].passage && first[0].is_dir());
    assert_eq!(first[0].complete(&Names::default(), None).unwrap().0.mode, first[0].stat.mode);
    assert!(!first[1].key.is_empty() && !first[1].key.contains(&0));
    assert_eq!(Walk::new(Vec::<&str>::new(), WalkOptions::default()).unwrap().count(), 0);
}

#[test]
fn links_above_a_root_are_followed_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    plant(dir.path(), &["real/app/file", "real/other/x"]);
    symlink("real", dir.path().join("way")).unwrap();
    symlink("../other", dir.path().join("real/app/link")).unwrap();
    let root = dir.path().join("way/app");
    let found: Vec<_> = walk(&root, WalkOptions::default()).map(Result::unwrap).collect();
    let way = found.iter().find(|found| found.path().ends_with(b"/way")).unwrap();
    assert!(way.passage && way.is_dir());
    assert_eq!(way.stat.inode, fs::metadata(dir.path().join("real")).unwrap().ino());
    assert_eq!(all(&root, WalkOptions::default()), ["", "/file", "/link"]);
    // A root that is itself a link is a link.
    let (found, _) = paths(dir.path(), walk(&dir.path().join("way"), WalkOptions::default()));
    assert_eq!(found, ["", "/way"]);
}

#[test]
fn what_is_excluded_is_not_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    plant(dir.path(), &["a/x.o", "a/keep.o", "b.o/inside", "c/target/debug/y", "c/target/z", "d"]);
    let options = |patterns: &[&str]| WalkOptions {
        excludes: Excludes::new(patterns.iter().copied()).unwrap(),
        ..WalkOptions::default()
    };
    let found = all(dir.path(), options(&["*.o", "!keep.o", "target/debug"]));
    assert_eq!(found, ["", "/a", "/a/keep.o", "/c", "/c/target", "/c/target/z", "/d"]);
    let anchored = format!("{}/a", dir.path().display());
    let found = all(dir.path(), options(&[&anchored, "/d", "c/"]));
    assert_eq!(found, ["", "/b.o", "/b.o/inside", "/d"]);
    // What was named as a root is wanted, in an excluded directory and by an excluded name.
    let roots = ["", "c/target/debug", "b.o"].map(|name| dir.path().join(name));
    let roots = roots.iter().map(|root| root.as_os_str().as_bytes());
    let walk = Walk::bounded(roots, options(&["c", "debug", "*.o"]), SMALL).unwrap();
    let (found, _) = paths(dir.path(), walk);
    let wanted = [
        "",
        "/a",
        "/b.o",
        "/b.o/inside",
        "/c",
        "/c/target",
        "/c/target/debug",
        "/c/target/debug/y",
    ];
    assert_eq!(found[..8], wanted);
    assert_eq!(found[8..], ["/d"]);
}

#[test]
fn large_files_and_tagged_directories() {
    let dir = tempfile::tempdir().unwrap();
    plant(dir.path(), &["a/.nobackup", "a/x", "a/y/z", "b/x", "cache/obj/1", "fake/plain", "big"]);
    let signature = "Signature: 8a477f597d28d172789f06886806bc55\nand more";
    fs::write(dir.path().join("cache/CACHEDIR.TAG"), signature).unwrap();
    fs::write(dir.path().join("fake/CACHEDIR.TAG"), "no signature").unwrap();
    let big = File::options().write(true).open(dir.path().join("big")).unwrap();
    big.set_len(1 << 20).unwrap();
    let options = WalkOptions {
        exclude_if_present: vec![Tag::parse(b".nobackup").unwrap(), Tag::parse(b"x:/").unwrap()],
        exclude_caches: true,
        exclude_larger_than: Some((1 << 20) - 1),
        ..WalkOptions::default()
    };
    let wanted = [
        "",
        "/a",
        "/a/.nobackup",
        "/a/x",
        "/b",
        "/b/x",
        "/cache",
        "/cache/CACHEDIR.TAG",
        "/fake",
        "/fake/CACHEDIR.TAG",
        "/fake/plain",
    ];
    assert_eq!(all(dir.path(), options), wanted, "`x` begins with a slash, as planted");
    for name in ["", "a/b", ".", ".."] {
        assert!(matches!(Tag::parse(name.as_bytes()), Err(Error::NoFileName { .. })));
    }
}

#[test]
fn a_walk_may_move_to_another_thread_with_what_it_found() {
    fn movable<T: Send>() {}
    movable::<Walk>();
    movable::<Found>();
    movable::<Content>();
}
