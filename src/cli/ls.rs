//! `icecore ls`: what is in a snapshot.

use std::{ffi::OsString, os::unix::ffi::OsStrExt};

use icecore::{
    repo::{Kept, Repository},
    tree::Root,
    verbs::{
        address::Address,
        deployment::{self, Bounds, Collection, Found},
        entries::{self, Depth},
        select::{Place, Reference},
    },
};
use serde_json::json;

use super::{
    args::Global,
    document::{self, id_json, object_text},
    exit::Exit,
    failure::Failure,
    filter::Filter,
    item,
    losses::Losses,
    open,
    screen::{Screen, printable},
    snapshots, units,
};

/// List what is in a snapshot
///
/// Without a place, all files and the databases; with a path to a directory, what is directly in
/// it (--recursive: everything below). `SNAPSHOT:db` lists collections, `SNAPSHOT:db.collection`
/// the ids of its documents.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  icecore ls latest
  icecore ls -l latest:/etc
  icecore ls -l --recursive latest /etc/ssh /etc/apt
  icecore ls latest:shop
  icecore ls -l latest:shop.orders
  icecore ls latest~1 --host web1 --json")]
pub struct Args {
    /// The snapshot, and perhaps a place in it
    #[arg(value_name = "SNAPSHOT[:PLACE]")]
    pub snapshot: OsString,

    /// Only these paths
    #[arg(value_name = "PATH")]
    pub paths: Vec<OsString>,

    /// Show mode, owner, size and time; of documents, their size
    #[arg(short, long)]
    pub long: bool,

    /// Everything below the paths too
    #[arg(long)]
    pub recursive: bool,

    #[command(flatten)]
    pub filter: Filter,
}

pub fn run(args: &Args, global: &Global, screen: &mut Screen) -> Result<Exit, Failure> {
    let reference: Reference = Reference::parse(args.snapshot.as_bytes())?;
    let mut paths: Vec<Vec<u8>> = args.paths.iter().map(|path| path.as_bytes().to_vec()).collect();
    let address = match &reference.place {
        Place::Whole => None,
        Place::Path(path) => {
            paths.push(path.clone());
            None
        }
        Place::Mongodb(address) => Some(address),
    };
    let mut losses = Losses::new(screen);
    let repository = open::open(global)?;
    let all = open::shelf(&repository)?;
    let kept = all.one(&reference.name, &args.filter.to_select()?)?;
    if screen.json {
        let mut head = snapshots::document(kept);
        head["message_type"] = "snapshot".into();
        head["struct_type"] = "snapshot".into();
        screen.document(&head)?;
    }
    if let Some(address) = address {
        list_place(&repository, kept, address, args.long, (screen, &mut losses))?;
    }
    let catalogue = deployment::catalogue_root(&kept.snapshot);
    let wants_all = address.is_none() && paths.is_empty();
    // Where there are collections, there need not be files.
    if !paths.is_empty()
        || (wants_all && (catalogue.is_none() || entries::files_root(&kept.snapshot).is_some()))
    {
        list_files(&repository, kept, paths, args, (screen, &mut losses))?;
    }
    if let Some(root) = catalogue.filter(|_| wants_all) {
        list_databases(&repository, &root, (screen, &mut losses))?;
    }
    Ok(all.end(losses.end()))
}

fn list_files(
    repository: &Repository,
    kept: &Kept,
    mut paths: Vec<Vec<u8>>,
    args: &Args,
    (screen, losses): (&mut Screen, &mut Losses),
) -> Result<(), Failure> {
    let root = open::files(kept)?;
    let reader = repository.reader()?;
    let depth = match paths.is_empty() || args.recursive {
        true => Depth::Everything,
        false => Depth::Children,
    };
    if paths.is_empty() {
        paths.push(b"/".to_vec());
    }
    for path in paths {
        for found in entries::below(&reader, &root, &path, depth)? {
            let Some(item) = losses.pass(found)? else { continue };
            if screen.json {
                let mut document = item::document(&item);
                document.insert("message_type".into(), "node".into());
                document.insert("struct_type".into(), "node".into());
                screen.document(&document)?;
            } else {
                item::show(&item, args.long, screen)?;
            }
        }
    }
    Ok(())
}

fn list_databases(
    repository: &Repository,
    root: &Root,
    (screen, losses): (&mut Screen, &mut Losses),
) -> Result<(), Failure> {
    let reader = repository.reader()?;
    for found in deployment::databases(&reader, root) {
        let Some(database) = losses.pass(found)? else { continue };
        if screen.json {
            screen.document(&json!({ "message_type": "database", "name": database }))?;
        } else {
            screen.line(&printable(database.as_bytes()))?;
        }
    }
    Ok(())
}

fn list_place(
    repository: &Repository,
    kept: &Kept,
    address: &Address,
    long: bool,
    (screen, losses): (&mut Screen, &mut Losses),
) -> Result<(), Failure> {
    let root = document::catalogue(kept)?;
    let reader = repository.reader()?;
    match deployment::resolve(&reader, &root, address)? {
        Found::Database(database) => {
            for found in deployment::collections(&reader, &root, Some(&database)) {
                let Some(collection) = losses.pass(found)? else { continue };
                show_collection(&collection, screen)?;
            }
            Ok(())
        }
        Found::Document(collection, id) => {
            let found = deployment::by_id(&reader, &collection, &id)?;
            let text = deployment::id_text(&found.bytes, &found.key);
            show_id(&text, found.bytes.len() as u64, long, screen)
        }
        Found::Collection(collection) => {
            let mut all = deployment::documents(&reader, &collection, &Bounds::default())?;
            while let Some(found) = all.next_value().transpose() {
                let Some((key, value)) = losses.pass(found)? else { continue };
                let text = deployment::id_text(&value.head, &key);
                show_id(&text, deployment::document_bytes(&value), long, screen)?;
            }
            Ok(())
        }
    }
}

fn show_collection(collection: &Collection, screen: &mut Screen) -> Result<(), Failure> {
    let record = &collection.record;
    if screen.json {
        return screen.document(&json!({
            "message_type": "collection",
            "name": collection.namespace.to_string(),
            "database": collection.namespace.db,
            "collection": collection.namespace.collection,
            "type": collection.kind_name(),
            "uuid": record.uuid.map(uuid_text),
            "documents": record.count,
            "bytes": record.bytes,
            "indexes": record.indexes.len() + usize::from(record.id_index.is_some()),
        }));
    }
    screen.line(&format!(
        "{:<10} {:>12} {:>12}  {}",
        collection.kind_name(),
        units::count(record.count),
        units::bytes(record.bytes),
        printable(collection.namespace.to_string().as_bytes()),
    ))
}

fn uuid_text(uuid: [u8; 16]) -> String {
    let hex = hex::encode(uuid);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn show_id(text: &str, bytes: u64, long: bool, screen: &mut Screen) -> Result<(), Failure> {
    if screen.json {
        let document = json!({ "message_type": "document", "bytes": bytes });
        screen.line(&object_text(&document, vec![("_id", id_json(text))]))
    } else if long {
        screen.line(&format!("{bytes:>10} {text}"))
    } else {
        screen.line(text)
    }
}
