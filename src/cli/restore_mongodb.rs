//! `icecore restore --to URI`: collections back into a server, plan first.

mod json;

use std::io::{self, BufRead, IsTerminal, Write};

use clap::builder::NonEmptyStringValueParser;
use icecore::{
    document::{
        extjson::{self, Flavour},
        get,
        namespace::Renames,
        query::Query,
    },
    mongo::{Connect, Link, Purpose},
    repo::{Kept, Repository},
    verbs::{
        restore_mongodb::{
            self as verb, Check, CollectionOutcome, Fate, Outcome, Plan, Sample, Scope, Strategy,
        },
        select::Place,
    },
};

use super::{
    deployment,
    exit::Exit,
    failure::Failure,
    hint, memory,
    screen::{self, Screen, printable},
    units,
    watch::Watch,
};

/// What only collections know.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Collections")]
pub struct Args {
    /// The server to restore collections to; a database in it takes all of them. `mongodb:` stands
    /// for ICECORE_MONGODB_URI, which keeps a password out of the list of processes
    #[arg(long, value_name = "URI", conflicts_with = "target")]
    pub to: Option<String>,

    #[command(flatten)]
    pub names: deployment::Names,

    /// Rename collections that are called so, as mongorestore does; goes with --ns-to
    #[arg(long, alias = "nsFrom", value_name = "PATTERN", requires = "to")]
    pub ns_from: Vec<String>,

    /// What they are called then
    #[arg(long, alias = "nsTo", value_name = "PATTERN", requires = "to")]
    pub ns_to: Vec<String>,

    /// Only documents that match, as in `{"total": {"$gt": 100}}`
    #[arg(long, value_name = "JSON", requires = "to")]
    pub query: Option<String>,

    /// The field that says which document is newer, for --conflict newest
    #[arg(long, value_name = "FIELD", value_parser = a_field(), requires = "to")]
    pub newest_by: Option<String>,

    /// Whose field wins where both have it, for --conflict merge (if it is not said: live)
    #[arg(long, value_enum, value_name = "SIDE", requires = "to")]
    pub merge_winner: Option<Winner>,

    /// Documents are the same if these fields are equal, instead of `_id`
    #[arg(
        long,
        value_name = "FIELD[,FIELD...]",
        value_delimiter = ',',
        value_parser = a_field(),
        requires = "to"
    )]
    pub match_on: Vec<String>,

    /// Drop collections that are there first, with all that is in them; they come back whole
    #[arg(long, requires = "to", conflicts_with = "query")]
    pub drop: bool,

    /// Merge the snapshot's users and roles into those of the server
    #[arg(long, requires = "to")]
    pub with_users_and_roles: bool,

    /// Do not record what is overwritten; then nothing can be brought back
    #[arg(long, requires = "to")]
    pub no_undo: bool,

    /// Do not ask
    #[arg(short, long, requires = "to")]
    pub yes: bool,
}

