//! The repository's config: what was chosen at `init` and never changes.

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Error;
use crate::{
    id::RepoId,
    limits,
    seal::{self, ControlKind, Keys},
};

/// All three copies are sealed under this name.
const SEALED_AS: &str = "config";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    pub version: u16,
    pub repo_id: RepoId,
    pub created: Timestamp,
    pub host: String,
    pub program: String,
    /// What a reader must know to touch the repository at all; unknown ones are refused.
    #[serde(default)]
    pub features: Vec<String>,
    pub chunks: Sizes,
    pub leaves: Sizes,
    pub inner: Sizes,
    pub abilities: StoreAbilities,
}

/// How something is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    pub min_bytes: u32,
    pub aim_bytes: u32,
    pub max_bytes: u32,
}

/// What the store was found to do at `init` (PROTOCOL.md, assumptions).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreAbilities {
    pub create_if_absent: bool,
    pub visibility_delay_seconds: u64,
}

/// Features of this program's format that a reader can't do without; none so far.
const KNOWN_FEATURES: [&str; 0] = [];

impl Config {
    pub const VERSION: u16 = seal::FORMAT_VERSION;

    /// The config of a new repository with the sizes of `limits`.
    pub fn new(
        repo_id: RepoId,
        created: Timestamp,
        host: &str,
        program: &str,
        abilities: StoreAbilities,
    ) -> Self {
        let sizes = |min, aim, max| Sizes {
            min_bytes: min as u32,
            aim_bytes: aim as u32,
            max_bytes: max as u32,
        };
        use limits::*;
        Config {
            version: Self::VERSION,
            repo_id,
            created,
            host: host.to_owned(),
            program: program.to_owned(),
            features: Vec::new(),
            chunks: sizes(CHUNK_MIN_BYTES, CHUNK_AIM_BYTES, CHUNK_MAX_BYTES),
            leaves: sizes(LEAF_MIN_BYTES, LEAF_AIM_BYTES, LEAF_MAX_BYTES),
            inner: sizes(INNER_MIN_BYTES, INNER_AIM_BYTES, INNER_MAX_BYTES),
            abilities,
        }
    }

    /// One object's bytes, the same for each copy. `salt`: fresh random bytes.
    pub fn seal(&self, keys: &Keys, salt: [u8; 32]) -> Result<Bytes, Error> {
        let plain = serde_json::to_vec(self).map_err(Error::Config)?;
        Ok(Bytes::from(seal::seal_control(keys, ControlKind::Config, SEALED_AS, salt, &plain)?))
    }

    /// The config, its version, features and sizes ones that this program can work with.
    pub fn open(keys: &Keys, object: &[u8]) -> Result<Config, Error> {
        Config::decode(&seal::open_control(keys, ControlKind::Config, SEALED_AS, object)?)
    }

    fn decode(plain: &[u8]) -> Result<Config, Error> {
        let config: Config = serde_json::from_slice(plain).map_err(Error::Config)?;
        let unknown = |feature: &&String| !KNOWN_FEATURES.contains(&feature.as_str());
        if let Some(feature) = config.features.iter().find(unknown) {
            return Err(Error::UnknownFeature { feature: feature.clone() });
        }
        if config.version != Self::VERSION {
            return Err(Error::UnknownVersion { found: config.version });
        }
        for (sizes, max_bytes) in [
            (config.chunks, limits::BLOB_MAX_BYTES),
            (config.leaves, limits::BLOB_MAX_BYTES),
            (config.inner, limits::BLOB_MAX_BYTES),
        ] {
            sizes.check(max_bytes)?;
        }
        Ok(config)
    }
}

impl Sizes {
    fn check(&self, max_bytes: usize) -> Result<(), Error> {
        let Sizes { min_bytes, aim_bytes, max_bytes: max } = *self;
        let ordered = 64 <= min_bytes && min_bytes < aim_bytes && aim_bytes < max;
        if ordered && max as usize <= max_bytes {
            return Ok(());
        }
        Err(Error::Impossible { what: "the config", field: "a size", found: aim_bytes.into() })
    }
}

/// Which repository this config says it is, told without a key; the key proves it.
pub fn peek_repo_id(object: &[u8]) -> Result<RepoId, Error> {
    Ok(seal::control_repo(ControlKind::Config, object)?)
}
