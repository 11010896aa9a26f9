//! The snapshot's documents and the live ones side by side.

use std::{collections::VecDeque, iter::Peekable};

use bytes::Bytes;

use super::{
    Error,
    live::{self, Live, SortedLive, Spill},
    strategy::Strategy,
};
use crate::{
    document::{get, namespace::Namespace},
    limits::RESTORE_LOOKUP_MAX,
    mongo::Link,
    progress::Progress,
};

/// A document of the snapshot, and what the server has in its place.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    /// In the snapshot's tree.
    pub key: Bytes,
    pub ours: Bytes,
    pub theirs: Theirs,
}

#[derive(Debug, Clone)]
pub(super) enum Theirs {
    None,
    One(Live),
    /// Which of several documents is meant can't be told.
    Several(&'static str),
}

/// Documents of the snapshot in the order of their keys.
pub(super) type Ours<'a> = Box<dyn Iterator<Item = Result<(Bytes, Bytes), Error>> + 'a>;
/// Pairs; in the order of `ours`' keys unless they were matched by other fields.
pub(super) type Pairs<'a> = Box<dyn Iterator<Item = Result<Pair, Error>> + 'a>;

/// How the live side is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// All of it, once.
    Scan,
    /// Document by document: for few.
    LookUp,
}

impl How {
    /// For so many documents of the snapshot, in a collection that has these options.
    pub fn best_for(documents: u64, options: &[u8]) -> How {
        // With another collation the server's idea of the same `_id` is not ours.
        let has_collation = matches!(get(options, b"collation"), Ok(Some(_)));
        match documents <= RESTORE_LOOKUP_MAX && !has_collation {
            true => How::LookUp,
            false => How::Scan,
        }
    }
}

pub(super) struct Ground<'a> {
    pub link: &'a Link,
    pub place: &'a Namespace,
    pub strategy: &'a Strategy,
    pub spill: &'a Spill<'a>,
    pub progress: &'a Progress,
}

pub(super) fn pairs<'a>(
    ground: &'a Ground<'a>,
    ours: Ours<'a>,
    how: How,
) -> Result<Pairs<'a>, Error> {
    let Ground { link, place, strategy, spill, progress } = *ground;
    if how == How::LookUp && strategy.match_on.is_empty() {
        let mut ours = ours;
        return Ok(in_groups(move || looked_up(ground, &mut ours)));
    }
    let theirs = live::sorted(link, place, strategy, spill, progress)?;
    if strategy.match_on.is_empty() {
        return Ok(Box::new(ById { ours, theirs: theirs.peekable() }));
    }
    let mut sorter = spill.sorter();
    for document in ours {
        super::go_on(progress)?;
        let (key, document) = document?;
        let by = strategy.key(&document).map_err(Error::Malformed)?;
        let length = (key.len() as u32).to_le_bytes();
        sorter.push(&by, &[&length[..], &key, &document].concat())?;
    }
    let ours = sorter.finish()?.map(|entry| {
        let (by, both) = entry?;
        let length = u32::from_le_bytes(both[..4].try_into().expect("four bytes")) as usize;
        Ok((by, both.slice(4..4 + length), both.slice(4 + length..)))
    });
    let ours: Box<dyn Iterator<Item = _>> = Box::new(ours);
    let (ours, theirs) = (ours.peekable(), theirs.peekable());
    let mut both = ByFields { ours, theirs, several: None };
    Ok(Box::new(std::iter::from_fn(move || both.step().transpose())))
}

/// Two streams in the order of `_id`.
struct ById<'a> {
    ours: Ours<'a>,
    theirs: Peekable<SortedLive>,
}

impl Iterator for ById<'_> {
    type Item = Result<Pair, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let (key, ours) = match self.ours.next()? {
            Ok(entry) => entry,
            Err(error) => return Some(Err(error)),
        };
        // What only the server has is passed by.
        while self.theirs.next_if(|live| matches!(live, Ok((other, _)) if *other < key)).is_some() {
        }
        let wanted = |live: &Result<(Bytes, Live), Error>| match live {
            Ok((other, _)) => *other == key,
            Err(_) => true,
        };
        let theirs = match self.theirs.next_if(wanted) {
            None => Theirs::None,
            Some(Ok((_, live))) => Theirs::One(live),
            Some(Err(error)) => return Some(Err(error)),
        };
        Some(Ok(Pair { key, ours, theirs }))
    }
}

