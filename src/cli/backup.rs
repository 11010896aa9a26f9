//! `icecore backup`: a new snapshot of files, of a MongoDB deployment, or of both.

use std::{
    ffi::OsString,
    io::Read,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
    time::Duration,
};

use icecore::{
    format::{entry::Time, snapshot::Summary},
    id::Sid,
    repo::Repository,
    source::{
        files::{self, Excludes, Separator, Tag, WalkOptions},
        stream::Stream,
    },
    verbs::{
        backup::{self, Deployment, DumpSource, Options, Outcome, Source, Sources},
        diff::{self, Modifier, Scope},
        entries::{self, Depth, Item},
    },
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    args::Global,
    deployment,
    exit::Exit,
    failure::Failure,
    filter::split_tags,
    open,
    screen::{self, Loudness, Screen},
    units,
    watch::Watch,
};

/// Make a snapshot of files and directories, of MongoDB, or of both
///
/// Unchanged files are recognised by size, times and inode and are not read again. What can't be
/// read is left out, named and counted; the snapshot is made all the same, with exit code 3.
///
/// `mongodb://HOST/DB` takes a database and `mongodb://HOST` a whole server, all collections as of
/// one moment where the server can tell (a replica set). `mongodb:` alone stands for what
/// --mongodb-uri-file, ICECORE_MONGODB_URI or MONGODB_URI holds, the first of them. A sort that
/// does not fit in memory goes to TMPDIR, sealed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  icecore backup /srv/app /etc
  icecore backup ~ --exclude '*.o' --exclude-caches --one-file-system
  icecore backup --files-from list.txt --tag nightly
  icecore backup /srv/app mongodb://host/shop --ns-exclude 'shop.tmp*'
  icecore backup --from-dump /srv/dump
  ICECORE_MONGODB_URI=mongodb://ada:secret@host icecore backup mongodb:
  pg_dump shop | icecore backup --stdin --stdin-filename shop.sql
  icecore backup --stdin-filename shop.sql --stdin-from-command -- pg_dump shop

Patterns for --exclude are those of .gitignore: `*.o` and `target/debug` anywhere, `/srv/app/tmp`
that one, `!keep.o` takes back; the last one that matches decides.")]
pub struct Args {
    /// Files, directories, and at most one MongoDB deployment (mongodb://...); with
    /// --stdin-from-command, the command and its arguments
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,

    /// Give the snapshot these tags; may be given more than once
    #[arg(long, value_name = "TAG[,TAG...]")]
    pub tag: Vec<String>,

    /// The name of the host in the snapshot, instead of this machine's
    #[arg(short = 'H', long, value_name = "HOST", env = "ICECORE_HOST", hide_env_values = true)]
    pub host: Option<String>,

    /// Show what would be stored, and store nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,

    /// Read every file again, whatever its times say
    #[arg(short, long)]
    pub force: bool,

    /// Make no snapshot when nothing has changed
    #[arg(long)]
    pub skip_if_unchanged: bool,

    #[command(flatten)]
    pub leave_out: LeaveOut,
    #[command(flatten)]
    pub elsewhere: Elsewhere,
    #[command(flatten)]
    pub mongodb: deployment::Collections,
    #[command(flatten)]
    pub writing: Writing,
}

/// What is not taken.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What to leave out")]
pub struct LeaveOut {
    /// Leave out what matches this pattern
    #[arg(short, long, value_name = "PATTERN")]
    pub exclude: Vec<String>,

    /// Leave out what matches one of the patterns in this file, one a line
    #[arg(long, value_name = "FILE")]
    pub exclude_file: Vec<PathBuf>,

    /// Leave out the content of directories that hold such a file
    /// (NAME:HEADER: if it begins with HEADER)
    #[arg(long, value_name = "NAME[:HEADER]")]
    pub exclude_if_present: Vec<OsString>,

    /// Leave out the content of cache directories (those with a CACHEDIR.TAG)
    #[arg(long)]
    pub exclude_caches: bool,

    /// Leave out files larger than this, as in `100M`
    #[arg(long, value_name = "SIZE", value_parser = units::parse_bytes)]
    pub exclude_larger_than: Option<u64>,

    /// Do not go over to other file systems
    #[arg(short = 'x', long)]
    pub one_file_system: bool,
}

/// What to take, if it is not in the arguments.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What to take, from elsewhere")]
pub struct Elsewhere {
    /// Take the paths in this file, one a line (`-`: standard input)
    #[arg(long, value_name = "FILE")]
    pub files_from: Vec<PathBuf>,

