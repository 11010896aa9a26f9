//! The walk's side of a restore: makes directories, links and nodes, and orders files.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::{
    Error,
    batch::Batch,
    compare::Case,
    crew::{Crew, Failure, Hold, Job, Order, Unfinished},
    item::Item,
    judge::{Conflict, Verdict, judge},
    links::{First, Links, Role},
    walk::{Refused, Visit},
};
use crate::{
    progress::Action,
    repo::ReadBlobs,
    sink::{self, Dir, FoundKind, Place, Trail},
    tree,
};

/// Directories that still wait for files are looked at when they are so many.
const LEFT_LOOK: usize = 16;

pub(super) struct Hands<'c, 'a, 'l, R: ReadBlobs> {
    pub crew: &'c Crew<'a, R>,
    pub links: &'l Links,
    top: Dir,
    trail: Trail,
    batch: Batch<'c, 'l>,
    /// From the target down to where the walk is.
    stack: Vec<Arc<Unfinished>>,
    /// Left by the walk, deeper ones first.
    left: Vec<Arc<Unfinished>>,
}

impl<'c, 'a, 'l, R: ReadBlobs> Hands<'c, 'a, 'l, R> {
    pub fn new(
        crew: &'c Crew<'a, R>,
        links: &'l Links,
        top: &Dir,
        send: &'c mut dyn FnMut(Job<'l>),
    ) -> Self {
        Hands {
            crew,
            links,
            top: top.clone(),
            trail: Trail::new(top.clone()),
            batch: Batch::new(send),
            stack: Vec::new(),
            left: Vec::new(),
        }
    }

    /// Hands out what is queued still.
    pub fn flush(&mut self) {
        self.batch.flush();
    }

    /// What is to be settled when all workers are through.
    pub fn into_left(self) -> Left {
        Left { top: self.top, dirs: self.left }
    }

    /// A problem of one entry is told; one of the target ends the run.
    fn told<T, E>(&self, key: &[u8], result: Result<T, E>) -> Option<T>
    where
        E: Into<Failure<R::Error>>,
    {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.crew.fail(key, error.into());
                None
            }
        }
    }

    fn parent(&mut self, place: Place<'_>) -> Result<Dir, sink::Error> {
        let (parent, _) = place.split().expect("the target itself is not walked to");
        self.trail.dir(parent)
    }

    fn open_dir(
        &mut self,
        place: Place<'_>,
        item: Option<&Item>,
    ) -> Result<Option<Dir>, sink::Error> {
        let (_, name) = place.split().expect("the target itself is not walked to");
        let parent = self.parent(place)?;
        match parent.make_dir(name) {
            Err(sink::Error::Appeared) => {}
            other => return other.map(Some),
        }
        let found = parent.find(name)?;
        let verdict = match item {
            Some(item) => judge(&item.wish, found.as_ref(), self.crew.conflict, false),
            None => Verdict::Conflict,
        };
        match verdict {
            Verdict::Replace => {
                parent.clear(name)?;
                parent.make_dir(name).map(Some)
            }
            Verdict::Skip => {
                self.crew.skip(place.key());
                Ok(None)
            }
            _ => {
                self.crew.tally.conflict(place.key());
                Ok(None)
            }
        }
    }

    /// Links, fifos, sockets and devices; what now has the name.
    fn node(&self, dir: &Dir, key: &[u8], item: &Item) -> Result<Option<(u64, u64)>, sink::Error> {
        let Some(node) = item.node() else { return Ok(None) };
        let (_, name) = Place::new(key)?.split().expect("the target itself is not walked to");
        let found = if dir.is_fresh() { None } else { dir.find(name)? };
        let link_is_right = item.wish.kind == FoundKind::Symlink
            && found.as_ref().is_some_and(|found| found.kind == FoundKind::Symlink)
            && dir.read_link(name)? == item.symlink;
        let tally = self.crew.tally;
        match (judge(&item.wish, found.as_ref(), self.crew.conflict, link_is_right), &found) {
            (Verdict::Same, Some(found)) => {
                tally.nodes_unchanged.fetch_add(1, Ordering::Relaxed);
                self.crew.name(Action::Unchanged, key, 0);
                return Ok(Some((found.dev, found.inode)));
            }
            (Verdict::Settle, Some(found)) => {
                let unset = dir.settle_file(name, found, &item.meta())?;
                tally.unset(self.crew.progress, key, &unset);
                tally.nodes_restored.fetch_add(1, Ordering::Relaxed);
                self.crew.name(Action::Metadata, key, 0);
                return Ok(Some((found.dev, found.inode)));
            }
            (Verdict::Skip, _) => {
                self.crew.skip(key);
                self.crew.name(Action::Skipped, key, 0);
                return Ok(None);
            }
            (Verdict::Conflict, _) => {
                tally.conflict(key);
                return Ok(None);
            }
            _ => {}
        }
        let unset = dir.make(name, node, &item.meta(), found.is_some())?;
        tally.unset(self.crew.progress, key, &unset);
        tally.nodes_restored.fetch_add(1, Ordering::Relaxed);
        self.crew.name(Action::Restored, key, 0);
        Ok(match item.links {
            Some(_) => dir.find(name)?.map(|found| (found.dev, found.inode)),
            None => None,
        })
    }

    fn link(
        &self,
        dir: &Dir,
        key: &[u8],
        item: &Item,
        first: &First,
    ) -> Result<(), Failure<R::Error>> {
        let (_, name) = Place::new(key)?.split().expect("the target itself is not walked to");
        let found = if dir.is_fresh() { None } else { dir.find(name)? };
        let case = Case { dir, name, item, found, conflict: self.crew.conflict };
        let tally = self.crew.tally;
        match self.crew.ground.weigh_link(&case, first.identity, &mut Vec::new())? {
            Verdict::Create | Verdict::Replace => {}
            Verdict::Same | Verdict::Settle => {
                tally.links_unchanged.fetch_add(1, Ordering::Relaxed);
                self.crew.name(Action::Unchanged, key, item.wish.size_bytes);
                return Ok(());
            }
            Verdict::Skip => {
                tally.skipped.fetch_add(1, Ordering::Relaxed);
                self.crew.name(Action::Skipped, key, item.wish.size_bytes);
                return Ok(());
            }
            Verdict::Conflict => {
                tally.conflict(key);
                return Ok(());
            }
        }
        let first_place = Place::new(&first.key)?;
        let (first_parent, first_name) = first_place.split().expect("a file is not the target");
        let first_dir = self.top.descend(first_parent)?;
        dir.link(name, (&first_dir, first_name), first.identity, found.is_some())?;
        tally.links_restored.fetch_add(1, Ordering::Relaxed);
        self.crew.name(Action::Restored, key, item.wish.size_bytes);
        Ok(())
    }

    fn restore(&mut self, place: Place<'_>, dir: Dir, item: Item, hold: Option<Hold>) {
        let key = place.key().to_vec();
        let mut promise = None;
        if let Some((id, nlink)) = item.links {
            if self.links.is_busy(id) {
                self.flush();
            }
            match self.links.role(id, nlink) {
                Role::First(first) => promise = Some(first),
                Role::Another(first) => {
                    self.told(&key, self.link(&dir, &key, &item, &first));
                    return self.crew.progress.done(1, item.wish.size_bytes);
                }
            }
        }
        if item.node().is_some() {
            let made = self.node(&dir, &key, &item);
            let order = Order { key, dir, item, promise, _hold: hold };
            if let Some(Some(identity)) = self.told(&order.key.clone(), made) {
                order.keep(identity);
            }
            return self.crew.progress.done(1, 0);
        }
        let order = Order { key, dir, item, promise, _hold: hold };
        if order.item.is_small() {
            self.batch.add(order);
        } else {
            self.crew.large(order, &mut |job| self.batch.send(job));
        }
    }

    /// Settles directories that nothing is waited for in.
    fn settle_left(&mut self) {
        let mut left = Left { top: self.top.clone(), dirs: std::mem::take(&mut self.left) };
        left.settle(self.crew);
        self.left = left.dirs;
    }
}

