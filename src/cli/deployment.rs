//! What `icecore backup` takes of MongoDB: the connection string, and which collections.

use std::{
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use icecore::{
    ambient::Ambient,
    document::namespace::{Namespace, Patterns},
    format::snapshot::{Mongodb, Summary},
    limits,
    mongo::{Connect, Link, Purpose},
    progress::Progress,
    source::{dump::Dump, mongo},
    verbs::backup::{self, Deployment, DumpSource, PlannedCollection},
};
use serde_json::{Value, json};

use super::{
    environment,
    failure::Failure,
    memory,
    screen::{self, Screen, printable},
    units,
};

/// Which collections, by what they are called.
#[derive(Debug, Default, clap::Args)]
pub struct Names {
    /// Only collections that match, as `shop.*`; may be given more than once
    #[arg(long, alias = "nsInclude", value_name = "PATTERN")]
    ns_include: Vec<String>,

    /// Leave out collections that match, as `*.tmp`; wins over --ns-include
    #[arg(long, alias = "nsExclude", value_name = "PATTERN")]
    ns_exclude: Vec<String>,
}

impl Names {
    pub fn are_given(&self) -> bool {
        !self.ns_include.is_empty() || !self.ns_exclude.is_empty()
    }

    /// None: all.
    pub fn include(&self) -> Patterns {
        Patterns::parse(self.ns_include.iter().map(String::as_str))
    }

    pub fn exclude(&self) -> Patterns {
        Patterns::parse(self.ns_exclude.iter().map(String::as_str))
    }

    fn wanted(&self) -> impl Fn(&Namespace) -> bool + use<> {
        let (include, exclude) = (self.include(), self.exclude());
        move |namespace| {
            (include.is_empty() || include.matches(namespace)) && !exclude.matches(namespace)
        }
    }
}

/// What to take of a deployment.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "MongoDB")]
pub struct Collections {
    /// Take what mongodump wrote, as if it were a deployment: its directory, or its archive
    #[arg(long, value_name = "DIR|ARCHIVE")]
    pub from_dump: Option<PathBuf>,

    #[command(flatten)]
    pub names: Names,

    /// Take users and roles, too (admin.system.users and admin.system.roles)
    #[arg(long)]
    pub with_users_and_roles: bool,

    /// Read at most so many KiB a second from the server
    #[arg(long, value_name = "KIB", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit_read: Option<u32>,

    /// The file that holds the connection string which `mongodb:` stands for
    #[arg(long, value_name = "FILE")]
    pub mongodb_uri_file: Option<PathBuf>,
}

const VARIABLES: [&str; 2] = ["ICECORE_MONGODB_URI", "MONGODB_URI"];

/// Whether an argument is a connection string, and no path.
pub fn is_uri(argument: &Path) -> bool {
    let argument = argument.as_os_str().as_bytes();
    argument.starts_with(b"mongodb:") || argument.starts_with(b"mongodb+srv:")
}

/// Connects to the deployment that the arguments ask for.
pub fn connect(args: &Collections, uri: &Path, ambient: &Ambient) -> Result<Deployment, Failure> {
    let uri = connection_string(args, uri)?;
    let bytes_per_second = args.limit_read.map(|kib| u64::from(kib) * 1024);
    let connect = Connect { bytes_per_second, ..Connect::to(Purpose::Read) };
    memory::keep_buffers_of_messages();
    let link = Link::connect(&uri, &connect)?;
    let mut options =
        mongo::Options::all(ambient.clone(), limits::DOCUMENT_SORT_BYTES, spill_dir());
    options.db = link.facts().database.clone();
    options.users_and_roles = args.with_users_and_roles;
    options.wanted = Arc::new(args.names.wanted());
    Ok(Deployment { link, options })
}

/// Opens the dump that the arguments ask for.
pub fn open_dump(args: &Collections, path: &Path) -> Result<DumpSource, Failure> {
    let what = || format!("cannot find {}", path.display());
    let absolute = fs::canonicalize(path).map_err(|e| Failure::while_doing(what(), e))?;
    let dump = Dump::open(&absolute)?;
    let path = absolute.to_string_lossy().into_owned();
    let (chosen, users_and_roles) = (args.names.wanted(), args.with_users_and_roles);
    let wanted = Box::new(move |namespace: &Namespace| match namespace.is_authority() {
        true => users_and_roles,
        false => chosen(namespace),
    });
    Ok(DumpSource { dump, path, spill_dir: spill_dir(), wanted })
}

/// The string itself, or what `mongodb:` stands for.
fn connection_string(args: &Collections, uri: &Path) -> Result<String, Failure> {
    let text = uri
        .to_str()
        .ok_or_else(|| Failure::Usage("the connection string is not valid UTF-8".to_owned()))?;
    if text != "mongodb:" && text != "mongodb://" {
        warn_of_password(text, "set ICECORE_MONGODB_URI, or use --mongodb-uri-file");
        return Ok(text.to_owned());
    }
    if let Some(file) = &args.mongodb_uri_file {
        let what = || format!("cannot read the connection string from {}", file.display());
        let text = fs::read_to_string(file);
        let text = text.map_err(|error| Failure::while_doing(what(), error))?;
        return Ok(text.lines().next().unwrap_or_default().trim().to_owned());
    }
    if let Some(text) = of_environment()? {
        return Ok(text);
    }
    Err(Failure::Usage(
        "which deployment? `mongodb:` alone wants ICECORE_MONGODB_URI, MONGODB_URI or \
         --mongodb-uri-file"
            .to_owned(),
    ))
}

/// The connection string that a variable gives.
pub fn of_environment() -> Result<Option<String>, Failure> {
    for name in VARIABLES {
        if let Some(text) = environment::text(name)? {
            return Ok(Some(text));
        }
    }
    Ok(None)
}

/// Says that arguments are no place for a password, and `instead` what is one.
pub fn warn_of_password(uri: &str, instead: &str) {
    if has_password(uri) {
        screen::warn(&format!(
            "warning: everybody on this machine can see the password in {}\n\
             hint: {instead}, and name `mongodb:`",
            icecore::mongo::shown_uri(uri)
        ));
    }
}

fn has_password(uri: &str) -> bool {
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    rest.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
}

/// Where sorts that do not fit in memory go. `/tmp` is often memory itself.
pub fn spill_dir() -> PathBuf {
    let usual = Path::new("/var/tmp");
    match environment::path("TMPDIR") {
        Some(dir) => dir,
        None if usual.is_dir() => usual.to_owned(),
        None => std::env::temp_dir(),
    }
}

/// The collections that a backup would take, if it would take any.
pub fn plan(
    deployment: Option<&Deployment>,
    dump: Option<&DumpSource>,
    progress: &Progress,
) -> Result<Option<Vec<PlannedCollection>>, Failure> {
    Ok(match (deployment, dump) {
        (Some(Deployment { link, options }), _) => {
            Some(backup::plan_mongodb(link, options, progress)?)
        }
        (None, Some(dump)) => Some(backup::plan_dump(dump, progress)?),
        (None, None) => None,
    })
}

/// For people.
pub fn show_plan(planned: &[PlannedCollection], screen: &mut Screen) -> Result<(), Failure> {
    let row = |one: &PlannedCollection| {
        let namespace = printable(one.namespace.to_string().as_bytes());
        vec![namespace, units::count(one.documents), units::bytes(one.bytes)]
    };
    if !planned.is_empty() {
        let head = ["Collection", "Documents", "Size"];
        screen.line(&screen::table(&head, planned.iter().map(row), &[1, 2]))?;
    }
    let documents = planned.iter().map(|one| one.documents).sum();
    let bytes = planned.iter().map(|one| one.bytes).sum();
    screen.chat(&format!(
        "would read {} in {}, about {}",
        units::counted(documents, "document", "documents"),
        units::counted(planned.len() as u64, "collection", "collections"),
        units::bytes(bytes)
    ))
}

/// For programs.
pub fn plan_document(planned: &[PlannedCollection]) -> Value {
    let document = |one: &PlannedCollection| {
        json!({
            "namespace": one.namespace.to_string(),
            "documents": one.documents,
            "bytes": one.bytes,
        })
    };
    planned.iter().map(document).collect()
}

/// What became of documents, and of what moment they are.
pub fn show_counts(
    summary: &Summary,
    mongodb: &Mongodb,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let Summary { docs_new, docs_changed, docs_deleted, docs_unmodified, .. } = *summary;
    let [new, changed, deleted, same] =
        [docs_new, docs_changed, docs_deleted, docs_unmodified].map(units::count);
    screen.chat(&format!(
        "docs:   {new} new, {changed} changed, {deleted} deleted, {same} unmodified"
    ))?;
    let collections = units::counted(summary.collections, "collection", "collections");
    screen.chat(&format!("        in {collections}, {}", units::moment(mongodb)))
}

/// The same for programs: counts that are 0 too, which a record leaves out.
pub fn count_into(document: &mut Value, summary: &Summary, mongodb: &Mongodb) {
    for (name, count) in [
        ("docs_new", summary.docs_new),
        ("docs_changed", summary.docs_changed),
        ("docs_deleted", summary.docs_deleted),
        ("docs_unmodified", summary.docs_unmodified),
        ("collections", summary.collections),
    ] {
        document[name] = count.into();
    }
    document["cluster_time"] = json!(mongodb.cluster_time);
    document["consistency"] = json!(mongodb.consistency);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_seen_where_one_is() {
        assert!(has_password("mongodb://ada:secret@host/db"));
        assert!(has_password("mongodb+srv://ada:p@ss@host"));
        assert!(!has_password("mongodb://ada@host:27017/db"));
        assert!(!has_password("mongodb://host:27017,other:27017/db"));
    }

    #[test]
    fn connection_strings_are_no_paths() {
        for uri in ["mongodb:", "mongodb://", "mongodb://h/db", "mongodb+srv://h"] {
            assert!(is_uri(Path::new(uri)), "{uri}");
        }
        for path in ["mongodb", "./mongodb:", "/srv/mongodb:x"] {
            assert!(!is_uri(Path::new(path)), "{path}");
        }
    }
}
