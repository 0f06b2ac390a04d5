//! What was told once holds for all who ask later.

use super::{Case, Fate, Fault, Finding, Manner, Reply, Said, Tried};

/// What a key's client knows of its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Recorded,
    Unknown,
}

impl Case<'_> {
    /// Compares what each try was told with what was known before it was sent.
    pub(super) fn changes(&self, found: &mut Vec<Finding>) {
        for later in &self.key.tried {
            let earlier = self.key.tried.iter().filter(|earlier| earlier.ended < later.sent);
            let known: Vec<_> = earlier.filter_map(|earlier| self.known(earlier)).collect();
            if known.contains(&Known::Unknown) {
                self.stays_unknown(later, found);
            }
            if known.contains(&Known::Recorded) {
                self.stays_recorded(later, found);
            }
        }
    }

    fn known(&self, tried: &Tried) -> Option<Known> {
        let Said::Reply(reply) = &tried.said else { return None };
        if reply.is("outcome-unknown") {
            return Some(Known::Unknown);
        }
        // A VM that dies with a response on its way has told its client more than it has written down.
        let is_first = reply.echo.is_some() && matches!(tried.plan.fate, Fate::Works { .. }) && !self.vms_die;
        (reply.is_answer || is_first).then_some(Known::Recorded)
    }

    fn stays_unknown(&self, later: &Tried, found: &mut Vec<Finding>) {
        let id = later.plan.id;
        if self.ran.iter().any(|ran| ran.id == id) {
            found.push(self.finding(Fault::RanAfterUnknown, &format!("{id} ran")));
        }
        let fits = |reply: &Reply| reply.is("outcome-unknown") || reply.is("key-reused");
        self.fits(later, fits, "it was unknown before", found);
    }

    fn stays_recorded(&self, later: &Tried, found: &mut Vec<Finding>) {
        let is_same = self
            .recorded()
            .is_some_and(|recorded| recorded.plan.variant == later.plan.variant);
        let fits = |reply: &Reply| {
            if is_same {
                reply.is_answer
            } else {
                reply.is("key-reused")
            }
        };
        self.fits(later, fits, "it was answered before", found);
    }

    fn fits(&self, later: &Tried, fits: impl Fn(&Reply) -> bool, what: &str, found: &mut Vec<Finding>) {
        let is_fitting = match &later.said {
            // Replies that never come, or break off, are found elsewhere.
            Said::Broken | Said::Nothing | Said::Left => true,
            Said::Reply(reply) => fits(reply) || (self.vms_die && reply.is_local()),
        };
        if !is_fitting && later.plan.manner == Manner::Stays {
            found.push(self.finding(Fault::Changed, &format!("{}: {what}", later.plan.id)));
        }
    }
}
