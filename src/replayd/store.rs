//! The store: what is kept, and why it may refuse. How it is kept is in the rooms below.

mod sqlite;

pub(crate) use sqlite::{Inspection, SqliteStore, inspect};

use crate::clock::UnixMillis;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

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
    /// The worker that ran the statement is gone.
    #[error("the database's worker ended before its answer")]
    Gone,
}
