//! Indexes, built after the data: all of a collection in one command, in their order.

use super::{
    Error,
    command::{is_true, on, text_in, without},
};
use crate::{
    document::{ArrayWriter, Writer, elements, get, namespace::Namespace},
    mongo::{self, Link},
};

/// Fields of an index specification that say nothing to `createIndexes`.
const NOT_OPTIONS: [&[u8]; 4] = [b"ns", b"background", b"dropDups", b"buildUUID"];
const INVALID_OPTION: i32 = 197;

/// The specifications of `specs` to be asked for: without the one of `_id`, which is there, and
/// with `simple` said where the collection's own collation would come in otherwise.
pub fn wanted(specs: &[Vec<u8>], options: &[u8]) -> Vec<Vec<u8>> {
    let collation = matches!(get(options, b"collation"), Ok(Some(_)));
    let asked = specs.iter().filter(|spec| !is_of_id(spec));
    asked
        .map(|spec| {
            let mut kept = without(spec, &NOT_OPTIONS).unwrap_or_default();
            if collation && matches!(get(spec, b"collation"), Ok(None)) {
                let mut simple = Writer::new();
                simple.push_str(b"locale", "simple");
                kept.push_doc(b"collation", &simple.finish());
            }
            kept.finish()
        })
        .collect()
}

/// The index that a collection has from its beginning.
fn is_of_id(spec: &[u8]) -> bool {
    if is_true(spec, b"clustered") {
        return true;
    }
    let Ok(Some(key)) = get(spec, b"key") else { return false };
    let mut fields = elements(key.value);
    // `{_id: "hashed"}` and such are indexes like others.
    let first = fields.next().and_then(Result::ok);
    let is_one = first.is_some_and(|first| {
        first.name == b"_id" && (first.as_i64() == Some(1) || first.as_f64() == Some(1.0))
    });
    is_one && fields.next().is_none()
}

/// Whether an index lets documents expire.
pub fn is_ttl(spec: &[u8]) -> bool {
    matches!(get(spec, b"expireAfterSeconds"), Ok(Some(_)))
}

pub fn name_of(spec: &[u8]) -> String {
    text_in(spec, b"name").unwrap_or_default()
}

/// What came of building.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Built {
    /// Names, in their order.
    pub built: Vec<String>,
    /// Names, and what the server said.
    pub failed: Vec<(String, String)>,
    /// The server does not know an option of one, and left it out.
    pub options_left_out: bool,
}

/// Builds the indexes in one command; if the server refuses it, each by itself, so that what can
/// be had is there. An error is none of one index: privileges, the connection.
pub fn build(link: &Link, place: &Namespace, specs: &[Vec<u8>]) -> Result<Built, Error> {
    let mut built = Built::default();
    if specs.is_empty() {
        return Ok(built);
    }
    let failed = |source| Error::Indexes { place: place.clone(), source };
    match ask(link, place, specs, &mut built) {
        Ok(()) => {
            built.built = specs.iter().map(|spec| name_of(spec)).collect();
            return Ok(built);
        }
        Err(error) if is_of_one(&error) => {}
        Err(error) => return Err(failed(error)),
    }
    for spec in specs {
        let name = name_of(spec);
        match ask(link, place, std::slice::from_ref(spec), &mut built) {
            Ok(()) => built.built.push(name),
            Err(error) if is_of_one(&error) => built.failed.push((name, error.to_string())),
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(built)
}

fn is_of_one(error: &mongo::Error) -> bool {
    matches!(error, mongo::Error::Command { .. }) && !error.is_passing()
}

fn ask(
    link: &Link,
    place: &Namespace,
    specs: &[Vec<u8>],
    built: &mut Built,
) -> Result<(), mongo::Error> {
    // What is there already is not built twice, so that it may be asked for twice.
    match link.ask(&place.db, &command(place, specs, false)) {
        Err(error) if error.code() == Some(INVALID_OPTION) => {
            built.options_left_out = true;
            link.ask(&place.db, &command(place, specs, true)).map(|_| ())
        }
        run => run.map(|_| ()),
    }
}

fn command(place: &Namespace, specs: &[Vec<u8>], lenient: bool) -> Vec<u8> {
    let mut list = ArrayWriter::new();
    specs.iter().for_each(|spec| list.push_doc(spec));
    let mut command = on("createIndexes", place);
    command.push_array(b"indexes", &list.finish());
    if lenient {
        command.push_bool(b"ignoreUnknownIndexOptions", true);
    }
    command.finish()
}

/// Drops an index by its name; that there is none is no error.
pub fn drop_index(link: &Link, place: &Namespace, name: &str) -> Result<(), Error> {
    const NAMESPACE_NOT_FOUND: i32 = 26;
    const INDEX_NOT_FOUND: i32 = 27;
    let mut command = on("dropIndexes", place);
    command.push_str(b"index", name);
    match link.run(&place.db, &command.finish()) {
        Err(error) if [NAMESPACE_NOT_FOUND, INDEX_NOT_FOUND].map(Some).contains(&error.code()) => {
            Ok(())
        }
        Err(source) => Err(Error::Indexes { place: place.clone(), source }),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, write: impl FnOnce(&mut Writer), more: &str) -> Vec<u8> {
        let mut key = Writer::new();
        write(&mut key);
        let mut spec = Writer::new();
        spec.push_i32(b"v", 2);
        spec.push_doc(b"key", &key.finish());
        spec.push_str(b"name", name);
        if !more.is_empty() {
            spec.push_str(more.as_bytes(), "x");
        }
        spec.finish()
    }

    #[test]
    fn the_index_of_id_is_not_asked_for_and_a_hashed_one_is() {
        let of_id = spec("_id_", |key| key.push_i32(b"_id", 1), "");
        let legacy = spec("_id_", |key| key.push_f64(b"_id", 1.0), "");
        let hashed = spec("h", |key| key.push_str(b"_id", "hashed"), "ns");
        let down = spec("down", |key| key.push_i32(b"_id", -1), "");
        let options = Writer::new().finish();
        let asked = wanted(&[of_id, legacy, hashed, down], &options);
        let names: Vec<String> = asked.iter().map(|spec| name_of(spec)).collect();
        assert_eq!(names, ["h", "down"]);
        assert_eq!(get(&asked[0], b"ns").unwrap(), None);
        assert_eq!(get(&asked[0], b"collation").unwrap(), None);
    }

    #[test]
    fn simple_is_said_where_the_collection_has_another_collation() {
        let mut options = Writer::new();
        options.push_doc(b"collation", &Writer::new().finish());
        let options = options.finish();
        let own = spec("own", |key| key.push_i32(b"a", 1), "collation");
        let simple = spec("simple", |key| key.push_i32(b"b", 1), "");
        let asked = wanted(&[own.clone(), simple], &options);
        assert_eq!(asked[0], own);
        let collation = get(&asked[1], b"collation").unwrap().unwrap();
        assert_eq!(text_in(collation.value, b"locale").as_deref(), Some("simple"));
    }
}
