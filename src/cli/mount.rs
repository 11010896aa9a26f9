//! `icecore mount`: browse snapshots as a file system.

use std::path::PathBuf;

use icecore::{
    repo::Kept,
    verbs::{
        entries,
        mount::{self, List, Options, Shelved, Unmounted},
        select,
    },
};

use super::{
    args::Global,
    exit::Exit,
    failure::Failure,
    filter::Filter,
    open,
    screen::{self, Screen},
    watch::Watch,
};

/// Browse snapshots as a read-only file system (FUSE)
///
/// Stays in the foreground; Ctrl-C or `umount` ends it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  icecore mount /mnt/backup
  ls /mnt/backup/latest/etc
  umount /mnt/backup")]
pub struct Args {
    /// An empty directory
    #[arg(value_name = "DIR")]
    pub mountpoint: PathBuf,

    /// Let other users look, too
    #[arg(long)]
    pub allow_other: bool,

    #[command(flatten)]
    pub filter: Filter,
}

pub fn run(args: &Args, global: &Global, screen: &mut Screen) -> Result<Exit, Failure> {
    let filter = args.filter.to_select()?;
    let repository = open::open(global)?;
    let reader = repository.reader()?;
    // A snapshot made later appears in the mount; a store that can't be reached just now does not
    // end it.
    let list: List = Box::new({
        let repository = repository.clone();
        move || {
            let all = repository.snapshots().ok()?;
            // After the list: what a snapshot holds is in the index before it is there.
            repository.refresh().ok()?;
            let taken = select::live(&all).filter(|kept| filter.takes(&kept.snapshot));
            Some(taken.filter_map(shelved).collect())
        }
    });
    let mut watch = Watch::start_quietly(screen)?;
    let (mountpoint, allow_other) = (args.mountpoint.clone(), args.allow_other);
    let options = Options { mountpoint, allow_other };
    let ambient = repository.ambient().clone();
    let mounted = mount::mount(reader, list, options, ambient.clone(), watch.progress.clone())?;
    screen.chat(&format!("mounted on {}; Ctrl-C unmounts", args.mountpoint.display()))?;
    screen.flush()?;
    let unmounted = mounted.wait(&watch.progress, &ambient)?;
    watch.clear();
    if unmounted == Unmounted::InUse {
        screen::warn(&format!(
            "warning: {} was still in use: it is detached, and who is in there reads no more of it",
            args.mountpoint.display()
        ));
    }
    Ok(if watch.troubles() > 0 { Exit::Troubles } else { Exit::Done })
}

fn shelved(kept: &Kept) -> Option<Shelved> {
    let root = entries::files_root(&kept.snapshot)?;
    Some(Shelved { sid: kept.sid, time: kept.snapshot.time, root })
}
