//! `icecore dump`: collections of a snapshot as files that other tools take.

use std::{ffi::OsString, os::unix::ffi::OsStrExt, path::PathBuf};

use icecore::{
    repo::{Kept, Reader},
    sink::dump::Dump,
    verbs::{
        deployment::{self, Bounds, Collection, Found},
        dump::{self, Form, Outcome},
        select::{Place, Reference},
    },
};
use serde_json::json;

use super::{
    args::Global,
    document::{self, Documents},
    exit::Exit,
    failure::Failure,
    filter::Filter,
    losses::Losses,
    open,
    screen::{self, Screen},
    units,
    watch::Watch,
};

/// Write collections as files, without any server
///
/// The directory is one as mongodump makes it (`DIR/db/collection.bson` and
/// `collection.metadata.json`), and mongorestore takes it. Nothing is overwritten.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  icecore dump latest --out /tmp/dump
  icecore dump latest:shop --out /tmp/dump --gzip
  icecore dump latest:shop.orders --format jsonl --out - | jq .total")]
pub struct Args {
    /// The snapshot, and perhaps a database or collection in it
    #[arg(value_name = "SNAPSHOT[:DB[.COLLECTION]]")]
    pub snapshot: OsString,

    /// The directory to write below; made when it is missing. `-`: one collection's documents to
    /// standard output
    #[arg(long, value_name = "DIR|-")]
    pub out: PathBuf,

    /// How documents are written
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "bson")]
    pub format: Format,

    /// Compress each file
    #[arg(long)]
    pub gzip: bool,

    #[command(flatten)]
    pub filter: Filter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// The bytes as the server gave them, one document behind the other
    Bson,
    /// Relaxed Extended JSON, a document a line
    Jsonl,
}

pub fn run(args: &Args, global: &Global, screen: &mut Screen) -> Result<Exit, Failure> {
    let reference: Reference = Reference::parse(args.snapshot.as_bytes())?;
    let to_stdout = args.out.as_os_str() == "-";
    if to_stdout && (args.gzip || screen.json) {
        let what = "`--gzip` and `--json` are for directories, not for `--out -`";
        return Err(Failure::Usage(what.into()));
    }
    let repository = open::open(global)?;
    let all = open::shelf(&repository)?;
    let kept = all.one(&reference.name, &args.filter.to_select()?)?;
    let reader = repository.reader()?;
    let mut losses = Losses::new(screen);
    let collections = choose(&reader, kept, &reference, &mut losses)?;
    if to_stdout {
        let [collection] = &collections[..] else {
            let what = "standard output takes one collection: name it, or a directory";
            return Err(Failure::Usage(what.into()));
        };
        let exit = write_out(&reader, collection, args.format, (screen, losses))?;
        return Ok(all.end(exit));
    }
    let form = match args.format {
        Format::Bson => Form::Bson,
        Format::Jsonl => Form::Jsonl,
    };
    let mut watch = Watch::start(screen, "dump")?;
    let dump = Dump::new(&args.out, args.gzip);
    losses.watched(&watch);
    let mut lost = |error| losses.name("", error);
    let to = (form, &dump);
    let outcome = dump::dump(&reader, &collections, to, &watch.progress, &mut lost)?;
    watch.clear();
    tell(&outcome, args, screen)?;
    Ok(all.end(losses.end()))
}

fn choose(
    reader: &Reader,
    kept: &Kept,
    reference: &Reference,
    losses: &mut Losses,
) -> Result<Vec<Collection>, Failure> {
    let root = document::catalogue(kept)?;
    let mut all = |database: Option<&str>| -> Result<Vec<Collection>, Failure> {
        let found = deployment::collections(reader, &root, database);
        found.filter_map(|found| losses.pass(found).transpose()).collect()
    };
    let address = match &reference.place {
        Place::Whole => return all(None),
        Place::Path(_) => {
            let what = "files are written by `icecore restore` and `icecore cat`";
            return Err(Failure::Usage(what.into()));
        }
        Place::Mongodb(address) => address,
    };
    match deployment::resolve::<Reader>(reader, &root, address)? {
        Found::Database(database) => all(Some(&database)),
        Found::Collection(collection) => Ok(vec![*collection]),
        Found::Document(..) => {
            Err(Failure::Usage(format!("`{address}` is one document: `icecore cat` writes it")))
        }
    }
}

fn write_out(
    reader: &Reader,
    collection: &Collection,
    format: Format,
    (screen, mut losses): (&mut Screen, Losses),
) -> Result<Exit, Failure> {
    let mut documents = Documents::new(match format {
        Format::Bson => document::Format::Bson,
        Format::Jsonl => document::Format::Jsonl,
    });
    for found in deployment::documents(reader, collection, &Bounds::default())? {
        let Some(found) = losses.pass(found)? else { continue };
        documents.show(&found.bytes, screen)?;
    }
    documents.finish();
    Ok(losses.end())
}

fn tell(outcome: &Outcome, args: &Args, screen: &mut Screen) -> Result<(), Failure> {
    if screen.json {
        screen.document(&json!({
            "message_type": "summary",
            "collections": outcome.collections,
            "documents": outcome.documents,
            "total_bytes": outcome.bytes,
            "documents_lossy": outcome.lossy,
        }))?;
    } else {
        screen.chat(&format!(
            "wrote {}, {} in {} to {}",
            units::counted(outcome.documents, "document", "documents"),
            units::bytes(outcome.bytes),
            units::counted(outcome.collections, "collection", "collections"),
            args.out.display()
        ))?;
    }
    if outcome.lossy > 0 {
        screen::warn(&format!(
            "warning: text that is no UTF-8 in {} became U+FFFD; `--format bson` keeps it",
            units::counted(outcome.lossy, "document", "documents")
        ));
    }
    Ok(())
}
