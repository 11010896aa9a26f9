//! `icecore history`: every version of one file or one document.

use std::{ffi::OsString, os::unix::ffi::OsStrExt};

use icecore::{
    document::fields,
    repo::Kept,
    verbs::{
        address::Address,
        history::{self, Fate, Step, Version},
        select::{self, GroupBy},
    },
};
use serde_json::json;

use super::{
    args::Global,
    changes::{field_text, fields_json},
    document::object_text,
    exit::Exit,
    failure::Failure,
    filter::Filter,
    losses::{Losses, snapshot},
    open,
    screen::{Loudness, Screen, printable},
    units,
};

/// Show every version of one file or one document through the snapshots
///
/// `+` it appeared, `M` its content changed, `U` its metadata changed, `-` it was gone; snapshots
/// that changed nothing are left out (--all shows them as `=`). With --verbose, what changed in a
/// document. Snapshots of other hosts or paths have histories of their own.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  icecore history /etc/fstab
  icecore history shop.orders/65f0a1b2c3d4e5f601234567 -v
  icecore history 'shop.prices/{\"sku\": 7, \"land\": \"at\"}' --json")]
pub struct Args {
    /// A path, or `db.collection/ID`
    #[arg(value_name = "PLACE")]
    pub place: OsString,

    /// Show also the snapshots that changed nothing
    #[arg(long)]
    pub all: bool,

    #[command(flatten)]
    pub filter: Filter,
}

pub fn run(args: &Args, global: &Global, screen: &mut Screen) -> Result<Exit, Failure> {
    let text = args.place.to_string_lossy();
    let address = match args.place.as_bytes().starts_with(b"/") {
        true => None,
        false => Some(text.parse::<Address>()?),
    };
    if address.as_ref().is_some_and(|address| address.readings().count() < 2) {
        let what = format!("`{text}` is no document: wanted `db.collection/ID`");
        return Err(Failure::Usage(what));
    }
    let repository = open::open(global)?;
    let all = open::shelf(&repository)?;
    let chosen = select::backups(&all, &args.filter.to_select()?);
    let reader = repository.reader()?;
    let (mut is_found, mut losses) = (false, Losses::new(screen));
    let mut lost = |kept: &Kept, error| losses.name(&snapshot(kept), error);
    for (group, snapshots) in select::grouped(&chosen, GroupBy::default()) {
        let steps = match &address {
            Some(address) => history::of_document(&reader, &snapshots, address, &mut lost)?,
            None => history::of_path(&reader, &snapshots, args.place.as_bytes(), &mut lost)?,
        };
        if steps.is_empty() {
            continue;
        }
        is_found = true;
        if !screen.json {
            screen.chat(&printable(group.to_string().as_bytes()))?;
        }
        for step in steps.iter().filter(|step| args.all || step.fate != Fate::Same) {
            show(step, screen)?;
        }
    }
    let exit = losses.end();
    if !is_found && exit == Exit::Done {
        let what = format!("no snapshot has {text}");
        return Err(Failure::Because(what.into()));
    }
    Ok(exit)
}

fn show(step: &Step<'_>, screen: &mut Screen) -> Result<(), Failure> {
    let Kept { sid, snapshot, .. } = step.kept;
    let with_fields = screen.loudness >= Loudness::Verbose;
    let fields = match (document(&step.old), document(&step.new)) {
        (Some(old), Some(new)) if with_fields => fields::changes(old, new)?,
        _ => Vec::new(),
    };
    if screen.json {
        let line = json!({
            "message_type": "version",
            "snapshot_id": sid,
            "time": snapshot.time,
            "hostname": snapshot.host,
            "modifier": step.fate.letter(),
            "bytes": step.new.as_ref().map(|version| version.bytes),
            "hash": step.new.as_ref().map(|version| version.hash.to_hex().to_string()),
        });
        let more = match with_fields {
            true => vec![("fields", fields_json(&fields)?)],
            false => Vec::new(),
        };
        return screen.line(&object_text(&line, more));
    }
    let (size, hash) = match &step.new {
        Some(version) => (units::bytes(version.bytes), version.hash.to_hex()[..12].to_owned()),
        None => ("-".to_owned(), "-".to_owned()),
    };
    let (short, time) = (sid.short(), units::local(snapshot.time));
    screen.line(&format!("{}  {short}  {time}  {size:>12}  {hash}", step.fate.letter()))?;
    for field in &fields {
        screen.line(&format!("     {}", field_text(field)?))?;
    }
    Ok(())
}

fn document(version: &Option<Version>) -> Option<&[u8]> {
    version.as_ref()?.document.as_deref()
}