    /// Store standard input as one file
    #[arg(long, conflicts_with_all = ["paths", "files_from", "stdin_from_command"])]
    pub stdin: bool,

    /// The name of that file
    #[arg(long, value_name = "NAME", default_value = "stdin")]
    pub stdin_filename: OsString,

    /// Run the command in the arguments and store its output as one file; a command that fails
    /// makes no snapshot
    #[arg(long, requires = "paths", conflicts_with = "files_from")]
    pub stdin_from_command: bool,
}

/// How data is packed.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Packing")]
pub struct Writing {
    /// How hard to squeeze what is new [env: ICECORE_COMPRESSION] [default: auto]
    #[arg(long, value_enum, value_name = "HOW")]
    pub compression: Option<Compression>,

    /// Fill packs up to this size, in MiB [env: ICECORE_PACK_SIZE]
    #[arg(
        long,
        value_name = "MIB",
        value_parser = clap::value_parser!(u32).range(open::PACK_SIZES_MIB)
    )]
    pub pack_size: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Compression {
    Auto,
    Off,
    Fastest,
    Better,
    Max,
}

pub fn run(args: &Args, global: &Global, screen: &mut Screen) -> Result<Exit, Failure> {
    let taken = take(args)?;
    let repository = open::open_with(global, Some(&args.writing))?;
    let ambient = repository.ambient().clone();
    let host = args.host.clone().filter(|host| !host.is_empty()).unwrap_or(ambient.host.clone());
    let connect = |uri: &PathBuf| deployment::connect(&args.mongodb, uri, &ambient);
    let mongodb = taken.mongodb.as_ref().map(connect).transpose()?;
    let open_dump = |path: &PathBuf| deployment::open_dump(&args.mongodb, path);
    let dump = args.mongodb.from_dump.as_ref().map(open_dump).transpose()?;
    let (mut excludes, mut walk) = (Vec::new(), None);
    if !taken.paths.is_empty() {
        let (options, patterns) = walk_options(&args.leave_out)?;
        (excludes, walk) = (patterns, Some(options));
    }
    if args.dry_run {
        if taken.is_stream {
            let why = "a stream can't be looked at without reading it";
            return Err(Failure::Usage(why.into()));
        }
        let files = walk.map(|walk| (taken.paths, walk));
        let collections = (mongodb.as_ref(), dump.as_ref());
        return plan(&repository, files, collections, (&host, args.force), screen);
    }
    let files = match walk {
        Some(walk) => Some(Source::Paths { paths: taken.paths, walk }),
        None if taken.is_stream => Some(Source::Stream(stream(args, ambient.clock.now())?)),
        None => None,
    };
    let tags = args.tag.iter().flat_map(|list| split_tags(list)).filter(|tag| !tag.is_empty());
    let options = Options {
        tags: tags.collect(),
        excludes,
        host,
        time: None,
        force: args.force,
        skip_if_unchanged: args.skip_if_unchanged,
    };
    let mut watch = Watch::start(screen, "backup")?;
    let sources = Sources { files, mongodb, dump };
    let outcome = backup::backup(&repository, sources, options, &watch.progress)?;
    watch.clear();
    if screen.loudness >= Loudness::Verbose {
        name_changes(&repository, &outcome, screen)?;
    }
    show(&outcome, watch.started.elapsed(), screen)?;
    Ok(if outcome.troubles > 0 { Exit::Troubles } else { Exit::Done })
}

/// What the arguments ask for.
#[derive(Default)]
struct Taken {
    /// Absolute.
    paths: Vec<Vec<u8>>,
    is_stream: bool,
    /// A connection string, or `mongodb:`.
    mongodb: Option<PathBuf>,
}

