//! The verb: a session, a parent, a tree, a commit.

use std::sync::atomic::Ordering::Relaxed;

use jiff::Timestamp;

use super::{
    Counts, Deployment, DumpSource, Error as Failure,
    files::Run,
    mongodb::{self, Captured, Ground},
};
use crate::{
    chunk::{self, Cutter},
    format::{
        catalogue::MONGODB_ROOT,
        config::Sizes,
        entry::path_of_key,
        snapshot::{Mongodb, NamedRoot, Snapshot, Summary},
    },
    id::Sid,
    progress::{Progress, Trouble},
    repo::{
        Damage, Error as RepoError, Kept, PROGRAM, Repository, Reuse, Session, SessionOptions,
        Survey, layout,
    },
    source::{
        files::{Walk, WalkOptions},
        stream::Stream,
    },
    tree::{Aims, Bounds, Root, Splitter, walk},
    verbs::select,
};

type Error = Failure<RepoError>;

/// The name of the tree that holds files.
pub const FILES_ROOT: &str = "files";

/// Where the bytes come from.
pub enum Source {
    /// Absolute paths, any bytes.
    Paths { paths: Vec<Vec<u8>>, walk: WalkOptions },
    /// One file that is read until its end; when it is not whole, no snapshot is made.
    Stream(Stream),
}

/// What one snapshot is made of: files, or a deployment, or both.
pub struct Sources {
    pub files: Option<Source>,
    pub mongodb: Option<Deployment>,
    /// In the place of a deployment that answers.
    pub dump: Option<DumpSource>,
}

impl From<Source> for Sources {
    fn from(files: Source) -> Self {
        Sources { files: Some(files), mongodb: None, dump: None }
    }
}

impl From<Deployment> for Sources {
    fn from(mongodb: Deployment) -> Self {
        Sources { files: None, mongodb: Some(mongodb), dump: None }
    }
}

/// What a backup is asked to do.
pub struct Options {
    pub tags: Vec<String>,
    /// As they were typed, for the record.
    pub excludes: Vec<String>,
    /// The host to record, and to look for a parent of.
    pub host: String,
    pub time: Option<Timestamp>,
    /// Read every file again.
    pub force: bool,
    /// No snapshot when the tree is the parent's.
    pub skip_if_unchanged: bool,
}

/// What a backup did.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// `None`: nothing had changed, and `skip_if_unchanged` was asked for.
    pub snapshot: Option<Sid>,
    pub parent: Option<Sid>,
    pub summary: Summary,
    /// Items that are not in the snapshot, or not whole: each was told to `Progress`.
    pub troubles: u64,
    /// What was captured of a deployment, and what moment of it.
    pub mongodb: Option<Mongodb>,
}

/// The trees of a snapshot, new or old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Roots {
    files: Option<Root>,
    mongodb: Option<Root>,
}

/// Backs the sources up. A trouble with one item is told to `progress` and counted; an error means
/// that no snapshot was made (what was uploaded is found again by the next run).
pub fn backup(
    repo: &Repository,
    sources: impl Into<Sources>,
    options: Options,
    progress: &Progress,
) -> Result<Outcome, Error> {
    let sources = sources.into();
    let started = repo.ambient().clock.now();
    let paths = shown_paths(&sources);
    let parent = find_parent(repo, &options.host, &paths, progress)?;
    let parents = parent.iter().map(|parent| parent.sid).collect();
    let session = repo.begin(SessionOptions { parents }).map_err(Error::Repo)?;
    let old = old_roots(&session, parent.as_ref())?;
    let (made, summary, mongodb) = match make(repo, &session, sources, &options, old, progress) {
        Ok(made) => made,
        Err(error) => {
            // The first error is the one to tell.
            let _ = session.abort();
            return Err(error);
        }
    };
    // What waits to be sent may take long, too.
    if progress.is_cancelled() {
        let _ = session.abort();
        return Err(Error::Cancelled);
    }
    let unchanged = options.skip_if_unchanged && old == made;
    if !unchanged {
        session.flush().map_err(Error::Repo)?;
    }
    let stats = session.stats();
    let summary = Summary {
        data_added: stats.bytes_added,
        data_added_packed: stats.bytes_added_packed,
        backup_start: started,
        backup_end: repo.ambient().clock.now(),
        ..summary
    };
    let troubles = progress.troubles.load(Relaxed);
    let parent = parent.map(|parent| parent.sid);
    let mut outcome = Outcome { snapshot: None, parent, summary, troubles, mongodb };
    if unchanged {
        session.abort().map_err(Error::Repo)?;
    } else {
        let snapshot = record(repo, &options, paths, made, &outcome);
        outcome.snapshot = Some(session.commit(snapshot).map_err(Error::Repo)?);
    }
    Ok(outcome)
}

