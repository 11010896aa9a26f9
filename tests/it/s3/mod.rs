//! The S3 store against a real server: whole, refused, killed, and one that lies.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use bytes::Bytes;
use icecore::{
    ambient::Ambient,
    limits::MIB,
    store::{
        ErrorKind, Name, Put, contract, get_all, list_all,
        location::{self, StoreOptions},
        probe,
    },
};

mod liar;
pub mod server;
mod tls;

use server::{Mode, S3Server, open, options};

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

#[test]
fn the_contract_holds_on_a_real_server() {
    let server = S3Server::start(Mode::Atomic);
    contract::check(&*server.open("deep/prefix"));
    contract::check_few(&*server.open("~web1/a b#%41?*[ä]"));
    contract::check_few(&*server.open(""));
}

#[test]
fn repositories_in_one_bucket_do_not_meet() {
    let server = S3Server::start(Mode::Atomic);
    let (a, ab) = (server.open("a"), server.open("ab"));
    a.put_new(&name("x/1"), Bytes::from_static(b"a")).unwrap();
    ab.put_new(&name("x/1"), Bytes::from_static(b"ab")).unwrap();
    ab.put_new(&name("x/2"), Bytes::from_static(b"ab")).unwrap();
    assert_eq!(list_all(&*a, "").unwrap().len(), 1);
    assert_eq!(list_all(&*ab, "").unwrap().len(), 2);
    assert_eq!(get_all(&*a, &name("x/1"), 10).unwrap(), "a");
    assert_eq!(list_all(&*server.open(""), "").unwrap().len(), 3);
}

#[test]
fn the_probe_tells_servers_apart() {
    let (ambient, _) = Ambient::fixed(7);
    let server = S3Server::start(Mode::Atomic);
    let store = server.open("p");
    for _ in 0..5 {
        let abilities = probe(&*store, &ambient).unwrap();
        assert!(abilities.create_if_absent);
        assert_eq!(abilities.visibility_delay_seconds, 0);
    }
    assert_eq!(list_all(&*store, "").unwrap(), [], "a probe leaves nothing");

    let server = S3Server::start(Mode::Ignorant);
    let store = server.open("p");
    assert!(!probe(&*store, &ambient).unwrap().create_if_absent, "it overwrites");

    // Whether two meet is chance; that none of many does is not believable.
    let server = S3Server::start(Mode::Racy);
    let store = server.open("p");
    let found = (0..50).any(|_| !probe(&*store, &ambient).unwrap().create_if_absent);
    assert!(found, "it looks first and writes later");
}

#[test]
fn a_store_that_looks_first_says_so() {
    let (ambient, _) = Ambient::fixed(8);
    let server = S3Server::start(Mode::Atomic);
    for (value, is_atomic) in [("true", true), ("false", false)] {
        let store = open(&server.place("p"), &[("s3.conditional-put", value)]);
        assert_eq!(store.creates_atomically(), is_atomic);
        // Whatever the race of a probe shows.
        assert_eq!(probe(&*store, &ambient).unwrap().create_if_absent, is_atomic);
    }
}

#[test]
fn many_packs_go_up_at_once() {
    let server = S3Server::start(Mode::Atomic);
    let store = open(&server.place("r"), &[("s3.connections", "4")]);
    let pack = |n: usize| {
        let mut bytes = vec![0; 3 * MIB + n];
        blake3::Hasher::new().update(&[n as u8]).finalize_xof().fill(&mut bytes);
        Bytes::from(bytes)
    };
    thread::scope(|scope| {
        for thread in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for n in [thread, thread + 8] {
                    let object = name(&format!("packs/{n:02x}/x"));
                    assert_eq!(store.put_new(&object, pack(n)).unwrap(), Put::Created);
                }
            });
        }
    });
    assert_eq!(list_all(&*store, "packs").unwrap().len(), 16);
    for n in 0..16 {
        let there = get_all(&*store, &name(&format!("packs/{n:02x}/x")), 4 * MIB).unwrap();
        assert!(there == pack(n), "pack {n}");
    }
}

