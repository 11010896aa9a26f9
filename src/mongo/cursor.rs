//! A cursor whose next batch is already on its way while the last one is worked on.

use bson::RawDocumentBuf;
use futures_util::StreamExt;
use mongodb::Client;
use tokio::sync::mpsc;

use super::{Batch, Error, error::Asked, link::Link, throttle::Throttle};

/// Batches of a find, an aggregate or a listing, one after the other. Blocks; one batch waits and
/// one is being fetched while a third is in the caller's hands. Dropped early, it frees the
/// server's cursor.
pub struct Cursor {
    batches: mpsc::Receiver<Result<Batch, Error>>,
    // The task that fetches runs on it.
    link: Link,
}

pub(super) struct Question {
    pub asked: Asked,
    pub command: RawDocumentBuf,
    pub documents_max: u32,
}

impl Cursor {
    pub(super) fn open(link: &Link, question: Question, throttle: Throttle) -> Cursor {
        let (sender, batches) = mpsc::channel(1);
        let client = link.client().clone();
        link.spawn(fetch(client, question, throttle, sender));
        Cursor { batches, link: link.clone() }
    }
}

impl Iterator for Cursor {
    type Item = Result<Batch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let batches = &mut self.batches;
        self.link.block_on(batches.recv())
    }
}

async fn fetch(
    client: Client,
    question: Question,
    throttle: Throttle,
    sender: mpsc::Sender<Result<Batch, Error>>,
) {
    let Question { asked, command, documents_max } = question;
    let db = client.database(&asked.db);
    let opened = db.run_raw_cursor_command(command).batch_size(documents_max).batch().await;
    let mut cursor = match opened {
        Ok(cursor) => cursor,
        Err(error) => {
            // Nobody may be listening any more.
            let _ = sender.send(Err(asked.error(error))).await;
            return;
        }
    };
    while let Some(batch) = cursor.next().await {
        let batch = batch
            .map_err(|error| asked.error(error))
            .and_then(|batch| Batch::of(batch).map_err(|why| asked.unreadable(why)));
        let failed = batch.is_err();
        if let Ok(batch) = &batch {
            throttle.wait(batch.bytes()).await;
        }
        if sender.send(batch).await.is_err() || failed {
            return;
        }
    }
}
