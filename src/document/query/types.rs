//! `$type`: types by their names and numbers.

use super::QueryError;
use crate::document::{Element, elements, kind};

/// Some types.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Types(Vec<u8>);

const NAMES: &[(&str, u8)] = &[
    ("double", kind::DOUBLE),
    ("string", kind::STRING),
    ("object", kind::DOCUMENT),
    ("array", kind::ARRAY),
    ("binData", kind::BINARY),
    ("undefined", kind::UNDEFINED),
    ("objectId", kind::OBJECT_ID),
    ("bool", kind::BOOL),
    ("date", kind::DATE),
    ("null", kind::NULL),
    ("regex", kind::REGEX),
    ("dbPointer", kind::DB_POINTER),
    ("javascript", kind::CODE),
    ("symbol", kind::SYMBOL),
    ("javascriptWithScope", kind::CODE_WITH_SCOPE),
    ("int", kind::INT32),
    ("timestamp", kind::TIMESTAMP),
    ("long", kind::INT64),
    ("decimal", kind::DECIMAL128),
    ("minKey", kind::MIN_KEY),
    ("maxKey", kind::MAX_KEY),
];
const NUMBERS: [u8; 4] = [kind::DOUBLE, kind::INT32, kind::INT64, kind::DECIMAL128];

impl Types {
    /// A name, a number, or an array of them.
    pub fn parse(operand: &Element<'_>) -> Result<Types, QueryError> {
        let mut types = Types::default();
        if operand.kind == kind::ARRAY {
            for one in elements(operand.value) {
                types.add(&one?)?;
            }
        } else {
            types.add(operand)?;
        }
        if types.0.is_empty() { Err(wanted()) } else { Ok(types) }
    }

    fn add(&mut self, one: &Element<'_>) -> Result<(), QueryError> {
        if one.kind == kind::STRING {
            let name = one.as_str().unwrap_or_default();
            if name == b"number" {
                self.0.extend(NUMBERS);
                return Ok(());
            }
            let known = NAMES.iter().find(|(known, _)| known.as_bytes() == name);
            self.0.push(known.ok_or_else(wanted)?.1);
            return Ok(());
        }
        let number = super::parse::integer(one).ok_or_else(wanted)?;
        let number = if number == -1 { kind::MIN_KEY.into() } else { number };
        let known = NAMES.iter().find(|(_, known)| i64::from(*known) == number);
        self.0.push(known.filter(|_| number != 255 || is_minus_one(one)).ok_or_else(wanted)?.1);
        Ok(())
    }

    pub fn has(&self, kind: u8) -> bool {
        self.0.contains(&kind)
    }
}

fn is_minus_one(one: &Element<'_>) -> bool {
    super::parse::integer(one) == Some(-1)
}

fn wanted() -> QueryError {
    QueryError::Operand {
        operator: "$type".into(),
        wanted: "the name or number of a type, or an array of them",
    }
}
