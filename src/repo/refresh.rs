//! The index, brought from the store into the catalog.

use std::{io, thread};

use hashbrown::HashSet;

use super::{
    Damage, Error, Repository,
    catalog::{SegmentError, Update},
    layout,
    objects::get_segment,
};
use crate::{
    format::{self, index},
    id::SegmentId,
};

/// Segments are fetched by so many threads, each holding one at most.
const FETCHERS: usize = 4;

impl Repository {
    /// Lists the index and merges what is new into the catalog. When nothing is new that is one
    /// listing. Segments that can't be read are told: the index is a hint, packs are the truth.
    pub fn refresh(&self) -> Result<Vec<Damage>, Error> {
        if self.catalog().is_current(&self.list_segments()?) {
            return Ok(Vec::new());
        }
        let merged = match self.merge() {
            // A torn cache has been noticed meanwhile: now it is made again.
            Err(Error::Cache(error)) if error.kind() == io::ErrorKind::InvalidData => self.merge(),
            merged => merged,
        };
        match merged {
            // Its disk may be full: another place may have room.
            Err(Error::Cache(error)) if self.catalog().leave_shared(&error)? => self.merge(),
            merged => merged,
        }
    }

    fn merge(&self) -> Result<Vec<Damage>, Error> {
        let mut update = self.catalog().update()?;
        // Listed again, now that nobody else adds to the catalog: what is in it and not in this
        // list has gone, and is not merely newer than the list.
        let listed = self.list_segments()?;
        let missing = self.catalog().missing(&listed);
        let damage = self.fetch(&missing, &mut update)?;
        update.finish(Some(&listed))?;
        Ok(damage)
    }

    fn list_segments(&self) -> Result<HashSet<SegmentId>, Error> {
        let mut listed = HashSet::new();
        self.store().list(layout::INDEX, &mut |object| {
            listed.extend(layout::id::<SegmentId>(&object));
            Ok(())
        })?;
        Ok(listed)
    }

    fn fetch(&self, ids: &[SegmentId], update: &mut Update) -> Result<Vec<Damage>, Error> {
        let mut damage = Vec::new();
        let (to_fetch, wanted) = crossbeam_channel::unbounded();
        ids.iter().for_each(|id| to_fetch.send(*id).expect("the receiver is still here"));
        drop(to_fetch);
        let (fetched, arriving) = crossbeam_channel::bounded(0);
        thread::scope(|scope| {
            for _ in 0..FETCHERS.min(ids.len()) {
                let (wanted, fetched) = (wanted.clone(), fetched.clone());
                scope.spawn(move || {
                    for id in wanted {
                        let segment = self.fetch_segment(&id);
                        // The other side has met an error and listens no more.
                        if fetched.send((id, segment)).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(fetched);
            for (id, segment) in arriving {
                let taken = match segment {
                    Ok(Some(plain)) => update.segment(id, &plain).map_err(|error| match error {
                        SegmentError::Io(error) => Error::Cache(error),
                        SegmentError::Format(source) => damaged(&id, source),
                    }),
                    Ok(None) => Ok(()),
                    Err(error) => Err(error),
                };
                match taken {
                    Err(error) if error.is_damage() => {
                        damage.push(Damage { object: layout::segment(&id), error });
                    }
                    taken => taken?,
                }
            }
            Ok(damage)
        })
    }

    /// `None`: it has been superseded and removed since it was listed.
    fn fetch_segment(&self, id: &SegmentId) -> Result<Option<Vec<u8>>, Error> {
        let Some(object) = get_segment(&**self.store(), id)? else { return Ok(None) };
        let plain = object.and_then(|object| index::open_plain(self.keys(), id, &object));
        plain.map(Some).map_err(|source| damaged(id, source))
    }
}

fn damaged(id: &SegmentId, source: format::Error) -> Error {
    Error::Damaged { object: layout::segment(id).to_string(), source }
}
