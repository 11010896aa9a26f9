//! The key of a document in its collection's tree: its `_id`, as bytes that compare as ids do.
//!
//! `docs/format.md` has the encoding to the byte. It is a format: repositories hold such keys.

use crate::{
    document::{
        Element, Malformed, elements, kind, number,
        raw::{code_and_scope, pointer},
    },
    limits::{DOCUMENT_DEPTH_MAX, DOCUMENT_KEY_HEAD_BYTES},
};

/// What ends a string, an object, an array; no class is 0.
const END: u8 = 0x00;
/// A NUL within a string is followed by this, its end never is.
const NOT_THE_END: u8 = 0xff;
/// Stands between the head of a long key and its hash.
const LONG: u8 = 0xff;
/// Of a long key so much is held beside its head before it is hashed.
const PENDING_BYTES: usize = 64 << 10;

/// The place of a type among the types, in the server's order; types of one class are compared by
/// value. `None` for a byte that is no type.
pub(super) fn class(kind: u8) -> Option<u8> {
    Some(match kind {
        kind::MIN_KEY => 10,
        kind::UNDEFINED => 20,
        kind::NULL => 30,
        kind::DOUBLE | kind::INT32 | kind::INT64 | kind::DECIMAL128 => 40,
        kind::STRING | kind::SYMBOL => 50,
        kind::DOCUMENT => 60,
        kind::ARRAY => 70,
        kind::BINARY => 80,
        kind::OBJECT_ID => 90,
        kind::BOOL => 100,
        kind::DATE => 110,
        kind::TIMESTAMP => 120,
        kind::REGEX => 130,
        kind::DB_POINTER => 140,
        kind::CODE => 150,
        kind::CODE_WITH_SCOPE => 160,
        kind::MAX_KEY => 240,
        _ => return None,
    })
}

/// The key of an `_id`. Keys compare as the server sorts ids under the simple collation, and are
/// equal where it sees a duplicate; ids whose keys would exceed
/// [`DOCUMENT_KEY_HEAD_BYTES`] and agree up to there are ordered by a hash of the whole instead.
///
/// # Errors
/// The value's bytes are malformed, or documents lie in it too deep.
pub fn id_key(id: &Element) -> Result<Vec<u8>, Malformed> {
    let mut key = Vec::with_capacity(16);
    id_key_into(&mut key, id)?;
    Ok(key)
}

/// Appends what [`id_key`] gives, so that a scan allocates nothing for an id.
///
/// # Errors
/// As `id_key`; `out` is then as it was.
pub fn id_key_into(out: &mut Vec<u8>, id: &Element) -> Result<(), Malformed> {
    let start = out.len();
    let mut encoder = Encoder { out, start, hashed: None };
    match encoder.value(id, 0) {
        Ok(()) => encoder.finish(),
        Err(malformed) => {
            out.truncate(start);
            return Err(malformed);
        }
    }
    Ok(())
}

struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    /// Where the key begins in `out`.
    start: usize,
    /// The hash of a long key's bytes so far. All of the head went into it, and all behind the
    /// head that is not in `out` any more.
    hashed: Option<Box<blake3::Hasher>>,
}