/// A name that is not empty.
fn a_field() -> NonEmptyStringValueParser {
    NonEmptyStringValueParser::new()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Winner {
    Live,
    Snapshot,
}

/// Connects to what an argument names; `mongodb:` alone stands for what a variable gives.
pub fn connect(uri: &str) -> Result<Link, Failure> {
    let given = match uri {
        "mongodb:" | "mongodb://" => deployment::of_environment()?.ok_or_else(|| {
            let what = "which server? `mongodb:` alone wants ICECORE_MONGODB_URI or MONGODB_URI";
            Failure::Usage(what.into())
        })?,
        uri => {
            deployment::warn_of_password(uri, "set ICECORE_MONGODB_URI");
            uri.to_owned()
        }
    };
    Ok(Link::connect(&given, &Connect::to(Purpose::Write))?)
}

/// Restores; `uri` is where to.
pub fn run(
    args: &Args,
    uri: &str,
    conflict: verb::Conflict,
    dry_run: bool,
    (repository, kept, place): (&Repository, &Kept, &Place),
    screen: &mut Screen,
) -> Result<Exit, Failure> {
    let scope = match place {
        Place::Whole => Scope::default(),
        Place::Mongodb(address) => verb::scope_of(repository, kept, address)?,
        Place::Path(path) => {
            let path = String::from_utf8_lossy(path);
            let what = format!("{path} is a path of files: `--target DIR` restores those");
            return Err(Failure::Usage(what));
        }
    };
    if args.drop && !scope.ids.is_empty() {
        let what = "--drop is for whole collections: without it, one document goes to the others";
        return Err(Failure::Usage(what.into()));
    }
    memory::keep_buffers_of_messages();
    fits_together(args, conflict)?;
    let mut options = options(args, scope, conflict, dry_run)?;
    let link = connect(uri)?;
    options.into_database.clone_from(&link.facts().database);
    let mut watch = Watch::start(screen, "restore")?;
    let prepared = verb::prepare(repository, &link, kept, options, &watch.progress)?;
    watch.clear();
    let plan = prepared.plan();
    show_plan(&plan, dry_run, screen)?;
    // What the server can't have, or an index or an option that another one there stands for.
    let lacking = plan.collections.iter().any(|one| !one.notes.is_empty());
    if dry_run {
        return Ok(match plan.totals().conflict {
            _ if plan.damaged() > 0 => damaged(screen),
            0 if lacking => Exit::Troubles,
            0 => Exit::Done,
            _ => Exit::Conflicts,
        });
    }
    if plan.takes_something_away() && !args.yes {
        confirm("restore, and change what is there?", screen)?;
    }
    let mut watch = Watch::start(screen, "restore")?;
    let outcome = prepared.carry_out(&watch.progress)?;
    watch.clear();
    show(&outcome, watch.started.elapsed(), screen)?;
    if outcome.conflicts() > 0 && conflict == verb::Conflict::Fail {
        screen::warn("hint: `--conflict overwrite`, `skip`, `newest` or `merge` says what to do");
    }
    Ok(match exit(&outcome) {
        _ if outcome.damaged() > 0 => damaged(screen),
        Exit::Done if lacking => Exit::Troubles,
        exit => exit,
    })
}

/// Refuses what says how one way to settle conflicts goes, where another one is taken.
fn fits_together(args: &Args, conflict: verb::Conflict) -> Result<(), Failure> {
    let (newest, merge) = (conflict == verb::Conflict::Newest, conflict == verb::Conflict::Merge);
    let what = match (args.newest_by.is_some(), args.merge_winner.is_some()) {
        (false, _) if newest => {
            "--conflict newest wants --newest-by FIELD: which one says how new it is?"
        }
        (true, _) if !newest => "--newest-by goes with --conflict newest",
        (_, true) if !merge => "--merge-winner goes with --conflict merge",
        _ => return Ok(()),
    };
    Err(Failure::Usage(what.into()))
}

fn options(
    args: &Args,
    scope: Scope,
    conflict: verb::Conflict,
    dry_run: bool,
) -> Result<verb::Options, Failure> {
    let matches = match &args.query {
        Some(text) => {
            let query = extjson::parse(text).map_err(Failure::usage)?;
            let query = Query::parse(&query).map_err(Failure::usage)?;
            let matches: verb::Matches = Box::new(move |document| query.matches(document));
            Some(matches)
        }
        None => None,
    };
    let winner = match args.merge_winner {
        None | Some(Winner::Live) => verb::Winner::Live,
        Some(Winner::Snapshot) => verb::Winner::Snapshot,
    };
    let newest_by = args.newest_by.clone().unwrap_or_default();
    Ok(verb::Options {
        scope,
        include: args.names.include(),
        exclude: args.names.exclude(),
        renames: Renames::parse(&args.ns_from, &args.ns_to).map_err(Failure::usage)?,
        into_database: None,
        matches,
        strategy: Strategy { conflict, newest_by, winner, match_on: args.match_on.clone() },
        drop: args.drop,
        users_and_roles: args.with_users_and_roles,
        undo: !args.no_undo,
        dry_run,
        threads: icecore::limits::RESTORE_WRITERS,
        spill_dir: deployment::spill_dir(),
    })
}

/// Asks on a terminal; elsewhere nobody is there to say yes.
pub fn confirm(question: &str, screen: &mut Screen) -> Result<(), Failure> {
    screen.flush()?;
    if !io::stdin().is_terminal() {
        let what = "this changes or removes what is there: `--yes` says that it shall";
        return Err(Failure::Usage(what.into()));
    }
    let mut answer = String::new();
    // A terminal that can't be written to can't be read from either.
    let _ = write!(io::stderr(), "{question} [y/N] ");
    io::stdin().lock().read_line(&mut answer).map_err(Failure::Output)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::Declined),
    }
}

/// How it ends, whatever else there was.
fn damaged(screen: &Screen) -> Exit {
    if !screen.json {
        screen::warn(&format!("hint: {}", hint::CHECK));
    }
    Exit::Damaged
}

fn exit(outcome: &Outcome) -> Exit {
    if outcome.conflicts() > 0 || !outcome.is_right() {
        return Exit::Conflicts;
    }
    if outcome.troubles() > 0 { Exit::Troubles } else { Exit::Done }
}

/// An `_id` as a person reads it.
pub fn id_text(id: &[u8]) -> String {
    let element = get(id, b"_id").ok().flatten();
    let text = element.and_then(|id| extjson::value_to_text(&id, Flavour::Relaxed).ok());
    text.unwrap_or_else(|| "a document without _id".into())
}

fn fate_word(fate: Fate) -> &'static str {
    match fate {
        Fate::Create => "create",
        Fate::Replace => "replace",
        Fate::Keep => "keep",
        Fate::Blocked => "blocked",
    }
}

