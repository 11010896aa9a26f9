//! A connection string as it may be shown and recorded: without user, password and options.

/// `mongodb://host:port/db` of any text that somebody gave as a connection string. What stands
/// before an `@` never comes out, also of a string that no driver would take.
pub fn shown(uri: &str) -> String {
    let (scheme, rest) = uri.split_once("://").unwrap_or(("mongodb", uri));
    let options_at = rest.rfind('@').unwrap_or(0);
    let without_options = match rest[options_at..].find('?') {
        Some(at) => &rest[..options_at + at],
        None => rest,
    };
    let place = match without_options.rfind('@') {
        Some(at) => &without_options[at + 1..],
        None => without_options,
    };
    format!("{scheme}://{}", place.trim_end_matches('/'))
}

/// `text` without the password of `uri`, encoded or not: drivers like to quote what they got.
pub(super) fn without_password(text: &str, uri: &str) -> String {
    let Some(password) = password(uri).filter(|password| !password.is_empty()) else {
        return text.to_owned();
    };
    text.replace(password, "***").replace(&percent_decoded(password), "***")
}

fn password(uri: &str) -> Option<&str> {
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let user_info = &rest[..rest.rfind('@')?];
    user_info.split_once(':').map(|(_, password)| password)
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let value = pair.and_then(|pair| std::str::from_utf8(pair).ok());
        match value.and_then(|value| u8::from_str_radix(value, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_place_is_shown() {
        for (uri, place) in [
            ("mongodb://h", "mongodb://h"),
            ("mongodb://h:27017/", "mongodb://h:27017"),
            ("mongodb://u:p@h:1,i:2/shop?replicaSet=rs", "mongodb://h:1,i:2/shop"),
            (
                "mongodb+srv://u:p%40q@cluster.example.net/shop?w=1",
                "mongodb+srv://cluster.example.net/shop",
            ),
            ("mongodb://h/db?authSource=admin", "mongodb://h/db"),
            // Passwords that were not encoded: no driver takes them, but they are passwords.
            ("mongodb://u:p@q@h/db", "mongodb://h/db"),
            ("mongodb://u:p/q@h/db", "mongodb://h/db"),
            ("mongodb://u:p?q@h/db?x=1", "mongodb://h/db"),
            ("u:secret@h", "mongodb://h"),
        ] {
            assert_eq!(shown(uri), place, "{uri}");
        }
    }

    #[test]
    fn passwords_leave_no_trace_in_errors() {
        let uri = "mongodb://u:s%40cret@h/db";
        assert_eq!(without_password("bad s%40cret, s@cret", uri), "bad ***, ***");
        assert_eq!(without_password("nothing here", "mongodb://h"), "nothing here");
        assert_eq!(without_password("abc", "mongodb://u:@h"), "abc");
    }
}
