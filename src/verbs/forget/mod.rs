//! Forgetting snapshots: by name, or by a policy that says of each why it stays.

pub mod policy;
pub mod within;

use jiff::tz::TimeZone;

use self::policy::{Candidate, Policy, Reason, decide};
use super::select::{self, Filter, Group, GroupBy, Name, NotOne};
use crate::{
    progress::{Progress, Trouble},
    repo::{
        Kept, Repository,
        collect::{self, Ground},
    },
};

/// Which snapshots to forget.
#[derive(Debug, Clone)]
pub struct Options {
    /// These, whatever the policy says; none: those that the policy does not keep.
    pub names: Vec<Name>,
    pub policy: Policy,
    pub group_by: GroupBy,
    /// Only these come before the policy.
    pub filter: Filter,
    /// Where days and months begin.
    pub zone: TimeZone,
}

/// A group of snapshots, and what becomes of each.
#[derive(Debug, Clone)]
pub struct GroupPlan {
    pub group: Group,
    /// Oldest first, each with the reasons why it stays.
    pub keep: Vec<(Kept, Vec<Reason>)>,
    pub remove: Vec<Kept>,
}

/// Why nothing is forgotten.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("no snapshot is named and the policy is empty: that would forget everything")]
    EmptyPolicy,
    #[error("snapshots are named and a policy is given: one or the other")]
    NamesAndPolicy,
    #[error("the policy keeps none of the {count} snapshots of {group}")]
    KeepsNone { group: Group, count: usize },
    #[error(transparent)]
    NotOne(#[from] NotOne),
}

/// Whether the options make sense, whatever snapshots there are.
pub fn check(options: &Options) -> Result<(), Refused> {
    match (options.names.is_empty(), options.policy.is_empty()) {
        (true, true) => Err(Refused::EmptyPolicy),
        (false, false) => Err(Refused::NamesAndPolicy),
        _ => Ok(()),
    }
}

/// What `carry_out` would forget. `all`: the repository's snapshots, sorted by time.
pub fn plan(all: &[Kept], options: &Options) -> Result<Vec<GroupPlan>, Refused> {
    check(options)?;
    let chosen = match options.names.is_empty() {
        true => select::backups(all, &options.filter),
        false => select::several(all, &options.names, &options.filter)?,
    };
    let groups = select::grouped(&chosen, options.group_by);
    groups.into_iter().map(|(group, members)| plan_group(group, &members, options)).collect()
}

/// So many records of restores `plan` passes by: a policy is for backups, unless the filter asks
/// for the tag of records.
pub fn records_passed_by(all: &[Kept], options: &Options) -> usize {
    let Options { names, filter, .. } = options;
    let taken = select::live(all).filter(|kept| filter.takes(&kept.snapshot)).count();
    if names.is_empty() { taken - select::backups(all, filter).len() } else { 0 }
}

fn plan_group(group: Group, members: &[&Kept], options: &Options) -> Result<GroupPlan, Refused> {
    let mut plan = GroupPlan { group, keep: Vec::new(), remove: Vec::new() };
    if !options.names.is_empty() {
        plan.remove = members.iter().map(|kept| (*kept).clone()).collect();
        return Ok(plan);
    }
    let candidates: Vec<Candidate> = members
        .iter()
        .map(|kept| Candidate { time: kept.snapshot.time, tags: &kept.snapshot.tags })
        .collect();
    let decisions = decide(&options.policy, &candidates, &options.zone);
    for (kept, reasons) in members.iter().zip(decisions) {
        if reasons.is_empty() {
            plan.remove.push((*kept).clone());
        } else {
            plan.keep.push(((*kept).clone(), reasons));
        }
    }
    if plan.keep.is_empty() {
        return Err(Refused::KeepsNone { group: plan.group, count: members.len() });
    }
    Ok(plan)
}

/// Forgets what the plan says. One that can't be forgotten is told to `progress`, and the others
/// go on. Returns how many were forgotten.
pub fn carry_out(
    repository: &Repository,
    plan: &[GroupPlan],
    reason: &str,
    progress: &Progress,
) -> Result<u64, collect::Error> {
    let all: Vec<&Kept> = plan.iter().flat_map(|group| &group.remove).collect();
    progress.phase("forget");
    progress.expect(all.len() as u64, 0);
    let mut forgotten = 0;
    for kept in all {
        match collect::forget(&Ground::of(repository), &[kept.sid], reason) {
            Ok(()) => forgotten += 1,
            Err(collect::Error::Store(error)) => progress.trouble(Trouble {
                item: kept.sid.to_string(),
                during: "forget",
                error: error.to_string(),
            }),
            Err(error) => return Err(error),
        }
        progress.done(1, 0);
    }
    Ok(forgotten)
}
