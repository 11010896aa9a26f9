//! `icecore stats`: how much there is, and how much of it is stored.

use icecore::verbs::{
    select,
    stats::{self, Stats},
};
use serde_json::json;

use super::{
    args::Global,
    exit::Exit,
    failure::Failure,
    filter::Filter,
    hint, open,
    screen::{self, Screen},
    units,
    watch::Watch,
};

/// Count what snapshots hold, and what of it is stored
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  icecore stats
  icecore stats latest
  icecore stats --host web1 --json")]
pub struct Args {
    /// Only these; without any, all that the filters leave
    #[arg(value_name = "SNAPSHOT")]
    pub snapshots: Vec<String>,

    #[command(flatten)]
    pub filter: Filter,
}

pub fn run(args: &Args, global: &Global, screen: &mut Screen) -> Result<Exit, Failure> {
    let names = select::names(&args.snapshots)?;
    let repository = open::open(global)?;
    let all = open::shelf(&repository)?;
    let chosen = all.several(&names, &args.filter.to_select()?)?;
    let mut watch = Watch::start_of_one_document(screen, "stats")?;
    let stats = stats::stats(&repository, &chosen, &watch.progress)?;
    watch.clear();
    if screen.json {
        // restic's names for what is the same.
        screen.document(&json!({
            "snapshots_count": stats.snapshots,
            "total_file_count": stats.files,
            "total_document_count": stats.documents,
            "total_restore_size": stats.restore_bytes,
            "total_size": stats.stored_bytes,
            "total_uncompressed_size": stats.plain_bytes,
            "total_blob_count": stats.chunks + stats.nodes,
            "chunk_count": stats.chunks,
            "node_count": stats.nodes,
            "compression_ratio": ratio(stats.plain_bytes, stats.stored_bytes),
            "deduplication_ratio": ratio(stats.restore_bytes, stats.plain_bytes),
            "packs_count": stats.packs,
            "packs_size": stats.pack_bytes,
        }))?;
    } else {
        show(&stats, screen)?;
    }
    if watch.troubles() == 0 {
        return Ok(all.end(Exit::Done));
    }
    if !screen.json {
        screen::warn("what can't be read is not counted, nor is what it leads to");
        screen::warn(&format!("hint: {}", hint::CHECK));
    }
    Ok(Exit::Damaged)
}

fn ratio(whole: u64, part: u64) -> f64 {
    if part == 0 { 1.0 } else { whole as f64 / part as f64 }
}

fn show(stats: &Stats, screen: &mut Screen) -> Result<(), Failure> {
    let mut files = units::counted(stats.files, "file", "files");
    if stats.documents > 0 {
        files = format!("{files} and {}", units::counted(stats.documents, "document", "documents"));
    }
    let (dedup, squeeze) = (
        ratio(stats.restore_bytes, stats.plain_bytes),
        ratio(stats.plain_bytes, stats.stored_bytes),
    );
    screen.line(&format!("snapshots:     {}", units::count(stats.snapshots)))?;
    screen.line(&format!("restore size:  {} in {files}", units::bytes(stats.restore_bytes)))?;
    screen.line(&format!(
        "each once:     {} in {} and {} ({dedup:.2} x)",
        units::bytes(stats.plain_bytes),
        units::counted(stats.chunks, "chunk", "chunks"),
        units::counted(stats.nodes, "node", "nodes")
    ))?;
    let stored = units::bytes(stats.stored_bytes);
    screen.line(&format!("stored:        {stored} ({squeeze:.2} x)"))?;
    screen.line(&format!(
        "repository:    {} in {}",
        units::bytes(stats.pack_bytes),
        units::counted(stats.packs, "pack", "packs")
    ))
}