#[test]
fn limits_slow_down_and_change_nothing() {
    let server = S3Server::start(Mode::Atomic);
    let limited = StoreOptions {
        limit_upload_kib: Some(2000),
        limit_download_kib: Some(2000),
        ..options(&[("s3.stall-seconds", "1")])
    };
    let location = location::parse(&server.place("r")).unwrap();
    let ambient = Ambient::real("host", "someone");
    let store = location::open(&location, &limited, &ambient).unwrap();
    let bytes = Bytes::from(vec![7; MIB]);
    let start = ambient.clock.monotonic();
    store.put_new(&name("x"), bytes.clone()).unwrap();
    assert!(get_all(&*store, &name("x"), MIB).unwrap() == bytes);
    let took = ambient.clock.monotonic() - start;
    // Never sooner than the limit allows; later is the machine's affair.
    assert!(took.as_millis() >= 2 * 1024 * 1000 / 2000, "{took:?}");
}

#[test]
fn a_server_that_refuses_is_understood() {
    let server = S3Server::start(Mode::Atomic);
    let stranger = open(&server.place("r"), &[("AWS_SECRET_ACCESS_KEY", "wrong")]);
    let nobody = open(&server.place("r"), &[("s3.anonymous", "true")]);
    for store in [stranger, nobody] {
        let kinds = [
            store.put_new(&name("x"), Bytes::new()).unwrap_err().kind,
            store.get(&name("x"), 0..1).unwrap_err().kind,
            store.size(&name("x")).unwrap_err().kind,
            store.list("", &mut |_| Ok(())).unwrap_err().kind,
            store.remove(&name("x")).unwrap_err().kind,
        ];
        assert_eq!(kinds, [ErrorKind::Denied; 5]);
    }
    let place = server.place("r").replace(server::BUCKET, "elsewhere");
    let lost = open(&place, &[]);
    assert!(lost.get(&name("config"), 0..1).unwrap_err().is_not_found());
    let error = lost.list("", &mut |_| Ok(())).unwrap_err();
    assert!(error.to_string().contains("no such bucket"), "{error}");
}

/// The server dies while eight threads put; all of them are told in bounded time (their retries
/// are few), what was acknowledged is there when it comes back, and work goes on.
#[test]
fn a_server_that_dies_is_told_and_survived() {
    let mut server = S3Server::start(Mode::Atomic);
    let store = server.open("r");
    let acknowledged = Mutex::new(Vec::new());
    let kill_now = AtomicBool::new(false);
    let bytes = Bytes::from(vec![9; MIB]);
    thread::scope(|scope| {
        let putters: Vec<_> = (0..8)
            .map(|thread| {
                let (store, acknowledged) = (&store, &acknowledged);
                let (kill_now, bytes) = (&kill_now, &bytes);
                scope.spawn(move || {
                    for n in 0.. {
                        let object = name(&format!("x/{thread}-{n}"));
                        match store.put_new(&object, bytes.clone()) {
                            Ok(put) => {
                                assert_eq!(put, Put::Created);
                                let mut all = acknowledged.lock().unwrap();
                                all.push(object);
                                kill_now.store(all.len() > 20, Ordering::SeqCst);
                            }
                            Err(error) => return error.kind,
                        }
                    }
                    unreachable!("the server dies before that")
                })
            })
            .collect();
        while !kill_now.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        server.kill();
        for putter in putters {
            assert_eq!(putter.join().unwrap(), ErrorKind::Unavailable);
        }
    });
    assert_eq!(store.size(&name("x/0-0")).unwrap_err().kind, ErrorKind::Unavailable);
    let listed = list_all(&*store, "x").unwrap_err();
    assert_eq!(listed.kind, ErrorKind::Unavailable, "a dead server has no empty listing");

    server.restart();
    for object in acknowledged.into_inner().unwrap() {
        assert!(get_all(&*store, &object, MIB).unwrap() == bytes, "{object} was acknowledged");
    }
    assert_eq!(store.put_new(&name("x/after"), bytes).unwrap(), Put::Created);
    assert!(list_all(&*store, "x").unwrap().len() > 20);
}

/// It comes back while a put is being tried again, and the put never knows.
#[test]
fn a_short_outage_is_not_noticed() {
    let mut server = S3Server::start(Mode::Atomic);
    let store = open(&server.place("r"), &[("s3.retries", "30")]);
    store.put_new(&name("before"), Bytes::new()).unwrap();
    server.kill();
    thread::scope(|scope| {
        let put = scope.spawn(|| store.put_new(&name("during"), Bytes::from_static(b"x")));
        server.restart();
        assert_eq!(put.join().unwrap().unwrap(), Put::Created);
    });
}
