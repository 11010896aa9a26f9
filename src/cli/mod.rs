//! The person's face of the library: the command line in, tables, JSON, hints and exit codes out.

mod args;
mod backup;
mod cat;
mod changes;
mod check;
mod completions;
mod deployment;
mod diff;
mod document;
mod dump;
mod environment;
mod exit;
mod failure;
mod filter;
mod find;
mod forget;
mod hint;
mod history;
mod init;
mod interrupt;
mod item;
mod key;
mod losses;
mod ls;
mod man;
mod memory;
mod mount;
mod open;
mod password;
mod prune;
mod repair;
mod restore;
mod restore_mongodb;
mod screen;
mod shelf;
mod snapshots;
mod stats;
mod tag;
mod undelete;
mod undo;
mod units;
mod version;
mod watch;

use clap::{CommandFactory, FromArgMatches, error::ErrorKind};

pub use memory::give_back_large_buffers;

use self::{
    args::{CommandLine, Global, Verb},
    exit::Exit,
    failure::Failure,
    screen::{Loudness, Screen},
};

/// The whole of the program: everything that ends it comes back here.
pub fn main() -> Exit {
    let matches = match CommandLine::command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return not_understood(&error),
    };
    let line = match CommandLine::from_arg_matches(&matches) {
        Ok(line) => line,
        Err(error) => return not_understood(&error),
    };
    interrupt::install();
    let json = line.global.json;
    let mut screen = Screen::new(json, loudness(&line.global));
    let ended = run(line, &mut screen).and_then(|exit| screen.flush().map(|()| exit));
    match ended {
        Ok(exit) => exit,
        Err(failure) if failure.is_broken_pipe() => Exit::Done,
        Err(failure) => {
            // What was found before the failure is worth having; a second failure says no more.
            let _ = screen.flush();
            failure.show(json);
            failure.exit()
        }
    }
}

/// Help and version come here as well; they are no errors.
fn not_understood(error: &clap::Error) -> Exit {
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Done,
        _ => Exit::Usage,
    }
}

fn loudness(global: &Global) -> Loudness {
    match (global.quiet, global.verbose) {
        (true, _) => Loudness::Quiet,
        (false, 0) => Loudness::Normal,
        (false, 1) => Loudness::Verbose,
        _ => Loudness::VeryVerbose,
    }
}

fn run(line: CommandLine, screen: &mut Screen) -> Result<Exit, Failure> {
    let CommandLine { global, verb } = line;
    if global.verbose > 2 {
        return Err(Failure::Usage("--verbose may be given twice at most".into()));
    }
    match verb {
        Verb::Init(args) => init::run(&args, &global, screen),
        Verb::Backup(args) => backup::run(&args, &global, screen),
        Verb::Snapshots(args) => snapshots::run(&args, &global, screen),
        Verb::Ls(args) => ls::run(&args, &global, screen),
        Verb::Cat(args) => cat::run(&args, &global, screen),
        Verb::Find(args) => find::run(&args, &global, screen),
        Verb::Diff(args) => diff::run(&args, &global, screen),
        Verb::Dump(args) => dump::run(&args, &global, screen),
        Verb::History(args) => history::run(&args, &global, screen),
        Verb::Restore(args) => restore::run(&args, &global, screen),
        Verb::Mount(args) => mount::run(&args, &global, screen),
        Verb::Tag(args) => tag::run(&args, &global, screen),
        Verb::Forget(args) => forget::run(&args, &global, screen),
        Verb::Undo(args) => undo::run(&args, &global, screen),
        Verb::Undelete(args) => undelete::run(&args, &global, screen),
        Verb::Prune(args) => prune::run(&args, &global, screen),
        Verb::Check(args) => check::run(&args, &global, screen),
        Verb::Stats(args) => stats::run(&args, &global, screen),
        Verb::Repair(verb) => repair::run(&verb, &global, screen),
        Verb::Key(verb) => key::run(&verb, &global, screen),
        Verb::Completions(args) => completions::run(&args, screen),
        Verb::Man(args) => man::run(&args, screen),
        Verb::Version => version::run(screen),
    }
}
