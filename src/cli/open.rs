//! From flags and variables to an open repository.

use std::{
    error::Error as _,
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::ValueEnum;
use etcetera::BaseStrategy;
use icecore::{
    ambient::Ambient,
    limits::{MIB, PACK_AIM_MAX_BYTES, PACK_AIM_MIN_BYTES},
    repo::{self, Kept, OpenOptions, Repository},
    seal,
    store::{self, Store, location},
    tree::Root,
    verbs::{Error, entries},
};

use super::{
    args::Global,
    backup::{Compression, Writing},
    environment,
    failure::Failure,
    password::{self, Source},
    screen,
    shelf::Shelf,
};

/// Opens the repository that the flags and variables name.
pub fn open(global: &Global) -> Result<Repository, Failure> {
    open_with(global, None)
}

/// The same, with a say in how new packs are made.
pub fn open_with(global: &Global, writing: Option<&Writing>) -> Result<Repository, Failure> {
    let place = Place::find(global)?;
    let options = open_options(global, writing)?;
    let source = Source::choose(global.password_command.clone(), global.password_file.clone())?;
    let cannot = |error| Failure::while_doing(format!("cannot open repository {place}"), error);
    let store = location::open(&place.location, &place.options, &place.ambient).map_err(
        |error| match error.is_not_found() {
            true => cannot(repo::Error::NoRepository),
            false => Failure::while_doing(format!("cannot open repository {place}"), error),
        },
    )?;
    let mut asked = 0;
    loop {
        let password = source.read(&format!("password of {place}: "))?;
        asked += 1;
        let (store, options) = (store.clone(), options.clone());
        match Repository::open(store, &password, options, place.ambient.clone()) {
            Err(repo::Error::WrongPassword)
                if source == Source::Prompt && asked < password::PROMPTS_MAX =>
            {
                eprintln!("no key opens it with this password; try again");
            }
            opened => return opened.map_err(cannot),
        }
    }
}

/// Where a repository is, or shall be.
pub struct Place {
    pub location: location::Location,
    pub options: location::StoreOptions,
    pub ambient: Ambient,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.location.fmt(f)
    }
}

impl Place {
    /// Flags first, then the environment. Two of one rank contradict each other.
    pub fn find(global: &Global) -> Result<Place, Failure> {
        let flags = (global.repo.clone(), global.repository_file.clone());
        let typed = match named(flags, "--repo and --repository-file")? {
            Some(typed) => typed,
            None => named_by_environment()?,
        };
        let location = location::parse_bytes(line_of(typed.as_bytes())).map_err(Failure::usage)?;
        let options = location::StoreOptions {
            options: environment::of_stores().into_iter().chain(global.option.clone()).collect(),
            limit_upload_kib: global.limit_upload.map(u64::from),
            limit_download_kib: global.limit_download.map(u64::from),
            on_outage: (!global.quiet).then(|| {
                let json = global.json;
                let tell = move |error: &store::Error| tell_outage(error, json);
                Arc::new(tell) as location::OnOutage
            }),
        };
        Ok(Place { location, options, ambient: ambient() })
    }

    /// The store at a place that shall hold a repository.
    pub fn create(&self) -> Result<Arc<dyn Store>, store::Error> {
        location::create(&self.location, &self.options, &self.ambient)
    }
}

/// Without what ends it.
fn line_of(bytes: &[u8]) -> &[u8] {
    let last = bytes.iter().rposition(|byte| !b"\r\n".contains(byte));
    &bytes[..last.map_or(0, |last| last + 1)]
}

/// Else every command would take long, and nobody would know why.
fn tell_private_cache(dir: &Path, error: &io::Error, json: bool) {
    let message = format!("the cache can't be used, and is done without: {error}");
    if json {
        screen::warn_json("cache", &dir.to_string_lossy(), &message);
    } else {
        screen::warn(&format!("warning: {}: {message}", dir.display()));
        screen::warn("hint: `--cache-dir DIR` names another one; `--no-cache` keeps none");
    }
}

/// Else nothing would be seen for as long as it is tried again.
fn tell_outage(error: &store::Error, json: bool) {
    let (mut message, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        message.push_str(&format!(": {error}"));
        cause = error.source();
    }
    if json {
        screen::warn_json("retry", &error.object, &message);
    } else {
        screen::warn(&format!("warning: {message}; trying again for a while"));
    }
}

fn named_by_environment() -> Result<OsString, Failure> {
    let typed = environment::path("ICECORE_REPOSITORY").map(PathBuf::into_os_string);
    let file = environment::path("ICECORE_REPOSITORY_FILE");
    let both = "ICECORE_REPOSITORY and ICECORE_REPOSITORY_FILE";
    named((typed, file), both)?.ok_or_else(|| {
        Failure::Usage("which repository? name it with --repo, or set ICECORE_REPOSITORY".into())
    })
}

