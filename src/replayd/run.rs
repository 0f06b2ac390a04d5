//! The daemon's life: open, listen, serve, stop. What is served is in the rooms of the listeners.

use crate::app::access::Access;
use crate::app::boots::Boots;
use crate::app::captures::Captures;
use crate::app::policy::{Policy, PolicyError};
use crate::app::replays::{Parts, ReplayError, Replays};
use crate::app::seal::{SealError, SealKey};
use crate::clock::{SystemClock, UnixMillis};
use crate::config::Config;
use crate::connector::{Connector, Reach};
use crate::data_dir::{ADMIN_TOKEN, Addresses, DATABASE, DataDir, DataDirError, INGEST_TOKEN, SEAL_KEY};
use crate::http::{self, Console};
use crate::ingest::{self, Intake};
use crate::metrics::{Ends, Metrics};
use crate::phase::{Phase, PhaseReader, closing};
use crate::store::{SqliteStore, StoreError};
use crate::token::Token;
use crate::worker::retention::Caretaker;
use crate::worker::{replay, restore};
use axum::Router;
use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time;

/// This binary's version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A daemon that has its data and its addresses, but does not serve yet.
pub(crate) struct Daemon {
    data: DataDir,
    ingest: (TcpListener, Router),
    console: (TcpListener, Router),
    caretaker: Caretaker,
    /// What is sent again, the key that signs it, and where its ends are counted.
    sender: (Replays, [u8; 32], Ends),
    phase: watch::Sender<Phase>,
    shutdown: (Duration, Duration),
    /// What was bound.
    pub(crate) addresses: Addresses,
    /// What the ingest listener asks for.
    pub(crate) ingest_token: Token,
    /// What the administrator is to show.
    pub(crate) admin_token: Token,
}

