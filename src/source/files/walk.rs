//! Everything below some roots, in key order, in memory that does not grow with the number of
//! files.

use std::sync::Arc;

use super::{
    Excludes, Found, Tag,
    dir::{Dir, Opened, Pool, Way, stat_at},
    frame::{Entering, Frame},
    roots::Roots,
    window::Window,
};
use crate::{
    format::entry::{FileType, Stat, join_key, path_of_key},
    limits::{
        KEY_MAX_BYTES, WALK_DIRS_OPEN_MAX, WALK_LIST_BYTES, WALK_NAMES_HELD_MAX, WALK_NAMES_MAX,
    },
    source::{Error, Trouble},
};

/// What is left out. A root is never left out, nor what lies between `/` and it: it was named.
#[derive(Debug, Clone, Default)]
pub struct WalkOptions {
    pub excludes: Excludes,
    /// Of a directory with such a file in it, only that file is taken.
    pub exclude_if_present: Vec<Tag>,
    /// The same for directories that are tagged as caches (bford.info/cachedir).
    pub exclude_caches: bool,
    /// Files of more bytes.
    pub exclude_larger_than: Option<u64>,
    /// A directory on which another file system is mounted is taken, but not what is in it.
    pub one_file_system: bool,
}

/// Strictly ascending keys, each thing once however the roots overlap. The directories above the
/// roots are given too, but not `/` itself unless it is a root. What can't be had is an `Err` in
/// its place, and the walk goes on.
#[derive(Debug)]
pub struct Walk {
    roots: Roots,
    roots_found: usize,
    options: WalkOptions,
    tags: Vec<Tag>,
    pool: Arc<Pool>,
    started: bool,
    /// From the top to where the walk is.
    frames: Vec<Frame>,
    entering: Option<Entering>,
    /// Of what the walk looks at.
    key: Vec<u8>,
    bounds: Bounds,
    list_buffer: Vec<u8>,
    path_buffer: Vec<u8>,
    spare: Vec<Window>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub names_max: usize,
    pub names_held_max: usize,
    pub dirs_open_max: usize,
}

/// A window that has grown beyond this is given back when its directory is done.
const SPARE_NAMES_MAX: usize = 4096;
const SPARE_WINDOWS_MAX: usize = 32;

impl Walk {
    /// `roots` are absolute paths, in any order, overlapping or not; nothing is read yet.
    pub fn new<P: AsRef<[u8]>>(
        roots: impl IntoIterator<Item = P>,
        options: WalkOptions,
    ) -> Result<Walk, Error> {
        let bounds = Bounds {
            names_max: WALK_NAMES_MAX,
            names_held_max: WALK_NAMES_HELD_MAX,
            dirs_open_max: WALK_DIRS_OPEN_MAX,
        };
        Walk::bounded(roots, options, bounds)
    }

    pub(super) fn bounded<P: AsRef<[u8]>>(
        roots: impl IntoIterator<Item = P>,
        options: WalkOptions,
        bounds: Bounds,
    ) -> Result<Walk, Error> {
        let mut tags = options.exclude_if_present.clone();
        if options.exclude_caches {
            tags.push(Tag::cachedir());
        }
        Ok(Walk {
            roots: Roots::new(roots)?,
            roots_found: 0,
            options,
            tags,
            pool: Pool::new(bounds.dirs_open_max),
            started: false,
            frames: Vec::new(),
            entering: None,
            key: Vec::new(),
            bounds,
            list_buffer: Vec::with_capacity(WALK_LIST_BYTES),
            path_buffer: Vec::new(),
            spare: Vec::new(),
        })
    }

    /// How many of the roots were there, so far. A backup that finds none of them has been given
    /// wrong paths.
    pub fn roots_found(&self) -> usize {
        self.roots_found
    }

    /// Opens `/`, and gives its entry if it is a root.
    fn start(&mut self) -> Option<Result<Found, Trouble>> {
        self.started = true;
        let whole = self.roots.has(&self.key);
        if !whole && !self.roots.has_below(&self.key) {
            return None;
        }
        let Opened { dir, fd, stat } = match Dir::root(&self.pool, Way::to(whole)) {
            Ok(opened) => opened,
            Err(error) => return Some(Err(self.trouble("open", error))),
        };
        self.entering = Some(Entering { opened: Some((dir.clone(), fd)), whole, dev: stat.dev });
        self.roots_found += usize::from(whole);
        whole.then(|| Ok(Found { key: Vec::new(), stat, passage: false, dir }))
    }

    /// Goes down into the directory that it stands at.
    fn enter(&mut self, entering: Entering) -> Result<(), Error> {
        let Entering { opened, mut whole, dev } = entering;
        let (dir, fd) = match (opened, self.frames.last()) {
            (Some(opened), _) => opened,
            (None, Some(above)) => {
                let Opened { dir, fd, .. } = above.open(Way::to(whole))?;
                (dir, fd)
            }
            (None, None) => return Ok(()),
        };
        let mut window = None;
        if !whole || self.tags.iter().any(|tag| tag.is_in(&fd)) {
            let tags = self.tags.iter().filter(|tag| whole && tag.is_in(&fd));
            let mut names: Vec<_> = tags.map(|tag| tag.name().to_vec()).collect();
            names.extend(self.roots.names_below(&self.key));
            window = Some(Window::of(&names));
            whole = false;
        }
        if let Some(above) = self.frames.last_mut() {
            above.fd = None;
        }
        self.frames.push(Frame {
            dir,
            fd: Some(fd),
            key_len: self.key.len(),
            window: window.or_else(|| self.spare.pop()).unwrap_or_default(),
            after: Vec::new(),
            whole,
            dev,
            roots_below: self.roots.has_below(&self.key),
        });
        self.hold_fewer_names();
        Ok(())
    }

