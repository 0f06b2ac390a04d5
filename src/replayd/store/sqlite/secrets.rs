//! The keys of this installation.

use super::{SqliteStore, StoreError};
use crate::clock::UnixMillis;
use crate::store::Secrets;
use rusqlite::Connection;

impl SqliteStore {
    /// Reads the keys; an installation that has none takes those of `drawn`.
    ///
    /// Again: the keys are kept.
    pub(crate) async fn secrets(&self, drawn: Secrets, now: UnixMillis) -> Result<Secrets, StoreError> {
        self.write(move |connection| {
            let add = "INSERT INTO secrets (kind, value, created_at)
                SELECT ?1, ?2, ?3 WHERE NOT EXISTS (SELECT 1 FROM secrets WHERE kind = ?1)";
            connection.execute(add, ("redaction", drawn.redaction, now.0))?;
            for signature in &drawn.signatures {
                connection.execute(add, ("signature", signature, now.0))?;
            }
            let redaction = of_kind(connection, "redaction")?;
            Ok(Secrets {
                redaction: redaction.first().copied().ok_or(StoreError::Gone)?,
                signatures: of_kind(connection, "signature")?,
            })
        })
        .await
    }
}

/// Reads the keys of one kind, the newest first.
fn of_kind(connection: &Connection, kind: &str) -> Result<Vec<[u8; 32]>, StoreError> {
    let mut read = connection.prepare("SELECT value FROM secrets WHERE kind = ?1 ORDER BY id DESC")?;
    let found = read.query_map([kind], |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}
