//! A server's regular expression in the words of an engine that has no look-around.

use std::{iter::Peekable, str::Chars};

type Refused = &'static str;

/// The same pattern for this engine. Classes such as `\w` mean ASCII, as on the server; `$`
/// matches before a last line's end, too. What this engine would understand otherwise is refused.
pub(super) fn translate(pattern: &str, multi_line: bool) -> Result<String, Refused> {
    let out = String::with_capacity(pattern.len() + 16);
    let mut translator = Translator { rest: pattern.chars().peekable(), out };
    translator.all(multi_line)?;
    Ok(translator.out)
}

struct Translator<'a> {
    rest: Peekable<Chars<'a>>,
    out: String,
}

/// What an escape means: one character, in which a range may begin and end, or anything else.
struct Escape {
    text: String,
    is_character: bool,
}

/// As both know them; by any other name this engine would see a class within the class.
const POSIX_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

impl Translator<'_> {
    fn all(&mut self, multi_line: bool) -> Result<(), Refused> {
        // Behind a quantifier, where another sign of one means something else.
        let mut after_quantifier = false;
        while let Some(c) = self.rest.next() {
            let was_quantifier = std::mem::replace(&mut after_quantifier, false);
            match c {
                '\\' => {
                    let escape = self.escape(false)?;
                    self.out.push_str(&escape.text);
                }
                '[' => self.class()?,
                '(' => self.group()?,
                '$' if !multi_line => self.out.push_str("(?:\\n?\\z)"),
                '+' if was_quantifier => return Err("a possessive quantifier"),
                '*' | '+' | '?' => {
                    self.out.push(c);
                    after_quantifier = true;
                }
                '{' => {
                    after_quantifier = self.bounds()?;
                    self.out.push_str(if after_quantifier { "" } else { "\\{" });
                }
                '}' => self.out.push_str("\\}"),
                c => self.out.push(c),
            }
            if after_quantifier && self.rest.next_if_eq(&'?').is_some() {
                self.out.push('?');
            }
        }
        Ok(())
    }

    /// Behind a `{`: whether it is a quantifier, `{2}` or `{2,}` or `{2,4}`, which is taken then.
    /// Any other brace means itself.
    fn bounds(&mut self) -> Result<bool, Refused> {
        let ahead: String = self.rest.clone().take_while(|c| *c != '}').collect();
        let (least, most) = ahead.split_once(',').unwrap_or((&ahead, ""));
        let are_digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
        let is_closed = self.rest.clone().nth(ahead.chars().count()).is_some();
        if !is_closed || !are_digits(least) || !are_digits(most) || ahead.is_empty() {
            return Ok(false);
        }
        if least.is_empty() {
            return Err("a quantifier without a lower bound");
        }
        self.out.push('{');
        self.copy_to('}');
        Ok(true)
    }

    /// Behind a `(`.
    fn group(&mut self) -> Result<(), Refused> {
        self.out.push('(');
        if self.rest.peek() == Some(&'*') {
            return Err("a verb as in `(*F)`");
        }
        if self.rest.next_if_eq(&'?').is_some() {
            self.out.push('?');
            let flags = self.rest.clone().take_while(|c| c.is_ascii_alphabetic() || *c == '-');
            let flags: String = flags.collect();
            if !flags.starts_with('P') && !flags.chars().all(|flag| "is-".contains(flag)) {
                return Err("an option within it other than i and s");
            }
        }
        Ok(())
    }

    /// Behind a `[`. Signs in a class mean more to this engine than to the server, so that all
    /// that is no letter or digit is told by its number.
    fn class(&mut self) -> Result<(), Refused> {
        self.out.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.out.push('^');
        }
        let mut is_first = true;
        while let Some(c) = self.rest.next() {
            if c == ']' && !is_first {
                self.out.push(']');
                return Ok(());
            }
            is_first = false;
            let item = self.class_item(c)?;
            self.out.push_str(&item.text);
            if item.is_character {
                self.end_of_range()?;
            }
        }
        Err("a class that does not end")
    }

    fn class_item(&mut self, c: char) -> Result<Escape, Refused> {
        match c {
            '\\' => self.escape(true),
            '[' if self.rest.peek() == Some(&':') => {
                let ahead: String = self.rest.clone().skip(1).take_while(|c| *c != ']').collect();
                let name = ahead.strip_suffix(':').ok_or("`[:` in a class")?;
                if !POSIX_CLASSES.contains(&name.trim_start_matches('^')) {
                    return Err("a class of characters that this program does not know");
                }
                let text = format!("[:{ahead}]");
                self.rest.nth(ahead.chars().count() + 1);
                Ok(Escape { text, is_character: false })
            }
            c => Ok(Escape { text: literal(c), is_character: true }),
        }
    }

    /// Behind a character of a class: the rest of a range, if one begins there. A hyphen beside
    /// a class such as `\w` means itself.
    fn end_of_range(&mut self) -> Result<(), Refused> {
        let before = self.rest.clone();
        if self.rest.next_if_eq(&'-').is_some()
            && let Some(c) = self.rest.next().filter(|c| *c != ']')
        {
            let end = self.class_item(c)?;
            if end.is_character {
                self.out.push('-');
                self.out.push_str(&end.text);
                return Ok(());
            }
        }
        self.rest = before;
        Ok(())
    }

    /// Behind a `\`.
    fn escape(&mut self, in_class: bool) -> Result<Escape, Refused> {
        let escaped = self.rest.next().ok_or("a `\\` at its end")?;
        let class = match escaped.to_ascii_lowercase() {
            'd' => "0-9",
            'w' => "0-9A-Za-z_",
            's' => "\\t\\n\\x0b\\x0c\\r\\x20",
            _ => "",
        };
        let is_character = match escaped {
            'n' | 'r' | 't' | 'f' | 'a' | 'e' | 'x' => true,
            'b' => in_class,
            c => !c.is_ascii_alphanumeric(),
        };
        let text = match escaped {
            'd' | 'w' | 's' => format!("[{class}]"),
            'D' | 'W' | 'S' => format!("[^{class}]"),
            'b' if in_class => "\\x08".to_owned(),
            'b' | 'B' if !in_class => format!("(?-u:\\{escaped})"),
            'Z' if !in_class => "(?:\\n?\\z)".to_owned(),
            'A' | 'z' if !in_class => format!("\\{escaped}"),
            'n' | 'r' | 't' | 'f' | 'a' => format!("\\{escaped}"),
            'e' => "\\x1b".to_owned(),
            'x' => format!("\\x{}", self.operand(2, |c| c.is_ascii_hexdigit())),
            'p' | 'P' => format!("\\{escaped}{}", self.operand(1, |c| c != '{')),
            c if c.is_ascii_digit() => return Err("a back reference or an octal number"),
            c if c.is_ascii_alphabetic() => {
                return Err("an escape that this program does not know");
            }
            // Any other character means itself, whatever it means to this engine.
            c => literal(c),
        };
        Ok(Escape { text, is_character })
    }

    /// What stands in braces, with them, or at most so many characters.
    fn operand(&mut self, many: usize, takes: impl Fn(char) -> bool) -> String {
        let start = self.out.len();
        match self.rest.next_if_eq(&'{') {
            Some(brace) => {
                self.out.push(brace);
                self.copy_to('}');
            }
            None => {
                for _ in 0..many {
                    let next = self.rest.next_if(|c| takes(*c));
                    self.out.extend(next);
                }
            }
        }
        self.out.split_off(start)
    }

    fn copy_to(&mut self, last: char) {
        for c in self.rest.by_ref() {
            self.out.push(c);
            if c == last {
                break;
            }
        }
    }
}

fn literal(c: char) -> String {
    match c.is_ascii_alphanumeric() || !(c.is_ascii() || c.is_whitespace()) {
        true => c.to_string(),
        false => format!("\\x{{{:x}}}", u32::from(c)),
    }
}
