//! One request of a replay, from plan to answer: what may follow what, so that nothing is sent twice unawares.

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// It is to be sent. The number counts the attempts of which nothing reached the target.
    Planned(u32),
    /// It was written down that it is sent; the number of the attempt, from 1.
    Sent(u32),
    /// It was in doubt, and it was written down that it is sent again.
    Resent(u32),
    /// Its response is here.
    Answered(u32),
    /// It was sent, and nobody knows whether the target acted on it.
    InDoubt(u32),
    /// It is not sent, or not again.
    Skipped(u32),
    /// It is not sent, though it was meant to be: what it did is missing.
    Missing(u32),
}

/// What happens to a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// It is its turn.
    Send,
    /// Nothing of it left: the connection could not be made.
    Unsent,
    /// Its response came.
    Answer,
    /// Something of it may have left, and no response came.
    Lose,
    /// The replay is taken up again after its engine went away.
    Resume,
    /// Somebody or something decided to send it although it is in doubt.
    Resend,
    /// Somebody or something decided not to send it.
    Skip,
    /// It turned out that another replay may have sent it.
    Doubt,
    /// It cannot be sent.
    Lack,
}

/// What the engine has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Write the step down, then send it.
    Send,
    /// Write the step down.
    Store,
    /// Nothing: the event came too late, or twice.
    Ignore,
}

impl Step {
    /// A step that was never sent.
    pub const NEW: Self = Self::Planned(0);

    /// Takes the step on.
    ///
    /// An answered step is never sent again, and one that was sent is sent again only by a decision.
    #[must_use]
    pub const fn step(self, event: Event) -> (Self, Effect) {
        match (self, event) {
            (Self::Planned(tried), Event::Send) => (Self::Sent(tried.saturating_add(1)), Effect::Send),
            (Self::InDoubt(tried), Event::Resend) => (Self::Resent(tried.saturating_add(1)), Effect::Send),
            (Self::Sent(attempt), Event::Unsent) => (Self::Planned(attempt), Effect::Store),
            (Self::Sent(attempt) | Self::Resent(attempt), Event::Lose | Event::Resume)
            // The attempt before it may have had its effect all the same.
            | (Self::Resent(attempt), Event::Unsent)
            | (Self::Planned(attempt), Event::Doubt) => (Self::InDoubt(attempt), Effect::Store),
            (Self::Sent(attempt) | Self::Resent(attempt) | Self::InDoubt(attempt), Event::Answer) => {
                (Self::Answered(attempt), Effect::Store)
            }
            (Self::Planned(attempt) | Self::InDoubt(attempt), Event::Skip) => (Self::Skipped(attempt), Effect::Store),
            (Self::Planned(attempt), Event::Lack) => (Self::Missing(attempt), Effect::Store),
            (Self::Planned(_), Event::Unsent | Event::Answer | Event::Lose | Event::Resume | Event::Resend)
            | (
                Self::Sent(_) | Self::Resent(_),
                Event::Send | Event::Resend | Event::Skip | Event::Doubt | Event::Lack,
            )
            | (
                Self::InDoubt(_),
                Event::Send | Event::Unsent | Event::Lose | Event::Resume | Event::Doubt | Event::Lack,
            )
            | (Self::Answered(_) | Self::Skipped(_) | Self::Missing(_), _) => (self, Effect::Ignore),
        }
    }

    /// Tells whether nothing can follow.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Answered(_) | Self::Skipped(_) | Self::Missing(_))
    }

    /// Tells the number of the attempt; 0 before the first.
    #[must_use]
    pub const fn attempt(self) -> u32 {
        match self {
            Self::Planned(attempt)
            | Self::Sent(attempt)
            | Self::Resent(attempt)
            | Self::Answered(attempt)
            | Self::InDoubt(attempt)
            | Self::Skipped(attempt)
            | Self::Missing(attempt) => attempt,
        }
    }
}

/// What people asked for about steps in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnDoubt {
    /// They are not sent again.
    Skip,
    /// They are sent again: an effect may come twice.
    Resend,
    /// Somebody is asked.
    Ask,
}

/// What is known of a request in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Doubt {
    /// Whether its method has one effect however often it is sent, see [`is_idempotent`].
    pub is_idempotent: bool,
    /// Whether it carries an idempotency key.
    pub has_key: bool,
    /// Whether the target runs two requests with one key once.
    pub honours_keys: bool,
}

/// What becomes of a step in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Settlement {
    /// It is sent again.
    Resend,
    /// It is not.
    Skip,
    /// Somebody is asked.
    Ask,
    /// It stays in doubt, and the replay stops, to be resumed when somebody knows.
    Stop,
}

/// Decides on a step in doubt; without a word from people only what cannot have a second effect is sent again.
#[must_use]
pub const fn settle(asked: Option<OnDoubt>, doubt: Doubt) -> Settlement {
    match asked {
        Some(OnDoubt::Skip) => Settlement::Skip,
        Some(OnDoubt::Resend) => Settlement::Resend,
        Some(OnDoubt::Ask) => Settlement::Ask,
        None if doubt.is_idempotent || (doubt.has_key && doubt.honours_keys) => Settlement::Resend,
        None => Settlement::Stop,
    }
}

/// Tells whether requests of `method` have one effect however often they are sent.
///
/// Source: RFC 9110 §9.2.2.
#[must_use]
pub fn is_idempotent(method: &[u8]) -> bool {
    is_safe(method) || matches!(method, b"PUT" | b"DELETE")
}

