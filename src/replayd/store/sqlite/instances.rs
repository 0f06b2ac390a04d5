//! The row that says whose data this is.

use super::{SqliteStore, StoreError};
use crate::clock::UnixMillis;
use crate::store::Instance;
use rusqlite::{Connection, OptionalExtension as _, Row};

const COLUMNS: &str = "id, created_at, last_started_at, version";

impl SqliteStore {
    /// Records that `version` starts on this data at `now`; the first start draws the instance's id.
    ///
    /// Again: id and first start stay, the rest is replaced.
    pub(crate) async fn start(&self, version: &'static str, now: UnixMillis) -> Result<Instance, StoreError> {
        self.write(move |connection| write(connection, version, now)).await
    }
}

fn write(connection: &Connection, version: &str, now: UnixMillis) -> Result<Instance, StoreError> {
    let upsert = format!(
        "INSERT INTO instance (one, id, created_at, last_started_at, version)
         VALUES (1, lower(hex(randomblob(16))), ?1, ?1, ?2)
         ON CONFLICT (one) DO UPDATE SET last_started_at = ?1, version = ?2
         RETURNING {COLUMNS}"
    );
    Ok(connection.query_row(&upsert, (now.0, version), from_row)?)
}

/// Reads the row; none before the first start.
pub(super) fn read(connection: &Connection) -> Result<Option<Instance>, StoreError> {
    Ok(connection
        .query_row(&format!("SELECT {COLUMNS} FROM instance"), [], from_row)
        .optional()?)
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Instance> {
    Ok(Instance {
        id: row.get(0)?,
        created_at: UnixMillis(row.get(1)?),
        last_started_at: UnixMillis(row.get(2)?),
        version: row.get(3)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::inspect;

    #[tokio::test]
    async fn the_first_start_begins_an_instance() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&dir.path().join("replayd.db")).unwrap();
        let instance = store.start("0.1.0", UnixMillis(7)).await.unwrap();
        assert_eq!(
            (instance.created_at, instance.last_started_at),
            (UnixMillis(7), UnixMillis(7))
        );
        assert_eq!(instance.id.len(), 32);
        store.ping().await.unwrap();
    }

    #[tokio::test]
    async fn a_later_start_continues_the_instance() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("replayd.db");
        let first = SqliteStore::open(&path)
            .unwrap()
            .start("0.1.0", UnixMillis(7))
            .await
            .unwrap();
        let second = SqliteStore::open(&path)
            .unwrap()
            .start("0.2.0", UnixMillis(9))
            .await
            .unwrap();
        let want = Instance {
            last_started_at: UnixMillis(9),
            version: "0.2.0".to_owned(),
            ..first
        };
        assert_eq!(second, want);
        assert_eq!(inspect(&path).unwrap().instance, Some(want));
    }
}
