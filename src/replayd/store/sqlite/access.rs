//! Tokens and audit rows in SQLite.

use super::{SqliteStore, StoreError};
use crate::clock::UnixMillis;
use crate::store::Pending;
use crate::store::access::{Access, AuditRow, Digest, NewAudit, NewToken, Role, TokenRow};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql};

const COLUMNS: &str = "id, name, role, created_by, created_at, expires_at, used_at";

impl Access for SqliteStore {
    fn add_token(&self, token: NewToken) -> Pending<'_, Option<TokenRow>> {
        Box::pin(self.write(move |connection| add_token(connection, &token)))
    }

    fn tokens(&self) -> Pending<'_, Vec<TokenRow>> {
        Box::pin(self.read(|connection| {
            let mut rows = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM tokens ORDER BY name"))?;
            let rows = rows.query_map([], token_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        }))
    }

    fn token(&self, digest: Digest) -> Pending<'_, Option<TokenRow>> {
        Box::pin(self.read(move |connection| {
            let mut row = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM tokens WHERE digest = ?1"))?;
            Ok(row.query_row([digest], token_row).optional()?)
        }))
    }

    fn use_token(&self, id: i64, at: UnixMillis) -> Pending<'_, ()> {
        Box::pin(self.write(move |connection| {
            connection.execute("UPDATE tokens SET used_at = ?2 WHERE id = ?1", (id, at.0))?;
            Ok(())
        }))
    }

    fn revoke_token(&self, name: String) -> Pending<'_, bool> {
        Box::pin(
            self.write(move |connection| Ok(connection.execute("DELETE FROM tokens WHERE name = ?1", [name])? > 0)),
        )
    }

    fn audit(&self, row: NewAudit) -> Pending<'_, i64> {
        Box::pin(self.write(move |connection| {
            let insert = "INSERT INTO audit (at, actor, action, detail) VALUES (?1, ?2, ?3, ?4)";
            connection.execute(insert, (row.at.0, row.actor, row.action, row.detail))?;
            Ok(connection.last_insert_rowid())
        }))
    }

    fn end_audit(&self, id: i64, outcome: String) -> Pending<'_, ()> {
        Box::pin(self.write(move |connection| {
            connection.execute("UPDATE audit SET outcome = ?2 WHERE id = ?1", (id, outcome))?;
            Ok(())
        }))
    }

    fn audits(&self, before: Option<i64>, limit: u32) -> Pending<'_, Vec<AuditRow>> {
        Box::pin(self.read(move |connection| {
            let mut rows = connection.prepare_cached(
                "SELECT id, at, actor, action, detail, outcome FROM audit WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
            )?;
            let rows = rows.query_map((before.unwrap_or(i64::MAX), limit), audit_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        }))
    }
}

fn add_token(connection: &Connection, token: &NewToken) -> Result<Option<TokenRow>, StoreError> {
    let insert = format!(
        "INSERT INTO tokens (name, role, digest, created_by, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (name) DO NOTHING RETURNING {COLUMNS}"
    );
    let expires_at = token.expires_at.map(|at| at.0);
    let values = (
        &token.name,
        token.role,
        token.digest,
        &token.created_by,
        token.created_at.0,
        expires_at,
    );
    Ok(connection.query_row(&insert, values, token_row).optional()?)
}

fn token_row(row: &Row<'_>) -> rusqlite::Result<TokenRow> {
    Ok(TokenRow {
        id: row.get(0)?,
        name: row.get(1)?,
        role: row.get(2)?,
        created_by: row.get(3)?,
        created_at: UnixMillis(row.get(4)?),
        expires_at: row.get::<_, Option<i64>>(5)?.map(UnixMillis),
        used_at: row.get::<_, Option<i64>>(6)?.map(UnixMillis),
    })
}

fn audit_row(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        id: row.get(0)?,
        at: UnixMillis(row.get(1)?),
        actor: row.get(2)?,
        action: row.get(3)?,
        detail: row.get(4)?,
        outcome: row.get(5)?,
    })
}

impl ToSql for Role {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.name().into())
    }
}

impl FromSql for Role {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::from_name(value.as_str()?).ok_or(FromSqlError::InvalidType)
    }
}
