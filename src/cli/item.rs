//! One entry of a snapshot, as a line for people or a document for programs.

use icecore::{
    format::entry::{FileType, Kind, Time},
    verbs::entries::Item,
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{failure::Failure, screen::Screen, units};

/// A line of `ls`: the path, or with `long` what `ls -l` shows before it.
pub fn show(item: &Item, long: bool, screen: &mut Screen) -> Result<(), Failure> {
    if long {
        let entry = &item.entry;
        let owner = |name: &str, number: u32| match name {
            "" => number.to_string(),
            name => name.to_owned(),
        };
        screen.bytes(
            format!(
                "{} {:>8} {:>8} {:>11} {} ",
                permissions(item),
                owner(&entry.user, entry.uid),
                owner(&entry.group, entry.gid),
                entry.size,
                timestamp(entry.mtime).map_or_else(|| "?".into(), units::local),
            )
            .as_bytes(),
        )?;
    }
    screen.path(&item.path())?;
    if let (true, Kind::Symlink { target }) = (long, &item.entry.kind) {
        screen.bytes(b" -> ")?;
        screen.path(target)?;
    }
    screen.bytes(b"\n")
}

/// The entry in restic's words. A name that is not UTF-8 is shown lossily, and exactly in
/// `path_base16`.
pub fn document(item: &Item) -> Map<String, Value> {
    let entry = &item.entry;
    let path = item.path();
    let mut fields = json!({
        "name": String::from_utf8_lossy(item.name()),
        "type": type_word(entry.kind.file_type()),
        "path": String::from_utf8_lossy(&path),
        "uid": entry.uid,
        "gid": entry.gid,
        "user": &*entry.user,
        "group": &*entry.group,
        "mode": entry.mode,
        "permissions": permissions(item),
        "mtime": timestamp(entry.mtime),
        "ctime": timestamp(entry.ctime),
        "inode": entry.inode,
        "links": entry.nlink,
    });
    let fields = fields.as_object_mut().expect("an object was written");
    if entry.kind == Kind::File {
        fields.insert("size".into(), entry.size.into());
    }
    if let Kind::Symlink { target } = &entry.kind {
        fields.insert("linktarget".into(), String::from_utf8_lossy(target).into());
    }
    if std::str::from_utf8(&path).is_err() {
        fields.insert("path_base16".into(), hex::encode(&path).into());
    }
    std::mem::take(fields)
}

fn timestamp(time: Time) -> Option<Timestamp> {
    Timestamp::new(time.seconds, i32::try_from(time.nanos).ok()?).ok()
}

fn type_word(file_type: FileType) -> &'static str {
    match file_type {
        FileType::File => "file",
        FileType::Dir => "dir",
        FileType::Symlink => "symlink",
        FileType::Fifo => "fifo",
        FileType::Char => "chardev",
        FileType::Block => "dev",
        FileType::Socket => "socket",
    }
}

/// `drwxr-sr-t`.
fn permissions(item: &Item) -> String {
    let mode = item.entry.mode;
    let mut text = String::with_capacity(10);
    text.push(match item.entry.kind.file_type() {
        FileType::File => '-',
        FileType::Dir => 'd',
        FileType::Symlink => 'l',
        FileType::Fifo => 'p',
        FileType::Char => 'c',
        FileType::Block => 'b',
        FileType::Socket => 's',
    });
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & 1 != 0, mode & special != 0) {
            (true, false) => 'x',
            (false, false) => '-',
            (true, true) => letter,
            (false, true) => letter.to_ascii_uppercase(),
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use icecore::{format::entry::Entry, tree::Pieces};

    use super::*;

    #[test]
    fn modes_read_as_in_ls() {
        for (kind, mode, text) in [
            (Kind::File, 0o644, "-rw-r--r--"),
            (Kind::Dir, 0o1777, "drwxrwxrwt"),
            (Kind::File, 0o4755, "-rwsr-xr-x"),
            (Kind::File, 0o6644, "-rwSr-Sr--"),
            (Kind::Fifo, 0, "p---------"),
            (Kind::Dir, 0o1770, "drwxrwx--T"),
        ] {
            let entry = Entry { kind, mode, ..Entry::default() };
            let item = Item { key: Bytes::new(), entry, pieces: Pieces::None };
            assert_eq!(permissions(&item), text);
        }
    }
}
