//! Each fault planted once: the oracle finds it, and finds nothing where there is none.

use super::{Case, Fate, Fault, Manner, Variant, judge};
use crate::history::client::{Key, Reply, Said, Tried};
use crate::history::journal::{Ran, hash};
use crate::history::plan::{Plan, Try, TryId};
use std::time::Duration;

const WORKS: Fate = Fate::Works { status: 201, ms: 0 };

/// A history in the making: each try is sent after the one before it has ended.
struct History {
    key: Key,
    ran: Vec<Ran>,
    vms_die: bool,
    retain: Duration,
}

impl History {
    fn new() -> Self {
        let plan = Plan {
            seed: 1,
            round: 0,
            key: 4,
            area: "now",
            body_bytes: 10,
            waves: Vec::new(),
        };
        Self {
            key: Key {
                plan,
                tried: Vec::new(),
                is_settled: true,
            },
            ran: Vec::new(),
            vms_die: false,
            retain: Duration::from_secs(900),
        }
    }

    fn tried(mut self, fate: Fate, said: impl Fn(&Try) -> Said) -> Self {
        let n = self.key.tried.len();
        let plan = Try {
            fate,
            ..self.key.plan.question(n)
        };
        let (sent, said) = (n as u64 * 100, said(&plan));
        self.key.tried.push(Tried {
            plan,
            sent,
            ended: sent + 50,
            said,
        });
        self
    }

    /// The last try ran.
    fn ran(mut self) -> Self {
        let last = &self.key.tried.last().unwrap().plan;
        let plan = &self.key.plan;
        let body_hash = hash(&plan.body(last.variant));
        self.ran.push(Ran {
            id: last.id,
            n: self.ran.len() + 1,
            name: plan.name(),
            caller: plan.caller(),
            body_hash,
        });
        self
    }

    fn first(self) -> Self {
        self.tried(WORKS, |own| Said::Reply(response_to(own))).ran()
    }

    fn answer(self) -> Self {
        let first = self.key.tried[0].plan;
        self.tried(WORKS, |_| Said::Reply(answer_of(&first)))
    }

    fn said(self, status: u16, kind: &str) -> Self {
        self.tried(WORKS, |_| problem(status, kind))
    }

    fn at(mut self, area: &'static str) -> Self {
        self.key.plan.area = area;
        self
    }

    fn varied(mut self, variant: Variant) -> Self {
        self.key.tried.last_mut().unwrap().plan.variant = variant;
        self
    }

    fn left(mut self) -> Self {
        let last = self.key.tried.last_mut().unwrap();
        last.plan.manner = Manner::LeavesAfterUpload { ms: 0 };
        last.said = Said::Left;
        self
    }

    /// Changes what the last try was told.
    fn reply(mut self, change: impl Fn(&mut Reply)) -> Self {
        let Said::Reply(reply) = &mut self.key.tried.last_mut().unwrap().said else {
            panic!("the last try has no reply")
        };
        change(reply);
        self
    }

    #[track_caller]
    fn shows(&self, wanted: &[Fault]) {
        let case = Case {
            key: &self.key,
            ran: &self.ran,
            vms_die: self.vms_die,
            retain: self.retain,
        };
        let found = judge(&case);
        let faults: Vec<_> = found.iter().map(|finding| finding.fault).collect();
        assert_eq!(faults, wanted, "{found:#?}");
    }
}

fn response_to(plan: &Try) -> Reply {
    let (status, body) = plan.reply();
    let location = Some(format!("/made/{}", plan.id));
    Reply {
        status,
        is_answer: false,
        echo: Some(plan.id),
        problem: None,
        location,
        shows_effect: false,
        body,
    }
}

fn answer_of(first: &Try) -> Reply {
    Reply {
        is_answer: true,
        ..response_to(first)
    }
}

fn local(status: u16) -> Said {
    let plan = History::new().key.plan.question(0);
    Said::Reply(Reply {
        status,
        echo: None,
        location: None,
        ..response_to(&plan)
    })
}

fn problem(status: u16, kind: &str) -> Said {
    let Said::Reply(reply) = local(status) else {
        return Said::Nothing;
    };
    Said::Reply(Reply {
        problem: Some(kind.to_owned()),
        ..reply
    })
}

#[test]
fn nothing_is_wrong_with_a_first_response_and_its_answers() {
    History::new().first().answer().answer().shows(&[]);
}

