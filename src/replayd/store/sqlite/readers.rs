//! Connections that only read: they wait neither for the writer nor for one another.

use super::super::StoreError;
use rusqlite::Connection;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;
use tokio::task;

/// A handful of connections; who finds none free waits.
#[derive(Debug, Clone)]
pub(super) struct Readers {
    free: Arc<Semaphore>,
    connections: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    /// Shares `connections` out.
    pub(super) fn new(connections: Vec<Connection>) -> Self {
        Self {
            free: Arc::new(Semaphore::new(connections.len())),
            connections: Arc::new(Mutex::new(connections)),
        }
    }

    /// Runs `work` on one state of the database, where it may block.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let free = Arc::clone(&self.free).acquire_owned().await;
        let (free, connections) = (free.map_err(|_| StoreError::Gone)?, Arc::clone(&self.connections));
        let run = move || {
            let taken = lock(&connections).pop();
            let connection = taken.ok_or(StoreError::Gone)?;
            let seen = snapshot(&connection, work);
            lock(&connections).push(connection);
            drop(free);
            seen
        };
        task::spawn_blocking(run).await.unwrap_or(Err(StoreError::Gone))
    }
}

fn snapshot<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let transaction = connection.unchecked_transaction()?;
    work(&transaction)
}

fn lock(connections: &Mutex<Vec<Connection>>) -> std::sync::MutexGuard<'_, Vec<Connection>> {
    connections.lock().unwrap_or_else(PoisonError::into_inner)
}
