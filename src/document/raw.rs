//! Walking a document's bytes without copying any.

use crate::{document::kind, limits::DOCUMENT_DEPTH_MAX};

/// Bytes that are no BSON document; `at` counts from the begin of the document that was walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("a document has {found} bytes and says {said}")]
    Length { said: i64, found: usize },
    #[error("a document does not end in a NUL byte")]
    Unterminated,
    #[error("the element at byte {at} goes on beyond its document's end")]
    Cut { at: usize },
    #[error("the element at byte {at} has the type {kind:#04x}, which no BSON has")]
    UnknownKind { at: usize, kind: u8 },
    #[error("documents lie in one another deeper than {DOCUMENT_DEPTH_MAX}")]
    TooDeep,
}

/// A field of a document, or a value of an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element<'a> {
    /// One of [`kind`].
    pub kind: u8,
    /// Without its NUL; any bytes but NUL.
    pub name: &'a [u8],
    /// As it lies in the document, without type and name.
    pub value: &'a [u8],
}

impl<'a> Element<'a> {
    /// The bytes of a string, symbol or code, without length and NUL.
    pub fn as_str(&self) -> Option<&'a [u8]> {
        matches!(self.kind, kind::STRING | kind::SYMBOL | kind::CODE)
            .then(|| self.value.get(4..self.value.len().checked_sub(1)?))?
    }

    /// The bytes of a document or array within.
    pub fn as_doc(&self) -> Option<&'a [u8]> {
        matches!(self.kind, kind::DOCUMENT | kind::ARRAY).then_some(self.value)
    }

    /// An int32 or int64.
    pub fn as_i64(&self) -> Option<i64> {
        match self.kind {
            kind::INT32 => Some(i64::from(i32::from_le_bytes(self.fixed()?))),
            kind::INT64 => Some(i64::from_le_bytes(self.fixed()?)),
            _ => None,
        }
    }

    pub fn as_f64(&self) -> Option<f64> {
        if self.kind != kind::DOUBLE {
            return None;
        }
        Some(f64::from_le_bytes(self.fixed()?))
    }

    pub fn as_bool(&self) -> Option<bool> {
        if self.kind != kind::BOOL {
            return None;
        }
        self.value.first().map(|byte| *byte != 0)
    }

    /// Milliseconds since 1970.
    pub fn as_date(&self) -> Option<i64> {
        if self.kind != kind::DATE {
            return None;
        }
        Some(i64::from_le_bytes(self.fixed()?))
    }

    /// Seconds in the upper half, a counter in the lower.
    pub fn as_timestamp(&self) -> Option<u64> {
        if self.kind != kind::TIMESTAMP {
            return None;
        }
        Some(u64::from_le_bytes(self.fixed()?))
    }

    pub fn as_object_id(&self) -> Option<[u8; 12]> {
        if self.kind != kind::OBJECT_ID {
            return None;
        }
        self.fixed()
    }

    /// Subtype and bytes; those of the old subtype 2 begin with a length of their own.
    pub fn as_binary(&self) -> Option<(u8, &'a [u8])> {
        if self.kind != kind::BINARY {
            return None;
        }
        Some((*self.value.get(4)?, self.value.get(5..)?))
    }

    pub(super) fn fixed<const N: usize>(&self) -> Option<[u8; N]> {
        self.value.try_into().ok()
    }
}

/// The elements of a document or array in their order. Lengths are checked on the way, of this
/// document and not of those within; after an error comes nothing more.
pub fn elements(doc: &[u8]) -> Elements<'_> {
    Elements { doc, at: 0 }
}

#[derive(Debug, Clone)]
pub struct Elements<'a> {
    doc: &'a [u8],
    /// Where the next element begins; 0 before the frame was checked.
    at: usize,
}

impl<'a> Elements<'a> {
    #[inline]
    fn step(&mut self) -> Result<Option<Element<'a>>, Malformed> {
        if self.at == 0 {
            frame(self.doc)?;
            self.at = 4;
        }
        let end = self.doc.len() - 1;
        if self.at >= end {
            return Ok(None);
        }
        let at = self.at;
        let kind = self.doc[at];
        let inside = &self.doc[at + 1..end];
        let name_len = until_nul(inside).ok_or(Malformed::Cut { at })?;
        let rest = &inside[name_len + 1..];
        let value_len = value_len(kind, rest, at)?;
        let value = rest.get(..value_len).ok_or(Malformed::Cut { at })?;
        self.at = at + 1 + name_len + 1 + value_len;
        Ok(Some(Element { kind, name: &inside[..name_len], value }))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Element<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.doc.is_empty() && self.at != 0 {
            return None;
        }
        let step = self.step();
        if step.is_err() {
            self.doc = &[];
            self.at = 1;
        }
        step.transpose()
    }
}