/// The parent's trees that may be built upon.
fn old_roots(session: &Session, parent: Option<&Kept>) -> Result<Roots, Error> {
    let usable = |name| -> Result<Option<Root>, Error> {
        let root = parent.and_then(|parent| root_of(&parent.snapshot, name));
        match root {
            Some(root) if may_reuse(session, &root)? => Ok(Some(root)),
            _ => Ok(None),
        }
    };
    Ok(Roots { files: usable(FILES_ROOT)?, mongodb: usable(MONGODB_ROOT)? })
}

/// The new trees. A deployment comes before files: what its documents say of files was true by
/// then.
fn make(
    repo: &Repository,
    session: &Session,
    sources: Sources,
    options: &Options,
    old: Roots,
    progress: &Progress,
) -> Result<(Roots, Summary, Option<Mongodb>), Error> {
    let captured = match (&sources.mongodb, &sources.dump) {
        (Some(deployment), _) => Some(capture(repo, session, deployment, old.mongodb, progress)?),
        (None, Some(dump)) => Some(take_in(repo, session, dump, old.mongodb, progress)?),
        (None, None) => None,
    };
    let (files, mut summary) = match sources.files {
        Some(files) => {
            progress.phase("backup");
            let (root, counts) = merge(repo, session, files, options.force, old.files, progress)?;
            (Some(root), counts.summary())
        }
        None => (None, Summary::default()),
    };
    let mongodb = captured.as_ref().map(|captured| captured.root);
    if let Some(captured) = &captured {
        captured.count_into(&mut summary);
    }
    let deployment = captured.map(|captured| captured.deployment);
    Ok((Roots { files, mongodb }, summary, deployment))
}

fn capture(
    repo: &Repository,
    session: &Session,
    deployment: &Deployment,
    old: Option<Root>,
    progress: &Progress,
) -> Result<Captured, Error> {
    let (cutter, splitter) = (cutter(repo)?, splitter(repo)?);
    let spill_dir = &deployment.options.spill_dir;
    let ground = Ground::new(session, (&cutter, splitter), progress, repo.ambient(), spill_dir);
    mongodb::capture(&ground, deployment, old)
}

fn take_in(
    repo: &Repository,
    session: &Session,
    dump: &DumpSource,
    old: Option<Root>,
    progress: &Progress,
) -> Result<Captured, Error> {
    let (cutter, splitter) = (cutter(repo)?, splitter(repo)?);
    let cuts = (&cutter, splitter);
    let ground = Ground::new(session, cuts, progress, repo.ambient(), &dump.spill_dir);
    mongodb::take_in(&ground, dump, old)
}

fn merge(
    repo: &Repository,
    session: &Session,
    source: Source,
    force: bool,
    old: Option<Root>,
    progress: &Progress,
) -> Result<(Root, Counts), Error> {
    let (cutter, splitter) = (cutter(repo)?, splitter(repo)?);
    let run = Run::new(session, &cutter, splitter, progress, force);
    match source {
        Source::Paths { paths, walk } => {
            let mut walk = Walk::new(paths, walk).map_err(Error::Source)?;
            let merged = run.merge(&mut walk, old)?;
            if walk.roots_found() == 0 { Err(Error::NoSource) } else { Ok(merged) }
        }
        Source::Stream(stream) => run.merge_stream(stream, old),
    }
}

/// Whether subtrees of the parent may be named as they are. While a prune is under way each of its
/// blobs is looked at; if one is about to go, everything is read and stored again.
pub(in crate::verbs) fn may_reuse(session: &Session, root: &Root) -> Result<bool, Error> {
    match session.reuse() {
        Reuse::Free => Ok(true),
        Reuse::No => Ok(false),
        Reuse::Test => {
            let mut all = true;
            walk(session, root, &mut |_, id| {
                all = all && session.depend(id);
                all
            })?;
            Ok(all)
        }
    }
}

