//! Ctrl-C and SIGTERM: the first asks for a clean stop, the second ends at once.

use std::{
    process,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use icecore::progress::Progress;

use super::exit::Exit;

static RUNNING: Mutex<Weak<Progress>> = Mutex::new(Weak::new());
static ASKED: AtomicBool = AtomicBool::new(false);

/// To be called once, before anything long begins.
pub fn install() {
    // Only a second handler could fail, and there is none: then Ctrl-C ends the process.
    let _ = ctrlc::set_handler(|| {
        let running = RUNNING.lock().ok().and_then(|running| running.upgrade());
        let Some(progress) = running.filter(|_| !ASKED.swap(true, Ordering::SeqCst)) else {
            process::exit(Exit::Interrupted as i32);
        };
        progress.cancel();
        eprintln!("\nstopping cleanly; once more to stop at once (nothing stored gets lost)");
    });
}

/// From now on the first Ctrl-C cancels `progress` instead of ending the process, for as long as
/// somebody holds it.
pub fn cancels(progress: &Arc<Progress>) {
    if let Ok(mut running) = RUNNING.lock() {
        *running = Arc::downgrade(progress);
    }
}
