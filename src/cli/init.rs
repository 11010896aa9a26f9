//! `icecore init`: a new repository.

use icecore::{
    repo::{InitOptions, Repository},
    seal::SlotParams,
    store,
};
use serde_json::json;

use super::{
    args::Global,
    exit::Exit,
    failure::Failure,
    open::{self, Place},
    password::Source,
    screen::Screen,
};

/// Make a new repository
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  icecore -r /srv/backup init
  icecore -r s3:https://s3.example.net/bucket/prefix init
  icecore -r /srv/backup --password-command 'pass show icecore' init

Keep the password in a safe place as well: without it, nobody can read the backups, you included.")]
pub struct Args {
    #[command(flatten)]
    pub strength: Strength,
}

/// How much work it is to try a password.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "How hard it is to guess the password (Argon2id)")]
pub struct Strength {
    /// Memory in MiB, from 64 to 4096
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(64..=4096))]
    pub kdf_memory: Option<u32>,
    /// Passes over the memory, from 1 to 64
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub kdf_time: Option<u32>,
    /// Lanes computed side by side, from 1 to 64
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub kdf_lanes: Option<u32>,
}

impl Strength {
    pub fn params(&self) -> Result<SlotParams, Failure> {
        let usual = SlotParams::default();
        let memory = self.kdf_memory.map_or(usual.memory_kib(), |mib| mib << 10);
        let passes = self.kdf_time.unwrap_or(usual.passes());
        let lanes = self.kdf_lanes.unwrap_or(usual.lanes());
        SlotParams::new(memory, passes, lanes).map_err(Failure::usage)
    }
}

pub fn run(args: &Args, global: &Global, screen: &mut Screen) -> Result<Exit, Failure> {
    let params = args.strength.params()?;
    let place = Place::find(global)?;
    let source = Source::choose(global.password_command.clone(), global.password_file.clone())?;
    let password = source.read_new(&format!("password for the new repository {place}: "))?;
    let cannot = |what: &dyn std::fmt::Display| format!("cannot make repository {what}");
    let store = place.create().map_err(|e| Failure::while_doing(cannot(&place), e))?;
    let abilities = store::probe(&*store, &place.ambient)
        .map_err(|e| Failure::while_doing(cannot(&place), e))?;
    let init = InitOptions { params, label: place.ambient.user.clone(), abilities };
    let options = open::open_options(global, None)?;
    let made = Repository::init(store, &password, &init, options, place.ambient.clone())
        .map_err(|e| Failure::while_doing(cannot(&place), e))?;
    let id = made.config().repo_id.to_string();
    if screen.json {
        screen.document(&json!({
            "message_type": "initialized",
            "id": id,
            "repository": place.to_string(),
        }))?;
        return Ok(Exit::Done);
    }
    screen.chat(&format!("made repository {} in {place}", &id[..8]))?;
    if !abilities.create_if_absent {
        screen
            .chat("this store has no atomic creation: sleeping sessions are never fenced here")?;
    }
    screen.chat("keep the password in a second place: without it nobody can read the backups")?;
    Ok(Exit::Done)
}
