//! `icecore completions`: what a shell needs to complete command lines.

use clap::CommandFactory;

use super::{args::CommandLine, exit::Exit, failure::Failure, screen::Screen};

/// Write a shell's completion script to standard output
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  icecore completions bash > /etc/bash_completion.d/icecore
  icecore completions zsh > ~/.zfunc/_icecore
  icecore completions fish > ~/.config/fish/completions/icecore.fish")]
pub struct Args {
    /// Which shell
    shell: clap_complete::Shell,
}

pub fn run(args: &Args, screen: &mut Screen) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut CommandLine::command(), "icecore", &mut script);
    screen.bytes(&script)?;
    Ok(Exit::Done)
}
