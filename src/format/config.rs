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
        for sizes in [config.chunks, config.leaves, config.inner] {
            sizes.check()?;
        }
        Ok(config)
    }
}

impl Sizes {
    fn check(&self) -> Result<(), Error> {
        let Sizes { min_bytes, aim_bytes, max_bytes } = *self;
        let ordered = 64 <= min_bytes && min_bytes < aim_bytes && aim_bytes < max_bytes;
        if ordered && max_bytes as usize <= limits::BLOB_MAX_BYTES {
            return Ok(());
        }
        Err(Error::Impossible { what: "the config", field: "a size", found: aim_bytes.into() })
    }
}

/// Which repository this config says it is, told without a key; the key proves it.
pub fn peek_repo_id(object: &[u8]) -> Result<RepoId, Error> {
    Ok(seal::control_repo(ControlKind::Config, object)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::MasterKey;

    fn keys() -> Keys {
        Keys::derive(&MasterKey::new([1; 32]), &RepoId([2; 16]))
    }
    fn config() -> Config {
        let abilities = StoreAbilities { create_if_absent: true, visibility_delay_seconds: 120 };
        let created = Timestamp::from_second(1_767_225_600).unwrap();
        Config::new(RepoId([2; 16]), created, "host.example", "icecore 0.1.0", abilities)
    }

    #[test]
    fn the_config_comes_back_and_its_repository_is_known_without_a_key() {
        let object = config().seal(&keys(), [3; 32]).unwrap();
        assert_eq!(Config::open(&keys(), &object).unwrap(), config());
        assert_eq!(peek_repo_id(&object).unwrap(), RepoId([2; 16]));
        for at in 0..object.len() {
            assert!(Config::open(&keys(), &object[..at]).is_err());
            let mut flipped = object.to_vec();
            flipped[at] ^= 1;
            assert!(Config::open(&keys(), &flipped).is_err());
        }
    }

    #[test]
    fn a_config_this_program_cannot_work_with_is_refused() {
        let small = Sizes { min_bytes: 1, aim_bytes: 2, max_bytes: 3 };
        let large = Sizes { min_bytes: 1 << 10, aim_bytes: 1 << 20, max_bytes: u32::MAX };
        let turned = Sizes { min_bytes: 1 << 20, aim_bytes: 1 << 10, max_bytes: 1 << 22 };
        let mut wrong = vec![
            Config { version: 2, ..config() },
            Config { features: vec!["time travel".into()], ..config() },
        ];
        for sizes in [small, large, turned] {
            wrong.push(Config { chunks: sizes, ..config() });
            wrong.push(Config { leaves: sizes, ..config() });
            wrong.push(Config { inner: sizes, ..config() });
        }
        for config in wrong {
            let object = config.seal(&keys(), [3; 32]).unwrap();
            assert!(Config::open(&keys(), &object).is_err(), "{config:?}");
        }
        let plain = serde_json::to_vec(&config()).unwrap();
        for at in 0..plain.len() {
            assert!(matches!(Config::decode(&plain[..at]), Err(Error::Config(_))));
        }
    }
}
