//! A repository, made or opened: its keys, its config, its store.

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::{
    Error, Reader, Session, SessionOptions,
    catalog::{Catalog, OnPrivate},
    layout,
    nodes::NodeCache,
    objects::{Object, get_small},
};
use crate::{
    ambient::Ambient,
    buffers::Buffers,
    format::{
        self, Record,
        config::{Config, StoreAbilities},
    },
    id::RepoId,
    limits::{CONTROL_MAX_BYTES, NODE_CACHE_BYTES, PACK_AIM_BYTES, READ_SPARE_BYTES},
    seal::{self, Compression, Keys, MasterKey, SlotHeader, SlotParams},
    store::{self, Abilities, Name, Put, Store, list_all},
};

/// What sessions and snapshots name as their maker.
pub const PROGRAM: &str = concat!("icecore ", env!("CARGO_PKG_VERSION"));

/// What is chosen when a repository is made.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// What a guess of the password costs.
    pub params: SlotParams,
    /// The person's name for the first key.
    pub label: String,
    /// What a probe found (`store::probe`).
    pub abilities: Abilities,
}

/// What is chosen each time one is opened.
#[derive(Clone)]
pub struct OpenOptions {
    /// Below it each repository gets a directory of its own. `None`: nothing is kept.
    pub cache_dir: Option<PathBuf>,
    /// Told once, when that directory can't be used and another one is, for this time.
    pub on_private_cache: Option<OnPrivate>,
    pub pack_aim_bytes: usize,
    pub compression: Compression,
}

impl Default for OpenOptions {
    fn default() -> Self {
        OpenOptions {
            cache_dir: None,
            on_private_cache: None,
            pack_aim_bytes: PACK_AIM_BYTES,
            compression: Compression::Auto,
        }
    }
}

/// Something that should be there, whole, and is not; work goes on without it.
#[derive(Debug)]
pub struct Damage {
    pub object: Name,
    pub error: Error,
}

/// A handle; clones are the same repository.
#[derive(Clone)]
pub struct Repository {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub store: Arc<dyn Store>,
    pub keys: Keys,
    pub master: MasterKey,
    /// The key that opened it.
    pub key_name: String,
    pub config: Config,
    pub ambient: Ambient,
    pub options: OpenOptions,
    pub catalog: Catalog,
    pub nodes: NodeCache,
    /// Plain chunks are read into these.
    pub buffers: Buffers,
    pub damage: Vec<Damage>,
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Repository({} in {:?})", self.inner.config.repo_id, self.inner.store)
    }
}

impl Repository {
    /// Makes a repository where none is, and opens it. Of two that try at once one succeeds.
    pub fn init(
        store: Arc<dyn Store>,
        password: &SecretString,
        init: &InitOptions,
        open: OpenOptions,
        ambient: Ambient,
    ) -> Result<Repository, Error> {
        if read_configs(&*store)?.iter().any(|(_, copy)| copy.is_some()) {
            return Err(Error::AlreadyThere);
        }
        if holds_objects(&*store)? {
            return Err(Error::ConfigLost);
        }
        let repo_id = RepoId(ambient.random());
        let master = MasterKey::new(ambient.random());
        let keys = Keys::derive(&master, &repo_id);
        let abilities = StoreAbilities {
            create_if_absent: init.abilities.create_if_absent,
            visibility_delay_seconds: init.abilities.visibility_delay_seconds,
        };
        let now = ambient.clock.now();
        let config = Config::new(repo_id, now, &ambient.host, PROGRAM, abilities);
        let sealed = config
            .seal(&keys, ambient.random())
            .map_err(|source| Error::Unsealable { what: "the config", source })?;

        // The key first: a config says that there is a repository, and then it must open.
        let header = slot_header(repo_id, &init.label, init.params, &ambient);
        let slot = wrap(password, &header, &master, &ambient)?;
        let key_name = hex::encode(ambient.random::<8>());
        let key = layout::key(&key_name).expect("hexadecimal digits are a name");
        store.put_new(&key, slot)?;
        let [first, copies @ ..] = layout::CONFIGS;
        if store.put_new(&layout::config(first), sealed.clone())? == Put::Exists {
            store.remove(&key)?;
            return Err(Error::AlreadyThere);
        }
        for copy in copies {
            store.put_new(&layout::config(copy), sealed.clone())?;
        }
        let opened = Opened { keys, master, key_name, config, damage: Vec::new() };
        Repository::assemble(store, opened, open, ambient)
    }

