//! TLS to an S3 server: spoken unless plain HTTP was asked for, and to whom one trusts only.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use icecore::store::{ErrorKind, list_all};

use super::server::open;

fn openssl(directory: &Path, arguments: &str) -> bool {
    let mut command = Command::new("openssl");
    command.args(arguments.split(' ')).current_dir(directory).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// `openssl s_server -www` answers each GET with a page of HTML, over TLS.
fn serve(directory: &Path) -> (Server, u16) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Command::new("openssl")
        .args(["s_server", "-www", "-cert", "cert.pem", "-key", "key.pem", "-accept"])
        .arg(format!("127.0.0.1:{port}"))
        .current_dir(directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let server = Server(server);
    for _ in 0..500 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return (server, port);
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("openssl s_server does not come up");
}

#[test]
fn only_trusted_servers_are_spoken_to() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    if !openssl(at, "version") {
        eprintln!("not run, there is no openssl here");
        return;
    }
    std::fs::write(at.join("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    let new_key = "-newkey rsa:2048 -nodes";
    assert!(openssl(at, &format!("req -x509 {new_key} -keyout ca.key -out ca.pem -subj /CN=ca")));
    assert!(openssl(at, &format!("req -new {new_key} -keyout key.pem -out req.pem -subj /CN=s")));
    let sign = "x509 -req -in req.pem -CA ca.pem -CAkey ca.key -CAcreateserial -extfile names";
    assert!(openssl(at, &format!("{sign} -out cert.pem -days 2")));
    let (_server, port) = serve(at);
    let place = format!("s3:127.0.0.1:{port}/b/r");

    let error = list_all(&*open(&place, &[]), "").unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");

    let ca = at.join("ca.pem");
    let error = list_all(&*open(&place, &[("s3.ca-file", ca.to_str().unwrap())]), "").unwrap_err();
    assert!(error.to_string().contains("no listing"), "it was heard, and is not S3: {error}");
}

#[test]
fn no_word_is_said_in_plain_where_tls_was_meant() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = format!("s3:127.0.0.1:{}/b/r", listener.local_addr().unwrap().port());
    let heard = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut first = [0; 1];
        socket.read_exact(&mut first).unwrap();
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        first[0]
    });
    let error = list_all(&*open(&place, &[("s3.retries", "0")]), "").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert_eq!(heard.join().unwrap(), 0x16, "a TLS handshake begins so");
}
