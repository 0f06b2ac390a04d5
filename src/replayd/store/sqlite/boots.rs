//! Boots of upstreams, in the order in which they were heard of.

use super::{SqliteStore, StoreError};
use crate::clock::UnixMillis;
use crate::store::Boot;

impl SqliteStore {
    /// Reads every boot, oldest first.
    pub(crate) async fn boots(&self) -> Result<Vec<Boot>, StoreError> {
        self.read(|connection| {
            let mut read = connection.prepare("SELECT cluster, boot_id, seen_at, closed FROM boots ORDER BY id")?;
            let found = read.query_map([], |row| {
                Ok(Boot {
                    cluster: row.get(0)?,
                    boot_id: row.get(1)?,
                    seen_at: UnixMillis(row.get(2)?),
                    closed: row.get(3)?,
                })
            })?;
            Ok(found.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Adds a boot that was not heard of before.
    pub(crate) async fn add_boot(&self, boot: Boot) -> Result<(), StoreError> {
        self.write(move |connection| {
            let add = "INSERT INTO boots (cluster, boot_id, seen_at, closed) VALUES (?1, ?2, ?3, ?4)";
            connection.execute(add, (boot.cluster, boot.boot_id, boot.seen_at.0, boot.closed))?;
            Ok(())
        })
        .await
    }

    /// Opens the gate of a boot.
    pub(crate) async fn open_boot(&self, cluster: String, boot_id: String) -> Result<(), StoreError> {
        self.write(move |connection| {
            let open = "UPDATE boots SET closed = 0 WHERE cluster = ?1 AND boot_id = ?2";
            connection.execute(open, (cluster, boot_id))?;
            Ok(())
        })
        .await
    }
}
