//! Hard links: the first path of an inode that is restored is what the others become links to.

use std::{
    collections::HashMap,
    sync::{Condvar, Mutex, MutexGuard},
};

use crate::format::entry::Time;

/// What entries must agree on to be one file: where it was, and (an inode's number may have been
/// given to another file while the backup ran) what it looked like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct LinkId {
    pub dev: u64,
    pub inode: u64,
    pub size_bytes: u64,
    pub seconds: i64,
    pub nanos: u32,
}

impl LinkId {
    pub fn new((dev, inode): (u64, u64), size_bytes: u64, mtime: Time) -> Self {
        LinkId { dev, inode, size_bytes, seconds: mtime.seconds, nanos: mtime.nanos }
    }
}

/// The file that the first path became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct First {
    pub key: Vec<u8>,
    /// Device and inode in the target.
    pub identity: (u64, u64),
}

enum State {
    Working,
    There(First),
}

/// As large as the number of files whose other links were not met yet.
#[derive(Default)]
pub(super) struct Links {
    states: Mutex<HashMap<LinkId, (State, u64)>>,
    changed: Condvar,
}

/// What to do with a path of a file that has several.
pub(super) enum Role<'l> {
    /// Restore it, and say through this where it is.
    First(Promise<'l>),
    /// Link it.
    Another(First),
}

impl Links {
    /// Waits while the first path is being restored: whatever was queued must have been handed to
    /// the workers before.
    pub fn role(&self, id: LinkId, nlink: u64) -> Role<'_> {
        let mut states = self.lock();
        loop {
            match states.get_mut(&id) {
                None => {
                    states.insert(id, (State::Working, nlink.saturating_sub(1)));
                    return Role::First(Promise { links: self, id, kept: false });
                }
                Some((State::There(first), left)) => {
                    *left = left.saturating_sub(1);
                    let (first, last) = (first.clone(), *left == 0);
                    if last {
                        states.remove(&id);
                    }
                    return Role::Another(first);
                }
                Some((State::Working, _)) => {
                    states = self.changed.wait(states).expect("nothing panics while it holds it");
                }
            }
        }
    }

    /// True when asking for the role would wait.
    pub fn is_busy(&self, id: LinkId) -> bool {
        matches!(self.lock().get(&id), Some((State::Working, _)))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LinkId, (State, u64)>> {
        self.states.lock().expect("nothing panics while it holds it")
    }
}

/// Dropped without `keep`, the next path is the first.
pub(super) struct Promise<'l> {
    links: &'l Links,
    id: LinkId,
    kept: bool,
}

impl Promise<'_> {
    pub fn keep(mut self, key: &[u8], identity: (u64, u64)) {
        self.kept = true;
        if let Some((state, _)) = self.links.lock().get_mut(&self.id) {
            *state = State::There(First { key: key.to_vec(), identity });
        }
    }
}

impl Drop for Promise<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.links.lock().remove(&self.id);
        }
        self.links.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: LinkId = LinkId { dev: 1, inode: 2, size_bytes: 3, seconds: 4, nanos: 5 };

    #[test]
    fn others_follow_the_first_and_the_last_is_forgotten() {
        let links = Links::default();
        let Role::First(promise) = links.role(ID, 3) else { panic!("nobody was before") };
        assert!(links.is_busy(ID));
        let wanted = First { key: b"a".to_vec(), identity: (7, 8) };
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| match links.role(ID, 3) {
                Role::Another(first) => first,
                Role::First(_) => panic!("there is a first"),
            });
            promise.keep(b"a", (7, 8));
            assert_eq!(waiting.join().unwrap(), wanted);
        });
        assert!(matches!(links.role(ID, 3), Role::Another(first) if first == wanted));
        assert!(matches!(links.role(ID, 3), Role::First(_)), "all three were met");
    }

    #[test]
    fn a_first_that_failed_leaves_its_place_to_the_next() {
        let links = Links::default();
        drop(links.role(ID, 2));
        assert!(matches!(links.role(ID, 2), Role::First(_)));
    }
}
