//! The store in one SQLite file.

mod access;
mod boots;
mod captures;
mod instances;
mod log;
mod readers;
mod replays;
mod room;
mod schema;
mod secrets;
mod verify;
mod writer;

pub(super) use room::says_full;
pub(crate) use verify::verify;
pub(crate) use writer::Commits;

use super::{Instance, StoreError};
use readers::Readers;
use room::{Disk, Room, Weight};
use rusqlite::{Connection, OpenFlags};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use writer::Writer;

/// How long a statement waits for another connection's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How many connections read.
const READERS: usize = 4;
/// How many statements a connection keeps prepared.
const STATEMENTS_MAX: usize = 128;
/// Bytes of a page: large enough that captures of usual size share one.
const PAGE_BYTES: u32 = 8192;
/// Kibibytes of pages that the connection that writes keeps in memory.
const WRITER_CACHE_KIB: i32 = 32 << 10;

/// The store in one SQLite file; clones share one thread that writes and a few connections that read.
#[derive(Debug, Clone)]
pub(crate) struct SqliteStore {
    writer: Arc<Writer>,
    readers: Readers,
}

/// What a look into a database shows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Inspection {
    /// The schema in the file; 0 = none yet.
    pub(crate) schema: u32,
    /// The newest schema that this binary knows.
    pub(crate) known: u32,
    /// Whose data it is; none before the first start.
    pub(crate) instance: Option<Instance>,
}

impl SqliteStore {
    /// Opens the database in `path`, creates it with mode 0600 if it is not there, and brings it to the newest schema.
    ///
    /// Atomic: all migrations that are missing, or none.
    /// Again: a database of the newest schema is left as it is.
    ///
    /// # Errors
    /// [`StoreError::NotADatabase`], [`StoreError::Foreign`] and [`StoreError::Newer`] leave the file as it is.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_on(path, Disk::REAL)
    }

    fn open_on(path: &Path, disk: Disk) -> Result<Self, StoreError> {
        let create = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path);
        create.map_err(|source| StoreError::Create {
            path: path.to_owned(),
            source,
        })?;
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        schema::check(&connection, path)?;
        set_up(&connection, path)?;
        schema::migrate(&mut connection)?;
        let readers: Result<_, _> = (0..READERS).map(|_| reader(path)).collect();
        let log = log::carry_over(&mut connection, path)?;
        let room = Room::hold(path, &connection, disk);
        Ok(Self {
            readers: Readers::new(readers?),
            writer: Arc::new(Writer::start(connection, room, log)?),
        })
    }

    /// Asks the database for the smallest possible answer.
    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        self.read(|connection| Ok(connection.query_row("SELECT count(*) FROM instance", [], |_| Ok(()))?))
            .await
    }

    /// Shows what is counted of the writer's work.
    pub(crate) fn commits(&self) -> &Commits {
        self.writer.commits()
    }

    /// Damages the database, for tests of what happens then.
    #[cfg(test)]
    pub(crate) async fn lose_its_table(&self) {
        let lose = |connection: &Connection| Ok(connection.execute_batch("DROP TABLE instance")?);
        self.write(lose).await.unwrap();
    }

    /// Lets nothing be written until `over` is dropped.
    #[cfg(test)]
    pub(crate) async fn stall(&self, over: std::sync::mpsc::Receiver<()>) {
        let stall = move |_: &Connection| {
            let _dropped = over.recv();
            Ok(())
        };
        self.write(stall).await.unwrap();
    }

    /// Damages the table of captures.
    #[cfg(test)]
    pub(crate) async fn lose_its_captures(&self) {
        let lose = |connection: &Connection| Ok(connection.execute_batch("DROP TABLE payloads")?);
        self.write(lose).await.unwrap();
    }

    /// Damages the captures: their headers and bodies are gone.
    #[cfg(test)]
    pub(crate) async fn lose_its_payloads(&self) {
        let lose = |connection: &Connection| Ok(connection.execute_batch("DELETE FROM payloads")?);
        self.write(lose).await.unwrap();
    }

    /// Runs `work` in a transaction, with whatever else waits; returns when it is on disk.
    ///
    /// Atomic: all of `work`, or nothing of it if it fails or cannot be committed.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.write(Weight::Light, work).await
    }

    /// Runs `work`, which adds captures, as [`Self::write`] does; it is refused first when the disk is full.
    pub(crate) async fn add<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.write(Weight::Bulk, work).await
    }

    /// Runs `work` on one state of the database; it cannot write.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.readers.read(work).await
    }
}