/// What cuts content in this repository.
pub(in crate::verbs) fn cutter(repo: &Repository) -> Result<Cutter, Error> {
    let Sizes { min_bytes, aim_bytes, max_bytes } = repo.config().chunks;
    let (min, aim, max) = (min_bytes as usize, aim_bytes as usize, max_bytes as usize);
    Cutter::new(repo.keys().chunker_secret(), chunk::Sizes { min, aim, max })
        .map_err(|_| Error::Sizes)
}

/// What cuts trees in this repository.
pub(in crate::verbs) fn splitter(repo: &Repository) -> Result<Splitter, Error> {
    let bounds = |sizes: Sizes| Bounds {
        min: sizes.min_bytes as usize,
        aim: sizes.aim_bytes as usize,
        max: sizes.max_bytes as usize,
    };
    let aims = Aims { leaf: bounds(repo.config().leaves), inner: bounds(repo.config().inner) };
    let aims = aims.check().map_err(|_| Error::Sizes)?;
    Ok(Splitter::new(repo.keys().splitter_secret(), aims))
}

fn record(
    repo: &Repository,
    options: &Options,
    paths: Vec<String>,
    made: Roots,
    outcome: &Outcome,
) -> Snapshot {
    let named = |name: &str, root: Option<Root>| {
        let Root { id, level, entries, bytes } = root?;
        Some(NamedRoot { name: name.into(), id, level, entries, bytes })
    };
    let roots = [named(FILES_ROOT, made.files), named(MONGODB_ROOT, made.mongodb)];
    Snapshot {
        time: options.time.unwrap_or(outcome.summary.backup_start),
        host: options.host.clone(),
        user: repo.ambient().user.clone(),
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        tags: options.tags.clone(),
        paths,
        roots: roots.into_iter().flatten().collect(),
        parent: outcome.parent,
        original: None,
        program: PROGRAM.into(),
        excludes: options.excludes.clone(),
        troubles: outcome.troubles,
        summary: outcome.summary.clone(),
        mongodb: outcome.mongodb.clone(),
    }
}

/// The newest backup of the same host and paths, as restic chooses it. The record of a restore
/// into a deployment has its paths and holds a part of it at most.
pub(super) fn find_parent(
    repo: &Repository,
    host: &str,
    paths: &[String],
    progress: &Progress,
) -> Result<Option<Kept>, Error> {
    let Survey { kept, damage, .. } = repo.survey().map_err(Error::Repo)?;
    // One that can't be read is no reason to make no new one. It may have been the parent.
    for Damage { object, error } in damage {
        if object.as_str().starts_with(layout::SNAPSHOTS) {
            let error = format!("{error}; should it be the parent, more is read than need be");
            progress.warn(Trouble { item: object.to_string(), during: "read", error });
        }
    }
    let same = |kept: &Kept| {
        kept.forgotten.is_none()
            && kept.snapshot.host == host
            && kept.snapshot.paths == paths
            && !select::is_record(&kept.snapshot)
    };
    Ok(kept.into_iter().rfind(same))
}

/// What was asked for: paths, and the deployment as it may be shown.
fn shown_paths(sources: &Sources) -> Vec<String> {
    let mut shown = match &sources.files {
        Some(Source::Paths { paths, .. }) => shown_path_list(paths),
        Some(Source::Stream(stream)) => shown_path_list(&[path_of_key(stream.key())]),
        None => Vec::new(),
    };
    shown.extend(sources.mongodb.iter().map(|deployment| deployment.link.facts().uri.clone()));
    shown.extend(sources.dump.iter().map(DumpSource::shown));
    shown.sort_unstable();
    shown
}

/// Paths as a snapshot records them.
pub(super) fn shown_path_list(paths: &[Vec<u8>]) -> Vec<String> {
    let show = |path: &Vec<u8>| String::from_utf8_lossy(path).into_owned();
    let mut shown: Vec<_> = paths.iter().map(show).collect();
    shown.sort_unstable();
    shown.dedup();
    shown
}

pub(super) fn files_root(snapshot: &Snapshot) -> Option<Root> {
    root_of(snapshot, FILES_ROOT)
}

fn root_of(snapshot: &Snapshot, name: &str) -> Option<Root> {
    let root = snapshot.roots.iter().find(|root| root.name == name)?;
    Some(Root { id: root.id, level: root.level, entries: root.entries, bytes: root.bytes })
}
