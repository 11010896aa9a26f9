//! Objects in a bucket of an S3 server.

use std::{fmt, future::Future, ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt;
use object_store::{
    GetOptions, GetRange, ObjectStore as _, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    aws::AmazonS3, path::Path,
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::Semaphore,
    time::{Instant, sleep},
};

use super::{
    Error, ErrorKind, Listed, Name, Put, Store,
    location::{Bucket, Location},
    pace::Pace,
};

mod bucket;
mod failure;
mod settings;
mod transport;

use failure::Failure;
pub use settings::{ENVIRONMENT, OPTIONS, Settings};
use transport::{Connector, Lines};

/// A request body goes in pieces of this size; each that goes is a sign of life.
const PIECE_BYTES: usize = 64 << 10;
/// Listed objects wait in batches of up to this, so that not each one costs a change of threads.
const BATCH_OBJECTS: usize = 1000;
/// Two creations of one name at the same time: S3 answers 409 to one of them, which then asks
/// again. Pauses of 50 ms, doubling.
const CONFLICTS_MAX: u32 = 7;
const CONFLICT_PAUSE: Duration = Duration::from_millis(50);

/// One attempt for each call: `retry::Retry` around it tries again (`location::open` does that).
///
/// Has its own small runtime, so its callers need none; they must not be inside another's.
pub struct ObjectStore {
    runtime: Runtime,
    s3: AmazonS3,
    place: String,
    prefix: String,
    /// So many requests at a time; a listing counts for none, its caller may make requests.
    requests: Semaphore,
    piece_bytes: usize,
    conditional_put: bool,
}

impl ObjectStore {
    /// Speaks to nobody yet. Limits are in KiB a second.
    pub fn open(
        at: &Bucket,
        settings: Settings,
        up_kib: Option<u64>,
        down_kib: Option<u64>,
    ) -> Result<Self, Error> {
        let place = Location::S3(at.clone()).to_string();
        let fail = |kind| Error::new(kind, "open", &place);
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("store")
            .enable_all()
            .build()
            .map_err(|error| fail(ErrorKind::Io).because(error))?;
        let ca_pem = settings.ca_file.as_ref().map(std::fs::read).transpose();
        let ca_pem = ca_pem.map_err(|error| {
            let why = "its file can't be read";
            Error::new(ErrorKind::BadOption { why }, "set", "s3.ca-file").because(error)
        })?;
        let up = up_kib.map(Pace::new);
        let lines = Lines {
            down: down_kib.map(Pace::new),
            stall: settings.stall,
            ca_pem,
            proxy: settings.proxy.clone(),
            start: Instant::now(),
            up,
        };
        Path::parse(&at.prefix).map_err(|error| {
            let why = "no key of an object begins like this";
            fail(ErrorKind::BadLocation { why }).because(error)
        })?;
        let piece_bytes = lines.up.as_ref().map_or(PIECE_BYTES, |up| up.piece_bytes(PIECE_BYTES));
        let builder = bucket::configure(at, &settings).map_err(&fail)?;
        let s3 = builder
            .with_http_connector(Connector(Arc::new(lines)))
            .build()
            .map_err(|error| fail(kind_of(&error, "open")).because(error))?;
        Ok(ObjectStore {
            runtime,
            s3,
            prefix: at.prefix.clone(),
            requests: Semaphore::new(settings.connections),
            piece_bytes,
            conditional_put: settings.conditional_put,
            place,
        })
    }

    fn path(&self, below: &str) -> Path {
        let both = [self.prefix.as_str(), below];
        let joined = both.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>();
        // Not `Path::from`, which writes some characters otherwise than the listing gives them.
        Path::parse(joined.join("/")).expect("the prefix was tried, and names are plain")
    }

    fn wait<T>(
        &self,
        work: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, Box<object_store::Error>> {
        self.runtime.block_on(async {
            let _permit = self.requests.acquire().await.expect("nobody closes the semaphore");
            work.await.map_err(Box::new)
        })
    }

    fn payload(&self, bytes: &Bytes) -> PutPayload {
        let starts = (0..bytes.len()).step_by(self.piece_bytes);
        starts.map(|at| bytes.slice(at..bytes.len().min(at + self.piece_bytes))).collect()
    }

    async fn create(&self, path: &Path, bytes: &Bytes) -> object_store::Result<Put> {
        let mode = if self.conditional_put { PutMode::Create } else { PutMode::Overwrite };
        if !self.conditional_put {
            match self.s3.head(path).await {
                Ok(_) => return Ok(Put::Exists),
                Err(error) if status(&error) == Some(404) => {}
                Err(error) => return Err(error),
            }
        }
        let payload = self.payload(bytes);
        let mut conflicts = 0;
        loop {
            let options = PutOptions::from(mode.clone());
            let error = match self.s3.put_opts(path, payload.clone(), options).await {
                Ok(_) => return Ok(Put::Created),
                Err(error) => error,
            };
            match status(&error) {
                Some(412 | 304) => return Ok(Put::Exists),
                Some(409) if conflicts < CONFLICTS_MAX => {
                    sleep(CONFLICT_PAUSE * (1 << conflicts)).await;
                    conflicts += 1;
                }
                _ => return Err(error),
            }
        }
    }

    async fn read(&self, path: &Path, range: Range<u64>) -> object_store::Result<Bytes> {
        let range = Some(GetRange::Bounded(range));
        let options = GetOptions { range, ..GetOptions::default() };
        self.s3.get_opts(path, options).await?.bytes().await
    }

    fn error(&self, error: &object_store::Error, verb: &'static str, object: &str) -> Error {
        let object = if object.is_empty() { &self.place } else { object };
        let ours = Error::new(kind_of(error, verb), verb, object);
        match Failure::within(error) {
            Some(failure) => ours.because(failure.clone()),
            None => ours.because(error.to_string()),
        }
    }
}

fn status(error: &object_store::Error) -> Option<u16> {
    Failure::within(error).and_then(Failure::status)
}

fn kind_of(error: &object_store::Error, verb: &'static str) -> ErrorKind {
    match Failure::within(error).map(Failure::kind) {
        // Only a bucket can be missing then.
        Some(ErrorKind::NotFound) if verb == "list" || verb == "put" => {
            ErrorKind::Misbehaved { what: "there is no such bucket" }
        }
        Some(kind) => kind,
        None => ErrorKind::Misbehaved { what: "an answer that is not S3's" },
    }
}

impl fmt::Debug for ObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectStore({})", self.place)
    }
}

