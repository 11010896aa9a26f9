//! A connection string as it may be shown and recorded: without user, password and options.

use mongodb::options::ConnectionString;

use self::OptionsAt::{BehindAt, First};

/// The secret one of the properties in `authMechanismProperties`.
const TOKEN: &str = "AWS_SESSION_TOKEN:";

/// `mongodb://host:port/db` of any text that somebody gave as a connection string. What stands
/// before an `@` never comes out, also of a string that no driver would take, nor what stands in
/// an option: where that can't be told, the scheme alone.
pub fn shown(uri: &str) -> String {
    let parts = Parts::of(uri);
    let place = if parts.is_doubtful() { "" } else { parts.place.trim_end_matches('/') };
    format!("{}://{place}", parts.scheme)
}

/// `text` without the password of `uri` and the secrets in its options, encoded or not: drivers
/// like to quote what they got.
pub(super) fn without_secrets(text: &str, uri: &str) -> String {
    let mut text = text.to_owned();
    for parts in [Parts::with_options_at(uri, First), Parts::with_options_at(uri, BehindAt)] {
        for secret in parts.secrets().filter(|secret| !secret.is_empty()) {
            text = text.replace(secret, "***").replace(&percent_decoded(secret), "***");
        }
    }
    text
}

/// At which `?` the options of a connection string begin.
enum OptionsAt {
    /// The first, as drivers have it.
    First,
    /// The first behind the last `@`: passwords that were not encoded may hold one.
    BehindAt,
}

struct Parts<'a> {
    scheme: &'a str,
    user_info: &'a str,
    place: &'a str,
    options: &'a str,
}

impl<'a> Parts<'a> {
    fn of(uri: &'a str) -> Parts<'a> {
        let is_sound = ConnectionString::parse(uri).is_ok();
        Parts::with_options_at(uri, if is_sound { First } else { BehindAt })
    }

    fn with_options_at(uri: &'a str, which: OptionsAt) -> Parts<'a> {
        let (scheme, rest) = uri.split_once("://").unwrap_or(("mongodb", uri));
        let from = match which {
            First => 0,
            BehindAt => rest.rfind('@').unwrap_or(0),
        };
        let end = rest[from..].find('?').map_or(rest.len(), |at| from + at);
        let (before, options) = (&rest[..end], rest.get(end + 1..).unwrap_or(""));
        let (user_info, place) = before.rsplit_once('@').unwrap_or(("", before));
        Parts { scheme, user_info, place, options }
    }

    /// The `@` that was taken for the end of the password may belong to an option.
    fn is_doubtful(&self) -> bool {
        self.user_info.split_once('?').is_some_and(|(_, options)| options.contains('='))
    }

    fn secrets(&self) -> impl Iterator<Item = &'a str> {
        let password = self.user_info.split_once(':').map(|(_, password)| password);
        let options = self.options.split('&').filter_map(|option| option.split_once('='));
        let values = options.filter_map(|(name, value)| match name.to_ascii_lowercase().as_str() {
            "tlscertificatekeyfilepassword" | "proxypassword" => Some(value),
            "authmechanismproperties" => value
                .split_once(TOKEN)
                .map(|(_, rest)| rest.split_once(',').map_or(rest, |(token, _)| token)),
            _ => None,
        });
        password.into_iter().chain(values)
    }
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
            // An `@` of an option.
            ("mongodb://h/db?appName=me@home", "mongodb://h/db"),
            ("mongodb://u:p@h/db?w=1&appName=me@home:7@work", "mongodb://h/db"),
            // Our driver takes neither, and nobody can tell what is what.
            ("mongodb://h/db?tlsCertificateKeyFilePassword=ab@cd", "mongodb://"),
            ("mongodb://u:p?q=r@h/db", "mongodb://"),
        ] {
            assert_eq!(shown(uri), place, "{uri}");
        }
    }

    #[test]
    fn passwords_leave_no_trace_in_errors() {
        let uri = "mongodb://u:s%40cret@h/db";
        assert_eq!(without_secrets("bad s%40cret, s@cret", uri), "bad ***, ***");
        assert_eq!(without_secrets("nothing here", "mongodb://h"), "nothing here");
        assert_eq!(without_secrets("abc", "mongodb://u:@h"), "abc");
        let uri = "mongodb://u:pass@h/db?TLSCertificateKeyFilePassword=ab@%63d&w=1\
                   &authMechanismProperties=SERVICE_NAME:x,AWS_SESSION_TOKEN:to%3Aken";
        let text = "pass ab@%63d ab@cd to:ken u h SERVICE_NAME";
        for uri in [uri.to_owned(), format!("{uri}&no-value")] {
            assert_eq!(without_secrets(text, &uri), "*** *** *** *** u h SERVICE_NAME", "{uri}");
        }
    }
}