/// Tells whether requests of `method` change nothing; all others are mutations.
///
/// Source: RFC 9110 §9.2.1.
#[must_use]
pub fn is_safe(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE")
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const EVENTS: [Event; 9] = [
        Event::Send,
        Event::Unsent,
        Event::Answer,
        Event::Lose,
        Event::Resume,
        Event::Resend,
        Event::Skip,
        Event::Doubt,
        Event::Lack,
    ];

    /// Checks a state's whole row: what is not told is ignored.
    #[track_caller]
    fn check(step: Step, want: &[(Event, Step, Effect)]) {
        for event in EVENTS {
            let told = want.iter().find(|(each, ..)| *each == event);
            let want = told.map_or((step, Effect::Ignore), |(_, next, effect)| (*next, *effect));
            assert_eq!(step.step(event), want, "{step:?} {event:?}");
        }
    }

    #[test]
    fn a_planned_step_is_sent_or_skipped() {
        let want = [
            (Event::Send, Step::Sent(3), Effect::Send),
            (Event::Skip, Step::Skipped(2), Effect::Store),
            (Event::Doubt, Step::InDoubt(2), Effect::Store),
            (Event::Lack, Step::Missing(2), Effect::Store),
        ];
        check(Step::Planned(2), &want);
    }

    #[test]
    fn a_sent_step_is_answered_or_in_doubt_unless_nothing_left() {
        let want = [
            (Event::Answer, Step::Answered(1), Effect::Store),
            (Event::Unsent, Step::Planned(1), Effect::Store),
            (Event::Lose, Step::InDoubt(1), Effect::Store),
            (Event::Resume, Step::InDoubt(1), Effect::Store),
        ];
        check(Step::Sent(1), &want);
    }

    #[test]
    fn a_step_that_is_sent_again_is_answered_or_in_doubt_again() {
        let want = [
            (Event::Answer, Step::Answered(2), Effect::Store),
            (Event::Unsent, Step::InDoubt(2), Effect::Store),
            (Event::Lose, Step::InDoubt(2), Effect::Store),
            (Event::Resume, Step::InDoubt(2), Effect::Store),
        ];
        check(Step::Resent(2), &want);
    }

    #[test]
    fn a_step_in_doubt_waits_for_a_decision_or_a_late_answer() {
        let want = [
            (Event::Resend, Step::Resent(2), Effect::Send),
            (Event::Skip, Step::Skipped(1), Effect::Store),
            (Event::Answer, Step::Answered(1), Effect::Store),
        ];
        check(Step::InDoubt(1), &want);
    }

    #[test]
    fn nothing_follows_on_an_answer_or_a_skip() {
        for step in [Step::Answered(1), Step::Skipped(0), Step::Missing(1)] {
            check(step, &[]);
            assert!(step.is_over());
        }
        assert!(!Step::NEW.is_over() && !Step::Sent(1).is_over() && !Step::InDoubt(1).is_over());
        assert_eq!((Step::NEW.attempt(), Step::InDoubt(2).attempt()), (0, 2));
    }

    #[track_caller]
    fn settles(asked: Option<OnDoubt>, [is_idempotent, has_key, honours_keys]: [bool; 3], want: Settlement) {
        let doubt = Doubt {
            is_idempotent,
            has_key,
            honours_keys,
        };
        assert_eq!(settle(asked, doubt), want, "{doubt:?}");
    }

    #[test]
    fn only_what_cannot_have_a_second_effect_is_sent_again_unasked() {
        settles(None, [true, false, false], Settlement::Resend);
        settles(None, [false, true, true], Settlement::Resend);
        for doubt in [[false, false, false], [false, true, false], [false, false, true]] {
            settles(None, doubt, Settlement::Stop);
        }
    }

    #[test]
    fn what_people_asked_for_counts() {
        for doubt in [[true, true, true], [false, false, false]] {
            settles(Some(OnDoubt::Skip), doubt, Settlement::Skip);
            settles(Some(OnDoubt::Resend), doubt, Settlement::Resend);
            settles(Some(OnDoubt::Ask), doubt, Settlement::Ask);
        }
    }

    #[test]
    fn methods_are_safe_idempotent_or_neither() {
        assert!(is_safe(b"GET") && is_idempotent(b"HEAD"));
        assert!(is_idempotent(b"DELETE") && !is_safe(b"PUT"));
        for method in [&b"POST"[..], b"PATCH", b"get", b""] {
            assert!(!is_idempotent(method) && !is_safe(method));
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    mod properties {
        use super::*;
        use proptest::prelude::*;

        proptest! {
            /// Sends only follow a plan or a decision, and none follows an answer; a doubt ends by a decision or an answer.
            #[test]
            fn no_step_is_sent_twice_unawares(events in prop::collection::vec(prop::sample::select(&EVENTS[..]), 0..40)) {
                let (mut step, mut may_have_run) = (Step::NEW, false);
                for event in events {
                    let (next, effect) = step.step(event);
                    prop_assert!(!(step.is_over() && (effect != Effect::Ignore || next != step)));
                    prop_assert_eq!(next.attempt() > step.attempt(), effect == Effect::Send);
                    prop_assert!(effect != Effect::Send || !may_have_run || event == Event::Resend);
                    let is_lost = matches!(event, Event::Lose | Event::Resume | Event::Doubt);
                    may_have_run |= is_lost && effect == Effect::Store;
                    let is_forgotten = matches!(next, Step::Planned(_) | Step::Sent(_) | Step::Missing(_));
                    prop_assert!(!(may_have_run && is_forgotten), "{:?} {:?} {:?}", step, event, next);
                    step = next;
                }
            }
        }
    }
}
