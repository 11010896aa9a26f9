//! `icecore undelete`: forgotten snapshots come back.

use icecore::{
    repo::Kept,
    verbs::{select, undelete},
};
use serde_json::json;

use super::{args::Global, exit::Exit, failure::Failure, open, screen::Screen, units};

/// Bring forgotten snapshots back
///
/// Possible until the undelete window is over (14 days, unless it was chosen otherwise). The
/// snapshot comes back under a new id.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  icecore snapshots --forgotten
  icecore undelete 3f9a12bc")]
pub struct Args {
    /// The forgotten ones to bring back
    #[arg(value_name = "SNAPSHOT", required = true)]
    pub snapshots: Vec<String>,

    /// Show what would come back, and bring nothing back
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}

pub fn run(args: &Args, global: &Global, screen: &mut Screen) -> Result<Exit, Failure> {
    let names = select::names(&args.snapshots)?;
    let repository = open::open(global)?;
    let all = open::shelf(&repository)?;
    let mut chosen = Vec::new();
    for name in &names {
        let kept = select::one_forgotten(&all, name)?;
        if !chosen.contains(&kept) {
            chosen.push(kept);
        }
    }
    for kept in chosen {
        let old = kept.sid.short();
        // Tags may have been changed: its content is that of the first of its family.
        let first = kept.snapshot.original.or(Some(kept.sid));
        let is_it = |live: &&Kept| live.snapshot.original == first;
        let (told, sid, line) = if let Some(live) = select::live(&all).find(is_it) {
            let line = format!("{old} is there already, as {}", live.sid.short());
            ("already_there", Some(live.sid), line)
        } else if args.dry_run {
            let time = units::local(kept.snapshot.time);
            ("would_undelete", None, format!("would bring {old} of {time} back"))
        } else {
            let sid = undelete::undelete(&repository, kept)?;
            ("undeleted", Some(sid), format!("{old} is back as {}", sid.short()))
        };
        if screen.json {
            screen.document(&json!({
                "message_type": told,
                "old_snapshot_id": kept.sid,
                "snapshot_id": sid,
            }))?;
        } else {
            screen.chat(&line)?;
        }
    }
    Ok(Exit::Done)
}