    /// Opens a repository. One good copy of the config suffices; the others are told by `damage`.
    pub fn open(
        store: Arc<dyn Store>,
        password: &SecretString,
        options: OpenOptions,
        ambient: Ambient,
    ) -> Result<Repository, Error> {
        let copies = read_configs(&*store)?;
        if copies.iter().all(|(_, copy)| copy.is_none()) {
            let lost = holds_objects(&*store).unwrap_or(false);
            return Err(if lost { Error::ConfigLost } else { Error::NoRepository });
        }
        let mut damage = Vec::new();
        let unlocked = super::keys::unlock(&*store, password, &stated_ids(&copies), &mut damage)?;
        let keys = Keys::derive(&unlocked.master, &unlocked.header.repo_id);
        let config = open_config(&keys, copies, &mut damage)?;
        let (master, key_name) = (unlocked.master, unlocked.name);
        let opened = Opened { keys, master, key_name, config, damage };
        Repository::assemble(store, opened, options, ambient)
    }

    fn assemble(
        store: Arc<dyn Store>,
        opened: Opened,
        options: OpenOptions,
        ambient: Ambient,
    ) -> Result<Repository, Error> {
        let Opened { keys, master, key_name, config, damage } = opened;
        let cache = options.cache_dir.as_ref().map(|dir| dir.join(config.repo_id.to_string()));
        let tell = options.on_private_cache.clone();
        let catalog = Catalog::open(cache.as_deref(), ambient.random(), tell)?;
        let nodes = NodeCache::new(NODE_CACHE_BYTES);
        let inner = Inner {
            store,
            keys,
            master,
            key_name,
            config,
            ambient,
            options,
            catalog,
            nodes,
            buffers: Buffers::new(READ_SPARE_BYTES),
            damage,
        };
        Ok(Repository { inner: Arc::new(inner) })
    }

    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    pub fn keys(&self) -> &Keys {
        &self.inner.keys
    }

    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    pub fn ambient(&self) -> &Ambient {
        &self.inner.ambient
    }

    pub fn options(&self) -> &OpenOptions {
        &self.inner.options
    }

    /// Which blob lies where, as far as the last `refresh` could tell.
    pub fn catalog(&self) -> &Catalog {
        &self.inner.catalog
    }

    /// What was found damaged or missing while opening: copies of the config, key slots.
    pub fn damage(&self) -> &[Damage] {
        &self.inner.damage
    }

    /// Puts again the copies of the config that are damaged or missing, and gives their names. One
    /// that is whole is never touched, so that there is one at any moment.
    pub fn repair_config(&self) -> Result<Vec<Name>, Error> {
        let store = self.store();
        let (mut whole, mut bad) = (None, Vec::new());
        for (copy, read) in read_configs(&**store)? {
            let name = layout::config(copy);
            let Some(Ok(object)) = read else {
                bad.push(name);
                continue;
            };
            match Config::open(self.keys(), &object) {
                Ok(_) => whole = whole.or(Some(object)),
                // What a newer program wrote is no damage.
                Err(
                    source @ (format::Error::UnknownFeature { .. }
                    | format::Error::UnknownVersion { .. }),
                ) => return Err(Error::Damaged { object: name.to_string(), source }),
                Err(_) => bad.push(name),
            }
        }
        let Some(whole) = whole else { return Err(Error::ConfigLost) };
        for name in &bad {
            store.remove(name)?;
            store.put_new(name, whole.clone())?;
        }
        Ok(bad)
    }

    /// Reads blobs; the index is loaded by now.
    pub fn reader(&self) -> Result<Reader, Error> {
        self.refresh()?;
        Ok(Reader::new(self.clone()))
    }

    /// Begins to write (PROTOCOL.md, "Writer", 1 to 3). Where collectors may fence, only over a
    /// store that creates atomically: a commit must not overwrite a fence.
    pub fn begin(&self, options: SessionOptions) -> Result<Session, Error> {
        if self.config().abilities.create_if_absent && !self.store().creates_atomically() {
            return Err(Error::NotAtomic);
        }
        Session::begin(self.clone(), options)
    }

    /// How long an object may be missing from listings, in the worst case known.
    pub fn visibility_delay(&self) -> std::time::Duration {
        let stated = self.inner.config.abilities.visibility_delay_seconds;
        let seconds = stated.max(self.inner.store.visibility_delay_seconds());
        std::time::Duration::from_secs(seconds)
    }

