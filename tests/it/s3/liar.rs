//! A server that answers what it likes, to prove what is made of each answer.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use bytes::Bytes;
use icecore::store::{ErrorKind, Name, Put, Store, list_all};

use super::server::open;

/// One request's method, and what its answer shall be: a whole HTTP answer, or `None` to hang up.
type Script = Box<dyn Fn(usize, &str) -> Option<String> + Send + Sync>;

/// Answers the n-th request as the script says. Its threads end with the process.
struct Liar {
    port: u16,
    requests: Arc<AtomicUsize>,
    methods: Arc<Mutex<Vec<String>>>,
}

impl Liar {
    fn start(script: impl Fn(usize, &str) -> Option<String> + Send + Sync + 'static) -> Liar {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let liar = Liar { port, requests: Arc::default(), methods: Arc::default() };
        let (requests, methods) = (liar.requests.clone(), liar.methods.clone());
        let script: Arc<Script> = Arc::new(Box::new(script));
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (requests, methods) = (requests.clone(), methods.clone());
                let script = script.clone();
                thread::spawn(move || serve(socket, &requests, &methods, &script));
            }
        });
        liar
    }

    fn open(&self, more: &[(&str, &str)]) -> Arc<dyn Store> {
        open(&format!("s3:http://127.0.0.1:{}/b/r", self.port), more)
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn serve(
    socket: TcpStream,
    requests: &AtomicUsize,
    methods: &Mutex<Vec<String>>,
    script: &Script,
) -> Option<()> {
    let mut reader = BufReader::new(socket.try_clone().ok()?);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let method = first.split(' ').next()?.to_owned();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    reader.take(length).read_to_end(&mut Vec::new()).ok()?;
    let number = requests.fetch_add(1, Ordering::SeqCst);
    methods.lock().unwrap().push(method.clone());
    let answer = script(number, &method)?;
    (&socket).write_all(answer.as_bytes()).ok()
}

fn answer(status: &str, headers: &str, body: &str) -> Option<String> {
    let length = body.len();
    Some(format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    ))
}

fn page(inside: &str) -> Option<String> {
    answer("200 OK", "", &format!("<ListBucketResult>{inside}</ListBucketResult>"))
}

