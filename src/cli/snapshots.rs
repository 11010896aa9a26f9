//! `icecore snapshots`: which snapshots there are.

use icecore::{
    id::Sid,
    repo::Kept,
    verbs::select::{self, GroupBy},
};
use serde_json::{Value, json};

use super::{
    args::Global,
    exit::Exit,
    failure::Failure,
    filter::Filter,
    open,
    screen::{self, Screen, printable},
    units,
};

/// List snapshots, oldest first
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  icecore snapshots
  icecore snapshots --host web1 --latest 3
  icecore snapshots --forgotten      # those that `icecore undelete` can bring back
  icecore snapshots --json | jq -r '.[].id'

A snapshot is named by its id, by the beginning of it, by `latest`, or by `latest~2` for the
second before the latest.")]
pub struct Args {
    /// Only these
    #[arg(value_name = "SNAPSHOT")]
    pub snapshots: Vec<String>,

    /// Only the newest N backups of each host and set of paths
    #[arg(long, value_name = "N")]
    pub latest: Option<usize>,

    /// List the forgotten ones instead, as long as they can come back
    #[arg(long)]
    pub forgotten: bool,

    #[command(flatten)]
    pub filter: Filter,
}

pub fn run(args: &Args, global: &Global, screen: &mut Screen) -> Result<Exit, Failure> {
    let names = select::names(&args.snapshots)?;
    let filter = args.filter.to_select()?;
    let repository = open::open(global)?;
    let all = open::shelf(&repository)?;
    let mut chosen = if args.forgotten {
        select::forgotten(&all).filter(|kept| filter.takes(&kept.snapshot)).collect()
    } else if args.latest.is_some() && names.is_empty() {
        select::backups(&all, &filter)
    } else {
        select::several(&all, &names, &filter)?
    };
    if let Some(count) = args.latest {
        chosen = newest(&chosen, count);
    }
    if screen.json {
        let documents: Vec<Value> = chosen.iter().map(|kept| document(kept)).collect();
        screen.document(&documents)?;
        return Ok(Exit::Done);
    }
    show(&chosen, screen)?;
    Ok(Exit::Done)
}

/// The newest of each host and set of paths, in the order of `chosen`.
fn newest<'a>(chosen: &[&'a Kept], count: usize) -> Vec<&'a Kept> {
    let groups = select::grouped(chosen, GroupBy::default());
    let newest: Vec<Sid> = groups
        .values()
        .flat_map(|group| group.iter().rev().take(count).map(|kept| kept.sid))
        .collect();
    chosen.iter().copied().filter(|kept| newest.contains(&kept.sid)).collect()
}

/// A table for people, and how many there are.
pub fn show(snapshots: &[&Kept], screen: &mut Screen) -> Result<(), Failure> {
    if !snapshots.is_empty() {
        let head = ["ID", "Time", "Host", "Tags", "Paths", "Files", "Size"];
        let text = screen::table(&head, snapshots.iter().map(|kept| row(kept)), &[5, 6]);
        screen.line(&text)?;
    }
    let count = units::counted(snapshots.len() as u64, "snapshot", "snapshots");
    screen.chat(&count)
}

fn row(kept: &Kept) -> Vec<String> {
    let snapshot = &kept.snapshot;
    let mut paths: Vec<String> = snapshot.paths.iter().map(|p| printable(p.as_bytes())).collect();
    paths.extend(snapshot.mongodb.iter().map(|mongodb| format!("  {}", units::moment(mongodb))));
    let files = match snapshot.summary.collections {
        0 => units::count(snapshot.summary.total_files_processed),
        _ => units::content(&snapshot.summary),
    };
    vec![
        kept.sid.short(),
        units::local(snapshot.time),
        printable(snapshot.host.as_bytes()),
        printable(snapshot.tags.join(",").as_bytes()),
        paths.join("\n"),
        files,
        units::bytes(snapshot.summary.total_bytes_processed),
    ]
}

/// The record for programs, in restic's words.
pub fn document(kept: &Kept) -> Value {
    let Kept { sid, snapshot, forgotten } = kept;
    let tree = snapshot.roots.first().map(|root| root.id);
    let mut document = json!({
        "time": snapshot.time,
        "parent": snapshot.parent,
        "tree": tree,
        "paths": snapshot.paths,
        "hostname": snapshot.host,
        "username": snapshot.user,
        "uid": snapshot.uid,
        "gid": snapshot.gid,
        "excludes": snapshot.excludes,
        "tags": snapshot.tags,
        "original": snapshot.original,
        "program_version": snapshot.program,
        "error_count": snapshot.troubles,
        "summary": snapshot.summary,
        "id": sid,
        "short_id": sid.short(),
    });
    if let Some(mongodb) = &snapshot.mongodb {
        document["mongodb"] = json!(mongodb);
    }
    if let Some(tombstone) = forgotten {
        document["forgotten"] = json!({
            "time": tombstone.time,
            "actor": tombstone.actor,
            "reason": tombstone.reason,
        });
    }
    document
}
