//! A collector on a store that shows what other hosts have put only after a while.

use std::{collections::BTreeMap, ops::Range, sync::Mutex};

use bytes::Bytes;
use icecore::{
    ambient::Clock,
    store::{self, Listed, Name, Put},
};

use super::{beside_sessions::fill_with_garbage, meanwhile::Meanwhile, *};

const DELAY: Duration = Duration::from_secs(120);

/// Which host put an object, and when.
type Puts = Mutex<BTreeMap<Name, (u8, Duration)>>;

/// One host's view. It sees at once what it has put itself, and after `DELAY` what others have;
/// what is asked for by name is seen at once.
struct Late {
    inner: Arc<MemoryStore>,
    clock: Arc<FixedClock>,
    puts: Arc<Puts>,
    host: u8,
}

impl Late {
    /// Two hosts of one medium.
    fn two(world: &World) -> [Arc<Late>; 2] {
        let puts = Arc::new(Puts::default());
        [0, 1].map(|host| {
            let (inner, clock) = (world.memory.clone(), world.clock.clone());
            Arc::new(Late { inner, clock, puts: puts.clone(), host })
        })
    }
}

impl std::fmt::Debug for Late {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Late({})", self.host)
    }
}

impl Store for Late {
    fn put_new(&self, name: &Name, bytes: Bytes) -> Result<Put, store::Error> {
        let mut puts = self.puts.lock().unwrap();
        let put = self.inner.put_new(name, bytes)?;
        if put == Put::Created {
            puts.insert(name.clone(), (self.host, self.clock.monotonic()));
        }
        Ok(put)
    }
    fn get(&self, name: &Name, range: Range<u64>) -> Result<Bytes, store::Error> {
        self.inner.get(name, range)
    }
    fn size(&self, name: &Name) -> Result<u64, store::Error> {
        self.inner.size(name)
    }
    fn list(
        &self,
        prefix: &str,
        each: &mut dyn FnMut(Listed) -> Result<(), store::Error>,
    ) -> Result<(), store::Error> {
        let now = self.clock.monotonic();
        let is_late = |name: &Name| match self.puts.lock().unwrap().get(name) {
            Some((host, at)) => *host != self.host && now < *at + DELAY,
            None => false,
        };
        self.inner
            .list(prefix, &mut |listed| if is_late(&listed.name) { Ok(()) } else { each(listed) })
    }
    fn remove(&self, name: &Name) -> Result<(), store::Error> {
        self.inner.remove(name)
    }
    fn creates_atomically(&self) -> bool {
        true
    }
    fn visibility_delay_seconds(&self) -> u64 {
        DELAY.as_secs()
    }
}

#[test]
fn what_is_committed_while_a_collector_drains_is_a_root() {
    // Before it lists the sessions, so that it never meets the session; and when it waits for it.
    for number in 0..2 {
        let world = World::new(number as u64);
        fill_with_garbage(&world);
        let [writer, collector] = Late::two(&world);
        let session = world.repo_over(writer).begin(SessionOptions::default()).unwrap();
        let snapshot = world.fill(&session, 20..40);
        assert_eq!(session.stats().blobs_known, 20, "it relies on what is to go");
        let plan = world.plan(&world.repo_over(collector.clone()), &greedy()).unwrap();
        assert!(!plan.condemn.is_empty());
        let commit = move || assert!(session.commit(snapshot).is_ok());
        let meanwhile = Meanwhile::new(collector, "sessions", number, commit);
        let outcome = world.carry_out(&world.repo_over(meanwhile.clone()), plan).unwrap();
        assert!(meanwhile.is_done());
        assert_eq!(world.all_is_well(), 2, "{number}: {outcome:?}");
        assert_eq!(outcome.sets_left, 0);
    }
}
