//! What the person does not want: gitignore patterns over absolute paths.
//!
//! As in restic: a pattern that begins with `/` is anchored at the root of the file system, any
//! other matches at any depth, also when it holds a slash (`target/debug`). The rest is gitignore:
//! `*` and `?` do not match `/`, `**` does, a trailing `/` wants a directory, `!` takes back what
//! an earlier pattern excluded, the last match decides, and what is below an excluded directory is
//! not looked at.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::source::Error;

/// Patterns, made ready.
#[derive(Debug, Clone)]
pub struct Excludes {
    patterns: Gitignore,
}

impl Default for Excludes {
    fn default() -> Self {
        Excludes { patterns: Gitignore::empty() }
    }
}

impl Excludes {
    /// In the order given; later ones win.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Excludes, Error> {
        let mut builder = GitignoreBuilder::new("");
        builder.allow_unclosed_class(false);
        for pattern in patterns {
            builder
                .add_line(None, &line_of(pattern))
                .map_err(|source| Error::Pattern { pattern: pattern.to_owned(), source })?;
        }
        Ok(Excludes { patterns: builder.build().map_err(Error::Patterns)? })
    }

    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// `path` has no slash at its beginning; what is above it was asked before.
    pub fn exclude(&self, path: &[u8], is_dir: bool) -> bool {
        self.patterns.matched(OsStr::from_bytes(path), is_dir).is_ignore()
    }
}

/// The patterns of an exclude file: its lines, without empty ones and comments.
pub fn patterns_in(text: &str) -> impl Iterator<Item = &str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
}

/// What `pattern` means, as a line of a .gitignore that is read at the root. Every verb that takes
/// patterns asks here, so that one pattern means the same to all.
pub fn line_of(pattern: &str) -> String {
    let (not, body) = match pattern.strip_prefix('!') {
        Some(body) => ("!", body),
        None => ("", pattern),
    };
    let body = at_any_depth(body);
    // Given on a command line, `#x` is a pattern.
    let escape = if not.is_empty() && body.starts_with('#') { "\\" } else { "" };
    format!("{not}{escape}{body}")
}

/// The same of a pattern that takes nothing back: where it does not begin with a slash, it may
/// match at any depth, and says so.
pub fn at_any_depth(body: &str) -> String {
    let body = body.strip_prefix("./").unwrap_or(body);
    let anchored = body.starts_with('/') || body.starts_with("**/");
    match !anchored && body.trim_end().trim_end_matches('/').contains('/') {
        true => format!("**/{body}"),
        false => body.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excluded(patterns: &[&str], path: &str) -> bool {
        let excludes = Excludes::new(patterns.iter().copied()).unwrap();
        let (path, is_dir) = match path.strip_suffix('/') {
            Some(path) => (path, true),
            None => (path, false),
        };
        excludes.exclude(path.as_bytes(), is_dir)
    }

    #[test]
    fn table() {
        for (patterns, yes, no) in [
            (&["*.o"][..], &["a.o", "srv/b.o", "srv/x.o/"][..], &["a.oo", "o"][..]),
            (&["cache"], &["cache", "srv/cache", "srv/cache/"], &["srv/cached", "mycache"]),
            (&["cache/"], &["srv/cache/"], &["srv/cache"]),
            (&["/srv"], &["srv", "srv/"], &["home/srv"]),
            (&["/srv/*.log"], &["srv/a.log"], &["srv/x/a.log", "x/srv/a.log"]),
            (&["target/debug"], &["target/debug", "a/b/target/debug/"], &["debug", "target/x"]),
            (&["./target/debug"], &["a/target/debug/"], &["target"]),
            (&["target/*.d"], &["a/target/x.d"], &["a/target/y/x.d"]),
            (&["/home/*/tmp"], &["home/ada/tmp/"], &["home/tmp", "home/a/b/tmp"]),
            (&["/home/**/tmp"], &["home/tmp", "home/a/b/tmp"], &["tmp"]),
            (&["a/**"], &["a/x", "b/a/x"], &["a/"]),
            (&["*.o", "!keep.o"], &["x.o"], &["keep.o", "srv/keep.o"]),
            (&["*.o", "!lib/keep.o"], &["keep.o"], &["lib/keep.o", "srv/lib/keep.o"]),
            (&["!keep.o", "*.o"], &["keep.o"], &[]),
            (&["#x"], &["#x", "a/#x"], &["x"]),
            (&["\\!x", "\\#y"], &["!x", "#y"], &["x"]),
            (&["a?c", "[xyz]1"], &["abc", "y1"], &["ac", "a/c", "w1"]),
            (&["ä*"], &["ärger"], &["arger"]),
            (&["*"], &["anything", "srv/"], &[]),
        ] {
            for path in yes {
                assert!(excluded(patterns, path), "{patterns:?} must exclude {path}");
            }
            for path in no {
                assert!(!excluded(patterns, path), "{patterns:?} must not exclude {path}");
            }
        }
    }

    #[test]
    fn names_of_any_bytes() {
        let excludes = Excludes::new(["*.tmp", "caf?"]).unwrap();
        assert!(excludes.exclude(b"a/\xff\xfe.tmp", false));
        assert!(!excludes.exclude(b"a/\xff\xfe.tmpx", false));
    }

    #[test]
    fn a_bad_pattern_is_named() {
        let refused = Excludes::new(["ok", "a[z"]);
        assert!(matches!(refused, Err(Error::Pattern { pattern, .. }) if pattern == "a[z"));
    }

    #[test]
    fn lines_of_an_exclude_file() {
        let text = "\u{feff}*.o\r\n\n# comment\n   \n!x\n\\#y";
        assert_eq!(patterns_in(text).collect::<Vec<_>>(), ["*.o", "!x", "\\#y"]);
    }
}
