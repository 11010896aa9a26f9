//! What mongodump tells of a collection beside its documents.

use std::path::Path;

use super::DumpError;
use crate::{
    document::{Element, Writer, elements, extjson, get, kind, namespace::Namespace},
    source::mongo::{Collection, Keys, Kind},
};

/// The collection that `text`, a file of metadata, describes. `path` is for errors.
pub fn collection(
    path: &Path,
    namespace: Namespace,
    text: Option<&str>,
) -> Result<Collection, DumpError> {
    let empty = Writer::new().finish();
    let document = match text {
        Some(text) => extjson::parse(text)
            .map_err(|source| DumpError::Metadata { path: path.to_owned(), source })?,
        None => empty.clone(),
    };
    let field = |name: &'static str| {
        let wrong = |_| DumpError::Field { path: path.to_owned(), field: name };
        get(&document, name.as_bytes()).map_err(wrong)
    };
    let wrong = |field| DumpError::Field { path: path.to_owned(), field };
    let options = match field("options")? {
        Some(options) => document_of(&options).ok_or_else(|| wrong("options"))?,
        None => empty,
    };
    let indexes: Vec<Vec<u8>> = match field("indexes")?.filter(|e| e.kind != kind::NULL) {
        Some(indexes) => elements(indexes.as_doc().ok_or_else(|| wrong("indexes"))?)
            .map(|index| index.ok().and_then(|index| document_of(&index)))
            .collect::<Option<_>>()
            .ok_or_else(|| wrong("indexes"))?,
        None => Vec::new(),
    };
    let text = |element: Option<Element<'_>>| {
        let text = element.and_then(|element| element.as_str().map(<[u8]>::to_vec));
        text.and_then(|text| String::from_utf8(text).ok())
    };
    let has = |name: &[u8]| get(&options, name).ok().flatten();
    let kind = match text(field("type")?).as_deref() {
        Some("view") => Kind::View,
        Some("timeseries") => Kind::TimeSeries,
        _ if has(b"viewOn").is_some() => Kind::View,
        _ if has(b"timeseries").is_some() => Kind::TimeSeries,
        _ => Kind::Collection,
    };
    let uuid = text(field("uuid")?).and_then(|hex| {
        let mut uuid = [0; 16];
        hex::decode_to_slice(hex, &mut uuid).ok().map(|()| uuid)
    });
    let is_capped = has(b"capped").is_some_and(|capped| capped.as_bool() != Some(false));
    let name = match text(field("collectionName")?) {
        // Of a name too long for a file only this tells all.
        Some(name) if !name.is_empty() => name,
        _ => namespace.collection,
    };
    Ok(Collection {
        namespace: Namespace::new(namespace.db, name),
        kind,
        uuid,
        id_index: indexes.iter().find(|index| is_of_id(index)).cloned(),
        options,
        indexes,
        keys: if is_capped { Keys::Ordinal } else { Keys::Id },
    })
}

fn document_of(element: &Element<'_>) -> Option<Vec<u8>> {
    element.as_doc().filter(|_| element.kind == kind::DOCUMENT).map(<[u8]>::to_vec)
}

fn is_of_id(index: &[u8]) -> bool {
    let name = get(index, b"name").ok().flatten();
    name.is_some_and(|name| name.as_str() == Some(b"_id_"))
}
