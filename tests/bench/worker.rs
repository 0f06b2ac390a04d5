//! Cores, and the CPU time of Envoy's worker thread.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

/// The name that Envoy gives to its only worker.
const WORKER_NAME: &str = "wrk:worker_0";

/// Envoy's worker thread.
#[derive(Debug)]
pub(crate) struct Worker {
    schedstat: File,
}

impl Worker {
    /// Finds the worker of process `pid`.
    pub(crate) fn find(pid: u32) -> io::Result<Self> {
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let task = task?.path();
            if fs::read_to_string(task.join("comm"))?.trim() == WORKER_NAME {
                return Ok(Self {
                    schedstat: File::open(task.join("schedstat"))?,
                });
            }
        }
        Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("process {pid} has no thread {WORKER_NAME}"),
        ))
    }

    /// What the thread had so far. Exact only while it sleeps: the kernel books on a switch or a tick.
    pub(crate) fn time(&self) -> io::Result<CoreTime> {
        let mut bytes = [0; 128];
        let read = self.schedstat.read_at(&mut bytes, 0)?;
        let text = String::from_utf8_lossy(&bytes[..read]);
        let mut fields = text.split_ascii_whitespace().map_while(|field| field.parse().ok());
        fields
            .next()
            .zip(fields.next())
            .map(|(ran_ns, waited_ns)| CoreTime { ran_ns, waited_ns })
            .ok_or_else(|| io::Error::other(format!("schedstat is {text:?}")))
    }
}

/// What a thread had of its core.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CoreTime {
    /// Time that it ran.
    pub(crate) ran_ns: u64,
    /// Time that it could have run, while others had the core: 0 on an idle machine.
    pub(crate) waited_ns: u64,
}

impl CoreTime {
    /// What was added since `before`.
    pub(crate) const fn since(self, before: Self) -> Self {
        Self {
            ran_ns: self.ran_ns - before.ran_ns,
            waited_ns: self.waited_ns - before.waited_ns,
        }
    }
}

/// The cores that this process may use, and how it divides them.
#[derive(Debug)]
pub(crate) struct Cores {
    all: CpuSet,
    /// The first two; a child inherits what its parent had when it started.
    pair: Option<(usize, usize)>,
}

impl Cores {
    /// Reads which cores are allowed.
    pub(crate) fn allowed() -> io::Result<Self> {
        let all = sched_getaffinity(None)?;
        let mut allowed = (0..CpuSet::MAX_CPU).filter(|core| all.is_set(*core));
        let pair = allowed.next().zip(allowed.next());
        Ok(Self { all, pair })
    }

    /// True if Envoy and the generator get a core each.
    pub(crate) const fn are_enough(&self) -> bool {
        self.pair.is_some()
    }

    /// Moves this thread, and what it starts from now on, to Envoy's core.
    pub(crate) fn take_envoys(&self) -> io::Result<()> {
        self.pair.map_or(Ok(()), |(envoys, _)| pin(envoys))
    }

    /// Moves this thread to the generator's core.
    pub(crate) fn take_own(&self) -> io::Result<()> {
        self.pair.map_or(Ok(()), |(_, own)| pin(own))
    }

    /// Lets this thread, and what it starts from now on, use every core again.
    pub(crate) fn take_all(&self) -> io::Result<()> {
        Ok(sched_setaffinity(None, &self.all)?)
    }
}

fn pin(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}
