//! One directory on the way from `/` to where the walk is.

use std::{ffi::CStr, os::fd::OwnedFd, sync::Arc};

use super::{
    dir::{Dir, Way},
    window::Window,
};
use crate::source::Error;

#[derive(Debug)]
pub(super) struct Frame {
    pub dir: Arc<Dir>,
    /// Held while this is the directory that is read.
    pub fd: Option<Arc<OwnedFd>>,
    pub key_len: usize,
    pub window: Window,
    /// The last name that was taken from windows that are gone.
    pub after: Vec<u8>,
    /// Everything in it is wanted; else only what the window was made of.
    pub whole: bool,
    /// The device of the root that it belongs to.
    pub dev: u64,
    /// There are roots below it, and they must not be missed.
    pub roots_below: bool,
}

/// A directory that comes next: its own entry was given already.
#[derive(Debug)]
pub(super) struct Entering {
    /// It had to be opened for its entry already.
    pub opened: Option<(Arc<Dir>, Arc<OwnedFd>)>,
    pub whole: bool,
    pub dev: u64,
}

impl Frame {
    /// Goes to the next name. False: there is none left.
    pub fn advance(&mut self, names_max: usize, buffer: &mut Vec<u8>) -> Result<bool, Error> {
        loop {
            if self.window.advance() {
                return Ok(true);
            }
            if self.window.is_last() {
                return Ok(false);
            }
            self.forget_names();
            let fd = self.fd()?;
            self.window.read(&fd, &self.after, names_max, buffer)?;
        }
    }

    /// What it stands at; there is one after `advance` said so.
    pub fn name(&self) -> &CStr {
        self.window.current().expect("it stands at a name")
    }

    pub fn fd(&mut self) -> Result<Arc<OwnedFd>, Error> {
        let fd = match self.fd.take() {
            Some(fd) => fd,
            None => self.dir.fd()?,
        };
        Ok(self.fd.insert(fd).clone())
    }

    /// Opens what it stands at.
    pub fn open(&self, way: Way) -> Result<super::dir::Opened, Error> {
        self.dir.child(self.name(), way)
    }

    /// They are read again when they are needed.
    pub fn forget_names(&mut self) {
        if let Some(name) = self.window.current() {
            self.after = name.to_bytes().to_vec();
        }
        self.window.clear();
    }
}
