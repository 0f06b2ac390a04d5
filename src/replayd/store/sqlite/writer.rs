//! The one thread that writes: everything that waits shares one commit, so that a disk's slowness is paid once.

use super::super::StoreError;
use super::log::Log;
use super::room::{Room, Weight, says_full};
use crate::clock::Stopwatch;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use rusqlite::{Connection, ffi};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use tokio::sync::{mpsc, oneshot};

/// Most jobs that wait; whoever brings one more waits until there is room.
const JOBS_WAITING_MAX: usize = 1024;
/// Most jobs in one transaction.
const JOBS_A_COMMIT_MAX: usize = 128;

/// Why a job that ran is not on disk.
type Lost = Arc<rusqlite::Error>;
/// Tells whoever waits for a job what became of it.
type Tell = Box<dyn FnOnce(Result<(), Lost>) + Send>;
/// What a job does; it is called with an error if there is no transaction for it.
type Work = Box<dyn FnOnce(Result<&Connection, Lost>) -> (Outcome, Tell) + Send>;

/// One piece of work.
struct Job {
    weight: Weight,
    work: Work,
}

/// Whether what a job wrote is to stay.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Keep,
    Undo,
    /// There is no room for it on the disk.
    Full,
}

/// What is counted of the writer's work.
#[derive(Debug, Clone)]
pub(crate) struct Commits {
    /// How long commits take, in seconds.
    pub(crate) seconds: Histogram,
    /// Jobs that are on disk.
    pub(crate) jobs: Counter,
    /// Commits that failed.
    pub(crate) failures: Counter,
    /// Jobs that wait.
    pub(crate) waiting: Gauge,
    /// 1 = the disk is full.
    pub(crate) full: Gauge,
}

impl Default for Commits {
    fn default() -> Self {
        Self {
            seconds: Histogram::new(exponential_buckets(0.000_25, 2.0, 15)),
            jobs: Counter::default(),
            failures: Counter::default(),
            waiting: Gauge::default(),
            full: Gauge::default(),
        }
    }
}

/// The thread that writes, and the way to it.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    commits: Commits,
}

impl Writer {
    /// Begins to write through `connection`, where `room` is held back; `log` ends before that connection.
    pub(super) fn start(mut connection: Connection, room: Room, log: Log) -> Result<Self, StoreError> {
        let commits = Commits::default();
        let (jobs, waiting) = mpsc::channel(JOBS_WAITING_MAX);
        let counted = commits.clone();
        let thread = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || {
                run(&connection, room, waiting, &counted);
                // The last to close carries the log over: two that close at once leave that to each other.
                log.end(&mut connection);
                drop(connection);
            })
            .map_err(StoreError::Thread)?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
            commits,
        })
    }

    /// Shows what is counted.
    pub(super) const fn commits(&self) -> &Commits {
        &self.commits
    }

    /// Runs `work` in a transaction; returns when it is on disk.
    ///
    /// Atomic: all of `work` or, if it fails, nothing of it.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        weight: Weight,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (tell, told) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or(StoreError::Gone)?;
        self.commits.waiting.inc();
        let sent = jobs
            .send(Job {
                weight,
                work: job(work, tell),
            })
            .await;
        if sent.is_err() {
            self.commits.waiting.dec();
        }
        told.await.unwrap_or(Err(StoreError::Gone))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        // What waits is written first; the last owner may be a job, and the thread cannot wait for itself.
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            let _ended = thread.join();
        }
    }
}

fn job<T: Send + 'static>(
    work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    tell: oneshot::Sender<Result<T, StoreError>>,
) -> Work {
    Box::new(move |connection| {
        let done = connection.map_err(StoreError::Lost).and_then(work);
        let outcome = match &done {
            Ok(_) => Outcome::Keep,
            Err(error) if error.is_full() => Outcome::Full,
            Err(_) => Outcome::Undo,
        };
        let tell = move |committed: Result<(), Lost>| {
            let told = match committed {
                Ok(()) => done,
                Err(lost) => done.and(Err(StoreError::Lost(lost))),
            };
            // Whoever asked may have gone; what was written stays.
            let _asker = tell.send(told);
        };
        (outcome, Box::new(tell))
    })
}

