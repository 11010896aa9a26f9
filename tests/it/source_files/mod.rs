//! Files as they are found: of every kind, and while others change them.

mod kinds;
mod moving;
mod unreadable;

use std::{os::unix::ffi::OsStrExt, path::Path};

use icecore::source::{
    Trouble,
    files::{Content, Found, Got, Walk, WalkOptions},
};

fn walk(root: &Path) -> Walk {
    Walk::new([root.as_os_str().as_bytes()], WalkOptions::default()).unwrap()
}

/// What is found at and below `root`.
fn found(root: &Path) -> (Vec<Found>, Vec<Trouble>) {
    let (mut found, mut troubles) = (Vec::new(), Vec::new());
    for item in walk(root) {
        match item {
            Ok(item) if item.passage => {}
            Ok(item) => found.push(item),
            Err(trouble) => troubles.push(trouble),
        }
    }
    (found, troubles)
}

/// The one that `path` names.
fn find(path: &Path) -> Found {
    let (mut found, troubles) = found(path);
    assert!(troubles.is_empty(), "{troubles:?}");
    let one = found.remove(0);
    assert_eq!(one.path(), path.as_os_str().as_bytes());
    one
}

/// Data with its place, holes left out.
fn runs(content: &mut Content, buffer: &mut [u8]) -> Vec<(u64, Vec<u8>)> {
    let (mut runs, mut at) = (Vec::new(), 0);
    loop {
        match content.next(buffer).unwrap() {
            Got::Data(count) => {
                runs.push((at, buffer[..count].to_vec()));
                at += count as u64;
            }
            Got::Hole(count) => at += count,
            Got::End => return runs,
        }
    }
}
