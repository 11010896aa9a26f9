//! Rules that rename collections, as mongorestore's `--nsFrom` and `--nsTo` have them.

use super::{
    Namespace,
    pattern::{Piece, captures, push_text},
};

/// `shop.*` to `old_shop.*`, or `data.$who$_$what$` to `$who$.$what$`.
///
/// Wildcards and variables stand for any text, dots included, and for as little of it as fits. The
/// two sides have equally many `*`, which keep their order; a variable on the right stands on the
/// left. A backslash before a character takes it as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rename {
    from: Vec<Piece>,
    /// Text, or which of the wildcards of `from` comes here.
    to: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Captured(usize),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenameError {
    #[error("{from} has {from_count} wildcards, {to} has {to_count}")]
    Wildcards { from: String, from_count: usize, to: String, to_count: usize },
    #[error("{text} has a $ without a partner")]
    OpenVariable { text: String },
    #[error("{text} has a variable without a name: $$")]
    NamelessVariable { text: String },
    #[error("{to} uses ${name}$, which {from} does not have")]
    UnknownVariable { name: String, from: String, to: String },
    #[error("{from} has ${name}$ twice")]
    VariableTwice { name: String, from: String },
    #[error("{from_count} names to rename from, and {to_count} to rename to")]
    Unpaired { from_count: usize, to_count: usize },
    #[error("{from} would become {to}, which is no name of a collection")]
    NotANamespace { from: Namespace, to: String },
}

/// A side of a rule, read.
enum Token {
    Text(char),
    Any,
    Variable(String),
}

impl Rename {
    /// # Errors
    /// The two sides don't go together.
    pub fn parse(from: &str, to: &str) -> Result<Self, RenameError> {
        let (left, right) = (tokens(from)?, tokens(to)?);
        let wildcards = |side: &[Token]| side.iter().filter(|t| matches!(t, Token::Any)).count();
        let (from_count, to_count) = (wildcards(&left), wildcards(&right));
        if from_count != to_count {
            let (from, to) = (from.into(), to.into());
            return Err(RenameError::Wildcards { from, from_count, to, to_count });
        }
        // What each capture is: a variable's name, or nothing for a wildcard.
        let mut names: Vec<Option<String>> = Vec::new();
        let mut pieces = Vec::new();
        for token in left {
            match token {
                Token::Text(character) => push_text(&mut pieces, character),
                Token::Any => names.push(None),
                Token::Variable(name) if names.contains(&Some(name.clone())) => {
                    return Err(RenameError::VariableTwice { name, from: from.into() });
                }
                Token::Variable(name) => names.push(Some(name)),
            }
            if names.len() > pieces.iter().filter(|piece| **piece == Piece::Any).count() {
                pieces.push(Piece::Any);
            }
        }
        let to = parts(right, &names).map_err(|name| {
            let (from, to) = (from.into(), to.into());
            RenameError::UnknownVariable { name, from, to }
        })?;
        Ok(Rename { from: pieces, to })
    }

    /// The new name; `None` if the rule is not for this one.
    fn apply(&self, name: &str) -> Option<String> {
        let captured = captures(&self.from, name)?;
        let parts = self.to.iter().map(|part| match part {
            Part::Text(text) => text.as_str(),
            Part::Captured(place) => captured[*place],
        });
        Some(parts.collect())
    }
}

/// Rules in their order; the first that is for a collection renames it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Renames {
    rules: Vec<Rename>,
}

impl Renames {
    /// The first of `from` with the first of `to`, and so on.
    ///
    /// # Errors
    /// The two lists don't have the same length, or two sides don't go together.
    pub fn parse(from: &[String], to: &[String]) -> Result<Self, RenameError> {
        if from.len() != to.len() {
            let (from_count, to_count) = (from.len(), to.len());
            return Err(RenameError::Unpaired { from_count, to_count });
        }
        let rules = from.iter().zip(to).map(|(from, to)| Rename::parse(from, to));
        Ok(Renames { rules: rules.collect::<Result<_, _>>()? })
    }

