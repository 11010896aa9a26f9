//! What a document has in it that the server would change, refuse, or choke on.
//!
//! Found out on real servers (6.0.5): an empty timestamp at the top is replaced by the present by
//! whatever writes a document as a whole, and survives in a pipeline's `$literal`; a name that
//! begins with `$` is refused in a replacement and taken in a pipeline; and two fields of one
//! name at the top, in a pipeline's `$literal`, **end the server's process**.

use hashbrown::HashSet;

use crate::document::{Malformed, elements, kind};

/// How a document must be handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Craft {
    /// `Timestamp(0, 0)` at the top, other than as `_id`.
    pub empty_timestamp: bool,
    /// A name at the top that begins with `$`.
    pub dollar_name: bool,
    /// Two fields of one name at the top.
    pub doubled_name: bool,
}

impl Craft {
    pub fn of(document: &[u8]) -> Result<Craft, Malformed> {
        let mut craft = Craft::default();
        let mut fields = 0;
        for element in elements(document) {
            let element = element?;
            fields += 1;
            craft.dollar_name |= element.name.first() == Some(&b'$');
            craft.empty_timestamp |= element.kind == kind::TIMESTAMP
                && element.name != b"_id"
                && element.value.iter().all(|byte| *byte == 0);
        }
        // Only documents that may need a pipeline are looked at twice.
        if craft.empty_timestamp || craft.dollar_name {
            let mut names = HashSet::with_capacity(fields);
            for element in elements(document) {
                craft.doubled_name |= !names.insert(element?.name);
            }
        }
        Ok(craft)
    }

    /// A pipeline must write it.
    pub(super) fn wants_pipeline(self) -> bool {
        (self.empty_timestamp || self.dollar_name) && !self.doubled_name
    }

    /// Nothing writes it as it is.
    pub(super) fn is_hopeless(self) -> bool {
        self.empty_timestamp && self.doubled_name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Writer;

    fn craft(write: impl FnOnce(&mut Writer)) -> Craft {
        let mut writer = Writer::new();
        writer.push_timestamp(b"_id", 0);
        write(&mut writer);
        Craft::of(&writer.finish()).unwrap()
    }

    #[test]
    fn plain_documents_need_nothing() {
        assert_eq!(craft(|_| ()), Craft::default());
        assert_eq!(craft(|writer| writer.push_timestamp(b"t", 1)), Craft::default());
        // Twice the same name is nothing to a plain insert or replacement.
        let doubled = craft(|writer| (0..2).for_each(|value| writer.push_i32(b"a", value)));
        assert!(!doubled.wants_pipeline());
    }

    #[test]
    fn what_needs_a_pipeline_gets_one_unless_that_would_end_the_server() {
        let empty = craft(|writer| writer.push_timestamp(b"t", 0));
        assert!(empty.wants_pipeline() && !empty.is_hopeless());
        assert!(craft(|writer| writer.push_i32(b"$a", 0)).wants_pipeline());
        let both = craft(|writer| {
            writer.push_timestamp(b"t", 0);
            (0..2).for_each(|value| writer.push_i32(b"a", value));
        });
        assert!(!both.wants_pipeline() && both.is_hopeless());
    }
}