fn run(connection: &Connection, mut room: Room, mut waiting: mpsc::Receiver<Job>, commits: &Commits) {
    let mut jobs = Vec::with_capacity(JOBS_A_COMMIT_MAX);
    while waiting.blocking_recv_many(&mut jobs, JOBS_A_COMMIT_MAX) > 0 {
        commits.waiting.dec_by(i64::try_from(jobs.len()).unwrap_or(i64::MAX));
        while let Some(first) = jobs.first() {
            // On a full disk each stands for itself: what has to go in would fall with what need not.
            let share = if room.is_full() { 1 } else { jobs.len() };
            let ready = room.before(connection, first.weight);
            commit(connection, &mut room, ready, jobs.drain(..share).collect(), commits);
        }
    }
}

/// Commits `jobs` together, unless the store is not `ready`, and tells whoever waits for them.
fn commit(
    connection: &Connection,
    room: &mut Room,
    ready: rusqlite::Result<()>,
    mut jobs: Vec<Job>,
    commits: &Commits,
) {
    let count = jobs.len();
    let watch = Stopwatch::start();
    let mut tells = Vec::with_capacity(count);
    let committed = ready
        .and_then(|()| transaction(connection, &mut jobs, &mut tells))
        .map_err(Arc::new);
    commits.seconds.observe(watch.elapsed().as_secs_f64());
    match &committed {
        Ok(()) => _ = commits.jobs.inc_by(u64::try_from(count).unwrap_or(u64::MAX)),
        Err(error) => {
            commits.failures.inc();
            tracing::error!(error = error as &dyn std::error::Error, "the store cannot commit");
        }
    }
    if committed.as_ref().is_err_and(|error| says_full(error))
        && let Err(error) = room.release(connection)
    {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "the log cannot be carried over"
        );
    }
    commits.full.set(i64::from(room.is_full()));
    tell(&committed, tells, jobs.drain(..));
}

/// Runs `jobs` and commits. After an error nothing of them is on disk; those that did not run are still in `jobs`.
fn transaction(connection: &Connection, jobs: &mut Vec<Job>, tells: &mut Vec<Tell>) -> rusqlite::Result<()> {
    execute(connection, "BEGIN IMMEDIATE")?;
    jobs.reverse();
    let ran = run_all(connection, jobs, tells);
    let committed = ran.and_then(|()| execute(connection, "COMMIT"));
    if committed.is_err() && !connection.is_autocommit() {
        execute(connection, "ROLLBACK")?;
    }
    committed
}

/// Runs `jobs`; after an error nobody's work may look as if it stood.
fn run_all(connection: &Connection, jobs: &mut Vec<Job>, tells: &mut Vec<Tell>) -> rusqlite::Result<()> {
    while let Some(job) = jobs.pop() {
        savepoint(connection, job.work, tells)?;
    }
    Ok(())
}

fn savepoint(connection: &Connection, work: Work, tells: &mut Vec<Tell>) -> rusqlite::Result<()> {
    let begun = execute(connection, "SAVEPOINT job").map_err(Arc::new);
    let (outcome, tell) = work(begun.map(|()| connection));
    tells.push(tell);
    if outcome == Outcome::Full {
        return Err(undone(ffi::SQLITE_FULL, "a job found the disk full"));
    }
    // What fails badly undoes the whole transaction.
    if connection.is_autocommit() {
        return Err(undone(
            ffi::SQLITE_ABORT_ROLLBACK,
            "a job before or beside this one failed",
        ));
    }
    if outcome == Outcome::Undo {
        execute(connection, "ROLLBACK TO job")?;
    }
    execute(connection, "RELEASE job")
}

fn undone(code: std::ffi::c_int, why: &str) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some(why.to_owned()))
}

