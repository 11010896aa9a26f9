//! Find: entries of a snapshot whose name or path matches a pattern.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::{
    Error,
    entries::{self, Item},
};
use crate::{
    format::entry::{self, FileType},
    repo::ReadBlobs,
    source::files::at_any_depth,
    tree::{self, KeyRange, Root},
};

/// What to look for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Without a slash: of names. With one: of whole paths if it begins with it, else of what a
    /// path ends with, at any depth.
    pub patterns: Vec<String>,
    /// The same, byte by byte: a name that is not UTF-8 can be no pattern.
    pub names: Vec<Vec<u8>>,
    pub ignore_case: bool,
    /// Only entries of this sort.
    pub file_type: Option<FileType>,
}

/// A pattern that means nothing.
#[derive(Debug, thiserror::Error)]
#[error("`{pattern}` is no pattern")]
pub struct BadPattern {
    pub pattern: String,
    pub source: globset::Error,
}

/// The options, ready to be asked of many entries.
#[derive(Debug)]
pub struct Matcher {
    names: GlobSet,
    paths: GlobSet,
    /// Names and paths as they are.
    plain: Vec<Vec<u8>>,
    file_type: Option<FileType>,
}

impl Matcher {
    pub fn new(options: &Options) -> Result<Matcher, BadPattern> {
        let bad = |pattern: &str, source| BadPattern { pattern: pattern.to_owned(), source };
        let set = |with_slash: bool| {
            let mut set = GlobSetBuilder::new();
            for pattern in &options.patterns {
                let anywhere = at_any_depth(pattern);
                if anywhere.contains('/') == with_slash {
                    let glob = glob(&anywhere, options.ignore_case);
                    set.add(glob.map_err(|source| bad(pattern, source))?);
                }
            }
            set.build().map_err(|source| bad(&options.patterns.join(" "), source))
        };
        let (names, paths, plain) = (set(false)?, set(true)?, options.names.clone());
        Ok(Matcher { names, paths, plain, file_type: options.file_type })
    }

    fn takes_key(&self, key: &[u8]) -> bool {
        let is_match = |set: &GlobSet, bytes: &[u8]| {
            !set.is_empty() && set.is_match_candidate(&globset::Candidate::from_bytes(&bytes))
        };
        is_match(&self.names, entry::name_of_key(key))
            || is_match(&self.paths, &entry::path_of_key(key))
            || self.plain.iter().any(|plain| match plain.iter().position(|&byte| byte == b'/') {
                Some(0) => *plain == entry::path_of_key(key),
                Some(_) => entry::path_of_key(key).ends_with(&[b"/", &plain[..]].concat()),
                None => plain == entry::name_of_key(key),
            })
    }
}

fn glob(pattern: &str, ignore_case: bool) -> Result<globset::Glob, globset::Error> {
    let mut builder = GlobBuilder::new(pattern);
    builder.literal_separator(true).case_insensitive(ignore_case).backslash_escape(true);
    builder.build()
}

/// Everything in the tree that matches, in the order of keys. What can't be read is an error, and
/// what can be read behind it follows.
pub fn find<'a, R: ReadBlobs>(
    reader: &'a R,
    root: &Root,
    matcher: &'a Matcher,
) -> impl Iterator<Item = Result<Item, Error<R::Error>>> + use<'a, R> {
    let mut iter = tree::iter(reader, root, KeyRange::all()).going_on();
    std::iter::from_fn(move || {
        loop {
            let (key, value) = match iter.next()? {
                Ok(found) => found,
                Err(error) => return Some(Err(entries::lost(iter.lost(), error))),
            };
            if !matcher.takes_key(&key) {
                continue;
            }
            let item = match Item::of(key, value) {
                Ok(item) => item,
                Err(error) => return Some(Err(error)),
            };
            if matcher.file_type.is_none_or(|wanted| wanted == item.entry.kind.file_type()) {
                return Some(Ok(item));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths() {
        let takes = |pattern: &str, ignore_case, key: &[u8]| {
            let patterns = vec![pattern.to_owned()];
            let options = Options { patterns, ignore_case, ..Options::default() };
            Matcher::new(&options).unwrap().takes_key(key)
        };
        assert!(takes("fstab", false, b"etc\0fstab"));
        assert!(takes("*.SQL", true, b"srv\0dump.sql"));
        assert!(!takes("*.SQL", false, b"srv\0dump.sql"));
        assert!(takes("/etc/*", false, b"etc\0fstab"));
        assert!(!takes("/etc/*", false, b"etc\0ssh\0config"), "a star stops at a slash");
        assert!(takes("/etc/**/config", false, b"etc\0ssh\0config"));
        for pattern in ["xs/d", "xs/*", "*s/d", "./xs/d", "tmp/xs/d", "/tmp/xs/d"] {
            assert!(takes(pattern, false, b"tmp\0xs\0d"), "{pattern}");
        }
        assert!(!takes("/xs/d", false, b"tmp\0xs\0d"));
        assert!(!takes("xs/d", false, b"tmp\0mxs\0d") && !takes("xs/d", false, b"xs\0d\0e"));
        assert!(takes("*\u{fffd}*", false, b"caf\xe9") || takes("caf?", false, b"caf\xe9"));
        assert!(!takes("fstab", false, b"etc\0fstab\0x"));
        let names = vec![b"caf\xe9".to_vec(), b"/srv/\xff".to_vec()];
        let plain = Matcher::new(&Options { names, ..Options::default() }).unwrap();
        assert!(plain.takes_key(b"srv\0caf\xe9") && plain.takes_key(b"srv\0\xff"));
        let below = Options { names: vec![b"srv/\xff".to_vec()], ..Options::default() };
        let below = Matcher::new(&below).unwrap();
        assert!(below.takes_key(b"a\0srv\0\xff") && !below.takes_key(b"a\0nsrv\0\xff"));
        assert!(!plain.takes_key(b"srv\0cafe") && !plain.takes_key(b"etc\0\xff"));
        let bad = Options { patterns: vec!["a[".into()], ..Options::default() };
        assert!(Matcher::new(&bad).is_err());
    }
}
