//! `icecore undo`: a restore into a server taken back.

use icecore::{
    mongo::Link,
    repo::Kept,
    verbs::{
        restore_mongodb::undo::{self, CollectionUndo, Outcome},
        select::{self, Name},
    },
};
use serde_json::{Value, json};

use super::{
    args::Global,
    deployment,
    exit::Exit,
    failure::Failure,
    filter::Filter,
    open,
    restore_mongodb::{self, shown},
    screen::{self, Screen},
    units,
    watch::Watch,
};

/// Take a restore of collections back
///
/// Brings back exactly what the restore overwrote or dropped, and removes what it added. What was
/// changed after the restore is left as it is, and told. The record is forgotten when it is done
/// with; without a name, the newest one is taken (with --to, the newest into that server), but
/// none that is older than one that was taken back already: that one is to be named. It goes to
/// the server that the restore went to; a variable that names another is no answer.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  icecore undo --dry-run
  icecore undo -y
  icecore undo 3f9a12bc --to mongodb://host/")]
pub struct Args {
    /// The record of the restore, which it named at its end
    #[arg(value_name = "SNAPSHOT")]
    pub snapshot: Option<String>,

    /// The server, which with a named SNAPSHOT may be called otherwise than at the restore;
    /// `mongodb:` stands for ICECORE_MONGODB_URI. Those variables give the password, too, if they
    /// name the server of the restore
    #[arg(long, value_name = "URI")]
    pub to: Option<String>,

    /// Also take away, or write over, what was changed after the restore
    #[arg(long)]
    pub force: bool,

    /// Show what would be done, and write nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,

    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

pub fn run(args: &Args, global: &Global, screen: &mut Screen) -> Result<Exit, Failure> {
    let name: Option<Name> = args.snapshot.as_deref().map(str::parse).transpose()?;
    let repository = open::open(global)?;
    let all = open::shelf(&repository)?;
    let named = match &name {
        Some(name) => Some(select::one(&all, name, &Filter::default().to_select()?)?),
        None => None,
    };
    let (kept, link) = find(args, &all, named)?;
    let server = link.facts().uri.clone();
    let mut options = undo::Options {
        force: args.force,
        // Who names both knows that they belong together.
        any_deployment: args.to.is_some() && args.snapshot.is_some(),
        dry_run: true,
        threads: icecore::limits::RESTORE_WRITERS,
        spill_dir: deployment::spill_dir(),
    };
    let mut watch = Watch::start(screen, "undo")?;
    let plan = undo::undo(&repository, &link, kept, &options, &watch.progress)?;
    watch.clear();
    match screen.json {
        true if args.dry_run => document(&plan, (kept, &server), true, screen)?,
        true => {}
        false => show_plan(&plan, (kept, &server), screen)?,
    }
    if args.dry_run {
        hint(&plan, args, screen);
        return Ok(exit(&plan));
    }
    if !args.yes {
        let question = format!("take the restore {} into {server} back?", kept.sid.short());
        restore_mongodb::confirm(&question, screen)?;
    }
    options.dry_run = false;
    let mut watch = Watch::start(screen, "undo")?;
    let outcome = undo::undo(&repository, &link, kept, &options, &watch.progress)?;
    watch.clear();
    match screen.json {
        true => document(&outcome, (kept, &server), false, screen)?,
        false => show(&outcome, &plan, kept, screen)?,
    }
    hint(&outcome, args, screen);
    Ok(exit(&outcome))
}

/// The record, and the server that it is about. `--to` decides which server, and with it which
/// restore is the newest. A variable may hold the password that the record has not; but where it
/// names another server than the record, nobody said which of them is meant.
fn find<'a>(
    args: &Args,
    all: &'a [Kept],
    named: Option<&'a Kept>,
) -> Result<(&'a Kept, Link), Failure> {
    if let Some(uri) = &args.to {
        let link = restore_mongodb::connect(uri)?;
        let facts = link.facts();
        let kept = match named {
            Some(named) => named,
            None => undo::unnamed(all, Some(facts), Some(&facts.uri))?,
        };
        return Ok((kept, link));
    }
    let kept = match named {
        Some(named) => named,
        None => undo::unnamed(all, None, None)?,
    };
    let recorded = kept.snapshot.mongodb.as_ref().map(|mongodb| mongodb.uri.as_str());
    let recorded =
        recorded.ok_or_else(|| Failure::Usage("which server? name it with --to".into()))?;
    if deployment::of_environment()?.is_none() {
        return Ok((kept, restore_mongodb::connect(recorded)?));
    }
    let link = restore_mongodb::connect("mongodb:")?;
    if undo::is_into(&kept.snapshot, link.facts()) {
        return Ok((kept, link));
    }
    Err(Failure::Usage(format!(
        "the restore {} went to {recorded}, and ICECORE_MONGODB_URI or MONGODB_URI names {}: \
         `--to` says which one is meant (`--to mongodb:` is that of the variable)",
        kept.sid.short(),
        link.facts().uri
    )))
}

