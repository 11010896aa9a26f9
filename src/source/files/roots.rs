//! What was asked for, as sorted keys.

use crate::{format::entry::key_of_path, source::Error};

#[derive(Debug)]
pub(super) struct Roots {
    /// Ascending, each once; one may lie below another.
    keys: Vec<Vec<u8>>,
}

impl Roots {
    pub fn new<P: AsRef<[u8]>>(paths: impl IntoIterator<Item = P>) -> Result<Roots, Error> {
        let keys = paths.into_iter().map(|path| key_of_path(path.as_ref()));
        let mut keys = keys.collect::<Result<Vec<_>, _>>()?;
        keys.sort_unstable();
        keys.dedup();
        Ok(Roots { keys })
    }

    pub fn has(&self, key: &[u8]) -> bool {
        self.keys.binary_search_by(|root| root.as_slice().cmp(key)).is_ok()
    }

    pub fn has_below(&self, key: &[u8]) -> bool {
        self.below(key).next().is_some()
    }

    /// The names in the directory `key` that lead to roots, ascending, each once.
    pub fn names_below(&self, key: &[u8]) -> Vec<Vec<u8>> {
        let first = |rest: &[u8]| rest.split(|byte| *byte == 0).next().map(<[u8]>::to_vec);
        let mut names: Vec<_> = self.below(key).filter_map(first).collect();
        names.dedup();
        names
    }

    /// The roots below `key`, without what they share with it.
    fn below(&self, key: &[u8]) -> impl Iterator<Item = &[u8]> {
        let start = self.keys.partition_point(|root| root.as_slice() <= key);
        let rest = move |root: &'_ Vec<u8>| -> Option<usize> {
            let rest = root.strip_prefix(key)?;
            if key.is_empty() { Some(0) } else { rest.first().filter(|b| **b == 0).map(|_| 1) }
        };
        let key_len = key.len();
        self.keys[start..].iter().map_while(move |root| {
            let joint = rest(root)?;
            Some(&root[key_len + joint..])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_below() {
        let roots = Roots::new(["/b/y/z", "/a", "/b/x", "/b", "/b/x/", "/bb", "/b/y"]).unwrap();
        assert!(roots.has(b"b") && roots.has(b"b\0x") && !roots.has(b"") && !roots.has(b"b\0"));
        assert_eq!(roots.names_below(b""), [b"a".to_vec(), b"b".to_vec(), b"bb".to_vec()]);
        assert_eq!(roots.names_below(b"b"), [b"x", b"y"]);
        assert_eq!(roots.names_below(b"b\0y"), [b"z"]);
        assert!(!roots.has_below(b"a") && !roots.has_below(b"bb") && !roots.has_below(b"c"));
        assert!(Roots::new(["relative"]).is_err());
        assert!(Roots::new(["/a/../b"]).is_err());
    }

    #[test]
    fn the_top_alone() {
        let roots = Roots::new(["/"]).unwrap();
        assert!(roots.has(b"") && !roots.has_below(b""));
    }
}
