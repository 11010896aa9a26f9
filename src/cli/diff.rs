//! `icecore diff`: what changed from one snapshot to another.

use std::{ffi::OsString, ops::ControlFlow, os::unix::ffi::OsStrExt, path::Path, sync::Arc};

use icecore::{
    format::entry::{self, Kind},
    repo::{Kept, Reader},
    source::mongo::Wanted,
    verbs::{
        backup::Deployment,
        deployment::{self, Found, catalogue_root, diff::Side},
        diff::{self, Changed, Modifier, Scope, Tally},
        entries::files_root,
        select::{Place, Reference},
    },
};
use serde_json::json;

use super::{
    args::Global,
    changes::Changes,
    deployment as deployment_arguments, document,
    exit::Exit,
    failure::Failure,
    filter::Filter,
    losses::Losses,
    open,
    screen::{self, Loudness, Screen},
    units,
    watch::Watch,
};

/// Show what changed from one snapshot to another
///
/// `+` added, `-` removed, `M` content changed, `T` another kind of thing now, `U` metadata
/// changed (with --metadata). Of documents, --fields shows what changed in them; of a collection
/// that was added or removed, the documents are counted, not named. It costs what changed, not
/// what there is. A server is read whole; what is written to it meanwhile may show or not.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  icecore diff latest~1 latest
  icecore diff --metadata 3f9a12bc 81d0c6a4
  icecore diff latest~1:/etc latest:/etc
  icecore diff --fields latest~1:shop latest:shop
  icecore diff --fields latest~7:shop.orders/4711 latest:shop.orders/4711
  icecore diff latest mongodb://host/shop")]
pub struct Args {
    /// The older one, and perhaps a place in it
    #[arg(value_name = "SNAPSHOT[:PLACE]")]
    pub from: OsString,

    /// The newer one, and perhaps a place in it; or a server as it is now
    #[arg(value_name = "SNAPSHOT[:PLACE]|mongodb://HOST[/DB]")]
    pub to: OsString,

    /// Show also what changed in nothing but mode, owner, times or attributes
    #[arg(long)]
    pub metadata: bool,

    /// Show which fields of documents changed, and from what to what (as --verbose does)
    #[arg(long)]
    pub fields: bool,

    #[command(flatten)]
    pub filter: Filter,
}

pub fn run(args: &Args, global: &Global, screen: &mut Screen) -> Result<Exit, Failure> {
    if deployment_arguments::is_uri(Path::new(&args.to)) {
        return live(args, global, screen);
    }
    let from = Reference::parse(args.from.as_bytes())?;
    let to = Reference::parse(args.to.as_bytes())?;
    let repository = open::open(global)?;
    let all = open::shelf(&repository)?;
    let filter = args.filter.to_select()?;
    let old = all.one(&from.name, &filter)?;
    let new = all.one(&to.name, &filter)?;
    let reader = repository.reader()?;
    let places = (&from.place, &to.place);
    let mut losses = Losses::new(screen);
    let tally = match has_files(old, new, places)? {
        true => {
            Some(files(&reader, (old, &from), (new, &to), args.metadata, (screen, &mut losses))?)
        }
        false => None,
    };
    let with_fields = args.fields || screen.loudness >= Loudness::Verbose;
    let changes = match has_collections(old, new, places) {
        true => {
            let told = (&mut *screen, &mut losses);
            Some(collections(&reader, (old, &from), (new, &to), with_fields, told)?)
        }
        false => None,
    };
    if screen.json {
        let files = tally.unwrap_or_default();
        let mut statistics = json!({
            "message_type": "statistics",
            "source_snapshot": old.sid,
            "target_snapshot": new.sid,
            "changed_files": files.changed_files,
            "changed_metadata": files.changed_metadata,
            "added": files.added,
            "removed": files.removed,
        });
        if let Some(changes) = &changes {
            statistics["collections"] = serde_json::to_value(changes.collections)?;
            statistics["documents"] = serde_json::to_value(changes.documents)?;
        }
        screen.document(&statistics)?;
        return Ok(all.end(losses.end()));
    }
    screen.chat("")?;
    if let Some(tally) = &tally {
        sum_up(tally, screen)?;
    }
    if let Some(changes) = &changes {
        changes.sum_up(screen)?;
    }
    Ok(all.end(losses.end()))
}

