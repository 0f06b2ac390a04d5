//! The write-ahead log is carried over into the database beside the thread that writes, which goes on meanwhile.

use super::super::StoreError;
use rusqlite::Connection;
use rusqlite::hooks::Wal;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

/// Pages of the log from which on it is carried over.
const PAGES_CARRIED: i32 = 1024;
/// Pages of the log after which whoever writes carries over what is left: so much is the log's at most, however fast
/// captures come.
const PAGES_MAX: i32 = 4096;

/// The thread that carries the log over.
pub(super) struct Log(Option<JoinHandle<()>>);

/// What is called after a commit, with the number of pages in the log.
type Hook = fn(&mut Wal, i32) -> rusqlite::Result<()>;

/// Has the log of `writes`, the database in `path`, carried over from now on.
pub(super) fn carry_over(writes: &mut Connection, path: &Path) -> Result<Log, StoreError> {
    let (wake, woken) = sync_channel(1);
    let carries = Connection::open(path)?;
    carries.pragma_update(None, "synchronous", "full")?;
    // An error here would be the commit's, which stands.
    writes.wal_hook(Some(move |log: &mut Wal, pages| {
        if pages >= PAGES_MAX {
            let _later = log.checkpoint();
        } else if pages >= PAGES_CARRIED {
            let _awake = wake.try_send(());
        }
        Ok(())
    }))?;
    let thread = thread::Builder::new()
        .name("store-log".to_owned())
        .spawn(move || run(&carries, &woken))
        .map_err(StoreError::Thread)?;
    Ok(Log(Some(thread)))
}

impl Log {
    /// Ends the thread and waits for that; `writes` is the connection it began with.
    pub(super) fn end(self, writes: &mut Connection) {
        // The hook has the other end of what the thread waits for.
        if writes.wal_hook(None::<Hook>).is_ok()
            && let Some(thread) = self.0
        {
            let _ended = thread.join();
        }
    }

    /// Carries nothing over.
    #[cfg(test)]
    pub(super) const fn none() -> Self {
        Self(None)
    }
}

fn run(connection: &Connection, woken: &Receiver<()>) {
    while woken.recv().is_ok() {
        if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the log is not carried over yet"
            );
        }
    }
}
