//! What makes one document into another, field by field.

use std::collections::{HashMap, VecDeque};

use super::{Element, Malformed, OwnedValue, elements};
use crate::limits::DOCUMENT_DEPTH_MAX;

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldChange {
    /// From the top, with dots between; a place in an array is its number. What is no UTF-8 shows
    /// as U+FFFD. None for the document itself: an empty one is a field's without a name.
    pub path: Option<String>,
    pub what: FieldFate,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldFate {
    Added(OwnedValue),
    Removed(OwnedValue),
    /// Another value, or the same number as another type.
    Changed(OwnedValue, OwnedValue),
    /// The same fields stand there in another order.
    Reordered,
}

/// The changes that make `old` into `new`, in the order of the old document's fields, added ones
/// behind. Empty if and only if both are the same bytes.
pub fn changes(old: &[u8], new: &[u8]) -> Result<Vec<FieldChange>, Malformed> {
    let mut found = Vec::new();
    compare(old, new, &mut Vec::new(), &mut found)?;
    Ok(found)
}

fn compare<'d>(
    old: &'d [u8],
    new: &'d [u8],
    path: &mut Vec<&'d [u8]>,
    found: &mut Vec<FieldChange>,
) -> Result<(), Malformed> {
    if old == new {
        return Ok(());
    }
    if path.len() > DOCUMENT_DEPTH_MAX {
        return Err(Malformed::TooDeep);
    }
    let new: Vec<Element> = elements(new).collect::<Result<_, _>>()?;
    // Of fields that have one name, the first is compared with the first, and so on.
    let mut left: HashMap<&[u8], VecDeque<usize>> = HashMap::new();
    for (place, element) in new.iter().enumerate() {
        left.entry(element.name).or_default().push_back(place);
    }
    let mut places = Vec::new();
    for element in elements(old) {
        let element = element?;
        let place = left.get_mut(element.name).and_then(VecDeque::pop_front);
        path.push(element.name);
        match place.map(|place| (place, new[place])) {
            None => note(path, FieldFate::Removed(element.into()), found),
            Some((place, other)) => {
                places.push(place);
                match (element.as_doc(), other.as_doc()) {
                    (Some(a), Some(b)) if element.kind == other.kind => {
                        compare(a, b, path, found)?;
                    }
                    _ if element == other => {}
                    _ => {
                        let fate = FieldFate::Changed(element.into(), other.into());
                        note(path, fate, found);
                    }
                }
            }
        }
        path.pop();
    }
    if !places.is_sorted() {
        note(path, FieldFate::Reordered, found);
    }
    let mut added: Vec<usize> = left.into_values().flatten().collect();
    added.sort_unstable();
    for place in added {
        path.push(new[place].name);
        note(path, FieldFate::Added(new[place].into()), found);
        path.pop();
    }
    Ok(())
}

fn note(path: &[&[u8]], what: FieldFate, found: &mut Vec<FieldChange>) {
    let parts: Vec<_> = path.iter().map(|part| String::from_utf8_lossy(part)).collect();
    let path = (!parts.is_empty()).then(|| parts.join("."));
    found.push(FieldChange { path, what });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{
        extjson::{Flavour, parse, value_to_text},
        testing::one_of_each,
    };

    fn told(old: &str, new: &str) -> Vec<String> {
        let text =
            |value: &OwnedValue| value_to_text(&value.element(), Flavour::Canonical).unwrap();
        let tell = |change: FieldChange| {
            let path = change.path.unwrap_or_else(|| "all".to_owned());
            match change.what {
                FieldFate::Added(value) => format!("+ {path}: {}", text(&value)),
                FieldFate::Removed(value) => format!("- {path}: {}", text(&value)),
                FieldFate::Changed(a, b) => format!("{path}: {} -> {}", text(&a), text(&b)),
                FieldFate::Reordered => format!("{path}: order"),
            }
        };
        let changes = changes(&parse(old).unwrap(), &parse(new).unwrap()).unwrap();
        changes.into_iter().map(tell).collect()
    }

    #[test]
    fn fields_of_fields_are_told_one_by_one() {
        assert_eq!(told("{a:1}", "{a:1}"), Vec::<String>::new());
        assert_eq!(
            told(r#"{a:1,b:"x",c:true,n:null}"#, r#"{a:{"$numberLong":"1"},c:true,d:[],n:null}"#),
            [r#"a: {"$numberInt":"1"} -> {"$numberLong":"1"}"#, r#"- b: "x""#, "+ d: []",]
        );
        assert_eq!(
            told(r#"{o:{p:{q:"1"}},l:[true,{x:null}]}"#, r#"{o:{p:{q:"2"}},l:[true,{},false]}"#),
            [r#"o.p.q: "1" -> "2""#, "- l.1.x: null", "+ l.2: false"]
        );
        assert_eq!(told("{o:{}}", "{o:[]}"), ["o: {} -> []"]);
    }

    #[test]
    fn order_and_doubled_names_count() {
        assert_eq!(told("{a:true,b:null}", "{b:null,a:true}"), ["all: order"]);
        assert_eq!(
            told(r#"{"":{a:true,b:null}}"#, r#"{"":{b:null,a:true}}"#),
            [": order"],
            "a field without a name is not the document"
        );
        assert_eq!(told("{o:{a:true,b:null}}", "{o:{b:null,a:true}}"), ["o: order"]);
        assert_eq!(told("{a:true,a:null}", "{a:true,a:false}"), ["a: null -> false"]);
        assert_eq!(told("{a:true}", "{a:true,a:null}"), ["+ a: null"]);
        assert_eq!(told("{a:true,b:null}", "{c:[],a:true,b:null}"), ["+ c: []"]);
    }

    #[test]
    fn only_equal_documents_have_no_changes() {
        let whole = one_of_each();
        let all: Vec<Element> = elements(&whole).map(Result::unwrap).collect();
        assert_eq!(changes(&whole, &whole), Ok(Vec::new()));
        for left_out in 0..all.len() {
            let mut writer = crate::document::Writer::new();
            all.iter()
                .enumerate()
                .filter(|(at, _)| *at != left_out)
                .for_each(|(_, e)| writer.push(e));
            let other = writer.finish();
            for (a, b) in [(&whole, &other), (&other, &whole)] {
                assert!(!changes(a, b).unwrap().is_empty(), "without {left_out}");
            }
        }
        for length in 0..whole.len() {
            assert!(changes(&whole, &whole[..length]).is_err());
        }
    }
}
