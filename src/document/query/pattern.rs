//! Regular expressions as the server understands them.

use regex::{Regex, RegexBuilder};

use super::{QueryError, translate::translate};
use crate::document::{Element, kind};

/// One regular expression. It matches text that it finds itself in, and its equal as a value.
#[derive(Debug, Clone)]
pub struct Pattern {
    regex: Regex,
    /// As BSON has it: the pattern, its options.
    value: Vec<u8>,
}

impl Pattern {
    /// A value of type regex.
    pub fn of_regex(element: &Element<'_>) -> Result<Pattern, QueryError> {
        let mut parts = element.value.split(|byte| *byte == 0);
        let (pattern, options) = (parts.next().unwrap_or(b""), parts.next().unwrap_or(b""));
        Pattern::new(pattern, options)
    }

    /// The operands of `$regex` and `$options`.
    pub fn parse(
        pattern: &Element<'_>,
        options: Option<&Element<'_>>,
    ) -> Result<Pattern, QueryError> {
        let text = |element: &Element<'_>| match element.kind {
            kind::STRING => Ok(element.as_str().unwrap_or_default().to_vec()),
            _ => Err(QueryError::Operand {
                operator: String::from_utf8_lossy(element.name).into_owned(),
                wanted: "a text",
            }),
        };
        let options = options.map(text).transpose()?;
        if pattern.kind != kind::REGEX {
            return Pattern::new(&text(pattern)?, &options.unwrap_or_default());
        }
        let mut parts = pattern.value.split(|byte| *byte == 0);
        let (source, own) = (parts.next().unwrap_or(b""), parts.next().unwrap_or(b""));
        if options.is_some() && !own.is_empty() {
            return Err(QueryError::Operand {
                operator: "$options".into(),
                wanted: "a regular expression without options of its own",
            });
        }
        Pattern::new(source, options.as_deref().unwrap_or(own))
    }

    fn new(pattern: &[u8], options: &[u8]) -> Result<Pattern, QueryError> {
        let shown = || String::from_utf8_lossy(pattern).into_owned();
        let refused = |what| QueryError::Pattern { pattern: shown(), what };
        let text = std::str::from_utf8(pattern).map_err(|_| refused("text that is no UTF-8"))?;
        let has = |letter| options.contains(&letter);
        if !options.iter().all(|letter| b"imsxu".contains(letter)) {
            return Err(refused("options other than i, m, s, x and u"));
        }
        let translated = translate(text, has(b'm')).map_err(refused)?;
        let regex = RegexBuilder::new(&translated)
            .case_insensitive(has(b'i'))
            .multi_line(has(b'm'))
            .dot_matches_new_line(has(b's'))
            .ignore_whitespace(has(b'x'))
            .build()
            .map_err(|source| QueryError::Regex { pattern: shown(), source: Box::new(source) })?;
        let value = [pattern, &[0], options, &[0]].concat();
        Ok(Pattern { regex, value })
    }

    pub fn matches(&self, element: &Element<'_>) -> bool {
        match element.kind {
            kind::STRING | kind::SYMBOL => {
                let text = element.as_str().map(std::str::from_utf8);
                text.is_some_and(|text| text.is_ok_and(|text| self.regex.is_match(text)))
            }
            kind::REGEX => element.value == self.value,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::OwnedValue;

    fn finds(pattern: &str, options: &str, text: &str) -> bool {
        let pattern = Pattern::new(pattern.as_bytes(), options.as_bytes()).unwrap();
        pattern.matches(&OwnedValue::string(text).element())
    }

    #[test]
    fn classes_are_ascii_and_ends_are_lenient() {
        assert!(finds("^\\w+$", "", "abc_9"));
        assert!(!finds("^\\w+$", "", "größe"));
        assert!(finds("GRÖSSE|größe", "i", "GRÖßE"));
        assert!(finds("b$", "", "ab\n"));
        assert!(!finds("a$", "", "a\nb"));
        assert!(finds("a$", "m", "a\nb"));
        assert!(finds("a.b", "s", "a\nb") && !finds("a.b", "", "a\nb"));
        assert!(finds("a b # c", "x", "ab"));
        assert!(finds("[ #]", "x", "#"));
        assert!(finds("[]a[&&]", "", "]") && finds("[]a[&&]", "", "["));
        assert!(finds("^[[:alpha:]\\d-]+$", "", "a-1"));
        assert!(finds("\\<a\\/", "", "<a/"));
        assert!(finds("[^\\W]", "", "a") && !finds("[\\W]", "", "a"));
        assert!(finds("x?", "", "") && finds("a{2}?", "", "aa"));
        assert!(finds("a\\ b", "x", "a b") && finds("^a{b}$", "", "a{b}"));
    }

    #[test]
    fn what_would_be_understood_otherwise_is_refused() {
        for pattern in [
            "a++",
            "a*+",
            "a{2}+",
            "a?+",
            "(a)\\1",
            "\\Ra",
            "(*UTF)a",
            "a\\",
            "(?=a)",
            "(",
            "(?m)a$",
            "(?i-m:a)",
            "(?x)a b",
            "(?R)",
            "[a",
            "[\\Z]",
            "[[:odd:]]",
            "a{,2}",
        ] {
            assert!(Pattern::new(pattern.as_bytes(), b"").is_err(), "{pattern}");
        }
        assert!(Pattern::new(b"a", b"g").is_err());
        assert!(Pattern::new(b"\xff", b"").is_err());
    }

    #[test]
    fn a_pattern_is_its_own_equal() {
        let pattern = Pattern::new(b"a", b"i").unwrap();
        let of = |value: &[u8]| OwnedValue { kind: kind::REGEX, bytes: value.to_vec() };
        assert!(pattern.matches(&of(b"a\0i\0").element()));
        assert!(!pattern.matches(&of(b"a\0\0").element()));
    }
}