/// A snapshot's collections, or those of one place, and what the server has.
fn live(args: &Args, global: &Global, screen: &mut Screen) -> Result<Exit, Failure> {
    let from = Reference::parse(args.from.as_bytes())?;
    let repository = open::open(global)?;
    let all = open::shelf(&repository)?;
    let old = all.one(&from.name, &args.filter.to_select()?)?;
    let ambient = repository.ambient();
    let asked = deployment_arguments::Collections::default();
    let Deployment { link, mut options } =
        deployment_arguments::connect(&asked, Path::new(&args.to), ambient)?;
    options.consistency = Wanted::Plain;
    let root = document::catalogue(old)?;
    let reader = repository.reader()?;
    match &from.place {
        Place::Whole => {}
        Place::Path(_) => {
            return Err(Failure::Usage("a path can't be compared with a database".into()));
        }
        Place::Mongodb(address) => match deployment::resolve(&reader, &root, address)? {
            Found::Database(database) => ask_for(&mut options.db, database)?,
            Found::Collection(one) => {
                ask_for(&mut options.db, one.namespace.db.clone())?;
                options.wanted = Arc::new(move |namespace| *namespace == one.namespace);
            }
            Found::Document(..) => {
                return Err(Failure::Usage("one document can't be compared with a server".into()));
            }
        },
    }
    let mut changes = Changes::new(&reader, args.fields || screen.loudness >= Loudness::Verbose);
    let mut watch = Watch::start(screen, "diff")?;
    let progress = watch.progress.clone();
    let mut losses = Losses::new(screen);
    losses.watched(&watch);
    let mut take = |change| match changes.show(&change, screen) {
        Ok(()) => ControlFlow::Continue(()),
        Err(failure) => ControlFlow::Break(failure),
    };
    let mut lost = |error| losses.name("", error);
    let (root, server) = (Some(root), (&link, &options));
    let flow = deployment::diff_live(&reader, root, server, &progress, &mut take, &mut lost)?;
    watch.clear();
    if let ControlFlow::Break(failure) = flow {
        return Err(failure);
    }
    if screen.json {
        screen.document(&json!({
            "message_type": "statistics",
            "source_snapshot": old.sid,
            "collections": changes.collections,
            "documents": changes.documents,
        }))?;
    } else {
        screen.chat("")?;
        changes.sum_up(screen)?;
    }
    Ok(all.end(losses.end()))
}

/// The server is asked for the database of the same name, and for no other.
fn ask_for(named: &mut Option<String>, database: String) -> Result<(), Failure> {
    match named.replace(database.clone()) {
        Some(named) if named != database => Err(Failure::Usage(format!(
            "{database} of a snapshot can't be compared with {named} of a server: other names"
        ))),
        _ => Ok(()),
    }
}

/// Whether there are files to compare. A path wants them; two databases don't.
fn has_files(old: &Kept, new: &Kept, places: (&Place, &Place)) -> Result<bool, Failure> {
    let is_mongodb = |place: &Place| matches!(place, Place::Mongodb(_));
    let has = |kept: &Kept| files_root(&kept.snapshot).is_some();
    match places {
        (from, to) if is_mongodb(from) != is_mongodb(to) => Err(Failure::Usage(
            "a path and a database can't be compared: wanted two places of one sort".into(),
        )),
        (Place::Mongodb(_), _) => Ok(false),
        (Place::Whole, Place::Whole) if has(old) != has(new) => {
            // Collections may be compared all the same.
            screen::warn("warning: one of the snapshots holds no files; files are not compared");
            Ok(false)
        }
        (Place::Whole, Place::Whole) => {
            let has_collections = |kept: &Kept| catalogue_root(&kept.snapshot).is_some();
            Ok(has(old) || !(has_collections(old) || has_collections(new)))
        }
        _ => Ok(true),
    }
}

