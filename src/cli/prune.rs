//! `icecore prune`: the space of what no snapshot needs.

use std::{collections::BTreeSet, time::Duration};

use icecore::{
    id::Sid,
    limits::UNDELETE_DAYS_DEFAULT,
    repo::{
        Repository,
        collect::{MaxUnused, Options, Outcome, Plan},
    },
    verbs::prune,
};
use serde_json::json;

use super::{
    args::Global,
    exit::Exit,
    failure::Failure,
    open,
    screen::{self, Screen},
    units,
    watch::Watch,
};

/// Free the space of what no snapshot needs
///
/// Shows its plan first. Backups may run at the same time, on any host. If they are at work, the
/// space is freed by the next prune after they have ended.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  icecore prune --dry-run
  icecore prune
  icecore prune --max-unused 10% --max-repack-size 20G")]
pub struct Args {
    #[command(flatten)]
    pub limits: Limits,

    /// Show the plan, and carry nothing out
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}

/// How thorough, and at what cost.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Pruning")]
pub struct Limits {
    /// Leave so much unused data in packs that hold used data too: a share as `5%` (the default),
    /// a size as `2G`, or `unlimited`
    #[arg(long, value_name = "HOW-MUCH", value_parser = max_unused)]
    pub max_unused: Option<MaxUnused>,

    /// Copy no more than this out of packs that are given up
    #[arg(long, value_name = "SIZE", value_parser = units::parse_bytes)]
    pub max_repack_size: Option<u64>,

    /// Forgotten snapshots can come back for so many days; 0: their data goes at once, and they
    /// never come back
    #[arg(long, value_name = "DAYS", default_value_t = UNDELETE_DAYS_DEFAULT)]
    pub undelete_days: u32,

    /// Wait so long for backups at work to take note, before what they may rely on is left to the
    /// next prune
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub wait: u64,

    /// Go on even if more than 30 % of all packs go, or the last snapshot of a source, or if there
    /// is no snapshot at all
    #[arg(long)]
    pub yes: bool,

    /// Give up this session: it will never commit; may be given more than once
    #[arg(long, value_name = "SESSION")]
    pub give_up: Vec<Sid>,
}

fn max_unused(text: &str) -> Result<MaxUnused, String> {
    if text == "unlimited" {
        return Ok(MaxUnused::Unlimited);
    }
    if let Some(share) = text.strip_suffix('%') {
        let share: Option<f64> = share.trim().parse().ok();
        let share = share.filter(|share| (0.0..=100.0).contains(share));
        return share.map(MaxUnused::Percent).ok_or_else(|| "wanted 0% to 100%".into());
    }
    let size = units::parse_bytes(text).map(MaxUnused::Bytes);
    size.map_err(|error| format!("wanted a share as `5%`, or `unlimited`; {error}"))
}

impl Limits {
    fn options(&self) -> Options {
        let usual = Options::default();
        Options {
            max_unused: self.max_unused.unwrap_or(usual.max_unused),
            max_repack_bytes: self.max_repack_size,
            undelete_days: self.undelete_days,
            wait: Duration::from_secs(self.wait),
            max_percent: if self.yes { 100 } else { usual.max_percent },
            last_of_source_may_go: self.yes,
            give_up: self.give_up.clone(),
            ..usual
        }
    }
}

pub fn run(args: &Args, global: &Global, screen: &mut Screen) -> Result<Exit, Failure> {
    let repository = open::open(global)?;
    if args.dry_run {
        plan_only(&repository, &args.limits, BTreeSet::new(), screen)?;
        return Ok(Exit::Done);
    }
    carry_out(&repository, &args.limits, screen)
}

/// Shows what a prune would do if these snapshots were forgotten.
pub fn plan_only(
    repository: &Repository,
    limits: &Limits,
    as_if_forgotten: BTreeSet<Sid>,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let options = Options { as_if_forgotten, ..limits.options() };
    let mut watch = Watch::start(screen, "prune")?;
    let plan = prune::plan(repository, &options, &watch.progress)?;
    watch.clear();
    show_plan(&plan, true, screen)
}

/// Shows the plan, then does it.
pub fn carry_out(
    repository: &Repository,
    limits: &Limits,
    screen: &mut Screen,
) -> Result<Exit, Failure> {
    let mut watch = Watch::start(screen, "prune")?;
    let plan = prune::plan(repository, &limits.options(), &watch.progress)?;
    watch.clear();
    show_plan(&plan, false, screen)?;
    screen.flush()?;
    let mut watch = Watch::start(screen, "prune")?;
    let outcome = prune::carry_out(repository, plan, &watch.progress)?;
    watch.clear();
    show(&outcome, watch.started.elapsed(), screen)?;
    Ok(exit(&outcome))
}

fn exit(outcome: &Outcome) -> Exit {
    match outcome {
        Outcome { bad, .. } if !bad.is_empty() => Exit::Damaged,
        Outcome { strange, .. } if !strange.is_empty() => Exit::Troubles,
        _ => Exit::Done,
    }
}

