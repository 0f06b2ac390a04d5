//! The store: what is kept, and why it may refuse. How it is kept is in the rooms below.

pub(crate) mod access;
mod boots;
pub(crate) mod captures;
#[cfg(test)]
pub(crate) mod contract;
mod django;
#[cfg(test)]
mod memory;
pub(crate) mod replays;
mod secrets;
mod sqlite;

pub(crate) use boots::Boot;
pub(crate) use captures::{Capture, CaptureId, CaptureRow, Epoch};
#[cfg(test)]
pub(crate) use django::testing as django_testing;
pub(crate) use django::{DjangoError, DjangoRow, django_rows};
#[cfg(test)]
pub(crate) use memory::MemoryStore;
pub(crate) use replays::{
    BootLedger, Entry, NewReplay, NewStep, Outcome, ReplayChange, ReplayRow, ReplayStore, StepChange, StepRow,
    TargetBoot,
};
pub(crate) use secrets::Secrets;
pub(crate) use sqlite::{Commits, Inspection, SqliteStore, inspect, verify};

use crate::clock::UnixMillis;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use thiserror::Error;

/// What a store is asked, on its way.
pub(crate) type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// How many rows are read for a page of `limit`: one more, which tells whether another page follows.
pub(crate) const fn one_more(limit: u32) -> u32 {
    limit.saturating_add(1)
}

/// Cuts those rows to the page; true if another page follows.
pub(crate) fn cut<T>(rows: &mut Vec<T>, limit: u32) -> bool {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_more = rows.len() > limit;
    rows.truncate(limit);
    is_more
}

/// One installation of replayd: the life of its data, over restarts and upgrades.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instance {
    /// 32 random hex digits, drawn at the first start.
    pub(crate) id: String,
    /// The first start on this data.
    pub(crate) created_at: UnixMillis,
    /// The latest start on this data.
    pub(crate) last_started_at: UnixMillis,
    /// The version of replayd that made the latest start.
    pub(crate) version: String,
}

/// Why the store cannot do what it was asked.
#[derive(Debug, Error)]
pub(crate) enum StoreError {
    /// The file cannot be created.
    #[error("cannot create the database {}", path.display())]
    Create {
        /// The database.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no SQLite database.
    #[error("{} is not a SQLite database; it was left as it is: move it away, or choose another --data-dir", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The database belongs to another program.
    #[error(
        "{} is the database of another program (application_id {application_id}); it was left as it is: choose another \
         --data-dir",
        path.display()
    )]
    Foreign {
        /// The database.
        path: PathBuf,
        /// What its header says.
        application_id: i32,
    },
    /// The database was written by a newer replayd.
    #[error(
        "{} has schema {found}, this replayd knows schemas up to {known}; it was left as it is: run the newer replayd, \
         or restore a backup",
        path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// The schema in the file.
        found: u32,
        /// The newest schema that this binary knows.
        known: u32,
    },
    /// The file system cannot carry a write-ahead log.
    #[error("{} cannot keep a write-ahead log (journal mode {mode}): put the data directory on a local disk", path.display())]
    NoLog {
        /// The database.
        path: PathBuf,
        /// The journal mode that SQLite fell back to.
        mode: String,
    },
    /// A migration failed; the schema is the one before it.
    #[error("cannot bring the database to schema {known}")]
    Migrate {
        /// The newest schema that this binary knows.
        known: u32,
        /// What the runner of migrations said.
        source: Box<refinery::Error>,
    },
    /// SQLite refused.
    #[error("the database refused")]
    Sqlite(#[from] rusqlite::Error),
    /// What was written is not on disk: the commit failed.
    #[error("the database cannot commit")]
    Lost(#[source] Arc<rusqlite::Error>),
    /// The thread that writes cannot be started.
    #[error("cannot start the thread that writes")]
    Thread(#[source] io::Error),
    /// A row holds what this version does not write.
    #[error("the row {row} of {table} cannot be read: {problem}")]
    Row {
        /// Its table.
        table: &'static str,
        /// Its number.
        row: i64,
        /// What is wrong with it.
        problem: String,
    },
    /// The worker that ran the statement is gone.
    #[error("the database's worker ended before its answer")]
    Gone,
}

impl StoreError {
    /// Tells whether the disk is full.
    pub(crate) fn is_full(&self) -> bool {
        match self {
            Self::Sqlite(error) => sqlite::says_full(error),
            Self::Lost(error) => sqlite::says_full(error),
            _ => false,
        }
    }
}
