//! The stretch of a snapshot's tree that a restore is about, walked past damage.

use super::{
    Error, Ground,
    item::Item,
    walk::{Next, Visit, Walk},
};
use crate::{
    repo::ReadBlobs,
    tree::{self, KeyRange, Root},
};

pub(super) struct Scope<'g, R: ReadBlobs> {
    ground: &'g Ground<'g, R>,
    root: Root,
    range: KeyRange,
    /// So many bytes at the start of each key are not restored.
    pub strip_bytes: usize,
    /// Of all below the path; 0 where that can't be read.
    pub entries: u64,
    pub bytes: u64,
}

impl<'g, R: ReadBlobs> Scope<'g, R> {
    /// `subpath` as in `Options`.
    pub fn of(
        ground: &'g Ground<'g, R>,
        root: &Root,
        subpath: &[u8],
    ) -> Result<Self, Error<R::Error>> {
        let names = subpath.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
        let key = names.collect::<Vec<_>>().join(&0);
        let mut is_there = true;
        let (range, strip_bytes) = if key.is_empty() {
            (KeyRange::all(), 0)
        } else {
            // What can't be read is told by the walk, which begins at the same leaf.
            let found = ground.unless_damaged(tree::get(ground.reader, root, &key))?;
            is_there = !matches!(found, Some(None));
            match found.flatten() {
                Some(value) if !Item::of(&value).is_ok_and(|item| item.is_dir()) => {
                    let name = key.iter().rposition(|&byte| byte == 0).map_or(0, |at| at + 1);
                    let after = [&key[..], &[0]].concat();
                    (KeyRange::between(&key, &after), name)
                }
                // A directory, which may be known only by what is in it.
                _ => (KeyRange::with_prefix(&[&key[..], &[0]].concat()), key.len() + 1),
            }
        };
        let totals = ground.unless_damaged(tree::totals(ground.reader, root, &range))?;
        let counted = totals.map(|totals| (totals.entries, totals.bytes));
        if counted.is_some_and(|(entries, _)| entries == 0) && !is_there {
            return Err(Error::NoSuchPath { path: String::from_utf8_lossy(subpath).into_owned() });
        }
        let (entries, bytes) = counted.unwrap_or_default();
        Ok(Scope { ground, root: *root, range, strip_bytes, entries, bytes })
    }

    /// Meets every entry that can be read. A damaged node is told with where it lies.
    pub fn walk<V>(&self, walk: &mut Walk<'_, V>) -> Result<(), Error<R::Error>>
    where
        V: Visit<Blobs = R>,
    {
        let range = self.range.clone();
        let mut iter = tree::iter(self.ground.reader, &self.root, range).going_on();
        let mut last_key = Vec::new();
        while let Some(entry) = iter.next() {
            match entry {
                Ok((key, value)) => {
                    if walk.meet(&key, &value)? == Next::PastIt {
                        iter.seek(&[&key[..], &[1]].concat());
                    }
                    last_key.clear();
                    last_key.extend_from_slice(&key);
                }
                Err(error) if self.ground.is_damaged(&error) => {
                    walk.visitor().lost(&last_key, &error)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
