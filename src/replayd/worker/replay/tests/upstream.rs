//! A volatile application in the process: it keeps what it was asked in memory, and can be told to misbehave.

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// One request that was executed.
#[derive(Debug, Clone)]
pub(super) struct Executed {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// What decides on a response: gets the number of the request, from 1, and the request; none = the connection ends
/// without one.
pub(super) type Script = Box<dyn Fn(u64, &Executed) -> Option<(u16, String)> + Send + Sync>;

#[derive(Clone)]
struct App {
    boot: Arc<Mutex<String>>,
    log: Arc<Mutex<Vec<Executed>>>,
    count: Arc<AtomicU64>,
    script: Arc<Mutex<Script>>,
    /// Requests to `/hold/…` wait for it.
    hold: Arc<Notify>,
    held: Arc<Notify>,
}

/// The application, and the connection that can be cut.
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    app: App,
    serve: JoinHandle<()>,
}

impl Upstream {
    pub(super) async fn start() -> Self {
        let app = App {
            boot: Arc::new(Mutex::new("boot-1".to_owned())),
            log: Arc::default(),
            count: Arc::default(),
            script: Arc::new(Mutex::new(Box::new(|_, _| Some((201, "{}".to_owned()))))),
            hold: Arc::default(),
            held: Arc::default(),
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let serve = tokio::spawn(accept(listener, app.clone()));
        Self { address, app, serve }
    }

    /// Takes no connection any more.
    pub(super) async fn leave(&mut self) {
        self.serve.abort();
        (&mut self.serve).await.unwrap_err();
    }

    /// Takes connections again, at the same address.
    pub(super) async fn come_back(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.serve = tokio::spawn(accept(listener, self.app.clone()));
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn script(&self, script: impl Fn(u64, &Executed) -> Option<(u16, String)> + Send + Sync + 'static) {
        *self.app.script.lock().unwrap() = Box::new(script);
    }

    /// Loses all that it knows, and comes back with another boot id.
    pub(super) fn reboot(&self, boot: &str) {
        *self.app.boot.lock().unwrap() = boot.to_owned();
        self.app.log.lock().unwrap().clear();
    }

    /// The boot id that it shows.
    pub(super) fn boot(&self) -> Arc<Mutex<String>> {
        Arc::clone(&self.app.boot)
    }

    /// What was executed since the last boot; looks at the health and GETs of `/` do not count.
    pub(super) fn log(&self) -> Vec<Executed> {
        self.app.log.lock().unwrap().clone()
    }

    pub(super) fn targets(&self) -> Vec<String> {
        self.log().into_iter().map(|each| each.target).collect()
    }

    /// Waits until a request to `/hold/…` is here.
    pub(super) async fn held(&self) {
        self.app.held.notified().await;
    }

    /// Lets one request to `/hold/…` go on.
    pub(super) fn release(&self) {
        self.app.hold.notify_one();
    }
}

async fn accept(listener: TcpListener, app: App) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let app = app.clone();
        let service = service_fn(move |request| execute(app.clone(), request));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// An error ends the connection without a response.
async fn execute(app: App, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes().to_vec();
    let executed = Executed {
        method: head.method.to_string(),
        target: head.uri.path_and_query().unwrap().to_string(),
        headers: head.headers,
        body,
    };
    let boot = app.boot.lock().unwrap().clone();
    let is_look = executed.target == "/" || executed.target == "/healthz";
    let mut number = 0;
    if !is_look {
        app.log.lock().unwrap().push(executed.clone());
        number = app.count.fetch_add(1, Ordering::SeqCst) + 1;
    }
    if executed.target.starts_with("/hold/") {
        app.held.notify_one();
        app.hold.notified().await;
    }
    let said = (app.script.lock().unwrap())(number, &executed);
    let (status, body) = said.ok_or_else(|| io::Error::other("scripted"))?;
    let response = Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .header("reprise-boot-id", &boot);
    Ok(response.body(Full::new(body.into())).unwrap())
}
