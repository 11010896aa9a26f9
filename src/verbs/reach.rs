//! What a snapshot's roots lead to, for collectors, who know blobs and no trees.

use std::error::Error;

use super::select::is_record;
use crate::{
    format::snapshot::{NamedRoot, Snapshot},
    id::{BlobId, BlobKind},
    repo::{Reader, collect::Reach},
    tree::{self, Root},
};

/// Walks trees through a reader.
pub struct Trees<'a>(pub &'a Reader);

impl Reach for Trees<'_> {
    fn reachable(
        &self,
        root: &NamedRoot,
        visit: &mut dyn FnMut(BlobKind, &BlobId) -> bool,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let NamedRoot { id, level, entries, bytes, .. } = *root;
        Ok(tree::walk(self.0, &Root { id, level, entries, bytes }, visit)?)
    }

    fn is_backup(&self, snapshot: &Snapshot) -> bool {
        !is_record(snapshot)
    }
}
