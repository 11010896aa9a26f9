//! The command line as clap reads it: what holds for every verb, and the list of verbs.

use std::{ffi::OsString, path::PathBuf};

use clap::{ArgAction, Args, Parser, Subcommand, builder::RangedI64ValueParser};

use super::{
    backup, cat, check, completions, diff, dump, find, forget, history, init, key, ls, man, mount,
    prune, repair, restore, snapshots, stats, tag, undelete, undo,
};

/// Deduplicated, encrypted snapshots of files, on a local disk or in a bucket.
#[derive(Debug, Parser)]
#[command(
    name = "icecore",
    version,
    subcommand_required = true,
    max_term_width = 100,
    after_help = "\
Begin here:
  export ICECORE_REPOSITORY=/srv/backup ICECORE_PASSWORD_FILE=~/.icecore-password
  icecore init
  icecore backup ~/documents
  icecore snapshots
  icecore restore latest --target /tmp/back

Exit codes: 0 done, 1 failed, 2 usage, 3 done with troubles, 10 no repository,
12 wrong password, 13 repository damaged, 14 rollback suspected, 21 conflicts left by a restore,
130 interrupted."
)]
pub struct CommandLine {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

/// What holds for every verb.
#[derive(Debug, Args)]
#[command(next_help_heading = "Repository and output")]
pub struct Global {
    /// Where the repository is: `/srv/backup`, `s3:https://host:port/bucket/prefix` or
    /// `s3:bucket/prefix` [env: ICECORE_REPOSITORY]
    #[arg(short, long, global = true, value_name = "REPO")]
    pub repo: Option<OsString>,

    /// Read where the repository is from this file [env: ICECORE_REPOSITORY_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub repository_file: Option<PathBuf>,

    /// Read the password from this file's first line [env: ICECORE_PASSWORD_FILE]
    #[arg(short, long, global = true, value_name = "FILE")]
    pub password_file: Option<PathBuf>,

    /// Run this command, without a shell, and take its output for the password
    /// [env: ICECORE_PASSWORD_COMMAND]
    #[arg(long, global = true, value_name = "COMMAND")]
    pub password_command: Option<String>,

    /// Say nothing but errors and the data that was asked for
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Name each new or changed item; twice, with restore or --dry-run: each item
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,

    /// Write JSON to standard output: one document for lists, one a line for long runs
    #[arg(long, global = true)]
    pub json: bool,

    /// Keep the cache of indexes in this directory [env: ICECORE_CACHE_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,

    /// Use a cache that is gone when the command ends, whatever --cache-dir says
    #[arg(long, global = true)]
    pub no_cache: bool,

    /// Send at most so many KiB a second to the store
    #[arg(long, global = true, value_name = "KIB", value_parser = rate())]
    pub limit_upload: Option<u32>,

    /// Read at most so many KiB a second from the store
    #[arg(long, global = true, value_name = "KIB", value_parser = rate())]
    pub limit_download: Option<u32>,

    /// Set an option of the store; may be given more than once
    #[arg(short, long = "option", global = true, value_name = "KEY=VALUE", value_parser = pair)]
    pub option: Vec<(String, String)>,
}

fn rate() -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..)
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("wanted KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// What one can ask.
#[derive(Debug, Subcommand)]
pub enum Verb {
    Init(init::Args),
    #[command(visible_alias = "snapshot")]
    Backup(backup::Args),
    #[command(visible_alias = "list")]
    Snapshots(snapshots::Args),
    Ls(ls::Args),
    Cat(cat::Args),
    Find(find::Args),
    Diff(diff::Args),
    History(history::Args),
    Dump(dump::Args),
    Restore(restore::Args),
    Undo(undo::Args),
    Tag(tag::Args),
    Forget(forget::Args),
    Undelete(undelete::Args),
    Prune(prune::Args),
    Check(check::Args),
    Stats(stats::Args),
    #[command(subcommand)]
    Key(key::Verb),
    #[command(subcommand)]
    Repair(repair::Verb),
    Mount(mount::Args),
    Completions(completions::Args),
    Man(man::Args),
    /// Print the version
    Version,
}