/// Directories whose own metadata is to be set.
pub(super) struct Left {
    top: Dir,
    dirs: Vec<Arc<Unfinished>>,
}

impl Left {
    pub fn settle<R: ReadBlobs>(&mut self, crew: &Crew<'_, R>) {
        let top = &self.top;
        self.dirs.retain(|dir| {
            if dir.waiting.load(Ordering::Acquire) > 0 {
                return true;
            }
            let place = Place::new(&dir.key).expect("it was one when it was entered");
            settle_dir(crew, dir, top.descend(place));
            false
        });
    }
}

fn settle_dir<R: ReadBlobs>(
    crew: &Crew<'_, R>,
    unfinished: &Unfinished,
    opened: Result<Dir, sink::Error>,
) {
    let settled = match (&unfinished.item, unfinished.shut) {
        (Some(item), _) => opened.and_then(|dir| {
            if matches!(crew.conflict, Conflict::Skip | Conflict::Fail) {
                dir.end();
            }
            dir.settle(&item.meta())
        }),
        (None, Some(mode)) => opened.and_then(|dir| dir.shut_again(mode)).map(|()| Vec::new()),
        (None, None) => return,
    };
    match settled {
        Ok(unset) => crew.tally.unset(crew.progress, &unfinished.key, &unset),
        Err(error) => crew.fail(&unfinished.key, error.into()),
    }
}