    /// The collection's new name, or its own if no rule is for it.
    ///
    /// # Errors
    /// A rule makes something of it that is no namespace.
    pub fn apply(&self, namespace: &Namespace) -> Result<Namespace, RenameError> {
        let name = namespace.to_string();
        match self.rules.iter().find_map(|rule| rule.apply(&name)) {
            None => Ok(namespace.clone()),
            Some(to) => Namespace::parse(&to)
                .ok_or_else(|| RenameError::NotANamespace { from: namespace.clone(), to }),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, RenameError> {
    let mut tokens = Vec::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '*' => tokens.push(Token::Any),
            '\\' => tokens.extend(characters.next().map(Token::Text)),
            '$' => {
                let rest = characters.as_str();
                let open = || RenameError::OpenVariable { text: text.into() };
                let (name, behind) = rest.split_once('$').ok_or_else(open)?;
                if name.is_empty() {
                    return Err(RenameError::NamelessVariable { text: text.into() });
                }
                tokens.push(Token::Variable(name.into()));
                characters = behind.chars();
            }
            other => tokens.push(Token::Text(other)),
        }
    }
    Ok(tokens)
}

/// The right side, by the captures of the left; a variable that is none of them is the error.
fn parts(side: Vec<Token>, names: &[Option<String>]) -> Result<Vec<Part>, String> {
    let mut wildcards = (0..names.len()).filter(|place| names[*place].is_none());
    let mut parts: Vec<Part> = Vec::new();
    for token in side {
        let captured = match token {
            Token::Text(character) => {
                match parts.last_mut() {
                    Some(Part::Text(text)) => text.push(character),
                    _ => parts.push(Part::Text(character.into())),
                }
                continue;
            }
            Token::Any => wildcards.next().expect("both sides have equally many"),
            Token::Variable(name) => {
                let place = names.iter().position(|known| known.as_ref() == Some(&name));
                place.ok_or(name)?
            }
        };
        parts.push(Part::Captured(captured));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(from: &str, to: &str, name: &str) -> String {
        let rules = Renames::parse(&[from.into()], &[to.into()]).unwrap();
        rules.apply(&Namespace::parse(name).unwrap()).unwrap().to_string()
    }

    #[test]
    fn the_documented_rules_rename() {
        assert_eq!(renamed("shop.*", "old_shop.*", "shop.a.b"), "old_shop.a.b");
        assert_eq!(renamed("*.*", "*_copy.*", "shop.a.b"), "shop_copy.a.b");
        let (from, to) = ("data.$customer$_$kind$", "customer_$customer$.$kind$");
        assert_eq!(renamed(from, to, "data.ann_orders_2"), "customer_ann.orders_2");
        assert_eq!(renamed("$a$.$b$", "$b$.$a$", "x.y"), "y.x");
        assert_eq!(renamed("*.$b$", "*.$b$_$b$", "x.y"), "x.y_y");
        assert_eq!(renamed("shop.*", "b.*", "other.c"), "other.c");
        assert_eq!(renamed(r"a.\$x\*", r"b.\$", "a.$x*"), "b.$");
    }

    #[test]
    fn the_first_rule_that_fits_is_taken() {
        let from = ["a.b", "a.*"].map(String::from);
        let to = ["x.y", "z.*"].map(String::from);
        let rules = Renames::parse(&from, &to).unwrap();
        let apply = |name| rules.apply(&Namespace::parse(name).unwrap()).unwrap().to_string();
        assert_eq!(
            (apply("a.b"), apply("a.c"), apply("b.c")),
            ("x.y".into(), "z.c".into(), "b.c".into())
        );
    }

    #[test]
    fn sides_that_do_not_go_together_are_refused() {
        let refused = |from: &str, to: &str| Rename::parse(from, to).unwrap_err();
        assert!(matches!(refused("a.*", "b.c"), RenameError::Wildcards { .. }));
        assert!(matches!(refused("a.$x", "b.c"), RenameError::OpenVariable { .. }));
        assert!(matches!(refused("a.$$", "b.c"), RenameError::NamelessVariable { .. }));
        assert!(matches!(refused("a.$x$", "b.$y$"), RenameError::UnknownVariable { .. }));
        assert!(matches!(refused("$x$.$x$", "b.c"), RenameError::VariableTwice { .. }));
        let unpaired = Renames::parse(&["a.b".into()], &[]);
        assert!(matches!(unpaired, Err(RenameError::Unpaired { .. })));
        let nowhere = Renames::parse(&["a.b".into()], &["x".into()]).unwrap();
        let named = nowhere.apply(&Namespace::new("a", "b"));
        assert!(matches!(named, Err(RenameError::NotANamespace { .. })));
    }
}
