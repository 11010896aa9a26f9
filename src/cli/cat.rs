//! `icecore cat`: the bytes of a file, or a record of the repository as JSON.

use std::ops::ControlFlow;

use icecore::verbs::{
    cat,
    select::{self, Reference},
};

use super::{
    args::Global, exit::Exit, failure::Failure, filter::Filter, open, screen::Screen, snapshots,
};

/// Write a file's content to standard output
///
/// `cat config` shows the repository's parameters and `cat snapshot ID` a snapshot's record, both
/// as JSON.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  icecore cat latest:/etc/fstab
  icecore cat 3f9a12bc:/srv/db.dump | psql
  icecore cat config
  icecore cat snapshot latest")]
pub struct Args {
    /// A file in a snapshot; or `config`; or `snapshot` and its name
    #[arg(value_name = "SNAPSHOT:PATH", required = true, num_args = 1..=2)]
    pub what: Vec<String>,

    #[command(flatten)]
    pub filter: Filter,
}

pub fn run(args: &Args, global: &Global, screen: &mut Screen) -> Result<Exit, Failure> {
    let words: Vec<&str> = args.what.iter().map(String::as_str).collect();
    let filter = args.filter.to_select()?;
    match words[..] {
        ["config"] => {
            let repository = open::open(global)?;
            screen.document(repository.config())?;
        }
        ["snapshot", name] => {
            let name = name.parse()?;
            let repository = open::open(global)?;
            let all = open::shelf(&repository)?;
            screen.document(&snapshots::document(select::one(&all, &name, &filter)?))?;
        }
        [text] => {
            let reference: Reference = text.parse()?;
            let Some(path) = reference.path()? else {
                let what = format!("`{text}` names no file: wanted `{text}:/path/of/the/file`");
                return Err(Failure::Usage(what));
            };
            let repository = open::open(global)?;
            let all = open::shelf(&repository)?;
            let root = open::files(select::one(&all, &reference.name, &filter)?)?;
            let reader = repository.reader()?;
            let file = cat::open(&reader, &root, path.as_bytes())?;
            let written = cat::read(&reader, &file, &mut |bytes| match screen.bytes(&bytes) {
                Ok(()) => ControlFlow::Continue(()),
                Err(failure) => ControlFlow::Break(failure),
            })?;
            if let ControlFlow::Break(failure) = written {
                return Err(failure);
            }
        }
        _ => return Err(Failure::Usage("wanted one file, or `snapshot` and its name".into())),
    }
    Ok(Exit::Done)
}