    /// Seals and puts a record.
    pub fn put_record<R: Record>(&self, name: &Name, record: &R) -> Result<Put, Error> {
        let salt = self.inner.ambient.random();
        let sealed = format::seal_record(&self.inner.keys, name.as_str(), salt, record)
            .map_err(|source| Error::Unsealable { what: R::KIND.what(), source })?;
        Ok(self.inner.store.put_new(name, sealed)?)
    }

    /// Gets and opens a record.
    pub fn get_record<R: Record>(&self, name: &Name) -> Result<R, Error> {
        let gone = || store::Error::new(store::ErrorKind::NotFound, "get", name.as_str());
        self.get_record_if_there(name)?.ok_or_else(|| gone().into())
    }

    /// As `get_record`; `None` when the object has gone meanwhile.
    pub fn get_record_if_there<R: Record>(&self, name: &Name) -> Result<Option<R>, Error> {
        let object = get_small(&*self.inner.store, name, R::KIND.what(), CONTROL_MAX_BYTES)?;
        let Some(object) = object else { return Ok(None) };
        object
            .and_then(|object| format::open_record(&self.inner.keys, name.as_str(), &object))
            .map(Some)
            .map_err(|source| Error::Damaged { object: name.to_string(), source })
    }

    pub(super) fn now(&self) -> Timestamp {
        self.inner.ambient.clock.now()
    }
}

struct Opened {
    keys: Keys,
    master: MasterKey,
    key_name: String,
    config: Config,
    damage: Vec<Damage>,
}

type ConfigCopy = (&'static str, Object);

fn read_configs(store: &dyn Store) -> Result<Vec<ConfigCopy>, Error> {
    let read = |copy| {
        let object = get_small(store, &layout::config(copy), "the config", CONTROL_MAX_BYTES)?;
        Ok((copy, object))
    };
    layout::CONFIGS.into_iter().map(read).collect()
}

/// Whether there are snapshots, packs or an index, of whatever repository.
fn holds_objects(store: &dyn Store) -> Result<bool, Error> {
    for kind in [layout::SNAPSHOTS, layout::INDEX, layout::PACKS] {
        if !list_all(store, kind)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Which repositories the copies say that they belong to: a crashed `init` may have left a key of
/// another one.
fn stated_ids(copies: &[ConfigCopy]) -> Vec<RepoId> {
    let copies = copies.iter().filter_map(|(_, copy)| copy.as_ref()?.as_ref().ok());
    copies.filter_map(|object| format::config::peek_repo_id(object).ok()).collect()
}

fn open_config(
    keys: &Keys,
    copies: Vec<ConfigCopy>,
    damage: &mut Vec<Damage>,
) -> Result<Config, Error> {
    let mut good = None;
    let mut bad = Vec::new();
    for (copy, read) in copies {
        let gone = || store::Error::new(store::ErrorKind::NotFound, "get", copy).into();
        let opened = read.ok_or_else(gone).and_then(|object| {
            object
                .and_then(|object| Config::open(keys, &object))
                .map_err(|source| Error::Damaged { object: copy.to_owned(), source })
        });
        match opened {
            Ok(config) => good = good.or(Some(config)),
            Err(error) => bad.push(Damage { object: layout::config(copy), error }),
        }
    }
    match good {
        Some(config) => {
            damage.extend(bad);
            Ok(config)
        }
        // A copy that could be read says more than one that is not there.
        None => {
            bad.sort_by_key(|damage| matches!(damage.error, Error::Store(_)));
            Err(bad.swap_remove(0).error)
        }
    }
}

pub(super) fn slot_header(
    repo_id: RepoId,
    label: &str,
    params: SlotParams,
    ambient: &Ambient,
) -> SlotHeader {
    SlotHeader {
        repo_id,
        label: label.to_owned(),
        host: ambient.host.clone(),
        created: ambient.clock.now(),
        params,
        salt: ambient.random(),
    }
}

pub(super) fn wrap(
    password: &SecretString,
    header: &SlotHeader,
    master: &MasterKey,
    ambient: &Ambient,
) -> Result<Bytes, Error> {
    let password = password.expose_secret().as_bytes();
    Ok(Bytes::from(seal::wrap_master(password, header, ambient.random(), master)?))
}
