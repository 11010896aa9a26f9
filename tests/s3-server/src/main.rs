//! A real S3 server for the tests: the file-system server of the `s3s` project, started with one
//! of three answers to `If-None-Match: *`, so that all kinds of stores out there can be met.
//!
//!     icecore-s3-server <atomic|racy|ignorant> <port> <directory> [until-eof]
//!
//! `until-eof`: it ends when its standard input does, so it never outlives the test that holds
//! the other end.
//!
//! `atomic`: of two concurrent creations one fails, as on Amazon's S3. s3s-fs alone looks first
//! and writes later, so here the PUTs of one key wait for one another.
//! `racy`: s3s-fs as it is: it looks first and writes later.
//! `ignorant`: the condition is not seen, as on stores from before 2024: the object is overwritten.

use std::{
    env,
    error::Error,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use hyper::{Method, Request, body::Incoming, service::Service, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use s3s::{
    S3Request, S3Result,
    access::{S3Access, S3AccessContext},
    auth::SimpleAuth,
    dto::PutObjectInput,
    service::S3ServiceBuilder,
};
use s3s_fs::FileSystem;
use tokio::{net::TcpListener, sync::Mutex};

/// Lets every signed request in, and forgets the condition of a PUT when it is to be ignorant.
struct Access {
    ignorant: bool,
}

#[async_trait::async_trait]
impl S3Access for Access {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        match cx.credentials() {
            Some(_) => Ok(()),
            None => Err(s3s::s3_error!(AccessDenied)),
        }
    }
    async fn put_object(&self, req: &mut S3Request<PutObjectInput>) -> S3Result<()> {
        if self.ignorant {
            req.input.if_none_match = None;
        }
        Ok(())
    }
}

fn shard(path: &str, shards: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish() as usize % shards
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [mode, port, directory, rest @ ..] = args.as_slice() else {
        return Err("usage: <atomic|racy|ignorant> <port> <directory> [until-eof]".into());
    };
    if rest.first().is_some_and(|word| word == "until-eof") {
        std::thread::spawn(|| {
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            std::process::exit(0);
        });
    }
    let atomic = match mode.as_str() {
        "atomic" => true,
        "racy" | "ignorant" => false,
        _ => return Err("the mode is one of atomic, racy, ignorant".into()),
    };
    let files = FileSystem::new(directory).map_err(|error| format!("{directory}: {error:?}"))?;
    let mut builder = S3ServiceBuilder::new(files);
    builder.set_auth(SimpleAuth::from_single("test", "testsecret"));
    builder.set_access(Access { ignorant: mode == "ignorant" });
    let service = builder.build();
    let locks: Arc<Vec<Mutex<()>>> = Arc::new((0..1024).map(|_| Mutex::new(())).collect());

    let listener = TcpListener::bind(("127.0.0.1", port.parse()?)).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (socket, _) = listener.accept().await?;
        let (service, locks) = (service.clone(), locks.clone());
        let handle = service_fn(move |request: Request<Incoming>| {
            let (service, locks) = (service.clone(), locks.clone());
            async move {
                let waits = atomic && request.method() == Method::PUT;
                let lock = &locks[shard(request.uri().path(), locks.len())];
                let _held = if waits { Some(lock.lock().await) } else { None };
                Service::call(&service, request).await
            }
        });
        tokio::spawn(async move {
            let server = Builder::new(TokioExecutor::new());
            // A client that goes away is the client's matter.
            let _ = server.serve_connection(TokioIo::new(socket), handle).await;
        });
    }
}
