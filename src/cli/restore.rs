//! `icecore restore`: files back to where they are wanted.

use std::{
    ffi::OsString,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Duration,
};

use icecore::{
    id::BlobKind,
    repo,
    sink::TargetOptions,
    verbs::{
        restore::{self, Ground, Outcome, Plan, Selection},
        restore_mongodb as verb,
        select::Reference,
    },
};
use serde_json::{Value, json};

use super::{
    args::Global,
    exit::Exit,
    failure::Failure,
    filter::Filter,
    open, restore_mongodb,
    screen::{self, Screen},
    units,
    watch::Watch,
};

/// Bring files or collections of a snapshot back
///
/// Files are written only below the target, whatever the snapshot holds; collections go to a
/// server, after a plan was shown. What is there already and right is left as it is, so that a
/// restore that was interrupted goes on when run again; a file of the right size and time is read
/// and compared before it counts as right. What a restore into a server overwrites is recorded
/// first, and `icecore undo` brings it back.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  icecore restore latest --target /tmp/back
  icecore restore latest:/srv/app --target /srv/app --conflict newest
  icecore restore latest --target /tmp/back --include '/etc/**' --dry-run
  icecore restore 3f9a12bc --target / --include /etc/fstab --verify
  icecore restore latest --to mongodb://host/
  icecore restore latest:shop.orders --to mongodb://host/shop_copy --conflict skip --dry-run
  icecore restore latest:shop.orders/65f0a1b2c3d4e5f601234567 --to mongodb://host/")]
pub struct Args {
    /// The snapshot, and perhaps a path in it that becomes the target, or a database, collection
    /// or document (`db.collection/ID`)
    #[arg(value_name = "SNAPSHOT[:PLACE]")]
    pub snapshot: OsString,

    /// The directory to restore files below; made when it is missing
    #[arg(short, long, value_name = "DIR")]
    pub target: Option<PathBuf>,

    /// Only what matches this pattern; may be given more than once. One that matches nothing is
    /// told; if none does, that is an error
    #[arg(short, long, value_name = "PATTERN")]
    pub include: Vec<String>,

    /// Not what matches this pattern; may be given more than once
    #[arg(short, long, value_name = "PATTERN")]
    pub exclude: Vec<String>,

    /// What becomes of what exists and differs [default: overwrite for files, fail for documents]
    #[arg(long, value_enum, value_name = "HOW")]
    pub conflict: Option<Conflict>,

    /// Read every file again and compare it with the snapshot; with `--conflict skip` what is left
    /// and differs is named, and ends with exit code 21
    #[arg(long)]
    pub verify: bool,

    /// Show what would be done, and write nothing; files are read and compared as without it
    #[arg(short = 'n', long)]
    pub dry_run: bool,

    #[command(flatten)]
    pub mongodb: restore_mongodb::Args,

