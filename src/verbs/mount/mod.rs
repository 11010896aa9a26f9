//! Mount: snapshots as directories, read on demand.
//!
//! ```text
//! MOUNTPOINT/<snapshot>/abs/path      by the first digits of its id
//! MOUNTPOINT/latest -> <snapshot>
//! MOUNTPOINT/by-date/2026-11-21T10-00-00Z -> ../<snapshot>
//! ```

mod answers;
mod chunks;
mod inodes;
mod shelf;
mod view;

use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use fuser::{BackgroundSession, Config, MountOption, SessionACL};
use rustix::{
    io::Errno,
    mount::{UnmountFlags, unmount},
};

use crate::{ambient::Ambient, progress::Progress, repo::ReadBlobs};

pub use shelf::{List, Shelved};

use answers::Answers;

/// Threads that answer the kernel.
const THREADS: usize = 4;
const POLL: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub struct Options {
    /// An existing directory with nothing in it.
    pub mountpoint: PathBuf,
    /// Others than who mounts may look, as far as the modes in the snapshots let them.
    pub allow_other: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot mount on {mountpoint}")]
    Mount { mountpoint: PathBuf, source: io::Error },
    #[error("{mountpoint} is not empty, and a mount would hide what is in it")]
    NotEmpty { mountpoint: PathBuf },
    #[error("{mountpoint} is a mount that nobody answers for any more")]
    Dead { mountpoint: PathBuf },
    #[error("cannot unmount {mountpoint}")]
    Unmount { mountpoint: PathBuf, source: io::Error },
}

/// How a mount ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmounted {
    Unused,
    /// Someone had a file or a working directory in it: nobody finds it any more, and what is in
    /// use stays so until the process ends, and can't be read from then on.
    InUse,
}

/// A mount that others can see. Dropped, it is unmounted.
pub struct Mounted {
    session: BackgroundSession,
    mountpoint: PathBuf,
}

/// Mounts. What cannot be read later is an input/output error there and a trouble of `progress`.
pub fn mount<R: ReadBlobs + 'static>(
    reader: R,
    list: List,
    options: Options,
    ambient: Ambient,
    progress: Arc<Progress>,
) -> Result<Mounted, Error> {
    let Options { mountpoint, allow_other } = options;
    match std::fs::read_dir(&mountpoint).map(|mut dir| dir.next().is_none()) {
        Ok(true) => {}
        Ok(false) => return Err(Error::NotEmpty { mountpoint }),
        Err(source) if source.raw_os_error() == Some(Errno::NOTCONN.raw_os_error()) => {
            return Err(Error::Dead { mountpoint });
        }
        Err(source) => return Err(Error::Mount { mountpoint, source }),
    }
    let mut config = Config::default();
    let name = MountOption::FSName("icecore".to_owned());
    config.mount_options = vec![name, MountOption::RO, MountOption::NoSuid, MountOption::NoDev];
    if allow_other {
        // Else the one who mounts is alone with it, and may read what he restores anyway.
        config.mount_options.push(MountOption::DefaultPermissions);
        config.acl = SessionACL::All;
    }
    config.n_threads = Some(THREADS);
    let answers = Answers::new(reader, list, ambient, progress);
    match fuser::spawn_mount(answers, &mountpoint, &config) {
        Ok(session) => Ok(Mounted { session, mountpoint }),
        Err(source) => Err(Error::Mount { mountpoint, source }),
    }
}

impl Mounted {
    pub fn unmount(self) -> Result<Unmounted, Error> {
        let Mounted { session, mountpoint } = self;
        let unmounted = match rustix::process::geteuid().is_root() {
            true => by_ourselves(session, &mountpoint),
            false => by_helper(session, &mountpoint),
        };
        unmounted.map_err(|source| Error::Unmount { mountpoint, source })
    }

    /// Returns when `progress` is cancelled and it is unmounted, or someone else unmounted it.
    pub fn wait(self, progress: &Progress, ambient: &Ambient) -> Result<Unmounted, Error> {
        while !self.session.guard.is_finished() {
            if progress.is_cancelled() {
                return self.unmount();
            }
            ambient.clock.sleep(POLL);
        }
        let Mounted { session, mountpoint } = self;
        match session.join() {
            Ok(()) => Ok(Unmounted::Unused),
            Err(source) => Err(Error::Unmount { mountpoint, source }),
        }
    }
}

fn by_ourselves(session: BackgroundSession, mountpoint: &Path) -> io::Result<Unmounted> {
    match session.umount_and_join() {
        Ok(()) => Ok(Unmounted::Unused),
        // Its threads go on answering. A mount left behind would be dead, and in everybody's way.
        Err(error) if error.raw_os_error() == Some(Errno::BUSY.raw_os_error()) => {
            unmount(mountpoint, UnmountFlags::DETACH)?;
            Ok(Unmounted::InUse)
        }
        Err(error) => Err(error),
    }
}

/// Who is not root can mostly unmount only through the helper that mounted.
fn by_helper(session: BackgroundSession, mountpoint: &Path) -> io::Result<Unmounted> {
    if !fusermount("-u", mountpoint) && fusermount("-uz", mountpoint) {
        // Joined, it would wait for whoever is in there; dropped, it would unmount once more.
        std::mem::forget(session);
        return Ok(Unmounted::InUse);
    }
    by_ourselves(session, mountpoint)
}

/// Whether it did it.
fn fusermount(flag: &str, mountpoint: &Path) -> bool {
    let run = |program| {
        let mut command = Command::new(program);
        command.arg(flag).arg("--").arg(mountpoint).stdin(Stdio::null()).stderr(Stdio::null());
        command.status()
    };
    let status = match run("fusermount3") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => run("fusermount"),
        status => status,
    };
    status.is_ok_and(|status| status.success())
}