fn take(args: &Args) -> Result<Taken, Failure> {
    if args.elsewhere.stdin || args.elsewhere.stdin_from_command {
        return Ok(Taken { is_stream: true, ..Taken::default() });
    }
    let (mut uris, mut paths): (Vec<PathBuf>, Vec<PathBuf>) =
        args.paths.iter().cloned().partition(|path| deployment::is_uri(path));
    for list in &args.elsewhere.files_from {
        let what = || format!("cannot read the list of paths {}", list.display());
        let text = if list.as_os_str() == "-" {
            let mut text = Vec::new();
            std::io::stdin().read_to_end(&mut text).map(|_| text)
        } else {
            std::fs::read(list)
        };
        let text = text.map_err(|error| Failure::while_doing(what(), error))?;
        let listed = files::paths_in(&text, Separator::Line);
        paths.extend(listed.into_iter().map(|path| OsString::from_vec(path).into()));
    }
    if uris.len() > 1 {
        let why = "one snapshot holds one MongoDB deployment: back the others up one by one";
        return Err(Failure::Usage(why.into()));
    }
    if args.mongodb.from_dump.is_some() && !uris.is_empty() {
        let why = "--from-dump stands for a deployment of its own: back the other up by itself";
        return Err(Failure::Usage(why.into()));
    }
    if paths.is_empty() && uris.is_empty() && args.mongodb.from_dump.is_none() {
        let why = "what shall be backed up? name a file or a directory, or mongodb://HOST/DB";
        return Err(Failure::Usage(why.into()));
    }
    let absolute = |path: &PathBuf| {
        let what = || format!("cannot make {} an absolute path", path.display());
        let absolute = std::path::absolute(path);
        let absolute = absolute.map_err(|error| Failure::while_doing(what(), error))?;
        Ok(without_dots(absolute.as_os_str().as_bytes()))
    };
    let paths = paths.iter().map(absolute).collect::<Result<_, Failure>>()?;
    Ok(Taken { paths, is_stream: false, mongodb: uris.pop() })
}

/// `a/b/..` as `a`, as a person means it.
fn without_dots(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    [b"/", parts.join(&b'/').as_slice()].concat()
}

/// The options of the walk, and the patterns for the record.
fn walk_options(leave_out: &LeaveOut) -> Result<(WalkOptions, Vec<String>), Failure> {
    let mut patterns = leave_out.exclude.clone();
    for file in &leave_out.exclude_file {
        let what = || format!("cannot read the patterns in {}", file.display());
        let text = std::fs::read_to_string(file);
        let text = text.map_err(|error| Failure::while_doing(what(), error))?;
        patterns.extend(files::patterns_in(&text).map(str::to_owned));
    }
    let excludes = Excludes::new(patterns.iter().map(String::as_str)).map_err(Failure::usage)?;
    let tag = |typed: &OsString| Tag::parse(typed.as_bytes()).map_err(Failure::usage);
    let tags = leave_out.exclude_if_present.iter().map(tag).collect::<Result<_, Failure>>()?;
    let options = WalkOptions {
        excludes,
        exclude_if_present: tags,
        exclude_caches: leave_out.exclude_caches,
        exclude_larger_than: leave_out.exclude_larger_than,
        one_file_system: leave_out.one_file_system,
    };
    Ok((options, patterns))
}

fn stream(args: &Args, now: Timestamp) -> Result<Stream, Failure> {
    let path = [b"/", args.elsewhere.stdin_filename.as_bytes()].concat();
    let now = Time { seconds: now.as_second(), nanos: now.subsec_nanosecond().unsigned_abs() };
    let stream = if args.elsewhere.stdin_from_command {
        let command: Vec<OsString> = args.paths.iter().map(|part| part.clone().into()).collect();
        Stream::of_command(&path, now, &command)?
    } else {
        Stream::of(&path, now, Box::new(std::io::stdin()))?
    };
    Ok(stream)
}

fn plan(
    repository: &Repository,
    files: Option<(Vec<Vec<u8>>, WalkOptions)>,
    (mongodb, dump): (Option<&Deployment>, Option<&DumpSource>),
    (host, force): (&str, bool),
    screen: &mut Screen,
) -> Result<Exit, Failure> {
    let mut watch = Watch::start(screen, "plan")?;
    let collections = deployment::plan(mongodb, dump, &watch.progress)?;
    let planned = match files {
        Some((paths, walk)) => {
            Some(backup::plan(repository, paths, walk, host, force, &watch.progress)?)
        }
        None => None,
    };
    watch.clear();
    if screen.json {
        let now = repository.ambient().clock.now();
        let nothing = Summary { backup_start: now, backup_end: now, ..Summary::default() };
        let summary_of = planned.as_ref().map_or(&nothing, |plan| &plan.summary);
        let mut document = summary(summary_of, watch.started.elapsed());
        document["dry_run"] = true.into();
        let of_files = planned.as_ref().map_or(0, |plan| plan.bytes_to_read);
        let of_collections = collections.iter().flatten().map(|one| one.bytes).sum::<u64>();
        document["bytes_to_read"] = (of_files + of_collections).into();
        if let Some(collections) = &collections {
            document["collections"] = deployment::plan_document(collections);
        }
        screen.document(&document)?;
    } else {
        if let Some(collections) = &collections {
            deployment::show_plan(collections, screen)?;
        }
        if let Some(plan) = &planned {
            counts(&plan.summary, screen)?;
            screen.chat(&format!("would read {}", units::bytes(plan.bytes_to_read)))?;
        }
    }
    Ok(if watch.troubles() > 0 { Exit::Troubles } else { Exit::Done })
}

