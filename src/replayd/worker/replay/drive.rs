//! The loop of one running replay: asks the schedule, writes down, sends, judges, until nothing is left or it stops.
//!
//! Nothing is sent before it is on disk that it is sent. One transaction carries what was answered since the last and
//! what is sent next; while it is on its way, the next is gathered.

mod attempt;
mod begin;
mod ledger;
mod settle;

use attempt::Attempt;
use ledger::{Ran, entry};

use super::pacer::Pacer;
use super::send::Sender;
use super::spread::Histogram;
use super::{End, Job};
use crate::app::replays::{Kind, Order, Question, ReplayError, ReplayState, Why, count, exit};
use crate::clock::Stopwatch;
use crate::store::captures::{Capture, CaptureId};
use crate::store::{Entry, Outcome, StepChange, StoreError, TargetBoot};
use reprise_core::replay::hidden::Hidden;
use reprise_core::replay::schedule::{Next, Schedule};
use reprise_core::replay::step::{Effect, Event, Step};
use std::collections::{HashMap, HashSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time;

/// Most steps in one transaction.
const DUE_MAX: usize = 512;
/// How far ahead of their moment steps are written down, in modes that keep to the clock.
const AHEAD_US: u64 = 50_000;
/// How often rate and times are shown anew.
const SHOW_EVERY: Duration = Duration::from_millis(200);

/// A step as it is kept in memory.
#[derive(Debug, Clone, Copy)]
struct Mem {
    capture: CaptureId,
    step: Step,
    is_idempotent: bool,
}

/// A step whose turn it is.
#[derive(Debug, Clone, Copy)]
struct Due {
    at: usize,
    due_us: u64,
    attempt: u32,
}

/// What is learned of a target by an answer.
#[derive(Default)]
struct Lesson {
    /// Whether it has what the capture was about.
    ran: Ran,
    /// What the automatic mapping learned, as it is kept.
    binding: Vec<u8>,
}

/// An attempt that has ended.
struct Done {
    due: Due,
    sent_us: u64,
    ended_us: u64,
    got: Judged,
}

/// A step that somebody is asked about.
struct Ask {
    due: Due,
    why: Why,
    detail: String,
}

/// What came of an attempt, judged.
enum Judged {
    Answer {
        status: u16,
        matched: bool,
        ran: Ran,
        detail: Vec<String>,
        boot_id: String,
        binding: Vec<u8>,
        headers_left_out: Vec<String>,
    },
    Unauthorized,
    NotSent(String),
    Lost(String),
    Unsendable(String),
    /// What was redacted of it is not known.
    Redacted(Hidden),
    /// Not all of its body is there.
    Gap(&'static str),
    /// It was not sent, because the replay stops.
    Held,
}

type Written = Pin<Box<dyn Future<Output = Result<Vec<(Due, Option<Capture>)>, StoreError>> + Send>>;

/// A running replay.
struct Run<'a> {
    job: &'a mut Job,
    sender: Arc<Sender>,
    boot: TargetBoot,
    /// What the target showed, where somebody named its boot.
    shown_boot: String,
    steps: Vec<Mem>,
    schedule: Schedule,
    watch: Stopwatch,
    pacer: Option<Pacer>,
    /// Set when nothing more may leave.
    halt: Arc<AtomicBool>,
    tell: mpsc::UnboundedSender<Done>,
    told: mpsc::UnboundedReceiver<Done>,
    due: Vec<Due>,
    changes: Vec<StepChange>,
    writing: Option<Written>,
    /// Attempts that are out.
    out: usize,
    /// Steps that somebody is asked about, one after the other.
    asks: VecDeque<Ask>,
    /// Steps that somebody said to send.
    allowed: HashSet<usize>,
    /// Steps whose credential was refreshed.
    refreshed: HashSet<usize>,
    end: Option<End>,
    /// When the schedule has something, if nothing else happens.
    wake_us: Option<u64>,
    answered_before: u64,
    lateness: Histogram,
    intended: Histogram,
    latency: Histogram,
}

impl Run<'_> {
    async fn drive(&mut self) -> Result<End, End> {
        let mut show = time::interval(SHOW_EVERY);
        loop {
            self.gather();
            self.write();
            self.pose().await?;
            if let Some(end) = self.is_over() {
                return Ok(end);
            }
            let wake = self.wake_us.map(|at_us| at_us.saturating_sub(self.now_us()));
            let sleep = time::sleep(Duration::from_micros(wake.unwrap_or_default()));
            tokio::select! {
                written = next(&mut self.writing), if self.writing.is_some() => self.written(written)?,
                Some(done) = self.told.recv() => self.settle_all(done).await,
                order = self.job.orders.recv() => self.hear(order),
                () = sleep, if wake.is_some() => self.wake_us = None,
                _ = show.tick() => self.show_progress(),
            }
        }
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.watch.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Asks the schedule for all that is due.
    fn gather(&mut self) {
        self.wake_us = None;
        let ahead_us = if self.pacer.is_some() { AHEAD_US } else { 0 };
        while self.end.is_none() && self.asks.is_empty() && self.due.len() < DUE_MAX {
            let now_us = self.now_us();
            match self.schedule.next(now_us.saturating_add(ahead_us)) {
                Next::Send { at, due_us } => self.turn(at, due_us),
                Next::Wait { until_us } => {
                    self.wake_us = Some(until_us.saturating_sub(ahead_us));
                    return;
                }
                Next::Await | Next::Done => return,
            }
        }
    }

    /// It is the turn of the step at `at`.
    fn turn(&mut self, at: usize, due_us: u64) {
        let due = Due { at, due_us, attempt: 0 };
        let is_in_doubt = matches!(self.step(at), Step::InDoubt(_));
        if is_in_doubt {
            self.settle_doubt(due, "nobody knows what became of it before");
        } else if self.job.spec.interactive && !self.allowed.contains(&at) {
            self.ask(due, Why::Interactive, "the replay is interactive".to_owned());
        } else {
            self.send(due, Event::Send);
        }
    }

    /// Takes the step on; what has to be written down is gathered.
    fn take(&mut self, at: usize, event: Event, outcome: Outcome, lesson: Lesson) -> Effect {
        let Some(mem) = self.steps.get_mut(at) else {
            return Effect::Ignore;
        };
        let before = mem.step;
        let (step, effect) = before.step(event);
        mem.step = step;
        let entry = if self.job.spec.kind == Kind::Restore {
            entry(before, step, mem.capture, lesson.ran)
        } else {
            Entry::AsBefore
        };
        if effect != Effect::Ignore {
            self.changes.push(StepChange {
                at: count(at),
                state: step,
                outcome,
                binding: lesson.binding,
                entry,
            });
        }
        effect
    }

    /// Lets the step be written down and sent.
    fn send(&mut self, due: Due, event: Event) {
        let is_new = event == Event::Send;
        if self.take(due.at, event, Outcome::default(), Lesson::default()) == Effect::Send {
            let attempt = self.step(due.at).attempt();
            self.due.push(Due { attempt, ..due });
            let counts = &mut self.job.progress.counts;
            counts.sent = counts.sent.saturating_add(u64::from(is_new));
        }
    }

    /// Begins to write down what was gathered, unless something is being written.
    fn write(&mut self) {
        if self.writing.is_some() || (self.changes.is_empty() && self.due.is_empty()) {
            return;
        }
        let (changes, due) = (std::mem::take(&mut self.changes), std::mem::take(&mut self.due));
        let parts = self.job.replays.parts();
        let (store, captures) = (Arc::clone(&parts.store), Arc::clone(&parts.captures));
        let ids: Vec<_> = due
            .iter()
            .filter_map(|due| self.steps.get(due.at))
            .map(|mem| mem.capture)
            .collect();
        let (id, boot) = (self.job.id, self.boot.clone());
        self.writing = Some(Box::pin(async move {
            let load = async {
                if ids.is_empty() {
                    return Ok(Vec::new());
                }
                captures.captures(ids.clone()).await
            };
            let (journal, found) = tokio::join!(store.journal(id, boot, changes), load);
            journal?;
            let mut found: HashMap<_, _> = found?.into_iter().map(|capture| (capture.row.id, capture)).collect();
            Ok(due
                .into_iter()
                .zip(ids)
                .map(|(due, id)| (due, found.remove(&id)))
                .collect())
        }));
    }

    /// Sends what is written down.
    fn written(&mut self, written: Result<Vec<(Due, Option<Capture>)>, StoreError>) -> Result<(), End> {
        self.writing = None;
        for (due, capture) in written.map_err(ReplayError::Store)? {
            self.out = self.out.saturating_add(1);
            let attempt = Attempt {
                sender: Arc::clone(&self.sender),
                halt: Arc::clone(&self.halt),
                watch: self.watch,
            };
            let tell = self.tell.clone();
            let work = async move {
                // Nobody listens if the replay broke off; then the step is in doubt when it is resumed.
                let _listens = tell.send(attempt.run(due, capture).await);
            };
            match &self.pacer {
                Some(pacer) => pacer.at(due.due_us, Box::pin(work)),
                None => drop(tokio::spawn(work)),
            }
        }
        Ok(())
    }

    async fn settle_all(&mut self, first: Done) {
        let mut next = Some(first);
        while let Some(done) = next {
            self.out = self.out.saturating_sub(1);
            self.settle(done).await;
            next = self.told.try_recv().ok();
        }
    }

    /// Hears what somebody wants.
    fn hear(&mut self, order: Option<Order>) {
        match order {
            Some(Order::Decide(answer, reply)) => {
                let _listens = reply.send(self.decide(answer));
            }
            Some(Order::Drain) => self.stop(End::drained()),
            Some(Order::Interrupt) | None => self.stop(End::interrupted()),
            Some(Order::Cancel) => {
                self.end = None;
                self.stop(End::cancelled());
            }
        }
    }

    /// Lets nothing more leave; what is out is waited for.
    fn stop(&mut self, end: End) {
        self.halt.store(true, Ordering::SeqCst);
        self.asks.clear();
        self.end.get_or_insert(end);
        // What is not written down yet stays planned.
        for due in std::mem::take(&mut self.due) {
            self.unsent(due, Vec::new());
        }
    }

    /// Tells how the replay ended, once nothing is left to do.
    fn is_over(&self) -> Option<End> {
        let is_quiet = self.out == 0 && self.writing.is_none() && self.due.is_empty() && self.changes.is_empty();
        if !is_quiet || !self.asks.is_empty() {
            return None;
        }
        if let Some(end) = &self.end {
            return Some(end.clone());
        }
        // Everything is told to the schedule before: if nothing is in flight and nothing due, it is done.
        if self.schedule.in_flight() > 0 || self.wake_us.is_some() {
            return None;
        }
        let counts = self.job.progress.counts;
        let code = if counts.errors > 0 || counts.in_doubt > 0 {
            exit::ERRORS
        } else if counts.differed > 0 {
            exit::DIFFER
        } else {
            exit::MATCH
        };
        Some(End::new(ReplayState::Finished, code, self.lack()))
    }

    /// Lets somebody decide on a step.
    fn ask(&mut self, due: Due, why: Why, detail: String) {
        self.asks.push_back(Ask { due, why, detail });
    }

    /// Shows the question that is open, or that none is.
    ///
    /// Nobody is asked while answers are not written down: a crash would leave them in doubt.
    async fn pose(&mut self) -> Result<(), End> {
        if self.writing.is_some() {
            return Ok(());
        }
        let Some(ask) = self.asks.front() else {
            if self.job.progress.question.take().is_some() {
                self.job.show(ReplayState::Running).await?;
            }
            return Ok(());
        };
        let place = count(ask.due.at);
        let is_posed = |question: &Question| question.step == place.saturating_add(1) && question.why == ask.why;
        if self.job.progress.question.as_ref().is_some_and(is_posed) {
            return Ok(());
        }
        let row = self.job.replays.parts().store.steps(self.job.id, place, 1).await;
        let row = row.map_err(ReplayError::Store)?.pop();
        self.job.progress.question = row.map(|row| Question {
            step: place.saturating_add(1),
            capture: row.step.capture.0,
            method: row.step.method,
            target: row.step.target,
            why: ask.why,
            attempt: self.step(ask.due.at).attempt(),
            detail: ask.detail.clone(),
        });
        self.job.show(ReplayState::Asking).await
    }

    fn step(&self, at: usize) -> Step {
        self.steps.get(at).map_or(Step::Skipped(0), |mem| mem.step)
    }

    fn show_progress(&mut self) {
        self.show_times();
        self.job.live.show(self.job.state, self.job.progress.clone());
    }

    fn show_times(&mut self) {
        let progress = &mut self.job.progress;
        let seconds = self.watch.elapsed().as_secs_f64();
        let answered = progress.counts.answered.saturating_sub(self.answered_before);
        let answered = f64::from(u32::try_from(answered).unwrap_or(u32::MAX));
        progress.rate = if seconds > 0.0 { answered / seconds } else { 0.0 };
        let counts = progress.counts;
        let left = counts
            .planned
            .saturating_sub(counts.answered)
            .saturating_sub(counts.skipped);
        let left = f64::from(u32::try_from(left).unwrap_or(u32::MAX));
        progress.eta_s = (progress.rate > 0.0)
            .then(|| Duration::try_from_secs_f64(left / progress.rate).ok())
            .flatten()
            .map(|left| left.as_secs());
        progress.lateness = self.lateness.spread();
        progress.latency_intended = self.intended.spread();
        progress.latency = self.latency.spread();
    }
}

async fn next<T>(pending: &mut Option<Pin<Box<dyn Future<Output = T> + Send>>>) -> T {
    match pending {
        Some(pending) => pending.await,
        None => std::future::pending().await,
    }
}