#[test]
fn nothing_is_wrong_with_a_run_after_one_that_was_released() {
    let busy = History::new()
        .tried(Fate::Busy, |own| Said::Reply(response_to(own)))
        .ran();
    let refused = busy.tried(Fate::Refused, |_| local(503));
    refused
        .tried(WORKS, |own| Said::Reply(response_to(own)))
        .ran()
        .shows(&[]);
}

#[test]
fn nothing_is_wrong_with_an_unknown_outcome_of_a_reset() {
    let reset = History::new().tried(Fate::Reset, |_| local(503)).ran();
    reset
        .said(409, "outcome-unknown")
        .said(409, "outcome-unknown")
        .shows(&[]);
}

#[test]
fn nothing_is_wrong_with_a_refusal_of_another_body() {
    let first = History::new().first();
    first
        .said(422, "key-reused")
        .varied(Variant::OtherBody)
        .answer()
        .shows(&[]);
}

#[test]
fn a_second_run_is_found() {
    let first = History::new().tried(WORKS, |_| Said::Left).ran().left();
    first
        .tried(WORKS, |own| Said::Reply(response_to(own)))
        .ran()
        .shows(&[Fault::RanTwice]);
}

#[test]
fn a_second_run_after_the_records_end_is_none() {
    let mut twice = History::new().first().first();
    twice.retain = Duration::from_micros(150);
    twice.shows(&[]);
}

#[test]
fn a_run_of_an_unknown_key_is_found() {
    let unread = History::new().tried(Fate::ResetUnread, |_| local(503));
    let unknown = unread.said(409, "outcome-unknown");
    unknown.first().shows(&[Fault::RanAfterUnknown, Fault::Changed]);
}

#[test]
fn an_upload_that_arrives_changed_is_found() {
    let mut history = History::new().first();
    history.ran[0].body_hash ^= 1;
    history.shows(&[Fault::WrongUpload]);
}

#[test]
fn an_upload_that_arrives_under_another_caller_is_found() {
    let mut history = History::new().first();
    history.ran[0].caller = "Bearer mallory".to_owned();
    history.shows(&[Fault::WrongUpload]);
}

#[test]
fn an_answer_with_another_status_body_or_location_is_found() {
    let wrong = |change: fn(&mut Reply)| {
        History::new()
            .first()
            .answer()
            .reply(change)
            .shows(&[Fault::WrongAnswer])
    };
    wrong(|reply| reply.status = 200);
    wrong(|reply| reply.body.push(b'-'));
    wrong(|reply| reply.location = None);
}

#[test]
fn an_answer_to_another_body_is_found() {
    let history = History::new().first().answer().varied(Variant::OtherBody);
    history.shows(&[Fault::WrongAnswer, Fault::Changed]);
}

#[test]
fn an_answer_from_a_run_that_was_not_recorded_is_found() {
    let reset = History::new().tried(Fate::Reset, |_| local(503)).ran();
    reset.answer().shows(&[Fault::WrongAnswer]);
}

#[test]
fn another_keys_answer_is_found() {
    let foreign = |reply: &mut Reply| reply.echo = Some(TryId { round: 0, key: 5, n: 0 });
    History::new()
        .first()
        .answer()
        .reply(foreign)
        .shows(&[Fault::ForeignAnswer]);
}

#[test]
fn an_answer_without_its_mark_is_found() {
    let unmarked = |reply: &mut Reply| reply.is_answer = false;
    History::new()
        .first()
        .answer()
        .reply(unmarked)
        .shows(&[Fault::WrongMark, Fault::Changed]);
}

#[test]
fn a_first_response_with_the_mark_is_found() {
    let marked = |reply: &mut Reply| reply.is_answer = true;
    History::new().first().reply(marked).shows(&[Fault::WrongMark]);
}

#[test]
fn a_response_that_nobody_gave_is_found() {
    History::new()
        .tried(WORKS, |own| Said::Reply(response_to(own)))
        .shows(&[Fault::Ghost]);
}

#[test]
fn an_unknown_outcome_without_a_cause_is_found() {
    let busy = History::new()
        .tried(Fate::Busy, |own| Said::Reply(response_to(own)))
        .ran();
    busy.said(409, "outcome-unknown").shows(&[Fault::Unexpected]);
}

#[test]
fn a_refusal_as_reused_without_a_cause_is_found() {
    let busy = History::new()
        .tried(Fate::Busy, |own| Said::Reply(response_to(own)))
        .ran();
    busy.said(422, "key-reused").shows(&[Fault::Unexpected]);
}

#[test]
fn a_refusal_for_want_of_room_is_found() {
    History::new().said(503, "capacity").shows(&[Fault::Unexpected]);
}

