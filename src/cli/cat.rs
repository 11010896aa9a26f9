//! `icecore cat`: the bytes of a file, a document, or a record of the repository as JSON.

use std::{ffi::OsString, ops::ControlFlow, os::unix::ffi::OsStrExt};

use icecore::{
    repo::{self, Kept, Repository},
    verbs::{
        address::Address,
        cat, deployment,
        select::{Place, Reference},
    },
};

use super::{
    args::Global,
    document::{self, Documents, Format},
    exit::Exit,
    failure::Failure,
    filter::Filter,
    open,
    screen::Screen,
    snapshots,
};

/// Write a file's content, or a document, to standard output
///
/// A document is named by its collection and its `_id`: a bare text, 24 hex digits of an ObjectId,
/// a number, a UUID, or Extended JSON; where a text may mean several things, the text itself is
/// tried last. `cat config` shows the repository's parameters and `cat snapshot ID` a snapshot's
/// record, both as JSON.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  icecore cat latest:/etc/fstab
  icecore cat 3f9a12bc:/srv/db.dump | psql
  icecore cat latest:shop.orders/65f0a1b2c3d4e5f601234567
  icecore cat 'latest:shop.prices/{\"sku\": 7, \"land\": \"at\"}' --format canonical
  icecore cat config
  icecore cat snapshot latest")]
pub struct Args {
    /// A file or a document in a snapshot; or `config`; or `snapshot` and its name
    #[arg(value_name = "SNAPSHOT:PLACE", required = true, num_args = 1..=2)]
    pub what: Vec<OsString>,

    /// How a document is written
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "relaxed")]
    pub format: Format,

    #[command(flatten)]
    pub filter: Filter,
}

pub fn run(args: &Args, global: &Global, screen: &mut Screen) -> Result<Exit, Failure> {
    let words: Vec<&[u8]> = args.what.iter().map(|word| word.as_bytes()).collect();
    let filter = args.filter.to_select()?;
    match words[..] {
        [b"config"] => {
            let repository = open::open(global)?;
            screen.document(repository.config())?;
            Ok(Exit::Done)
        }
        [b"snapshot", name] => {
            let name = String::from_utf8_lossy(name).parse()?;
            let repository = open::open(global)?;
            let all = open::shelf(&repository)?;
            screen.document(&snapshots::document(all.one(&name, &filter)?))?;
            Ok(all.end(Exit::Done))
        }
        [typed] => {
            let reference = Reference::parse(typed)?;
            if reference.place == Place::Whole {
                let text = String::from_utf8_lossy(typed);
                let what = format!(
                    "`{text}` names no file and no document: wanted `{text}:/path/of/the/file` \
                     or `{text}:db.collection/ID`"
                );
                return Err(Failure::Usage(what));
            }
            let repository = open::open(global)?;
            let all = open::shelf(&repository)?;
            let kept = all.one(&reference.name, &filter)?;
            match &reference.place {
                Place::Mongodb(address) => {
                    show_document(&repository, kept, address, args.format, screen)?;
                }
                Place::Path(path) => show_file(&repository, kept, path, screen)?,
                Place::Whole => unreachable!("refused above"),
            }
            Ok(all.end(Exit::Done))
        }
        _ => Err(Failure::Usage("wanted one file, or `snapshot` and its name".into())),
    }
}

fn show_file(
    repository: &Repository,
    kept: &Kept,
    path: &[u8],
    screen: &mut Screen,
) -> Result<(), Failure> {
    let root = open::files(kept)?;
    let reader = repository.reader()?;
    let file = cat::open(&reader, &root, path)?;
    let written = cat::read(&reader, &file, &mut |bytes| match screen.bytes(&bytes) {
        Ok(()) => ControlFlow::Continue(()),
        Err(failure) => ControlFlow::Break(failure),
    })?;
    match written {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(failure) => Err(failure),
    }
}

fn show_document(
    repository: &Repository,
    kept: &Kept,
    address: &Address,
    format: Format,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let root = document::catalogue(kept)?;
    let reader = repository.reader()?;
    let found = deployment::resolve(&reader, &root, address)?;
    let (collection, id) = deployment::needed_collection::<repo::Error>(found)?;
    let Some(id) = id else {
        return Err(Failure::Usage(format!(
            "`{address}` is a whole collection: wanted `{address}/ID`; `icecore dump` writes all"
        )));
    };
    let found = deployment::by_id(&reader, &collection, &id)?;
    let mut documents = Documents::new(format);
    documents.show(&found.bytes, screen)?;
    documents.finish();
    Ok(())
}
