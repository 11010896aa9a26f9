//! Key slots: which passwords open the repository.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::{
    Damage, Error, Repository, layout,
    objects::get_small,
    repository::{slot_header, wrap},
};
use crate::{
    id::RepoId,
    limits::SLOT_HEADER_MAX_BYTES,
    seal::{self, MasterKey, SlotHeader, SlotParams},
    store::{Listed, Name, Put, Store, list_all},
};

/// Header, commitment, nonce, wrapped key.
const SLOT_MAX_BYTES: usize = SLOT_HEADER_MAX_BYTES + 1024;

/// One key, as lists show it.
#[derive(Debug, Clone)]
pub struct KeyInfo {
    /// What `remove` takes.
    pub name: String,
    pub label: String,
    pub host: String,
    pub created: Timestamp,
    pub params: SlotParams,
    /// The repository was opened with it.
    pub current: bool,
}

pub(super) struct Unlocked {
    pub name: String,
    pub header: SlotHeader,
    pub master: MasterKey,
}

/// Tries each slot of these repositories (of any, when none is known). Those that can't be read
/// are told by `damage`.
pub(super) fn unlock(
    store: &dyn Store,
    password: &SecretString,
    repos: &[RepoId],
    damage: &mut Vec<Damage>,
) -> Result<Unlocked, Error> {
    let mut readable = 0;
    for Listed { name, .. } in list_all(store, layout::KEYS)? {
        // One that is gone was removed since it was listed.
        let Some(slot) = get_small(store, &name, "a key", SLOT_MAX_BYTES)? else { continue };
        let bytes = match slot {
            Ok(bytes) => bytes,
            Err(source) => {
                let error = Error::Damaged { object: name.to_string(), source };
                damage.push(Damage { object: name, error });
                continue;
            }
        };
        let strange = |header: SlotHeader| !repos.is_empty() && !repos.contains(&header.repo_id);
        if seal::slot_header(&bytes).is_ok_and(strange) {
            continue;
        }
        match seal::unwrap_master(password.expose_secret().as_bytes(), &bytes) {
            Ok((header, master)) => {
                let name = name.last().to_owned();
                return Ok(Unlocked { name, header, master });
            }
            Err(seal::Error::WrongPassword) => readable += 1,
            Err(error @ seal::Error::SlotMemory { .. }) => return Err(error.into()),
            Err(source) => {
                let error = Error::Damaged { object: name.to_string(), source: source.into() };
                damage.push(Damage { object: name, error });
            }
        }
    }
    Err(if readable > 0 { Error::WrongPassword } else { Error::NoKeys })
}

impl Repository {
    /// The keys that can be read, of this repository; those that can't are `Damage`.
    pub fn list_keys(&self) -> Result<(Vec<KeyInfo>, Vec<Damage>), Error> {
        let (mut keys, mut damage) = (Vec::new(), Vec::new());
        for Listed { name: object, .. } in list_all(&**self.store(), layout::KEYS)? {
            let slot = get_small(&**self.store(), &object, "a key", SLOT_MAX_BYTES)?;
            let Some(slot) = slot else { continue };
            match slot.and_then(|slot| Ok(seal::slot_header(&slot)?)) {
                // A crashed `init` may have left a key of another repository: it opens none here.
                Ok(header) if header.repo_id != self.config().repo_id => {}
                Ok(SlotHeader { label, host, created, params, .. }) => {
                    let name = object.last().to_owned();
                    let current = name == self.inner.key_name;
                    keys.push(KeyInfo { name, label, host, created, params, current });
                }
                Err(source) => {
                    let error = Error::Damaged { object: object.to_string(), source };
                    damage.push(Damage { object, error });
                }
            }
        }
        Ok((keys, damage))
    }

    /// Makes a key and gives its name. The password is tried against what was written.
    pub fn add_key(
        &self,
        password: &SecretString,
        label: &str,
        params: SlotParams,
    ) -> Result<String, Error> {
        let ambient = self.ambient();
        let header = slot_header(self.config().repo_id, label, params, ambient);
        let slot = wrap(password, &header, &self.inner.master, ambient)?;
        seal::unwrap_master(password.expose_secret().as_bytes(), &slot)?;
        loop {
            let name = hex::encode(ambient.random::<8>());
            let object = layout::key(&name).expect("hexadecimal digits are a name");
            if self.store().put_new(&object, slot.clone())? == Put::Created {
                return Ok(name);
            }
        }
    }

    /// Replaces the key that opened the repository by one with this password; gives its name.
    pub fn change_password(
        &self,
        password: &SecretString,
        label: &str,
        params: SlotParams,
    ) -> Result<String, Error> {
        let name = self.add_key(password, label, params)?;
        self.remove_object(&self.inner.key_name)?;
        Ok(name)
    }

    /// Removes a key. The last one that can be read stays.
    pub fn remove_key(&self, name: &str) -> Result<(), Error> {
        let (keys, damage) = self.list_keys()?;
        let unreadable = damage.iter().any(|damage| damage.object.last() == name);
        if !unreadable {
            if !keys.iter().any(|key| key.name == name) {
                return Err(Error::NoSuchKey { key: name.to_owned() });
            }
            if keys.len() == 1 {
                return Err(Error::LastKey);
            }
        }
        self.remove_object(name)
    }

    fn remove_object(&self, name: &str) -> Result<(), Error> {
        let object: Name =
            layout::key(name).ok_or_else(|| Error::NoSuchKey { key: name.to_owned() })?;
        Ok(self.store().remove(&object)?)
    }
}
