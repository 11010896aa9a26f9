//! `icecore find`: in which snapshots a file is, or which documents of a collection.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
};

use icecore::{
    format::{catalogue::CollectionKind, entry::FileType},
    repo::{self, Kept, Reader},
    verbs::{
        deployment::{self, Bounds, Found},
        entries::files_root,
        find::{self, Matcher},
        select::{self, Place, Reference},
    },
};
use serde_json::json;

use super::{
    args::Global,
    document::{self, Documents, Format},
    exit::Exit,
    failure::Failure,
    filter::Filter,
    item,
    losses::{Losses, snapshot},
    open,
    screen::{Screen, printable},
    units,
};

/// Find files by name, in all snapshots or some; or documents of a collection
///
/// A pattern without a slash is compared with names, one that begins with a slash with whole paths,
/// any other with what paths end with; `*` and `?` stop at slashes, `**` does not.
///
/// With --query, --id-from or --id-to, `SNAPSHOT:db.collection` is asked for documents instead,
/// without any server. The query is Extended JSON as `find` of the server takes it, and is
/// answered as the server would, by the values' bytes (without a collation); an operator that is
/// not supported is refused by its name.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  icecore find fstab
  icecore find '*.sql' --host db1
  icecore find -l '/srv/**/report-2026-*.pdf' --snapshot latest
  icecore find -i 'readme*' --json
  icecore find latest:shop.orders --query '{\"total\": {\"$gt\": 100}}'
  icecore find latest~3:shop.orders --id-from 1000 --id-to 1999 --format bson")]
pub struct Args {
    /// What to look for, or in which collections
    #[arg(value_name = "PATTERN|SNAPSHOT:COLLECTION", required = true)]
    pub patterns: Vec<OsString>,

    /// Only in these snapshots; may be given more than once
    #[arg(short, long, value_name = "SNAPSHOT")]
    pub snapshot: Vec<String>,

    /// Take upper and lower case for the same
    #[arg(short, long)]
    pub ignore_case: bool,

    /// Show mode, owner, size and time
    #[arg(short, long)]
    pub long: bool,

    /// Only entries of this kind
    #[arg(long = "type", value_name = "KIND", value_enum)]
    pub kind: Option<Kind>,

    #[command(flatten)]
    pub documents: Asked,

    #[command(flatten)]
    pub filter: Filter,
}

/// What makes it a search for documents.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Documents")]
pub struct Asked {
    /// Documents that this query finds
    #[arg(long, value_name = "JSON", conflicts_with_all = ["snapshot", "kind", "ignore_case"])]
    pub query: Option<String>,

    /// Documents from this `_id` on
    #[arg(long, value_name = "ID", conflicts_with_all = ["snapshot", "kind", "ignore_case"])]
    pub id_from: Option<String>,

    /// Documents up to this `_id`, itself too
    #[arg(long, value_name = "ID", conflicts_with_all = ["snapshot", "kind", "ignore_case"])]
    pub id_to: Option<String>,

    /// How documents are written
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "jsonl")]
    pub format: Format,

    /// So many documents at most
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
}

