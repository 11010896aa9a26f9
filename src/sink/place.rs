//! Names and places that cannot lead out of a directory, checked before any system call sees them.

use super::Error;

/// One component of a path: not empty, not `.` or `..`, with no slash and no NUL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name<'a>(&'a [u8]);

impl<'a> Name<'a> {
    pub fn new(bytes: &'a [u8]) -> Result<Self, Error> {
        let fits = !bytes.is_empty() && bytes != b"." && bytes != b"..";
        if !fits || bytes.iter().any(|byte| matches!(byte, 0 | b'/')) {
            return Err(Error::BadName { name: String::from_utf8_lossy(bytes).into_owned() });
        }
        Ok(Name(bytes))
    }

    pub fn bytes(self) -> &'a [u8] {
        self.0
    }
}

/// A path below the target as trees have it: names joined by NUL. Empty: the target itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a>(&'a [u8]);

impl<'a> Place<'a> {
    pub const TOP: Place<'static> = Place(b"");

    /// Checks every name of the key.
    pub fn new(key: &'a [u8]) -> Result<Self, Error> {
        let place = Place(key);
        place.names().try_for_each(|name| Name::new(name.0).map(|_| ()))?;
        Ok(place)
    }

    pub fn key(self) -> &'a [u8] {
        self.0
    }

    pub fn is_top(self) -> bool {
        self.0.is_empty()
    }

    pub fn names(self) -> impl Iterator<Item = Name<'a>> {
        let empty = self.0.is_empty();
        self.0.split(|&byte| byte == 0).filter(move |_| !empty).map(Name)
    }

    /// The directory it stands in and its own name; `None` for the target itself.
    pub fn split(self) -> Option<(Place<'a>, Name<'a>)> {
        if self.is_top() {
            return None;
        }
        Some(match self.0.iter().rposition(|&byte| byte == 0) {
            Some(at) => (Place(&self.0[..at]), Name(&self.0[at + 1..])),
            None => (Place::TOP, Name(self.0)),
        })
    }

    /// How many leading bytes of the key name a directory that both stand in.
    pub(super) fn shared_key_bytes(self, other: &[u8]) -> usize {
        let same = self.0.iter().zip(other).take_while(|(a, b)| a == b).count();
        let ends = |key: &[u8]| key.len() == same || key[same] == 0;
        if ends(self.0) && ends(other) {
            return same;
        }
        self.0[..same].iter().rposition(|&byte| byte == 0).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for bad in [&b""[..], b".", b"..", b"/", b"a/b", b"/etc/passwd", b"a\0b", b"../x"] {
            assert!(Name::new(bad).is_err(), "{bad:?}");
        }
        for good in [&b"a"[..], b"...", b"..a", b" ", b"\xff\xfe", b"-rf", b"a\nb"] {
            assert!(Name::new(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn places_check_each_of_their_names() {
        for bad in [&b"\0"[..], b"a\0", b"\0a", b"a\0\0b", b"a\0..\0b", b"a\0b/c", b"/etc\0passwd"]
        {
            assert!(Place::new(bad).is_err(), "{bad:?}");
        }
        let place = Place::new(b"a\0bc\0d").unwrap();
        let names: Vec<_> = place.names().map(Name::bytes).collect();
        assert_eq!(names, [&b"a"[..], b"bc", b"d"]);
        let (parent, name) = place.split().unwrap();
        assert_eq!((parent.key(), name.bytes()), (&b"a\0bc"[..], &b"d"[..]));
        assert_eq!(Place::new(b"").unwrap().names().count(), 0);
        assert!(Place::TOP.split().is_none());
    }

    #[test]
    fn what_two_places_share_ends_at_a_name() {
        let place = Place::new(b"a\0bc\0d").unwrap();
        let cases: [(&[u8], usize); 6] =
            [(b"a\0bc", 4), (b"a\0bd", 1), (b"a\0bc\0d", 6), (b"a\0bc\0e", 4), (b"b", 0), (b"", 0)];
        for (other, shared) in cases {
            assert_eq!(place.shared_key_bytes(other), shared, "{other:?}");
        }
    }
}