impl std::iter::FusedIterator for Elements<'_> {}

/// The length that a document states is its own, and it ends in NUL.
fn frame(doc: &[u8]) -> Result<(), Malformed> {
    let said = doc.first_chunk().map_or(-1, |bytes| i64::from(i32::from_le_bytes(*bytes)));
    if doc.len() < 5 || said != doc.len() as i64 {
        return Err(Malformed::Length { said, found: doc.len() });
    }
    if doc.last() != Some(&0) {
        return Err(Malformed::Unterminated);
    }
    Ok(())
}

/// Names are short: most end within eight bytes, which are looked at together.
#[inline]
fn until_nul(bytes: &[u8]) -> Option<usize> {
    let (words, rest) = bytes.as_chunks();
    for (word, bytes) in words.iter().enumerate() {
        if let Some(at) = nul_in(u64::from_le_bytes(*bytes)) {
            return Some(word * 8 + at);
        }
    }
    let before = bytes.len() - rest.len();
    rest.iter().position(|byte| *byte == 0).map(|at| before + at)
}

/// Where the lowest byte of 0 is. Only above it may a borrow mark bytes that are not 0 (Mycroft,
/// 1987).
#[inline]
fn nul_in(word: u64) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([0x01; 8]);
    let nul = word.wrapping_sub(ONES) & !word & (ONES << 7);
    (nul != 0).then(|| nul.trailing_zeros() as usize / 8)
}

/// How many of these bytes are the value, by its type and the lengths it states.
#[inline]
fn value_len(kind: u8, bytes: &[u8], at: usize) -> Result<usize, Malformed> {
    let cut = Malformed::Cut { at };
    let stated = |bytes: &[u8], least: i32| -> Result<usize, Malformed> {
        let length = i32::from_le_bytes(*bytes.first_chunk().ok_or(cut)?);
        if length < least { Err(cut) } else { Ok(length as usize) }
    };
    // A string states its bytes with their NUL, which must be one.
    let string = |bytes: &[u8]| -> Result<usize, Malformed> {
        let whole = 4 + stated(bytes, 1)?;
        if bytes.get(whole - 1) == Some(&0) { Ok(whole) } else { Err(cut) }
    };
    Ok(match kind {
        kind::UNDEFINED | kind::NULL | kind::MIN_KEY | kind::MAX_KEY => 0,
        kind::BOOL => 1,
        kind::INT32 => 4,
        kind::DOUBLE | kind::DATE | kind::TIMESTAMP | kind::INT64 => 8,
        kind::OBJECT_ID => 12,
        kind::DECIMAL128 => 16,
        kind::STRING | kind::SYMBOL | kind::CODE => string(bytes)?,
        kind::DB_POINTER => string(bytes)? + 12,
        kind::DOCUMENT | kind::ARRAY => {
            let length = stated(bytes, 5)?;
            frame(bytes.get(..length).ok_or(cut)?).map_err(|_| cut)?;
            length
        }
        kind::BINARY => 5 + stated(bytes, 0)?,
        kind::REGEX => {
            let pattern = until_nul(bytes).ok_or(cut)? + 1;
            pattern + until_nul(&bytes[pattern..]).ok_or(cut)? + 1
        }
        kind::CODE_WITH_SCOPE => {
            let whole = stated(bytes, 14)?;
            let inside = bytes.get(4..whole).ok_or(cut)?;
            let code = string(inside)?;
            frame(&inside[code..]).map_err(|_| cut)?;
            whole
        }
        _ => return Err(Malformed::UnknownKind { at, kind }),
    })
}

/// The namespace of a DBPointer and its id. The server sees a namespace up to its first NUL.
pub(super) fn pointer(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let (text, id) = value.get(4..)?.split_at_checked(value.len().checked_sub(4 + 12)?)?;
    Some((&text[..until_nul(text)?], id))
}

/// The code of a code with scope, without length and NUL, and its scope.
pub(super) fn code_and_scope(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = i32::from_le_bytes(*value.get(4..)?.first_chunk()?) as usize;
    let inside = value.get(8..)?;
    Some((inside.get(..length.checked_sub(1)?)?, inside.get(length..)?))
}

/// Whether all lengths hold, in the document and in all that lie within it.
///
/// # Errors
/// The first place where they don't, or documents that lie in one another deeper than
/// [`DOCUMENT_DEPTH_MAX`].
pub fn check(doc: &[u8]) -> Result<(), Malformed> {
    check_below(doc, 1)
}

