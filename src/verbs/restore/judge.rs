//! What is to be done about an entry, given what the target has under its name.

use crate::{
    format::entry::Time,
    sink::{Found, FoundKind},
};

/// What to do with something that exists and differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Conflict {
    /// Leave it and count a conflict.
    Fail,
    /// Leave it.
    Skip,
    #[default]
    Overwrite,
    /// Overwrite what is older by its modification time.
    Newest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Create,
    /// Size and time, or what else stands for its content, and metadata: nothing to do.
    Same,
    /// As `Same` but for its metadata.
    Settle,
    /// Something differing stands there and goes.
    Replace,
    /// It stays, by the user's word.
    Skip,
    /// It stays, and the user hears of it.
    Conflict,
}

impl Verdict {
    /// Whether it is one about a file only if the content is right too, and so to be read before
    /// anything else. `Skip` and `Newest` leave what is there by its time alone.
    pub fn rests_on_content(self, conflict: Conflict) -> bool {
        matches!(self, Verdict::Same | Verdict::Settle)
            && matches!(conflict, Conflict::Overwrite | Conflict::Fail)
    }

    /// What such a one becomes when it is not.
    pub fn of_other_content(conflict: Conflict) -> Self {
        if conflict == Conflict::Fail { Verdict::Conflict } else { Verdict::Replace }
    }
}

/// What of an entry is compared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    pub kind: FoundKind,
    pub size_bytes: u64,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: Time,
    pub rdev: u64,
}

/// For all but directories. A symbolic link that points where it should counts as same whatever
/// its time: `link_is_right` says so.
pub(super) fn judge(
    wish: &Wish,
    found: Option<&Found>,
    conflict: Conflict,
    link_is_right: bool,
) -> Verdict {
    let Some(found) = found else { return Verdict::Create };
    let content = found.kind == wish.kind
        && match wish.kind {
            FoundKind::File => found.size_bytes == wish.size_bytes && found.mtime == wish.mtime,
            FoundKind::Symlink => link_is_right,
            FoundKind::Char | FoundKind::Block => found.rdev == wish.rdev,
            FoundKind::Fifo | FoundKind::Socket => true,
            FoundKind::Dir => false,
        };
    let may_touch = match conflict {
        Conflict::Overwrite => true,
        Conflict::Newest => wish.mtime > found.mtime || (content && wish.mtime == found.mtime),
        Conflict::Fail | Conflict::Skip => false,
    };
    match content {
        true if !may_touch || same_metadata(wish, found) => Verdict::Same,
        // What has other links may be someone's file outside: it is made anew instead.
        true if found.nlink > 1 => Verdict::Replace,
        true => Verdict::Settle,
        false if may_touch => Verdict::Replace,
        false if conflict == Conflict::Fail => Verdict::Conflict,
        false => Verdict::Skip,
    }
}

fn same_metadata(wish: &Wish, found: &Found) -> bool {
    let mode = wish.kind == FoundKind::Symlink || found.mode == wish.mode;
    mode && (found.uid, found.gid, found.mtime) == (wish.uid, wish.gid, wish.mtime)
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Time = Time { seconds: 100, nanos: 5 };

    fn wish() -> Wish {
        Wish {
            kind: FoundKind::File,
            size_bytes: 10,
            mode: 0o644,
            uid: 1,
            gid: 2,
            mtime: T,
            rdev: 0,
        }
    }

    fn found() -> Found {
        Found {
            kind: FoundKind::File,
            size_bytes: 10,
            mode: 0o644,
            uid: 1,
            gid: 2,
            mtime: T,
            nlink: 1,
            dev: 9,
            inode: 9,
            rdev: 0,
        }
    }

    fn at(found: Found, conflict: Conflict) -> Verdict {
        judge(&wish(), Some(&found), conflict, false)
    }

    #[test]
    fn what_is_there_already_is_left_alone_by_every_policy() {
        for conflict in [Conflict::Fail, Conflict::Skip, Conflict::Overwrite, Conflict::Newest] {
            assert_eq!(at(found(), conflict), Verdict::Same);
            assert_eq!(judge(&wish(), None, conflict, false), Verdict::Create);
        }
    }

    #[test]
    fn each_policy_has_its_way_with_what_differs() {
        let older = Found { mtime: Time { seconds: 99, nanos: 9 }, ..found() };
        let newer = Found { mtime: Time { seconds: 100, nanos: 6 }, ..found() };
        let cases = [
            (Conflict::Fail, Verdict::Conflict, Verdict::Conflict),
            (Conflict::Skip, Verdict::Skip, Verdict::Skip),
            (Conflict::Overwrite, Verdict::Replace, Verdict::Replace),
            (Conflict::Newest, Verdict::Replace, Verdict::Skip),
        ];
        for (conflict, when_older, when_newer) in cases {
            assert_eq!((at(older, conflict), at(newer, conflict)), (when_older, when_newer));
        }
        let other_size = Found { size_bytes: 11, ..found() };
        assert_eq!(at(other_size, Conflict::Newest), Verdict::Skip);
        let a_dir = Found { kind: FoundKind::Dir, ..found() };
        assert_eq!(at(a_dir, Conflict::Fail), Verdict::Conflict);
    }

    #[test]
    fn metadata_is_set_only_on_a_file_without_other_links() {
        let other_mode = Found { mode: 0o600, ..found() };
        assert_eq!(at(other_mode, Conflict::Overwrite), Verdict::Settle);
        assert_eq!(at(other_mode, Conflict::Skip), Verdict::Same);
        let linked = Found { nlink: 2, ..other_mode };
        assert_eq!(at(linked, Conflict::Overwrite), Verdict::Replace);
    }
}