fn has_collections(old: &Kept, new: &Kept, places: (&Place, &Place)) -> bool {
    let has = |kept: &Kept| catalogue_root(&kept.snapshot).is_some();
    match places {
        (Place::Mongodb(_), _) => true,
        (Place::Whole, Place::Whole) => has(old) || has(new),
        _ => false,
    }
}

fn collections<'r>(
    reader: &'r Reader,
    (old, from): (&Kept, &Reference),
    (new, to): (&Kept, &Reference),
    with_fields: bool,
    (screen, losses): (&mut Screen, &mut Losses),
) -> Result<Changes<'r>, Failure> {
    let mut changes = Changes::new(reader, with_fields);
    let (old, new) = (side(old, from), side(new, to));
    let mut take = |change| match changes.show(&change, screen) {
        Ok(()) => ControlFlow::Continue(()),
        Err(failure) => ControlFlow::Break(failure),
    };
    let mut lost = |error| losses.name("", error);
    let flow = deployment::diff::diff(reader, old, new, &mut take, &mut lost)?;
    match flow {
        ControlFlow::Continue(()) => Ok(changes),
        ControlFlow::Break(failure) => Err(failure),
    }
}

fn side<'r>(kept: &Kept, reference: &'r Reference) -> Side<'r> {
    let place = match &reference.place {
        Place::Mongodb(address) => Some(address),
        _ => None,
    };
    Side { root: catalogue_root(&kept.snapshot), place }
}

fn files(
    reader: &Reader,
    (old, from): (&Kept, &Reference),
    (new, to): (&Kept, &Reference),
    with_metadata: bool,
    (screen, losses): (&mut Screen, &mut Losses),
) -> Result<Tally, Failure> {
    let key = |path: Option<&[u8]>| entry::key_of_path(path.unwrap_or(b"/"));
    let scope = Scope { old: key(from.path()?)?, new: key(to.path()?)? };
    let (old_root, new_root) = (open::files(old)?, open::files(new)?);
    let mut tally = Tally::default();
    for changed in diff::diff(reader, &old_root, &new_root, &scope) {
        let Some(changed) = losses.pass(changed)? else { continue };
        tally.count(&changed);
        if changed.modifier != Modifier::Metadata || with_metadata {
            show(&changed, screen)?;
        }
    }
    Ok(tally)
}

fn show(changed: &Changed, screen: &mut Screen) -> Result<(), Failure> {
    let item = changed.item();
    let mut path = item.path();
    if item.entry.kind == Kind::Dir {
        path.push(b'/');
    }
    if screen.json {
        return screen.document(&json!({
            "message_type": "change",
            "path": String::from_utf8_lossy(&path),
            "modifier": changed.modifier.letter(),
        }));
    }
    screen.bytes(format!("{}    ", changed.modifier.letter()).as_bytes())?;
    screen.path(&path)?;
    screen.bytes(b"\n")
}

fn sum_up(tally: &Tally, screen: &mut Screen) -> Result<(), Failure> {
    let Tally { changed_files, changed_metadata, added, removed } = tally;
    let numbers = [added.files, removed.files, *changed_files].map(units::count);
    screen.chat(&format!(
        "files:  {} new, {} removed, {} changed; {} with other metadata",
        numbers[0],
        numbers[1],
        numbers[2],
        units::count(*changed_metadata)
    ))?;
    for (what, added, removed) in
        [("dirs:   ", added.dirs, removed.dirs), ("others: ", added.others, removed.others)]
    {
        if added + removed > 0 {
            let (added, removed) = (units::count(added), units::count(removed));
            screen.chat(&format!("{what}{added} new, {removed} removed"))?;
        }
    }
    let (added, removed) = (units::bytes(added.bytes), units::bytes(removed.bytes));
    screen.chat(&format!("data:   {added} added, {removed} removed"))
}
