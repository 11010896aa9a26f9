//! `icecore ls`: what is in a snapshot.

use icecore::verbs::{
    entries::{self, Depth},
    select::{self, Reference},
};

use super::{
    args::Global, exit::Exit, failure::Failure, filter::Filter, item, open, screen::Screen,
    snapshots,
};

/// List what is in a snapshot
///
/// Without a path, everything; with a path to a directory, what is directly in it (--recursive:
/// everything below).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  icecore ls latest
  icecore ls -l latest:/etc
  icecore ls -l --recursive latest /etc/ssh /etc/apt
  icecore ls latest~1 --host web1 --json")]
pub struct Args {
    /// The snapshot, and perhaps a path in it
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    pub snapshot: String,

    /// Only these paths
    #[arg(value_name = "PATH")]
    pub paths: Vec<String>,

    /// Show mode, owner, size and time
    #[arg(short, long)]
    pub long: bool,

    /// Everything below the paths too
    #[arg(long)]
    pub recursive: bool,

    #[command(flatten)]
    pub filter: Filter,
}

pub fn run(args: &Args, global: &Global, screen: &mut Screen) -> Result<Exit, Failure> {
    let reference: Reference = args.snapshot.parse()?;
    let mut paths: Vec<Vec<u8>> = args.paths.iter().map(|path| path.clone().into_bytes()).collect();
    paths.extend(reference.path()?.map(|path| path.as_bytes().to_vec()));
    let repository = open::open(global)?;
    let all = open::shelf(&repository)?;
    let kept = select::one(&all, &reference.name, &args.filter.to_select()?)?;
    let root = open::files(kept)?;
    let reader = repository.reader()?;
    if screen.json {
        let mut head = snapshots::document(kept);
        head["message_type"] = "snapshot".into();
        head["struct_type"] = "snapshot".into();
        screen.document(&head)?;
    }
    let depth = match paths.is_empty() || args.recursive {
        true => Depth::Everything,
        false => Depth::Children,
    };
    if paths.is_empty() {
        paths.push(b"/".to_vec());
    }
    for path in paths {
        for found in entries::below(&reader, &root, &path, depth)? {
            let item = found?;
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
    Ok(Exit::Done)
}
