//! Raw documents as Extended JSON.

use bson::Decimal128;

use super::{base64, date};
use crate::{
    document::{Element, Malformed, elements, kind, raw::code_and_scope},
    limits::DOCUMENT_DEPTH_MAX,
};

/// Which of the two forms of Extended JSON v2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// Every type is told.
    Canonical,
    /// Numbers, and dates of the years 1970 to 9999, as people read them.
    Relaxed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// No space and no line's end anywhere.
    Line,
    /// A field a line, two spaces for each step in.
    Indented,
}

/// Whether the text tells all that the bytes hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fidelity {
    Exact,
    /// Some text in it is no UTF-8: what is not is shown as U+FFFD.
    Lossy,
}

/// The document on one line.
pub fn to_text(doc: &[u8], flavour: Flavour) -> Result<String, Malformed> {
    let mut out = String::with_capacity(doc.len() * 2);
    write(&mut out, doc, flavour, Layout::Line)?;
    Ok(out)
}

/// One value on one line.
pub fn value_to_text(element: &Element<'_>, flavour: Flavour) -> Result<String, Malformed> {
    let mut out = String::new();
    Text { out: &mut out, flavour, layout: Layout::Line, depth: 0, fidelity: Fidelity::Exact }
        .value(element)?;
    Ok(out)
}

/// Puts the document behind what is in `out`.
pub fn write(
    out: &mut String,
    doc: &[u8],
    flavour: Flavour,
    layout: Layout,
) -> Result<Fidelity, Malformed> {
    let mut text = Text { out, flavour, layout, depth: 0, fidelity: Fidelity::Exact };
    text.fields(doc, true)?;
    Ok(text.fidelity)
}

struct Text<'o> {
    out: &'o mut String,
    flavour: Flavour,
    layout: Layout,
    depth: usize,
    fidelity: Fidelity,
}

