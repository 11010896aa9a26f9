//! JSON text as a tree that forgets nothing: names in order, each as often as it stands there,
//! numbers as they were written.

use super::ParseError;
use crate::limits::DOCUMENT_DEPTH_MAX;

#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    /// As written.
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// One value, and nothing but white space around it. Beside JSON, names without quotes are taken,
/// as in the shell: `{status: "new", $or: []}`.
pub fn read(text: &str) -> Result<Json, ParseError> {
    let mut reader = Reader { text, at: 0, depth: 0 };
    let value = reader.value()?;
    reader.space();
    if reader.at < text.len() { Err(reader.wanted("the end")) } else { Ok(value) }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn wanted(&self, wanted: &'static str) -> ParseError {
        ParseError::Syntax { at: self.text[..self.at].chars().count() + 1, wanted }
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    /// Takes `token`, if it is next after white space.
    fn takes(&mut self, token: &str) -> bool {
        self.space();
        let is_next = self.rest().starts_with(token);
        self.at += if is_next { token.len() } else { 0 };
        is_next
    }

    fn value(&mut self) -> Result<Json, ParseError> {
        self.space();
        match self.rest().bytes().next() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::list),
            Some(b'"') => Ok(Json::Text(self.text()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => match () {
                () if self.takes("true") => Ok(Json::Bool(true)),
                () if self.takes("false") => Ok(Json::Bool(false)),
                () if self.takes("null") => Ok(Json::Null),
                () => Err(self.wanted("a value")),
            },
        }
    }

    fn nested(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Json, ParseError>,
    ) -> Result<Json, ParseError> {
        self.at += 1;
        self.depth += 1;
        if self.depth > DOCUMENT_DEPTH_MAX {
            return Err(ParseError::TooDeep);
        }
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn object(&mut self) -> Result<Json, ParseError> {
        let mut fields = Vec::new();
        if self.takes("}") {
            return Ok(Json::Object(fields));
        }
        loop {
            self.space();
            let name = if self.rest().starts_with('"') { self.text()? } else { self.bare_name()? };
            if !self.takes(":") {
                return Err(self.wanted("`:`"));
            }
            fields.push((name, self.value()?));
            if self.takes("}") {
                return Ok(Json::Object(fields));
            }
            if !self.takes(",") {
                return Err(self.wanted("`,` or `}`"));
            }
        }
    }

    fn list(&mut self) -> Result<Json, ParseError> {
        let mut values = Vec::new();
        if self.takes("]") {
            return Ok(Json::List(values));
        }
        loop {
            values.push(self.value()?);
            if self.takes("]") {
                return Ok(Json::List(values));
            }
            if !self.takes(",") {
                return Err(self.wanted("`,` or `]`"));
            }
        }
    }

    fn bare_name(&mut self) -> Result<String, ParseError> {
        let rest = self.rest();
        let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        if end == 0 || rest.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(self.wanted("a field's name"));
        }
        self.at += end;
        Ok(rest[..end].to_owned())
    }

    fn number(&mut self) -> Result<Json, ParseError> {
        let rest = self.rest();
        let is_part = |c: char| matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E');
        let text = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
        if !is_number(text) {
            return Err(self.wanted("a number"));
        }
        self.at += text.len();
        Ok(Json::Number(text.to_owned()))
    }

    /// A text in quotes, which are next.
    fn text(&mut self) -> Result<String, ParseError> {
        let mut out = String::new();
        self.at += 1;
        loop {
            let rest = self.rest();
            let plain = rest.find(|c: char| matches!(c, '"' | '\\' | '\0'..='\x1f'));
            let plain = plain.ok_or_else(|| self.wanted("`\"` at the text's end"))?;
            out.push_str(&rest[..plain]);
            self.at += plain;
            match rest.as_bytes()[plain] {
                b'"' => {
                    self.at += 1;
                    return Ok(out);
                }
                b'\\' => out.push(self.escape()?),
                _ => return Err(self.wanted("an escape for a control character")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, ParseError> {
        let wrong = self.wanted("an escape that JSON knows");
        let kind = self.rest().as_bytes().get(1).copied().ok_or_else(|| wrong.clone())?;
        self.at += 2;
        let plain = match kind {
            b'"' | b'\\' | b'/' => kind.into(),
            b'b' => '\x08',
            b'f' => '\x0c',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.code_point().ok_or(wrong),
            _ => return Err(wrong),
        };
        Ok(plain)
    }

    /// What follows `\u`; two of them for a character beyond the first plane.
    fn code_point(&mut self) -> Option<char> {
        let first = self.four_digits()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first);
        }
        self.at += self.rest().starts_with("\\u").then_some(2)?;
        let second = self.four_digits().filter(|unit| (0xdc00..0xe000).contains(unit))?;
        char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
    }

    fn four_digits(&mut self) -> Option<u32> {
        let digits = self.rest().get(..4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }
}

/// `-12.5e+3`: digits without a needless zero before; a fraction and an exponent have digits.
fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let exponent = exponent.map(|e| e.strip_prefix(['+', '-']).unwrap_or(e));
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_order_and_come_as_often_as_they_stand() {
        let found = read(r#" { "b" : 1 , a:[null,true,false] , "b":{} } "#).unwrap();
        let list = Json::List(vec![Json::Null, Json::Bool(true), Json::Bool(false)]);
        let wanted = vec![
            ("b".into(), Json::Number("1".into())),
            ("a".into(), list),
            ("b".into(), Json::Object(vec![])),
        ];
        assert_eq!(found, Json::Object(wanted));
    }

    #[test]
    fn texts_with_every_escape() {
        let found = read(r#""a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00ü""#).unwrap();
        assert_eq!(found, Json::Text("a\"\\/\x08\x0c\n\r\té😀ü".into()));
        for text in [r#""\x""#, r#""\u12""#, r#""\ud800""#, r#""\ud800\u0041""#, "\"\n\"", "\"a"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_are_left_as_written() {
        for text in ["0", "-0", "12", "-1.50", "1e5", "1.0E-400", "123456789012345678901234567890"]
        {
            assert_eq!(read(text), Ok(Json::Number(text.into())));
        }
        for text in ["01", "-", "1.", ".5", "1e", "1e+", "+1", "0x1", "1-2", "NaN"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_told_with_its_place() {
        let syntax = |at, wanted| Err(ParseError::Syntax { at, wanted });
        assert_eq!(read(r#"{"ü": }"#), syntax(7, "a value"));
        assert_eq!(read("[1 2]"), syntax(4, "`,` or `]`"));
        assert_eq!(read("{} x"), syntax(4, "the end"));
        assert_eq!(read("{1: 2}"), syntax(2, "a field's name"));
        assert_eq!(read("{a 2}"), syntax(4, "`:`"));
        for text in ["", "{", "[", "{\"a\":1", "[1,", "tru", "{a:1,}", "[1,]"] {
            assert!(read(text).is_err(), "{text}");
        }
        assert_eq!(read(&"[".repeat(100_000)), Err(ParseError::TooDeep));
    }
}
