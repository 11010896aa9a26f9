//! The numbers that the kernel knows things by, kept as long as it does.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use super::view::{Node, Place};

/// Numbers below are fixed: the top, and `by-date`.
const FIRST: u64 = 3;

/// As large as what the kernel holds on to: it says when it lets go.
pub(super) struct Inodes {
    table: Mutex<Table>,
}

struct Table {
    nodes: HashMap<u64, Slot>,
    numbers: HashMap<Place, u64>,
    next: u64,
}

struct Slot {
    node: Arc<Node>,
    lookups: u64,
}

impl Inodes {
    pub fn new() -> Self {
        let table = Table { nodes: HashMap::new(), numbers: HashMap::new(), next: FIRST };
        Inodes { table: Mutex::new(table) }
    }

    /// One more look-up of `node`.
    pub fn hold(&self, node: Node) -> (u64, Arc<Node>) {
        let mut table = self.lock();
        let Table { nodes, numbers, next } = &mut *table;
        let number = *numbers.entry(node.place.clone()).or_insert_with(|| {
            *next += 1;
            *next - 1
        });
        let slot = nodes.entry(number).or_insert_with(|| Slot { node: Arc::new(node), lookups: 0 });
        slot.lookups += 1;
        (number, slot.node.clone())
    }

    pub fn get(&self, number: u64) -> Option<Arc<Node>> {
        self.lock().nodes.get(&number).map(|slot| slot.node.clone())
    }

    pub fn forget(&self, number: u64, lookups: u64) {
        let mut table = self.lock();
        let Some(slot) = table.nodes.get_mut(&number) else { return };
        slot.lookups = slot.lookups.saturating_sub(lookups);
        if slot.lookups == 0 {
            let slot = table.nodes.remove(&number).expect("it was there just now");
            table.numbers.remove(&slot.node.place);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("nothing panics while it holds it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Sid;

    fn node(key: &[u8]) -> Node {
        Node::for_test(Place::Path(Sid::new([1; 16]), key.to_vec()))
    }

    #[test]
    fn a_number_lasts_until_the_last_look_up_is_forgotten() {
        let inodes = Inodes::new();
        let (number, _) = inodes.hold(node(b"a"));
        assert_eq!(inodes.hold(node(b"a")).0, number);
        let (other, _) = inodes.hold(node(b"b"));
        assert_ne!(other, number);
        inodes.forget(number, 1);
        assert!(inodes.get(number).is_some());
        inodes.forget(number, 1);
        assert!(inodes.get(number).is_none());
        assert_ne!(inodes.hold(node(b"a")).0, number, "numbers are not used again");
        inodes.forget(other, 100);
        assert_eq!(inodes.lock().nodes.len(), 1);
        assert_eq!(inodes.lock().numbers.len(), 1);
    }
}