/// Sets what holds for the connection that writes; page size and journal mode stay with the file.
fn set_up(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::NoLog {
            path: path.to_owned(),
            mode,
        });
    }
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    keep_temporaries_in_memory(connection)?;
    // SQLite takes kibibytes as a negative number.
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(())
}

/// What SQLite sorts or may have to undo is captured traffic: it stays out of `/tmp`, which a container may not have.
fn keep_temporaries_in_memory(connection: &Connection) -> Result<(), StoreError> {
    Ok(connection.pragma_update(None, "temp_store", "memory")?)
}

fn reader(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    keep_temporaries_in_memory(&connection)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

/// Looks into the database in `path` without writing to it.
///
/// # Errors
/// As [`SqliteStore::open`], and [`StoreError::Sqlite`] if there is no file.
pub(crate) fn inspect(path: &Path) -> Result<Inspection, StoreError> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    let schema = schema::check(&connection, path)?;
    let instance = if schema == 0 {
        None
    } else {
        instances::read(&connection)?
    };
    Ok(Inspection {
        schema,
        known: schema::known(),
        instance,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    fn database() -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("replayd.db");
        (dir, path)
    }

    #[test]
    fn a_fresh_database_is_private_and_has_the_newest_schema() {
        let (_dir, path) = database();
        SqliteStore::open(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let seen = inspect(&path).unwrap();
        assert_eq!((mode, seen.schema, seen.instance), (0o600, seen.known, None));
    }

    #[tokio::test]
    async fn a_connection_is_durable_and_leaves_nothing_elsewhere() {
        let (_dir, path) = database();
        let store = SqliteStore::open(&path).unwrap();
        let read = |connection: &Connection| {
            let names = ["synchronous", "foreign_keys", "busy_timeout", "temp_store"];
            Ok(names.map(|name| {
                let value = connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
                value.unwrap()
            }))
        };
        assert_eq!(store.write(read).await.unwrap(), [2, 1, 5000, 2]);
        assert_eq!(store.read(read).await.unwrap()[2..], [5000, 2]);
        let mode = |connection: &Connection| {
            Ok(connection.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0))?)
        };
        assert_eq!(store.write(mode).await.unwrap(), "wal");
    }

    #[tokio::test]
    async fn a_reader_cannot_write() {
        let (_dir, path) = database();
        let store = SqliteStore::open(&path).unwrap();
        let write = |connection: &Connection| Ok(connection.execute_batch("DROP TABLE instance")?);
        assert!(matches!(store.read(write).await, Err(StoreError::Sqlite(_))));
    }

    #[test]
    fn a_file_that_is_no_database_is_refused_and_kept() {
        let (_dir, path) = database();
        let garbage = b"not a database, but long enough to be read as a header ".repeat(40);
        fs::write(&path, &garbage).unwrap();
        let error = SqliteStore::open(&path).unwrap_err();
        assert!(matches!(error, StoreError::NotADatabase { .. }), "{error:?}");
        assert_eq!(fs::read(&path).unwrap(), garbage);
    }

    #[test]
    fn a_database_of_another_program_is_refused_and_kept() {
        let (_dir, path) = database();
        Connection::open(&path)
            .unwrap()
            .execute_batch("CREATE TABLE theirs (x)")
            .unwrap();
        let before = fs::read(&path).unwrap();
        let error = SqliteStore::open(&path).unwrap_err();
        assert!(
            matches!(error, StoreError::Foreign { application_id: 0, .. }),
            "{error:?}"
        );
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_newer_schema_is_refused_and_kept() {
        let (_dir, path) = database();
        drop(SqliteStore::open(&path).unwrap());
        let newer = "UPDATE refinery_schema_history SET version = 9999 WHERE version = 1";
        Connection::open(&path).unwrap().execute_batch(newer).unwrap();
        let before = fs::read(&path).unwrap();
        let error = SqliteStore::open(&path).unwrap_err();
        assert!(matches!(error, StoreError::Newer { found: 9999, .. }), "{error:?}");
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[tokio::test]
    async fn a_database_without_its_table_does_not_answer() {
        let (_dir, path) = database();
        let store = SqliteStore::open(&path).unwrap();
        store.lose_its_table().await;
        assert!(matches!(store.ping().await, Err(StoreError::Sqlite(_))));
    }
}