impl Encoder<'_> {
    fn value(&mut self, element: &Element, depth: usize) -> Result<(), Malformed> {
        let class = class(element.kind);
        self.out.push(class.ok_or(Malformed::UnknownKind { at: 0, kind: element.kind })?);
        self.body(element, depth)
    }

    /// What follows the class.
    fn body(&mut self, element: &Element, depth: usize) -> Result<(), Malformed> {
        let cut = Malformed::Cut { at: 0 };
        let value = element.value;
        match element.kind {
            kind::DOUBLE | kind::INT32 | kind::INT64 | kind::DECIMAL128 => {
                number::encode(element, self.out).ok_or(cut)?;
            }
            kind::STRING | kind::SYMBOL | kind::CODE => self.text(element.as_str().ok_or(cut)?),
            kind::DOCUMENT => self.document(value, depth + 1)?,
            kind::ARRAY => self.array(value, depth + 1)?,
            kind::BINARY => self.binary(element).ok_or(cut)?,
            kind::OBJECT_ID => {
                self.out.extend_from_slice(&element.as_object_id().ok_or(cut)?);
            }
            kind::BOOL => self.out.push(u8::from(element.as_bool().ok_or(cut)?)),
            kind::DATE => {
                let date = element.as_date().ok_or(cut)? ^ i64::MIN;
                self.out.extend_from_slice(&date.to_be_bytes());
            }
            kind::TIMESTAMP => {
                let timestamp = element.as_timestamp().ok_or(cut)?;
                self.out.extend_from_slice(&timestamp.to_be_bytes());
            }
            kind::REGEX => self.out.extend_from_slice(value),
            kind::DB_POINTER => {
                let (namespace, id) = pointer(value).ok_or(cut)?;
                let length = u32::try_from(namespace.len()).map_err(|_| cut)?;
                self.out.extend_from_slice(&length.to_be_bytes());
                self.out.extend_from_slice(namespace);
                self.out.extend_from_slice(id);
            }
            kind::CODE_WITH_SCOPE => {
                let (code, scope) = code_and_scope(value).ok_or(cut)?;
                self.text(code);
                self.document(scope, depth + 1)?;
            }
            _ => {}
        }
        self.spill();
        Ok(())
    }

    fn text(&mut self, text: &[u8]) {
        self.out.reserve(text.len() + 1);
        for piece in text.split_inclusive(|byte| *byte == 0) {
            self.out.extend_from_slice(piece);
            if piece.last() == Some(&0) {
                self.out.push(NOT_THE_END);
            }
        }
        self.out.push(END);
    }

    fn document(&mut self, doc: &[u8], depth: usize) -> Result<(), Malformed> {
        if depth > DOCUMENT_DEPTH_MAX {
            return Err(Malformed::TooDeep);
        }
        for element in elements(doc) {
            let element = element?;
            let class = class(element.kind).expect("the walk knows the same types");
            self.out.push(class);
            self.out.extend_from_slice(element.name);
            self.out.push(END);
            self.body(&element, depth)?;
        }
        self.out.push(END);
        Ok(())
    }

    fn array(&mut self, array: &[u8], depth: usize) -> Result<(), Malformed> {
        if depth > DOCUMENT_DEPTH_MAX {
            return Err(Malformed::TooDeep);
        }
        for element in elements(array) {
            self.value(&element?, depth)?;
        }
        self.out.push(END);
        Ok(())
    }

    fn binary(&mut self, element: &Element) -> Option<()> {
        let (subtype, bytes) = element.as_binary()?;
        match u8::try_from(bytes.len()) {
            Ok(length) if length < 0xff => self.out.push(length),
            _ => {
                self.out.push(0xff);
                self.out.extend_from_slice(&u32::try_from(bytes.len()).ok()?.to_be_bytes());
            }
        }
        self.out.push(subtype);
        self.out.extend_from_slice(bytes);
        Some(())
    }

    /// Keeps a long key's memory small: numbers may need forty times their bytes.
    fn spill(&mut self) {
        if self.out.len() - self.start > DOCUMENT_KEY_HEAD_BYTES + PENDING_BYTES {
            self.hash();
        }
    }

    fn hash(&mut self) {
        let head_end = self.start + DOCUMENT_KEY_HEAD_BYTES;
        let from = if self.hashed.is_some() { head_end } else { self.start };
        self.hashed.get_or_insert_default().update(&self.out[from..]);
        self.out.truncate(head_end);
    }

    fn finish(mut self) {
        if self.hashed.is_some() || self.out.len() - self.start > DOCUMENT_KEY_HEAD_BYTES {
            self.hash();
        }
        if let Some(hashed) = self.hashed {
            self.out.push(LONG);
            self.out.extend_from_slice(hashed.finalize().as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{ArrayWriter, Writer, compare, testing::one_of_each};

    fn key_of(doc: &[u8]) -> Vec<u8> {
        id_key(&elements(doc).next().unwrap().unwrap()).unwrap()
    }

    fn of(push: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut writer = Writer::new();
        push(&mut writer);
        key_of(&writer.finish())
    }

    #[test]
    fn keys_stand_to_the_byte() {
        let inner = |push: fn(&mut Writer)| {
            let mut writer = Writer::new();
            push(&mut writer);
            writer.finish()
        };
        let id = *b"twelve bytes";
        assert_eq!(of(|w| w.push_object_id(b"_id", id)), [&[90], &id[..]].concat());
        assert_eq!(of(|w| w.push_i32(b"_id", 258)), [40, 82, 1, 2, 0]);
        assert_eq!(of(|w| w.push_i64(b"_id", -258)), [40, 38, 254, 253, 255]);
        assert_eq!(of(|w| w.push_f64(b"_id", 1.5)), [40, 81, 1, 51, 0]);
        assert_eq!(of(|w| w.push_f64(b"_id", 0.0625)), [40, 70, 0x7f, 0xff, 63, 51, 0]);
        assert_eq!(of(|w| w.push_str(b"_id", "a\0b")), [50, b'a', 0, 255, b'b', 0]);
        assert_eq!(of(|w| w.push_bool(b"_id", true)), [100, 1]);
        assert_eq!(of(|w| w.push_date(b"_id", -1)), [110, 127, 255, 255, 255, 255, 255, 255, 255]);
        assert_eq!(of(|w| w.push_binary(b"_id", 4, b"ab")), [80, 2, 4, b'a', b'b']);
        let doc = inner(|w| w.push_i32(b"n", 1));
        assert_eq!(of(|w| w.push_doc(b"_id", &doc)), [60, 40, b'n', 0, 81, 1, 0, 0]);
        let mut array = ArrayWriter::new();
        array.push_str("x");
        let array = array.finish();
        assert_eq!(of(|w| w.push_array(b"_id", &array)), [70, 50, b'x', 0, 0]);
    }

    #[test]
    fn the_types_lie_in_the_order_of_the_server() {
        let doc = one_of_each();
        let order = [
            kind::MIN_KEY,
            kind::UNDEFINED,
            kind::NULL,
            kind::INT64,
            kind::STRING,
            kind::DOCUMENT,
            kind::ARRAY,
            kind::BINARY,
            kind::OBJECT_ID,
            kind::BOOL,
            kind::DATE,
            kind::TIMESTAMP,
            kind::REGEX,
            kind::DB_POINTER,
            kind::CODE,
            kind::CODE_WITH_SCOPE,
            kind::MAX_KEY,
        ];
        let all: Vec<_> = elements(&doc).map(Result::unwrap).collect();
        let found = order.map(|kind| *all.iter().find(|e| e.kind == kind).unwrap());
        for pair in found.windows(2) {
            assert!(id_key(&pair[0]).unwrap() < id_key(&pair[1]).unwrap(), "{pair:?}");
            assert!(compare(&pair[0], &pair[1]).is_lt(), "{pair:?}");
        }
    }

    #[test]
    fn a_long_key_is_a_head_and_a_hash() {
        let text = |last: u8, length: usize| {
            let mut bytes = vec![b'x'; length];
            *bytes.last_mut().unwrap() = last;
            of(|w| w.push_str(b"_id", bytes))
        };
        // The class, the text, its end.
        let whole = DOCUMENT_KEY_HEAD_BYTES - 2;
        assert_eq!(text(b'y', whole).len(), DOCUMENT_KEY_HEAD_BYTES);
        let (a, b) = (text(b'a', whole + 1), text(b'b', whole + 1));
        let head = [&[50][..], &vec![b'x'; whole], b"a\0"].concat();
        assert_eq!(a[..DOCUMENT_KEY_HEAD_BYTES], head[..DOCUMENT_KEY_HEAD_BYTES]);
        assert_eq!(a[DOCUMENT_KEY_HEAD_BYTES], LONG);
        assert_eq!(a[DOCUMENT_KEY_HEAD_BYTES + 1..], *blake3::hash(&head).as_bytes());
        assert_eq!((a.len(), b.len()), (DOCUMENT_KEY_HEAD_BYTES + 33, a.len()));
        assert_ne!(a, b);
    }

    #[test]
    fn a_very_long_key_is_hashed_in_steps_to_the_same() {
        let mut array = ArrayWriter::new();
        let mut plain = vec![70];
        for i in 0..3000 {
            let least = f64::from_bits(1 + i);
            array.push_raw(kind::DOUBLE, &least.to_le_bytes());
            plain.push(40);
            let value = least.to_le_bytes();
            number::encode(&Element { kind: kind::DOUBLE, name: b"", value: &value }, &mut plain);
        }
        plain.push(END);
        assert!(plain.len() > 10 * PENDING_BYTES);
        let array = array.finish();
        let key = of(|w| w.push_array(b"_id", &array));
        assert_eq!(key[..DOCUMENT_KEY_HEAD_BYTES], plain[..DOCUMENT_KEY_HEAD_BYTES]);
        assert_eq!(key[DOCUMENT_KEY_HEAD_BYTES + 1..], *blake3::hash(&plain).as_bytes());
        // Behind what stands in the buffer already, too.
        let mut out = b"before".to_vec();
        let id = Element { kind: kind::ARRAY, name: b"_id", value: &array };
        id_key_into(&mut out, &id).unwrap();
        assert_eq!(out[6..], key);
    }

    #[test]
    fn malformed_ids_leave_the_buffer_alone() {
        for kind in 0..=255 {
            for value in [&[][..], &[0xff; 3], &[0xff; 20]] {
                let mut out = b"before".to_vec();
                if id_key_into(&mut out, &Element { kind, name: b"_id", value }).is_err() {
                    assert_eq!(out, b"before");
                }
            }
        }
        let deep = (0..2 * DOCUMENT_DEPTH_MAX).fold(Writer::new().finish(), |doc, _| {
            let mut writer = Writer::new();
            writer.push_doc(b"a", &doc);
            writer.finish()
        });
        let id = Element { kind: kind::DOCUMENT, name: b"_id", value: &deep };
        assert_eq!(id_key(&id), Err(Malformed::TooDeep));
        assert!(compare(&id, &id).is_eq());
    }
}
