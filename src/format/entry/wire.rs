//! The bytes of an entry.

use std::sync::Arc;

use serde::{
    Deserialize, Serialize, Serializer,
    de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_bytes::Bytes;

use super::{Entry, FileType, Kind, Stat, Time, Xattr};
use crate::{format::Error, limits::VALUE_HEAD_MAX_BYTES};

const WHAT: &str = "a file entry";
const MODE_MAX: u32 = 0o7777;
const NANOS_MAX: u32 = 999_999_999;

/// What tells whether an entry may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatKey {
    pub file_type: FileType,
    pub size: u64,
    pub mtime: Time,
    pub ctime: Time,
    pub inode: u64,
    /// Permission bits, 07777.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

impl StatKey {
    /// Of a directory that others keep things in, too: its times and its place say nothing.
    pub fn is_same_but_for_content(&self, other: &StatKey) -> bool {
        let of = |key: &StatKey| (key.file_type, key.mode, key.uid, key.gid);
        of(self) == of(other)
    }

    pub fn of(stat: &Stat) -> StatKey {
        StatKey {
            file_type: stat.file_type,
            size: stat.size,
            mtime: stat.mtime,
            ctime: stat.ctime,
            inode: stat.inode,
            mode: stat.mode,
            uid: stat.uid,
            gid: stat.gid,
        }
    }

    /// Of an encoded entry, without taking the rest of it apart or allocating anything. It may
    /// be asked of every entry of a tree in a merge.
    pub fn decode(bytes: &[u8]) -> Result<StatKey, Error> {
        let known: Known = read(bytes)?;
        Ok(StatKey {
            file_type: file_type(known.k)?,
            size: known.s,
            mtime: time(known.t)?,
            ctime: time(known.c)?,
            inode: known.i,
            mode: known.m,
            uid: known.u,
            gid: known.g,
        })
    }
}

impl Entry {
    /// Appends the entry's bytes. An entry that is larger than a tree takes (attributes beyond
    /// reason) is refused, and `out` left as it was.
    pub fn encode_into(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        let start = out.len();
        rmp_serde::encode::write_named(out, &Out::of(self))
            .map_err(|source| Error::Unwritable { what: WHAT, source })?;
        let length = out.len() - start;
        if length > VALUE_HEAD_MAX_BYTES {
            out.truncate(start);
            return Err(impossible("its length", length as u64));
        }
        Ok(())
    }

    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut out = Vec::with_capacity(128);
        self.encode_into(&mut out)?;
        Ok(out)
    }

    /// Refuses what can't be (modes, nanoseconds, names with NUL), whoever wrote it.
    pub fn decode(bytes: &[u8]) -> Result<Entry, Error> {
        read::<In<'_>>(bytes)?.entry()
    }
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Error> {
    if bytes.len() > VALUE_HEAD_MAX_BYTES {
        return Err(impossible("its length", bytes.len() as u64));
    }
    let unreadable = |source| Error::Record { what: WHAT, source };
    let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
    let read = T::deserialize(&mut reader).map_err(unreadable)?;
    // The reader does not tell where it is, but one that is at the end finds nothing more.
    if let Err(rmp_serde::decode::Error::InvalidMarkerRead(_)) = Begun::deserialize(&mut reader) {
        return Ok(read);
    }
    let mut left = bytes;
    rmp_serde::from_read::<_, IgnoredAny>(&mut left).map_err(unreadable)?;
    Err(Error::Trailing { what: WHAT, bytes: left.len() })
}

/// Anything that begins. Unlike `IgnoredAny` it does not look into lists and maps, where it would
/// meet the end of the bytes as well.
struct Begun;

impl<'de> Deserialize<'de> for Begun {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Begun, D::Error> {
        from.deserialize_any(Begun)
    }
}

impl<'de> Visitor<'de> for Begun {
    type Value = Begun;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("nothing")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Begun, A::Error> {
        Err(A::Error::custom("a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Begun, A::Error> {
        Err(A::Error::custom("a map"))
    }
}

fn impossible(field: &'static str, found: u64) -> Error {
    Error::Impossible { what: WHAT, field, found }
}

fn file_type(letter: u8) -> Result<FileType, Error> {
    Ok(match letter {
        0 => FileType::File,
        b'd' => FileType::Dir,
        b'l' => FileType::Symlink,
        b'p' => FileType::Fifo,
        b'c' => FileType::Char,
        b'b' => FileType::Block,
        b's' => FileType::Socket,
        other => return Err(impossible("its kind", other.into())),
    })
}

type Pair = (i64, u32);

/// An entry as it is written. The order of the fields is part of the format: the same entry has
/// the same bytes.
#[derive(Serialize)]
struct Out<'a> {
    #[serde(skip_serializing_if = "is_default")]
    k: u8,
    #[serde(skip_serializing_if = "is_default")]
    s: u64,
    #[serde(skip_serializing_if = "is_default")]
    m: u32,
    #[serde(skip_serializing_if = "is_default")]
    u: u32,
    #[serde(skip_serializing_if = "is_default")]
    g: u32,
    #[serde(rename = "U", skip_serializing_if = "str::is_empty")]
    user: &'a str,
    #[serde(rename = "G", skip_serializing_if = "str::is_empty")]
    group: &'a str,
    #[serde(skip_serializing_if = "is_default")]
    t: Pair,
    #[serde(skip_serializing_if = "is_default")]
    c: Pair,
    #[serde(skip_serializing_if = "is_default")]
    i: u64,
    #[serde(skip_serializing_if = "is_default")]
    d: u64,
    #[serde(skip_serializing_if = "is_one")]
    n: u32,
    #[serde(skip_serializing_if = "is_default")]
    r: u64,
    #[serde(skip_serializing_if = "is_empty")]
    l: &'a Bytes,
    #[serde(skip_serializing_if = "Attributes::is_empty")]
    x: Attributes<'a>,
    #[serde(skip_serializing_if = "is_empty")]
    b: &'a Bytes,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn is_one(value: &u32) -> bool {
    *value == 1
}

fn is_empty(value: &Bytes) -> bool {
    value.is_empty()
}

struct Attributes<'a>(&'a [Xattr]);

impl Attributes<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pairs = self.0.iter().map(|(name, value)| (Bytes::new(name), Bytes::new(value)));
        serializer.collect_seq(pairs)
    }
}

