//! Time, chance and host, handed in: the only place that asks the machine for them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;

/// What time it is, and how to wait.
pub trait Clock: Send + Sync {
    /// The time of day. Shown and recorded; no safety rests on it.
    fn now(&self) -> Timestamp;
    /// Time since some fixed moment; never steps back.
    fn monotonic(&self) -> Duration;
    fn sleep(&self, how_long: Duration);
}

/// Where random bytes come from.
pub trait Chance: Send + Sync {
    fn fill(&self, bytes: &mut [u8]);
}

/// The surroundings a verb runs in.
#[derive(Clone)]
pub struct Ambient {
    pub clock: Arc<dyn Clock>,
    pub chance: Arc<dyn Chance>,
    /// Recorded in snapshots and sessions.
    pub host: String,
    /// Recorded in snapshots.
    pub user: String,
}

impl Ambient {
    /// The real machine's clock and chance, under the names the caller gives.
    pub fn real(host: impl Into<String>, user: impl Into<String>) -> Self {
        Ambient {
            clock: Arc::new(RealClock { start: Instant::now() }),
            chance: Arc::new(RealChance),
            host: host.into(),
            user: user.into(),
        }
    }

    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.chance.fill(&mut bytes);
        bytes
    }
}

struct RealClock {
    start: Instant,
}

impl Clock for RealClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that may ask")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
    fn sleep(&self, how_long: Duration) {
        std::thread::sleep(how_long);
    }
}

struct RealChance;

impl Chance for RealChance {
    #[expect(clippy::disallowed_methods, reason = "the one place that may ask")]
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the kernel gives random bytes once it has booted");
    }
}

/// A world that is the same on every run: time moves only when someone sleeps or asks for it.
#[cfg(any(test, feature = "testing"))]
pub mod testing {
    use std::sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    };

    use super::{Ambient, Chance, Clock, Duration, Timestamp};

    /// Starts at 2026-01-01T00:00:00Z; `sleep` and `advance` move it, nothing else does.
    pub struct FixedClock {
        nanos: AtomicU64,
    }

    impl FixedClock {
        pub fn advance(&self, by: Duration) {
            self.nanos.fetch_add(by.as_nanos() as u64, Ordering::SeqCst);
        }
    }

    impl Clock for FixedClock {
        fn now(&self) -> Timestamp {
            let start = Timestamp::from_second(1_767_225_600).expect("a valid second");
            start + jiff::SignedDuration::from_nanos(self.nanos.load(Ordering::SeqCst) as i64)
        }
        fn monotonic(&self) -> Duration {
            Duration::from_nanos(self.nanos.load(Ordering::SeqCst))
        }
        fn sleep(&self, how_long: Duration) {
            self.advance(how_long);
        }
    }

    struct SeededChance(Mutex<blake3::OutputReader>);

    impl Chance for SeededChance {
        fn fill(&self, bytes: &mut [u8]) {
            self.0.lock().expect("no panic while filling").fill(bytes);
        }
    }

    impl Ambient {
        /// The same bytes and times for the same `seed`.
        pub fn fixed(seed: u64) -> (Self, Arc<FixedClock>) {
            let clock = Arc::new(FixedClock { nanos: AtomicU64::new(0) });
            let mut hasher = blake3::Hasher::new();
            hasher.update(&seed.to_le_bytes());
            let ambient = Ambient {
                clock: clock.clone(),
                chance: Arc::new(SeededChance(Mutex::new(hasher.finalize_xof()))),
                host: "host.example".into(),
                user: "someone".into(),
            };
            (ambient, clock)
        }
    }
}
