//! `icecore repair`: what can be made again from what is whole.

use icecore::verbs::prune;
use serde_json::json;

use super::{
    args::Global,
    exit::Exit,
    failure::Failure,
    open,
    screen::{self, Screen},
    units,
    watch::Watch,
};

/// Make again what can be made from what is whole
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Build the index again from the packs, and put damaged copies of the config again
    Index,
}

pub fn run(verb: &Verb, global: &Global, screen: &mut Screen) -> Result<Exit, Failure> {
    let Verb::Index = verb;
    let repository = open::open(global)?;
    let mut watch = Watch::start(screen, "repair index")?;
    let configs = repository.repair_config()?;
    let repaired = prune::repair_index(&repository, &watch.progress)?;
    watch.clear();
    let is_damaged = !repaired.remembered.is_empty() || !repaired.strange.is_empty();
    for known in &repaired.remembered {
        let (object, error) = (&known.object, &known.error);
        screen::warn(&format!(
            "its own table can't be read, the index knows it: {object}: {error}"
        ));
    }
    for strange in &repaired.strange {
        screen::warn(&format!("left out: {}: {}", strange.object, strange.error));
    }
    if screen.json {
        screen.document(&json!({
            "message_type": "summary",
            "configs_repaired": configs.iter().map(|name| name.as_str()).collect::<Vec<_>>(),
            "packs": repaired.packs,
            "blobs": repaired.blobs,
            "segments_replaced": repaired.segments_replaced,
            "packs_remembered": repaired.remembered.len(),
            "packs_left_out": repaired.strange.len(),
        }))?;
    } else {
        for name in &configs {
            screen.chat(&format!("{name} is put again, from a copy that is whole"))?;
        }
        screen.chat(&format!(
            "the index is made again: {} in {}",
            units::counted(repaired.blobs, "blob", "blobs"),
            units::counted(repaired.packs, "pack", "packs")
        ))?;
        if is_damaged {
            screen.line("hint: `icecore check --read-data` says what that touches")?;
        }
    }
    Ok(if is_damaged { Exit::Damaged } else { Exit::Done })
}
