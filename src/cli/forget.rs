//! `icecore forget`: snapshots that are no longer wanted.

use icecore::verbs::{
    forget::{
        self, GroupPlan,
        policy::{Keep, Policy},
        within::Within,
    },
    select::{self, GroupBy},
};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{
    args::Global,
    exit::Exit,
    failure::Failure,
    filter::{Filter, split_tags},
    open, prune,
    screen::{self, Screen, printable},
    snapshots, units,
    watch::Watch,
};

/// Forget snapshots, by name or by a policy
///
/// Snapshots are grouped (by host and paths, unless --group-by says otherwise) and the policy is
/// applied to each group. What it does not keep is forgotten; it can come back with `undelete`
/// until its time is over, and its data goes with a `prune` after that. Records of restores
/// (`icecore undo`) are no backups: a policy is about them only with `--tag undo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  icecore forget 3f9a12bc
  icecore forget --keep-daily 7 --keep-weekly 5 --keep-monthly 12 --dry-run
  icecore forget --keep-within 30d --keep-tag release --prune
  icecore forget --keep-last 1 --host old-server --group-by host
  icecore forget --tag undo --keep-within 30d       # what `icecore undo` could take back,
                                                    # but for the newest of each server

Stretches of time are numbers and units: 1y5m7d2h, 2w. They count back from the newest snapshot
of a group.")]
pub struct Args {
    /// Forget these, whatever their age
    #[arg(value_name = "SNAPSHOT")]
    pub snapshots: Vec<String>,

    #[command(flatten)]
    pub keep: KeepRules,

    /// What makes snapshots a group: some of host, paths, tags; `''` for one group of all
    #[arg(short, long, value_name = "WHAT[,WHAT...]", default_value = "host,paths")]
    pub group_by: GroupBy,

    /// Show what would be forgotten (and with --prune what would then be pruned), and do nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,

    /// Then prune
    #[arg(long)]
    pub prune: bool,

    #[command(flatten)]
    pub pruning: prune::Limits,

    #[command(flatten)]
    pub filter: Filter,
}

/// What the policy keeps.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What to keep")]
pub struct KeepRules {
    /// The newest N (or `unlimited`)
    #[arg(short = 'l', long, value_name = "N", allow_negative_numbers = true)]
    pub keep_last: Option<Keep>,
    /// The newest of each of the last N hours that have one
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub keep_hourly: Option<Keep>,
    /// The newest of each of the last N days that have one
    #[arg(short = 'd', long, value_name = "N", allow_negative_numbers = true)]
    pub keep_daily: Option<Keep>,
    /// The newest of each of the last N weeks (Monday to Sunday) that have one
    #[arg(short = 'w', long, value_name = "N", allow_negative_numbers = true)]
    pub keep_weekly: Option<Keep>,
    /// The newest of each of the last N months that have one
    #[arg(short = 'm', long, value_name = "N", allow_negative_numbers = true)]
    pub keep_monthly: Option<Keep>,
    /// The newest of each of the last N years that have one
    #[arg(short = 'y', long, value_name = "N", allow_negative_numbers = true)]
    pub keep_yearly: Option<Keep>,
    /// All that are newer than this before the newest
    #[arg(long, value_name = "TIME")]
    pub keep_within: Option<Within>,
    /// One an hour within this time
    #[arg(long, value_name = "TIME")]
    pub keep_within_hourly: Option<Within>,
    /// One a day within this time
    #[arg(long, value_name = "TIME")]
    pub keep_within_daily: Option<Within>,
    /// One a week within this time
    #[arg(long, value_name = "TIME")]
    pub keep_within_weekly: Option<Within>,
    /// One a month within this time
    #[arg(long, value_name = "TIME")]
    pub keep_within_monthly: Option<Within>,
    /// One a year within this time
    #[arg(long, value_name = "TIME")]
    pub keep_within_yearly: Option<Within>,
    /// Those that have all these tags; may be given more than once
    #[arg(long, value_name = "TAG[,TAG...]")]
    pub keep_tag: Vec<String>,
}

impl KeepRules {
    fn policy(&self) -> Policy {
        let count = |keep: Option<Keep>| keep.unwrap_or_default();
        Policy {
            counts: [
                count(self.keep_last),
                count(self.keep_hourly),
                count(self.keep_daily),
                count(self.keep_weekly),
                count(self.keep_monthly),
                count(self.keep_yearly),
            ],
            within: self.keep_within,
            within_periods: [
                None,
                self.keep_within_hourly,
                self.keep_within_daily,
                self.keep_within_weekly,
                self.keep_within_monthly,
                self.keep_within_yearly,
            ],
            tags: self.keep_tag.iter().map(|list| split_tags(list)).collect(),
        }
    }
}

