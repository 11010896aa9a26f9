//! One reply of a cursor: many documents in one piece of memory, handed out without copying.

use std::ops::Range;

use bson::{RawBsonRef, RawDocument};
use mongodb::raw_batch_cursor::RawBatch;

/// Documents as the server sent them, byte for byte.
#[derive(Debug, Clone)]
pub struct Batch {
    reply: RawBatch,
    /// The array of documents within the reply.
    array: Range<usize>,
    documents: u64,
}

impl Batch {
    /// Walks the array once, so that handing out the documents can't fail later.
    pub(super) fn of(reply: RawBatch) -> Result<Batch, String> {
        let whole = reply.as_raw_document().as_bytes();
        let array = reply.doc_slices().map_err(|why| why.kind.to_string())?.as_bytes();
        let start = array.as_ptr() as usize - whole.as_ptr() as usize;
        let array = start..start + array.len();
        let mut documents = 0;
        for document in (Documents { array: &whole[array.clone()], at: 4 }) {
            document?;
            documents += 1;
        }
        Ok(Batch { reply, array, documents })
    }

    pub fn documents(&self) -> impl Iterator<Item = &[u8]> {
        let whole = self.reply.as_raw_document().as_bytes();
        Documents { array: &whole[self.array.clone()], at: 4 }
            .map(|document| document.expect("the array was walked when it came"))
    }

    /// How many documents there are.
    pub fn len(&self) -> u64 {
        self.documents
    }

    pub fn is_empty(&self) -> bool {
        self.documents == 0
    }

    /// Bytes that the documents took on the wire.
    pub fn bytes(&self) -> u64 {
        self.array.len() as u64
    }

    /// Where a natural scan can go on after this batch, if that was asked for.
    pub fn resume_token(&self) -> Option<Vec<u8>> {
        let cursor = self.reply.as_raw_document().get_document("cursor").ok()?;
        match cursor.get("postBatchResumeToken").ok()?? {
            RawBsonRef::Document(token) => Some(token.as_bytes().to_vec()),
            _ => None,
        }
    }

    /// The whole reply.
    pub fn reply(&self) -> &RawDocument {
        self.reply.as_raw_document()
    }
}

/// The documents of a BSON array; what is no document, or does not fit, is an error.
struct Documents<'a> {
    array: &'a [u8],
    at: usize,
}

impl<'a> Documents<'a> {
    fn step(&mut self) -> Option<Result<&'a [u8], String>> {
        let rest = self.array.get(self.at..)?;
        match rest.first() {
            None | Some(0) => return None,
            Some(0x03) => {}
            Some(kind) => return Some(Err(format!("a batch holds an element of type {kind}"))),
        }
        let Some(name_end) = rest.iter().position(|byte| *byte == 0).filter(|_| rest[0] != 0)
        else {
            return Some(Err("a batch has a name without end".to_owned()));
        };
        let body = &rest[name_end + 1..];
        let length = body.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes) as usize);
        match length.filter(|length| *length >= 5).and_then(|length| body.get(..length)) {
            Some(document) => {
                self.at += name_end + 1 + document.len();
                Some(Ok(document))
            }
            None => Some(Err("a batch holds a document that is longer than it".to_owned())),
        }
    }
}

impl<'a> Iterator for Documents<'a> {
    type Item = Result<&'a [u8], String>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.step();
        if matches!(item, Some(Err(_))) {
            self.at = usize::MAX;
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    fn documents(array: &[u8]) -> Vec<Result<&[u8], String>> {
        Documents { array, at: 4 }.collect()
    }

    #[test]
    fn documents_come_out_byte_for_byte() {
        let (one, two) = (rawdoc! { "a": 1 }, rawdoc! { "b": { "c": "d" } });
        let array = rawdoc! { "0": one.clone(), "1": two.clone() };
        let found: Vec<_> = documents(array.as_bytes()).into_iter().map(Result::unwrap).collect();
        assert_eq!(found, [one.as_bytes(), two.as_bytes()]);
        assert!(documents(rawdoc! {}.as_bytes()).is_empty());
    }

    #[test]
    fn what_is_no_document_is_an_error_and_the_end() {
        let array = rawdoc! { "0": { "a": 1 }, "1": 5, "2": { "a": 1 } };
        let found = documents(array.as_bytes());
        assert_eq!(found.len(), 2);
        assert!(found[0].is_ok() && found[1].is_err());
    }

    #[test]
    fn a_cut_array_never_panics() {
        let array = rawdoc! { "0": { "a": 1 }, "1": { "b": "some text" } };
        for length in 4..array.as_bytes().len() {
            let found = documents(&array.as_bytes()[..length]);
            assert!(found.len() <= 2, "cut at {length}");
        }
    }
}
