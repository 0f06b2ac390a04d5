//! Room on the disk that is held back: a store on a full disk can still be read, told and emptied.
//!
//! A file beside the database takes as much room as the log may need. When the disk is full the file goes, the log is
//! carried over into the database, and the database stays at that size: from then on the log lives where the file was.
//! Whatever fits into the database goes on, first of all to delete. With new room the file comes back.

use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;
use rusqlite::{Connection, ErrorCode};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Bytes that are held back: what the log grows to before it is carried over, and half as much again.
pub(super) const RESERVE_BYTES: u64 = 48 << 20;
/// Pages that captures leave to everything else when the disk is full: who did what, tokens, the steps of a replay.
const PAGES_KEPT: u32 = 128;
/// SQLite's own bound.
const PAGES_MAX: i64 = 0xffff_fffe;

/// The disk that the database is on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Disk {
    /// Tells how many bytes are free where the file in this path is.
    pub(super) free: fn(&Path) -> io::Result<u64>,
    /// Gives a file bytes that are its own.
    pub(super) allocate: fn(&File, u64) -> io::Result<()>,
}

impl Disk {
    /// The real one.
    pub(super) const REAL: Self = Self { free, allocate };
}

/// What a job is to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// It adds captures: refused first.
    Bulk,
    /// It deletes, or keeps the books.
    Light,
}

/// The room that is held back, or that it is in use.
#[derive(Debug)]
pub(super) struct Room {
    reserve: PathBuf,
    disk: Disk,
    /// Most pages of the database, while the disk is full.
    full: Option<u32>,
}

impl Room {
    /// Holds room back for the database in `database`; on a disk that is as good as full, the log gets it at once, so that
    /// even the start can be written.
    pub(super) fn hold(database: &Path, connection: &Connection, disk: Disk) -> Self {
        let mut room = Self {
            reserve: database.with_extension("reserve"),
            disk,
            full: None,
        };
        let left = room.take().and_then(|()| (disk.free)(&room.reserve));
        if left.as_ref().is_ok_and(|left| *left >= RESERVE_BYTES) {
            return room;
        }
        tracing::warn!(?left, bytes = RESERVE_BYTES, "too little room is left on the disk");
        if let Err(error) = room.release(connection) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the log cannot be carried over"
            );
        }
        room
    }

    /// Tells whether the disk is full.
    pub(super) const fn is_full(&self) -> bool {
        self.full.is_some()
    }

    /// Makes ready for a job: looks for new room if the disk was full, else bounds what the job may take.
    pub(super) fn before(&mut self, connection: &Connection, weight: Weight) -> rusqlite::Result<()> {
        let Some(pages) = self.full else { return Ok(()) };
        if self.has_room() && self.take().is_ok() {
            tracing::info!("the disk has room again");
            self.full = None;
            return bound(connection, PAGES_MAX);
        }
        let kept = if weight == Weight::Bulk { 0 } else { PAGES_KEPT };
        bound(connection, pages.saturating_add(kept).into())
    }

    /// Gives the reserve to the log, after a job found the disk full.
    pub(super) fn release(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        match fs::remove_file(&self.reserve) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::error!(%error, file = %self.reserve.display(), "the room that is held back cannot be freed");
            }
            _ => {}
        }
        if self.full.is_none() {
            // SQLite takes the size that it has for the least.
            let pages = connection.pragma_query_value(None, "page_count", |row| row.get(0));
            self.full = Some(pages.unwrap_or(1));
            tracing::error!("the disk is full: captures are stored only in place of deleted ones");
        }
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    }

    /// Tells whether what is left when the reserve is whole again is worth going on with.
    fn has_room(&self) -> bool {
        (self.disk.free)(&self.reserve).is_ok_and(|free| free >= 2 * RESERVE_BYTES)
    }

    /// Makes the reserve whole.
    fn take(&self) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&self.reserve)?;
        let taken = (self.disk.allocate)(&file, RESERVE_BYTES);
        if taken.is_err() {
            // Part of it may have been had.
            fs::remove_file(&self.reserve)?;
        }
        taken
    }
}

/// Tells how many bytes are free beside the file in `path`, which need not be there.
fn free(path: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(path.parent().unwrap_or(path))?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Takes room on the disk; a file system that cannot promise any is written to.
fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Err(rustix::io::Errno::OPNOTSUPP) => {
            let (mut zeros, mut file) = (io::repeat(0).take(bytes), file);
            io::copy(&mut zeros, &mut file).map(drop)
        }
        done => Ok(done?),
    }
}

/// Tells whether `error` says that the disk is full.
pub(in crate::store) fn says_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| {
        // The log's index could not grow.
        error.code == ErrorCode::DiskFull || error.extended_code == SQLITE_IOERR_SHMSIZE
    })
}

fn bound(connection: &Connection, pages: i64) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
}

#[cfg(test)]
impl Room {
    /// No room, and a disk that is never full.
    pub(super) fn none() -> Self {
        Self {
            reserve: PathBuf::new(),
            disk: Disk::REAL,
            full: None,
        }
    }
}