impl<'l, R: ReadBlobs> Visit for Hands<'_, '_, 'l, R> {
    type Blobs = R;

    fn enter(&mut self, place: Place<'_>, item: Option<Item>) -> Result<bool, Error<R::Error>> {
        self.crew.go_on()?;
        let opened = self.open_dir(place, item.as_ref());
        let Some(dir) = self.told(place.key(), opened).flatten() else { return Ok(false) };
        // What was there before keeps its own metadata when it is not to be touched.
        let settles = match self.crew.conflict {
            Conflict::Overwrite | Conflict::Newest => true,
            Conflict::Skip | Conflict::Fail if dir.is_fresh() => {
                dir.begin();
                true
            }
            Conflict::Skip | Conflict::Fail => dir.is_begun(),
        };
        if dir.is_fresh() {
            self.crew.name(Action::Restored, place.key(), 0);
        }
        let shut = dir.shut();
        self.trail.enter(place, dir);
        let parent = self.stack.last().map(Unfinished::hold);
        self.stack.push(Arc::new(Unfinished {
            key: place.key().to_vec(),
            item: item.filter(|_| settles),
            shut,
            _parent: parent,
            waiting: AtomicUsize::new(0),
        }));
        self.crew.tally.dirs.fetch_add(1, Ordering::Relaxed);
        self.crew.progress.done(1, 0);
        Ok(true)
    }

    fn item(&mut self, place: Place<'_>, item: Item) -> Result<(), Error<R::Error>> {
        self.crew.go_on()?;
        let parent = self.parent(place);
        let Some(dir) = self.told(place.key(), parent) else { return Ok(()) };
        let hold = self.stack.last().map(Unfinished::hold);
        self.restore(place, dir, item, hold);
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Error<R::Error>> {
        let dir = self.stack.pop().expect("what is left was entered");
        if dir.waiting.load(Ordering::Acquire) > 0 {
            self.left.push(dir);
        } else {
            let place = Place::new(&dir.key).expect("it was one when it was entered");
            settle_dir(self.crew, &dir, self.trail.dir(place));
        }
        if self.left.len() >= LEFT_LOOK {
            self.settle_left();
        }
        Ok(())
    }

    fn refused(&mut self, key: &[u8], why: Refused) -> Result<(), Error<R::Error>> {
        self.crew.tally.damage(self.crew.progress, key, &why);
        Ok(())
    }

    fn lost(&mut self, key: &[u8], why: &tree::Error<R::Error>) -> Result<(), Error<R::Error>> {
        self.crew.tally.damage_after(self.crew.progress, key, why);
        Ok(())
    }
}
