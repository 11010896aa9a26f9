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
    Failure, Op, Order, Report,
    batch::{Batch, Kind},
};
use crate::{
    document::{ArrayWriter, Malformed, get, id_key, namespace::Namespace},
    limits::{RESTORE_BATCH_BYTES, RESTORE_BATCH_DOCUMENTS, RESTORE_PATIENCE_SECONDS},
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

#[derive(Default)]
struct State {
    report: Report,
    /// Operations that a unique key of another document stood against.
    again: Vec<Failure>,
    fatal: Option<mongo::Error>,
}

/// Codes by which a server refuses a command as a whole because of a document in it: what is too
/// deep or too large for it, or that it can't read.
const OF_A_DOCUMENT: &[i32] = &[2, 9, 15, 22, 10334, 17280, 17419, 17420];

fn is_of_a_document(error: &mongo::Error) -> bool {
    error.code().is_some_and(|code| OF_A_DOCUMENT.contains(&code))
}

const CHANGED: &str = "the document there was changed by someone else meanwhile";
const BROKEN: &str = "one before it failed";
const HOPELESS: &str = "the document holds an empty timestamp, which a server replaces, and two \
                        fields of one name, with which no server can be told to leave it";

impl Crew {
    pub fn new(link: Link, place: Namespace, order: Order) -> Crew {
        let [bypass, stopped, broken] = [true, false, false].map(AtomicBool::new);
        Crew { link, place, order, bypass, stopped, broken, state: Mutex::default() }
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

    pub fn give_up(&self) {
        self.stopped.store(true, Relaxed);
    }

    pub fn take_report(&self) -> Report {
        let mut state = self.state();
        let again = std::mem::take(&mut state.again);
        state.report.failures.extend(again);
        std::mem::take(&mut state.report)
    }

    /// Whether anything was written by that.
    pub fn try_failed_again(&self) -> bool {
        let mut again = std::mem::take(&mut self.state().again);
        let before = again.len();
        // What frees a key often comes after what needs it: now it comes before.
        again.reverse();
        for kind in [Kind::Remove, Kind::Replace, Kind::Insert] {
            let ops = again.iter().map(|failure| &failure.op);
            let ops: Vec<Op> = ops.filter(|op| Kind::of(op) == kind).cloned().collect();
            for ops in ops.chunks(RESTORE_BATCH_DOCUMENTS) {
                let bytes = ops.iter().map(Op::bytes).sum();
                let halves = if bytes > RESTORE_BATCH_BYTES { 1 } else { ops.len() };
                for ops in ops.chunks(halves) {
                    self.write(Batch { kind, ops: ops.to_vec(), bytes });
                }
            }
        }
        self.state().again.len() < before
    }

    /// Writes a batch; what the server refuses is noted.
    pub fn write(&self, batch: Batch) {
        if self.stopped.load(Relaxed) {
            return;
        }
        let Batch { kind, ops, bytes } = batch;
        let written = match kind {
            Kind::Insert => self.insert(ops.clone()),
            Kind::Replace => self.replace(ops.clone()),
            Kind::Remove => self.remove(ops.clone()),
        };
        match written {
            Ok(()) => {}
            // Which one it was is found by trying each.
            Err(error) if is_of_a_document(&error) && !self.ordered() => {
                let is_alone = ops.len() == 1;
                for op in ops {
                    match is_alone {
                        true => self.failed(op, error.to_string()),
                        false => self.write(Batch { kind, ops: vec![op], bytes }),
                    }
                }
            }
            Err(error) => {
                self.stopped.store(true, Relaxed);
                self.state().fatal.get_or_insert(error);
            }
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
                Err(why) => self.failed(op, why),
            }
        }
        self.insert_plain(plain)?;
        self.update(special)
    }

    fn insert_plain(&self, ops: Vec<Op>) -> Result<(), mongo::Error> {
        let ops = self.still_wanted(ops);
        if ops.is_empty() {
            return Ok(());
        }
        let documents: Vec<&[u8]> = ops.iter().map(|op| &op.document()[..]).collect();
        let (reply, sent_twice) =
            self.run(|bypass| command::insert(&self.place, &documents, self.ordered(), bypass))?;
        self.settle(ops, &reply, sent_twice)
    }

    fn replace(&self, ops: Vec<Op>) -> Result<(), mongo::Error> {
        let (mut statements, mut swaps) = (Vec::new(), Vec::new());
        for op in ops {
            match Craft::of(op.document()) {
                Ok(craft) if craft.is_hopeless() => self.failed(op, HOPELESS.into()),
                // Neither a replacement nor a pipeline takes it: it goes and comes.
                Ok(craft) if craft.dollar_name && craft.doubled_name => swaps.push(op),
                Ok(_) => statements.push(op),
                Err(why) => self.failed(op, why.to_string()),
            }
        }
        self.update(statements)?;
        swaps.into_iter().try_for_each(|op| self.swap(op))
    }

    fn ordered(&self) -> bool {
        self.order == Order::Kept
    }

    /// None of them, if one before them failed and their order is kept.
    fn still_wanted(&self, mut ops: Vec<Op>) -> Vec<Op> {
        if self.broken.load(Relaxed) {
            ops.drain(..).for_each(|op| self.failed(op, BROKEN.into()));
        }
        ops
    }

    fn update(&self, ops: Vec<Op>) -> Result<(), mongo::Error> {
        let ops = self.still_wanted(ops);
        if ops.is_empty() {
            return Ok(());
        }
        let statement = |op: &Op| -> Result<Vec<u8>, Malformed> {
            let was = match op {
                Op::Replace { was, .. } => Some(&was[..]),
                _ => None,
            };
            command::write_statement(op.document(), was, Craft::of(op.document())?)
        };
        let (ops, statements) = self.statements(ops, statement);
        let update =
            |bypass| command::update(&self.place, statements.clone(), self.ordered(), bypass);
        let (reply, sent_twice) = self.run(update)?;
        self.settle(ops, &reply, sent_twice)
    }

    fn remove(&self, ops: Vec<Op>) -> Result<(), mongo::Error> {
        let statement = |op: &Op| command::remove_statement(op.document());
        let (ops, statements) = self.statements(ops, statement);
        let (reply, sent_twice) = self.run(|_| command::delete(&self.place, statements.clone()))?;
        self.settle(ops, &reply, sent_twice)
    }

    fn swap(&self, op: Op) -> Result<(), mongo::Error> {
        let Op::Replace { document, was } = &op else { return Ok(()) };
        let mut statements = ArrayWriter::new();
        match command::remove_statement(was) {
            Ok(statement) => statements.push_doc(&statement),
            Err(why) => {
                self.failed(op, why.to_string());
                return Ok(());
            }
        }
        let (reply, sent_twice) = self.run(|_| command::delete(&self.place, statements.clone()))?;
        // If an answer was lost, it may be gone by the first try.
        let is_gone = Written::of(&reply).n > 0
            || (sent_twice && self.is_there(&Op::Remove { was: was.clone() })?);
        if !is_gone {
            self.failed(op, CHANGED.into());
            return Ok(());
        }
        let documents = [&document[..]];
        let (reply, sent_twice) =
            self.run(|bypass| command::insert(&self.place, &documents, true, bypass))?;
        if !Written::of(&reply).errors.is_empty() && !self.is_there(&op)? {
            self.put_back(was)?;
        }
        self.settle(vec![op], &reply, sent_twice)
    }

    /// What went for a document that the server then did not take. If somebody was faster, theirs
    /// stays.
    fn put_back(&self, was: &Bytes) -> Result<(), mongo::Error> {
        let craft = Craft::of(was).unwrap_or_default();
        let again = command::write_statement(was, None, craft);
        let put = |bypass| match &again {
            Ok(statement) if craft.wants_pipeline() => {
                let mut statements = ArrayWriter::new();
                statements.push_doc(statement);
                command::update(&self.place, statements, true, bypass)
            }
            _ => command::insert(&self.place, &[&was[..]], true, bypass),
        };
        self.run(put).map(drop)
    }

    fn statements(
        &self,
        ops: Vec<Op>,
        statement: impl Fn(&Op) -> Result<Vec<u8>, Malformed>,
    ) -> (Vec<Op>, ArrayWriter) {
        let (mut kept, mut statements) = (Vec::with_capacity(ops.len()), ArrayWriter::new());
        for op in ops {
            match statement(&op) {
                Ok(bytes) => {
                    statements.push_doc(&bytes);
                    kept.push(op);
                }
                Err(why) => self.failed(op, why.to_string()),
            }
        }
        (kept, statements)
    }

    /// Notes what became of each operation.
    fn settle(&self, ops: Vec<Op>, reply: &[u8], sent_twice: bool) -> Result<(), mongo::Error> {
        let written = Written::of(reply);
        let errors: HashMap<usize, _> =
            written.errors.into_iter().map(|error| (error.index, error)).collect();
        let fine = match errors.keys().min() {
            // None after it was tried.
            Some(first) if self.ordered() => *first,
            _ => ops.len() - errors.len().min(ops.len()),
        };
        // Where fewer took effect than were no errors, some found their document changed; and an
        // answer that was lost leaves open which took effect the first time.
        let doubtful = sent_twice || (written.n as usize) < fine;
        for (index, op) in ops.into_iter().enumerate() {
            let error = errors.get(&index);
            let holds = match error {
                _ if doubtful => self.is_there(&op)?,
                None => !self.broken.load(Relaxed),
                Some(_) => false,
            };
            match (holds, error) {
                (true, _) => self.succeeded(&op),
                (false, Some(error)) if error.code == DUPLICATE_KEY && !self.ordered() => {
                    let why = error.message.clone();
                    self.state().again.push(Failure { op, why });
                }
                (false, Some(error)) => self.failed(op, error.message.clone()),
                (false, None) if self.broken.load(Relaxed) => self.failed(op, BROKEN.into()),
                (false, None) => self.failed(op, CHANGED.into()),
            }
        }
        Ok(())
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

    fn failed(&self, op: Op, why: String) {
        self.broken.fetch_or(self.ordered(), Relaxed);
        self.state().report.failures.push(Failure { op, why });
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
