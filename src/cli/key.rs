//! `icecore key`: the passwords that open the repository.

use std::path::PathBuf;

use icecore::repo::{self, Repository};
use secrecy::SecretString;
use serde_json::json;

use super::{
    args::Global,
    exit::Exit,
    failure::Failure,
    init::Strength,
    open,
    password::{self, Source},
    screen::{self, Screen, printable},
    units,
};

/// List, add, change or remove the passwords that open the repository
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  icecore key list
  icecore key add --new-password-file second.txt
  icecore key passwd
  icecore key remove 1f0c9a42")]
pub enum Verb {
    /// List the keys; `*` is the one in use
    List,
    /// Add a password
    Add(New),
    /// Replace the password in use by another
    Passwd(New),
    /// Remove a key; its password opens the repository no longer
    Remove {
        /// The key's id, or the beginning of it
        #[arg(value_name = "KEY")]
        key: String,
    },
}

/// The new password.
#[derive(Debug, clap::Args)]
pub struct New {
    /// Read the new password from this file's first line
    #[arg(long, value_name = "FILE")]
    pub new_password_file: Option<PathBuf>,

    /// Run this command, without a shell, and take its output for the new password
    #[arg(long, value_name = "COMMAND", conflicts_with = "new_password_file")]
    pub new_password_command: Option<String>,

    /// What the list shows beside the key, instead of the user's name
    #[arg(long, value_name = "TEXT")]
    pub label: Option<String>,

    #[command(flatten)]
    pub strength: Strength,
}

pub fn run(verb: &Verb, global: &Global, screen: &mut Screen) -> Result<Exit, Failure> {
    match verb {
        Verb::List => list(&open::open(global)?, screen),
        Verb::Add(new) => {
            let params = new.strength.params()?;
            let repository = open::open(global)?;
            let password = new.password()?;
            let label = new.label(&repository);
            let name = repository.add_key(&password, &label, params)?;
            told(screen, "added", &name)
        }
        Verb::Passwd(new) => {
            let params = new.strength.params()?;
            let repository = open::open(global)?;
            let password = new.password()?;
            let label = new.label(&repository);
            let name = repository.change_password(&password, &label, params)?;
            told(screen, "changed", &name)
        }
        Verb::Remove { key } => {
            let repository = open::open(global)?;
            let name = full_name(&repository, key)?;
            repository.remove_key(&name)?;
            told(screen, "removed", &name)
        }
    }
}

impl New {
    fn password(&self) -> Result<SecretString, Failure> {
        let command = self.new_password_command.clone().map(Source::Command);
        let file = self.new_password_file.clone().map(Source::File);
        let source = command.or(file).unwrap_or(Source::Prompt);
        source.read_new("new password: ").map_err(password::of_the_new)
    }

    fn label(&self, repository: &Repository) -> String {
        self.label.clone().unwrap_or_else(|| repository.ambient().user.clone())
    }
}

fn told(screen: &mut Screen, what: &str, key: &str) -> Result<Exit, Failure> {
    if screen.json {
        screen.document(&json!({ "message_type": "summary", "action": what, "key_id": key }))?;
    } else {
        screen.chat(&format!("{what} key {key}"))?;
    }
    Ok(Exit::Done)
}

/// The key that `key` is, or begins.
fn full_name(repository: &Repository, key: &str) -> Result<String, Failure> {
    let (keys, damage) = repository.list_keys()?;
    let damaged = damage.iter().map(|damage| damage.object.last().to_owned());
    let names = keys.iter().map(|key| key.name.clone()).chain(damaged);
    let mut found = names.filter(|name| name.starts_with(key));
    let none = || repo::Error::NoSuchKey { key: key.to_owned() };
    let name = found.next().ok_or_else(none)?;
    if found.next().is_some() {
        return Err(Failure::Usage(format!("more than one key begins with `{key}`")));
    }
    if keys.iter().any(|key| key.name == name && key.current) {
        return Err(KeyInUse { name }.into());
    }
    Ok(name)
}

#[derive(Debug, thiserror::Error)]
#[error("key {name} is the one in use: `icecore key passwd` changes its password")]
struct KeyInUse {
    name: String,
}

fn list(repository: &Repository, screen: &mut Screen) -> Result<Exit, Failure> {
    let (keys, damage) = repository.list_keys()?;
    if screen.json {
        let documents: Vec<_> = keys
            .iter()
            .map(|key| {
                json!({
                    "current": key.current,
                    "id": key.name,
                    "userName": key.label,
                    "hostName": key.host,
                    "created": key.created,
                })
            })
            .collect();
        screen.document(&documents)?;
    } else {
        let rows = keys.iter().map(|key| {
            let mark = if key.current { "*" } else { "" };
            let (label, host) = (printable(key.label.as_bytes()), printable(key.host.as_bytes()));
            vec![mark.into(), key.name.clone(), label, host, units::local(key.created)]
        });
        let text = screen::table(&["", "ID", "User", "Host", "Created"], rows, &[]);
        screen.line(&text)?;
    }
    for damage in &damage {
        screen::warn(&format!("{}: {}", damage.object, damage.error));
    }
    Ok(if damage.is_empty() { Exit::Done } else { Exit::Damaged })
}
