//! Small files travel to the workers together.

use super::crew::{Job, Order};

/// So many, of so many bytes, in so many directories at most (each is an open descriptor).
const FILES_MAX: usize = 64;
const BYTES_MAX: u64 = 4 << 20;
const DIRS_MAX: usize = 8;

pub(super) struct Batch<'c, 'l> {
    send: &'c mut dyn FnMut(Job<'l>),
    orders: Vec<Order<'l>>,
    bytes: u64,
    dirs: usize,
}

impl<'c, 'l> Batch<'c, 'l> {
    pub fn new(send: &'c mut dyn FnMut(Job<'l>)) -> Self {
        Batch { send, orders: Vec::new(), bytes: 0, dirs: 0 }
    }

    /// A job that does not wait for others.
    pub fn send(&mut self, job: Job<'l>) {
        (self.send)(job);
    }

    pub fn add(&mut self, order: Order<'l>) {
        let new_dir = self.orders.last().is_none_or(|last| !last.dir.is(&order.dir));
        self.bytes = self.bytes.saturating_add(order.item.wish.size_bytes);
        self.dirs += usize::from(new_dir);
        self.orders.push(order);
        if self.orders.len() >= FILES_MAX || self.bytes >= BYTES_MAX || self.dirs >= DIRS_MAX {
            self.flush();
        }
    }

    pub fn flush(&mut self) {
        if !self.orders.is_empty() {
            (self.send)(Job::Small(std::mem::take(&mut self.orders)));
        }
        (self.bytes, self.dirs) = (0, 0);
    }
}
