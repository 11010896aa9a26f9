//! Reading everything back: which files are asked about, and where they should be.

use super::{
    Error,
    batch::Batch,
    crew::{Crew, Job, Order},
    item::Item,
    walk::{Refused, Visit},
};
use crate::{
    repo::ReadBlobs,
    sink::{self, Dir, FoundKind, Place, Trail},
    tree,
};

pub(super) struct Checker<'c, 'a, 'l, R: ReadBlobs> {
    crew: &'c Crew<'a, R>,
    trail: Trail,
    batch: Batch<'c, 'l>,
}

impl<'c, 'a, 'l, R: ReadBlobs> Checker<'c, 'a, 'l, R> {
    pub fn new(crew: &'c Crew<'a, R>, top: &Dir, send: &'c mut dyn FnMut(Job<'l>)) -> Self {
        Checker { crew, trail: Trail::new(top.clone()), batch: Batch::new(send) }
    }

    pub fn flush(&mut self) {
        self.batch.flush();
    }
}

impl<R: ReadBlobs> Visit for Checker<'_, '_, '_, R> {
    type Blobs = R;

    /// A directory that is not there was told of when it could not be made, or left.
    fn enter(&mut self, place: Place<'_>, _item: Option<Item>) -> Result<bool, Error<R::Error>> {
        self.crew.go_on()?;
        Ok(self.trail.dir(place).is_ok())
    }

    fn item(&mut self, place: Place<'_>, item: Item) -> Result<(), Error<R::Error>> {
        self.crew.go_on()?;
        if item.wish.kind != FoundKind::File {
            return Ok(());
        }
        let (parent, _) = place.split().expect("the target itself is not walked to");
        match self.trail.dir(parent) {
            Ok(dir) => {
                let key = place.key().to_vec();
                self.batch.add(Order { key, dir, item, promise: None, _hold: None });
            }
            Err(error) => self.crew.fail(place.key(), sink::Error::into(error)),
        }
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Error<R::Error>> {
        Ok(())
    }

    // These were told by the restore.
    fn refused(&mut self, _key: &[u8], _why: Refused) -> Result<(), Error<R::Error>> {
        Ok(())
    }

    fn lost(&mut self, _key: &[u8], _error: &tree::Error<R::Error>) -> Result<(), Error<R::Error>> {
        Ok(())
    }
}
