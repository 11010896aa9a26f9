//! `icecore check`: whether everything that snapshots need is there and right.

use std::time::Duration;

use icecore::{
    repo::collect::{DamagedPack, Fault, ReadData, Strange},
    verbs::check::{self, DeploymentDamage, DocumentGap, Outcome},
};
use serde_json::{Value, json};

use super::{
    args::Global,
    exit::Exit,
    failure::Failure,
    open,
    screen::{self, Screen, printable},
    units,
    watch::Watch,
};

/// Check the repository for damage
///
/// Says what is damaged, which snapshots and paths that touches, and what to type next; exit code
/// 13. Without --read-data it checks the structure: packs, indexes and trees.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  icecore check
  icecore check --read-data
  icecore check --read-data-subset 3/7     # a seventh each day of the week
  icecore check --read-data-subset 2.5%    # some, by chance
  icecore check --read-data-subset 10G")]
pub struct Args {
    /// Read all data too
    #[arg(long)]
    pub read_data: bool,

    /// Read some of the data: the N-th of T parts, a percentage, or a size
    #[arg(long, value_name = "N/T|X%|SIZE", value_parser = subset, conflicts_with = "read_data")]
    pub read_data_subset: Option<ReadData>,
}

fn subset(text: &str) -> Result<ReadData, String> {
    if let Some((part, of)) = text.split_once('/') {
        let part = part.parse().ok().zip(of.parse().ok());
        return match part {
            Some((part, of)) if 1 <= part && part <= of => Ok(ReadData::Part { part, of }),
            _ => Err(format!("`{text}` is no part: wanted N/T with N from 1 to T, as in 2/7")),
        };
    }
    if let Some(share) = text.strip_suffix('%') {
        let share: Option<f64> = share.trim().parse().ok();
        let share = share.filter(|share| *share > 0.0 && *share <= 100.0);
        return share.map(ReadData::Percent).ok_or_else(|| "wanted above 0% up to 100%".into());
    }
    units::parse_bytes(text).map(ReadData::Bytes).map_err(|error| error.to_string())
}

pub fn run(args: &Args, global: &Global, screen: &mut Screen) -> Result<Exit, Failure> {
    let read_data = match args.read_data_subset {
        Some(subset) => subset,
        None if args.read_data => ReadData::All,
        None => ReadData::None,
    };
    let repository = open::open(global)?;
    let mut watch = Watch::start(screen, "check")?;
    let mut outcome = check::check(&repository, read_data, &watch.progress)?;
    watch.clear();
    if let Some(error) = outcome.unrecorded.take() {
        let why = Failure::from(error).lines().join(": ");
        let message = format!("what was found can't be written down for backups: {why}");
        if screen.json {
            screen::warn_json("check", "damaged/", &message);
        } else {
            screen::warn(&format!("warning: {message}"));
        }
    }
    if screen.json {
        screen.document(&document(&outcome, watch.started.elapsed()))?;
    } else {
        show(&outcome, watch.started.elapsed(), screen)?;
    }
    Ok(match &outcome {
        outcome if !outcome.is_good() => Exit::Damaged,
        // As a prune says of it.
        outcome if outcome.checked.only_packs => Exit::Failed,
        _ => Exit::Done,
    })
}

fn show(outcome: &Outcome, took: Duration, screen: &mut Screen) -> Result<(), Failure> {
    let checked = &outcome.checked;
    screen.chat(&format!(
        "checked {} in {}, {}",
        units::counted(checked.snapshots, "snapshot", "snapshots"),
        units::counted(checked.packs, "pack", "packs"),
        units::duration(took)
    ))?;
    if checked.packs_read > 0 {
        screen.chat(&format!(
            "read {} and opened {} in them, {}",
            units::counted(checked.packs_read, "pack", "packs"),
            units::counted(checked.blobs_read, "blob", "blobs"),
            units::bytes(checked.bytes_read)
        ))?;
    }
    let again = checked.whole_again().len() as u64;
    if again > 0 {
        let packs = units::counted(again, "pack", "packs");
        screen.chat(&format!("found whole again: {packs} that an earlier check found damaged"))?;
    }
    if checked.unindexed > 0 {
        let packs = units::counted(checked.unindexed, "pack is", "packs are");
        screen.chat(&format!("{packs} in no index: the next backup or prune takes them in"))?;
    }
    if checked.only_packs {
        let packs = units::counted(checked.packs, "pack", "packs");
        screen.line(&format!("0 snapshots, and {packs} of data that nothing needs"))?;
    } else if outcome.is_good() {
        return screen.chat("no damage found");
    }
    name_damage(outcome, screen)?;
    for hint in hints(outcome) {
        screen.line(&format!("hint: {hint}"))?;
    }
    Ok(())
}

