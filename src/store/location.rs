//! Where a repository lies, as people write it, and the store that stands there.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fmt,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

pub use super::retry::OnOutage;
use super::{
    Error, ErrorKind, Store, limit::Limit, local::LocalStore, object::ObjectStore,
    object::Settings, retry::Retry,
};
use crate::ambient::Ambient;

pub use super::object::{ENVIRONMENT, OPTIONS};

/// `/path`, `relative/path`, `local:path`, `s3:host/bucket/prefix`, `s3:http://host/bucket/prefix`,
/// `s3://bucket/prefix`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    Local(PathBuf),
    S3(Bucket),
}

/// A bucket on an S3 server, and the prefix below which the repository lies ("" for all of it).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    pub endpoint: Endpoint,
    pub bucket: String,
    pub prefix: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// `s3://bucket`: what `AWS_ENDPOINT_URL` says, or Amazon's of the region.
    Usual,
    /// `s3:host[:port]/bucket`: TLS, unless the option `s3.allow-http` was given.
    Host(String),
    /// `s3:http[s]://host[:port]/bucket`: with the scheme as written.
    Url(String),
}

/// What the names of repositories do not say.
#[derive(Clone, Default)]
pub struct StoreOptions {
    /// Options of the store (`s3.region` ..., see `OPTIONS`; an unknown one is an error), and the
    /// variables of the environment that begin with `AWS_` (see `ENVIRONMENT`; others of them are
    /// passed over), credentials among them: hence no `Debug`.
    pub options: BTreeMap<String, String>,
    pub limit_upload_kib: Option<u64>,
    pub limit_download_kib: Option<u64>,
    pub on_outage: Option<OnOutage>,
}

/// The same of any bytes: what is not UTF-8 can be a path only.
pub fn parse_bytes(typed: &[u8]) -> Result<Location, Error> {
    let text = String::from_utf8_lossy(typed);
    let path = typed.strip_prefix(b"local:").unwrap_or(typed);
    match parse(&text)? {
        Location::Local(_) => Ok(Location::Local(OsStr::from_bytes(path).into())),
        Location::S3(_) if str::from_utf8(typed).is_err() => {
            let why = "the name of a bucket and its prefix are UTF-8";
            Err(Error::new(ErrorKind::BadLocation { why }, "use", text))
        }
        bucket => Ok(bucket),
    }
}

pub fn parse(text: &str) -> Result<Location, Error> {
    let bad = |why| Error::new(ErrorKind::BadLocation { why }, "use", text);
    if let Some(rest) = text.strip_prefix("s3:") {
        return parse_s3(rest).map(Location::S3).map_err(bad);
    }
    if let Some(path) = text.strip_prefix("local:").filter(|path| !path.is_empty()) {
        return Ok(Location::Local(path.into()));
    }
    if text.is_empty() || text == "local:" {
        return Err(bad("it is empty"));
    }
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    let is_word = |word: &str| word.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    if !scheme.is_empty() && is_word(scheme) {
        return Err(bad("there is no such kind of store (a path may be written local:PATH)"));
    }
    Ok(Location::Local(text.into()))
}

fn parse_s3(rest: &str) -> Result<Bucket, &'static str> {
    let (endpoint, path) = if let Some(path) = rest.strip_prefix("//") {
        (Endpoint::Usual, path)
    } else {
        let after_scheme = rest.find("://").map_or(0, |at| at + "://".len());
        match &rest[..after_scheme] {
            "" | "http://" | "https://" => {}
            _ => return Err("a server's scheme is http:// or https://"),
        }
        let (host, path) = rest[after_scheme..].split_once('/').ok_or("it names no bucket")?;
        check_host(host)?;
        let endpoint = match after_scheme {
            0 => Endpoint::Host(host.to_owned()),
            _ => Endpoint::Url(rest[..after_scheme].to_owned() + host),
        };
        (endpoint, path)
    };
    let path = path.trim_end_matches('/');
    let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
    if bucket.is_empty() {
        return Err("it names no bucket");
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !bucket.chars().all(plain) || bucket.starts_with('.') {
        return Err("a bucket's name has letters, digits, dots and hyphens");
    }
    let good = |part: &str| !matches!(part, "" | "." | "..") && !part.chars().any(char::is_control);
    if !prefix.is_empty() && !prefix.split('/').all(good) {
        return Err("a prefix has no empty parts, no `.` and no `..`");
    }
    Ok(Bucket { endpoint, bucket: bucket.to_owned(), prefix: prefix.to_owned() })
}

fn check_host(host: &str) -> Result<(), &'static str> {
    if host.contains('@') {
        return Err("credentials do not belong into it (set AWS_ACCESS_KEY_ID and the like)");
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    if host.is_empty() || !host.chars().all(plain) {
        return Err("it names no server");
    }
    Ok(())
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = match self {
            Location::Local(path) => {
                let text = path.display().to_string();
                // A name that would be read as another kind of store says what it is.
                let is_plain = parse(&text).is_ok_and(|read| read == *self);
                return write!(f, "{}{text}", if is_plain { "" } else { "local:" });
            }
            Location::S3(at) => at,
        };
        match &at.endpoint {
            Endpoint::Usual => write!(f, "s3://{}", at.bucket)?,
            Endpoint::Host(host) | Endpoint::Url(host) => write!(f, "s3:{host}/{}", at.bucket)?,
        }
        if at.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", at.prefix) }
    }
}

