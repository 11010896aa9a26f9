//! Whether a document is one of those that a query asks for, as the server would answer.
//!
//! Strings compare by their bytes: the collation of a collection is not looked at. What the server
//! knows and this does not (`$where`, `$expr`, `$text`, `$jsonSchema`, what is about places on a
//! map) is refused by its name; nothing is ever taken for something near it.

mod bits;
mod error;
mod parse;
mod path;
mod pattern;
mod predicate;
#[cfg(test)]
mod tests;
mod translate;
mod types;

pub use error::QueryError;

use self::{
    path::{Leaf, Path},
    predicate::Predicate,
};
use super::{Element, Malformed, elements};

/// A query, understood.
#[derive(Debug, Clone)]
pub struct Query {
    condition: Condition,
}

impl Query {
    /// `query` as the server's `find` takes it. The empty document asks for everything.
    pub fn parse(query: &[u8]) -> Result<Query, QueryError> {
        Ok(Query { condition: parse::document(query)? })
    }

    pub fn matches(&self, doc: &[u8]) -> Result<bool, Malformed> {
        self.condition.holds_for(doc)
    }
}

/// What may be asked of a document.
#[derive(Debug, Clone)]
enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    At(Path, Test),
}

/// What may be asked of what stands at a path.
#[derive(Debug, Clone)]
enum Test {
    /// Of a value there, or of any value of an array there.
    Value(Predicate),
    /// Of an array there: some value of it is a document, or an array, for which this holds.
    SomeDocument(Box<Condition>),
    /// Of an array there: for some value of it all of this holds.
    SomeValue(Vec<OfValue>),
    /// The length of an array there.
    Size(i64),
}

/// What may be asked of a value that is at hand, without any path.
#[derive(Debug, Clone)]
enum OfValue {
    Holds(Test),
    /// Not all of these.
    Not(Vec<OfValue>),
}

impl Condition {
    fn holds_for(&self, doc: &[u8]) -> Result<bool, Malformed> {
        Ok(match self {
            Condition::All(parts) => {
                for part in parts {
                    if !part.holds_for(doc)? {
                        return Ok(false);
                    }
                }
                true
            }
            Condition::Any(parts) => {
                for part in parts {
                    if part.holds_for(doc)? {
                        return Ok(true);
                    }
                }
                false
            }
            Condition::Not(part) => !part.holds_for(doc)?,
            Condition::At(path, test) => {
                let leaf = match test {
                    Test::Value(_) => Leaf::ArrayAndItsValues,
                    _ => Leaf::AsItStands,
                };
                path.any(doc, leaf, &mut |found| test.holds(found))?
            }
        })
    }
}

impl Test {
    /// `None`: nothing stands there.
    fn holds(&self, found: Option<Element<'_>>) -> Result<bool, Malformed> {
        let array = || found.filter(|element| element.kind == super::kind::ARRAY);
        match self {
            Test::Value(predicate) => predicate.holds(found),
            Test::Size(size) => {
                let Some(array) = array() else { return Ok(false) };
                Ok(elements(array.value).count() as i64 == *size)
            }
            Test::SomeDocument(condition) => {
                let Some(array) = array() else { return Ok(false) };
                for element in elements(array.value) {
                    if let Some(inner) = element?.as_doc()
                        && condition.holds_for(inner)?
                    {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Test::SomeValue(tests) => {
                let Some(array) = array() else { return Ok(false) };
                for element in elements(array.value) {
                    if all(tests, element?)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }
}

fn all(tests: &[OfValue], element: Element<'_>) -> Result<bool, Malformed> {
    for test in tests {
        let holds = match test {
            OfValue::Holds(test) => test.holds(Some(element))?,
            OfValue::Not(tests) => !all(tests, element)?,
        };
        if !holds {
            return Ok(false);
        }
    }
    Ok(true)
}
