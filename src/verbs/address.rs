//! A place in a deployment as a person names it: `db`, `db.collection`, `db.collection/<_id>`.

use std::{fmt, str::FromStr};

use super::select::NotOne;

/// What no database's name holds, so that a text with one of these is none.
const NOT_IN_DATABASES: &[char] = &['/', '\\', '"', '$', ' ', '\0'];

/// A database, and perhaps what is in it. The names of collections may hold slashes and dots, and
/// so may ids: where a collection's name ends is known only to who has the list of them
/// (`readings`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub database: String,
    /// What follows the dot; never empty.
    pub rest: Option<String>,
}

/// One way to understand an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading<'a> {
    pub collection: &'a str,
    /// As it was typed: a bare text or Extended JSON.
    pub id: Option<&'a str>,
}

impl Address {
    /// All ways to understand it, the one to be preferred first: all of it a collection's name,
    /// then a name up to the last slash, up to the one before, and so on. Of these, the first
    /// whose collection exists is meant. None for a database alone.
    pub fn readings(&self) -> impl Iterator<Item = Reading<'_>> {
        let rest = self.rest.as_deref();
        let whole = rest.map(|collection| Reading { collection, id: None });
        let split = rest.into_iter().flat_map(|rest| {
            rest.rmatch_indices('/')
                .filter(|(at, _)| *at > 0)
                .map(|(at, _)| Reading { collection: &rest[..at], id: Some(&rest[at + 1..]) })
        });
        whole.into_iter().chain(split)
    }
}

impl FromStr for Address {
    type Err = NotOne;

    fn from_str(text: &str) -> Result<Self, NotOne> {
        let no_place = || NotOne::NoPlace { text: text.to_owned() };
        let (database, rest) = match text.split_once('.') {
            Some((database, rest)) => (database, Some(rest)),
            None => (text, None),
        };
        let is_database = !database.is_empty() && !database.contains(NOT_IN_DATABASES);
        if !is_database || rest.is_some_and(|rest| rest.is_empty() || rest.contains('\0')) {
            return Err(no_place());
        }
        Ok(Address { database: database.to_owned(), rest: rest.map(str::to_owned) })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.database)?;
        match &self.rest {
            Some(rest) => write!(f, ".{rest}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(text: &str) -> Vec<(String, Option<String>)> {
        let address: Address = text.parse().unwrap();
        assert_eq!(address.to_string(), text);
        let owned = |reading: Reading| (reading.collection.into(), reading.id.map(str::to_owned));
        address.readings().map(owned).collect()
    }

    #[test]
    fn every_way_to_understand_an_address() {
        let of = |collection: &str, id: Option<&str>| (collection.into(), id.map(str::to_owned));
        assert_eq!(readings("shop"), []);
        assert_eq!(readings("shop.orders"), [of("orders", None)]);
        assert_eq!(readings("shop.a.b"), [of("a.b", None)]);
        assert_eq!(
            readings("shop.orders/65f0"),
            [of("orders/65f0", None), of("orders", Some("65f0"))]
        );
        assert_eq!(
            readings("shop.a/b/"),
            [of("a/b/", None), of("a/b", Some("")), of("a", Some("b/"))]
        );
        assert_eq!(readings("shop./x"), [of("/x", None)]);
    }

    #[test]
    fn texts_that_lead_nowhere() {
        for text in ["", ".", ".x", "shop.", "etc/passwd", "a b.c", "a$b", "a\0b", "a.b\0c"] {
            assert!(matches!(text.parse::<Address>(), Err(NotOne::NoPlace { .. })), "{text:?}");
        }
    }
}
