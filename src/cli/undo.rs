//! `icecore undo`: a restore into a server taken back.

use icecore::{
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
    open, restore_mongodb,
    screen::{self, Screen},
    units,
    watch::Watch,
};

/// Take a restore of collections back
///
/// Brings back exactly what the restore overwrote or dropped, and removes what it added. What was
/// changed after the restore is left as it is, and told. The record is forgotten when it is done
/// with; without a name, the newest one is taken.
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

    /// The server, if it is called otherwise than at the restore
    /// [env: ICECORE_MONGODB_URI, MONGODB_URI]
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
    let kept = match &name {
        Some(name) => select::one(&all, name, &Filter::default().to_select()?)?,
        None => undo::newest(&all, None)
            .ok_or_else(|| Failure::Usage("there is no restore to take back".into()))?,
    };
    let uri = uri(args, kept)?;
    let link = restore_mongodb::connect(&uri)?;
    let mut options = undo::Options {
        force: args.force,
        dry_run: true,
        threads: icecore::limits::RESTORE_WRITERS,
        spill_dir: deployment::spill_dir(),
    };
    let mut watch = Watch::start(screen, "undo")?;
    let plan = undo::undo(&repository, &link, kept, &options, &watch.progress)?;
    watch.clear();
    if !screen.json || args.dry_run {
        show(&plan, true, screen)?;
    }
    if args.dry_run {
        return Ok(exit(&plan));
    }
    if !args.yes {
        restore_mongodb::confirm("take the restore back?", screen)?;
    }
    options.dry_run = false;
    let mut watch = Watch::start(screen, "undo")?;
    let outcome = undo::undo(&repository, &link, kept, &options, &watch.progress)?;
    watch.clear();
    show(&outcome, false, screen)?;
    Ok(exit(&outcome))
}

/// As it is given, or as the restore knew it, which is without a password.
fn uri(args: &Args, kept: &Kept) -> Result<String, Failure> {
    if let Some(uri) = &args.to {
        return Ok(uri.clone());
    }
    if deployment::of_environment()?.is_some() {
        return Ok("mongodb:".to_owned());
    }
    let recorded = kept.snapshot.mongodb.as_ref().map(|mongodb| mongodb.uri.clone());
    recorded.ok_or_else(|| Failure::Usage("which server? name it with --to".into()))
}

fn exit(outcome: &Outcome) -> Exit {
    if outcome.conflicts() > 0 { Exit::Conflicts } else { Exit::Done }
}

fn show(outcome: &Outcome, dry_run: bool, screen: &mut Screen) -> Result<(), Failure> {
    if screen.json {
        return screen.document(&json!({
            "message_type": "summary",
            "dry_run": dry_run,
            "collections": outcome.collections.iter().map(document).collect::<Vec<_>>(),
            "conflicts": outcome.conflicts(),
            "forgotten": outcome.forgotten,
        }));
    }
    let rows = outcome.collections.iter().map(|one| {
        let mut row = vec![one.namespace.to_string(), what(one).to_owned()];
        let numbers = [one.restored, one.removed, one.already, one.conflicts];
        row.extend(numbers.map(units::count));
        row
    });
    let head = ["Collection", "", "Brought back", "Removed", "As before", "Conflicts"];
    screen.chat(&screen::table(&head, rows, &[2, 3, 4, 5]))?;
    for one in &outcome.collections {
        if !one.indexes.is_empty() {
            screen.chat(&format!("{}: drops {}", one.namespace, one.indexes.join(", ")))?;
        }
        for sample in &one.samples {
            let (id, why) = (restore_mongodb::id_text(&sample.id), sample.why.as_deref());
            let why = why.unwrap_or_default();
            screen::warn(&format!("  {}/{id}: {why}", one.namespace));
        }
    }
    if outcome.conflicts() > 0 {
        screen::warn("hint: `--force` takes what was changed since back as well");
    }
    Ok(())
}

fn what(one: &CollectionUndo) -> &'static str {
    match (one.brings_back, one.drops) {
        (true, _) => "comes back",
        (_, true) => "goes",
        _ => "stays",
    }
}

fn document(one: &CollectionUndo) -> Value {
    json!({
        "collection": one.namespace.to_string(),
        "fate": what(one),
        "docs_restored": one.restored,
        "docs_removed": one.removed,
        "docs_already": one.already,
        "conflicts": one.conflicts,
        "indexes": one.indexes,
    })
}