fn tell(committed: &Result<(), Lost>, tells: Vec<Tell>, unrun: impl Iterator<Item = Job>) {
    for tell in tells {
        tell(committed.clone());
    }
    let Err(lost) = committed else { return };
    for job in unrun {
        let (_undo, tell) = (job.work)(Err(Arc::clone(lost)));
        tell(Err(Arc::clone(lost)));
    }
}

fn execute(connection: &Connection, statement: &'static str) -> rusqlite::Result<()> {
    connection.prepare_cached(statement)?.execute([]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc as blocking;

    fn writer() -> Writer {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (x INTEGER NOT NULL)").unwrap();
        Writer::start(connection, Room::none(), Log::none()).unwrap()
    }

    fn insert(x: i64) -> impl FnOnce(&Connection) -> Result<(), StoreError> + Send {
        move |connection| Ok(connection.execute("INSERT INTO t VALUES (?1)", [x]).map(drop)?)
    }

    async fn sum(writer: &Writer) -> i64 {
        let sum = |connection: &Connection| {
            Ok(connection.query_row("SELECT coalesce(sum(x), 0) FROM t", [], |row| row.get(0))?)
        };
        writer.write(Weight::Light, sum).await.unwrap()
    }

    /// Runs two jobs in one transaction: both wait while a job before them holds the thread.
    async fn together(
        writer: &Writer,
        one: impl FnOnce(&Connection) -> Result<(), StoreError> + Send + 'static,
        two: impl FnOnce(&Connection) -> Result<(), StoreError> + Send + 'static,
    ) -> (Result<(), StoreError>, Result<(), StoreError>) {
        let (release, held) = blocking::channel();
        let (enter, entered) = oneshot::channel();
        let hold = writer.write(Weight::Light, move |_| {
            enter.send(()).unwrap();
            held.recv().unwrap();
            Ok(())
        });
        let rest = async {
            entered.await.unwrap();
            let free = async { release.send(()).unwrap() };
            tokio::join!(biased; writer.write(Weight::Bulk, one), writer.write(Weight::Light, two), free)
        };
        let (held, (one, two, ())) = tokio::join!(hold, rest);
        held.unwrap();
        (one, two)
    }

    #[tokio::test]
    async fn jobs_that_wait_share_a_commit() {
        let writer = writer();
        let (one, two) = together(&writer, insert(1), insert(2)).await;
        assert!(one.is_ok() && two.is_ok());
        assert_eq!((sum(&writer).await, writer.commits().waiting.get()), (3, 0));
    }

    #[tokio::test]
    async fn a_job_that_fails_leaves_nothing_and_does_not_undo_its_neighbour() {
        let writer = writer();
        let fails = |connection: &Connection| {
            insert(5)(connection)?;
            Err(StoreError::Gone)
        };
        let (failed, kept) = together(&writer, fails, insert(2)).await;
        assert!(matches!(failed, Err(StoreError::Gone)) && kept.is_ok());
        assert_eq!(sum(&writer).await, 2);
    }

    /// A disk that is full, or fails, may undo the whole transaction in the middle of a job.
    #[tokio::test]
    async fn a_transaction_that_is_undone_is_told_to_everybody_in_it() {
        let writer = writer();
        let undo = |connection: &Connection| Ok(connection.execute_batch("ROLLBACK")?);
        let (before, undone) = together(&writer, insert(1), undo).await;
        assert!(matches!(
            (before, undone),
            (Err(StoreError::Lost(_)), Err(StoreError::Lost(_)))
        ));
        let (undone, behind) = together(&writer, undo, insert(2)).await;
        assert!(matches!(
            (undone, behind),
            (Err(StoreError::Lost(_)), Err(StoreError::Lost(_)))
        ));
        assert_eq!((sum(&writer).await, writer.commits().failures.get()), (0, 2));
        writer.write(Weight::Bulk, insert(4)).await.unwrap();
        assert_eq!(sum(&writer).await, 4);
    }
}
