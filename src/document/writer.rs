//! Making a document, element after element, as bytes.

use crate::document::{Element, kind};

/// A document in the making; what is pushed stands in it in that order, unlooked at.
///
/// No name may hold NUL: `push_*` panics, since the bytes would mean another document.
#[derive(Debug, Clone)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Default for Writer {
    fn default() -> Self {
        Writer { bytes: vec![0; 4] }
    }
}

impl Writer {
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes that the finished document will have, if nothing more comes.
    pub fn len(&self) -> usize {
        self.bytes.len() + 1
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.len() == 4
    }

    /// An element as it stands in another document; `value` must be one of that `kind`.
    pub fn push_raw(&mut self, kind: u8, name: &[u8], value: &[u8]) {
        assert!(!name.contains(&0), "a name of a BSON field holds no NUL");
        self.bytes.reserve(name.len() + value.len() + 2);
        self.bytes.push(kind);
        self.bytes.extend_from_slice(name);
        self.bytes.push(0);
        self.bytes.extend_from_slice(value);
    }

    pub fn push(&mut self, element: &Element) {
        self.push_raw(element.kind, element.name, element.value);
    }

    /// UTF-8, or what somebody's driver took for it.
    pub fn push_str(&mut self, name: &[u8], text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        let length = i32::try_from(text.len() + 1).expect("a string is below 2 GiB");
        self.push_raw(kind::STRING, name, &length.to_le_bytes());
        self.bytes.extend_from_slice(text);
        self.bytes.push(0);
    }

    pub fn push_i32(&mut self, name: &[u8], value: i32) {
        self.push_raw(kind::INT32, name, &value.to_le_bytes());
    }

    pub fn push_i64(&mut self, name: &[u8], value: i64) {
        self.push_raw(kind::INT64, name, &value.to_le_bytes());
    }

    pub fn push_f64(&mut self, name: &[u8], value: f64) {
        self.push_raw(kind::DOUBLE, name, &value.to_le_bytes());
    }

    pub fn push_bool(&mut self, name: &[u8], value: bool) {
        self.push_raw(kind::BOOL, name, &[u8::from(value)]);
    }

    pub fn push_null(&mut self, name: &[u8]) {
        self.push_raw(kind::NULL, name, &[]);
    }

    /// Milliseconds since 1970.
    pub fn push_date(&mut self, name: &[u8], milliseconds: i64) {
        self.push_raw(kind::DATE, name, &milliseconds.to_le_bytes());
    }

    /// Seconds in the upper half, a counter in the lower.
    pub fn push_timestamp(&mut self, name: &[u8], value: u64) {
        self.push_raw(kind::TIMESTAMP, name, &value.to_le_bytes());
    }

    pub fn push_object_id(&mut self, name: &[u8], id: [u8; 12]) {
        self.push_raw(kind::OBJECT_ID, name, &id);
    }

    pub fn push_binary(&mut self, name: &[u8], subtype: u8, bytes: &[u8]) {
        let length = i32::try_from(bytes.len()).expect("binary data is below 2 GiB");
        self.push_raw(kind::BINARY, name, &length.to_le_bytes());
        self.bytes.push(subtype);
        self.bytes.extend_from_slice(bytes);
    }

    pub fn push_doc(&mut self, name: &[u8], doc: &[u8]) {
        self.push_raw(kind::DOCUMENT, name, doc);
    }

    /// `array` is a document whose names are `0`, `1`, ... ([`ArrayWriter`] makes them).
    ///
    /// [`ArrayWriter`]: super::ArrayWriter
    pub fn push_array(&mut self, name: &[u8], array: &[u8]) {
        self.push_raw(kind::ARRAY, name, array);
    }

    /// An array of documents, each copied once.
    pub fn push_docs(&mut self, name: &[u8], documents: &[&[u8]]) {
        // Of each also a type, a place as a name, and its end.
        let bytes = documents.iter().map(|document| document.len() + 12).sum::<usize>();
        self.bytes.reserve(name.len() + bytes + 8);
        self.push_raw(kind::ARRAY, name, &[]);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        for (place, document) in documents.iter().enumerate() {
            let (digits, from) = decimal(place);
            self.push_raw(kind::DOCUMENT, &digits[from..], document);
        }
        self.bytes.push(0);
        let length = i32::try_from(self.bytes.len() - start).expect("an array is below 2 GiB");
        self.bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// The whole document.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.push(0);
        let length = i32::try_from(self.bytes.len()).expect("a document is below 2 GiB");
        self.bytes[..4].copy_from_slice(&length.to_le_bytes());
        self.bytes
    }
}

