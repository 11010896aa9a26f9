//! Extended attributes, access control lists among them.

use std::{
    ffi::CStr,
    os::fd::{AsRawFd, OwnedFd},
};

use rustix::{
    buffer::spare_capacity,
    fs::{fgetxattr, flistxattr, lgetxattr, llistxattr},
    io::Errno,
};

use crate::{format::entry::Xattr, limits::ATTRIBUTES_MAX_BYTES, source::Error};

/// Linux keeps both lists and values below this (XATTR_LIST_MAX, XATTR_SIZE_MAX).
const ONE_MAX_BYTES: usize = 64 << 10;
/// What most lists fit into.
const LIST_FIRST_BYTES: usize = 512;

/// How a thing is reached.
pub(super) enum At<'a> {
    Open(&'a OwnedFd),
    /// Links, devices, fifos and sockets can't be opened for it, and files need not be readable:
    /// they are reached by name, through the descriptor of their directory.
    Named {
        dir: &'a OwnedFd,
        name: &'a [u8],
    },
}

/// Names and values, ascending by name. With what could not be read, if anything.
pub(super) struct Attributes {
    pub pairs: Vec<Xattr>,
    pub lacking: Option<Error>,
}

pub(super) fn read(at: &At<'_>) -> Attributes {
    let mut pairs = Vec::new();
    let mut lacking = None;
    match Reach::of(at).and_then(|reach| Ok((reach.list()?, reach))) {
        Ok((list, _)) if list.is_empty() => {}
        Ok((list, reach)) => lacking = collect(&reach, &list, &mut pairs),
        Err(Errno::NOTSUP) => {}
        Err(errno) => lacking = Some(Error::System(errno)),
    }
    Attributes { pairs, lacking }
}

fn collect(reach: &Reach<'_>, list: &[u8], pairs: &mut Vec<Xattr>) -> Option<Error> {
    let mut names: Vec<&[u8]> = list.split_inclusive(|byte| *byte == 0).collect();
    names.sort_unstable();
    names.dedup();
    let mut bytes = 0;
    let mut lacking = None;
    for name in names {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        match reach.get(name) {
            Ok(value) => {
                // Besides names and values each pair takes a few bytes for its lengths.
                let pair_bytes = name.count_bytes() + value.len() + 16;
                if bytes + pair_bytes > ATTRIBUTES_MAX_BYTES {
                    let bytes_max = ATTRIBUTES_MAX_BYTES;
                    lacking = Some(Error::AttributesTooLarge { bytes_max });
                    continue;
                }
                bytes += pair_bytes;
                pairs.push((name.to_bytes().to_vec(), value));
            }
            // Gone since it was listed; or listed, but no attribute that has a value of its own.
            Err(Errno::NODATA | Errno::NOTSUP) => {}
            Err(errno) => lacking = Some(Error::System(errno)),
        }
    }
    lacking
}

enum Reach<'a> {
    Open(&'a OwnedFd),
    /// Through /proc: there are no calls for attributes relative to a directory yet.
    Path(Vec<u8>),
}

impl<'a> Reach<'a> {
    fn of(at: &At<'a>) -> Result<Reach<'a>, Errno> {
        Ok(match at {
            At::Open(fd) => Reach::Open(fd),
            At::Named { dir, name } => {
                let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
                path.extend_from_slice(name);
                Reach::Path(path)
            }
        })
    }

    fn list(&self) -> Result<Vec<u8>, Errno> {
        grow(LIST_FIRST_BYTES, |buffer| match self {
            Reach::Open(fd) => flistxattr(fd, spare_capacity(buffer)),
            Reach::Path(path) => llistxattr(path.as_slice(), spare_capacity(buffer)),
        })
    }

    fn get(&self, name: &CStr) -> Result<Vec<u8>, Errno> {
        grow(LIST_FIRST_BYTES, |buffer| match self {
            Reach::Open(fd) => fgetxattr(fd, name, spare_capacity(buffer)),
            Reach::Path(path) => lgetxattr(path.as_slice(), name, spare_capacity(buffer)),
        })
    }
}

/// Asks with a small buffer, and with the largest when that was too small.
fn grow(
    first_bytes: usize,
    ask: impl Fn(&mut Vec<u8>) -> Result<usize, Errno>,
) -> Result<Vec<u8>, Errno> {
    let mut buffer = Vec::with_capacity(first_bytes);
    match ask(&mut buffer) {
        Err(Errno::RANGE) => {
            buffer.reserve_exact(ONE_MAX_BYTES);
            ask(&mut buffer)?;
        }
        done => {
            done?;
        }
    }
    buffer.shrink_to_fit();
    Ok(buffer)
}
