//! Which entries of a snapshot are wanted: patterns as in a .gitignore.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::source::files::line_of;

/// A pattern that means nothing.
#[derive(Debug, thiserror::Error)]
#[error("no pattern: {pattern}")]
pub struct BadPattern {
    pub pattern: String,
    pub source: ignore::Error,
}

/// Patterns are matched against the path within the snapshot; one that starts with `/` only from
/// its top, any other at any depth, as when it was backed up.
#[derive(Debug)]
pub struct Selection {
    include: Option<Gitignore>,
    exclude: Option<Gitignore>,
    met: Vec<Met>,
    met_by_exclude: Vec<Met>,
}

/// One pattern by itself, and whether anything was met that it matches.
#[derive(Debug)]
struct Met {
    pattern: String,
    alone: Gitignore,
    was: AtomicBool,
}

/// What the patterns say of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Yes,
    /// Not itself, but something below it may be.
    PerhapsBelow,
    /// Nor anything below it.
    No,
}

impl Selection {
    /// No includes: everything but what is excluded.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, BadPattern> {
        Ok(Selection {
            include: compile(include)?,
            exclude: compile(exclude)?,
            met: each_alone(include)?,
            met_by_exclude: each_alone(exclude)?,
        })
    }

    /// The includes that have matched nothing so far.
    pub fn unmatched(&self) -> Vec<&str> {
        unmet(&self.met)
    }

    /// The same of the excludes. What lies below a directory that another one left out was not
    /// looked at.
    pub fn unmatched_excludes(&self) -> Vec<&str> {
        unmet(&self.met_by_exclude)
    }

    /// There are includes, and none has matched anything.
    pub(super) fn is_in_vain(&self) -> bool {
        !self.met.is_empty() && self.unmatched().len() == self.met.len()
    }

    /// `key`: of the entry in the snapshot. `inherited`: a directory above it is included.
    pub(super) fn judge(&self, key: &[u8], is_dir: bool, inherited: bool) -> Wanted {
        if self.include.is_none() && self.exclude.is_none() {
            return Wanted::Yes;
        }
        let path: Vec<u8> = key.iter().map(|&byte| if byte == 0 { b'/' } else { byte }).collect();
        let path = Path::new(OsStr::from_bytes(&path));
        let hits = |patterns: &Gitignore| patterns.matched(path, is_dir).is_ignore();
        let all = self.met.iter().chain(&self.met_by_exclude);
        for met in all.filter(|met| !met.was.load(Relaxed)) {
            met.was.store(hits(&met.alone), Relaxed);
        }
        if self.exclude.as_ref().is_some_and(hits) {
            return Wanted::No;
        }
        match &self.include {
            Some(include) if !inherited && !hits(include) => match is_dir {
                true => Wanted::PerhapsBelow,
                false => Wanted::No,
            },
            _ => Wanted::Yes,
        }
    }
}

/// Those that take nothing back.
fn each_alone(patterns: &[String]) -> Result<Vec<Met>, BadPattern> {
    let mut all = Vec::new();
    for pattern in patterns.iter().filter(|pattern| !pattern.starts_with('!')) {
        let alone = compile(std::slice::from_ref(pattern))?;
        let was = AtomicBool::new(false);
        all.extend(alone.map(|alone| Met { pattern: pattern.clone(), alone, was }));
    }
    Ok(all)
}

fn unmet(all: &[Met]) -> Vec<&str> {
    let unmet = all.iter().filter(|met| !met.was.load(Relaxed));
    unmet.map(|met| met.pattern.as_str()).collect()
}

