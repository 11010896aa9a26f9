//! One collection, from the batches of its scan to its tree.

use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{
    Error, Ground,
    order::{Block, Order},
    pair::{Pairs, read_value},
    plant::{Amend, Plant, Planted},
};
use crate::{
    format::catalogue::DocumentKeys, limits, mongo::Batch, repo::WriteBlobs,
    source::sorter::Sorted, tree::Root,
};

/// Some documents in the order in which they lie.
pub(super) trait Documents: Send {
    fn each(&self) -> impl Iterator<Item = &[u8]>;
    fn count(&self) -> u64;
    fn bytes(&self) -> u64;
}

impl Documents for Batch {
    fn each(&self) -> impl Iterator<Item = &[u8]> {
        self.documents()
    }

    fn count(&self) -> u64 {
        self.len()
    }

    fn bytes(&self) -> u64 {
        Batch::bytes(self)
    }
}

/// Which collection, and what was known of it.
#[derive(Clone, Copy)]
pub(super) struct Subject<'s> {
    pub namespace: &'s str,
    pub keys: DocumentKeys,
    /// Its tree in the previous snapshot.
    pub old: Option<Root>,
}

/// The tree of all documents that `scan` gives. What one batch holds is done at once, on this
/// thread; for more, two others key, order and build while the next batches come.
pub(super) fn plant<W: WriteBlobs, B: Documents, S>(
    ground: &Ground<'_, W>,
    subject: Subject<'_>,
    mut scan: impl Iterator<Item = Result<B, S>>,
) -> Result<Planted, Error<W::Error>>
where
    Error<W::Error>: From<S>,
{
    let first = scan.next().transpose()?;
    let second = scan.next().transpose()?;
    let (planted, late) = match second {
        None => {
            let mut plant = Plant::new(ground, subject.old);
            let late = order(ground, subject, first.into_iter(), |block| plant.put(block))?;
            (plant.finish()?, late)
        }
        Some(_) => {
            let _permit = ground.permit();
            let known = first.into_iter().chain(second).map(Ok);
            in_parallel(ground, subject, known.chain(scan))?
        }
    };
    match late {
        Some(late) => amend(ground, planted, subject.old, late),
        None => Ok(planted),
    }
}

fn in_parallel<W: WriteBlobs, B: Documents, S>(
    ground: &Ground<'_, W>,
    subject: Subject<'_>,
    scan: impl Iterator<Item = Result<B, S>>,
) -> Result<(Planted, Option<Sorted>), Error<W::Error>>
where
    Error<W::Error>: From<S>,
{
    let (give_batch, batches) = bounded(limits::SCAN_BATCHES_WAITING_MAX);
    let (give_block, blocks) = bounded(limits::DOCUMENT_BLOCKS_WAITING_MAX);
    thread::scope(|scope| {
        let tree = scope.spawn(move || build(ground, subject.old, &blocks));
        let ordered = scope.spawn(move || {
            order(ground, subject, batches.into_iter(), |block| {
                give_block.send(block).map_err(|_| Error::Stopped)
            })
        });
        let fed = feed(ground, scan, &give_batch);
        drop(give_batch);
        let ordered = ordered.join().expect("no thread of a scan panics");
        let planted = tree.join().expect("no thread of a scan panics");
        // Whoever stopped because another had failed says nothing of why.
        match (planted, ordered, fed) {
            (Ok(planted), Ok(late), Ok(())) => Ok((planted, late)),
            (Err(error), _, _) | (_, Err(error), Ok(())) => Err(error),
            (_, Err(error), _) if !matches!(error, Error::Stopped) => Err(error),
            (_, _, Err(error)) => Err(error),
        }
    })
}

fn feed<W: WriteBlobs, B: Documents, S>(
    ground: &Ground<'_, W>,
    scan: impl Iterator<Item = Result<B, S>>,
    give: &Sender<B>,
) -> Result<(), Error<W::Error>>
where
    Error<W::Error>: From<S>,
{
    for batch in scan {
        if ground.progress.is_cancelled() {
            return Err(Error::Cancelled);
        }
        give.send(batch?).map_err(|_| Error::Stopped)?;
    }
    Ok(())
}

/// Keys the documents and hands them on in order; returns what came too late for it.
fn order<W: WriteBlobs, B: Documents>(
    ground: &Ground<'_, W>,
    subject: Subject<'_>,
    batches: impl Iterator<Item = B>,
    mut give: impl FnMut(Block) -> Result<(), Error<W::Error>>,
) -> Result<Option<Sorted>, Error<W::Error>> {
    let mut pairs = Pairs::new(ground, subject.namespace.to_owned(), subject.keys);
    let mut order = Order::new(ground);
    for batch in batches {
        for document in batch.each() {
            if let Some((key, value)) = pairs.next(document)? {
                order.push(key, value, &mut give)?;
            }
        }
        ground.progress.at(|| subject.namespace.to_owned());
        ground.progress.done(batch.count(), batch.bytes());
    }
    order.finish(&mut give)
}

fn build<W: WriteBlobs>(
    ground: &Ground<'_, W>,
    old: Option<Root>,
    blocks: &Receiver<Block>,
) -> Result<Planted, Error<W::Error>> {
    let mut plant = Plant::new(ground, old);
    for block in blocks {
        plant.put(block)?;
    }
    plant.finish()
}

/// Brings in what came too late: the later one of a key counts.
fn amend<W: WriteBlobs>(
    ground: &Ground<'_, W>,
    planted: Planted,
    old: Option<Root>,
    late: Sorted,
) -> Result<Planted, Error<W::Error>> {
    let mut amend = Amend::new(ground, Some(planted), old);
    let mut late = late.peekable();
    while let Some(pair) = late.next() {
        let (key, pair) = pair?;
        if matches!(late.peek(), Some(Ok((next, _))) if *next == key) {
            continue;
        }
        let (value, _) = read_value(pair);
        let before = amend.standing(&key)?;
        amend.replace(&key, before.as_ref(), Some(&value))?;
    }
    amend.finish()
}
