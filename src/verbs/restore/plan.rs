//! What a restore would do, found out by looking only.

use super::{
    Error,
    item::Item,
    judge::{Conflict, Verdict, judge},
    tally::{one_line, shown},
    walk::{Refused, Visit},
};
use crate::{
    progress::{Progress, Trouble},
    repo::ReadBlobs,
    sink::{self, Dir, Found, FoundKind, Place},
    tree,
};

/// What a restore would do to a target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    pub dirs_new: u64,
    pub dirs_there: u64,
    /// Files, links and nodes that are not there.
    pub files_new: u64,
    /// Differing, and replaced. What only looks so (a copy with another time) is not written again.
    pub files_changed: u64,
    /// Right but for owner or mode.
    pub files_settled: u64,
    pub files_unchanged: u64,
    pub skipped: u64,
    pub conflicts: u64,
    /// The content of what is new or changed.
    pub bytes: u64,
    /// Entries that cannot be restored here.
    pub troubles: u64,
}

pub(super) struct Planner<'p, R> {
    pub plan: Plan,
    pub conflict: Conflict,
    pub progress: &'p Progress,
    pub top: Option<Dir>,
    /// The directories down to where the walk is; `None`: not there.
    pub stack: Vec<Option<Dir>>,
    pub blobs: std::marker::PhantomData<R>,
}

impl<R: ReadBlobs> Planner<'_, R> {
    fn parent(&self) -> Option<&Dir> {
        self.stack.last().unwrap_or(&self.top).as_ref()
    }

    fn trouble(&mut self, key: &[u8], error: &dyn std::error::Error) {
        self.plan.troubles += 1;
        let (item, error) = (shown(key), one_line(error));
        self.progress.trouble(Trouble { item, during: "plan", error });
    }

    fn go_on(&self) -> Result<(), Error<R::Error>> {
        if self.progress.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// What is there, and whether it is the symbolic link that it should be.
    fn look(&self, place: Place<'_>, item: &Item) -> Result<(Option<Found>, bool), sink::Error> {
        let (Some(dir), Some((_, name))) = (self.parent(), place.split()) else {
            return Ok((None, false));
        };
        let found = dir.find(name)?;
        let both = [Some(item.wish.kind), found.map(|found| found.kind)];
        let right = both == [Some(FoundKind::Symlink); 2] && dir.read_link(name)? == item.symlink;
        Ok((found, right))
    }

    fn look_into(&self, place: Place<'_>) -> Result<Option<Dir>, sink::Error> {
        let (Some(dir), Some((_, name))) = (self.parent(), place.split()) else {
            return Ok(None);
        };
        match dir.find(name)? {
            None => Ok(None),
            Some(_) => dir.dir(name).map(Some),
        }
    }
}

impl<R: ReadBlobs> Visit for Planner<'_, R> {
    type Blobs = R;

    fn enter(&mut self, place: Place<'_>, item: Option<Item>) -> Result<bool, Error<R::Error>> {
        self.go_on()?;
        let dir = match self.look_into(place) {
            Ok(dir) => dir,
            Err(sink::Error::NotBeneath { .. }) => match (item, self.conflict) {
                (Some(_), Conflict::Overwrite) => None,
                (_, Conflict::Skip | Conflict::Newest) => {
                    self.plan.skipped += 1;
                    return Ok(false);
                }
                _ => {
                    self.plan.conflicts += 1;
                    return Ok(false);
                }
            },
            Err(error) => {
                self.trouble(place.key(), &error);
                return Ok(false);
            }
        };
        match dir {
            Some(_) => self.plan.dirs_there += 1,
            None => self.plan.dirs_new += 1,
        }
        self.stack.push(dir);
        Ok(true)
    }

    fn item(&mut self, place: Place<'_>, item: Item) -> Result<(), Error<R::Error>> {
        self.go_on()?;
        let (found, link_is_right) = match self.look(place, &item) {
            Ok(look) => look,
            Err(error) => {
                self.trouble(place.key(), &error);
                return Ok(());
            }
        };
        let bytes = item.wish.size_bytes;
        match judge(&item.wish, found.as_ref(), self.conflict, link_is_right) {
            Verdict::Create => {
                (self.plan.files_new, self.plan.bytes) =
                    (self.plan.files_new + 1, self.plan.bytes + bytes)
            }
            Verdict::Replace => {
                (self.plan.files_changed, self.plan.bytes) =
                    (self.plan.files_changed + 1, self.plan.bytes + bytes)
            }
            Verdict::Same => self.plan.files_unchanged += 1,
            Verdict::Settle => self.plan.files_settled += 1,
            Verdict::Skip => self.plan.skipped += 1,
            Verdict::Conflict => self.plan.conflicts += 1,
        }
        self.progress.done(1, bytes);
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Error<R::Error>> {
        self.stack.pop();
        Ok(())
    }

    fn refused(&mut self, key: &[u8], why: Refused) -> Result<(), Error<R::Error>> {
        self.trouble(key, &why);
        Ok(())
    }

    fn lost(&mut self, key: &[u8], why: &tree::Error<R::Error>) -> Result<(), Error<R::Error>> {
        self.trouble(key, why);
        Ok(())
    }
}
