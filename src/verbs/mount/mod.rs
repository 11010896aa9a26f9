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

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use fuser::{BackgroundSession, Config, MountOption, SessionACL};

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
    #[error("cannot unmount {mountpoint}")]
    Unmount { mountpoint: PathBuf, source: io::Error },
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
    /// Fails while someone has a file or a working directory in it.
    pub fn unmount(self) -> Result<(), Error> {
        let Mounted { session, mountpoint } = self;
        session.umount_and_join().map_err(|source| Error::Unmount { mountpoint, source })
    }

    /// Returns when `progress` is cancelled and it is unmounted, or someone else unmounted it.
    pub fn wait(self, progress: &Progress, ambient: &Ambient) -> Result<(), Error> {
        while !self.session.guard.is_finished() {
            if progress.is_cancelled() {
                return self.unmount();
            }
            ambient.clock.sleep(POLL);
        }
        let Mounted { session, mountpoint } = self;
        session.join().map_err(|source| Error::Unmount { mountpoint, source })
    }
}
