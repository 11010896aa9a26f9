//! How fast documents may come.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::Instant;

/// A line of so many bytes a second, shared by all cursors of a link. An idle line saves nothing.
#[derive(Clone)]
pub(super) struct Throttle {
    line: Option<Arc<(u64, Mutex<Option<Instant>>)>>,
}

impl Throttle {
    pub fn new(bytes_per_second: Option<u64>) -> Throttle {
        let line = bytes_per_second.map(|rate| Arc::new((rate.max(1), Mutex::new(None))));
        Throttle { line }
    }

    pub fn bytes_per_second(&self) -> Option<u64> {
        self.line.as_ref().map(|line| line.0)
    }

    pub async fn wait(&self, bytes: u64) {
        let Some(line) = &self.line else { return };
        let (rate, busy_until) = &**line;
        let takes = Duration::from_secs_f64(bytes as f64 / *rate as f64);
        let until = {
            let mut busy = busy_until.lock().expect("no code panics while it holds this");
            let from = busy.map_or_else(Instant::now, |busy| busy.max(Instant::now()));
            *busy.insert(from + takes)
        };
        tokio::time::sleep_until(until).await;
    }
}
