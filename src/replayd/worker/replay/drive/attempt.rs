//! One attempt at a step: made, sent and judged, in a task of its own.

use super::{Done, Due, Judged, Ran};
use crate::app::replays::{count, reason};
use crate::clock::Stopwatch;
use crate::connector::Answered;
use crate::store::captures::Capture;
use crate::worker::replay::send::{Got, Sender, Unmade, boot_of};
use reprise_core::replay::compare::Place;
use reprise_core::replay::request::Outgoing;
use reprise_core::replay::select::{Body, LeftOut};
use reprise_core::replay::step::is_safe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What is added to the number of an attempt that is only made to learn.
const SECOND_LOOK: u32 = 1_000_000;

/// One attempt, on its own.
pub(super) struct Attempt {
    pub(super) sender: Arc<Sender>,
    pub(super) halt: Arc<AtomicBool>,
    pub(super) watch: Stopwatch,
}

impl Attempt {
    pub(super) async fn run(self, due: Due, capture: Option<Capture>) -> Done {
        let now_us = || u64::try_from(self.watch.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut done = Done {
            due,
            sent_us: now_us(),
            ended_us: 0,
            got: Judged::Held,
        };
        if !self.halt.load(Ordering::SeqCst) {
            done.got = self.attempt(due, capture, &mut done.sent_us, now_us).await;
        }
        done.ended_us = now_us();
        done
    }

    async fn attempt(&self, due: Due, capture: Option<Capture>, sent_us: &mut u64, now_us: impl Fn() -> u64) -> Judged {
        let Some(capture) = capture else {
            return Judged::Unsendable("its capture is gone".to_owned());
        };
        if let Some(why) = self.gap(&capture) {
            return Judged::Gap(reason(why));
        }
        let step = count(due.at);
        let out = match self.sender.prepare(&capture, step) {
            Ok(out) => out,
            Err(Unmade::Redacted(why)) => return Judged::Redacted(why),
            Err(Unmade::Broken(why)) => return Judged::Unsendable(why),
        };
        let headers_left_out = self.sender.headers_left_out(&out);
        *sent_us = now_us();
        match self.sender.send(out.clone(), step, due.attempt).await {
            Got::Answer(answered) => {
                let status = answered.status.as_u16();
                if status == 401 && capture.row.status != Some(401) && self.sender.has_credential() {
                    return Judged::Unauthorized;
                }
                let is_learned = self.sender.compare.learn && is_safe(capture.row.method.as_bytes());
                let noise = if is_learned {
                    self.noise(out, &answered, due).await
                } else {
                    Vec::new()
                };
                let (detail, binding) = self.sender.judge(&capture, &answered, &noise);
                Judged::Answer {
                    status,
                    matched: detail.is_empty(),
                    ran: Ran::of(&answered, detail.is_empty()),
                    detail,
                    boot_id: boot_of(&answered),
                    binding,
                    headers_left_out,
                }
            }
            Got::NotSent(why) => Judged::NotSent(why),
            Got::Lost(why) => Judged::Lost(why),
            Got::Unsendable(why) => Judged::Unsendable(why),
        }
    }

    /// Tells why a body cannot be sent: only a restore plans such a step, so that it is told what is missing.
    fn gap(&self, capture: &Capture) -> Option<LeftOut> {
        match Body::of(&capture.request) {
            Body::Redacted => Some(LeftOut::Redacted),
            Body::Truncated if !self.sender.force => Some(LeftOut::Truncated),
            Body::Whole | Body::Truncated | Body::Broken => None,
        }
    }

    /// Sends a safe request again, and finds what differs anyway.
    async fn noise(&self, out: Outgoing, first: &Answered, due: Due) -> Vec<Place> {
        // Another number than any attempt has, so that a proxy does not take it for a copy.
        let attempt = due.attempt.saturating_add(SECOND_LOOK);
        match self.sender.send(out, count(due.at), attempt).await {
            Got::Answer(second) => self.sender.noise(first, &second),
            Got::NotSent(_) | Got::Lost(_) | Got::Unsendable(_) => Vec::new(),
        }
    }
}