impl Store for ObjectStore {
    fn put_new(&self, name: &Name, bytes: Bytes) -> Result<Put, Error> {
        let path = self.path(name.as_str());
        self.wait(self.create(&path, &bytes)).map_err(|e| self.error(&e, "put", name.as_str()))
    }

    fn get(&self, name: &Name, range: Range<u64>) -> Result<Bytes, Error> {
        let short = || Error::new(ErrorKind::ShortObject, "get", name.as_str());
        if range.start >= range.end {
            // HTTP has no empty ranges.
            let size = self.size(name)?;
            return if range.start == range.end && range.end <= size {
                Ok(Bytes::new())
            } else {
                Err(short())
            };
        }
        let length = range.end - range.start;
        let read = self.wait(self.read(&self.path(name.as_str()), range));
        match read.map_err(|error| self.error(&error, "get", name.as_str()))? {
            bytes if bytes.len() as u64 == length => Ok(bytes),
            _ => Err(short()),
        }
    }

    fn size(&self, name: &Name) -> Result<u64, Error> {
        let head = self.wait(self.s3.head(&self.path(name.as_str())));
        head.map(|meta| meta.size).map_err(|error| self.error(&error, "size", name.as_str()))
    }

    fn list(
        &self,
        prefix: &str,
        each: &mut dyn FnMut(Listed) -> Result<(), Error>,
    ) -> Result<(), Error> {
        super::name::assert_prefix(prefix);
        let root = if self.prefix.is_empty() { String::new() } else { self.prefix.clone() + "/" };
        let below = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let mut pages = self.s3.list(Some(&self.path(prefix))).ready_chunks(BATCH_OBJECTS);
        while let Some(batch) = self.runtime.block_on(pages.next()) {
            for object in batch {
                let object = object.map_err(|error| self.error(&error, "list", prefix))?;
                let key = object.location.as_ref();
                let name = key.strip_prefix(&root).filter(|name| name.starts_with(&below));
                // What is no name is a stranger's.
                if let Some(name) = name.and_then(Name::parse) {
                    each(Listed { name, size_bytes: object.size })?;
                }
            }
        }
        Ok(())
    }

    fn remove(&self, name: &Name) -> Result<(), Error> {
        match self.wait(self.s3.delete(&self.path(name.as_str()))) {
            Err(error) if status(&error) != Some(404) => {
                Err(self.error(&error, "remove", name.as_str()))
            }
            _ => Ok(()),
        }
    }

    fn creates_atomically(&self) -> bool {
        self.conditional_put
    }

    fn visibility_delay_seconds(&self) -> u64 {
        0
    }
}