pub fn run(args: &Args, global: &Global, screen: &mut Screen) -> Result<Exit, Failure> {
    let options = forget::Options {
        names: select::names(&args.snapshots)?,
        policy: args.keep.policy(),
        group_by: args.group_by,
        filter: args.filter.to_select()?,
        zone: TimeZone::system(),
    };
    // What is wrong with the policy itself is said before anybody types a password.
    forget::check(&options)?;
    let repository = open::open(global)?;
    let all = open::shelf(&repository)?;
    all.is_certain(&options.names)?;
    let plan = forget::plan(&all, &options)?;
    if screen.json {
        screen.document(&plan.iter().map(document).collect::<Vec<_>>())?;
    } else {
        for group in &plan {
            show(group, args, screen)?;
        }
        show_records(forget::records_passed_by(&all, &options), screen)?;
    }
    let count: usize = plan.iter().map(|group| group.remove.len()).sum();
    let count = units::counted(count as u64, "snapshot", "snapshots");
    if args.dry_run {
        if !screen.json {
            screen.chat(&format!("would forget {count}"))?;
        }
        if args.prune {
            let removed = plan.iter().flat_map(|group| &group.remove).map(|kept| kept.sid);
            prune::plan_only(&repository, &args.pruning, removed.collect(), screen)?;
        }
        return Ok(Exit::Done);
    }
    let reason = if args.snapshots.is_empty() { "no rule keeps it" } else { "it was named" };
    let mut watch = Watch::start(screen, "forget")?;
    let forgotten = forget::carry_out(&repository, &plan, reason, &watch.progress)?;
    watch.clear();
    if !screen.json {
        screen.chat(&format!("forgot {}", units::counted(forgotten, "snapshot", "snapshots")))?;
    }
    let exit = if watch.troubles() > 0 { Exit::Troubles } else { Exit::Done };
    if !args.prune {
        return Ok(exit);
    }
    drop(watch);
    match prune::carry_out(&repository, &args.pruning, screen)? {
        Exit::Done => Ok(exit),
        worse => Ok(worse),
    }
}

fn show(plan: &GroupPlan, args: &Args, screen: &mut Screen) -> Result<(), Failure> {
    if args.snapshots.is_empty() {
        screen.chat(&format!("{}:", printable(plan.group.to_string().as_bytes())))?;
    }
    let mut rows = Vec::new();
    for (kept, reasons) in &plan.keep {
        let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
        rows.push((kept, "keep", reasons.join(", ")));
    }
    rows.extend(plan.remove.iter().map(|kept| (kept, "forget", String::new())));
    rows.sort_by_key(|(kept, ..)| (kept.snapshot.time, kept.sid));
    let rows = rows.into_iter().map(|(kept, what, reasons)| {
        let (snapshot, time) = (&kept.snapshot, units::local(kept.snapshot.time));
        let tags = printable(snapshot.tags.join(",").as_bytes());
        vec![what.into(), kept.sid.short(), time, tags, reasons]
    });
    let text = screen::table(&["", "ID", "Time", "Tags", "Because it is"], rows, &[]);
    screen.chat(&text)?;
    screen.chat("")
}

/// They hold what restores overwrote, and nobody else would say that they are still there.
fn show_records(count: usize, screen: &mut Screen) -> Result<(), Failure> {
    if count == 0 {
        return Ok(());
    }
    let count =
        units::counted(count as u64, "record of a restore stays", "records of restores stay");
    screen.chat(&format!(
        "{count}: `icecore forget --tag undo --keep-within 30d` forgets old ones, but for the \
         newest of each server"
    ))
}

/// In restic's words.
fn document(plan: &GroupPlan) -> Value {
    let keep: Vec<Value> = plan.keep.iter().map(|(kept, _)| snapshots::document(kept)).collect();
    let remove: Vec<Value> = plan.remove.iter().map(snapshots::document).collect();
    let reasons: Vec<Value> = plan
        .keep
        .iter()
        .map(|(kept, reasons)| {
            let matches: Vec<String> = reasons.iter().map(ToString::to_string).collect();
            json!({ "snapshot": snapshots::document(kept), "matches": matches })
        })
        .collect();
    json!({
        "host": plan.group.host,
        "paths": plan.group.paths,
        "tags": plan.group.tags,
        "keep": keep,
        "remove": remove,
        "reasons": reasons,
    })
}
