//! What a restore into a server would do, and did, for programs.

use std::time::Duration;

use icecore::verbs::restore_mongodb::{
    Check, CollectionOutcome, CollectionPlan, Outcome, Plan, Sample,
};
use serde_json::{Value, json};

use super::{fate_word, id_text};

pub fn plan(plan: &Plan, dry_run: bool) -> Value {
    let collections: Vec<Value> = plan.collections.iter().map(of_plan).collect();
    let totals = plan.totals();
    json!({
        "message_type": if dry_run { "summary" } else { "plan" },
        "dry_run": dry_run,
        "collections": collections,
        "docs_insert": totals.insert,
        "docs_overwrite": totals.overwrite,
        "docs_merge": totals.merge,
        "docs_skip": totals.skip,
        "docs_equal": totals.equal,
        "conflicts": totals.conflict,
        "docs_damaged": totals.damaged,
        "others_damaged": plan.others_damaged,
        "total_bytes": totals.bytes,
        "users": plan.users,
        "roles": plan.roles,
        "notes": plan.notes,
    })
}

pub fn outcome(outcome: &Outcome, took: Duration) -> Value {
    let sum = |of: fn(&CollectionOutcome) -> u64| outcome.collections.iter().map(of).sum::<u64>();
    let collections: Vec<Value> = outcome.collections.iter().map(of_outcome).collect();
    json!({
        "message_type": "summary",
        "dry_run": false,
        "total_duration": took.as_secs_f64(),
        "collections": collections,
        "docs_inserted": sum(|one| one.inserted),
        "docs_overwritten": sum(|one| one.overwritten),
        "docs_merged": sum(|one| one.merged),
        "total_bytes": sum(|one| one.bytes),
        "conflicts": outcome.conflicts(),
        "docs_damaged": sum(|one| one.damaged),
        "others_damaged": outcome.others_damaged,
        "error_count": outcome.troubles(),
        "verified": outcome.is_right(),
        "users": outcome.users,
        "roles": outcome.roles,
        "unmerged": outcome.unmerged,
        "undo_snapshot_id": outcome.undo,
        "unconfirmed": outcome.unconfirmed,
    })
}

fn of_sample(sample: &Sample) -> Value {
    json!({ "what": sample.what, "id": id_text(&sample.id), "why": sample.why })
}

fn of_plan(one: &CollectionPlan) -> Value {
    let counts = &one.counts;
    json!({
        "from": one.from.to_string(),
        "to": one.to.to_string(),
        "type": one.kind,
        "fate": fate_word(one.fate),
        "docs_insert": counts.insert,
        "docs_overwrite": counts.overwrite,
        "docs_merge": counts.merge,
        "docs_skip": counts.skip,
        "docs_equal": counts.equal,
        "conflicts": counts.conflict,
        "docs_damaged": counts.damaged,
        "bytes": counts.bytes,
        "indexes": one.indexes,
        "indexes_left_out": one.indexes_left_out,
        "notes": one.notes,
        "samples": one.samples.iter().map(of_sample).collect::<Vec<_>>(),
    })
}

fn of_check(check: &Check) -> Value {
    match check {
        Check::Whole { snapshot, live } => json!({
            "right": check.is_right(),
            "docs_snapshot": snapshot.documents,
            "docs_live": live.documents,
            "hash_snapshot": snapshot.hash(),
            "hash_live": live.hash(),
        }),
        Check::Beside { right, wrong } => {
            json!({ "right": check.is_right(), "docs_right": right, "docs_wrong": wrong })
        }
        Check::Nothing => Value::Null,
    }
}

fn of_outcome(one: &CollectionOutcome) -> Value {
    json!({
        "from": one.from.to_string(),
        "to": one.to.to_string(),
        "type": one.kind,
        "fate": fate_word(one.fate),
        "docs_inserted": one.inserted,
        "docs_overwritten": one.overwritten,
        "docs_merged": one.merged,
        "docs_skipped": one.skipped,
        "docs_equal": one.equal,
        "conflicts": one.conflicts,
        "docs_damaged": one.damaged,
        "bytes": one.bytes,
        "indexes": one.indexes,
        "troubles": one.troubles,
        "conflict_samples": one.conflict_samples.iter().map(of_sample).collect::<Vec<_>>(),
        "check": of_check(&one.check),
    })
}
