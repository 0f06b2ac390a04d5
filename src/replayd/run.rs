//! The daemon's life: open, listen, serve, stop. What is served is in the rooms of the listeners.

use crate::clock::UnixMillis;
use crate::config::Config;
use crate::data_dir::{ADMIN_TOKEN, Addresses, DATABASE, DataDir, DataDirError, INGEST_TOKEN};
use crate::http::{self, Console};
use crate::ingest;
use crate::metrics::Metrics;
use crate::phase::{Phase, PhaseReader, closing};
use crate::store::{SqliteStore, StoreError};
use crate::token::Token;
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
        let metrics = Arc::new(Metrics::new(&store.start(VERSION, now).await?));
        let (phase, reader) = watch::channel(Phase::Serving);
        let (ingest, ingest_at) = bind("ingest", config.ingest_address).await?;
        let (console, console_at) = bind("console", config.console_address).await?;
        let addresses = Addresses {
            ingest: ingest_at,
            console: console_at,
        };
        data.publish(&addresses)?;
        Ok(Self {
            ingest: (ingest, ingest::router(ingest_token.clone(), Arc::clone(&metrics))),
            console: (
                console,
                http::router(Console {
                    store,
                    metrics,
                    phase: reader,
                }),
            ),
            shutdown: (config.shutdown_delay, config.shutdown_timeout),
            data,
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
        // The daemon ends either way: what it published is then told to nobody.
        if let Err(error) = self.data.unpublish() {
            tracing::warn!(%error, cause = error.source(), "the addresses stay published");
        }
        ended.map_err(RunError::Serve)
    }
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
    use axum::routing::get;
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