impl Asked {
    fn is_for_documents(&self) -> bool {
        self.query.is_some() || self.id_from.is_some() || self.id_to.is_some()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    File,
    Dir,
    Symlink,
}

pub fn run(args: &Args, global: &Global, screen: &mut Screen) -> Result<Exit, Failure> {
    match args.documents.is_for_documents() {
        true => documents(args, global, screen),
        false if args.documents.limit.is_some() => {
            Err(Failure::Usage("`--limit` is for documents: with `--query`, `--id-from`".into()))
        }
        false => files(args, global, screen),
    }
}

fn documents(args: &Args, global: &Global, screen: &mut Screen) -> Result<Exit, Failure> {
    let asked = &args.documents;
    let query = asked.query.as_ref().map(|text| document::query(text)).transpose()?;
    let references: Vec<Reference> = args
        .patterns
        .iter()
        .map(|typed| Reference::parse(typed.as_bytes()))
        .collect::<Result<_, _>>()?;
    let bounds = Bounds { from: asked.id_from.clone(), to: asked.id_to.clone() };
    if bounds.are_reversed().map_err(Failure::usage)? {
        let what = "nothing is within: `--id-from` stands behind `--id-to`";
        return Err(Failure::Usage(what.into()));
    }
    let repository = open::open(global)?;
    let all = open::shelf(&repository)?;
    let filter = args.filter.to_select()?;
    let reader = repository.reader()?;
    let (mut written, mut losses) = (Documents::new(asked.format), Losses::new(screen));
    let mut left = asked.limit.unwrap_or(u64::MAX);
    for (reference, typed) in references.iter().zip(&args.patterns) {
        let text = typed.to_string_lossy();
        let Place::Mongodb(address) = &reference.place else {
            return Err(Failure::Usage(format!(
                "`{text}` names no collection: documents are in one"
            )));
        };
        let root = document::catalogue(all.one(&reference.name, &filter)?)?;
        let found = deployment::resolve(&reader, &root, address)?;
        let (collection, id) = deployment::needed_collection::<repo::Error>(found)?;
        if id.is_some() {
            return Err(Failure::Usage(format!(
                "`{text}` is one document: `icecore cat` shows it"
            )));
        }
        if query.is_some() && collection.record.kind == CollectionKind::TimeSeries {
            return Err(Failure::Usage(format!(
                "`{text}` is a time series: a query can't be asked of the buckets that are kept"
            )));
        }
        for found in deployment::documents(&reader, &collection, &bounds)? {
            if left == 0 {
                break;
            }
            let Some(found) = losses.pass(found)? else { continue };
            let matches = query.as_ref().map_or(Ok(true), |query| query.matches(&found.bytes));
            if matches? {
                left -= 1;
                written.show(&found.bytes, screen)?;
            }
        }
    }
    written.finish();
    Ok(all.end(losses.end()))
}

fn files(args: &Args, global: &Global, screen: &mut Screen) -> Result<Exit, Failure> {
    let names = select::names(&args.snapshot)?;
    let (patterns, plain) = sorted(&args.patterns)?;
    let matcher = Matcher::new(&find::Options {
        patterns,
        names: plain,
        ignore_case: args.ignore_case,
        file_type: args.kind.map(|kind| match kind {
            Kind::File => FileType::File,
            Kind::Dir => FileType::Dir,
            Kind::Symlink => FileType::Symlink,
        }),
    })
    .map_err(Failure::usage)?;
    let repository = open::open(global)?;
    let all = open::shelf(&repository)?;
    let filter = args.filter.to_select()?;
    let chosen = all.several(&names, &filter)?;
    let reader = repository.reader()?;
    for typed in &args.patterns {
        let what = match place(typed, &all, &filter, &reader) {
            None => continue,
            Some(Found::Database(_)) => "a database: `icecore ls` shows its collections",
            Some(Found::Document(..)) => "one document: `icecore cat` shows it",
            Some(Found::Collection(_)) => {
                "a collection: `--query '{}'`, `--id-from` or `--id-to` say which documents of it; \
                 `icecore ls` shows their ids"
            }
        };
        return Err(Failure::Usage(format!("`{}` is {what}", typed.to_string_lossy())));
    }
    let (mut documents, mut losses) = (Vec::new(), Losses::new(screen));
    for kept in chosen {
        // A snapshot of collections alone has no files to look at.
        let Some(root) = files_root(&kept.snapshot) else { continue };
        let mut matches = Vec::new();
        let mut hits = 0;
        for found in find::find(&reader, &root, &matcher) {
            let Some(item) = losses.pass_in(&snapshot(kept), found)? else { continue };
            hits += 1;
            if screen.json {
                matches.push(item::document(&item));
                continue;
            }
            if hits == 1 {
                head(kept, screen)?;
            }
            item::show(&item, args.long, screen)?;
        }
        if screen.json && hits > 0 {
            documents.push(json!({ "matches": matches, "hits": hits, "snapshot": kept.sid }));
        }
    }
    if screen.json {
        screen.document(&documents)?;
    }
    Ok(all.end(losses.end()))
}

/// What is text, for patterns, and what is not: names as they are.
fn sorted(typed: &[OsString]) -> Result<(Vec<String>, Vec<Vec<u8>>), Failure> {
    let (mut patterns, mut names) = (Vec::new(), Vec::new());
    for typed in typed {
        match typed.to_str() {
            Some(text) => patterns.push(text.to_owned()),
            None if typed.as_bytes().iter().any(|byte| b"*?[{".contains(byte)) => {
                let text = typed.to_string_lossy();
                let what = format!("`{text}` is not UTF-8, and so can be a name but no pattern");
                return Err(Failure::Usage(what));
            }
            None => names.push(typed.as_bytes().to_vec()),
        }
    }
    Ok((patterns, names))
}

/// What could be a pattern, but is a place among the collections of a snapshot.
fn place(typed: &OsStr, all: &[Kept], filter: &select::Filter, reader: &Reader) -> Option<Found> {
    let Ok(Reference { name, place: Place::Mongodb(address) }) = Reference::parse(typed.as_bytes())
    else {
        return None;
    };
    let kept = select::one(all, &name, filter).ok()?;
    let root = deployment::catalogue_root(&kept.snapshot)?;
    deployment::resolve(reader, &root, &address).ok()
}

fn head(kept: &Kept, screen: &mut Screen) -> Result<(), Failure> {
    let (time, host) = (units::local(kept.snapshot.time), printable(kept.snapshot.host.as_bytes()));
    screen.chat(&format!("snapshot {} of {time} on {host}:", kept.sid.short()))
}
