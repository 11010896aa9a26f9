//! A collection that keeps its order, beside one that is there: it can only be gone on with.

use super::{
    Error,
    live::id_of,
    pairs::{Ground, Ours},
    strategy::Conflict,
    tally::{Sample, sample},
    touched::{Action, Touched},
    weigh::{Step, Weighed},
};
use crate::sink::mongo as sink;

const ORDER: &str = "a capped collection keeps its order: it can be gone on with, or replaced \
                     whole with --drop";

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
                    entry?;
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
            let id = id_of(&document)?.into();
            let touched = Touched { action: Action::Insert, written, id, source_key: Some(key) };
            take(Step { touched, was: None })?;
            continue;
        }
        let what = match ground.strategy.conflict {
            Conflict::Skip => "skip",
            _ => "conflict",
        };
        match ground.strategy.conflict {
            Conflict::Skip => weighed.counts.skip += 1,
            _ => weighed.counts.conflict += 1,
        }
        let why = (what == "conflict").then(|| ORDER.to_owned());
        sample(&mut weighed.samples, Sample { what, id: id_of(&document)?.into(), why });
    }
    Ok(weighed)
}