fn contents(key: &str) -> String {
    format!(
        "<Contents><Key>r/{key}</Key><Size>1</Size>\
         <LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
    )
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// All five verbs, each asked once.
fn kinds(store: &dyn Store) -> [ErrorKind; 5] {
    [
        store.put_new(&name("x"), Bytes::from_static(b"x")).unwrap_err().kind,
        store.get(&name("x"), 0..1).unwrap_err().kind,
        store.size(&name("x")).unwrap_err().kind,
        list_all(store, "").unwrap_err().kind,
        store.remove(&name("x")).unwrap_err().kind,
    ]
}

#[test]
fn a_server_that_fails_is_asked_again_and_then_told() {
    for status in ["500 Internal Server Error", "503 Slow Down", "429 Too Many Requests"] {
        let liar = Liar::start(move |_, _| answer(status, "", "<Error><Code>X</Code></Error>"));
        assert_eq!(kinds(&*liar.open(&[("s3.retries", "1")])), [ErrorKind::Unavailable; 5]);
        assert_eq!(liar.requests(), 10, "{status}: twice each");
    }
    let liar = Liar::start(|_, _| None);
    let store = liar.open(&[("s3.retries", "1")]);
    assert_eq!(kinds(&*store), [ErrorKind::Unavailable; 5], "it hangs up");
}

#[test]
fn a_failure_that_passes_is_not_noticed() {
    let liar = Liar::start(|number, method| match (number, method) {
        (0 | 1, _) => answer("503 Slow Down", "", ""),
        (_, "HEAD") => Some(
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\
             last-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\netag: \"x\"\r\n\r\n"
                .into(),
        ),
        _ => None,
    });
    assert_eq!(liar.open(&[]).size(&name("x")).unwrap(), 5);
    assert_eq!(liar.requests(), 3);
}

#[test]
fn final_answers_are_not_asked_for_twice() {
    for (status, kind) in [
        ("403 Forbidden", ErrorKind::Denied),
        ("401 Unauthorized", ErrorKind::Denied),
        ("507 Insufficient Storage", ErrorKind::Full),
    ] {
        let liar = Liar::start(move |_, _| answer(status, "", ""));
        assert_eq!(kinds(&*liar.open(&[])), [kind; 5], "{status}");
        assert_eq!(liar.requests(), 5, "{status}: once each");
    }
    let liar = Liar::start(|_, _| answer("404 Not Found", "", ""));
    let store = liar.open(&[]);
    let error = store.put_new(&name("x"), Bytes::new()).unwrap_err();
    assert!(error.to_string().contains("no such bucket"), "{error}");
    assert!(store.size(&name("x")).unwrap_err().is_not_found());
    store.remove(&name("x")).expect("some servers say so of what is gone");
    for status in ["301 Moved Permanently", "400 Bad Request", "501 Not Implemented"] {
        let liar = Liar::start(move |_, _| answer(status, "", ""));
        for kind in kinds(&*liar.open(&[])) {
            assert!(matches!(kind, ErrorKind::Misbehaved { .. }), "{status}: {kind}");
        }
    }
}

#[test]
fn a_listing_is_whole_or_an_error() {
    let more = |inside: &str, token: &str| {
        page(&format!("<IsTruncated>true</IsTruncated>{token}{inside}"))
    };
    let token = "<NextContinuationToken>t</NextContinuationToken>";
    let quick = [("s3.retries", "1")];

    let liar = Liar::start(move |number, _| match number {
        0 => more(&contents("a"), token),
        _ => page(&contents("b")),
    });
    assert_eq!(list_all(&*liar.open(&quick), "").unwrap().len(), 2, "two pages");

    let liar = Liar::start(move |_, _| more(&contents("a"), ""));
    let error = list_all(&*liar.open(&quick), "").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "more to come, and no word how to get it");

    let liar = Liar::start(move |number, _| match number {
        0 => more(&contents("a"), token),
        _ => answer("500 Internal Server Error", "", ""),
    });
    let error = list_all(&*liar.open(&[("s3.retries", "0")]), "").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "the second page fails");

    let liar = Liar::start(|_, _| answer("200 OK", "", "<ListBucketResult><Contents>"));
    assert_eq!(list_all(&*liar.open(&quick), "").unwrap_err().kind, ErrorKind::Unavailable, "cut");

    for login in ["<html>please log in</html>", "", "{\"contents\":[]}"] {
        let liar = Liar::start(move |_, _| answer("200 OK", "", login));
        let kind = list_all(&*liar.open(&quick), "").unwrap_err().kind;
        assert!(matches!(kind, ErrorKind::Misbehaved { .. }), "{login:?}: {kind}");
    }
}

#[test]
fn a_listing_that_breaks_goes_on() {
    let token = "<NextContinuationToken>t</NextContinuationToken>";
    let first = format!("<IsTruncated>true</IsTruncated>{token}{}", contents("a"));
    let liar = Liar::start(move |number, _| match number {
        0 | 2 => page(&first),
        1 => None,
        _ => page(&contents("b")),
    });
    let listed = list_all(&*liar.open(&[]), "").unwrap();
    let names: Vec<&str> = listed.iter().map(|listed| listed.name.as_str()).collect();
    assert_eq!(names, ["a", "b"], "each once");
    assert_eq!(liar.requests(), 4);
}

