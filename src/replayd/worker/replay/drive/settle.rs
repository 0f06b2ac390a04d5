//! What follows on the end of an attempt, and on what somebody decides.

use super::{Ask, Done, Due, End, Judged, Lesson, Mem, Run};
use crate::app::replays::{
    Answer, Counts, Decision, Kind, OnDoubt, OnError, OnMismatch, ReplayState, Why, count, exit, look, withheld_kind,
    withheld_told,
};
use crate::store::{BootLedger, Outcome, StepRow};
use reprise_core::replay::hidden::Hidden;
use reprise_core::replay::step::{Doubt, Effect, Event, Settlement, Step, is_idempotent, settle};
use std::collections::BTreeMap;

/// Attempts at one step; a target that never answers does not get it for ever.
const ATTEMPTS_MAX: u32 = 5;

/// Differences that are told when a replay stops or asks.
const SHOWN_MAX: usize = 20;

impl Run<'_> {
    /// Takes the steps up where they are.
    pub(super) fn take_up(&mut self, rows: &[StepRow], ledger: Option<&BootLedger>) {
        self.steps = rows
            .iter()
            .map(|row| Mem {
                capture: row.step.capture,
                step: row.state,
                is_idempotent: is_idempotent(row.step.method.as_bytes()),
            })
            .collect();
        for (at, row) in rows.iter().enumerate() {
            self.take(at, Event::Resume, row.outcome.clone(), Lesson::default());
            if let Some(ledger) = ledger {
                self.heed(at, &row.outcome, ledger);
            }
            if self.step(at).is_over() {
                self.schedule.answered(at);
            }
        }
        let counts = self.recount(rows);
        self.answered_before = counts.answered;
        self.job.progress.counts = counts;
    }

    /// Counts what there is; an error is known again by the step that it left out.
    fn recount(&self, rows: &[StepRow]) -> Counts {
        let mut counts = Counts {
            planned: count(rows.len()),
            ..Counts::default()
        };
        let add = |place: &mut u64, is: bool| *place = place.saturating_add(u64::from(is));
        for (mem, row) in self.steps.iter().zip(rows) {
            let (step, matched) = (mem.step, row.outcome.matched);
            add(&mut counts.sent, matches!(step, Step::Answered(_) | Step::InDoubt(_)));
            add(&mut counts.answered, matches!(step, Step::Answered(_)));
            add(&mut counts.skipped, matches!(step, Step::Skipped(_) | Step::Missing(_)));
            add(&mut counts.in_doubt, matches!(step, Step::InDoubt(_)));
            add(
                &mut counts.errors,
                matches!(step, Step::Missing(_)) && matched.is_none(),
            );
            add(&mut counts.matched, matched == Some(true));
            add(&mut counts.differed, matched == Some(false));
        }
        counts
    }

    /// Heeds what other restores of the boot did since this one was planned.
    fn heed(&mut self, at: usize, outcome: &Outcome, ledger: &BootLedger) {
        let Some(id) = self.steps.get(at).map(|mem| mem.capture.0) else {
            return;
        };
        if ledger.sure.binary_search(&id).is_ok() {
            let outcome = Outcome {
                detail: vec!["the target has it".to_owned()],
                ..Outcome::default()
            };
            self.take(at, Event::Skip, outcome, Lesson::default());
        } else if ledger.maybe.binary_search(&id).is_ok() {
            self.take(at, Event::Doubt, outcome.clone(), Lesson::default());
        }
    }

    /// Judges the end of an attempt.
    pub(super) async fn settle(&mut self, done: Done) {
        let due = done.due;
        let late_us = done.sent_us.saturating_sub(due.due_us);
        let latency_us = done.ended_us.saturating_sub(done.sent_us);
        match done.got {
            Judged::Answer {
                status,
                matched,
                ran,
                detail,
                boot_id,
                binding,
                headers_left_out,
            } => {
                self.lateness.add(late_us);
                self.latency.add(latency_us);
                self.intended.add(done.ended_us.saturating_sub(due.due_us));
                let outcome = Outcome {
                    status: Some(status),
                    matched: Some(matched),
                    late_us: Some(late_us),
                    latency_us: Some(latency_us),
                    detail,
                };
                self.meet_boot(boot_id);
                for name in headers_left_out {
                    add_one(&mut self.job.progress.headers_left_out, name);
                }
                self.answered(due, outcome, Lesson { ran, binding });
            }
            Judged::Held => self.unsent(due, Vec::new()),
            Judged::Unauthorized => self.unauthorized(due).await,
            Judged::NotSent(why) => self.not_sent(due, &why),
            Judged::Redacted(why) => self.redacted(due, &why),
            Judged::Gap(why) => self.gap(due, why),
            // What a restore cannot send is missing afterwards.
            Judged::Unsendable(why) if self.job.spec.kind == Kind::Restore => self.not_sent(due, &why),
            Judged::Unsendable(why) => {
                self.unsent(due, Vec::new());
                self.skip(due.at, why);
            }
            Judged::Lost(why) => {
                self.count_error();
                self.lose(due, &why);
            }
        }
    }

    fn answered(&mut self, due: Due, outcome: Outcome, lesson: Lesson) {
        let matched = outcome.matched == Some(true);
        let shown = outcome.detail.iter().take(SHOWN_MAX).cloned().collect::<Vec<_>>();
        let detail = shown.join("; ");
        if self.take(due.at, Event::Answer, outcome, lesson) == Effect::Ignore {
            return;
        }
        self.schedule.answered(due.at);
        let counts = &mut self.job.progress.counts;
        counts.answered = counts.answered.saturating_add(1);
        if matched {
            counts.matched = counts.matched.saturating_add(1);
            return;
        }
        self.differ(due, detail);
    }

    /// Does what is meant to follow on what differs.
    fn differ(&mut self, due: Due, detail: String) {
        let counts = &mut self.job.progress.counts;
        counts.differed = counts.differed.saturating_add(1);
        match self.job.meant.on_mismatch {
            OnMismatch::Ignore => {}
            OnMismatch::Skip => tracing::warn!(replay = self.job.id, step = due.at, "the response differs"),
            OnMismatch::Ask if self.end.is_none() => self.ask(due, Why::Mismatch, detail),
            OnMismatch::Ask => {}
            OnMismatch::Stop => {
                let detail = format!("step {} differs: {detail}", due.at.saturating_add(1));
                self.stop(End::new(ReplayState::Interrupted, exit::DIFFER, detail));
            }
        }
    }

    /// Notes the boot that a response showed; a restore of one boot must not go on in another.
    fn meet_boot(&mut self, boot_id: String) {
        if boot_id.is_empty() || self.job.spec.kind != Kind::Restore {
            return;
        }
        // A boot that somebody named may show another name, as long as it stays.
        if self.job.spec.boot_id.is_some() && self.shown_boot.is_empty() {
            self.shown_boot = boot_id;
        } else if boot_id != self.boot.boot_id && boot_id != self.shown_boot {
            let detail = "the target restarted during the restore: start a new one".to_owned();
            self.stop(End::new(ReplayState::Failed, exit::ERRORS, detail));
        }
    }

    /// Takes a step back that did not leave.
    pub(super) fn unsent(&mut self, due: Due, detail: Vec<String>) {
        let outcome = Outcome {
            detail,
            ..Outcome::default()
        };
        if self.take(due.at, Event::Unsent, outcome, Lesson::default()) == Effect::Ignore {
            return;
        }
        let is_doubted = self.is_in_doubt(due.at);
        let counts = &mut self.job.progress.counts;
        if is_doubted {
            counts.in_doubt = counts.in_doubt.saturating_add(1);
        } else {
            counts.sent = counts.sent.saturating_sub(1);
        }
    }

    /// Leaves out what would go out with tokens in the place of values.
    fn redacted(&mut self, due: Due, why: &Hidden) {
        add_one(&mut self.job.progress.left_out, withheld_kind(why).to_owned());
        let why = withheld_told(why);
        if self.job.spec.kind == Kind::Restore {
            return self.gap(due, &why);
        }
        self.unsent(due, Vec::new());
        self.skip(due.at, why);
    }

    /// Leaves out what a restore lacks afterwards, as if its response differed.
    fn gap(&mut self, due: Due, why: &str) {
        self.unsent(due, Vec::new());
        self.miss(due.at, why, Some(false));
        self.differ(due, format!("it is not sent: {why}"));
    }

    /// Leaves out what was meant to be sent; what is in doubt stays so, and nobody sends it again unasked.
    fn miss(&mut self, at: usize, why: &str, matched: Option<bool>) {
        let outcome = Outcome {
            matched,
            detail: vec![why.to_owned()],
            ..Outcome::default()
        };
        if self.take(at, Event::Lack, outcome, Lesson::default()) != Effect::Ignore {
            let counts = &mut self.job.progress.counts;
            counts.skipped = counts.skipped.saturating_add(1);
        }
        self.schedule.answered(at);
    }

    /// Ends: looks once more, as a boot that only a probe tells may have changed unseen.
    pub(super) async fn conclude(&mut self, end: End) -> End {
        self.job.progress.missing = count(self.missing());
        if end.state == ReplayState::Finished && self.job.spec.kind == Kind::Restore {
            let seen = look(&self.job.connector, &self.job.target).await;
            self.meet_boot(if seen.is_well { seen.boot_id } else { String::new() });
        }
        self.end.take().unwrap_or(end)
    }

    /// Says what a restore lacks at its end; nothing for nothing.
    pub(super) fn lack(&self) -> String {
        let missing = self.missing();
        if self.job.spec.kind != Kind::Restore || missing == 0 {
            return String::new();
        }
        let gate = self.job.target.cluster.as_ref();
        let gate = gate.map_or("", |_| ", so that the boot gate stays closed");
        format!("{missing} of its steps are missing or in doubt{gate}")
    }

    /// Counts what the target lacks, or may lack.
    fn missing(&self) -> usize {
        let is_missing = |mem: &&Mem| matches!(mem.step, Step::Missing(_) | Step::InDoubt(_));
        self.steps.iter().filter(is_missing).count()
    }

    fn is_in_doubt(&self, at: usize) -> bool {
        matches!(self.step(at), Step::InDoubt(_))
    }

    fn count_error(&mut self) {
        let counts = &mut self.job.progress.counts;
        counts.errors = counts.errors.saturating_add(1);
    }

    /// Reads the credential again, once for each step, and sends again: a 401 means that nothing was done.
    async fn unauthorized(&mut self, due: Due) {
        self.unsent(due, vec!["status 401: the credential is read again".to_owned()]);
        let refreshed = if self.refreshed.insert(due.at) {
            self.sender.refresh().await.map_err(|error| error.to_string())
        } else {
            Err("the target refuses the credential: status 401".to_owned())
        };
        match refreshed {
            Ok(()) if self.end.is_none() && self.is_in_doubt(due.at) => {
                self.out_of_doubt();
                self.send(due, Event::Resend);
            }
            Ok(()) if self.end.is_none() => self.send(due, Event::Send),
            Ok(()) => {}
            Err(why) => {
                self.count_error();
                self.stop(End::new(ReplayState::Interrupted, exit::ERRORS, why));
            }
        }
    }

    fn not_sent(&mut self, due: Due, why: &str) {
        self.count_error();
        self.unsent(due, vec![why.to_owned()]);
        match self.job.spec.on_error {
            OnError::Continue => self.miss(due.at, why, None),
            OnError::Stop => {
                let detail = format!("step {}: {why}", due.at.saturating_add(1));
                self.stop(End::new(ReplayState::Interrupted, exit::ERRORS, detail));
            }
        }
    }

    fn lose(&mut self, due: Due, why: &str) {
        let outcome = Outcome {
            detail: vec![why.to_owned()],
            ..Outcome::default()
        };
        if self.take(due.at, Event::Lose, outcome, Lesson::default()) != Effect::Ignore {
            let counts = &mut self.job.progress.counts;
            counts.in_doubt = counts.in_doubt.saturating_add(1);
            self.settle_doubt(due, why);
        }
    }

    /// Decides on a step in doubt.
    pub(super) fn settle_doubt(&mut self, due: Due, why: &str) {
        let asked = self.job.progress.in_doubt.or(self.job.spec.in_doubt);
        let mut settlement = settle(
            asked.map(OnDoubt::meant),
            Doubt {
                is_idempotent: self.steps.get(due.at).is_some_and(|mem| mem.is_idempotent),
                // A step whose capture has no key of its own gets one.
                has_key: true,
                honours_keys: self.job.target.honours_keys,
            },
        );
        if settlement == Settlement::Resend && self.step(due.at).attempt() >= ATTEMPTS_MAX {
            settlement = Settlement::Stop;
        }
        match settlement {
            // Whatever is decided is done when the replay is resumed.
            _ if self.end.is_some() => {}
            Settlement::Resend => {
                self.out_of_doubt();
                self.send(due, Event::Resend);
            }
            Settlement::Skip => {
                self.out_of_doubt();
                self.skip(due.at, format!("in doubt, and not sent again: {why}"));
            }
            Settlement::Ask => self.ask(due, Why::InDoubt, why.to_owned()),
            // It stays as it is: nobody sends it again unasked.
            Settlement::Stop if self.job.spec.on_error == OnError::Continue => self.schedule.answered(due.at),
            Settlement::Stop => {
                let detail = format!(
                    "step {} is in doubt ({why}): resume it with --in-doubt skip, resend or ask",
                    due.at.saturating_add(1)
                );
                self.stop(End::new(ReplayState::Interrupted, exit::INTERRUPTED, detail));
            }
        }
    }

    fn out_of_doubt(&mut self) {
        let counts = &mut self.job.progress.counts;
        counts.in_doubt = counts.in_doubt.saturating_sub(1);
    }

    /// Leaves a step out.
    pub(super) fn skip(&mut self, at: usize, why: String) {
        let outcome = Outcome {
            detail: vec![why],
            ..Outcome::default()
        };
        if self.take(at, Event::Skip, outcome, Lesson::default()) != Effect::Ignore {
            let counts = &mut self.job.progress.counts;
            counts.skipped = counts.skipped.saturating_add(1);
            self.schedule.answered(at);
        }
    }

    /// Does what somebody decided; false if this was not asked.
    pub(super) fn decide(&mut self, answer: Answer) -> bool {
        let progress = &mut self.job.progress;
        if progress.question.take_if(|question| answer.is_to(question)).is_none() {
            return false;
        }
        // Whoever looks now is not asked it again; the next is asked when this is written down.
        self.job.state = ReplayState::Running;
        self.job.live.show(self.job.state, self.job.progress.clone());
        let Some(Ask { due, why, .. }) = self.asks.pop_front() else {
            return false;
        };
        match (why, answer.decision) {
            (_, Decision::Stop) => {
                let end = End::interrupted();
                self.stop(end);
            }
            (Why::Interactive, Decision::Send) => {
                self.allowed.insert(due.at);
                self.send(due, Event::Send);
            }
            (Why::InDoubt, Decision::Send) => {
                self.out_of_doubt();
                self.send(due, Event::Resend);
            }
            (Why::InDoubt, Decision::Skip) => {
                self.out_of_doubt();
                self.skip(due.at, "in doubt, and not sent again".to_owned());
            }
            (Why::Interactive, Decision::Skip) => self.skip(due.at, "left out by hand".to_owned()),
            (Why::Mismatch, Decision::Send | Decision::Skip) => {}
        }
        true
    }
}

fn add_one(counts: &mut BTreeMap<String, u64>, of: String) {
    let count = counts.entry(of).or_default();
    *count = count.saturating_add(1);
}
