//! The store in one SQLite file.

mod instances;
mod schema;

use super::{Instance, StoreError};
use rusqlite::{Connection, OpenFlags};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task;

/// How long a statement waits for another connection's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The store in one SQLite file; clones share one connection.
#[derive(Debug, Clone)]
pub(crate) struct SqliteStore {
    connection: Arc<Mutex<Connection>>,
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
        Ok(Self {
            connection: Arc::new(Mutex::new(connection)),
        })
    }

    /// Asks the database for the smallest possible answer.
    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        self.call(|connection| Ok(connection.query_row("SELECT count(*) FROM instance", [], |_| Ok(()))?))
            .await
    }

    /// Damages the database, for tests of what happens then.
    #[cfg(test)]
    pub(crate) fn lose_its_table(&self) {
        self.connection
            .lock()
            .unwrap()
            .execute_batch("DROP TABLE instance")
            .unwrap();
    }

    /// Runs `work` where it may block.
    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let connection = Arc::clone(&self.connection);
        let run = move || work(&connection.lock().unwrap_or_else(PoisonError::into_inner));
        task::spawn_blocking(run).await.unwrap_or(Err(StoreError::Gone))
    }
}

/// Sets what holds for one connection; the journal mode stays with the file.
fn set_up(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::NoLog {
            path: path.to_owned(),
            mode,
        });
    }
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(())
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

    #[test]
    fn a_connection_is_durable() {
        let (_dir, path) = database();
        let store = SqliteStore::open(&path).unwrap();
        let connection = store.connection.lock().unwrap();
        let read = |name| {
            connection
                .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
                .unwrap()
        };
        assert_eq!(
            (read("synchronous"), read("foreign_keys"), read("busy_timeout")),
            (2, 1, 5000)
        );
        let mode: String = connection
            .pragma_query_value(None, "journal_mode", |row| row.get(0))
            .unwrap();
        assert_eq!(mode, "wal");
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
        let newer = "UPDATE refinery_schema_history SET version = 9999";
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
        store.lose_its_table();
        assert!(matches!(store.ping().await, Err(StoreError::Sqlite(_))));
    }
}