fn name_damage(outcome: &Outcome, screen: &mut Screen) -> Result<(), Failure> {
    let checked = &outcome.checked;
    for object in &outcome.objects {
        screen.line(&format!("damaged: {}", printable(object.as_bytes())))?;
    }
    for strange in told_only_here(outcome) {
        let (object, error) = (printable(strange.object.as_bytes()), &strange.error);
        screen.line(&format!("damaged: {object}: {error}"))?;
    }
    for damaged in &checked.damaged {
        screen.line(&format!("damaged: pack {}: {}", damaged.pack, fault(damaged)))?;
    }
    if checked.only_unindexed > 0 {
        let what = units::counted(checked.only_unindexed, "blob is", "blobs are");
        screen.line(&format!("{what} needed, and in packs that no index names"))?;
    }
    if !checked.lost.is_empty() {
        let what = units::counted(checked.lost.len() as u64, "blob is", "blobs are");
        screen.line(&format!("lost: {what} needed and nowhere whole"))?;
    }
    for (sid, error) in &checked.unwalked {
        screen.line(&format!("lost: a part of snapshot {}'s tree: {error}", sid.short()))?;
    }
    for touched in &outcome.touched {
        let mut count = units::counted(touched.count, "file", "files");
        let documents = touched.deployment.count;
        if documents > 0 || !touched.deployment.is_none() {
            count = format!("{count}, {}", units::counted(documents, "document", "documents"));
        }
        screen.line(&format!("snapshot {} is not whole: {count}", touched.sid.short()))?;
        for path in &touched.paths {
            screen.line(&format!("  {}", printable(path.as_bytes())))?;
        }
        let more = touched.count - touched.paths.len() as u64;
        if more > 0 {
            screen.line(&format!("  and {} more", units::count(more)))?;
        }
        for path in &touched.gaps_after {
            let path = printable(path.as_bytes());
            screen.line(&format!("  and what follows {path}, up to the next whole node"))?;
        }
        name_documents(&touched.deployment, screen)?;
    }
    if !checked.damaged.is_empty() && outcome.touched.is_empty() {
        screen.line("no snapshot lacks anything")?;
    }
    Ok(())
}

/// What the collector met and the repository has not told already.
fn told_only_here(outcome: &Outcome) -> impl Iterator<Item = &Strange> {
    outcome.checked.strange.iter().filter(|strange| {
        let is_it = |told: &String| told.starts_with(&format!("{}:", strange.object));
        !outcome.objects.iter().any(is_it)
    })
}

fn name_documents(damage: &DeploymentDamage, screen: &mut Screen) -> Result<(), Failure> {
    for document in &damage.documents {
        screen.line(&format!("  {}", printable(document.as_bytes())))?;
    }
    let more = damage.count - damage.documents.len() as u64;
    if more > 0 {
        screen.line(&format!("  and {} more documents", units::count(more)))?;
    }
    for DocumentGap { namespace, after, before } in &damage.gaps {
        let stretch = match (after, before) {
            (None, None) => "all documents".to_owned(),
            (Some(after), None) => format!("what follows {after}"),
            (None, Some(before)) => format!("what comes before {before}"),
            (Some(after), Some(before)) => format!("what lies between {after} and {before}"),
        };
        let line = format!("  and {stretch} in {namespace}");
        screen.line(&printable(line.as_bytes()))?;
    }
    for namespace in &damage.catalogue_gaps_after {
        let line = format!("  and the collections that follow {namespace}");
        screen.line(&printable(line.as_bytes()))?;
    }
    Ok(())
}

