//! How long to wait so that bytes go at a stated rate.

use std::{sync::Mutex, time::Duration};

/// A line of so many bytes a second, shared by all who send through it: each is told how long to
/// wait before it may go on. An idle line saves up nothing.
#[derive(Debug)]
pub struct Pace {
    bytes_per_second: u64,
    /// When what was sent so far will have gone through.
    busy_until: Mutex<Duration>,
}

impl Pace {
    /// At least 1 KiB a second.
    pub fn new(kib_per_second: u64) -> Self {
        let bytes_per_second = kib_per_second.max(1).saturating_mul(1024);
        Pace { bytes_per_second, busy_until: Mutex::default() }
    }

    /// Puts `bytes` on the line at the time `now`; the answer is how long until they are through.
    pub fn send(&self, bytes: usize, now: Duration) -> Duration {
        let nanos = bytes as u128 * 1_000_000_000 / u128::from(self.bytes_per_second);
        let takes = Duration::from_nanos(nanos.min(u128::from(u64::MAX)) as u64);
        let mut busy_until = self.busy_until.lock().expect("no code panics while it holds this");
        *busy_until = (*busy_until).max(now) + takes;
        *busy_until - now
    }

    /// Pieces small enough that one takes no longer than about a second.
    pub fn piece_bytes(&self, at_most: usize) -> usize {
        at_most.min(self.bytes_per_second.min(usize::MAX as u64) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_shared_and_saves_up_nothing() {
        let second = Duration::from_secs;
        let pace = Pace::new(10);
        assert_eq!(pace.send(10 << 10, second(0)), second(1));
        assert_eq!(pace.send(20 << 10, second(0)), second(3), "behind the first");
        assert_eq!(pace.send(0, second(2)), second(1));
        assert_eq!(pace.send(10 << 10, second(100)), second(1), "after a pause it starts anew");
        assert_eq!(pace.piece_bytes(1 << 20), 10 << 10);
        assert_eq!(pace.piece_bytes(100), 100);
        assert_eq!(Pace::new(0).send(1024, second(0)), second(1), "0 is the slowest, not a halt");
    }
}
