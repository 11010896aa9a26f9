//! Patterns of namespaces, as mongorestore's `--nsInclude` has them.

use super::Namespace;

/// Text with wildcards: `*` stands for any text, dots included; a backslash before a character
/// takes it as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Any,
}

impl Pattern {
    pub fn parse(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match character {
                '*' => pieces.push(Piece::Any),
                // A backslash at the end stands for nothing, as with mongorestore.
                '\\' => characters.next().into_iter().for_each(|c| push_text(&mut pieces, c)),
                other => push_text(&mut pieces, other),
            }
        }
        Pattern { pieces }
    }

    /// Whether the whole text is as the pattern says.
    pub fn matches(&self, text: &str) -> bool {
        captures(&self.pieces, text).is_some()
    }
}

/// Several patterns: what any of them matches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patterns {
    patterns: Vec<Pattern>,
    texts: Vec<String>,
}

impl Patterns {
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let texts: Vec<String> = texts.into_iter().map(str::to_owned).collect();
        Patterns { patterns: texts.iter().map(|text| Pattern::parse(text)).collect(), texts }
    }

    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether one matches `db.collection`. No pattern matches nothing.
    pub fn matches(&self, namespace: &Namespace) -> bool {
        let text = namespace.to_string();
        self.patterns.iter().any(|pattern| pattern.matches(&text))
    }

    /// Those that match none of these, as they were typed.
    pub fn in_vain(&self, all: &[Namespace]) -> Vec<&str> {
        let all: Vec<String> = all.iter().map(Namespace::to_string).collect();
        let unmet = |pattern: &Pattern| !all.iter().any(|text| pattern.matches(text));
        let typed = self.patterns.iter().zip(&self.texts);
        typed.filter(|(pattern, _)| unmet(pattern)).map(|(_, text)| text.as_str()).collect()
    }
}

pub(super) fn push_text(pieces: &mut Vec<Piece>, character: char) {
    match pieces.last_mut() {
        Some(Piece::Text(text)) => text.push(character),
        _ => pieces.push(Piece::Text(character.into())),
    }
}

/// What each wildcard stands for, every one as little as it can from the left; `None` if the text
/// is not of this form.
pub(super) fn captures<'t>(pieces: &[Piece], text: &'t str) -> Option<Vec<&'t str>> {
    // Where each wildcard began and how far it reaches as yet. When a text does not fit, only the
    // last wildcard needs to take more: earlier ones hold the least that fits already.
    let mut found: Vec<(usize, usize)> = Vec::new();
    let (mut at, mut piece, mut last_any) = (0, 0, None);
    loop {
        let fits = match pieces.get(piece) {
            None => at == text.len(),
            Some(Piece::Any) => {
                found.push((at, at));
                last_any = Some(piece);
                piece += 1;
                continue;
            }
            Some(Piece::Text(expected)) => text[at..].starts_with(expected.as_str()),
        };
        match (fits, pieces.get(piece)) {
            (true, None) => break,
            (true, Some(Piece::Text(expected))) => {
                at += expected.len();
                piece += 1;
            }
            _ => {
                let (_, end) = found.last_mut()?;
                *end += text[*end..].chars().next()?.len_utf8();
                at = *end;
                piece = last_any? + 1;
            }
        }
    }
    Some(found.into_iter().map(|(start, end)| &text[start..end]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_any_text() {
        let yes = [
            ("shop.orders", "shop.orders"),
            ("shop.*", "shop.orders.2024"),
            ("*", "a.b"),
            ("*.orders", "shop.orders"),
            ("*o*s", "shop.orders"),
            ("a.*x*y", "a.xxyxy"),
            ("a.**", "a."),
            (r"a.\*", "a.*"),
            (r"a.\\b", r"a.\b"),
            (r"a.b\", "a.b"),
            ("a.[x].?", "a.[x].?"),
            ("*ä", "a.ää"),
        ];
        for (pattern, text) in yes {
            assert!(Pattern::parse(pattern).matches(text), "{pattern} {text}");
        }
        let no = [
            ("shop.orders", "shop.orders2"),
            ("shop.*", "shops.orders"),
            ("", "a.b"),
            (r"a.\*", "a.x"),
            ("*.orders", "shop.orders.2024"),
            ("a.b*b", "a.b"),
        ];
        for (pattern, text) in no {
            assert!(!Pattern::parse(pattern).matches(text), "{pattern} {text}");
        }
    }

    #[test]
    fn many_wildcards_take_no_long_time() {
        let pattern = Pattern::parse(&"*a".repeat(200));
        assert!(!pattern.matches(&("a".repeat(10_000) + "b")));
    }

    #[test]
    fn several_match_if_one_does() {
        let patterns = Patterns::parse(["shop.*", "a.b"]);
        assert!(patterns.matches(&Namespace::new("shop", "x")));
        assert!(patterns.matches(&Namespace::new("a", "b")));
        assert!(!patterns.matches(&Namespace::new("a", "c")));
        assert!(!Patterns::default().matches(&Namespace::new("a", "b")));
        assert_eq!(patterns.in_vain(&[Namespace::new("shop", "x")]), ["a.b"]);
    }
}
