//! `icecore find`: in which snapshots a file is.

use icecore::{
    format::entry::FileType,
    repo::Kept,
    verbs::{
        find::{self, Matcher},
        select,
    },
};
use serde_json::json;

use super::{
    args::Global,
    exit::Exit,
    failure::Failure,
    filter::Filter,
    item, open,
    screen::{Screen, printable},
    units,
};

/// Find files by name, in all snapshots or some
///
/// A pattern without a slash is compared with names, one with a slash with whole paths; `*` and
/// `?` stop at slashes, `**` does not.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  icecore find fstab
  icecore find '*.sql' --host db1
  icecore find -l '/srv/**/report-2026-*.pdf' --snapshot latest
  icecore find -i 'readme*' --json")]
pub struct Args {
    /// What to look for
    #[arg(value_name = "PATTERN", required = true)]
    pub patterns: Vec<String>,

    /// Only in these snapshots; may be given more than once
    #[arg(short, long, value_name = "SNAPSHOT")]
    pub snapshot: Vec<String>,

    /// Take upper and lower case for the same
    #[arg(short, long)]
    pub ignore_case: bool,

    /// Show mode, owner, size and time
    #[arg(short, long)]
    pub long: bool,

    /// Only entries of this kind
    #[arg(long = "type", value_name = "KIND", value_enum)]
    pub kind: Option<Kind>,

    #[command(flatten)]
    pub filter: Filter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    File,
    Dir,
    Symlink,
}

pub fn run(args: &Args, global: &Global, screen: &mut Screen) -> Result<Exit, Failure> {
    let names = select::names(&args.snapshot)?;
    let matcher = Matcher::new(&find::Options {
        patterns: args.patterns.clone(),
        ignore_case: args.ignore_case,
        file_type: args.kind.map(|kind| match kind {
            Kind::File => FileType::File,
            Kind::Dir => FileType::Dir,
            Kind::Symlink => FileType::Symlink,
        }),
    })
    .map_err(Failure::usage)?;
    let repository = open::open(global)?;
    let all = open::shelf(&repository)?;
    let chosen = select::several(&all, &names, &args.filter.to_select()?)?;
    let reader = repository.reader()?;
    let mut documents = Vec::new();
    for kept in chosen {
        let root = open::files(kept)?;
        let mut matches = Vec::new();
        let mut hits = 0;
        for found in find::find(&reader, &root, &matcher) {
            let item = found?;
            hits += 1;
            if screen.json {
                matches.push(item::document(&item));
                continue;
            }
            if hits == 1 {
                head(kept, screen)?;
            }
            item::show(&item, args.long, screen)?;
        }
        if screen.json && hits > 0 {
            documents.push(json!({ "matches": matches, "hits": hits, "snapshot": kept.sid }));
        }
    }
    if screen.json {
        screen.document(&documents)?;
    }
    Ok(Exit::Done)
}

fn head(kept: &Kept, screen: &mut Screen) -> Result<(), Failure> {
    let (time, host) = (units::local(kept.snapshot.time), printable(kept.snapshot.host.as_bytes()));
    screen.chat(&format!("snapshot {} of {time} on {host}:", kept.sid.short()))
}
