//! The names of users and groups, each asked for once.

use std::{
    collections::HashMap,
    ffi::OsStr,
    sync::{Arc, Mutex, PoisonError},
};

/// A cache, to be shared by all threads of a run.
#[derive(Debug, Default)]
pub struct Names {
    users: Mutex<HashMap<u32, Arc<str>>>,
    groups: Mutex<HashMap<u32, Arc<str>>>,
}

impl Names {
    /// Empty when the number has no name.
    pub fn user(&self, uid: u32) -> Arc<str> {
        cached(&self.users, uid, || {
            uzers::get_user_by_uid(uid).map(|user| text(user.name())).unwrap_or_default()
        })
    }

    pub fn group(&self, gid: u32) -> Arc<str> {
        cached(&self.groups, gid, || {
            uzers::get_group_by_gid(gid).map(|group| text(group.name())).unwrap_or_default()
        })
    }
}

fn cached(
    names: &Mutex<HashMap<u32, Arc<str>>>,
    id: u32,
    ask: impl FnOnce() -> Arc<str>,
) -> Arc<str> {
    let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
    names.entry(id).or_insert_with(ask).clone()
}

fn text(name: &OsStr) -> Arc<str> {
    name.to_str().map(Arc::from).unwrap_or_default()
}
