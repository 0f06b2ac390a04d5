//! The oracle: what may have happened to one key, and what may not.
//!
//! It knows the plan, what every client was told and when, and what the upstream ran. It knows nothing of the filter.

mod order;
mod replies;
#[cfg(test)]
mod tests;

use super::client::{Key, Reply, Said, Tried};
use super::journal::{Ran, hash};
use super::plan::{Fate, Manner, Try, Variant};
use std::fmt;
use std::time::Duration;

/// What was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A key ran again, and no earlier run had given it free.
    RanTwice,
    /// A key ran that was told to be unknown.
    RanAfterUnknown,
    /// The upstream did not get what the client sent.
    WrongUpload,
    /// An answer differs from the recorded response.
    WrongAnswer,
    /// Somebody got another key's response.
    ForeignAnswer,
    /// A recorded response came without its mark, or a first one with it.
    WrongMark,
    /// A response that the upstream never gave.
    Ghost,
    /// A problem or status that nothing calls for.
    Unexpected,
    /// What a key's clients were told changed.
    Changed,
    /// The connection ended without a response, and nothing calls for it.
    Lost,
    /// A request got no response.
    Hangs,
    /// A key is in flight for ever.
    Stuck,
}

impl Fault {
    /// Gives the name that reports use.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::RanTwice => "ran twice",
            Self::RanAfterUnknown => "ran after unknown",
            Self::WrongUpload => "wrong upload",
            Self::WrongAnswer => "wrong answer",
            Self::ForeignAnswer => "foreign answer",
            Self::WrongMark => "wrong mark",
            Self::Ghost => "ghost",
            Self::Unexpected => "unexpected",
            Self::Changed => "changed",
            Self::Lost => "lost",
            Self::Hangs => "hangs",
            Self::Stuck => "stuck",
        }
    }
}

/// A fault, where it is, and all that is known of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) fault: Fault,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}: {}", self.fault.name(), self.what)
    }
}

/// One key's history.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) key: &'a Key,
    /// What ran of it, in order.
    pub(super) ran: &'a [Ran],
    /// Whether VMs were killed meanwhile: a dead one answers 503 or nothing, and what it ran becomes unknown.
    pub(super) vms_die: bool,
    /// How long records live.
    pub(super) retain: Duration,
}

/// Finds all that is wrong with a key.
pub(super) fn judge(case: &Case<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    case.uploads(&mut found);
    for tried in &case.key.tried {
        case.said(tried, &mut found);
    }
    // A record that may be over is allowed to be absent.
    if !case.is_outlived() {
        case.runs(&mut found);
        case.changes(&mut found);
    }
    if !case.key.is_settled {
        found.push(case.finding(Fault::Stuck, "it has no end"));
    }
    found
}

impl Case<'_> {
    /// Tells whether the key was asked for when its record may have been over.
    pub(super) fn is_outlived(&self) -> bool {
        let first = self.key.tried.iter().map(|tried| tried.sent).min();
        let last = self.key.tried.iter().map(|tried| tried.ended).max();
        let lasted = last.zip(first).map_or(0, |(last, first)| last.saturating_sub(first));
        self.retain <= Duration::from_micros(lasted)
    }

    fn uploads(&self, found: &mut Vec<Finding>) {
        let plan = &self.key.plan;
        for ran in self.ran {
            let sent = self.tried(ran).map(|tried| hash(&plan.body(tried.plan.variant)));
            let is_whole = sent == Some(ran.body_hash) && ran.name == plan.name() && ran.caller == plan.caller();
            if !is_whole {
                found.push(self.finding(Fault::WrongUpload, &format!("{} arrived as {ran:?}", ran.id)));
            }
        }
    }

    /// All runs but the last have to have given the key free.
    fn runs(&self, found: &mut Vec<Finding>) {
        for pair in self.ran.windows(2) {
            let [earlier, later] = pair else { continue };
            if !self.tried(earlier).is_some_and(|tried| tried.plan.fate.releases()) {
                found.push(self.finding(Fault::RanTwice, &format!("{} and then {}", earlier.id, later.id)));
            }
        }
    }

    fn tried(&self, ran: &Ran) -> Option<&Tried> {
        self.key.tried.iter().find(|tried| tried.plan.id == ran.id)
    }

    /// Gives the try whose response is recorded, if any can be.
    fn recorded(&self) -> Option<&Tried> {
        let last = self.tried(self.ran.last()?)?;
        matches!(last.plan.fate, Fate::Works { .. }).then_some(last)
    }

    fn finding(&self, fault: Fault, what: &str) -> Finding {
        let Key { plan, tried, .. } = self.key;
        let ran: Vec<_> = self.ran.iter().map(|ran| ran.id.to_string()).collect();
        let told: Vec<_> = tried.iter().map(told).collect();
        let what = format!(
            "{what}; seed {} {} of {} at /{}, ran: {}; {}",
            plan.seed,
            plan.name(),
            plan.caller(),
            plan.area,
            ran.join(" "),
            told.join("; ")
        );
        Finding { fault, what }
    }
}

/// Tells a try in one line.
fn told(tried: &Tried) -> String {
    let Tried {
        plan: Try {
            id,
            variant,
            manner,
            fate,
            ..
        },
        sent,
        ended,
        said,
    } = tried;
    let variant = if *variant == Variant::Same {
        String::new()
    } else {
        format!(" {variant:?}")
    };
    let manner = if *manner == Manner::Stays {
        String::new()
    } else {
        format!(" {manner:?}")
    };
    let said = match said {
        Said::Reply(Reply {
            status,
            is_answer,
            echo,
            problem,
            ..
        }) => {
            let kind = if *is_answer { "answer" } else { "reply" };
            let problem = problem.as_deref().unwrap_or_default();
            format!(
                "{kind} {status} {problem}{}",
                echo.map(|id| id.to_string()).unwrap_or_default()
            )
        }
        other => format!("{other:?}"),
    };
    format!("{id}{variant}{manner} {fate:?} {sent}..{ended}: {said}")
}
