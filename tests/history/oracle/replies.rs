//! What each reply may say, whatever was said before.

use super::{Case, Fate, Fault, Finding, Manner, Reply, Said, Tried};
use crate::history::plan::{Try, TryId};
use crate::history::stack::{is_detached, waits};

impl Case<'_> {
    pub(super) fn said(&self, tried: &Tried, found: &mut Vec<Finding>) {
        let fault = match &tried.said {
            Said::Reply(reply) => self.reply(tried, reply),
            // What runs detached is told once it is whole, or not at all.
            Said::Broken if self.vms_die || (tried.plan.fate == Fate::DiesMidBody && !self.is_detached()) => None,
            Said::Broken => Some((Fault::Lost, "no response")),
            Said::Nothing => Some((Fault::Hangs, "no response")),
            Said::Left => None,
        };
        let id = tried.plan.id;
        found.extend(fault.map(|(fault, what)| self.finding(fault, &format!("{id}: {what}"))));
    }

    fn reply(&self, tried: &Tried, reply: &Reply) -> Option<(Fault, &'static str)> {
        let plan = &tried.plan;
        let is_foreign = |id: TryId| (id.round, id.key) != (plan.id.round, plan.id.key);
        if reply.shows_effect {
            return Some((Fault::Unexpected, "it shows reprise-effect"));
        }
        match (reply.echo, reply.problem.as_deref()) {
            (Some(id), None) if is_foreign(id) => Some((Fault::ForeignAnswer, "the response is another key's")),
            (Some(id), None) if reply.is_answer => self.answer(plan, id, reply),
            (Some(id), None) => self.first(plan, id, reply),
            (None, Some(problem)) => self.problem(tried, reply.status, problem),
            (None, None) => self.local(plan, reply),
            (Some(_), Some(_)) => Some((Fault::Unexpected, "a problem with an echo")),
        }
    }

    fn answer(&self, plan: &Try, id: TryId, reply: &Reply) -> Option<(Fault, &'static str)> {
        if id == plan.id {
            return Some((Fault::WrongMark, "a first response is marked as an answer"));
        }
        let Some(recorded) = self.recorded().filter(|recorded| recorded.plan.id == id) else {
            // Of a key that outlived its record any run may have been recorded.
            let is_excused = self.is_outlived() && self.ran.iter().any(|ran| ran.id == id);
            return (!is_excused).then_some((Fault::WrongAnswer, "it is not what was recorded"));
        };
        if recorded.plan.variant != plan.variant {
            return Some((Fault::WrongAnswer, "the request is another one"));
        }
        let is_same = is_as_sent(&recorded.plan, reply) && self.is_as_told(recorded, reply);
        (!is_same).then_some((Fault::WrongAnswer, "it differs from the first response"))
    }

    /// Compares with what the first client got, if it stayed to the end.
    fn is_as_told(&self, first: &Tried, reply: &Reply) -> bool {
        match &first.said {
            Said::Reply(told) if told.echo == Some(first.plan.id) => {
                (told.status, &told.body, &told.location) == (reply.status, &reply.body, &reply.location)
            }
            _ => true,
        }
    }

    fn first(&self, plan: &Try, id: TryId, reply: &Reply) -> Option<(Fault, &'static str)> {
        if id != plan.id {
            return Some((Fault::WrongMark, "another try's response has no mark"));
        }
        if !self.ran.iter().any(|ran| ran.id == id) {
            return Some((Fault::Ghost, "the upstream did not run it"));
        }
        (!is_as_sent(plan, reply)).then_some((Fault::WrongAnswer, "it is not what the upstream sent"))
    }

    fn problem(&self, tried: &Tried, status: u16, problem: &str) -> Option<(Fault, &'static str)> {
        let (has_cause, what) = match (status, problem) {
            // All ends within a fraction of what a duplicate may wait, and every body can be kept meanwhile.
            (409, "in-flight") => (!waits(self.key.plan.area) || self.vms_die, "it waited in vain"),
            (409, "outcome-unknown") => (self.may_be_unknown(tried), "the outcome is known"),
            (422, "key-reused") => {
                let is_other = |other: &Tried| other.plan.variant != tried.plan.variant;
                (self.others(tried).any(is_other), "nobody used the key otherwise")
            }
            (502, "no-response") => {
                let breaks_off = tried.plan.fate == Fate::DiesMidBody;
                (breaks_off && self.is_detached(), "the response was whole")
            }
            _ => (false, "such a problem"),
        };
        (!has_cause).then_some((Fault::Unexpected, what))
    }

    /// Gives the key's other tries that were sent before this one ended.
    fn others(&self, tried: &Tried) -> impl Iterator<Item = &Tried> {
        let (id, ended) = (tried.plan.id, tried.ended);
        let tried = self.key.tried.iter();
        tried.filter(move |other| other.plan.id != id && other.sent <= ended)
    }

    /// Tells whether anything can have made the outcome unknown: no client that left, where requests run detached.
    fn may_be_unknown(&self, tried: &Tried) -> bool {
        // Whatever its client did, and whatever befell other tries: what worked there has its record.
        let is_recorded = self.is_detached() && self.recorded().is_some() && !self.is_outlived();
        let leaves = |other: &Tried| matches!(other.plan.manner, Manner::LeavesAfterUpload { .. });
        let is_cause = |other: &Tried| other.plan.fate.is_unknown() || (leaves(other) && !self.is_detached());
        self.vms_die || (!is_recorded && self.others(tried).any(is_cause))
    }

    fn is_detached(&self) -> bool {
        is_detached(self.key.plan.area)
    }

    fn local(&self, plan: &Try, reply: &Reply) -> Option<(Fault, &'static str)> {
        let is_excused = self.vms_die || plan.fate.is_local();
        let is_fitting = matches!(reply.status, 502..=504) && is_excused && !reply.is_answer;
        (!is_fitting).then_some((Fault::Unexpected, "Envoy answers for itself"))
    }
}

/// Tells whether a reply is the response that the upstream gives to this try.
fn is_as_sent(plan: &Try, reply: &Reply) -> bool {
    let (status, body) = plan.reply();
    let location = format!("/made/{}", plan.id);
    reply.status == status && reply.body == body && reply.location.as_deref() == Some(&location)
}