fn compile(patterns: &[String]) -> Result<Option<Gitignore>, BadPattern> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let bad = |pattern: &str, source| BadPattern { pattern: pattern.to_owned(), source };
    let mut builder = GitignoreBuilder::new("");
    builder.allow_unclosed_class(false);
    for pattern in patterns {
        builder.add_line(None, &line_of(pattern)).map_err(|source| bad(pattern, source))?;
    }
    let built = builder.build().map_err(|source| bad(&patterns.join(" "), source))?;
    Ok(Some(built))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(include: &[&str], exclude: &[&str], key: &[u8], is_dir: bool) -> Wanted {
        let owned = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let selection = Selection::new(&owned(include), &owned(exclude)).unwrap();
        selection.judge(key, is_dir, false)
    }

    #[test]
    fn patterns_mean_what_they_mean_in_a_gitignore() {
        assert_eq!(judged(&[], &[], b"a", false), Wanted::Yes);
        assert_eq!(judged(&[], &["*.log"], b"srv\0a.log", false), Wanted::No);
        assert_eq!(judged(&[], &["/srv/*.log"], b"srv\0a.log", false), Wanted::No);
        assert_eq!(judged(&[], &["/a.log"], b"srv\0a.log", false), Wanted::Yes);
        assert_eq!(judged(&[], &["tmp/"], b"srv\0tmp", false), Wanted::Yes);
        assert_eq!(judged(&[], &["tmp/"], b"srv\0tmp", true), Wanted::No);
        assert_eq!(judged(&[], &["*.log", "!b.log"], b"b.log", false), Wanted::Yes);
        assert_eq!(judged(&[], &["caf\u{e9}"], b"caf\xe9", false), Wanted::Yes);
    }

    /// As `backup --exclude` reads it: what was given there may be given here.
    #[test]
    fn a_slash_in_the_middle_anchors_nothing() {
        for pattern in ["xs/d", "xs/*", "*s/d", "./xs/d", "/tmp/xs/d"] {
            assert_eq!(judged(&[], &[pattern], b"tmp\0xs\0d", false), Wanted::No, "{pattern}");
            assert_eq!(judged(&[pattern], &[], b"tmp\0xs\0d", false), Wanted::Yes, "{pattern}");
        }
        assert_eq!(judged(&[], &["/xs/d"], b"tmp\0xs\0d", false), Wanted::Yes);
        assert_eq!(judged(&["#x"], &[], b"a\0#x", false), Wanted::Yes);
    }

    #[test]
    fn an_include_wants_what_it_names_and_what_lies_below() {
        assert_eq!(judged(&["/srv/app"], &[], b"srv", true), Wanted::PerhapsBelow);
        assert_eq!(judged(&["/srv/app"], &[], b"srv\0app", true), Wanted::Yes);
        assert_eq!(judged(&["/srv/app"], &[], b"srv\0x", false), Wanted::No);
        let selection = Selection::new(&["app".into()], &["*.o".into()]).unwrap();
        assert_eq!(selection.judge(b"app\0main.c", false, true), Wanted::Yes);
        assert_eq!(selection.judge(b"app\0main.o", false, true), Wanted::No);
    }

    #[test]
    fn includes_that_match_nothing_are_known() {
        let include = ["/srv".to_owned(), "*.c".into(), "*.h".into(), "!x".into()];
        let selection = Selection::new(&include, &["*.h".into()]).unwrap();
        assert!(selection.is_in_vain());
        selection.judge(b"etc", true, false);
        selection.judge(b"srv", true, false);
        assert_eq!((selection.unmatched(), selection.is_in_vain()), (vec!["*.c", "*.h"], false));
        selection.judge(b"srv\0main.c", false, true);
        selection.judge(b"srv\0main.h", false, true);
        assert!(selection.unmatched().is_empty(), "what is excluded was there");
        assert!(!Selection::new(&[], &[]).unwrap().is_in_vain());
    }

    #[test]
    fn excludes_that_match_nothing_are_known() {
        let exclude = ["*.c".to_owned(), "/opt".into(), "!keep.c".into()];
        let selection = Selection::new(&[], &exclude).unwrap();
        assert_eq!(selection.unmatched_excludes(), ["*.c", "/opt"]);
        selection.judge(b"srv\0main.c", false, false);
        assert_eq!(selection.unmatched_excludes(), ["/opt"]);
        assert!(!selection.is_in_vain(), "only includes can be that");
    }

    #[test]
    fn a_pattern_that_is_none_is_an_error() {
        assert!(Selection::new(&["a[z-a]".into()], &[]).is_err());
    }
}
