//! What long work tells while it runs: counters that anyone may read, troubles one by one.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

/// Something that went wrong with one item and did not stop the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The item as a person knows it: a path, a namespace and `_id`, a snapshot. Lossy for show.
    pub item: String,
    /// What was being done: `read`, `stat`, `restore`, `remove` ...
    pub during: &'static str,
    /// The fact and its causes, on one line.
    pub error: String,
}

/// What was done with an item, or would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    New,
    Modified,
    Restored,
    /// Its content was right.
    Metadata,
    Unchanged,
    /// It differs, and was left so.
    Skipped,
}

impl Action {
    pub fn word(self) -> &'static str {
        match self {
            Action::New => "new",
            Action::Modified => "modified",
            Action::Restored => "restored",
            Action::Metadata => "metadata",
            Action::Unchanged => "unchanged",
            Action::Skipped => "skipped",
        }
    }

    /// The content of the item is not what it was.
    pub fn is_change(self) -> bool {
        matches!(self, Action::New | Action::Modified | Action::Restored)
    }
}

/// Takes what was done, the item as in `Trouble`, and its size in bytes.
type OnItem = Box<dyn Fn(Action, &str, u64) + Send + Sync>;
type OnTrouble = Box<dyn Fn(&Trouble) + Send + Sync>;
type OnPhase = Box<dyn Fn(&'static str) + Send + Sync>;

/// Counters of one run, shared by its threads and by whoever shows them.
#[derive(Default)]
pub struct Progress {
    pub items_done: AtomicU64,
    pub bytes_done: AtomicU64,
    /// 0 while it is not known.
    pub items_total: AtomicU64,
    pub bytes_total: AtomicU64,
    pub troubles: AtomicU64,
    current: Mutex<String>,
    cancelled: AtomicBool,
    on_trouble: Option<OnTrouble>,
    on_phase: Option<OnPhase>,
    on_item: Option<OnItem>,
}

impl Progress {
    /// Nobody looks.
    pub fn silent() -> Self {
        Progress::default()
    }

    /// `on_trouble` is called once for each trouble, from whichever thread met it.
    pub fn watched(on_trouble: OnTrouble, on_phase: OnPhase) -> Self {
        Progress { on_trouble: Some(on_trouble), on_phase: Some(on_phase), ..Progress::default() }
    }

    /// The same, and `on_item` is called for each item, by runs that name them.
    pub fn naming(self, on_item: OnItem) -> Self {
        Progress { on_item: Some(on_item), ..self }
    }

    /// `name` is called only if somebody listens.
    pub fn item(&self, action: Action, size_bytes: u64, name: impl FnOnce() -> String) {
        if let Some(tell) = &self.on_item {
            tell(action, &name(), size_bytes);
        }
    }

    pub fn done(&self, items: u64, bytes: u64) {
        self.items_done.fetch_add(items, Relaxed);
        self.bytes_done.fetch_add(bytes, Relaxed);
    }

    pub fn expect(&self, items: u64, bytes: u64) {
        self.items_total.store(items, Relaxed);
        self.bytes_total.store(bytes, Relaxed);
    }

    /// A new stretch of work begins; its counters start at nothing.
    pub fn phase(&self, name: &'static str) {
        for counter in [&self.items_done, &self.bytes_done, &self.items_total, &self.bytes_total] {
            counter.store(0, Relaxed);
        }
        if let Some(tell) = &self.on_phase {
            tell(name);
        }
    }

    /// The item at hand; skipped when another thread is just telling its own.
    pub fn at(&self, item: impl FnOnce() -> String) {
        if let Ok(mut current) = self.current.try_lock() {
            *current = item();
        }
    }

    pub fn current(&self) -> String {
        self.current.lock().map(|current| current.clone()).unwrap_or_default()
    }

    pub fn trouble(&self, trouble: Trouble) {
        self.troubles.fetch_add(1, Relaxed);
        if let Some(tell) = &self.on_trouble {
            tell(&trouble);
        }
    }

    /// As `trouble`, of what takes nothing from the result: it is told, and not counted.
    pub fn warn(&self, trouble: Trouble) {
        if let Some(tell) = &self.on_trouble {
            tell(&trouble);
        }
    }

    /// Asks the run to stop at the next safe place.
    pub fn cancel(&self) {
        self.cancelled.store(true, Relaxed);
    }

    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Relaxed)
    }
}