fn named(
    (typed, file): (Option<OsString>, Option<PathBuf>),
    both: &str,
) -> Result<Option<OsString>, Failure> {
    match (typed, file) {
        (Some(_), Some(_)) => Err(Failure::Usage(format!("{both} exclude each other"))),
        (Some(typed), None) => Ok(Some(typed)),
        (None, Some(file)) => {
            let what = format!("cannot read the repository's place from {}", file.display());
            let bytes = fs::read(file).map_err(|e| Failure::while_doing(what, e))?;
            let line = bytes.split(|&byte| byte == b'\n').next().filter(|_| !bytes.is_empty());
            Ok(line.map(|line| OsStr::from_bytes(line).to_owned()))
        }
        (None, None) => Ok(None),
    }
}

/// This machine and this user, by their names. Whoever names the machine otherwise in his snapshots
/// finds the records of restores there, too.
pub fn ambient() -> Ambient {
    let named = environment::text("ICECORE_HOST").ok().flatten();
    let nodename = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    let host = named.unwrap_or_else(nodename);
    let user = uzers::get_current_username().map(|name| name.to_string_lossy().into_owned());
    Ambient::real(host, user.unwrap_or_else(|| uzers::get_current_uid().to_string()))
}

/// How to open: where the cache is, how packs are made.
pub fn open_options(global: &Global, writing: Option<&Writing>) -> Result<OpenOptions, Failure> {
    let mut options = OpenOptions { cache_dir: cache_dir(global), ..OpenOptions::default() };
    let (shown, json) = (options.cache_dir.clone().unwrap_or_default(), global.json);
    let tell = move |error: &io::Error| tell_private_cache(&shown, error, json);
    options.on_private_cache = Some(Arc::new(tell));
    if let Some(writing) = writing {
        options.compression = match writing.compression()? {
            Compression::Auto => seal::Compression::Auto,
            Compression::Off => seal::Compression::Off,
            Compression::Fastest => seal::Compression::Fastest,
            Compression::Better => seal::Compression::Better,
            Compression::Max => seal::Compression::Max,
        };
        if let Some(mib) = writing.pack_size()? {
            options.pack_aim_bytes = mib as usize * MIB;
        }
    }
    Ok(options)
}

impl Writing {
    fn compression(&self) -> Result<Compression, Failure> {
        const NAME: &str = "ICECORE_COMPRESSION";
        let named = |text: String| {
            let wants = "auto, off, fastest, better or max";
            Compression::from_str(&text, false).map_err(|_| environment::wrong(NAME, &text, wants))
        };
        match self.compression {
            Some(compression) => Ok(compression),
            None => {
                Ok(environment::text(NAME)?.map(named).transpose()?.unwrap_or(Compression::Auto))
            }
        }
    }

    fn pack_size(&self) -> Result<Option<u32>, Failure> {
        const NAME: &str = "ICECORE_PACK_SIZE";
        if self.pack_size.is_some() {
            return Ok(self.pack_size);
        }
        let Some(text) = environment::text(NAME)? else { return Ok(None) };
        let size = text.parse().ok().filter(|mib| PACK_SIZES_MIB.contains(&i64::from(*mib)));
        match size {
            Some(mib) => Ok(Some(mib)),
            None => {
                let (least, most) = PACK_SIZES_MIB.into_inner();
                let wants = format!("a number from {least} to {most}, of MiB");
                Err(environment::wrong(NAME, &text, &wants))
            }
        }
    }
}

/// The sizes of packs that `--pack-size` may ask for, in MiB.
pub const PACK_SIZES_MIB: std::ops::RangeInclusive<i64> =
    (PACK_AIM_MIN_BYTES / MIB) as i64..=(PACK_AIM_MAX_BYTES / MIB) as i64;

/// `None`: one that is gone afterwards.
fn cache_dir(global: &Global) -> Option<PathBuf> {
    if global.no_cache {
        return None;
    }
    let usual = || Some(etcetera::choose_base_strategy().ok()?.cache_dir().join("icecore"));
    let named = global.cache_dir.clone().filter(|dir| !dir.as_os_str().is_empty());
    named.or_else(|| environment::path("ICECORE_CACHE_DIR")).or_else(usual)
}

/// All snapshots that can be read; the others are named on standard error, and stop nothing.
pub fn shelf(repository: &Repository) -> Result<Shelf, Failure> {
    Ok(Shelf::new(repository.survey()?))
}

/// The tree of a snapshot's files.
pub fn files(kept: &Kept) -> Result<Root, Failure> {
    let no_files = Error::<repo::Error>::NoFiles;
    entries::files_root(&kept.snapshot).ok_or_else(|| no_files.into())
}
