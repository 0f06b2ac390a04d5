//! A replay that is driven: what it shows, and how it is told.

use super::progress::Progress;
use super::view::{Answer, ReplayState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// What a running replay is told.
#[derive(Debug)]
pub(crate) enum Order {
    /// Stop, so that it can be resumed.
    Interrupt,
    /// Stop because replayd does.
    Drain,
    /// Stop for good.
    Cancel,
    /// Go on like this; tells back whether this was asked.
    Decide(Answer, oneshot::Sender<bool>),
}

/// A replay that is driven; clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    shown: Arc<Mutex<(ReplayState, Progress)>>,
    orders: mpsc::UnboundedSender<Order>,
}

impl Live {
    /// Begins to show one, and gives what its driver listens to.
    pub(super) fn new(state: ReplayState, progress: Progress) -> (Self, mpsc::UnboundedReceiver<Order>) {
        let (orders, heard) = mpsc::unbounded_channel();
        let shown = Arc::new(Mutex::new((state, progress)));
        (Self { shown, orders }, heard)
    }

    /// Shows how far it is.
    pub(crate) fn seen(&self) -> (ReplayState, Progress) {
        self.lock().clone()
    }

    /// Shows something else from now on.
    pub(crate) fn show(&self, state: ReplayState, progress: Progress) {
        *self.lock() = (state, progress);
    }

    /// Tells its driver; one that just ended does not hear it.
    pub(super) fn order(&self, order: Order) {
        let _heard = self.orders.send(order);
    }

    fn lock(&self) -> MutexGuard<'_, (ReplayState, Progress)> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
