//! Which database this is, and how it comes to the newest schema. Migrations are only added.

use super::StoreError;
use refinery::{Migration, Runner};
use rusqlite::{Connection, ErrorCode, OptionalExtension as _};
use std::path::Path;

/// Marks a database as ours in its header; "RPRS".
const APPLICATION_ID: i32 = 0x5250_5253;

/// Every migration, oldest first: its name and its SQL.
const MIGRATIONS: &[(&str, &str)] = &[
    ("V1__instance", include_str!("migrations/V1__instance.sql")),
    ("V2__captures", include_str!("migrations/V2__captures.sql")),
    ("V3__replays", include_str!("migrations/V3__replays.sql")),
    ("V4__access", include_str!("migrations/V4__access.sql")),
];

/// Counts the migrations: the newest schema that this binary knows.
pub(super) fn known() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

/// Checks that the database is ours and not newer than this binary, and tells its schema; 0 = empty.
///
/// # Errors
/// [`StoreError::NotADatabase`], [`StoreError::Foreign`] or [`StoreError::Newer`]; nothing was written.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<u32, StoreError> {
    let tables = connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get::<_, i64>(0));
    let tables = tables.map_err(|error| match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => StoreError::NotADatabase { path: path.to_owned() },
        _ => StoreError::Sqlite(error),
    })?;
    if tables == 0 {
        return Ok(0);
    }
    let application_id = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if application_id != APPLICATION_ID {
        return Err(StoreError::Foreign {
            path: path.to_owned(),
            application_id,
        });
    }
    let found = version(connection)?;
    if found > known() {
        return Err(StoreError::Newer {
            path: path.to_owned(),
            found,
            known: known(),
        });
    }
    Ok(found)
}

fn version(connection: &Connection) -> Result<u32, StoreError> {
    let newest = "SELECT version FROM refinery_schema_history ORDER BY version DESC LIMIT 1";
    Ok(connection
        .query_row(newest, [], |row| row.get(0))
        .optional()?
        .unwrap_or_default())
}

/// Marks the database as ours and applies the migrations that are missing.
///
/// Atomic: all migrations or none; the mark comes first, so that a crash does not leave tables without it.
/// Again: nothing happens.
///
/// # Errors
/// [`StoreError::Migrate`] if one fails, or if an applied one is not the one that this binary knows.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let failed = |source| StoreError::Migrate {
        known: known(),
        source: Box::new(source),
    };
    let all: Result<Vec<_>, _> = MIGRATIONS
        .iter()
        .map(|(name, sql)| Migration::unapplied(name, sql))
        .collect();
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    Runner::new(&all.map_err(failed)?)
        .set_grouped(true)
        .run(connection)
        .map_err(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_without_gaps() {
        for (at, (name, _)) in MIGRATIONS.iter().enumerate() {
            assert!(name.starts_with(&format!("V{}__", at + 1)), "{name}");
        }
    }

    #[test]
    fn a_migrated_database_carries_our_mark() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        assert_eq!(check(&connection, Path::new("x")).unwrap(), known());
    }
}
