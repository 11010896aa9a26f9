//! `icecore diff`: what changed from one snapshot to another.

use icecore::{
    format::entry::{self, Kind},
    verbs::{
        diff::{self, Changed, Modifier, Scope, Tally},
        select::{self, Reference},
    },
};
use serde_json::json;

use super::{
    args::Global, exit::Exit, failure::Failure, filter::Filter, open, screen::Screen, units,
};

/// Show what changed from one snapshot to another
///
/// `+` added, `-` removed, `M` content changed, `T` another kind of thing now, `U` metadata
/// changed (with --metadata). It costs what changed, not what there is.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  icecore diff latest~1 latest
  icecore diff --metadata 3f9a12bc 81d0c6a4
  icecore diff latest~1:/etc latest:/etc")]
pub struct Args {
    /// The older one, and perhaps a path in it
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    pub from: String,

    /// The newer one, and perhaps a path in it
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    pub to: String,

    /// Show also what changed in nothing but mode, owner, times or attributes
    #[arg(long)]
    pub metadata: bool,

    #[command(flatten)]
    pub filter: Filter,
}

pub fn run(args: &Args, global: &Global, screen: &mut Screen) -> Result<Exit, Failure> {
    let (from, to): (Reference, Reference) = (args.from.parse()?, args.to.parse()?);
    let repository = open::open(global)?;
    let all = open::shelf(&repository)?;
    let filter = args.filter.to_select()?;
    let old = select::one(&all, &from.name, &filter)?;
    let new = select::one(&all, &to.name, &filter)?;
    let key = |path: Option<&str>| entry::key_of_path(path.unwrap_or("/").as_bytes());
    let scope = Scope { old: key(from.path()?)?, new: key(to.path()?)? };
    let reader = repository.reader()?;
    let (old_root, new_root) = (open::files(old)?, open::files(new)?);
    let mut tally = Tally::default();
    for changed in diff::diff(&reader, &old_root, &new_root, &scope) {
        let changed = changed?;
        tally.count(&changed);
        if changed.modifier != Modifier::Metadata || args.metadata {
            show(&changed, screen)?;
        }
    }
    if screen.json {
        screen.document(&json!({
            "message_type": "statistics",
            "source_snapshot": old.sid,
            "target_snapshot": new.sid,
            "changed_files": tally.changed_files,
            "changed_metadata": tally.changed_metadata,
            "added": tally.added,
            "removed": tally.removed,
        }))?;
    } else {
        sum_up(&tally, screen)?;
    }
    Ok(Exit::Done)
}

fn show(changed: &Changed, screen: &mut Screen) -> Result<(), Failure> {
    let item = changed.item();
    let mut path = item.path();
    if item.entry.kind == Kind::Dir {
        path.push(b'/');
    }
    if screen.json {
        return screen.document(&json!({
            "message_type": "change",
            "path": String::from_utf8_lossy(&path),
            "modifier": changed.modifier.letter(),
        }));
    }
    screen.bytes(format!("{}    ", changed.modifier.letter()).as_bytes())?;
    screen.path(&path)?;
    screen.bytes(b"\n")
}

fn sum_up(tally: &Tally, screen: &mut Screen) -> Result<(), Failure> {
    let Tally { changed_files, changed_metadata, added, removed } = tally;
    let numbers = [added.files, removed.files, *changed_files].map(units::count);
    screen.chat("")?;
    screen.chat(&format!(
        "files:  {} new, {} removed, {} changed; {} with other metadata",
        numbers[0],
        numbers[1],
        numbers[2],
        units::count(*changed_metadata)
    ))?;
    for (what, added, removed) in
        [("dirs:   ", added.dirs, removed.dirs), ("others: ", added.others, removed.others)]
    {
        if added + removed > 0 {
            let (added, removed) = (units::count(added), units::count(removed));
            screen.chat(&format!("{what}{added} new, {removed} removed"))?;
        }
    }
    let (added, removed) = (units::bytes(added.bytes), units::bytes(removed.bytes));
    screen.chat(&format!("data:   {added} added, {removed} removed"))
}