    /// Forgets the longest windows above, so that huge directories in huge directories do not
    /// add up.
    fn hold_fewer_names(&mut self) {
        let Some((_, above)) = self.frames.split_last_mut() else { return };
        let mut held: usize = above.iter().map(|frame| frame.window.held()).sum();
        while held > self.bounds.names_held_max {
            let whole = above.iter_mut().filter(|frame| frame.whole && frame.window.held() > 0);
            let Some(longest) = whole.max_by_key(|frame| frame.window.held()) else { return };
            held -= longest.window.held();
            longest.forget_names();
        }
    }

    fn leave(&mut self) {
        let Some(mut frame) = self.frames.pop() else { return };
        if frame.window.held() <= SPARE_NAMES_MAX && self.spare.len() < SPARE_WINDOWS_MAX {
            frame.window.clear();
            self.spare.push(frame.window);
        }
    }

    /// Looks at what it stands at. `None`: it is not wanted.
    fn visit(&mut self) -> Option<Result<Found, Trouble>> {
        if self.key.len() > KEY_MAX_BYTES {
            let bytes_max = KEY_MAX_BYTES;
            return Some(Err(self.trouble("list", Error::PathTooLong { bytes_max })));
        }
        let frame = self.frames.last()?;
        let (whole, dev, hint) = (frame.whole, frame.dev, frame.window.current_is_dir());
        let is_root = frame.roots_below && self.roots.has(&self.key);
        let to_roots = frame.roots_below && self.roots.has_below(&self.key);
        if !whole && !is_root && to_roots {
            return Some(self.pass());
        }
        let may_exclude = whole && !is_root;
        if may_exclude && hint.is_some_and(|is_dir| self.is_excluded(is_dir)) {
            return (hint == Some(true) && to_roots).then(|| self.pass());
        }
        let stat = match self.stat() {
            Ok(stat) => stat,
            Err(error) => return Some(Err(self.trouble("stat", error))),
        };
        let is_dir = stat.file_type == FileType::Dir;
        let late = hint.is_none() && may_exclude && self.is_excluded(is_dir);
        if late || may_exclude && self.is_too_large(&stat) {
            return (is_dir && to_roots).then(|| self.pass());
        }
        self.roots_found += usize::from(is_root);
        if is_dir {
            let dev = if is_root { stat.dev } else { dev };
            let whole = !self.options.one_file_system || stat.dev == dev;
            if whole || to_roots {
                self.entering = Some(Entering { opened: None, whole, dev });
            }
        }
        self.found(stat, false).map(Ok)
    }

    /// A directory that is only a way to a root.
    fn pass(&mut self) -> Result<Found, Trouble> {
        let pass = |walk: &mut Walk| {
            let frame = walk.frames.last().ok_or(Error::Swapped)?;
            let Opened { dir, fd, stat } = frame.open(Way::Pass)?;
            let opened = Some((dir, fd));
            walk.entering = Some(Entering { opened, whole: false, dev: stat.dev });
            walk.found(stat, true).ok_or(Error::Swapped)
        };
        pass(self).map_err(|error| self.trouble("open", error))
    }

    fn stat(&mut self) -> Result<Stat, Error> {
        let frame = self.frames.last_mut().ok_or(Error::Swapped)?;
        let fd = frame.fd()?;
        stat_at(&fd, frame.name())
    }

    fn found(&self, stat: Stat, passage: bool) -> Option<Found> {
        let dir = self.frames.last()?.dir.clone();
        Some(Found { key: self.key.clone(), stat, passage, dir })
    }

    fn is_excluded(&mut self, is_dir: bool) -> bool {
        if self.options.excludes.is_empty() {
            return false;
        }
        self.path_buffer.clear();
        let bytes = self.key.iter().map(|byte| if *byte == 0 { b'/' } else { *byte });
        self.path_buffer.extend(bytes);
        self.options.excludes.exclude(&self.path_buffer, is_dir)
    }

    fn is_too_large(&self, stat: &Stat) -> bool {
        let is_file = stat.file_type == FileType::File;
        is_file && self.options.exclude_larger_than.is_some_and(|max| stat.size > max)
    }

    fn trouble(&self, during: &'static str, error: Error) -> Trouble {
        Trouble { path: path_of_key(&self.key), during, error }
    }
}

impl Iterator for Walk {
    type Item = Result<Found, Trouble>;

    fn next(&mut self) -> Option<Self::Item> {
        if !self.started
            && let Some(first) = self.start()
        {
            return Some(first);
        }
        loop {
            if let Some(entering) = self.entering.take()
                && let Err(error) = self.enter(entering)
            {
                return Some(Err(self.trouble("open", error)));
            }
            let frame = self.frames.last_mut()?;
            let advanced = frame.advance(self.bounds.names_max, &mut self.list_buffer);
            self.key.truncate(frame.key_len);
            match advanced {
                Ok(true) => {
                    join_key(&mut self.key, frame.name().to_bytes());
                    if let Some(item) = self.visit() {
                        return Some(item);
                    }
                }
                Ok(false) => self.leave(),
                Err(error) => {
                    self.leave();
                    return Some(Err(self.trouble("list", error)));
                }
            }
        }
    }
}
