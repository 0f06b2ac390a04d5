//! Starts work at its moment: more exact than the runtime's timers, which count milliseconds.

use crate::clock::Stopwatch;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;
use tokio::runtime::Handle;

/// Work that waits for its moment.
pub(super) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A thread that starts work at its moment; it ends when this is dropped and nothing waits.
#[derive(Debug)]
pub(super) struct Pacer {
    to: Sender<(u64, Work)>,
}

impl Pacer {
    /// Begins; moments are those of `watch`.
    pub(super) fn start(watch: Stopwatch) -> io::Result<Self> {
        let (to, from) = channel();
        let runtime = Handle::current();
        thread::Builder::new()
            .name("replay-pacer".to_owned())
            .spawn(move || run(&from, watch, &runtime))?;
        Ok(Self { to })
    }

    /// Starts `work` when it is `due_us`.
    pub(super) fn at(&self, due_us: u64, work: Work) {
        // The thread ends after this only.
        let _sent = self.to.send((due_us, work));
    }
}

fn run(from: &Receiver<(u64, Work)>, watch: Stopwatch, runtime: &Handle) {
    let mut waiting = BTreeMap::new();
    let mut number = 0_u64;
    let mut is_open = true;
    while is_open || !waiting.is_empty() {
        let next = waiting.first_key_value().map(|((due_us, _), _)| *due_us);
        let heard = match next {
            None => from.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(due_us) => from.recv_timeout(Duration::from_micros(due_us).saturating_sub(watch.elapsed())),
        };
        match heard {
            Ok((due_us, work)) => {
                number = number.wrapping_add(1);
                waiting.insert((due_us, number), work);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => is_open = false,
        }
        while let Some(first) = waiting.first_entry()
            && (Duration::from_micros(first.key().0) <= watch.elapsed() || !is_open)
        {
            drop(runtime.spawn(first.remove()));
        }
    }
}