/// The store at a place that should hold a repository. A missing directory is
/// `ErrorKind::NotFound`; a missing bucket shows when the store is used first.
pub fn open(
    location: &Location,
    options: &StoreOptions,
    ambient: &Ambient,
) -> Result<Arc<dyn Store>, Error> {
    match_store(location, options, ambient, LocalStore::open)
}

/// The store at a place that shall hold a repository: directories are made, buckets are not.
pub fn create(
    location: &Location,
    options: &StoreOptions,
    ambient: &Ambient,
) -> Result<Arc<dyn Store>, Error> {
    match_store(location, options, ambient, LocalStore::create)
}

fn match_store(
    location: &Location,
    options: &StoreOptions,
    ambient: &Ambient,
    local: fn(&Path) -> Result<LocalStore, Error>,
) -> Result<Arc<dyn Store>, Error> {
    // For a local store, too: a mistyped option is a mistake wherever it is made.
    let settings = Settings::parse(&options.options)?;
    let (up, down) = (options.limit_upload_kib, options.limit_download_kib);
    match location {
        Location::Local(path) => {
            let store = Arc::new(local(path)?);
            if up.is_none() && down.is_none() {
                return Ok(store);
            }
            Ok(Arc::new(Limit::new(store, up, down, ambient.clone())))
        }
        // Its limits are inside, so that bytes go evenly and not object by object.
        Location::S3(bucket) => {
            let patience = settings.patience;
            let store = Arc::new(ObjectStore::open(bucket, settings, up, down)?);
            let retry = Retry::new(store, patience, ambient.clone());
            Ok(Arc::new(retry.telling(options.on_outage.clone())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s3(endpoint: Endpoint, bucket: &str, prefix: &str) -> Location {
        Location::S3(Bucket { endpoint, bucket: bucket.into(), prefix: prefix.into() })
    }

    #[test]
    fn repositories_are_named_as_in_restic() {
        let host = |host: &str| Endpoint::Host(host.into());
        let url = |url: &str| Endpoint::Url(url.into());
        for (text, expected) in [
            ("/srv/b", Location::Local("/srv/b".into())),
            ("srv/b", Location::Local("srv/b".into())),
            ("./a:b", Location::Local("./a:b".into())),
            ("/a:b", Location::Local("/a:b".into())),
            ("local:a:b", Location::Local("a:b".into())),
            ("s3:h:9000/bu/pre/fix", s3(host("h:9000"), "bu", "pre/fix")),
            ("s3:[::1]:9000/bu", s3(host("[::1]:9000"), "bu", "")),
            ("s3:http://h:9000/bu/pre/", s3(url("http://h:9000"), "bu", "pre")),
            ("s3:https://h/bu", s3(url("https://h"), "bu", "")),
            ("s3:s3.amazonaws.com/bu/p", s3(host("s3.amazonaws.com"), "bu", "p")),
            ("s3://bu/pre", s3(Endpoint::Usual, "bu", "pre")),
            ("s3://bu", s3(Endpoint::Usual, "bu", "")),
        ] {
            let parsed = parse(text).unwrap();
            assert_eq!(parsed, expected, "{text}");
            assert_eq!(
                parse(&parsed.to_string()).unwrap(),
                expected,
                "{text} is shown as it reads"
            );
        }
    }

    #[test]
    fn what_is_no_name_is_told() {
        for text in [
            "",
            "local:",
            "sftp:h:/x",
            "rest:http://h",
            "mongodb://h/x",
            "s3:",
            "s3:h",
            "s3://",
            "s3:h/",
            "s3:ftp://h/b",
            "s3:http:///b",
            "s3:key:secret@h/b",
            "s3:h/b/../c",
            "s3:h/b//c",
            "s3:h/b u",
            "s3:h ost/b",
            "s3:h/..",
        ] {
            let error = parse(text).expect_err(text);
            assert!(matches!(error.kind, ErrorKind::BadLocation { .. }), "{text}: {error}");
        }
    }

    #[test]
    fn directories_are_made_by_create_only() {
        let (ambient, _) = Ambient::fixed(1);
        let dir = tempfile::tempdir().unwrap();
        let location = Location::Local(dir.path().join("new"));
        let plain = StoreOptions::default();
        assert!(open(&location, &plain, &ambient).unwrap_err().is_not_found());
        create(&location, &plain, &ambient).unwrap();
        let limited = StoreOptions { limit_upload_kib: Some(1000), ..StoreOptions::default() };
        let store = open(&location, &limited, &ambient).unwrap();
        super::super::contract::check_few(&*store);
        let mut mistyped = StoreOptions::default();
        mistyped.options.insert("s3.reigon".into(), "x".into());
        let error = open(&location, &mistyped, &ambient).unwrap_err();
        assert_eq!(error.kind, ErrorKind::UnknownOption);
    }
}