/// Documents of the snapshot, each batch with what the server has of it.
fn looked_up(ground: &Ground<'_>, ours: &mut Ours<'_>) -> Result<VecDeque<Pair>, Error> {
    super::go_on(ground.progress)?;
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while !live::is_full(batch.len(), bytes)
        && let Some((key, ours)) = ours.next().transpose()?
    {
        bytes += ours.len();
        batch.push((key, ours));
    }
    if batch.is_empty() {
        return Ok(VecDeque::new());
    }
    let found = live::looked_up(ground.link, ground.place, &batch)?;
    let pair = |(key, ours): (Bytes, Bytes)| {
        let live = found.get(&key[..]).map(|live| Theirs::One(live.clone()));
        Pair { key, ours, theirs: live.unwrap_or(Theirs::None) }
    };
    Ok(batch.into_iter().map(pair).collect())
}

/// Pairs that come several at a time, until none come.
fn in_groups<'a>(mut next: impl FnMut() -> Result<VecDeque<Pair>, Error> + 'a) -> Pairs<'a> {
    let mut ready = VecDeque::new();
    Box::new(std::iter::from_fn(move || {
        if ready.is_empty() {
            match next() {
                Ok(group) => ready = group,
                Err(error) => return Some(Err(error)),
            }
        }
        ready.pop_front().map(Ok)
    }))
}

type Keyed = Result<(Bytes, Bytes, Bytes), Error>;

/// Two streams in the order of the fields that are matched on.
struct ByFields<'a> {
    /// By which it is matched, key, document.
    ours: Peekable<Box<dyn Iterator<Item = Keyed> + 'a>>,
    theirs: Peekable<SortedLive>,
    /// Where several documents of the snapshot are the same, by which these are.
    several: Option<Bytes>,
}

const SEVERAL_OURS: &str = "several documents of the snapshot are the same by these fields";
const SEVERAL_THEIRS: &str = "several documents there are the same by these fields";

impl ByFields<'_> {
    /// One pair after the other: as many may be the same as there are documents.
    fn step(&mut self) -> Result<Option<Pair>, Error> {
        let Some((by, key, ours)) = self.ours.next().transpose()? else { return Ok(None) };
        let is_first = self.several.as_ref() != Some(&by);
        if is_first && matches!(self.ours.peek(), Some(Ok((next, ..))) if *next == by) {
            self.several = Some(by.clone());
        }
        let theirs = match self.several.as_ref() == Some(&by) {
            true => Theirs::Several(SEVERAL_OURS),
            false => self.theirs_like(&by)?,
        };
        Ok(Some(Pair { key, ours, theirs }))
    }

    fn theirs_like(&mut self, by: &Bytes) -> Result<Theirs, Error> {
        let mut theirs = Theirs::None;
        while let Some(entry) =
            self.theirs.next_if(|entry| !matches!(entry, Ok((other, _)) if other > by))
        {
            let (other, live) = entry?;
            if other < *by {
                continue;
            }
            theirs = match theirs {
                Theirs::None => Theirs::One(live),
                // The scan met it twice: it was removed and inserted again meanwhile.
                Theirs::One(earlier) if earlier.id()? == live.id()? => Theirs::One(live),
                _ => Theirs::Several(SEVERAL_THEIRS),
            };
        }
        Ok(theirs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ambient::Ambient, document::Writer};

    #[test]
    fn documents_that_are_the_same_by_other_fields_are_given_one_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let (ambient, _) = Ambient::fixed(1);
        let mut theirs = Spill { dir: dir.path(), ambient: &ambient }.sorter();
        for (by, id) in [(b"a", 1), (b"b", 2), (b"b", 3), (b"c", 4), (b"d", 5)] {
            let mut live = Writer::new();
            live.push_i32(b"_id", id);
            theirs.push(by, &Live::of(&live.finish()).unwrap().encode()).unwrap();
        }
        let theirs = SortedLive::new(theirs.finish().unwrap(), false).peekable();
        let read = std::cell::Cell::new(0);
        let same = std::iter::repeat_n(b"c", 1000);
        let ours = [b"a", b"b"].into_iter().chain(same).chain([b"d", b"e"]).map(|by| {
            read.set(read.get() + 1);
            Ok((Bytes::from_static(by), Bytes::new(), Bytes::new()))
        });
        let ours: Box<dyn Iterator<Item = Keyed>> = Box::new(ours);
        let mut both = ByFields { ours: ours.peekable(), theirs, several: None };
        let mut found = Vec::new();
        while let Some(pair) = both.step().unwrap() {
            found.push(match pair.theirs {
                Theirs::None => "none",
                Theirs::One(_) => "one",
                Theirs::Several(why) => why,
            });
            assert!(read.get() <= found.len() + 1, "no more than the next is looked at");
        }
        assert_eq!((found[..2].to_vec(), found[2]), (vec!["one", SEVERAL_THEIRS], SEVERAL_OURS));
        assert!(found[2..1002].iter().all(|why| *why == SEVERAL_OURS));
        assert_eq!(found[1002..], ["one", "none"]);
    }
}