fn show_plan(plan: &Plan, is_all: bool, screen: &mut Screen) -> Result<(), Failure> {
    let totals = &plan.totals;
    if screen.json {
        if is_all {
            screen.document(&json!({
                "message_type": "summary",
                "dry_run": true,
                "snapshots": totals.snapshots_kept,
                "packs": totals.packs,
                "packs_to_remove": totals.packs_to_delete,
                "packs_to_repack": totals.packs_to_repack,
                "bytes_total": totals.pack_bytes,
                "bytes_used": totals.used_bytes,
                "bytes_unused": totals.unused_bytes,
                "bytes_to_repack": totals.repack_bytes,
                "bytes_to_free": totals.freed_bytes,
                "bytes_unused_left": totals.unused_left_bytes,
                "sessions_at_work": totals.sessions_at_work,
            }))?;
        }
        return Ok(());
    }
    let snapshots = units::counted(totals.snapshots_kept, "snapshot", "snapshots");
    let (packs, size) =
        (units::counted(totals.packs, "pack", "packs"), units::bytes(totals.pack_bytes));
    screen.chat(&format!("{snapshots} in {packs}, {size}"))?;
    if totals.snapshots_undeletable > 0 {
        let what = units::counted(totals.snapshots_undeletable, "snapshot", "snapshots");
        screen.chat(&format!("can still come back: {what}"))?;
    }
    let (used, unused) = (units::bytes(totals.used_bytes), units::bytes(totals.unused_bytes));
    screen.chat(&format!("used:   {used}, unused {unused}"))?;
    let gone = units::counted(totals.packs_to_delete, "pack", "packs");
    screen.chat(&format!("delete: {gone}, {}", units::bytes(totals.delete_bytes)))?;
    let moved = units::counted(totals.packs_to_repack, "pack", "packs");
    screen.chat(&format!("repack: {moved}, {}", units::bytes(totals.repack_bytes)))?;
    screen.chat(&format!(
        "frees:  {}, and leaves {} unused",
        units::bytes(totals.freed_bytes),
        units::bytes(totals.unused_left_bytes)
    ))?;
    if totals.sessions_at_work > 0 {
        let what = units::counted(totals.sessions_at_work, "session is", "sessions are");
        screen.chat(&format!("{what} at work"))?;
    }
    for (sid, snapshot) in &plan.last_of_source {
        let paths = screen::printable(snapshot.paths.join(" ").as_bytes());
        let host = screen::printable(snapshot.host.as_bytes());
        screen::warn(&format!("the last snapshot of {host} {paths} goes: {}", sid.short()));
    }
    Ok(())
}

fn show(outcome: &Outcome, took: Duration, screen: &mut Screen) -> Result<(), Failure> {
    for strange in &outcome.strange {
        screen::warn(&format!("left alone: {}: {}", strange.object, strange.error));
    }
    for bad in &outcome.bad {
        let blobs = units::counted(bad.blobs.len() as u64, "blob", "blobs");
        screen::warn(&format!("pack {} stays: {blobs} in it can't be read", bad.pack));
    }
    if screen.json {
        return screen.document(&json!({
            "message_type": "summary",
            "packs_removed": outcome.packs_deleted,
            "bytes_removed": outcome.deleted_bytes,
            "packs_written": outcome.packs_written,
            "bytes_written": outcome.written_bytes,
            "blobs_moved": outcome.blobs_moved,
            "bytes_freed": outcome.freed_bytes(),
            "sets_left": outcome.sets_left,
            "packs_pinned": outcome.packs_pinned,
            "sessions_given_up": outcome.fenced,
            "packs_bad": outcome.bad.iter().map(|bad| bad.pack).collect::<Vec<_>>(),
            "total_duration": took.as_secs_f64(),
        }));
    }
    let freed = outcome.freed_bytes();
    let freed = match u64::try_from(freed) {
        Ok(freed) => format!("freed {}", units::bytes(freed)),
        Err(_) => format!("grew by {}", units::bytes(freed.unsigned_abs())),
    };
    let gone = units::counted(outcome.packs_deleted, "pack", "packs");
    let new = units::counted(outcome.packs_written, "new one", "new ones");
    let took = units::duration(took);
    screen.chat(&format!("{freed}: {gone} deleted, {new} written, in {took}"))?;
    for sid in &outcome.fenced {
        screen.chat(&format!("gave up session {}, which showed no progress", sid.short()))?;
    }
    if outcome.sets_left > 0 {
        for session in &outcome.left_for {
            let host = session.host.as_deref().unwrap_or("an unknown host");
            screen.chat(&format!("session {} of {host} is at work", session.sid))?;
        }
        screen.chat(
            "what they may rely on is left to the next prune (--wait: wait for them; --give-up \
             SESSION: it was killed, and is not waited for)",
        )?;
    }
    Ok(())
}