/// Why the daemon did not start, or ended by itself.
#[derive(Debug, Error)]
pub(crate) enum RunError {
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The store cannot be used.
    #[error("cannot open the store")]
    Store(#[from] StoreError),
    /// The keys of this installation cannot be had.
    #[error("cannot read or draw the keys of this installation")]
    Policy(#[from] PolicyError),
    /// The key of sealed values cannot be had.
    #[error("cannot read or draw the key of sealed values")]
    Seal(#[from] SealError),
    /// An address cannot be had.
    #[error(
        "cannot listen on {address} for {listener}: choose another with --{listener}-address, \
         REPLAYD_{}_ADDRESS or `address` in [{listener}]",
        listener.to_uppercase()
    )]
    Bind {
        /// What would have listened.
        listener: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Nothing can be dialled.
    #[error("cannot read the certificates that this system trusts")]
    Dial(#[source] io::Error),
    /// Replays of an earlier process cannot be taken to rest.
    #[error("cannot take the replays of an earlier process to rest")]
    Recover(#[from] ReplayError),
    /// Replays cannot be signed.
    #[error("the store holds no signature key")]
    NoKey,
    /// A listener broke.
    #[error("a listener broke")]
    Serve(#[source] io::Error),
}

impl Daemon {
    /// Opens the data, migrates it, records the start at `now`, and binds both listeners.
    ///
    /// # Errors
    /// [`RunError`]; nothing is left listening then.
    pub(crate) async fn start(config: &Config, now: UnixMillis) -> Result<Self, RunError> {
        let data = DataDir::open(&config.data_dir)?;
        // A daemon that was killed leaves its addresses behind.
        data.unpublish()?;
        let (ingest_token, admin_token) = (data.token(INGEST_TOKEN)?, data.token(ADMIN_TOKEN)?);
        let store = SqliteStore::open(&data.file(DATABASE))?;
        let metrics = Arc::new(Metrics::new(&store.start(VERSION, now).await?, store.commits()));
        let boots = Boots::load(store.clone()).await?;
        let policy = Policy::load(&store, boots.clone(), now).await?;
        let seal = SealKey::load_or_draw(&data.file(SEAL_KEY))?;
        let captures = Captures::new(Arc::new(store.clone()), boots.clone(), seal);
        let caretaker = Caretaker {
            captures: captures.clone(),
            config: config.captures.clone(),
            clock: Arc::new(SystemClock),
            metrics: Arc::clone(&metrics),
        };
        let replays = replays(config, &store, captures.clone(), boots).map_err(RunError::Dial)?;
        let key = *policy.signature_keys().first().ok_or(RunError::NoKey)?;
        let sender = (replays.clone(), key, metrics.ends.clone());
        replays.recover().await?;
        let intake = Intake::new(
            captures.clone(),
            policy.clone(),
            Arc::new(SystemClock),
            Arc::clone(&metrics),
        );
        let (phase, reader) = watch::channel(Phase::Serving);
        let (ingest, ingest_at) = bind("ingest", config.ingest_address).await?;
        let (console, console_at) = bind("console", config.console_address).await?;
        let addresses = Addresses {
            ingest: ingest_at,
            console: console_at,
        };
        data.publish(&addresses)?;
        Ok(Self {
            ingest: (ingest, ingest::router(ingest_token.clone(), intake)),
            console: (
                console,
                http::router(Console {
                    captures,
                    replays,
                    policy,
                    access: Access::new(admin_token.clone(), Arc::new(store.clone())),
                    view: Arc::new(config.captures.view.clone()),
                    clock: Arc::new(SystemClock),
                    store,
                    metrics,
                    phase: reader,
                }),
            ),
            shutdown: (config.shutdown_delay, config.shutdown_timeout),
            data,
            caretaker,
            sender,
            phase,
            addresses,
            ingest_token,
            admin_token,
        })
    }

    /// Serves until `stop` comes, and then as long as the configured delay and timeout allow.
    ///
    /// # Errors
    /// [`RunError::Serve`] if a listener breaks before `stop`.
    pub(crate) async fn serve(self, stop: impl Future<Output = ()>) -> Result<(), RunError> {
        let reader = self.phase.subscribe();
        let caretaker = tokio::spawn(self.caretaker.run(reader.clone()));
        let (replays, key, ends) = self.sender;
        let restorer = tokio::spawn(restore::run(replays.clone(), closing(reader.clone())));
        let mut sender = tokio::spawn(replay::run(replays, key, ends, closing(reader.clone())));
        let serving = async { tokio::try_join!(listen(self.ingest, reader.clone()), listen(self.console, reader)) };
        tokio::pin!(serving);
        let (delay, timeout) = self.shutdown;
        let stopping = async {
            stop.await;
            tracing::info!(
                delay_ms = delay.as_millis(),
                timeout_ms = timeout.as_millis(),
                "stopping"
            );
            self.phase.send_replace(Phase::Stopping);
            time::sleep(delay).await;
            self.phase.send_replace(Phase::Closing);
        };
        let ended = tokio::select! {
            ended = &mut serving => ended.map(drop),
            () = stopping => finish(serving, timeout).await,
        };
        self.phase.send_replace(Phase::Closing);
        // What was sent is written down before and after; a step that is cut off is in doubt, and its replay resumable.
        match time::timeout(timeout, &mut sender).await {
            Ok(Ok(Err(error))) => tracing::error!(error = &error as &dyn std::error::Error, "replays stopped"),
            Ok(_) => {}
            Err(_) => sender.abort(),
        }
        let _stopped = restorer.await;
        // What it wrote is on disk or not; a round that was cut off begins again at the next start.
        caretaker.abort();
        let _cut_off = caretaker.await;
        // The daemon ends either way: what it published is then told to nobody.
        if let Err(error) = self.data.unpublish() {
            tracing::warn!(%error, cause = error.source(), "the addresses stay published");
        }
        ended.map_err(RunError::Serve)
    }
}

/// Puts together what sends captures again.
fn replays(config: &Config, store: &SqliteStore, sealed: Captures, boots: Boots) -> io::Result<Replays> {
    Ok(Replays::new(Parts {
        store: Arc::new(store.clone()),
        captures: Arc::new(store.clone()),
        sealed,
        boots,
        targets: config.targets.clone(),
        clock: Arc::new(SystemClock),
        outside: Connector::new(Reach::Public)?,
        anywhere: Connector::new(Reach::Anywhere)?,
    }))
}

async fn bind(listener: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), RunError> {
    let bound = async {
        let socket = TcpListener::bind(address).await?;
        let at = socket.local_addr()?;
        Ok((socket, at))
    };
    bound.await.map_err(|source| RunError::Bind {
        listener,
        address,
        source,
    })
}

async fn listen((socket, routes): (TcpListener, Router), phase: PhaseReader) -> io::Result<()> {
    axum::serve(socket, routes).with_graceful_shutdown(closing(phase)).await
}

/// Waits until every request has ended; after `timeout` the rest is cut off.
async fn finish<T>(serving: impl Future<Output = io::Result<T>>, timeout: Duration) -> io::Result<()> {
    let Ok(ended) = time::timeout(timeout, serving).await else {
        tracing::warn!(
            timeout_ms = timeout.as_millis(),
            "requests that took too long are cut off"
        );
        return Ok(());
    };
    tracing::info!("stopped");
    ended.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client;
    use crate::ingest::tests::{batch, exchange};
    use crate::store::captures::Captures as _;
    use ::http::{Request, StatusCode};
    use axum::routing::get;
    use bytes::Bytes;
    use http_body_util::Full;
    use hyper_util::client::legacy::Client;
    use hyper_util::rt::TokioExecutor;
    use reprise_core::wire::{BATCH_PATH, BatchHead, CONTENT_TYPE};
    use std::path::Path;
    use tokio::sync::{Notify, oneshot};
    use tokio::task::JoinHandle;

    /// A daemon that serves in the background until it is told to stop.
    struct Running {
        addresses: Addresses,
        stop: oneshot::Sender<()>,
        end: JoinHandle<Result<(), RunError>>,
    }

    fn config(dir: &Path) -> Config {
        let any = ([127, 0, 0, 1], 0).into();
        Config {
            data_dir: dir.to_owned(),
            ingest_address: any,
            console_address: any,
            ..Config::default()
        }
    }

    async fn run(config: &Config) -> Running {
        run_started(Daemon::start(config, UnixMillis(0)).await.unwrap())
    }

    fn run_started(daemon: Daemon) -> Running {
        let (stop, stopped) = oneshot::channel();
        let addresses = daemon.addresses;
        let end = tokio::spawn(daemon.serve(async { stopped.await.unwrap() }));
        Running { addresses, stop, end }
    }

    async fn status(address: SocketAddr, path: &str) -> Option<u16> {
        Some(
            client::fetch(&format!("http://{address}{path}"))
                .await
                .ok()?
                .status
                .as_u16(),
        )
    }

    #[tokio::test]
    async fn a_daemon_serves_both_listeners_until_it_is_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let Running { addresses, stop, end } = run(&config(dir.path())).await;
        assert_eq!(status(addresses.ingest, "/healthz").await, Some(200));
        assert_eq!(status(addresses.console, "/readyz").await, Some(200));
        stop.send(()).unwrap();
        end.await.unwrap().unwrap();
        assert_eq!(status(addresses.console, "/readyz").await, None);
        assert!(!dir.path().join("addresses.json").exists());
    }

    #[tokio::test]
    async fn a_stopping_daemon_says_so_while_the_delay_lasts() {
        let dir = tempfile::tempdir().unwrap();
        let slow = Config {
            shutdown_delay: Duration::from_secs(10),
            ..config(dir.path())
        };
        let daemon = Daemon::start(&slow, UnixMillis(0)).await.unwrap();
        let (console, mut phase) = (daemon.addresses.console, daemon.phase.subscribe());
        let end = tokio::spawn(daemon.serve(async {}));
        phase.wait_for(|phase| *phase == Phase::Stopping).await.unwrap();
        assert_eq!(status(console, "/readyz").await, Some(503));
        assert_eq!(status(console, "/healthz").await, Some(200));
        end.abort();
    }

    /// A daemon with one request open, which ends when `release` is notified.
    async fn busy(config: &Config, release: Arc<Notify>) -> (Running, PhaseReader, JoinHandle<Option<u16>>) {
        let mut daemon = Daemon::start(config, UnixMillis(0)).await.unwrap();
        let entered = Arc::new(Notify::new());
        let inside = Arc::clone(&entered);
        let slow = move || async move {
            inside.notify_one();
            release.notified().await;
        };
        daemon.ingest.1 = Router::new().route("/slow", get(slow));
        let phase = daemon.phase.subscribe();
        let running = run_started(daemon);
        let ingest = running.addresses.ingest;
        let request = tokio::spawn(async move { status(ingest, "/slow").await });
        entered.notified().await;
        (running, phase, request)
    }

    #[tokio::test]
    async fn a_request_that_has_begun_is_answered_although_the_listener_closes() {
        let dir = tempfile::tempdir().unwrap();
        let release = Arc::new(Notify::new());
        let (Running { stop, end, addresses }, phase, request) = busy(&config(dir.path()), Arc::clone(&release)).await;
        stop.send(()).unwrap();
        closing(phase).await;
        assert_eq!(status(addresses.ingest, "/slow").await, None);
        assert!(!end.is_finished());
        release.notify_one();
        assert_eq!(request.await.unwrap(), Some(200));
        end.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_request_that_never_ends_is_cut_off_after_the_timeout() {
        let dir = tempfile::tempdir().unwrap();
        let hasty = Config {
            shutdown_timeout: Duration::from_millis(1),
            ..config(dir.path())
        };
        let (Running { stop, end, .. }, _, request) = busy(&hasty, Arc::new(Notify::new())).await;
        stop.send(()).unwrap();
        end.await.unwrap().unwrap();
        assert!(!request.is_finished());
    }

    /// Sends batches of one capture until the daemon takes no more; tells the last number that it acknowledged.
    async fn load(ingest: SocketAddr, token: String, epoch: u8, under_way: Arc<Notify>) -> u64 {
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        for seq in 1.. {
            let head = BatchHead {
                epoch: vec![epoch; 16],
                ..BatchHead::default()
            };
            let sent = Bytes::from(batch(&head, &[exchange(seq)]));
            let request = Request::post(format!("http://{ingest}{BATCH_PATH}"))
                .header("content-type", CONTENT_TYPE)
                .header("authorization", format!("Bearer {token}"));
            let answer = client.request(request.body(Full::new(sent)).unwrap()).await;
            if answer.is_ok_and(|answer| answer.status() == StatusCode::OK) {
                under_way.notify_one();
            } else {
                return seq - 1;
            }
        }
        0
    }

    /// The listener's side of a stop under load.
    ///
    /// Case R41.
    #[tokio::test]
    async fn nothing_that_was_acknowledged_is_lost_by_a_stop_under_load() {
        let dir = tempfile::tempdir().unwrap();
        let daemon = Daemon::start(&config(dir.path()), UnixMillis(0)).await.unwrap();
        let token = daemon.ingest_token.secret().to_owned();
        let Running { addresses, stop, end } = run_started(daemon);
        let under_way: Vec<_> = (0..4).map(|_| Arc::new(Notify::new())).collect();
        let start = |epoch: u8| {
            load(
                addresses.ingest,
                token.clone(),
                epoch,
                under_way[usize::from(epoch)].clone(),
            )
        };
        let loads: Vec<_> = (0..4).map(|epoch| tokio::spawn(start(epoch))).collect();
        for stream in &under_way {
            stream.notified().await;
        }
        stop.send(()).unwrap();
        end.await.unwrap().unwrap();
        let store = SqliteStore::open(&dir.path().join(DATABASE)).unwrap();
        let streams = store.capture_stats().await.unwrap().streams;
        for (epoch, load) in loads.into_iter().enumerate() {
            let acknowledged = load.await.unwrap();
            let stream = streams
                .iter()
                .find(|stream| usize::from(stream.epoch.0[0]) == epoch)
                .unwrap();
            let stored = stream.received[0].last;
            assert!(
                acknowledged >= 1 && stored >= acknowledged,
                "{stored} of {acknowledged}"
            );
            assert!(stream.missing.is_empty());
        }
    }

    #[tokio::test]
    async fn addresses_of_a_killed_daemon_are_gone_before_new_ones_are_bound() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("addresses.json"), "{}").unwrap();
        let taken = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let config = Config {
            ingest_address: taken.local_addr().unwrap(),
            ..config(dir.path())
        };
        assert!(Daemon::start(&config, UnixMillis(0)).await.is_err());
        assert!(!dir.path().join("addresses.json").exists());
    }

    #[tokio::test]
    async fn an_address_in_use_is_told_with_its_listener() {
        let dir = tempfile::tempdir().unwrap();
        let taken = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let config = Config {
            console_address: taken.local_addr().unwrap(),
            ..config(dir.path())
        };
        let error = Daemon::start(&config, UnixMillis(0)).await.err().unwrap();
        assert!(
            matches!(
                error,
                RunError::Bind {
                    listener: "console",
                    ..
                }
            ),
            "{error}"
        );
        assert!(error.to_string().contains("REPLAYD_CONSOLE_ADDRESS"), "{error}");
    }
}
