//! Long work, watched: a bar on a terminal, lines in a log, JSON for programs, troubles at once.

use std::{
    io::{self, IsTerminal, Write},
    sync::{
        Arc, Mutex,
        atomic::Ordering::Relaxed,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use icecore::progress::{Action, Progress, Trouble};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    environment,
    failure::Failure,
    interrupt,
    screen::{Loudness, Screen, printable, warn_json},
    units,
};

const BAR_FPS: f64 = 8.0;
const JSON_FPS: f64 = 2.0;

const KNOWN: &str = "{prefix} [{elapsed_precise}] {bar:24} {percent}% {msg}";
const UNKNOWN: &str = "{prefix} [{elapsed_precise}] {spinner} {msg}";

/// A run and those who look at it. Ctrl-C asks the run to stop for as long as this lives.
pub struct Watch {
    pub progress: Arc<Progress>,
    pub started: Instant,
    ticker: Option<(Sender<()>, JoinHandle<()>)>,
}

/// How a run is shown while it lasts.
#[derive(Clone)]
enum Face {
    Nothing,
    Bar(ProgressBar),
    Lines,
    Json,
}

impl Watch {
    /// Begins to watch a run called `what`.
    pub fn start(screen: &Screen, what: &'static str) -> Result<Watch, Failure> {
        let (face, fps) = choose(screen, environment::progress_fps()?);
        Watch::with_face(screen, what, face, fps)
    }

    /// The same of a run that writes one document for programs, and no lines beside it.
    pub fn start_of_one_document(screen: &Screen, what: &'static str) -> Result<Watch, Failure> {
        let fps = environment::progress_fps()?;
        let (face, fps) = match screen.json {
            true => (Face::Nothing, JSON_FPS),
            false => choose(screen, fps),
        };
        Watch::with_face(screen, what, face, fps)
    }

    /// Troubles are told, and nothing else: for work that only waits.
    pub fn start_quietly(screen: &Screen) -> Result<Watch, Failure> {
        environment::progress_fps()?;
        Watch::with_face(screen, "", Face::Nothing, JSON_FPS)
    }

    fn with_face(
        screen: &Screen,
        what: &'static str,
        face: Face,
        fps: f64,
    ) -> Result<Watch, Failure> {
        let phase = Arc::new(Mutex::new(what));
        let progress = Progress::watched(
            Box::new({
                let (face, json) = (face.clone(), screen.json);
                move |trouble| tell_trouble(&face, json, trouble)
            }),
            Box::new({
                let (phase, face) = (phase.clone(), face.clone());
                move |name| {
                    if let Ok(mut phase) = phase.lock() {
                        *phase = name;
                    }
                    if let Face::Bar(bar) = &face {
                        bar.reset_eta();
                    }
                }
            }),
        );
        let (named, json, loudness) = (face.clone(), screen.json, screen.loudness);
        let progress = Arc::new(match loudness >= Loudness::Verbose {
            true => progress.naming(Box::new(move |action, item, size_bytes| {
                if action.is_change() || loudness == Loudness::VeryVerbose {
                    name_item(&named, json, action, (item, size_bytes));
                }
            })),
            false => progress,
        });
        interrupt::cancels(&progress);
        let started = Instant::now();
        let ticker = (!matches!(face, Face::Nothing)).then(|| {
            let (stop, stopped) = mpsc::channel();
            let shown = Shown { face, phase, progress: progress.clone(), started };
            let pause = Duration::from_secs_f64(1.0 / fps);
            let thread = thread::spawn(move || {
                while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                    shown.show();
                }
                shown.clear();
            });
            (stop, thread)
        });
        Ok(Watch { progress, started, ticker })
    }

    /// Takes what is shown away again, so that results can be written.
    pub fn clear(&mut self) {
        if let Some((stop, thread)) = self.ticker.take() {
            drop(stop);
            // A panic while drawing is no reason to lose what was done.
            let _ = thread.join();
        }
    }

    pub fn troubles(&self) -> u64 {
        self.progress.troubles.load(Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.clear();
    }
}

fn choose(screen: &Screen, fps: Option<f64>) -> (Face, f64) {
    if screen.loudness == Loudness::Quiet {
        (Face::Nothing, JSON_FPS)
    } else if screen.json {
        (Face::Json, fps.unwrap_or(JSON_FPS))
    } else if io::stderr().is_terminal() {
        let target = ProgressDrawTarget::stderr_with_hz(60);
        (Face::Bar(ProgressBar::with_draw_target(None, target)), fps.unwrap_or(BAR_FPS))
    } else {
        fps.map_or((Face::Nothing, JSON_FPS), |fps| (Face::Lines, fps))
    }
}

/// On standard output, where what a run has done is named.
fn name_item(face: &Face, json: bool, action: Action, (item, size_bytes): (&str, u64)) {
    let line = if json {
        let document = serde_json::json!({
            "message_type": "verbose_status",
            "action": action.word(),
            "item": item,
            "data_size": size_bytes,
        });
        document.to_string()
    } else {
        format!("{:9} {}", action.word(), printable(item.as_bytes()))
    };
    // Whoever reads no longer misses nothing.
    let write = || drop(writeln!(io::stdout(), "{line}"));
    match face {
        Face::Bar(bar) => bar.suspend(write),
        _ => write(),
    }
}

fn tell_trouble(face: &Face, json: bool, trouble: &Trouble) {
    let Trouble { item, during, error } = trouble;
    if json {
        return warn_json(during, item, error);
    }
    let line = format!("cannot {during} {}: {error}", printable(item.as_bytes()));
    match face {
        Face::Bar(bar) => bar.suspend(|| {
            let _ = writeln!(io::stderr(), "{line}");
        }),
        _ => {
            let _ = writeln!(io::stderr(), "{line}");
        }
    }
}

struct Shown {
    face: Face,
    phase: Arc<Mutex<&'static str>>,
    progress: Arc<Progress>,
    started: Instant,
}

struct Numbers {
    items: u64,
    items_total: u64,
    bytes: u64,
    bytes_total: u64,
}

impl Numbers {
    /// From 0 to 1, by bytes where they are known.
    fn fraction(&self) -> Option<f64> {
        let (done, total) = if self.bytes_total > 0 {
            (self.bytes, self.bytes_total)
        } else {
            (self.items, self.items_total)
        };
        (total > 0).then(|| (done as f64 / total as f64).min(1.0))
    }

    fn text(&self, phase: &str, seconds: f64) -> String {
        // Of most work the items are of many sorts.
        let what = if phase == "documents" { "documents" } else { "items" };
        let of = |done: String, total: u64, shown: fn(u64) -> String| {
            if total > 0 { format!("{done}/{}", shown(total)) } else { done }
        };
        let mut parts = Vec::new();
        if self.items > 0 || self.items_total > 0 {
            let items = of(units::count(self.items), self.items_total, units::count);
            parts.push(format!("{items} {what}"));
        }
        if self.bytes > 0 || self.bytes_total > 0 {
            parts.push(of(units::bytes(self.bytes), self.bytes_total, units::bytes));
            let rate = self.bytes as f64 / seconds.max(0.001);
            parts.push(format!("{}/s", units::bytes(rate as u64)));
        }
        parts.join(", ")
    }
}

impl Shown {
    fn numbers(&self) -> Numbers {
        let Progress { items_done, bytes_done, items_total, bytes_total, .. } = &*self.progress;
        Numbers {
            items: items_done.load(Relaxed),
            items_total: items_total.load(Relaxed),
            bytes: bytes_done.load(Relaxed),
            bytes_total: bytes_total.load(Relaxed),
        }
    }

    fn phase(&self) -> &'static str {
        self.phase.lock().map(|phase| *phase).unwrap_or_default()
    }

    fn show(&self) {
        match &self.face {
            Face::Nothing => {}
            Face::Bar(bar) => self.draw(bar),
            Face::Lines => self.log(),
            Face::Json => self.write_status(),
        }
    }

    fn clear(&self) {
        if let Face::Bar(bar) = &self.face {
            bar.finish_and_clear();
        }
    }

    fn draw(&self, bar: &ProgressBar) {
        let numbers = self.numbers();
        let mut text = numbers.text(self.phase(), self.started.elapsed().as_secs_f64());
        let template = if let Some(fraction) = numbers.fraction() {
            bar.set_length(10_000);
            bar.set_position((fraction * 10_000.0) as u64);
            text = format!("{text}, {} left", units::duration(bar.eta()));
            KNOWN
        } else {
            bar.tick();
            UNKNOWN
        };
        let current = self.progress.current();
        if !current.is_empty() {
            text = format!("{text}  {}", printable(current.as_bytes()));
        }
        bar.set_style(ProgressStyle::with_template(template).expect("a valid template"));
        bar.set_prefix(self.phase());
        bar.set_message(text);
    }

    fn log(&self) {
        let (numbers, elapsed) = (self.numbers(), self.started.elapsed());
        let done = numbers.fraction().map(|f| format!("{:.1} %, ", f * 100.0)).unwrap_or_default();
        let text = numbers.text(self.phase(), elapsed.as_secs_f64());
        let line = format!("[{}] {}: {done}{text}", units::duration(elapsed), self.phase());
        let _ = writeln!(io::stderr(), "{line}");
    }

    fn write_status(&self) {
        let numbers = self.numbers();
        let current = self.progress.current();
        let current: Vec<&str> =
            Some(current.as_str()).filter(|c| !c.is_empty()).into_iter().collect();
        let seconds = self.started.elapsed().as_secs_f64();
        let fraction = numbers.fraction();
        let left = fraction.filter(|f| *f > 0.01).map(|f| (seconds / f - seconds) as u64);
        let document = serde_json::json!({
            "message_type": "status",
            "phase": self.phase(),
            "seconds_elapsed": seconds as u64,
            "seconds_remaining": left,
            "percent_done": fraction.unwrap_or(0.0),
            "total_files": numbers.items_total,
            "files_done": numbers.items,
            "total_bytes": numbers.bytes_total,
            "bytes_done": numbers.bytes,
            "error_count": self.progress.troubles.load(Relaxed),
            "current_files": current,
        });
        // Whoever reads no longer misses nothing.
        let _ = writeln!(io::stdout(), "{document}");
    }
}
