//! A way to a server on which answers get lost.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

/// Passes on what clients and a server say to each other.
pub struct Lossy {
    port: u16,
    /// How the command begins whose answer is to be lost.
    loses: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Lossy {
    /// To the server on this port.
    pub fn to(server: u16) -> Lossy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, loses) = (listener.local_addr().unwrap().port(), Arc::default());
        let lossy = Lossy { port, loses: Arc::clone(&loses) };
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { return };
                pass(client, server, Arc::clone(&loses));
            }
        });
        lossy
    }

    pub fn uri(&self) -> String {
        super::direct(self.port)
    }

    /// The next command of this name is carried out, and its connection ends with the answer.
    pub fn lose_the_answer_to(&self, command: &str) {
        let begins = [&[2], command.as_bytes(), &[0]].concat();
        *self.loses.lock().unwrap() = Some(begins);
    }
}

fn pass(mut client: TcpStream, mut server: TcpStream, loses: Arc<Mutex<Option<Vec<u8>>>>) {
    let doomed = Arc::new(AtomicBool::new(false));
    let (mut to_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let is_doomed = Arc::clone(&doomed);
    thread::spawn(move || {
        while let Some(said) = heard(&mut client) {
            let mut loses = loses.lock().unwrap();
            if loses.take_if(|begins| said.windows(begins.len()).any(|at| at == *begins)).is_some()
            {
                doomed.store(true, Relaxed);
            }
            drop(loses);
            if to_server.write_all(&said).is_err() {
                break;
            }
        }
        let _ = to_server.shutdown(Shutdown::Both);
    });
    thread::spawn(move || {
        while let Some(said) = heard(&mut server) {
            if is_doomed.load(Relaxed) || to_client.write_all(&said).is_err() {
                break;
            }
        }
        let _ = to_client.shutdown(Shutdown::Both);
    });
}

/// `None`: it has no more to say.
fn heard(from: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 1 << 16];
    let length = from.read(&mut bytes).ok().filter(|length| *length > 0)?;
    bytes.truncate(length);
    Some(bytes)
}
