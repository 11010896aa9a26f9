//! Commands for the server, as bytes.

use super::Craft;
use crate::{
    document::{ArrayWriter, Element, Malformed, Writer, get, kind, namespace::Namespace},
    limits::RESTORE_BATCH_BYTES,
};

/// `{<name>: <the collection>}`, to be gone on with.
pub(super) fn on(name: &str, place: &Namespace) -> Writer {
    let mut command = Writer::new();
    command.push_str(name.as_bytes(), &place.collection);
    command
}

/// `{insert: ..., documents: [...]}`, written by one member before the answer comes: the rest of
/// the set is waited for once, at the end of it all.
pub(super) fn insert(
    place: &Namespace,
    documents: &[&[u8]],
    ordered: bool,
    bypass: bool,
) -> Vec<u8> {
    let mut command = on("insert", place);
    command.push_bool(b"ordered", ordered);
    options(&mut command, bypass);
    command.push_docs(b"documents", documents);
    command.finish()
}

/// `{update: ..., updates: [...]}`.
pub(super) fn update(
    place: &Namespace,
    statements: &[&[u8]],
    ordered: bool,
    bypass: bool,
) -> Vec<u8> {
    let mut command = on("update", place);
    command.push_bool(b"ordered", ordered);
    finish(command, "updates", statements, bypass)
}

/// `{delete: ..., deletes: [...]}`.
pub(super) fn delete(place: &Namespace, statements: &[&[u8]]) -> Vec<u8> {
    let mut command = on("delete", place);
    command.push_bool(b"ordered", false);
    finish(command, "deletes", statements, false)
}

fn finish(mut command: Writer, name: &str, list: &[&[u8]], bypass: bool) -> Vec<u8> {
    options(&mut command, bypass);
    command.push_docs(name.as_bytes(), list);
    command.finish()
}

fn options(command: &mut Writer, bypass: bool) {
    if bypass {
        command.push_bool(b"bypassDocumentValidation", true);
    }
    let mut concern = Writer::new();
    concern.push_i32(b"w", 1);
    command.push_doc(b"writeConcern", &concern.finish());
}

/// The statement that writes `document` where `_id` stands: in place of the document there, if it
/// is still `was`; without `was`, as a new one.
pub(super) fn write_statement(
    document: &[u8],
    was: Option<&[u8]>,
    craft: Craft,
) -> Result<Vec<u8>, Malformed> {
    let mut statement = Writer::new();
    let id = get(was.unwrap_or(document), b"_id")?;
    let id_bytes = id.as_ref().map_or(0, |id| id.value.len());
    let seen = was.filter(|was| id_bytes + was.len() + document.len() <= RESTORE_BATCH_BYTES);
    let filter = match was {
        Some(_) => filter(id.as_ref(), seen),
        None => nothing(id.as_ref()),
    };
    statement.push_doc(b"q", &filter);
    if craft.wants_pipeline() {
        let mut literal = Writer::new();
        literal.push_doc(b"$literal", document);
        let mut stage = Writer::new();
        stage.push_doc(b"$replaceWith", &literal.finish());
        let mut pipeline = ArrayWriter::new();
        pipeline.push_doc(&stage.finish());
        statement.push_array(b"u", &pipeline.finish());
    } else {
        statement.push_doc(b"u", document);
    }
    statement.push_bool(b"upsert", was.is_none());
    if seen.is_some() {
        push_simple(&mut statement, id.as_ref());
    }
    Ok(statement.finish())
}

/// The statement that removes a document if it is still `was`.
pub(super) fn remove_statement(was: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut statement = Writer::new();
    let id = get(was, b"_id")?;
    let id_bytes = id.as_ref().map_or(0, |id| id.value.len());
    let seen = Some(was).filter(|was| id_bytes + was.len() <= RESTORE_BATCH_BYTES);
    statement.push_doc(b"q", &filter(id.as_ref(), seen));
    statement.push_i32(b"limit", 1);
    if seen.is_some() {
        push_simple(&mut statement, id.as_ref());
    }
    Ok(statement.finish())
}

/// Text compares by its bytes, whatever the collection's collation. Where the `_id` may hold text,
/// its index would be of no use then, and each statement read the whole collection.
fn push_simple(statement: &mut Writer, id: Option<&Element>) {
    const TEXTLESS: [u8; 12] = [
        kind::DOUBLE,
        kind::BINARY,
        kind::OBJECT_ID,
        kind::BOOL,
        kind::DATE,
        kind::NULL,
        kind::INT32,
        kind::TIMESTAMP,
        kind::INT64,
        kind::DECIMAL128,
        kind::MIN_KEY,
        kind::MAX_KEY,
    ];
    if id.is_some_and(|id| TEXTLESS.contains(&id.kind)) {
        let mut collation = Writer::new();
        collation.push_str(b"locale", "simple");
        statement.push_doc(b"collation", &collation.finish());
    }
}

