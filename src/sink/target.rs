//! The directory that a restore may write in, and how places below it are reached.

use std::{
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
    path::Path,
};

use rustix::{
    fs::{FlockOperation, Mode, OFlags, ResolveFlags, flock, openat, openat2},
    io::Errno,
};

use super::{Dir, Error, Name, Place};

/// So many directories above the one at hand stay open; depth-first order makes few enough.
const TRAIL_OPEN_MAX: usize = 48;

/// How names become directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Resolve {
    /// One openat2(2) call that the kernel keeps beneath and off symbolic links; where the kernel
    /// has none, or a sandbox forbids it, as `Steps`.
    #[default]
    Kernel,
    /// Name by name, each opened without following.
    Steps,
}

#[derive(Debug, Clone, Default)]
pub struct TargetOptions {
    pub resolve: Resolve,
}

/// A directory, held open: whatever names it is given, nothing outside it is written.
///
/// A directory that someone moves out of the target while it is being filled takes what is
/// written into it along; nobody's symbolic or hard links are followed or written through.
#[derive(Debug)]
pub struct Target {
    top: Dir,
    /// Holds the lock that keeps a second restore out.
    _locked: std::fs::File,
}

impl Target {
    /// Opens `dir`, made (with its parents) when it is not there. The path itself is the user's
    /// word and may lead through symbolic links. Takes a lock that the kernel drops with us.
    pub fn open(dir: &Path, options: &TargetOptions) -> Result<Self, Error> {
        let shown = || dir.display().to_string();
        let failed = |error: std::io::Error| Error::Open {
            dir: shown(),
            source: Errno::from_io_error(&error).unwrap_or(Errno::IO),
        };
        std::fs::create_dir_all(dir).map_err(failed)?;
        let flags = (OFlags::DIRECTORY | OFlags::CLOEXEC).bits() as i32;
        let mut opening = std::fs::OpenOptions::new();
        let locked = opening.read(true).custom_flags(flags).open(dir).map_err(failed)?;
        // Some network file systems know no such lock; there the user's care must do.
        let lock = flock(&locked, FlockOperation::NonBlockingLockExclusive);
        if lock == Err(Errno::WOULDBLOCK) {
            return Err(Error::Busy { dir: shown() });
        }
        let top = openat(&locked, c".", Dir::FLAGS, Mode::empty())
            .map_err(|source| Error::Open { dir: shown(), source })?;
        let resolve = usable(options.resolve, &top);
        Ok(Target { top: Dir::new(top, resolve, false), _locked: locked })
    }

    /// A second look at a directory for comparing only: takes no lock, makes nothing. `None`
    /// when it is not there.
    pub fn look(dir: &Path, options: &TargetOptions) -> Result<Option<Dir>, Error> {
        let flags = (OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC).bits() as i32;
        match std::fs::OpenOptions::new().read(true).custom_flags(flags).open(dir) {
            Ok(top) => {
                let top = OwnedFd::from(top);
                let resolve = usable(options.resolve, &top);
                Ok(Some(Dir::new(top, resolve, false)))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::Open {
                dir: dir.display().to_string(),
                source: Errno::from_io_error(&error).unwrap_or(Errno::IO),
            }),
        }
    }

    /// The directory itself.
    pub fn top(&self) -> &Dir {
        &self.top
    }
}

/// Kernels before 5.6 have no openat2, and some sandboxes forbid it.
fn usable(wanted: Resolve, top: &OwnedFd) -> Resolve {
    match wanted {
        Resolve::Kernel if openat2(top, c".", Dir::FLAGS, Mode::empty(), beneath()).is_ok() => {
            Resolve::Kernel
        }
        _ => Resolve::Steps,
    }
}

fn beneath() -> ResolveFlags {
    ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS
}

/// Opens the directory `names` below `from` by `resolve`'s way.
pub(super) fn descend<'n>(
    from: &OwnedFd,
    names: impl Iterator<Item = Name<'n>>,
    resolve: Resolve,
) -> Result<Option<OwnedFd>, Errno> {
    match resolve {
        Resolve::Steps => {
            let mut at: Option<OwnedFd> = None;
            for name in names {
                let dir = at.as_ref().unwrap_or(from);
                at = Some(openat(dir, name.bytes(), Dir::FLAGS, Mode::empty())?);
            }
            Ok(at)
        }
        Resolve::Kernel => descend_in_runs(from, names),
    }
}

/// One call for as many names as a path may be long.
fn descend_in_runs<'n>(
    from: &OwnedFd,
    names: impl Iterator<Item = Name<'n>>,
) -> Result<Option<OwnedFd>, Errno> {
    const RUN_MAX_BYTES: usize = 3000;
    let mut at: Option<OwnedFd> = None;
    let mut run: Vec<u8> = Vec::new();
    let step = |run: &mut Vec<u8>, at: &mut Option<OwnedFd>| -> Result<(), Errno> {
        let dir = at.as_ref().unwrap_or(from);
        *at = Some(openat2(dir, run.as_slice(), Dir::FLAGS, Mode::empty(), beneath())?);
        run.clear();
        Ok(())
    };
    for name in names {
        if !run.is_empty() && run.len() + name.bytes().len() > RUN_MAX_BYTES {
            step(&mut run, &mut at)?;
        }
        if !run.is_empty() {
            run.push(b'/');
        }
        run.extend_from_slice(name.bytes());
    }
    if !run.is_empty() {
        step(&mut run, &mut at)?;
    }
    Ok(at)
}

/// The open directories from the target down to where a depth-first walk is: a bounded stack.
#[derive(Debug)]
pub struct Trail {
    top: Dir,
    key: Vec<u8>,
    /// Each with the length of its key; the deepest last.
    open: Vec<(usize, Dir)>,
}

impl Trail {
    pub fn new(top: Dir) -> Self {
        Trail { top, key: Vec::new(), open: Vec::new() }
    }

    /// The directory at `place`, which must be there.
    pub fn dir(&mut self, place: Place<'_>) -> Result<Dir, Error> {
        let shared = place.shared_key_bytes(&self.key);
        while self.open.last().is_some_and(|(key_bytes, _)| *key_bytes > shared) {
            self.open.pop();
        }
        self.key.truncate(self.open.last().map_or(0, |(key_bytes, _)| *key_bytes));
        if self.key.len() == place.key().len() {
            return Ok(self.deepest().clone());
        }
        let start = self.key.len() + usize::from(!self.key.is_empty());
        let rest = Place::new(&place.key()[start..])?;
        let dir = self.deepest().descend(rest)?;
        self.enter(place, dir.clone());
        Ok(dir)
    }

    /// `dir`, just made or opened at `place`, is where the walk goes on.
    pub fn enter(&mut self, place: Place<'_>, dir: Dir) {
        let shared = place.shared_key_bytes(&self.key);
        while self.open.last().is_some_and(|(key_bytes, _)| *key_bytes > shared) {
            self.open.pop();
        }
        self.key.clear();
        self.key.extend_from_slice(place.key());
        if !place.is_top() {
            self.open.push((place.key().len(), dir));
        }
        if self.open.len() > TRAIL_OPEN_MAX {
            self.open.remove(0);
        }
    }

    fn deepest(&self) -> &Dir {
        self.open.last().map_or(&self.top, |(_, dir)| dir)
    }
}