impl<'a> Out<'a> {
    fn of(entry: &'a Entry) -> Out<'a> {
        let (rdev, target): (u64, &[u8]) = match &entry.kind {
            Kind::Char { rdev } | Kind::Block { rdev } => (*rdev, &[]),
            Kind::Symlink { target } => (0, target),
            Kind::File | Kind::Dir | Kind::Fifo | Kind::Socket => (0, &[]),
        };
        Out {
            k: entry.kind.file_type() as u8,
            s: entry.size,
            m: entry.mode,
            u: entry.uid,
            g: entry.gid,
            user: &entry.user,
            group: &entry.group,
            t: (entry.mtime.seconds, entry.mtime.nanos),
            c: (entry.ctime.seconds, entry.ctime.nanos),
            i: entry.inode,
            d: entry.dev,
            n: entry.nlink,
            r: rdev,
            l: Bytes::new(target),
            x: Attributes(&entry.xattrs),
            b: Bytes::new(&entry.inline),
        }
    }
}

/// An entry as it is read: borrowed, and believed in nothing yet.
#[derive(Deserialize)]
#[serde(default)]
struct In<'a> {
    k: u8,
    s: u64,
    m: u32,
    u: u32,
    g: u32,
    #[serde(rename = "U")]
    user: &'a str,
    #[serde(rename = "G")]
    group: &'a str,
    t: Pair,
    c: Pair,
    i: u64,
    d: u64,
    n: u32,
    r: u64,
    #[serde(borrow)]
    l: &'a Bytes,
    #[serde(borrow)]
    x: Vec<(&'a Bytes, &'a Bytes)>,
    #[serde(borrow)]
    b: &'a Bytes,
}

impl Default for In<'_> {
    fn default() -> Self {
        let none = Bytes::new(&[]);
        In {
            k: 0,
            s: 0,
            m: 0,
            u: 0,
            g: 0,
            user: "",
            group: "",
            t: (0, 0),
            c: (0, 0),
            i: 0,
            d: 0,
            n: 1,
            r: 0,
            l: none,
            x: Vec::new(),
            b: none,
        }
    }
}

impl In<'_> {
    fn entry(self) -> Result<Entry, Error> {
        if self.m > MODE_MAX {
            return Err(impossible("its mode", self.m.into()));
        }
        if self.n == 0 {
            return Err(impossible("its number of links", 0));
        }
        let kind = self.kind()?;
        if !self.b.is_empty() && (kind != Kind::File || self.b.len() as u64 != self.s) {
            return Err(impossible("the length of its content", self.b.len() as u64));
        }
        Ok(Entry {
            kind,
            size: self.s,
            mode: self.m,
            uid: self.u,
            gid: self.g,
            user: name(self.user)?,
            group: name(self.group)?,
            mtime: time(self.t)?,
            ctime: time(self.c)?,
            inode: self.i,
            dev: self.d,
            nlink: self.n,
            xattrs: attributes(&self.x)?,
            inline: self.b.to_vec(),
        })
    }

    fn kind(&self) -> Result<Kind, Error> {
        let kind = file_type(self.k)?;
        let target = kind == FileType::Symlink;
        if target == self.l.is_empty() || self.l.contains(&0) {
            return Err(impossible("the length of its target", self.l.len() as u64));
        }
        if self.r != 0 && !matches!(kind, FileType::Char | FileType::Block) {
            return Err(impossible("its device number", self.r));
        }
        Ok(match kind {
            FileType::File => Kind::File,
            FileType::Dir => Kind::Dir,
            FileType::Symlink => Kind::Symlink { target: self.l.to_vec() },
            FileType::Fifo => Kind::Fifo,
            FileType::Char => Kind::Char { rdev: self.r },
            FileType::Block => Kind::Block { rdev: self.r },
            FileType::Socket => Kind::Socket,
        })
    }
}

fn time((seconds, nanos): Pair) -> Result<Time, Error> {
    if nanos > NANOS_MAX {
        return Err(impossible("its nanoseconds", nanos.into()));
    }
    Ok(Time { seconds, nanos })
}

fn name(name: &str) -> Result<Arc<str>, Error> {
    if name.contains('\0') {
        return Err(impossible("a byte of its owner's name", 0));
    }
    Ok(if name.is_empty() { Arc::default() } else { name.into() })
}

/// Names ascend, so that none comes twice and equal entries have equal bytes.
fn attributes(pairs: &[(&Bytes, &Bytes)]) -> Result<Vec<Xattr>, Error> {
    let ascending = pairs.windows(2).all(|pair| pair[0].0 < pair[1].0);
    let named = |(name, _): &(&Bytes, &Bytes)| !name.is_empty() && !name.contains(&0);
    if !ascending || !pairs.iter().all(named) {
        return Err(impossible("the number of its attributes", pairs.len() as u64));
    }
    Ok(pairs.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect())
}

/// The few fields that `StatKey` needs.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Known {
    k: u8,
    s: u64,
    t: Pair,
    c: Pair,
    i: u64,
    m: u32,
    u: u32,
    g: u32,
}

#[cfg(test)]
mod tests;
