//! What holds for all documents: those that chance makes, and bytes that are none.

use std::cmp::Ordering;

use proptest::{collection::vec, prelude::*};

use crate::document::{
    ArrayWriter, Element, Writer, apply_diff, apply_modifiers, check, compare, elements, get,
    id_key, kind, testing::one_of_each,
};

type Value = (u8, Vec<u8>);

fn string(text: &[u8]) -> Vec<u8> {
    [&(text.len() as i32 + 1).to_le_bytes()[..], text, b"\0"].concat()
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![Just(0u8), Just(b'a'), Just(b'b'), Just(0xff)], 0..4)
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![Just(b"a".to_vec()), Just(b"".to_vec()), Just(b"ab".to_vec()), vec(1u8.., 0..5)]
}

fn number() -> impl Strategy<Value = Value> {
    let whole = prop_oneof![
        -3i64..4,
        any::<i64>(),
        (0..63u32, -1i64..2).prop_map(|(b, d)| { (1i64 << b) + d })
    ];
    let double =
        prop_oneof![any::<u64>().prop_map(f64::from_bits), whole.clone().prop_map(|w| w as f64)];
    // Any coefficient with exponents near to one another, and any bits.
    let near =
        (any::<bool>(), 0..5000u128, 6170..6180u128).prop_map(|(sign, coefficient, exponent)| {
            u128::from(sign) << 127 | exponent << 113 | coefficient
        });
    let decimal = prop_oneof![near, any::<u128>()];
    prop_oneof![
        whole.clone().prop_map(|w| (kind::INT64, w.to_le_bytes().to_vec())),
        whole.prop_map(|w| (kind::INT32, (w as i32).to_le_bytes().to_vec())),
        double.prop_map(|d| (kind::DOUBLE, d.to_le_bytes().to_vec())),
        decimal.prop_map(|d| (kind::DECIMAL128, d.to_le_bytes().to_vec())),
    ]
}

fn scalar() -> impl Strategy<Value = Value> {
    let texts = prop_oneof![Just(kind::STRING), Just(kind::SYMBOL), Just(kind::CODE)];
    let empty = vec![kind::NULL, kind::UNDEFINED, kind::MIN_KEY, kind::MAX_KEY];
    let eight = vec![kind::DATE, kind::TIMESTAMP];
    prop_oneof![
        4 => number(),
        2 => (texts, text()).prop_map(|(kind, text)| (kind, string(&text))),
        1 => prop::sample::select(empty).prop_map(|kind| (kind, vec![])),
        1 => (prop::sample::select(eight), any::<i64>())
            .prop_map(|(kind, value)| (kind, value.to_le_bytes().to_vec())),
        1 => (0..3u8, vec(any::<u8>(), 0..4)).prop_map(|(subtype, bytes)| {
            (kind::BINARY, [&(bytes.len() as i32).to_le_bytes()[..], &[subtype], &bytes].concat())
        }),
        1 => vec(0..3u8, 12).prop_map(|bytes| (kind::OBJECT_ID, bytes)),
        1 => any::<bool>().prop_map(|b| (kind::BOOL, vec![u8::from(b)])),
        1 => (name(), name()).prop_map(|(a, b)| (kind::REGEX, [&a[..], b"\0", &b, b"\0"].concat())),
        1 => (text(), vec(0..2u8, 12))
            .prop_map(|(text, id)| (kind::DB_POINTER, [string(&text), id].concat())),
        1 => (text(), name(), scalar_leaf()).prop_map(|(code, name, (kind, value))| {
            let inside = [string(&code), document(&[(name, (kind, value))])].concat();
            let length = (inside.len() as i32 + 4).to_le_bytes();
            (kind::CODE_WITH_SCOPE, [&length[..], &inside].concat())
        }),
    ]
}

fn scalar_leaf() -> impl Strategy<Value = Value> {
    any::<i32>().prop_map(|value| (kind::INT32, value.to_le_bytes().to_vec()))
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            vec((name(), inner.clone()), 0..4).prop_map(|f| (kind::DOCUMENT, document(&f))),
            vec(inner, 0..4).prop_map(|values| (kind::ARRAY, array(&values))),
        ]
    })
}

fn document(fields: &[(Vec<u8>, Value)]) -> Vec<u8> {
    let mut writer = Writer::new();
    fields.iter().for_each(|(name, (kind, value))| writer.push_raw(*kind, name, value));
    writer.finish()
}