#[test]
fn bytes_are_those_asked_for_or_an_error() {
    let quick = [("s3.retries", "1"), ("s3.stall-seconds", "1")];
    let get = |status: &'static str, headers: &'static str, body: &'static str| {
        let dated =
            format!("{headers}last-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\netag: \"x\"\r\n");
        let liar = Liar::start(move |_, _| answer(status, &dated, body));
        liar.open(&quick).get(&name("x"), 2..6)
    };
    let whole = "206 Partial Content";
    assert_eq!(get(whole, "content-range: bytes 2-5/10\r\n", "2345").unwrap(), "2345");
    for (status, headers, body) in [
        ("200 OK", "", "0123456789"),
        (whole, "", "2345"),
        (whole, "content-range: bytes 0-3/10\r\n", "0123"),
        (whole, "content-range: nonsense\r\n", "2345"),
    ] {
        let error = get(status, headers, body).unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Misbehaved { .. }), "{status} {headers}: {error}");
    }
    let error = get(whole, "content-range: bytes 2-4/5\r\n", "234").unwrap_err();
    assert_eq!(error.kind, ErrorKind::ShortObject, "the object ends");
    let error = get(whole, "content-range: bytes 2-5/10\r\n", "23").unwrap_err();
    assert_eq!(error.kind, ErrorKind::ShortObject, "fewer bytes than promised");
    let error = get("416 Range Not Satisfiable", "", "").unwrap_err();
    assert_eq!(error.kind, ErrorKind::ShortObject);

    // Half a body, and then nothing.
    let liar = Liar::start(|_, _| {
        let head = answer(
            whole,
            "content-range: bytes 2-5/10\r\n\
             last-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\netag: \"x\"\r\n",
            "2345",
        )?;
        Some(head[..head.len() - 2].to_owned())
    });
    let error = liar.open(&quick).get(&name("x"), 2..6).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
}

#[test]
fn a_server_that_hangs_is_given_up() {
    let hang: Script = Box::new(|_, _| {
        thread::park();
        None
    });
    let liar = Liar::start(hang);
    let store = liar.open(&[("s3.retries", "0"), ("s3.stall-seconds", "1")]);
    let error = store.size(&name("x")).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    let error = store.put_new(&name("x"), Bytes::from_static(b"x")).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
}

/// 409 is no `Exists`: the other creation, still under way, may fail yet.
#[test]
fn a_conflict_is_asked_again() {
    let put = |script: fn(usize) -> Option<String>| {
        let liar = Liar::start(move |number, _| script(number));
        liar.open(&[("s3.retries", "0")]).put_new(&name("x"), Bytes::from_static(b"x"))
    };
    let then_lost = put(|number| match number {
        0 | 1 => answer("409 Conflict", "", ""),
        _ => answer("412 Precondition Failed", "", ""),
    });
    assert_eq!(then_lost.unwrap(), Put::Exists);
    let then_won = put(|number| match number {
        0 | 1 => answer("409 Conflict", "", ""),
        _ => answer("200 OK", "etag: \"x\"\r\n", ""),
    });
    assert_eq!(then_won.unwrap(), Put::Created);
    let for_ever = put(|_| answer("409 Conflict", "", ""));
    assert_eq!(for_ever.unwrap_err().kind, ErrorKind::Unavailable);
}

/// The server made the object and hung up before it said so.
#[test]
fn a_lost_acknowledgement_is_found_out() {
    let dated = "last-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\netag: \"x\"\r\n";
    let put = |there: &'static str| {
        let liar = Liar::start(move |number, method| match (number, method) {
            (0, _) => None,
            (_, "PUT") => answer("412 Precondition Failed", "", ""),
            (_, "HEAD") => Some(format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n{dated}\r\n",
                there.len()
            )),
            _ => answer(
                "206 Partial Content",
                &format!("content-range: bytes 0-{}/{}\r\n{dated}", there.len() - 1, there.len()),
                there,
            ),
        });
        let put = liar.open(&[]).put_new(&name("x"), Bytes::from_static(b"mine"));
        let methods = liar.methods.lock().unwrap().clone();
        (put.unwrap(), methods)
    };
    assert_eq!(put("mine"), (Put::Created, ["PUT", "PUT", "HEAD", "GET"].map(String::from).into()));
    assert_eq!(put("hers"), (Put::Exists, ["PUT", "PUT", "HEAD", "GET"].map(String::from).into()));
    assert_eq!(put("longer").0, Put::Exists);
}
