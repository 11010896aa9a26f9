//! What a restore would do, found out by looking and comparing only.

use super::{
    Error, Ground,
    compare::Case,
    crew::Failure,
    item::Item,
    judge::{Conflict, Verdict, judge},
    links::{First, Links, Role},
    tally::{one_line, shown},
    walk::{Refused, Visit},
};
use crate::{
    progress::{Action, Progress, Trouble},
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
    /// Differing, and replaced. Of a large file with another time or size the pieces that are
    /// right are not written again.
    pub files_changed: u64,
    /// Right but for metadata.
    pub files_settled: u64,
    pub files_unchanged: u64,
    pub skipped: u64,
    pub conflicts: u64,
    /// The content of what is new or changed; none of further names of one file.
    pub bytes: u64,
    /// Entries that cannot be restored here.
    pub troubles: u64,
}

/// Stands for a file that is still to be made.
const NOT_YET: (u64, u64) = (0, 0);

pub(super) struct Planner<'p, R: ReadBlobs> {
    pub plan: Plan,
    pub ground: &'p Ground<'p, R>,
    pub links: &'p Links,
    pub buffer: Vec<u8>,
    pub conflict: Conflict,
    pub progress: &'p Progress,
    pub top: Option<Dir>,
    /// The directories down to where the walk is; `None`: not there.
    pub stack: Vec<Option<Dir>>,
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

    fn fail(&mut self, key: &[u8], failure: Failure<R::Error>) -> Result<(), Error<R::Error>> {
        match failure {
            Failure::Target(error) => self.trouble(key, &error),
            Failure::Tree(error) if self.ground.is_damaged(&error) => self.trouble(key, &error),
            Failure::Tree(error) => return Err(error.into()),
            Failure::Content(mismatch) => self.trouble(key, &mismatch),
        }
        Ok(())
    }

    fn go_on(&self) -> Result<(), Error<R::Error>> {
        if self.progress.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// What would be done, and whether by linking.
    fn weigh(
        &mut self,
        place: Place<'_>,
        item: &Item,
    ) -> Result<(Verdict, bool), Failure<R::Error>> {
        let (mut promise, mut first) = (None, None);
        match item.links.map(|(id, nlink)| self.links.role(id, nlink)) {
            Some(Role::First(given)) => promise = Some(given),
            Some(Role::Another(there)) => first = Some(there),
            None => {}
        }
        let (verdict, found) = self.look(place, item, first.as_ref())?;
        let identity = match verdict {
            Verdict::Same | Verdict::Settle => found.map(|found| (found.dev, found.inode)),
            Verdict::Create | Verdict::Replace => Some(NOT_YET),
            Verdict::Skip | Verdict::Conflict => None,
        };
        if let (Some(promise), Some(identity)) = (promise, identity) {
            promise.keep(place.key(), identity);
        }
        Ok((verdict, first.is_some()))
    }

    fn look(
        &mut self,
        place: Place<'_>,
        item: &Item,
        first: Option<&First>,
    ) -> Result<(Verdict, Option<Found>), Failure<R::Error>> {
        let dir = self.stack.last().unwrap_or(&self.top).as_ref();
        let (Some(dir), Some((_, name))) = (dir, place.split()) else {
            return Ok((Verdict::Create, None));
        };
        let found = dir.find(name)?;
        let case = Case { dir, name, item, found, conflict: self.conflict };
        let verdict = match (first, item.wish.kind) {
            (Some(first), _) => self.ground.weigh_link(&case, first.identity, &mut self.buffer)?,
            (None, FoundKind::File) => self.ground.weigh(&case, &mut self.buffer)?.0,
            (None, kind) => {
                let is_link =
                    [Some(kind), found.map(|found| found.kind)] == [Some(FoundKind::Symlink); 2];
                let is_right = is_link && dir.read_link(name)? == item.symlink;
                judge(&item.wish, found.as_ref(), self.conflict, is_right)
            }
        };
        Ok((verdict, found))
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
            None => {
                self.plan.dirs_new += 1;
                self.progress.item(Action::Restored, 0, || shown(place.key()));
            }
        }
        self.stack.push(dir);
        Ok(true)
    }

    fn item(&mut self, place: Place<'_>, item: Item) -> Result<(), Error<R::Error>> {
        self.go_on()?;
        let (verdict, is_link) = match self.weigh(place, &item) {
            Ok(weighed) => weighed,
            Err(failure) => return self.fail(place.key(), failure),
        };
        let bytes = item.wish.size_bytes;
        if !is_link && matches!(verdict, Verdict::Create | Verdict::Replace) {
            self.plan.bytes += bytes;
        }
        let action = match verdict {
            Verdict::Create | Verdict::Replace => Some(Action::Restored),
            Verdict::Same => Some(Action::Unchanged),
            Verdict::Settle => Some(Action::Metadata),
            Verdict::Skip => Some(Action::Skipped),
            Verdict::Conflict => None,
        };
        if let Some(action) = action {
            self.progress.item(action, bytes, || shown(place.key()));
        }
        match verdict {
            Verdict::Create => self.plan.files_new += 1,
            Verdict::Replace => self.plan.files_changed += 1,
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
