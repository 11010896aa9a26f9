//! `icecore man`: the manual pages, made from the help texts.

use std::{fs, path::PathBuf};

use clap::CommandFactory;

use super::{args::CommandLine, exit::Exit, failure::Failure, screen::Screen};

/// Write the manual pages
///
/// With a directory: all of them, one a verb, into it. Without: the first page to standard output.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  icecore man | man -l -
  icecore man /usr/local/share/man/man1")]
pub struct Args {
    /// Where to write the pages
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

pub fn run(args: &Args, screen: &mut Screen) -> Result<Exit, Failure> {
    // `icecore help VERB` shows the pages that there are, and has none of its own.
    let mut command = CommandLine::command().disable_help_subcommand(true);
    command.build();
    let Some(directory) = &args.directory else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page).map_err(Failure::Output)?;
        screen.bytes(&page)?;
        return Ok(Exit::Done);
    };
    let cannot = |error| {
        Failure::while_doing(format!("cannot write manual pages to {}", directory.display()), error)
    };
    fs::create_dir_all(directory).map_err(cannot)?;
    clap_mangen::generate_to(command, directory).map_err(cannot)?;
    screen.chat(&format!("manual pages written to {}", directory.display()))?;
    Ok(Exit::Done)
}