impl Text<'_> {
    fn value(&mut self, element: &Element<'_>) -> Result<(), Malformed> {
        let value = element.value;
        match element.kind {
            kind::DOUBLE => self.double(f64::from_le_bytes(fixed(element)?)),
            kind::STRING => self.quoted(text_of(element)?),
            kind::DOCUMENT => self.fields(value, true)?,
            kind::ARRAY => self.fields(value, false)?,
            kind::BINARY => self.binary(element)?,
            kind::UNDEFINED => self.out.push_str("{\"$undefined\":true}"),
            kind::OBJECT_ID => self.object_id(value),
            kind::BOOL => self.out.push_str(if value == [0] { "false" } else { "true" }),
            kind::DATE => self.date(i64::from_le_bytes(fixed(element)?)),
            kind::NULL => self.out.push_str("null"),
            kind::REGEX => self.regex(value)?,
            kind::DB_POINTER => self.db_pointer(value)?,
            kind::CODE => self.whole("{\"$code\":", text_of(element)?),
            kind::SYMBOL => self.whole("{\"$symbol\":", text_of(element)?),
            kind::CODE_WITH_SCOPE => {
                let (code, scope) = code_and_scope(value).ok_or(CUT)?;
                self.wrap("{\"$code\":", code);
                self.out.push_str(",\"$scope\":");
                self.on_one_line(|text| text.fields(scope, true))?;
                self.out.push('}');
            }
            kind::INT32 => self.integer("$numberInt", element.as_i64().ok_or(CUT)?),
            kind::INT64 => self.integer("$numberLong", element.as_i64().ok_or(CUT)?),
            kind::TIMESTAMP => {
                let both = u64::from_le_bytes(fixed(element)?);
                let (t, i) = (both >> 32, both & u64::from(u32::MAX));
                self.out.push_str(&format!("{{\"$timestamp\":{{\"t\":{t},\"i\":{i}}}}}"));
            }
            kind::DECIMAL128 => {
                let decimal = Decimal128::from_bytes(fixed(element)?);
                self.out.push_str(&format!("{{\"$numberDecimal\":\"{decimal}\"}}"));
            }
            kind::MIN_KEY => self.out.push_str("{\"$minKey\":1}"),
            kind::MAX_KEY => self.out.push_str("{\"$maxKey\":1}"),
            kind => return Err(Malformed::UnknownKind { at: 0, kind }),
        }
        Ok(())
    }

    fn fields(&mut self, doc: &[u8], with_names: bool) -> Result<(), Malformed> {
        self.out.push(if with_names { '{' } else { '[' });
        self.depth += 1;
        if self.depth > DOCUMENT_DEPTH_MAX {
            return Err(Malformed::TooDeep);
        }
        let mut is_empty = true;
        for element in elements(doc) {
            let element = element?;
            if !is_empty {
                self.out.push(',');
            }
            is_empty = false;
            self.new_line();
            if with_names {
                self.quoted(element.name);
                self.out.push_str(if self.layout == Layout::Line { ":" } else { ": " });
            }
            self.value(&element)?;
        }
        self.depth -= 1;
        if !is_empty {
            self.new_line();
        }
        self.out.push(if with_names { '}' } else { ']' });
        Ok(())
    }

    fn new_line(&mut self) {
        if self.layout == Layout::Indented {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n("  ", self.depth));
        }
    }

    fn on_one_line(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let layout = std::mem::replace(&mut self.layout, Layout::Line);
        write(self)?;
        self.layout = layout;
        Ok(())
    }

    fn quoted(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        if matches!(text, std::borrow::Cow::Owned(_)) {
            self.fidelity = Fidelity::Lossy;
        }
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                // The others that move a terminal's cursor stand in two ranges.
                c if c.is_control() => self.out.push_str(&format!("\\u{:04x}", u32::from(c))),
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }

    fn wrap(&mut self, open: &str, text: &[u8]) {
        self.out.push_str(open);
        self.quoted(text);
    }

    fn whole(&mut self, open: &str, text: &[u8]) {
        self.wrap(open, text);
        self.out.push('}');
    }

    fn integer(&mut self, wrapper: &str, number: i64) {
        self.out.push_str(&match self.flavour {
            Flavour::Relaxed => number.to_string(),
            Flavour::Canonical => format!("{{\"{wrapper}\":\"{number}\"}}"),
        });
    }

    fn double(&mut self, number: f64) {
        let text = match number {
            _ if number.is_nan() => "NaN".to_owned(),
            f64::INFINITY => "Infinity".to_owned(),
            f64::NEG_INFINITY => "-Infinity".to_owned(),
            // The shortest that reads back as the same, and not as an integer.
            _ => format!("{number:?}"),
        };
        self.out.push_str(&match self.flavour {
            Flavour::Relaxed if number.is_finite() => text,
            _ => format!("{{\"$numberDouble\":\"{text}\"}}"),
        });
    }

    fn date(&mut self, millis: i64) {
        let iso = date::to_text(millis).filter(|_| self.flavour == Flavour::Relaxed);
        self.out.push_str(&match iso {
            Some(iso) => format!("{{\"$date\":\"{iso}\"}}"),
            None => format!("{{\"$date\":{{\"$numberLong\":\"{millis}\"}}}}"),
        });
    }

    fn object_id(&mut self, id: &[u8]) {
        self.out.push_str(&format!("{{\"$oid\":\"{}\"}}", hex::encode(id)));
    }

    fn db_pointer(&mut self, value: &[u8]) -> Result<(), Malformed> {
        let (namespace, id) = value.split_last_chunk::<12>().ok_or(CUT)?;
        self.wrap("{\"$dbPointer\":{\"$ref\":", namespace.get(4..namespace.len() - 1).ok_or(CUT)?);
        self.out.push_str(",\"$id\":");
        self.object_id(id);
        self.out.push_str("}}");
        Ok(())
    }

    fn binary(&mut self, element: &Element<'_>) -> Result<(), Malformed> {
        let (subtype, data) = element.as_binary().ok_or(CUT)?;
        // Of the old subtype 2, the data has a length of its own before it, which is no content.
        let inner = data
            .split_first_chunk::<4>()
            .filter(|(len, rest)| subtype == 2 && **len == (rest.len() as u32).to_le_bytes());
        self.out.push_str("{\"$binary\":{\"base64\":\"");
        base64::encode(inner.map_or(data, |(_, rest)| rest), self.out);
        self.out.push_str(&format!("\",\"subType\":\"{subtype:02x}\"}}}}"));
        Ok(())
    }

    fn regex(&mut self, value: &[u8]) -> Result<(), Malformed> {
        let mut parts = value.split(|byte| *byte == 0);
        let (pattern, options) = parts.next().zip(parts.next()).ok_or(CUT)?;
        self.wrap("{\"$regularExpression\":{\"pattern\":", pattern);
        self.wrap(",\"options\":", options);
        self.out.push_str("}}");
        Ok(())
    }
}

/// Of a value that is shorter than its type: nobody gets one from `elements`.
const CUT: Malformed = Malformed::Cut { at: 0 };

fn fixed<const N: usize>(element: &Element<'_>) -> Result<[u8; N], Malformed> {
    element.fixed().ok_or(CUT)
}

fn text_of<'a>(element: &Element<'a>) -> Result<&'a [u8], Malformed> {
    element.as_str().ok_or(CUT)
}
