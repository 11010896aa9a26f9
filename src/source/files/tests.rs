//! Walks over real trees.

use std::{fs, os::unix::ffi::OsStrExt, path::Path};

use super::{walk::Bounds, *};
use crate::source::Trouble;

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

fn plant(root: &Path, paths: &[&str]) {
    for path in paths {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if path.to_str().unwrap().ends_with('/') {
            fs::create_dir_all(path).unwrap();
        } else {
            fs::write(&path, path.to_str().unwrap()).unwrap();
        }
    }
}

#[test]
fn order_is_that_of_keys() {
    let dir = tempfile::tempdir().unwrap();
    plant(dir.path(), &["a/x", "a-b", "a.c", "a/y/z", "b", "A", "a/y-", "empty/"]);
    let (found, troubles) = paths(dir.path(), walk(dir.path(), WalkOptions::default()));
    let wanted =
        ["", "/A", "/a", "/a/x", "/a/y", "/a/y/z", "/a/y-", "/a-b", "/a.c", "/b", "/empty"];
    assert_eq!(found, wanted);
    assert!(troubles.is_empty(), "{troubles:?}");
}