fn show_plan(plan: &Plan, dry_run: bool, screen: &mut Screen) -> Result<(), Failure> {
    if screen.json {
        return screen.document(&json::plan(plan, dry_run));
    }
    let rows = plan.collections.iter().map(|one| {
        let counts = &one.counts;
        let numbers = [
            counts.insert,
            counts.overwrite,
            counts.merge,
            counts.skip,
            counts.equal,
            counts.conflict,
        ];
        let mut row = vec![renamed(&one.from, &one.to), fate_word(one.fate).to_owned()];
        row.extend(numbers.map(units::count));
        row
    });
    let head = ["Collection", "There", "Insert", "Overwrite", "Merge", "Skip", "Equal", "Conflict"];
    screen.chat(&screen::table(&head, rows, &[2, 3, 4, 5, 6, 7]))?;
    for one in &plan.collections {
        let name = shown(&one.to);
        for note in &one.notes {
            screen.chat(&format!("{name}: {}", shown(note)))?;
        }
        if one.counts.damaged > 0 {
            screen.chat(&format!("{name}: {}", unreadable(one.counts.damaged)))?;
        }
        if !one.indexes.is_empty() {
            screen.chat(&format!("{name}: builds {}", shown(&one.indexes.join(", "))))?;
        }
        if !one.indexes_left_out.is_empty() {
            let indexes = shown(&one.indexes_left_out.join(", "));
            screen.chat(&format!("{name}: a part of a collection comes without {indexes}"))?;
        }
        for sample in &one.samples {
            screen.chat(&format!("  {}", sample_line(&name, sample)))?;
        }
    }
    if plan.users + plan.roles > 0 {
        let users = units::counted(plan.users, "user", "users");
        let roles = units::counted(plan.roles, "role", "roles");
        screen.chat(&format!("merges {users} and {roles}"))?;
    }
    plan.notes.iter().for_each(|note| screen::warn(&format!("warning: {}", shown(note))));
    Ok(())
}

/// A name or a note with one in it, fit for a terminal.
pub fn shown(name: &impl ToString) -> String {
    printable(name.to_string().as_bytes())
}

fn unreadable(documents: u64) -> String {
    let documents = units::counted(documents, "document", "documents");
    format!("{documents} of the snapshot can't be read")
}

fn renamed(from: &impl ToString, to: &impl ToString) -> String {
    let (from, to) = (shown(from), shown(to));
    if from == to { from } else { format!("{from} -> {to}") }
}

fn sample_line(namespace: &str, sample: &Sample) -> String {
    let id = id_text(&sample.id);
    let line = format!("{} {namespace}/{id}", sample.what);
    match &sample.why {
        Some(why) => format!("{line}: {why}"),
        None => line,
    }
}

fn show(outcome: &Outcome, took: std::time::Duration, screen: &mut Screen) -> Result<(), Failure> {
    let sum = |of: fn(&CollectionOutcome) -> u64| outcome.collections.iter().map(of).sum::<u64>();
    let (inserted, overwritten) = (sum(|one| one.inserted), sum(|one| one.overwritten));
    let (merged, bytes) = (sum(|one| one.merged), sum(|one| one.bytes));
    if screen.json {
        return screen.document(&json::outcome(outcome, took));
    }
    screen.chat(&format!(
        "inserted {}, overwrote {}, merged {}: {} in {}",
        units::counted(inserted, "document", "documents"),
        units::count(overwritten),
        units::count(merged),
        units::bytes(bytes),
        units::duration(took)
    ))?;
    outcome.collections.iter().try_for_each(|one| show_collection(one, screen))?;
    let left = outcome.unmerged.iter();
    left.for_each(|why| screen::warn(&format!("a user stays as there: {why}")));
    if let Some(why) = &outcome.unconfirmed {
        screen::warn(&format!("warning: {why}"));
    }
    if outcome.conflicts() > 0 {
        let what = units::counted(outcome.conflicts(), "conflict", "conflicts");
        screen::warn(&format!("{what}: what is there stays as it is"));
    }
    if let Some(undo) = outcome.undo {
        let short = undo.short();
        screen.chat(&format!("`icecore undo {short}` brings back what was there before"))?;
    }
    Ok(())
}

fn show_collection(one: &CollectionOutcome, screen: &mut Screen) -> Result<(), Failure> {
    let name = shown(&one.to);
    match &one.check {
        Check::Whole { snapshot, live } if snapshot == live => {
            let documents = units::counted(live.documents, "document", "documents");
            let hash = &live.hash()[..16];
            screen.chat(&format!("{name}: {documents}, the same as in the snapshot ({hash})"))?;
        }
        Check::Whole { snapshot, live } => screen::warn(&format!(
            "{name}: {} there and {} in the snapshot, and they are not the same",
            units::counted(live.documents, "document", "documents"),
            units::count(snapshot.documents)
        )),
        Check::Beside { right, wrong: 0 } => {
            let (one, many) = ("document stands as it should", "documents stand as they should");
            screen.chat(&format!("{name}: {}", units::counted(*right, one, many)))?;
        }
        Check::Beside { wrong, .. } => {
            let wrong = units::counted(*wrong, "document does", "documents do");
            screen::warn(&format!("{name}: {wrong} not stand as planned"));
        }
        Check::Nothing => {}
    }
    if one.damaged > 0 {
        screen::warn(&format!("{name}: {}", unreadable(one.damaged)));
    }
    for sample in &one.conflict_samples {
        screen::warn(&format!("  {}", sample_line(&name, sample)));
    }
    one.troubles.iter().for_each(|trouble| screen::warn(&format!("{name}: {}", shown(trouble))));
    Ok(())
}
