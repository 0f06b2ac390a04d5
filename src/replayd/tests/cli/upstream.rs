//! An application that notes what it is sent.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// Serves in the background until the test ends. By its path a request is told what happens: `/status/N` is answered
/// with that status, `/drop` not at all, `/hold` when [`Upstream::release`] was called; the rest with 201.
pub(super) struct Upstream {
    pub(super) url: String,
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    requests: Vec<String>,
    released: bool,
}

impl Upstream {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Inner::default());
        let serves = Arc::clone(&inner);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let inner = Arc::clone(&serves);
                thread::spawn(move || serve(&stream, &inner));
            }
        });
        Self { url, inner }
    }

    /// Method, target and body of each request, in the order in which they came.
    pub(super) fn requests(&self) -> Vec<String> {
        self.inner.state.lock().unwrap().requests.clone()
    }

    /// Waits until so many requests came.
    pub(super) fn wait_for(&self, count: usize) {
        let state = self.inner.state.lock().unwrap();
        drop(
            self.inner
                .changed
                .wait_while(state, |state| state.requests.len() < count)
                .unwrap(),
        );
    }

    /// Lets go what is held, and what will be.
    pub(super) fn release(&self) {
        self.inner.state.lock().unwrap().released = true;
        self.inner.changed.notify_all();
    }
}

fn serve(stream: &TcpStream, inner: &Inner) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
        if line.trim_end().is_empty() {
            break;
        }
        head.push(line.trim_end().to_ascii_lowercase());
    }
    let length = head
        .iter()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or_default()];
    reader.read_exact(&mut body).ok()?;
    let mut words = head.first()?.split(' ');
    let (method, target) = (words.next()?.to_uppercase(), words.next()?.to_owned());
    let mut state = inner.state.lock().unwrap();
    state
        .requests
        .push(format!("{method} {target} {}", String::from_utf8_lossy(&body)));
    inner.changed.notify_all();
    if target == "/hold" {
        state = inner.changed.wait_while(state, |state| !state.released).unwrap();
    }
    drop(state);
    let status = match target.strip_prefix("/status/") {
        _ if target == "/drop" => return None,
        Some(status) => status.to_owned(),
        None => "201".to_owned(),
    };
    let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
    (&mut &*stream).write_all(answer.as_bytes()).ok()
}
