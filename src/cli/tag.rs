//! `icecore tag`: other tags on snapshots.

use icecore::verbs::{
    select,
    tag::{self, Change},
};
use serde_json::json;

use super::{
    args::Global,
    exit::Exit,
    failure::Failure,
    filter::{Filter, split_tags},
    open,
    screen::Screen,
    units,
};

/// Change the tags of snapshots
///
/// A snapshot is never edited: each gets a new id, and the old record is forgotten.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  icecore tag --add keep latest
  icecore tag --remove nightly --host web1
  icecore tag --set release,2026 3f9a12bc
  icecore tag --set '' 3f9a12bc      # no tag at all")]
pub struct Args {
    /// Only these; without any, all that the filters leave
    #[arg(value_name = "SNAPSHOT")]
    pub snapshots: Vec<String>,

    /// Add these tags
    #[arg(long, value_name = "TAG[,TAG...]", required_unless_present_any = ["remove", "set"])]
    pub add: Vec<String>,

    /// Remove these tags
    #[arg(long, value_name = "TAG[,TAG...]")]
    pub remove: Vec<String>,

    /// Replace all tags by these
    #[arg(long, value_name = "TAG[,TAG...]", conflicts_with_all = ["add", "remove"])]
    pub set: Vec<String>,

    /// Show what would change, and change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,

    #[command(flatten)]
    pub filter: Filter,
}

pub fn run(args: &Args, global: &Global, screen: &mut Screen) -> Result<Exit, Failure> {
    let tags = |lists: &[String]| -> Vec<String> {
        let all = lists.iter().flat_map(|list| split_tags(list));
        all.filter(|tag| !tag.is_empty()).collect()
    };
    let change = if args.set.is_empty() {
        Change::Edit { add: tags(&args.add), remove: tags(&args.remove) }
    } else {
        Change::Set(tags(&args.set))
    };
    let names = select::names(&args.snapshots)?;
    let repository = open::open(global)?;
    let all = open::shelf(&repository)?;
    all.is_certain(&names)?;
    let chosen = select::several(&all, &names, &args.filter.to_select()?)?;
    let plan = tag::plan(&chosen, &change);
    if args.dry_run {
        screen.chat(&format!("would change {}", snapshots(plan.len() as u64)))?;
        return Ok(Exit::Done);
    }
    let mut changed = 0;
    for step in &plan {
        let sid = tag::carry_out(&repository, step)?;
        changed += 1;
        if screen.json {
            screen.document(&json!({
                "message_type": "changed",
                "old_snapshot_id": step.kept.sid,
                "new_snapshot_id": sid,
                "tags": step.tags,
            }))?;
        } else {
            let (old, new) = (step.kept.sid.short(), sid.short());
            screen.chat(&format!("{old} is {new} now: {}", shown(&step.tags)))?;
        }
    }
    if screen.json {
        let summary = json!({ "message_type": "summary", "changed_snapshots": changed });
        screen.document(&summary)?;
    } else {
        screen.chat(&format!("changed {}", snapshots(changed)))?;
    }
    Ok(Exit::Done)
}

fn snapshots(count: u64) -> String {
    units::counted(count, "snapshot", "snapshots")
}

fn shown(tags: &[String]) -> String {
    if tags.is_empty() { "no tags".into() } else { tags.join(",") }
}