fn array(values: &[Value]) -> Vec<u8> {
    let mut writer = ArrayWriter::new();
    values.iter().for_each(|(kind, value)| writer.push_raw(*kind, value));
    writer.finish()
}

fn element(value: &Value) -> Element<'_> {
    Element { kind: value.0, name: b"_id", value: &value.1 }
}

/// Bytes that look like a document for a while: parts of one, with some bytes changed.
fn nearly_a_document() -> impl Strategy<Value = Vec<u8>> {
    let changes = vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let docs = prop_oneof![
        vec((name(), value()), 0..5).prop_map(|fields| document(&fields)),
        Just(one_of_each()),
        diff_like().prop_map(|fields| document(&fields)),
    ];
    (docs, changes).prop_map(|(mut doc, changes)| {
        changes.iter().for_each(|(at, byte)| *at.get_mut(&mut doc) = *byte);
        doc
    })
}

/// Documents with the names that diffs and modifiers have.
fn diff_like() -> impl Strategy<Value = Vec<(Vec<u8>, Value)>> {
    let names = vec!["d", "u", "i", "s", "sa", "s0", "sab", "a", "l", "u0", "u7", "$set", "$unset"];
    let section = prop::sample::select(names).prop_map(|name| name.as_bytes().to_vec());
    vec((section, value()), 0..4)
}

proptest! {
    #[test]
    fn what_is_written_is_walked(fields in vec((name(), value()), 0..6)) {
        let doc = document(&fields);
        prop_assert_eq!(check(&doc), Ok(()));
        let walked: Vec<Element> = elements(&doc).map(Result::unwrap).collect();
        prop_assert_eq!(walked.len(), fields.len());
        for (walked, (name, (kind, value))) in walked.iter().zip(&fields) {
            let expected = Element { kind: *kind, name, value };
            prop_assert_eq!(walked, &expected);
        }
        for (name, _) in &fields {
            let first = walked.iter().find(|element| element.name == name);
            prop_assert_eq!(get(&doc, name).unwrap(), first.copied());
        }
    }

    #[test]
    fn keys_compare_as_values_do(values in vec(value(), 2..6)) {
        let keys: Vec<_> = values.iter().map(|v| id_key(&element(v)).unwrap()).collect();
        for (a, key_a) in values.iter().zip(&keys) {
            for (b, key_b) in values.iter().zip(&keys) {
                let order = compare(&element(a), &element(b));
                prop_assert_eq!(order, key_a.cmp(key_b), "{:?} {:?}", a, b);
            }
        }
    }

    #[test]
    fn numbers_compare_as_their_values_do(a in number(), b in number()) {
        let order = compare(&element(&a), &element(&b));
        let keys = [&a, &b].map(|value| id_key(&element(value)).unwrap());
        prop_assert_eq!(order, keys[0].cmp(&keys[1]));
        if let (Some(a), Some(b)) = (element(&a).as_i64(), element(&b).as_i64()) {
            prop_assert_eq!(order, a.cmp(&b));
        }
        if let (Some(a), Some(b)) = (element(&a).as_f64(), element(&b).as_f64()) {
            prop_assert_eq!(Some(order), a.partial_cmp(&b).or(Some(order)));
        }
    }

    #[test]
    fn any_bytes_are_a_document_or_an_error(bytes in prop_oneof![
        nearly_a_document(), vec(any::<u8>(), 0..200),
    ]) {
        let sound = check(&bytes).is_ok();
        prop_assert!(elements(&bytes).count() <= bytes.len() + 1);
        for element in elements(&bytes).flatten() {
            let key = id_key(&element);
            prop_assert!(key.is_ok() || !sound);
            prop_assert_eq!(compare(&element, &element), Ordering::Equal);
        }
    }

    #[test]
    fn any_bytes_are_a_change_or_an_error(
        base in nearly_a_document(), change in nearly_a_document(), wrap in any::<bool>(),
    ) {
        let sound = check(&base).is_ok() && check(&change).is_ok();
        let within = [(b"sa".to_vec(), (kind::DOCUMENT, change.clone()))];
        let change = if wrap { document(&within) } else { change };
        let made = [apply_diff(&base, &change), apply_modifiers(&base, &change)];
        for made in made.into_iter().flatten() {
            prop_assert!(!sound || check(&made).is_ok());
        }
    }
}