fn fault(damaged: &DamagedPack) -> String {
    match &damaged.fault {
        Fault::Missing => "it is not there".into(),
        Fault::Size { listed_bytes, indexed_bytes, bad } => {
            let rest = match bad.len() {
                0 => "every blob in it is whole".to_owned(),
                bad => unreadable(bad),
            };
            format!("it has {listed_bytes} bytes instead of {indexed_bytes}; {rest}")
        }
        Fault::Hash => "its bytes are not those it is named for; every blob in it is whole".into(),
        Fault::OwnTable(error) => format!(
            "its own table can't be read: {error}; by the index's, every blob in it is whole"
        ),
        Fault::Table(error) => format!("its table can't be read: {error}"),
        Fault::Blobs(blobs) => unreadable(blobs.len()),
    }
}

fn unreadable(blobs: usize) -> String {
    format!("{} in it can't be read", units::counted(blobs as u64, "blob", "blobs"))
}

/// What to type next, in order.
fn hints(outcome: &Outcome) -> Vec<&'static str> {
    let checked = &outcome.checked;
    let mut hints = Vec::new();
    let is_strange =
        |below| checked.strange.iter().any(|strange| strange.object.starts_with(below));
    let is_missing = checked.damaged.iter().any(|damaged| matches!(damaged.fault, Fault::Missing));
    if checked.packs_read < checked.packs && !outcome.is_good() {
        hints.push("`icecore check --read-data` finds all that is damaged");
    }
    if is_missing || is_strange("index/") || checked.only_unindexed > 0 {
        hints.push("`icecore repair index` makes the index again from the packs that are there");
    }
    if outcome.objects.iter().any(|object| object.starts_with("config")) {
        hints.push("`icecore repair index` puts copies of the config again from one that is whole");
    }
    // Where something is lost, or a snapshot can't be read, a prune does nothing.
    let is_lost = !checked.lost.is_empty() || !checked.unwalked.is_empty();
    if checked.damaged.iter().any(|damaged| damaged.fault.is_partly_whole())
        && !is_lost
        && !is_strange("snapshots/")
    {
        hints.push("`icecore prune` moves what is whole out of damaged packs, and removes them");
    }
    if is_strange("snapshots/") {
        hints.push(
            "what a damaged object below snapshots/ was may come from a copy of the repository; \
             until it is back, or is removed by hand, nothing is pruned. The other snapshots do \
             not depend on it",
        );
    }
    if checked.only_packs {
        hints.push(
            "is all of the repository here, and every disk mounted? If only a first backup that \
             died is in it, the next one goes on from what it stored",
        );
    }
    if !outcome.touched.is_empty() {
        hints
            .push("`icecore backup` of the same paths stores again what is still there to be read");
        hints.push("`icecore restore` brings back all that is whole, and names what is not");
    }
    hints
}

fn document(outcome: &Outcome, took: Duration) -> Value {
    let checked = &outcome.checked;
    let errors = checked.damaged.len()
        + checked.lost.len()
        + checked.unwalked.len()
        + usize::from(checked.only_unindexed > 0)
        + usize::from(checked.only_packs);
    let touched: Vec<Value> = outcome
        .touched
        .iter()
        .map(|touched| {
            json!({
                "snapshot_id": touched.sid,
                "files": touched.count,
                "paths": touched.paths,
                "gaps_after": touched.gaps_after,
                "documents": touched.deployment.count,
                "document_ids": touched.deployment.documents,
                "document_gaps": touched.deployment.gaps,
                "collection_gaps_after": touched.deployment.catalogue_gaps_after,
            })
        })
        .collect();
    json!({
        "message_type": "summary",
        "num_errors": errors + told_only_here(outcome).count() + outcome.objects.len(),
        "snapshots": checked.snapshots,
        "packs": checked.packs,
        "packs_read": checked.packs_read,
        "bytes_read": checked.bytes_read,
        "blobs_read": checked.blobs_read,
        "broken_packs": checked.damaged.iter().map(|damaged| damaged.pack).collect::<Vec<_>>(),
        "broken_objects": outcome.objects,
        "only_unindexed_blobs": checked.only_unindexed,
        "lost_blobs": checked.lost.iter().map(|(_, blob)| blob).collect::<Vec<_>>(),
        "damaged_snapshots": touched,
        "packs_whole_again": checked.whole_again(),
        "hints": hints(outcome),
        "total_duration": took.as_secs_f64(),
    })
}
