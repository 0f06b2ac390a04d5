//! A TCP relay between two programs that plays a bad network: it cuts, it is slow, it loses answers.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, tcp};
use tokio::sync::watch;

/// A relay on threads of its own; it ends when dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    faults: Arc<Faults>,
    cut: Arc<watch::Sender<bool>>,
    stop: watch::Sender<bool>,
}

/// What the network does wrong.
#[derive(Debug, Default)]
struct Faults {
    /// Answers to POSTs that are still to be lost.
    to_lose: AtomicUsize,
    /// Answers to POSTs that were lost.
    lost: AtomicUsize,
    /// How long requests on every second connection are held up, in milliseconds.
    slow_ms: AtomicU64,
}

impl Relay {
    /// Relays between a port of the loopback and `to`.
    #[must_use]
    pub fn start(port: u16, to: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("the relay's port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (faults, cut) = (Arc::new(Faults::default()), Arc::new(watch::Sender::new(false)));
        let (stop, stopped) = watch::channel(false);
        let (shared, cuts) = (Arc::clone(&faults), Arc::clone(&cut));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime for the relay");
            runtime.block_on(relay(listener, to, shared, cuts, stopped));
        });
        Self {
            address,
            faults,
            cut,
            stop,
        }
    }

    /// Tells where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts all connections; new ones are cut at once, until [`Self::mend`].
    pub fn cut(&self) {
        self.cut.send_replace(true);
    }

    /// Lets connections through again.
    pub fn mend(&self) {
        self.cut.send_replace(false);
    }

    /// Lets the next `count` answers to POSTs vanish, each with its connection: what was asked was done.
    pub fn lose_answers(&self, count: usize) {
        self.faults.to_lose.store(count, Ordering::SeqCst);
    }

    /// Tells how many answers were lost so far.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.faults.lost.load(Ordering::SeqCst)
    }

    /// Holds up every request on every second connection, so that what was sent later arrives earlier.
    pub fn slow(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).expect("a time that fits");
        self.faults.slow_ms.store(ms, Ordering::SeqCst);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
    }
}

async fn relay(
    listener: TcpListener,
    to: SocketAddr,
    faults: Arc<Faults>,
    cut: Arc<watch::Sender<bool>>,
    mut stopped: watch::Receiver<bool>,
) {
    listener
        .set_nonblocking(true)
        .expect("a socket can be made non-blocking");
    let listener = tokio::net::TcpListener::from_std(listener).expect("the runtime takes the socket");
    let (mut connections, mut number) = (tokio::task::JoinSet::new(), 0_usize);
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                let (faults, mut cuts) = (Arc::clone(&faults), cut.subscribe());
                number += 1;
                let is_slow = number.is_multiple_of(2);
                connections.spawn(async move {
                    tokio::select! {
                        _ = cuts.wait_for(|cut| *cut) => {}
                        () = connection(client, to, &faults, is_slow) => {}
                    }
                });
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Carries bytes both ways until one side ends; the other one sees that end.
async fn connection(mut client: TcpStream, to: SocketAddr, faults: &Faults, is_slow: bool) {
    let Ok(mut server) = TcpStream::connect(to).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
    let is_post = AtomicBool::new(false);
    tokio::select! {
        () = forth(from_client, to_server, faults, &is_post, is_slow) => {}
        () = back(from_server, to_client, faults, &is_post) => {}
    }
}

async fn forth(
    mut from: tcp::ReadHalf<'_>,
    mut to: tcp::WriteHalf<'_>,
    faults: &Faults,
    is_post: &AtomicBool,
    is_slow: bool,
) {
    let mut bytes = vec![0; 65_536];
    while let Ok(len @ 1..) = from.read(&mut bytes).await {
        let piece = &bytes[..len];
        let is_head = piece.starts_with(b"GET ") || piece.starts_with(b"POST ");
        if is_head {
            is_post.store(piece.starts_with(b"POST "), Ordering::SeqCst);
        }
        let slow_ms = faults.slow_ms.load(Ordering::SeqCst);
        if is_head && is_slow && 0 < slow_ms {
            tokio::time::sleep(Duration::from_millis(slow_ms)).await;
        }
        if to.write_all(piece).await.is_err() {
            return;
        }
    }
}

async fn back(mut from: tcp::ReadHalf<'_>, mut to: tcp::WriteHalf<'_>, faults: &Faults, is_post: &AtomicBool) {
    let mut bytes = vec![0; 65_536];
    while let Ok(len @ 1..) = from.read(&mut bytes).await {
        let is_lost = is_post.load(Ordering::SeqCst)
            && faults
                .to_lose
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                .is_ok();
        if is_lost {
            faults.lost.fetch_add(1, Ordering::SeqCst);
            return;
        }
        if to.write_all(&bytes[..len]).await.is_err() {
            return;
        }
    }
}
