//! What an object is called: a relative path of plain components.

use std::fmt;

/// Components of `[a-z0-9._-]`, joined by `/`; none empty, none starting with a dot.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// `None` when the text is not a name (a store may hold strangers' files; listings skip them).
    pub fn parse(text: &str) -> Option<Name> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        let good = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.chars().all(plain)
                && part.len() < 200
        };
        (text.len() < 1000 && text.split('/').all(good)).then(|| Name(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part after the last `/`.
    pub fn last(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

/// Prefixes are directories written by this program itself, so a bad one is a mistake in it; a
/// listing that came out empty for that reason would be a disaster.
pub(super) fn assert_prefix(prefix: &str) {
    assert!(prefix.is_empty() || Name::parse(prefix).is_some(), "not a prefix: {prefix:?}");
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside() {
        for good in ["config", "packs/0a/0abc", "sessions/1f/hb-3"] {
            assert_eq!(Name::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "/x", "x/", "a//b", "..", "a/../b", ".tmp", "a/.x", "A", "a b", "é"] {
            assert_eq!(Name::parse(bad), None, "{bad}");
        }
    }
}
