//! A collection that keeps its order, beside one that is there: it can only be gone on with.

use super::{
    Error,
    live::id_of,
    pairs::{Ground, Ours},
    strategy::Conflict,
    tally::{Counts, Sample, sample},
    touched::{Action, Touched},
    weigh::{Step, Weighed},
};
use crate::{document::get, sink::mongo as sink};

const ORDER: &str = "a capped collection keeps its order: it can be gone on with, or replaced \
                     whole with --drop";
pub(super) const FULL: &str = "the capped collection there has no room for what would be \
                               appended: that would push out what is there, for good; --drop \
                               replaces it";

/// Compares from the beginning. While both have the same documents, they are equal; what the
/// snapshot has beyond them is appended. Where they differ, nothing can be done.
pub(super) fn weigh(
    ground: &Ground<'_>,
    ours: Ours<'_>,
    take: &mut dyn FnMut(Step) -> Result<(), Error>,
) -> Result<Weighed, Error> {
    let mut weighed = Weighed::default();
    let mut ours = ours.peekable();
    let mut differs = false;
    'live: for batch in sink::scan(ground.link, ground.place)? {
        super::go_on(ground.progress)?;
        let look = |source| sink::Error::Look { place: ground.place.clone(), source };
        for theirs in batch.map_err(look)?.documents() {
            let same = |entry: &Result<(_, bytes::Bytes), _>| match entry {
                Ok((_, document)) => document[..] == *theirs,
                Err(_) => true,
            };
            match ours.next_if(same) {
                Some(entry) => {
                    weighed.equal_bytes += entry?.1.len() as u64;
                    weighed.counts.equal += 1;
                }
                None => {
                    // Nothing of ours is left: what more there is, is only there.
                    differs = ours.peek().is_some();
                    break 'live;
                }
            }
        }
    }
    for entry in ours {
        let (key, document) = entry?;
        ground.progress.done(1, document.len() as u64);
        if !differs {
            weighed.counts.insert += 1;
            weighed.counts.bytes += document.len() as u64;
            let written = *blake3::hash(&document).as_bytes();
            let id: bytes::Bytes = id_of(&document)?.into();
            sample(&mut weighed.appended, of(ground.strategy.conflict, id.clone(), FULL));
            let touched = Touched { action: Action::Insert, written, id, source_key: Some(key) };
            take(Step { touched, was: None })?;
            continue;
        }
        leave(&mut weighed.counts, 1, ground.strategy.conflict);
        let id = id_of(&document)?.into();
        sample(&mut weighed.samples, of(ground.strategy.conflict, id, ORDER));
    }
    Ok(weighed)
}

/// Whether a collection of these options, if it is capped, holds what would be appended beside
/// what is there.
pub(super) fn has_room(weighed: &Weighed, options: &[u8]) -> bool {
    let Counts { insert, equal, bytes, .. } = weighed.counts;
    if !sink::is_capped(options) || insert == 0 {
        return true;
    }
    let fits = |name: &[u8], wanted: u64| {
        let bound = get(options, name).ok().flatten();
        let bound = bound
            .and_then(|bound| bound.as_i64().or_else(|| bound.as_f64().map(|bound| bound as i64)));
        bound.and_then(|bound| u64::try_from(bound).ok()).is_none_or(|b| b == 0 || wanted <= b)
    };
    fits(b"max", equal + insert) && fits(b"size", weighed.equal_bytes + bytes)
}

/// The same, but nothing is appended.
pub(super) fn left(weighed: Weighed, conflict: Conflict) -> Weighed {
    let mut counts = Counts { insert: 0, bytes: 0, ..weighed.counts };
    leave(&mut counts, weighed.counts.insert, conflict);
    Weighed { counts, samples: weighed.appended, ..Weighed::default() }
}

fn leave(counts: &mut Counts, documents: u64, conflict: Conflict) {
    match conflict {
        Conflict::Skip => counts.skip += documents,
        _ => counts.conflict += documents,
    }
}

fn of(conflict: Conflict, id: bytes::Bytes, why: &str) -> Sample {
    match conflict {
        Conflict::Skip => Sample { what: "skip", id, why: None },
        _ => Sample { what: "conflict", id, why: Some(why.to_owned()) },
    }
}
