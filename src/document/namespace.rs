//! Names of collections, patterns that choose among them, and rules that rename them.

use std::fmt;

mod pattern;
mod rename;

pub use self::{
    pattern::{Pattern, Patterns},
    rename::{Rename, RenameError, Renames},
};

/// A database's name and a collection's. Collections of a deployment lie in this order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace {
    pub db: String,
    pub collection: String,
}

impl Namespace {
    pub fn new(db: impl Into<String>, collection: impl Into<String>) -> Self {
        Namespace { db: db.into(), collection: collection.into() }
    }

    /// Of `db.collection`: no database's name has a dot. `None` if one of the two is empty, or
    /// holds NUL.
    pub fn parse(text: &str) -> Option<Self> {
        let (db, collection) = text.split_once('.')?;
        let sound = !db.is_empty() && !collection.is_empty() && !text.contains('\0');
        sound.then(|| Namespace::new(db, collection))
    }

    /// Of users or roles.
    pub fn is_authority(&self) -> bool {
        self.db == "admin" && matches!(self.collection.as_str(), "system.users" | "system.roles")
    }

    /// The key in a deployment's catalogue: the two names with NUL between.
    pub fn key(&self) -> Vec<u8> {
        [self.db.as_bytes(), &[0], self.collection.as_bytes()].concat()
    }

    /// What [`Namespace::key`] was made from; `None` if no namespace has this key.
    pub fn from_key(key: &[u8]) -> Option<Self> {
        let (db, collection) = std::str::from_utf8(key).ok()?.split_once('\0')?;
        let sound = !db.is_empty() && !collection.is_empty() && !collection.contains('\0');
        sound.then(|| Namespace::new(db, collection))
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}.{}", self.db, self.collection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_dot_ends_the_database() {
        let parsed = Namespace::parse("shop.orders.2024").unwrap();
        assert_eq!(parsed, Namespace::new("shop", "orders.2024"));
        assert_eq!(parsed.to_string(), "shop.orders.2024");
        assert_eq!(parsed.key(), b"shop\0orders.2024");
        assert_eq!(Namespace::from_key(&parsed.key()), Some(parsed));
        for none in ["", "shop", "shop.", ".orders", "a.b\0c"] {
            assert_eq!(Namespace::parse(none), None, "{none:?}");
        }
        for none in [&b""[..], b"shop", b"shop\0", b"\0orders", b"a\0b\0c", b"a\0\xff"] {
            assert_eq!(Namespace::from_key(none), None, "{none:?}");
        }
    }
}