/// An array in the making: values get their places as names.
#[derive(Debug, Clone, Default)]
pub struct ArrayWriter {
    writer: Writer,
    count: usize,
}

impl ArrayWriter {
    pub fn new() -> Self {
        Self::default()
    }

    /// How many values it holds.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes that the finished array will have, if nothing more comes.
    pub fn bytes(&self) -> usize {
        self.writer.len()
    }

    pub fn push_raw(&mut self, kind: u8, value: &[u8]) {
        let (digits, from) = decimal(self.count);
        self.writer.push_raw(kind, &digits[from..], value);
        self.count += 1;
    }

    pub fn push_str(&mut self, text: impl AsRef<[u8]>) {
        let (digits, from) = decimal(self.count);
        self.writer.push_str(&digits[from..], text);
        self.count += 1;
    }

    pub fn push_i64(&mut self, value: i64) {
        self.push_raw(kind::INT64, &value.to_le_bytes());
    }

    pub fn push_doc(&mut self, doc: &[u8]) {
        self.push_raw(kind::DOCUMENT, doc);
    }

    pub fn finish(self) -> Vec<u8> {
        self.writer.finish()
    }
}

/// The number's digits stand at the end of the bytes, from the place given.
fn decimal(mut number: usize) -> ([u8; 20], usize) {
    let mut digits = [b'0'; 20];
    let mut from = digits.len();
    loop {
        from -= 1;
        digits[from] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return (digits, from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{check, elements, testing::one_of_each};

    #[test]
    fn what_was_pushed_is_walked() {
        let mut inner = ArrayWriter::new();
        (0..12).for_each(|i| inner.push_i64(i));
        inner.push_str("x");
        let mut writer = Writer::new();
        assert!(writer.is_empty());
        writer.push_str(b"s", "text");
        writer.push_i32(b"i", -1);
        writer.push_f64(b"d", 0.5);
        writer.push_bool(b"b", true);
        writer.push_null(b"n");
        writer.push_date(b"t", -5);
        writer.push_timestamp(b"ts", 7);
        writer.push_binary(b"bin", 4, b"abc");
        writer.push_array(b"a", &inner.finish());
        writer.push_doc(b"empty", &Writer::new().finish());
        let length = writer.len();
        let doc = writer.finish();
        assert_eq!(doc.len(), length);
        check(&doc).unwrap();
        let all: Vec<_> = elements(&doc).map(Result::unwrap).collect();
        assert_eq!(all[0].as_str(), Some(&b"text"[..]));
        assert_eq!(all[1].as_i64(), Some(-1));
        assert_eq!(all[2].as_f64(), Some(0.5));
        assert_eq!(all[3].as_bool(), Some(true));
        assert_eq!(all[5].as_date(), Some(-5));
        assert_eq!(all[6].as_timestamp(), Some(7));
        assert_eq!(all[7].as_binary(), Some((4, &b"abc"[..])));
        let names: Vec<_> = elements(all[8].value).map(|e| e.unwrap().name).collect();
        assert_eq!((names.len(), names[9], names[12]), (13, &b"9"[..], &b"12"[..]));
        assert_eq!(all[9].value, b"\x05\0\0\0\0");
    }

    #[test]
    fn documents_in_an_array_stand_as_if_pushed_one_by_one() {
        let doc = one_of_each();
        for count in [0, 1, 12, 101] {
            let mut array = ArrayWriter::new();
            (0..count).for_each(|_| array.push_doc(&doc));
            let (mut one_by_one, mut at_once) = (Writer::new(), Writer::new());
            one_by_one.push_array(b"a", &array.finish());
            at_once.push_docs(b"a", &vec![&doc[..]; count]);
            assert_eq!(at_once.finish(), one_by_one.finish());
        }
    }

    #[test]
    fn a_document_pushed_again_is_the_same() {
        let doc = one_of_each();
        let mut writer = Writer::new();
        elements(&doc).for_each(|element| writer.push(&element.unwrap()));
        assert_eq!(writer.finish(), doc);
    }

    #[test]
    #[should_panic(expected = "no NUL")]
    fn a_name_with_nul_is_refused() {
        Writer::new().push_null(b"a\0b");
    }
}