#[test]
fn a_refusal_where_duplicates_wait_is_found() {
    let first = History::new().tried(WORKS, |_| Said::Left).ran().left();
    let history = first.said(409, "in-flight").said(409, "outcome-unknown");
    history.shows(&[]);
    history.at("wait").shows(&[Fault::Unexpected]);
    let first = History::new().at("detached").tried(WORKS, |_| Said::Left).ran().left();
    first.said(409, "in-flight").shows(&[Fault::Unexpected]);
}

#[test]
fn a_client_that_leaves_is_no_cause_of_an_unknown_outcome_where_requests_run_detached() {
    let left = |area| {
        let history = History::new().at(area).tried(WORKS, |_| Said::Left).ran().left();
        history.said(409, "outcome-unknown")
    };
    left("wait").shows(&[]);
    let mut detached = left("detached");
    detached.shows(&[Fault::Unexpected]);
    detached.vms_die = true;
    detached.shows(&[]);
}

#[test]
fn a_client_that_leaves_before_anything_ran_is_no_cause_of_an_unknown_outcome_either() {
    let left = History::new().at("detached").tried(WORKS, |_| Said::Left).left();
    left.said(409, "outcome-unknown").shows(&[Fault::Unexpected]);
}

#[test]
fn a_detached_run_that_worked_is_known_whatever_befell_others() {
    let reset = History::new().at("detached").tried(Fate::Reset, |_| Said::Left).left();
    reset.said(409, "outcome-unknown").shows(&[]);
    let worked = History::new().at("detached").tried(WORKS, |_| Said::Left).ran().left();
    let other = worked.tried(Fate::Reset, |_| Said::Left).left();
    other.said(409, "outcome-unknown").shows(&[Fault::Unexpected]);
}

#[test]
fn a_retry_finds_the_answer_of_a_detached_run_whose_client_left() {
    let left = || History::new().at("detached").tried(WORKS, |_| Said::Left).ran().left();
    left().answer().shows(&[]);
    left().first().shows(&[Fault::RanTwice]);
}

#[test]
fn a_detached_response_that_breaks_off_is_a_problem_and_no_lost_one() {
    let dies = |area, said: Said| {
        let history = History::new().at(area);
        history.tried(Fate::DiesMidBody, |_| said.clone()).ran()
    };
    dies("now", Said::Broken).shows(&[]);
    dies("now", problem(502, "no-response")).shows(&[Fault::Unexpected]);
    dies("detached", Said::Broken).shows(&[Fault::Lost]);
    dies("detached", problem(502, "no-response")).shows(&[]);
    let works = History::new().at("detached").said(502, "no-response");
    works.shows(&[Fault::Unexpected]);
}

#[test]
fn a_response_of_envoys_own_without_a_cause_is_found() {
    History::new().tried(WORKS, |_| local(503)).shows(&[Fault::Unexpected]);
}

#[test]
fn a_dead_vm_excuses_envoys_responses_and_lost_ones_and_unknown_outcomes() {
    let history = History::new().first().tried(WORKS, |_| local(503));
    let history = history.tried(WORKS, |_| Said::Broken).said(409, "outcome-unknown");
    History {
        vms_die: true,
        ..history
    }
    .shows(&[]);
}

#[test]
fn a_header_for_the_filter_alone_is_found() {
    let shown = |reply: &mut Reply| reply.shows_effect = true;
    History::new().first().reply(shown).shows(&[Fault::Unexpected]);
}

#[test]
fn an_answer_that_is_withdrawn_is_found() {
    History::new()
        .first()
        .answer()
        .said(409, "in-flight")
        .shows(&[Fault::Changed]);
}

#[test]
fn an_unknown_outcome_that_is_answered_is_found() {
    let left = History::new().tried(WORKS, |_| Said::Left).ran().left();
    left.said(409, "outcome-unknown").answer().shows(&[Fault::Changed]);
}

#[test]
fn a_lost_response_is_found() {
    History::new().tried(WORKS, |_| Said::Broken).shows(&[Fault::Lost]);
}

#[test]
fn a_request_that_hangs_is_found() {
    let mut hanging = History::new().tried(WORKS, |_| Said::Nothing);
    hanging.shows(&[Fault::Hangs]);
    hanging.vms_die = true;
    hanging.shows(&[Fault::Hangs]);
}

#[test]
fn a_key_without_an_end_is_found() {
    let mut history = History::new().said(409, "in-flight");
    history.key.is_settled = false;
    history.shows(&[Fault::Stuck]);
}
