//! Restore: a snapshot's files, or some of them, into a directory.

mod batch;
mod compare;
mod crew;
mod entries;
mod hands;
mod item;
mod judge;
mod large;
mod links;
mod plan;
mod select;
mod tally;
mod verify;
mod walk;

use std::path::PathBuf;

use crossbeam_channel::bounded;

use crew::{Crew, Job, Stop};
use entries::Scope;
use hands::Hands;
use links::Links;
use plan::Planner;
use tally::Tally;
use verify::Checker;
use walk::Walk;

use crate::{
    id::BlobId,
    progress::Progress,
    repo::ReadBlobs,
    sink::{self, Target, TargetOptions},
    tree::{self, Root},
};

pub(super) use tally::one_line;

pub use judge::Conflict;
pub use plan::Plan;
pub use select::{BadPattern, Selection};
pub use tally::Outcome;

/// So many jobs wait for each worker at most; a job may hold open a few directories.
const JOBS_WAITING_MAX: usize = 8;

/// What to restore, where, and what to do about what is there.
#[derive(Debug)]
pub struct Options {
    /// Made when it is not there.
    pub target: PathBuf,
    /// A path in the snapshot (`/abs/path`, any bytes): a directory's content, or a single file,
    /// comes to stand directly in the target. Empty: everything, by its whole path.
    pub subpath: Vec<u8>,
    pub selection: Selection,
    pub conflict: Conflict,
    /// Reads back every file that should be there now, and compares. What `Conflict::Skip` left and
    /// differs is a conflict then; what `Conflict::Newest` left as newer is not asked about.
    pub verify: bool,
    /// Threads that fetch and write, beside the one that walks.
    pub workers: usize,
    pub target_options: TargetOptions,
}

/// Where content comes from and how it is named.
pub struct Ground<'a, R: ReadBlobs> {
    pub reader: &'a R,
    /// The id of a chunk's plain bytes.
    pub name: &'a (dyn Fn(&[u8]) -> BlobId + Sync),
    /// The blob is damaged or lost, and others may well be had: the file is named and the run
    /// goes on. Any other error of the repository ends it.
    pub is_damage: fn(&R::Error) -> bool,
}

impl<R: ReadBlobs> Ground<'_, R> {
    pub(self) fn is_damaged(&self, error: &tree::Error<R::Error>) -> bool {
        error.is_damage(self.is_damage)
    }

    /// `None`: it can't be read, and the rest may well be.
    pub(self) fn unless_damaged<T>(
        &self,
        read: Result<T, tree::Error<R::Error>>,
    ) -> Result<Option<T>, tree::Error<R::Error>> {
        match read {
            Err(error) if self.is_damaged(&error) => Ok(None),
            read => read.map(Some),
        }
    }
}

/// Why a restore ended early, or never began.
#[derive(Debug, thiserror::Error)]
pub enum Error<E: std::error::Error + 'static> {
    #[error("cannot write to the target")]
    Target(#[from] sink::Error),
    #[error("cannot write {path} to the target")]
    Write { path: String, source: sink::Error },
    #[error("cannot read the snapshot")]
    Snapshot(#[from] tree::Error<E>),
    #[error("the snapshot has no {path}")]
    NoSuchPath { path: String },
    #[error("no path matches {patterns}")]
    NothingMatches { patterns: String },
    #[error("interrupted; the same command goes on from here")]
    Cancelled,
}

/// What `carry_out` would do now. Writes nothing.
pub fn plan<R: ReadBlobs>(
    ground: &Ground<'_, R>,
    root: &Root,
    options: &Options,
    progress: &Progress,
) -> Result<Plan, Error<R::Error>> {
    let scope = Scope::of(ground, root, &options.subpath)?;
    progress.phase("plan");
    progress.expect(scope.entries, scope.bytes);
    let links = Links::default();
    let planner = Planner {
        plan: Plan::default(),
        ground,
        links: &links,
        buffer: Vec::new(),
        conflict: options.conflict,
        progress,
        top: Target::look(&options.target, &options.target_options)?,
        stack: Vec::new(),
    };
    let mut walk = Walk::new(&options.selection, scope.strip_bytes, planner);
    scope.walk(&mut walk)?;
    let plan = walk.finish()?.plan;
    matched(&options.selection, plan.troubles)?;
    Ok(plan)
}

/// That any include has matched anything, unless it may lie where there was trouble.
fn matched<E: std::error::Error>(selection: &Selection, troubles: u64) -> Result<(), Error<E>> {
    match selection.is_in_vain() && troubles == 0 {
        true => Err(Error::NothingMatches { patterns: selection.unmatched().join(", ") }),
        false => Ok(()),
    }
}

/// Restores. Entries that fail are told to `progress`, counted, and stop nothing.
pub fn carry_out<R: ReadBlobs>(
    ground: &Ground<'_, R>,
    root: &Root,
    options: &Options,
    progress: &Progress,
) -> Result<Outcome, Error<R::Error>> {
    let scope = Scope::of(ground, root, &options.subpath)?;
    let target = Target::open(&options.target, &options.target_options)?;
    let tally = Tally::default();
    progress.phase("restore");
    progress.expect(scope.entries, scope.bytes);
    let mut crew = Crew {
        ground,
        conflict: options.conflict,
        will_verify: options.verify,
        only_verify: false,
        tally: &tally,
        progress,
        stop: Stop::default(),
    };
    let links = Links::default();
    let (walked, mut left) = with_workers(&crew, options.workers, |send| {
        let hands = Hands::new(&crew, &links, target.top(), send);
        let mut walk = Walk::new(&options.selection, scope.strip_bytes, hands);
        let walked = scope.walk(&mut walk);
        // However it ended: a directory that was made gets its modes and times.
        let mut hands = walk.finish()?;
        hands.flush();
        Ok((walked, hands.into_left()))
    })?;
    left.settle(&crew);
    crew.stop.result()?;
    walked?;
    // Nobody says of what was queued by then that it was dropped.
    crew.go_on()?;
    matched(&options.selection, tally.outcome().troubles)?;
    if options.verify {
        progress.phase("verify");
        progress.expect(scope.entries, scope.bytes);
        crew.only_verify = true;
        with_workers(&crew, options.workers, |send| {
            let checker = Checker::new(&crew, target.top(), send);
            let mut walk = Walk::new(&options.selection, scope.strip_bytes, checker);
            scope.walk(&mut walk)?;
            walk.finish()?.flush();
            Ok(())
        })?;
        crew.stop.result()?;
        crew.go_on()?;
    }
    Ok(tally.outcome())
}

/// Runs `walk` here and the crew's work beside it. What stopped the crew is the caller's to ask.
fn with_workers<'l, R: ReadBlobs, T>(
    crew: &Crew<'_, R>,
    workers: usize,
    walk: impl FnOnce(&mut dyn FnMut(Job<'l>)) -> Result<T, Error<R::Error>>,
) -> Result<T, Error<R::Error>> {
    let workers = workers.max(1);
    let (sender, jobs) = bounded(workers * JOBS_WAITING_MAX);
    std::thread::scope(|threads| {
        for _ in 0..workers {
            threads.spawn(|| crew.work(&jobs));
        }
        // Dropped at the end of this block, and with it the workers' work ends.
        let sender = sender;
        walk(&mut |job| sender.send(job).expect("workers stay until we are through"))
    })
}