fn exit(outcome: &Outcome) -> Exit {
    match (outcome.conflicts(), outcome.troubles()) {
        (0, 0) => Exit::Done,
        (0, _) => Exit::Troubles,
        _ => Exit::Conflicts,
    }
}

/// What it would do.
fn show_plan(
    plan: &Outcome,
    (kept, server): (&Kept, &str),
    screen: &mut Screen,
) -> Result<(), Failure> {
    let (short, time) = (kept.sid.short(), units::local(kept.snapshot.time));
    screen.chat(&format!("the restore {short} of {time} into {server}"))?;
    let rows = plan.collections.iter().map(|one| {
        let mut row = vec![shown(&one.namespace), what(one).to_owned()];
        let numbers = [one.restored, one.removed, one.already, one.conflicts];
        row.extend(numbers.map(units::count));
        row
    });
    let head = ["Collection", "", "Brought back", "Removed", "As before", "Conflicts"];
    screen.chat(&screen::table(&head, rows, &[2, 3, 4, 5]))?;
    for one in plan.collections.iter().filter(|one| !one.indexes.is_empty()) {
        let indexes = shown(&one.indexes.join(", "));
        screen.chat(&format!("{}: drops {indexes}", shown(&one.namespace)))?;
    }
    conflicts(plan);
    Ok(())
}

/// What it did, after the plan was shown.
fn show(
    outcome: &Outcome,
    plan: &Outcome,
    kept: &Kept,
    screen: &mut Screen,
) -> Result<(), Failure> {
    // What came in between.
    if outcome.conflicts() != plan.conflicts() {
        conflicts(outcome);
    }
    for one in &outcome.collections {
        let namespace = shown(&one.namespace);
        one.troubles.iter().for_each(|what| screen::warn(&format!("{namespace}: {}", shown(what))));
    }
    if let Some(why) = &outcome.unconfirmed {
        screen::warn(&format!("nobody knows whether all of it stays: {}", shown(why)));
    }
    let sum = |of: fn(&CollectionUndo) -> u64| outcome.collections.iter().map(of).sum::<u64>();
    let restored = units::counted(sum(|one| one.restored), "document", "documents");
    let removed = units::count(sum(|one| one.removed));
    let short = kept.sid.short();
    let end = match (outcome.conflicts(), outcome.forgotten) {
        (_, true) => format!("the restore {short} is undone"),
        (0, false) => format!(
            "the record stays, as that is not all: `icecore undo {short}` tries again, \
             `icecore forget {short}` is done with it"
        ),
        (conflicts, false) => {
            let conflicts = units::counted(conflicts, "conflict stays", "conflicts stay");
            format!("{conflicts} as they are, and the record {short} with them")
        }
    };
    screen.chat(&format!("brought back {restored}, removed {removed}: {end}"))
}

fn conflicts(outcome: &Outcome) {
    for one in &outcome.collections {
        let namespace = shown(&one.namespace);
        for note in &one.notes {
            screen::warn(&format!("{namespace}: {}", shown(note)));
        }
        for sample in &one.samples {
            let (id, why) = (restore_mongodb::id_text(&sample.id), sample.why.as_deref());
            let why = shown(&why.unwrap_or_default());
            screen::warn(&format!("  {namespace}/{}: {why}", shown(&id)));
        }
    }
}

/// Names `--force` where that helps.
fn hint(outcome: &Outcome, args: &Args, screen: &Screen) {
    let helps = |one: &CollectionUndo| one.conflicts > 0 && !one.stuck;
    if !screen.json && !args.force && outcome.collections.iter().any(helps) {
        screen::warn("hint: `--force` takes what was changed since back as well");
    }
}

/// For programs.
fn document(
    outcome: &Outcome,
    (kept, server): (&Kept, &str),
    dry_run: bool,
    screen: &mut Screen,
) -> Result<(), Failure> {
    screen.document(&json!({
        "message_type": "summary",
        "dry_run": dry_run,
        "undo_snapshot_id": kept.sid,
        "server": server,
        "collections": outcome.collections.iter().map(collection).collect::<Vec<_>>(),
        "conflicts": outcome.conflicts(),
        "error_count": outcome.troubles(),
        "unconfirmed": outcome.unconfirmed,
        "forgotten": outcome.forgotten,
    }))
}

fn what(one: &CollectionUndo) -> &'static str {
    match (one.brings_back, one.drops) {
        (true, _) => "comes back",
        (_, true) => "goes",
        _ => "stays",
    }
}

fn collection(one: &CollectionUndo) -> Value {
    json!({
        "collection": one.namespace.to_string(),
        "fate": what(one),
        "docs_restored": one.restored,
        "docs_removed": one.removed,
        "docs_already": one.already,
        "conflicts": one.conflicts,
        "indexes": one.indexes,
        "notes": one.notes,
        "troubles": one.troubles,
    })
}