fn check_below(doc: &[u8], depth: usize) -> Result<(), Malformed> {
    if depth > DOCUMENT_DEPTH_MAX {
        return Err(Malformed::TooDeep);
    }
    for element in elements(doc) {
        let element = element?;
        if let Some(inner) = element.as_doc() {
            check_below(inner, depth + 1)?;
        } else if element.kind == kind::CODE_WITH_SCOPE {
            let (_, scope) = code_and_scope(element.value).expect("its lengths were checked");
            check_below(scope, depth + 1)?;
        }
    }
    Ok(())
}

/// The first element of that name. What stands behind it is not looked at.
///
/// # Errors
/// The document's bytes up to there are malformed.
pub fn get<'a>(doc: &'a [u8], name: &[u8]) -> Result<Option<Element<'a>>, Malformed> {
    for element in elements(doc) {
        let element = element?;
        if element.name == name {
            return Ok(Some(element));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::testing::one_of_each;

    #[test]
    fn every_type_is_walked_and_every_cut_is_an_error() {
        let doc = one_of_each();
        check(&doc).unwrap();
        let kinds: Vec<u8> = elements(&doc).map(|element| element.unwrap().kind).collect();
        for kind in (0x01..=0x13).chain([kind::MIN_KEY, kind::MAX_KEY]) {
            assert!(kinds.contains(&kind), "{kind:#x}");
        }
        for length in 0..doc.len() {
            let cut = &doc[..length];
            assert!(check(cut).is_err(), "cut at {length}");
            // The same, with a frame that lies.
            let mut framed = cut.to_vec();
            if length >= 5 {
                framed[..4].copy_from_slice(&(length as i32).to_le_bytes());
                framed[length - 1] = 0;
                let whole = elements(&framed).collect::<Result<Vec<_>, _>>();
                let before = elements(&doc).map(|element| element.unwrap());
                let before: Vec<_> = before.collect();
                assert!(whole.is_err() || before.starts_with(&whole.unwrap()[..]), "{length}");
            }
        }
    }

    #[test]
    fn every_flipped_byte_is_an_error_or_another_document() {
        let doc = one_of_each();
        for at in 0..doc.len() {
            for flip in [0x01, 0x7f, 0x80, 0xff] {
                let mut other = doc.clone();
                other[at] ^= flip;
                let _ = check(&other);
                assert!(elements(&other).count() <= other.len());
            }
        }
    }

    #[test]
    fn the_first_nul_is_found_wherever_it_stands() {
        for length in 0..40 {
            for fill in [0x01, 0x7f, 0x80, 0xff] {
                let mut bytes = vec![fill; length];
                assert_eq!(until_nul(&bytes), None);
                for at in (0..length).rev() {
                    bytes[at] = 0;
                    assert_eq!(until_nul(&bytes), Some(at), "{bytes:?}");
                }
            }
        }
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        assert_eq!(check(&[]), Err(Malformed::Length { said: -1, found: 0 }));
        assert_eq!(check(&[5, 0, 0, 0, 1]), Err(Malformed::Unterminated));
        let refused: [(&[u8], &str); 6] = [
            (b"\x02a\0\x00\0\0\0\0", "a string of no byte, not even its NUL"),
            (b"\x02a\0\x01\0\0\0x", "one whose last byte is no NUL"),
            (b"\x03a\0\x04\0\0\0", "a document of four bytes"),
            (b"\x05a\0\xff\xff\xff\xff\0", "a negative length"),
            (b"\x14a\0", "a type there is not"),
            (b"\x0fa\0\x0b\0\0\0\x01\0\0\0\0\0\0", "code without a scope"),
        ];
        for (inside, what) in refused {
            let length = (inside.len() as i32 + 5).to_le_bytes();
            assert!(check(&[&length[..], inside, &[0]].concat()).is_err(), "{what}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| {
            let mut doc = vec![5, 0, 0, 0, 0];
            for _ in 1..depth {
                let length = doc.len() as i32 + 8;
                doc = [&length.to_le_bytes()[..], b"\x03a\0", &doc, b"\0"].concat();
            }
            doc
        };
        assert_eq!(check(&nested(DOCUMENT_DEPTH_MAX)), Ok(()));
        assert_eq!(check(&nested(DOCUMENT_DEPTH_MAX + 1)), Err(Malformed::TooDeep));
    }

    #[test]
    fn the_first_of_a_name_is_got() {
        let mut writer = crate::document::Writer::new();
        writer.push_i32(b"a", 1);
        writer.push_i32(b"", 2);
        writer.push_i32(b"a", 3);
        let doc = writer.finish();
        assert_eq!(get(&doc, b"a").unwrap().unwrap().as_i64(), Some(1));
        assert_eq!(get(&doc, b"").unwrap().unwrap().as_i64(), Some(2));
        assert_eq!(get(&doc, b"b").unwrap(), None);
    }
}
