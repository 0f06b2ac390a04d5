//! The data directory: who may use it, and where in it things lie. What is in the files is their owners' matter.

use crate::token::{Token, TokenError, write_private};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The SQLite database.
pub(crate) const DATABASE: &str = "replayd.db";
/// The token that Envoy shows at the ingest listener.
pub(crate) const INGEST_TOKEN: &str = "ingest-token";
/// The token that an administrator shows at the console listener.
pub(crate) const ADMIN_TOKEN: &str = "admin-token";
/// What encrypts sealed values.
pub(crate) const SEAL_KEY: &str = "seal-key";
/// Where the running daemon listens.
pub(crate) const ADDRESSES: &str = "addresses.json";
/// Locked by the one daemon that serves this directory.
const LOCK: &str = "lock";

/// A data directory that this process alone serves while it holds this.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// The addresses that a running daemon listens on.
///
/// Shape: `{"ingest": "127.0.0.1:7380", "console": "127.0.0.1:7381"}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Addresses {
    /// What Envoy calls.
    pub(crate) ingest: SocketAddr,
    /// What people and programs call.
    pub(crate) console: SocketAddr,
}

/// Why the directory cannot be served.
#[derive(Debug, Error)]
pub(crate) enum DataDirError {
    /// The system refused.
    #[error("cannot use {} in the data directory", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process was first.
    #[error(
        "another replayd serves the data directory {}: stop it, or choose another directory with --data-dir",
        path.display()
    )]
    Taken {
        /// The directory.
        path: PathBuf,
    },
    /// A token is missing and cannot be made.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl DataDir {
    /// Opens `path` for this process alone; a directory that is not there is created with mode 0700.
    ///
    /// # Errors
    /// [`DataDirError::Taken`] if another process has it open; nothing was changed then.
    pub(crate) fn open(path: &Path) -> Result<Self, DataDirError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| DataDirError::Io { path, source }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed(path))?;
        let at = path.join(LOCK);
        let mut options = OpenOptions::new();
        let lock = options
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&at)
            .map_err(failed(&at))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(DataDirError::Taken { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(DataDirError::Io { path: at, source }),
        }
    }

    /// Names the file `name` in the directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Reads or draws the token in the file `name`.
    pub(crate) fn token(&self, name: &str) -> Result<Token, DataDirError> {
        Ok(Token::load_or_draw(&self.file(name))?)
    }

    /// Writes where the daemon listens, for whoever looks for it.
    ///
    /// Atomic: a reader sees both addresses or no file.
    pub(crate) fn publish(&self, addresses: &Addresses) -> Result<(), DataDirError> {
        let path = self.file(ADDRESSES);
        let written = serde_json::to_vec(addresses).map_err(io::Error::from);
        written
            .and_then(|json| write_private(&path, &json))
            .map_err(|source| DataDirError::Io { path, source })
    }

    /// Removes what [`Self::publish`] wrote; a file that is not there is fine.
    pub(crate) fn unpublish(&self) -> Result<(), DataDirError> {
        let path = self.file(ADDRESSES);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(DataDirError::Io { path, source }),
            _ => Ok(()),
        }
    }
}

/// Reads where the daemon that serves `data_dir` listens; none if no daemon says so.
pub(crate) fn published(data_dir: &Path) -> Option<Addresses> {
    let json = fs::read(data_dir.join(ADDRESSES)).ok()?;
    serde_json::from_slice(&json).ok()
}

/// Names `address` as a URL; a listener on all interfaces is asked over the loopback.
pub(crate) fn url_of(mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("http://{address}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_new_directory_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/reprise-data");
        DataDir::open(&path).unwrap();
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_second_opening_is_refused_until_the_first_ends() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::open(dir.path()).unwrap();
        assert!(matches!(DataDir::open(dir.path()), Err(DataDirError::Taken { .. })));
        drop(first);
        DataDir::open(dir.path()).unwrap();
    }

    #[test]
    fn published_addresses_are_read_back_and_go_away() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let addresses = Addresses {
            ingest: ([127, 0, 0, 1], 1).into(),
            console: ([127, 0, 0, 1], 2).into(),
        };
        data.publish(&addresses).unwrap();
        assert_eq!(published(dir.path()), Some(addresses));
        data.unpublish().unwrap();
        assert_eq!(published(dir.path()), None);
    }
}