/// `{_id: {$eq: ...}, $expr: {$and: [{$eq: [{$bsonSize: "$$ROOT"}, ...]}, {$eq: [{$cmp:
/// ["$$ROOT", {$literal: was}]}, 0]}]}}`: numbers of two types compare as equal, and those of the
/// most types differ in size. Where the old document and the new one would not fit into one
/// command, the old one is known by its `_id` alone. 4.4 takes `$$ROOT` beside a literal in `$eq`
/// for a path of fields, and fails.
fn filter(id: Option<&Element>, was: Option<&[u8]>) -> Vec<u8> {
    let mut filter = Writer::new();
    if let Some(id) = id {
        push_equal(&mut filter, id);
    }
    if let Some(was) = was {
        let mut literal = Writer::new();
        literal.push_doc(b"$literal", was);
        let mut both = ArrayWriter::new();
        both.push_str("$$ROOT");
        both.push_doc(&literal.finish());
        let mut compared = Writer::new();
        compared.push_array(b"$cmp", &both.finish());
        let mut size = Writer::new();
        size.push_str(b"$bsonSize", "$$ROOT");
        let mut is_it = ArrayWriter::new();
        is_it.push_doc(&is(size, was.len() as i32));
        is_it.push_doc(&is(compared, 0));
        let mut and = Writer::new();
        and.push_array(b"$and", &is_it.finish());
        filter.push_doc(b"$expr", &and.finish());
    }
    filter.finish()
}

/// `{$eq: [what, number]}`.
fn is(what: Writer, number: i32) -> Vec<u8> {
    let mut both = ArrayWriter::new();
    both.push_doc(&what.finish());
    both.push_raw(kind::INT32, &number.to_le_bytes());
    let mut equal = Writer::new();
    equal.push_array(b"$eq", &both.finish());
    equal.finish()
}

/// `{_id: {$eq: ...}, $nor: [{}]}`, which no document is: what an upsert makes of it is new, or
/// there is one of that `_id` already, and it fails.
fn nothing(id: Option<&Element>) -> Vec<u8> {
    let mut filter = Writer::new();
    if let Some(id) = id {
        push_equal(&mut filter, id);
    }
    let mut all = ArrayWriter::new();
    all.push_doc(&Writer::new().finish());
    filter.push_array(b"$nor", &all.finish());
    filter.finish()
}

fn push_equal(filter: &mut Writer, id: &Element) {
    let mut equal = Writer::new();
    equal.push_raw(id.kind, b"$eq", id.value);
    filter.push_doc(b"_id", &equal.finish());
}

/// `{find: ..., filter: {_id: {$in: ids}}}`, each document whole.
pub(super) fn find_ids<'a>(
    place: &Namespace,
    ids: impl IntoIterator<Item = Element<'a>>,
) -> Vec<u8> {
    let mut list = ArrayWriter::new();
    ids.into_iter().for_each(|id| list.push_raw(id.kind, id.value));
    let mut among = Writer::new();
    among.push_array(b"$in", &list.finish());
    let mut filter = Writer::new();
    filter.push_doc(b"_id", &among.finish());
    let mut command = on("find", place);
    command.push_doc(b"filter", &filter.finish());
    command.finish()
}

/// Whether a field is there and says yes.
pub(super) fn is_true(document: &[u8], name: &[u8]) -> bool {
    let field = get(document, name).ok().flatten();
    field.is_some_and(|field| {
        field.as_bool() == Some(true)
            || field.as_i64().is_some_and(|number| number != 0)
            || field.as_f64().is_some_and(|number| number != 0.0)
    })
}

/// The fields of `document` but these.
pub(super) fn without(document: &[u8], names: &[&[u8]]) -> Result<Writer, Malformed> {
    let mut kept = Writer::new();
    for element in crate::document::elements(document) {
        let element = element?;
        if !names.contains(&element.name) {
            kept.push(&element);
        }
    }
    Ok(kept)
}

/// A document field's bytes.
pub(super) fn document_in<'a>(document: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    get(document, name).ok()??.as_doc()
}

/// A string field, as text.
pub(super) fn text_in(document: &[u8], name: &[u8]) -> Option<String> {
    let field = get(document, name).ok()??;
    field.as_str().map(|text| String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_what_the_server_expects() {
        let place = Namespace::new("d", "c");
        let mut document = Writer::new();
        document.push_i32(b"_id", 7);
        let document = document.finish();
        let statement = write_statement(&document, Some(&document), Craft::default()).unwrap();
        let filter = document_in(&statement, b"q").unwrap();
        let equal = document_in(filter, b"_id").unwrap();
        assert_eq!(get(equal, b"$eq").unwrap().unwrap().as_i64(), Some(7));
        assert!(document_in(filter, b"$expr").is_some());
        assert!(document_in(&statement, b"collation").is_some());
        let mut named = Writer::new();
        named.push_str(b"_id", "seven");
        let named = remove_statement(&named.finish()).unwrap();
        assert_eq!(document_in(&named, b"collation"), None, "by that it would not be found");
        assert_eq!(document_in(&statement, b"u").unwrap(), document);
        let craft = Craft { empty_timestamp: true, ..Craft::default() };
        let statement = write_statement(&document, None, craft).unwrap();
        assert_eq!(get(&statement, b"u").unwrap().unwrap().kind, kind::ARRAY);
        assert!(is_true(&statement, b"upsert") && !is_true(&statement, b"multi"));
        let command = insert(&place, &[&document[..]], false, true);
        assert_eq!(text_in(&command, b"insert").as_deref(), Some("c"));
        assert!(is_true(&command, b"bypassDocumentValidation") && !is_true(&command, b"ordered"));
    }
}
