//! Keys of a tree of files: a path's components joined by NUL.
//!
//! `/srv/app` has the key `srv NUL app`. NUL sorts before every byte that a name may hold, so keys
//! in byte order are a walk of the tree: a directory, what is below it, its next sibling. The root
//! `/` has the empty key, which sorts first.

use crate::{format::Error, limits::KEY_MAX_BYTES};

const JOINT: u8 = 0;

/// The key of an absolute path. Empty components and `.` are dropped; `..` is refused, because
/// what it means depends on symbolic links.
pub fn key_of_path(path: &[u8]) -> Result<Vec<u8>, Error> {
    let relative = path.strip_prefix(b"/").ok_or_else(|| bad(path))?;
    let mut key = Vec::with_capacity(relative.len());
    for component in relative.split(|byte| *byte == b'/') {
        if !component.is_empty() && component != b"." {
            check_component(component)?;
            join_key(&mut key, component);
        }
    }
    check_length(&key)?;
    Ok(key)
}

/// The absolute path, which any bytes can be.
pub fn path_of_key(key: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(key.len() + 1);
    path.push(b'/');
    path.extend(key.iter().map(|byte| if *byte == JOINT { b'/' } else { *byte }));
    path
}

/// A key that came from a repository may be anything: this one names something below `/`, by
/// names that a directory can hold.
pub fn check_key(key: &[u8]) -> Result<(), Error> {
    check_length(key)?;
    components(key).try_for_each(check_component)
}

/// The names from the top down; none for the root.
pub fn components(key: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    let whole = (!key.is_empty()).then_some(key);
    whole.into_iter().flat_map(|key| key.split(|byte| *byte == JOINT))
}

/// The last name; empty for the root.
pub fn name_of_key(key: &[u8]) -> &[u8] {
    let joint = key.iter().rposition(|byte| *byte == JOINT);
    &key[joint.map_or(0, |at| at + 1)..]
}

/// The directory it is in; `None` for the root, which is in none.
pub fn parent_key(key: &[u8]) -> Option<&[u8]> {
    if key.is_empty() {
        return None;
    }
    let joint = key.iter().rposition(|byte| *byte == JOINT);
    Some(&key[..joint.unwrap_or(0)])
}

/// Makes the key of a directory into that of `name` in it.
pub fn join_key(key: &mut Vec<u8>, name: &[u8]) {
    if !key.is_empty() {
        key.push(JOINT);
    }
    key.extend_from_slice(name);
}

fn check_length(key: &[u8]) -> Result<(), Error> {
    if key.len() > KEY_MAX_BYTES {
        let found = key.len() as u64;
        return Err(Error::Impossible { what: "a path", field: "its length", found });
    }
    Ok(())
}

fn check_component(name: &[u8]) -> Result<(), Error> {
    let special = matches!(name, b"" | b"." | b"..");
    if special || name.iter().any(|byte| matches!(byte, 0 | b'/')) {
        return Err(bad(name));
    }
    Ok(())
}

fn bad(name: &[u8]) -> Error {
    Error::NotAPath { name: name.escape_ascii().to_string() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_and_keys() {
        for (path, key) in [
            ("/", ""),
            ("/srv", "srv"),
            ("/srv/app", "srv\0app"),
            ("//srv//./app/", "srv\0app"),
            ("/...", "..."),
        ] {
            assert_eq!(key_of_path(path.as_bytes()).unwrap(), key.as_bytes(), "{path}");
            check_key(key.as_bytes()).unwrap();
        }
        for path in ["", "srv", "./srv", "/a/../b", "/..", "/a\0b"] {
            assert!(key_of_path(path.as_bytes()).is_err(), "{path}");
        }
        assert_eq!(path_of_key(b""), b"/");
        assert_eq!(path_of_key(b"srv\0app\xff"), b"/srv/app\xff");
    }

    #[test]
    fn hostile_keys_are_refused() {
        for key in
            ["\0", "a\0", "\0a", "a\0\0b", ".", "..", "a\0..", "..\0a", "a\0.\0b", "a/b", "/"]
        {
            assert!(check_key(key.as_bytes()).is_err(), "{key:?}");
        }
        assert!(check_key(&vec![b'a'; KEY_MAX_BYTES]).is_ok());
        assert!(check_key(&vec![b'a'; KEY_MAX_BYTES + 1]).is_err());
    }

    #[test]
    fn names_and_parents() {
        assert_eq!(components(b"").count(), 0);
        assert_eq!(components(b"a\0b").rev().collect::<Vec<_>>(), [b"b", b"a"]);
        assert_eq!((name_of_key(b""), parent_key(b"")), (&b""[..], None));
        assert_eq!((name_of_key(b"a"), parent_key(b"a")), (&b"a"[..], Some(&b""[..])));
        assert_eq!((name_of_key(b"a\0bc"), parent_key(b"a\0bc")), (&b"bc"[..], Some(&b"a"[..])));
    }

    proptest! {
        #[test]
        fn order_of_keys_is_the_order_of_a_walk(
            a in proptest::collection::vec("[\\x01-\\x2e0-9a-z]{1,3}", 0..4),
            b in proptest::collection::vec("[\\x01-\\x2e0-9a-z]{1,3}", 0..4),
        ) {
            let key = |names: &[String]| {
                let mut key = Vec::new();
                names.iter().for_each(|name| join_key(&mut key, name.as_bytes()));
                key
            };
            let (a_key, b_key) = (key(&a), key(&b));
            prop_assert_eq!(a.cmp(&b), a_key.cmp(&b_key));
            prop_assert_eq!(components(&a_key).count(), a.len());
        }
    }
}
