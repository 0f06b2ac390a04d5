//! The demo application behind Envoy: it counts what it executes, and misbehaves on command.
//!
//! A request is *executed* when all of it has arrived; that is when it is counted. Every answer can be scripted by the
//! request's `x-script` header ([`Script`]). What was executed is read at `GET /_log` ([`Execution`]), and taken out there
//! by `DELETE`. Requests that wait at a gate are let go by `POST /_gate/<name>`, until `DELETE` closes it. HTTP/1.1 and
//! HTTP/2 with prior knowledge are served on one port.

mod api;
mod journal;
mod pieces;
mod script;

pub use journal::Execution;
pub use script::{Fault, Script, patterned};

use journal::Journal;
use pieces::Pieces;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use tokio::sync::watch;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;

/// An upstream that runs inside this process, on threads of its own; it stops when dropped.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    stop: watch::Sender<bool>,
}

impl Upstream {
    /// Starts one at a port that the system chooses.
    #[must_use]
    pub fn start() -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into())
    }

    /// Starts one at `address`.
    #[must_use]
    pub fn start_at(address: SocketAddr) -> Self {
        Self::live(address, Journal::default())
    }

    /// Starts one at `address` that clients may not change until `POST /_gate/ready`; replays may.
    #[must_use]
    pub fn start_unready_at(address: SocketAddr) -> Self {
        Self::live(address, Journal::unready())
    }

    fn live(address: SocketAddr, journal: Journal) -> Self {
        let listener = TcpListener::bind(address).expect("the upstream's address is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (stop, stopped) = watch::channel(false);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime
                .expect("a runtime for the upstream")
                .block_on(accept(listener, stopped, journal));
        });
        Self { address, stop }
    }

    /// Tells where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
    }
}

/// Serves on `listener` until `stopped` becomes true or its sender is gone; open connections are dropped then.
pub async fn serve(listener: TcpListener, stopped: watch::Receiver<bool>) {
    accept(listener, stopped, Journal::default()).await;
}

async fn accept(listener: TcpListener, mut stopped: watch::Receiver<bool>, journal: Journal) {
    listener
        .set_nonblocking(true)
        .expect("a socket can be made non-blocking");
    let listener = tokio::net::TcpListener::from_std(listener).expect("the runtime takes the socket");
    let journal = Arc::new(journal);
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let _ = stream.set_nodelay(true);
                connections.spawn(connection(stream, Arc::clone(&journal)));
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: tokio::net::TcpStream, journal: Arc<Journal>) {
    let service = hyper::service::service_fn(move |request| api::answer(request, Arc::clone(&journal)));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().half_close(false);
    // A client or a script that cuts the connection is an expected end.
    let _ = builder
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .await;
}