    #[command(flatten)]
    pub filter: Filter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Conflict {
    /// Leave them and end with exit code 21
    Fail,
    /// Leave them; a file of the right size and time is not read
    Skip,
    /// Replace them
    Overwrite,
    /// Replace them if the snapshot's are newer; a file of the right size and time is not read
    Newest,
    /// Documents only: field by field
    Merge,
}

pub fn run(args: &Args, global: &Global, screen: &mut Screen) -> Result<Exit, Failure> {
    match (&args.target, &args.mongodb.to) {
        (Some(_), _) if args.mongodb.names.are_given() => {
            let why = "`--ns-include` and `--ns-exclude` are of collections, and go with `--to`";
            Err(Failure::Usage(why.into()))
        }
        (Some(target), _) => files(args, target, global, screen),
        (None, Some(uri)) => collections(args, uri, global, screen),
        (None, None) => Err(Failure::Usage(
            "where to? `--target DIR` restores files, `--to mongodb://HOST/` collections".into(),
        )),
    }
}

fn collections(
    args: &Args,
    uri: &str,
    global: &Global,
    screen: &mut Screen,
) -> Result<Exit, Failure> {
    let reference = Reference::parse(args.snapshot.as_bytes())?;
    let only_files = [
        (!args.include.is_empty(), "--include"),
        (!args.exclude.is_empty(), "--exclude"),
        (args.verify, "--verify"),
    ];
    if let Some((_, flag)) = only_files.into_iter().find(|(given, _)| *given) {
        let what = format!("{flag} is for files: `--ns-include` and `--query` choose documents");
        return Err(Failure::Usage(what));
    }
    let conflict = match args.conflict.unwrap_or(Conflict::Fail) {
        Conflict::Fail => verb::Conflict::Fail,
        Conflict::Skip => verb::Conflict::Skip,
        Conflict::Overwrite => verb::Conflict::Overwrite,
        Conflict::Newest => verb::Conflict::Newest,
        Conflict::Merge => verb::Conflict::Merge,
    };
    let repository = open::open(global)?;
    let all = open::shelf(&repository)?;
    let kept = all.one(&reference.name, &args.filter.to_select()?)?;
    let from = (&repository, kept, &reference.place);
    let exit = restore_mongodb::run(&args.mongodb, uri, conflict, args.dry_run, from, screen)?;
    Ok(all.end(exit))
}

fn files(
    args: &Args,
    target: &Path,
    global: &Global,
    screen: &mut Screen,
) -> Result<Exit, Failure> {
    let reference = Reference::parse(args.snapshot.as_bytes())?;
    let selection = Selection::new(&args.include, &args.exclude).map_err(Failure::usage)?;
    let options = restore::Options {
        target: target.to_owned(),
        subpath: reference.path()?.unwrap_or_default().to_vec(),
        selection,
        conflict: match args.conflict.unwrap_or(Conflict::Overwrite) {
            Conflict::Merge => {
                let what = "`merge` is for documents: of two files, one can be had";
                return Err(Failure::Usage(what.into()));
            }
            Conflict::Fail => restore::Conflict::Fail,
            Conflict::Skip => restore::Conflict::Skip,
            Conflict::Overwrite => restore::Conflict::Overwrite,
            Conflict::Newest => restore::Conflict::Newest,
        },
        verify: args.verify,
        workers: std::thread::available_parallelism().map_or(2, usize::from),
        target_options: TargetOptions::default(),
    };
    let repository = open::open(global)?;
    let all = open::shelf(&repository)?;
    let kept = all.one(&reference.name, &args.filter.to_select()?)?;
    let root = open::files(kept)?;
    let reader = repository.reader()?;
    let name = |plain: &[u8]| repository.keys().blob_id(BlobKind::Chunk, plain);
    let is_damage = repo::Error::is_damage;
    let ground = Ground { reader: &reader, name: &name, is_damage };
    let mut watch = Watch::start(screen, "restore")?;
    if args.dry_run {
        let plan = restore::plan(&ground, &root, &options, &watch.progress)?;
        watch.clear();
        name_unmatched(&options.selection);
        return Ok(all.end(show_plan(&plan, &options, screen)?));
    }
    let outcome = restore::carry_out(&ground, &root, &options, &watch.progress)?;
    watch.clear();
    name_unmatched(&options.selection);
    let seconds = watch.started.elapsed();
    if screen.json {
        screen.document(&document(&outcome, seconds))?;
    } else {
        show(&outcome, (target, options.conflict), seconds, screen)?;
    }
    Ok(all.end(exit(&outcome)))
}

/// Of several patterns one may be mistyped. (If none matches anything, that is an error.)
fn name_unmatched(selection: &Selection) {
    for pattern in selection.unmatched() {
        screen::warn(&format!("warning: no path matches --include {pattern}"));
    }
    for pattern in selection.unmatched_excludes() {
        screen::warn(&format!("warning: no path that was looked at matches --exclude {pattern}"));
    }
}

/// The worst of what happened decides.
fn exit(outcome: &Outcome) -> Exit {
    match outcome {
        Outcome { damaged: 1.., .. } => Exit::Damaged,
        Outcome { conflicts: 1.., .. } => Exit::Conflicts,
        Outcome { troubles: 1.., .. } => Exit::Troubles,
        _ => Exit::Done,
    }
}

fn show_plan(
    plan: &Plan,
    options: &restore::Options,
    screen: &mut Screen,
) -> Result<Exit, Failure> {
    if screen.json {
        screen.document(&json!({
            "message_type": "summary",
            "dry_run": true,
            "dirs_new": plan.dirs_new,
            "files_new": plan.files_new,
            "files_changed": plan.files_changed,
            "files_settled": plan.files_settled,
            "files_unmodified": plan.files_unchanged,
            "files_skipped": plan.skipped,
            "conflicts": plan.conflicts,
            "total_bytes": plan.bytes,
            "error_count": plan.troubles,
        }))?;
    } else {
        screen.chat(&format!(
            "would restore {} and replace {}, {} in all; {} right already",
            units::counted(plan.files_new, "new file", "new files"),
            units::counted(plan.files_changed, "that differs", "that differ"),
            units::bytes(plan.bytes),
            units::count(plan.files_unchanged + plan.files_settled)
        ))?;
        left(plan.skipped, plan.conflicts, options.conflict, screen)?;
    }
    Ok(match plan {
        Plan { conflicts: 1.., .. } => Exit::Conflicts,
        Plan { troubles: 1.., .. } => Exit::Troubles,
        _ => Exit::Done,
    })
}

fn left(
    skipped: u64,
    conflicts: u64,
    how: restore::Conflict,
    screen: &mut Screen,
) -> Result<(), Failure> {
    if skipped > 0 {
        let what = units::counted(skipped, "entry that differs", "entries that differ");
        screen.chat(&format!("left as it is: {what}"))?;
    }
    if conflicts > 0 {
        let what = units::counted(conflicts, "conflict", "conflicts");
        screen::warn(&format!("{what}: they exist and differ"));
        screen::warn(match how {
            restore::Conflict::Skip => "hint: `--conflict overwrite` or `newest` replaces them",
            _ => "hint: `--conflict overwrite`, `skip` or `newest` says what to do with them",
        });
    }
    Ok(())
}

fn document(outcome: &Outcome, seconds: Duration) -> Value {
    let Outcome { files_restored, files_settled, files_unchanged, skipped, .. } = outcome;
    json!({
        "message_type": "summary",
        "seconds_elapsed": seconds.as_secs(),
        "total_duration": seconds.as_secs_f64(),
        "total_files": files_restored + files_settled + files_unchanged + skipped,
        "dirs_restored": outcome.dirs,
        "files_restored": files_restored,
        "files_settled": files_settled,
        "files_unmodified": files_unchanged,
        "files_skipped": skipped,
        "links_restored": outcome.links_restored,
        "others_restored": outcome.nodes_restored,
        "files_verified": outcome.files_verified,
        "conflicts": outcome.conflicts,
        "conflict_paths": outcome.conflict_paths,
        "total_bytes": outcome.bytes_restored + outcome.bytes_reused,
        "bytes_restored": outcome.bytes_restored,
        "bytes_skipped": outcome.bytes_reused,
        "owners_not_set": outcome.owners_not_set,
        "damaged": outcome.damaged,
        "damaged_paths": outcome.damaged_paths,
        "error_count": outcome.troubles,
    })
}

fn show(
    outcome: &Outcome,
    (target, how): (&Path, restore::Conflict),
    seconds: Duration,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let Outcome { files_restored, files_settled, files_unchanged, .. } = outcome;
    screen.chat(&format!(
        "restored {}, {} to {} in {}",
        units::counted(*files_restored, "file", "files"),
        units::bytes(outcome.bytes_restored),
        target.display(),
        units::duration(seconds)
    ))?;
    if files_unchanged + files_settled > 0 {
        let what = units::counted(files_unchanged + files_settled, "file", "files");
        screen.chat(&format!("right already: {what}, {}", units::bytes(outcome.bytes_reused)))?;
    }
    if outcome.files_verified > 0 {
        let what = units::counted(outcome.files_verified, "file", "files");
        screen.chat(&format!("read again and found right: {what}"))?;
    }
    left(outcome.skipped, outcome.conflicts, how, screen)?;
    for path in &outcome.conflict_paths {
        screen::warn(&format!("  {}", screen::printable(path.as_bytes())));
    }
    if outcome.owners_not_set > 0 {
        let what = units::counted(outcome.owners_not_set, "entry", "entries");
        screen::warn(&format!("without root, the owner of {what} could not be set"));
    }
    if outcome.damaged > 0 {
        let what = units::counted(outcome.damaged, "entry is", "entries are");
        screen::warn(&format!("{what} damaged in the repository and not restored"));
        screen::warn("hint: `icecore check --read-data` says what is damaged and what it touches");
    }
    Ok(())
}