/// Names what differs from the snapshot before, or everything when there was none.
fn name_changes(
    repository: &Repository,
    outcome: &Outcome,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let (Some(new), all) = (outcome.snapshot, repository.survey()?.kept) else { return Ok(()) };
    let root = |sid: Sid| {
        let kept = all.iter().find(|kept| kept.sid == sid)?;
        entries::files_root(&kept.snapshot)
    };
    let Some(new) = root(new) else { return Ok(()) };
    let reader = repository.reader()?;
    let Some(old) = outcome.parent.and_then(root) else {
        for item in entries::below(&reader, &new, b"/", Depth::Everything)? {
            name(Modifier::Added, &item?, screen)?;
        }
        return Ok(());
    };
    let scope = Scope::default();
    for changed in diff::diff(&reader, &old, &new, &scope) {
        let changed = changed?;
        let is_small = changed.modifier == Modifier::Metadata;
        if !is_small || screen.loudness == Loudness::VeryVerbose {
            name(changed.modifier, changed.item(), screen)?;
        }
    }
    Ok(())
}

fn name(modifier: Modifier, item: &Item, screen: &mut Screen) -> Result<(), Failure> {
    let action = match modifier {
        Modifier::Added => "new",
        Modifier::Removed => "removed",
        Modifier::Type | Modifier::Content => "modified",
        Modifier::Metadata => "metadata",
    };
    if screen.json {
        return screen.document(&json!({
            "message_type": "verbose_status",
            "action": action,
            "item": String::from_utf8_lossy(&item.path()),
            "data_size": item.entry.size,
        }));
    }
    screen.bytes(format!("{action:8}  ").as_bytes())?;
    screen.path(&item.path())?;
    screen.bytes(b"\n")
}

fn show(outcome: &Outcome, took: Duration, screen: &mut Screen) -> Result<(), Failure> {
    let Summary { data_added, data_added_packed, .. } = outcome.summary;
    if screen.json {
        let mut document = summary(&outcome.summary, took);
        document["snapshot_id"] = json!(outcome.snapshot);
        document["parent"] = json!(outcome.parent);
        document["error_count"] = outcome.troubles.into();
        if let Some(mongodb) = &outcome.mongodb {
            deployment::count_into(&mut document, &outcome.summary, mongodb);
        }
        return screen.document(&document);
    }
    let has_files = outcome.mongodb.is_none() || outcome.summary.total_files_processed > 0;
    if has_files {
        counts(&outcome.summary, screen)?;
    }
    if let Some(mongodb) = &outcome.mongodb {
        deployment::show_counts(&outcome.summary, mongodb, screen)?;
    }
    screen.chat(&format!(
        "added:  {}, stored in {}",
        units::bytes(data_added),
        units::bytes(data_added_packed)
    ))?;
    screen.chat(&format!(
        "in all: {}, {} in {}",
        units::content(&outcome.summary),
        units::bytes(outcome.summary.total_bytes_processed),
        units::duration(took)
    ))?;
    if outcome.troubles > 0 {
        let what = units::counted(outcome.troubles, "item", "items");
        screen::warn(&format!("{what} could not be read, or not whole"));
    }
    match outcome.snapshot {
        Some(sid) => screen.chat(&format!("snapshot {} made", sid.short())),
        None => screen.chat("nothing has changed: no snapshot made"),
    }
}

fn counts(summary: &Summary, screen: &mut Screen) -> Result<(), Failure> {
    let Summary { files_new, files_changed, files_unmodified, .. } = *summary;
    let Summary { dirs_new, dirs_changed, dirs_unmodified, .. } = *summary;
    for (what, new, changed, same) in [
        ("files: ", files_new, files_changed, files_unmodified),
        ("dirs:  ", dirs_new, dirs_changed, dirs_unmodified),
    ] {
        let [new, changed, same] = [new, changed, same].map(units::count);
        screen.chat(&format!("{what} {new} new, {changed} changed, {same} unmodified"))?;
    }
    Ok(())
}

fn summary(summary: &Summary, took: Duration) -> Value {
    let mut document = json!(summary);
    document["message_type"] = "summary".into();
    document["total_duration"] = took.as_secs_f64().into();
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_go_as_a_person_means_them() {
        for (path, plain) in [
            ("/a/b", "/a/b"),
            ("/a/./b/", "/a/b"),
            ("/a/b/../c", "/a/c"),
            ("/../..", "/"),
            ("/", "/"),
        ] {
            assert_eq!(without_dots(path.as_bytes()), plain.as_bytes());
        }
    }
}
