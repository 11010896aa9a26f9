//! What the threads of a writer share, and how one batch is written.

use std::{
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use hashbrown::HashMap;

use super::{
    Op, Order,
    batch::{Batch, Kind},
    report::{Again, Report},
};
use crate::{
    document::{Malformed, get, id_key, namespace::Namespace},
    limits::{
        RESTORE_AGAIN_BYTES, RESTORE_BATCH_BYTES, RESTORE_BATCH_DOCUMENTS, RESTORE_PATIENCE_SECONDS,
    },
    mongo::{self, Link},
    sink::mongo::{
        Craft, Error, command,
        reply::{DUPLICATE_KEY, Written},
    },
};

pub(super) struct Crew {
    link: Link,
    place: Namespace,
    order: Order,
    /// Taken back when the user may not: then validators have their say.
    bypass: AtomicBool,
    stopped: AtomicBool,
    /// One failed, in an order that is kept: nothing that comes after it is written.
    broken: AtomicBool,
    state: Mutex<State>,
}

struct State {
    report: Report,
    again: Again,
    fatal: Option<mongo::Error>,
}

/// An operation, and what a command says of it: a document, or a statement.
type Part = (Op, Bytes);
/// A command of such, and whether validators are passed by.
type Command<'a> = &'a dyn Fn(&[&[u8]], bool) -> Vec<u8>;

/// Codes by which a server refuses a command as a whole because of a document in it: what is too
/// deep or too large for it, or that it can't read.
const OF_A_DOCUMENT: &[i32] = &[2, 9, 15, 22, 10334, 17280, 17419, 17420];

fn is_of_a_document(error: &mongo::Error) -> bool {
    error.code().is_some_and(|code| OF_A_DOCUMENT.contains(&code))
}

const CHANGED: &str = "the document there was changed by someone else meanwhile";
pub(super) const BROKEN: &str = "one before it failed";
const HOPELESS: &str = "the document holds an empty timestamp, which a server replaces, and two \
                        fields of one name, with which no server can be told to leave it";

impl Crew {
    pub fn new(link: Link, place: Namespace, order: Order) -> Crew {
        let [bypass, stopped, broken] = [true, false, false].map(AtomicBool::new);
        let again = Again::new(RESTORE_AGAIN_BYTES);
        let state = Mutex::new(State { report: Report::default(), again, fatal: None });
        Crew { link, place, order, bypass, stopped, broken, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics holding it")
    }

    /// The error that ended the writing, if one did.
    pub fn result(&self) -> Result<(), Error> {
        match &self.state().fatal {
            Some(source) => Err(Error::Write { place: self.place.clone(), source: source.clone() }),
            None => Ok(()),
        }
    }

    pub fn is_broken(&self) -> bool {
        self.broken.load(Relaxed)
    }

    pub fn give_up(&self) {
        self.stopped.store(true, Relaxed);
    }

    pub fn take_report(&self) -> Report {
        let mut state = self.state();
        for (op, why) in state.again.take() {
            state.report.failures.note(&op, &why);
        }
        std::mem::take(&mut state.report)
    }

    /// Whether anything was written by that.
    pub fn try_failed_again(&self) -> bool {
        let mut again = self.state().again.take();
        let before = again.len();
        // What frees a key often comes after what needs it: now it comes before.
        again.reverse();
        for kind in [Kind::Remove, Kind::Replace, Kind::Insert] {
            let ops = again.iter().map(|(op, _)| op);
            let ops: Vec<Op> = ops.filter(|op| Kind::of(op) == kind).cloned().collect();
            for ops in ops.chunks(RESTORE_BATCH_DOCUMENTS) {
                let bytes = ops.iter().map(Op::bytes).sum();
                let halves = if bytes > RESTORE_BATCH_BYTES { 1 } else { ops.len() };
                for ops in ops.chunks(halves) {
                    self.write(Batch { kind, ops: ops.to_vec(), bytes });
                }
            }
        }
        self.state().again.ops.len() < before
    }

    /// Writes a batch; what the server refuses is noted.
    pub fn write(&self, batch: Batch) {
        if self.stopped.load(Relaxed) {
            return;
        }
        let written = match batch.kind {
            Kind::Insert => self.insert(batch.ops),
            Kind::Replace => self.replace(batch.ops),
            Kind::Remove => self.remove(batch.ops),
        };
        if let Err(error) = written {
            self.stopped.store(true, Relaxed);
            self.state().fatal.get_or_insert(error);
        }
    }

    fn insert(&self, ops: Vec<Op>) -> Result<(), mongo::Error> {
        let (mut plain, mut special) = (Vec::new(), Vec::new());
        for op in ops {
            let is_special = match Craft::of(op.document()) {
                Ok(craft) if craft.is_hopeless() => Err(HOPELESS.to_owned()),
                Ok(craft) => Ok(craft.empty_timestamp),
                Err(why) => Err(why.to_string()),
            };
            // An order that is kept is one of runs of one kind.
            if self.ordered() {
                if is_special != Ok(false) {
                    self.insert_plain(std::mem::take(&mut plain))?;
                }
                if is_special != Ok(true) {
                    self.update(std::mem::take(&mut special))?;
                }
            }
            match is_special {
                Ok(false) => plain.push(op),
                Ok(true) => special.push(op),
                Err(why) => self.failed(&op, &why),
            }
        }
        self.insert_plain(plain)?;
        self.update(special)
    }

    fn insert_plain(&self, ops: Vec<Op>) -> Result<(), mongo::Error> {
        let part = |op: Op| {
            let document = op.document().clone();
            (op, document)
        };
        let parts = ops.into_iter().map(part).collect();
        let ordered = self.ordered();
        self.send(parts, &|documents, bypass| {
            command::insert(&self.place, documents, ordered, bypass)
        })
    }

    fn replace(&self, ops: Vec<Op>) -> Result<(), mongo::Error> {
        let (mut statements, mut swaps) = (Vec::new(), Vec::new());
        for op in ops {
            match Craft::of(op.document()) {
                Ok(craft) if craft.is_hopeless() => self.failed(&op, HOPELESS),
                // Neither a replacement nor a pipeline takes it: it goes and comes.
                Ok(craft) if craft.dollar_name && craft.doubled_name => swaps.push(op),
                Ok(_) => statements.push(op),
                Err(why) => self.failed(&op, &why.to_string()),
            }
        }
        self.update(statements)?;
        swaps.into_iter().try_for_each(|op| self.swap(op))
    }

    fn ordered(&self) -> bool {
        self.order == Order::Kept
    }

    /// None of them, if one before them failed and their order is kept.
    fn still_wanted(&self, mut parts: Vec<Part>) -> Vec<Part> {
        if self.is_broken() {
            parts.drain(..).for_each(|(op, _)| self.failed(&op, BROKEN));
        }
        parts
    }

    fn update(&self, ops: Vec<Op>) -> Result<(), mongo::Error> {
        let parts = self.parts(ops, |op| {
            let was = match op {
                Op::Replace { was, .. } => Some(&was[..]),
                _ => None,
            };
            command::write_statement(op.document(), was, Craft::of(op.document())?)
        });
        let ordered = self.ordered();
        self.send(parts, &|statements, bypass| {
            command::update(&self.place, statements, ordered, bypass)
        })
    }

    fn remove(&self, ops: Vec<Op>) -> Result<(), mongo::Error> {
        let parts = self.parts(ops, |op| command::remove_statement(op.document()));
        self.send(parts, &|statements, _| command::delete(&self.place, statements))
    }

    /// Sends what one command takes until all of it is settled. If the server refuses it as a
    /// whole for something in it, what it was is found by trying each.
    fn send(&self, mut parts: Vec<Part>, command: Command<'_>) -> Result<(), mongo::Error> {
        loop {
            parts = self.still_wanted(parts);
            if parts.is_empty() {
                return Ok(());
            }
            let said: Vec<&[u8]> = parts.iter().map(|(_, said)| &said[..]).collect();
            match self.run(|bypass| command(&said, bypass)) {
                Ok((reply, sent_twice)) => parts = self.settle(parts, &reply, sent_twice)?,
                Err(error) if parts.len() == 1 => return self.refused(&parts[0].0, error),
                Err(error) if is_of_a_document(&error) => {
                    return parts.into_iter().try_for_each(|part| self.send(vec![part], command));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// A command with one operation failed as a whole.
    fn refused(&self, op: &Op, error: mongo::Error) -> Result<(), mongo::Error> {
        if is_of_a_document(&error) {
            self.failed(op, &error.to_string());
            return Ok(());
        }
        Err(error)
    }

    /// For a document that nothing writes in place of another: that one goes, and it comes.
    fn swap(&self, op: Op) -> Result<(), mongo::Error> {
        let Op::Replace { document, was } = &op else { return Ok(()) };
        let statement = match command::remove_statement(was) {
            Ok(statement) => statement,
            Err(why) => {
                self.failed(&op, &why.to_string());
                return Ok(());
            }
        };
        let (reply, sent_twice) =
            match self.run(|_| command::delete(&self.place, &[&statement[..]])) {
                Ok(answer) => answer,
                Err(error) => return self.refused(&op, error),
            };
        // If an answer was lost, it may be gone by the first try.
        let is_gone = Written::of(&reply).n > 0
            || (sent_twice && self.is_there(&Op::Remove { was: was.clone() })?);
        if !is_gone {
            self.failed(&op, CHANGED);
            return Ok(());
        }
        let insert = |bypass| command::insert(&self.place, &[&document[..]], true, bypass);
        let (reply, sent_twice) = match self.run(insert) {
            Ok(answer) => answer,
            Err(error) => {
                self.put_back(was)?;
                return self.refused(&op, error);
            }
        };
        if !Written::of(&reply).errors.is_empty() && !self.is_there(&op)? {
            self.put_back(was)?;
        }
        let part = (op.clone(), document.clone());
        self.settle(vec![part], &reply, sent_twice).map(drop)
    }

    /// What went for a document that the server then did not take. If somebody was faster, theirs
    /// stays.
    fn put_back(&self, was: &Bytes) -> Result<(), mongo::Error> {
        let craft = Craft::of(was).unwrap_or_default();
        let again = command::write_statement(was, None, craft);
        let put = |bypass| match &again {
            Ok(statement) if craft.wants_pipeline() => {
                command::update(&self.place, &[&statement[..]], true, bypass)
            }
            _ => command::insert(&self.place, &[&was[..]], true, bypass),
        };
        self.run(put).map(drop)
    }

    fn parts(
        &self,
        ops: Vec<Op>,
        statement: impl Fn(&Op) -> Result<Vec<u8>, Malformed>,
    ) -> Vec<Part> {
        let mut parts = Vec::with_capacity(ops.len());
        for op in ops {
            match statement(&op) {
                Ok(statement) => parts.push((op, statement.into())),
                Err(why) => self.failed(&op, &why.to_string()),
            }
        }
        parts
    }

    /// Notes what became of each operation; gives those that are to be sent again.
    fn settle(
        &self,
        parts: Vec<Part>,
        reply: &[u8],
        sent_twice: bool,
    ) -> Result<Vec<Part>, mongo::Error> {
        let written = Written::of(reply);
        if sent_twice && self.ordered() {
            return self.settle_in_order(parts, written);
        }
        let errors: HashMap<usize, _> =
            written.errors.into_iter().map(|error| (error.index, error)).collect();
        let fine = match errors.keys().min() {
            // None after it was tried.
            Some(first) if self.ordered() => *first,
            _ => parts.len() - errors.len().min(parts.len()),
        };
        // Where fewer took effect than were no errors, some found their document changed; and an
        // answer that was lost leaves open which took effect the first time.
        let doubtful = sent_twice || (written.n as usize) < fine;
        for (index, (op, _)) in parts.iter().enumerate() {
            let error = errors.get(&index);
            let holds = match error {
                _ if doubtful => self.is_there(op)?,
                None => !self.is_broken(),
                Some(_) => false,
            };
            match (holds, error) {
                (true, _) => self.succeeded(op),
                (false, Some(error)) if error.code == DUPLICATE_KEY => {
                    self.try_again_later(op, &error.message);
                }
                (false, Some(error)) => self.failed(op, &error.message),
                (false, None) if self.is_broken() => self.failed(op, BROKEN),
                (false, None) => self.failed(op, CHANGED),
            }
        }
        Ok(Vec::new())
    }

    /// The same, in an order that is kept and after an answer was lost. The first try may have
    /// gone half the way, and then the second ends at once, at a document of the first one's:
    /// what is not there is still to be sent.
    fn settle_in_order(
        &self,
        mut parts: Vec<Part>,
        written: Written,
    ) -> Result<Vec<Part>, mongo::Error> {
        let mut are_there = 0;
        for (op, _) in &parts {
            if !self.is_there(op)? {
                break;
            }
            self.succeeded(op);
            are_there += 1;
        }
        let rest = parts.split_off(are_there);
        let error = written.errors.into_iter().min_by_key(|error| error.index);
        if error.as_ref().is_some_and(|it| it.code == DUPLICATE_KEY && it.index < are_there) {
            return Ok(rest);
        }
        let why = error.filter(|error| error.index == are_there).map(|error| error.message);
        let mut why = why.as_deref().unwrap_or(CHANGED);
        for (op, _) in rest {
            self.failed(&op, std::mem::replace(&mut why, BROKEN));
        }
        Ok(Vec::new())
    }

    /// Whether the collection is as if the operation had taken effect.
    fn is_there(&self, op: &Op) -> Result<bool, mongo::Error> {
        let Ok(Some(id)) = get(op.document(), b"_id") else { return Ok(false) };
        let key = id_key(&id).ok();
        let find = command::find_ids(&self.place, [id]);
        let found = self.link.list(&self.place.db, &find)?;
        let same_id = |document: &&Vec<u8>| {
            get(document, b"_id").ok().flatten().and_then(|id| id_key(&id).ok()) == key
        };
        let found = found.iter().find(same_id);
        Ok(match op {
            Op::Remove { .. } => found.is_none(),
            _ => found.is_some_and(|found| found[..] == op.document()[..]),
        })
    }

    fn succeeded(&self, op: &Op) {
        let report = &mut self.state().report;
        report.bytes += op.document().len() as u64;
        match op {
            Op::Insert { .. } => report.inserted += 1,
            Op::Replace { .. } => report.replaced += 1,
            Op::Remove { .. } => report.removed += 1,
        }
    }

    pub fn failed(&self, op: &Op, why: &str) {
        self.broken.fetch_or(self.ordered(), Relaxed);
        self.state().report.failures.note(op, why);
    }

    /// A unique key of another document stood against it, which may change as well.
    fn try_again_later(&self, op: &Op, why: &str) {
        if self.ordered() || !self.state().again.take_in(op, why) {
            self.failed(op, why);
        }
    }

    /// Runs a command until it is answered or patience ends. True: it was sent more than once.
    fn run(&self, command: impl Fn(bool) -> Vec<u8>) -> Result<(Vec<u8>, bool), mongo::Error> {
        let (mut waited, mut wait, mut sent_twice) = (0, 1, false);
        loop {
            let bypass = self.bypass.load(Relaxed);
            match self.link.run_owned(&self.place.db, command(bypass)) {
                Ok(reply) => return Ok((reply, sent_twice)),
                Err(error) if error.is_unauthorized() && bypass => {
                    self.bypass.store(false, Relaxed);
                }
                Err(error) if error.is_passing() && waited < RESTORE_PATIENCE_SECONDS => {
                    self.link.sleep(Duration::from_secs(wait));
                    (waited, wait, sent_twice) = (waited + wait, wait * 2, true);
                }
                Err(error) => return Err(error),
            }
        }
    }
}
