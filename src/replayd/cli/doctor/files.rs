//! The data directory from outside: who may read it, and whether the database can be opened.

use super::Check;
use crate::data_dir::{ADMIN_TOKEN, DATABASE, INGEST_TOKEN, SEAL_KEY};
use crate::store::{Inspection, inspect, verify};
use std::error::Error;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Permissions of everybody but the owner.
const OTHERS: u32 = 0o077;

/// Looks at the directory, its secrets and its database; writes nothing of its own.
pub(super) fn checks(data_dir: &Path) -> Vec<Check> {
    let mut checks = vec![directory(data_dir)];
    if data_dir.is_dir() {
        checks.push(secret("ingest-token", &data_dir.join(INGEST_TOKEN)));
        checks.push(secret("admin-token", &data_dir.join(ADMIN_TOKEN)));
        checks.push(secret("seal-key", &data_dir.join(SEAL_KEY)));
        checks.push(store(&data_dir.join(DATABASE)));
        checks.extend(integrity(&data_dir.join(DATABASE)));
    }
    checks
}

fn directory(path: &Path) -> Check {
    let name = "data-directory";
    match fs::metadata(path) {
        Ok(found) if !found.is_dir() => Check::error(name, format!("{} is not a directory", path.display())),
        Ok(found) if found.permissions().mode() & OTHERS != 0 => {
            let mode = found.permissions().mode() & 0o777;
            Check::warning(
                name,
                format!("{} has mode {mode:04o}; 0700 keeps others out", path.display()),
            )
        }
        Ok(_) => Check::ok(name, path.display().to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Check::warning(
            name,
            format!("{} is not there; `replayd serve` creates it", path.display()),
        ),
        Err(error) => Check::error(name, format!("{} cannot be read: {error}", path.display())),
    }
}

fn secret(name: &'static str, path: &Path) -> Check {
    match fs::metadata(path) {
        Ok(found) if found.permissions().mode() & OTHERS != 0 => {
            let mode = found.permissions().mode() & 0o777;
            Check::error(
                name,
                format!(
                    "{} has mode {mode:04o}, others may read it: chmod 600 it",
                    path.display()
                ),
            )
        }
        Ok(_) => Check::ok(name, path.display().to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Check::warning(
            name,
            format!("{} is not there; `replayd serve` draws it", path.display()),
        ),
        Err(error) => Check::error(name, format!("{} cannot be read: {error}", path.display())),
    }
}

fn store(path: &Path) -> Check {
    let name = "store";
    if !path.exists() {
        return Check::warning(
            name,
            format!("{} is not there; `replayd serve` creates it", path.display()),
        );
    }
    match inspect(path) {
        Ok(found) if found.schema < found.known => {
            let Inspection { schema, known, .. } = found;
            Check::warning(
                name,
                format!(
                    "{} has schema {schema}; the next start brings it to {known}",
                    path.display()
                ),
            )
        }
        Ok(found) => Check::ok(
            name,
            format!("{}, schema {}{}", path.display(), found.schema, history(&found)),
        ),
        Err(error) => Check::error(name, told(&error)),
    }
}

/// Looks through a database that can be opened.
fn integrity(path: &Path) -> Option<Check> {
    let name = "integrity";
    inspect(path).ok()?;
    Some(match verify(path) {
        Ok(problems) if problems.is_empty() => Check::ok(name, "pages, streams and captures fit together"),
        Ok(problems) => Check::error(name, problems.join("; ")),
        Err(error) => Check::error(name, told(&error)),
    })
}

fn history(found: &Inspection) -> String {
    let started = |instance: &crate::store::Instance| {
        format!(
            ", instance {}, last started by version {}",
            instance.id, instance.version
        )
    };
    found.instance.as_ref().map(started).unwrap_or_default()
}

fn told(error: &dyn Error) -> String {
    error
        .source()
        .map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Status;
    use crate::store::SqliteStore;

    #[track_caller]
    fn check(found: &[Check], name: &str, status: Status, words: &str) {
        let check = found.iter().find(|check| check.name == name).unwrap();
        assert!(check.status == status && check.message.contains(words), "{check:?}");
    }

    fn data_dir() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        dir
    }

    #[test]
    fn a_directory_that_is_not_there_is_a_warning_alone() {
        let found = checks(Path::new("/nowhere/reprise-data"));
        assert_eq!(found.len(), 1);
        check(&found, "data-directory", Status::Warning, "replayd serve");
    }

    #[test]
    fn a_directory_that_others_may_enter_is_a_warning() {
        let dir = data_dir();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o750)).unwrap();
        check(&checks(dir.path()), "data-directory", Status::Warning, "mode 0750");
    }

    #[test]
    fn a_token_that_others_may_read_is_an_error() {
        let dir = data_dir();
        let path = dir.path().join("admin-token");
        fs::write(&path, "t").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
        check(&checks(dir.path()), "admin-token", Status::Error, "mode 0604");
    }

    #[test]
    fn a_migrated_store_is_fine() {
        let dir = data_dir();
        SqliteStore::open(&dir.path().join("replayd.db")).unwrap();
        let found = checks(dir.path());
        check(&found, "store", Status::Ok, "schema 4");
        check(&found, "data-directory", Status::Ok, "");
        check(&found, "integrity", Status::Ok, "fit together");
    }

    #[tokio::test]
    async fn captures_that_do_not_fit_together_are_an_error() {
        let dir = data_dir();
        let store = SqliteStore::open(&dir.path().join("replayd.db")).unwrap();
        let batch = crate::store::contract::samples::numbered(1, [1]);
        crate::store::captures::Captures::append(&store, batch).await.unwrap();
        store.lose_its_payloads().await;
        check(
            &checks(dir.path()),
            "integrity",
            Status::Error,
            "capture 1 has no headers",
        );
    }

    #[test]
    fn a_store_that_is_no_database_is_an_error() {
        let dir = data_dir();
        fs::write(dir.path().join("replayd.db"), "garbage ".repeat(200)).unwrap();
        check(&checks(dir.path()), "store", Status::Error, "is not a SQLite database");
    }
}
