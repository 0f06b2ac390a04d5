//! How far the daemon's end has come; what makes it end is not here.

use tokio::sync::watch;

/// How far the daemon's end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Requests are welcome.
    Serving,
    /// `/readyz` says no, so that load balancers look elsewhere; requests are still answered.
    Stopping,
    /// Listeners accept nothing new; requests that have begun end.
    Closing,
}

/// Sees the phase as it is now.
pub(crate) type PhaseReader = watch::Receiver<Phase>;

/// Returns when the listeners have to close.
pub(crate) async fn closing(mut phase: PhaseReader) {
    // An error means that the sender is gone, and with it the daemon.
    let _gone = phase.wait_for(|phase| *phase == Phase::Closing).await;
}
