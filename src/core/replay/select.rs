//! Which captures a replay sends, and why not the others.

use super::step::is_safe;
use crate::capture::ending::NOT_SENT;
use crate::config::StatusSet;
use crate::wire::{Half, State};

/// What is known of a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts<'a> {
    /// `:method`.
    pub method: &'a [u8],
    /// What became of the exchange.
    pub state: State,
    /// Why it ended like this; empty if there is nothing to say.
    pub reason: &'a str,
    /// The response's status; none if there was none.
    pub status: Option<u16>,
    /// Why it cannot be sent again; empty if it can.
    pub not_replayable: &'a str,
    /// The boot id in the response; empty if none.
    pub boot_id: &'a str,
    /// When it began, in milliseconds since 1970.
    pub began_unix_ms: u64,
    /// What is there of the request's body.
    pub body: Body,
}

/// What is there of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// All of it; single values may be tokens.
    Whole,
    /// Its first bytes.
    Truncated,
    /// Nothing: it was left out, because a secret could be in it.
    Redacted,
    /// What came before the client went away.
    Broken,
}

impl Body {
    /// Looks at a request.
    #[must_use]
    pub fn of(request: &Half) -> Self {
        if request.redacted == "whole" {
            Self::Redacted
        } else if request.truncated {
            Self::Truncated
        } else if request.ended {
            Self::Whole
        } else {
            Self::Broken
        }
    }
}

/// Which captures are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Only requests that may change something.
    pub mutations_only: bool,
    /// Only exchanges that were seen to their ends.
    pub completed_only: bool,
    /// Only these statuses; none = any, or no response at all.
    pub statuses: Option<StatusSet>,
    /// Truncated bodies as well.
    pub force: bool,
}

impl Rules {
    /// What a replay sends: all that can be sent.
    pub const REPLAY: Self = Self {
        mutations_only: false,
        completed_only: false,
        statuses: None,
        force: false,
    };

    /// What a restore sends: what changed something, and is known to have.
    #[must_use]
    pub fn restore() -> Self {
        Self {
            mutations_only: true,
            completed_only: true,
            statuses: Some((200..=299).fold(StatusSet::NONE, StatusSet::with)),
            force: false,
        }
    }
}

/// The boot of the target that is to be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boot<'a> {
    /// Its id.
    pub id: &'a str,
    /// When it was heard of first, in milliseconds since 1970: tells about captures without a boot id. None = unknown.
    pub seen_unix_ms: Option<u64>,
    /// When a restore had brought everything back, in milliseconds since 1970; none if none did.
    pub whole_unix_ms: Option<u64>,
}

/// What a replay does with a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// It is sent.
    Send,
    /// It is not, because the target has it: the ledger of target and boot says so, or a client did it after the restore.
    Known,
    /// It is not, because a client did it on the new boot already. It is listed, and never sent after what it followed.
    Early,
    /// It is not, because of what it is.
    LeftOut(LeftOut),
    /// It is not, although it changed something: not all of it is known, and a restore lacks it.
    Missing(LeftOut),
}

/// Why a capture is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LeftOut {
    /// It changed nothing.
    Safe,
    /// It cannot be sent again: an upgrade.
    NotReplayable,
    /// Its body was left out for a secret's sake.
    Redacted,
    /// Only the first bytes of its body are there.
    Truncated,
    /// Its client went away before its end.
    Broken,
    /// It was not seen to its end.
    Incomplete,
    /// It was refused, or could not be sent on.
    NotSent,
    /// Its status is not among those that are meant.
    Status,
}

/// Decides on one capture. `is_known` tells what the ledger of target and boot says; `boot` is none unless it is a
/// restore of a target whose boot is known.
#[must_use]
pub fn choose(facts: &Facts<'_>, rules: &Rules, boot: Option<&Boot<'_>>, is_known: bool) -> Choice {
    match left_out(facts, rules) {
        Some(why) if !is_lacked(why, facts, rules) => Choice::LeftOut(why),
        _ if is_known => Choice::Known,
        _ if boot.is_some_and(|boot| is_after_restore(facts, boot)) => Choice::Known,
        _ if boot.is_some_and(|boot| is_there(facts, boot)) => Choice::Early,
        Some(why) => Choice::Missing(why),
        None => Choice::Send,
    }
}

/// Tells whether a restore lacks what is left out: it took place, and not all of it is known.
fn is_lacked(why: LeftOut, facts: &Facts<'_>, rules: &Rules) -> bool {
    let is_restore = rules.mutations_only;
    let took_place = facts.state == State::Completed && matches!(facts.status, Some(200..=299));
    let is_meant = rules
        .statuses
        .is_none_or(|set| facts.status.is_some_and(|status| set.has(status)));
    is_restore && took_place && is_meant && matches!(why, LeftOut::Redacted | LeftOut::Truncated)
}

fn left_out(facts: &Facts<'_>, rules: &Rules) -> Option<LeftOut> {
    let status_fits = |set: StatusSet| facts.status.is_some_and(|status| set.has(status));
    let is_incomplete = rules.completed_only && facts.state != State::Completed;
    match facts.body {
        _ if rules.mutations_only && is_safe(facts.method) => Some(LeftOut::Safe),
        _ if !facts.not_replayable.is_empty() => Some(LeftOut::NotReplayable),
        // It was written ahead, and may never have been forwarded.
        _ if facts.state == State::Begun => Some(LeftOut::Incomplete),
        _ if is_incomplete && is_not_sent(facts) => Some(LeftOut::NotSent),
        Body::Redacted => Some(LeftOut::Redacted),
        Body::Broken => Some(LeftOut::Broken),
        Body::Truncated if !rules.force => Some(LeftOut::Truncated),
        Body::Truncated | Body::Whole if is_incomplete => Some(LeftOut::Incomplete),
        Body::Truncated | Body::Whole if !rules.statuses.is_none_or(status_fits) => Some(LeftOut::Status),
        Body::Truncated | Body::Whole => None,
    }
}

/// Tells whether nothing of it reached the application.
fn is_not_sent(facts: &Facts<'_>) -> bool {
    facts.state == State::Aborted && facts.reason == NOT_SENT
}

/// Tells whether the exchange ran on that boot already.
fn is_there(facts: &Facts<'_>, boot: &Boot<'_>) -> bool {
    if facts.boot_id.is_empty() {
        boot.seen_unix_ms.is_some_and(|seen| seen <= facts.began_unix_ms)
    } else {
        facts.boot_id == boot.id
    }
}

/// Tells whether it ran there when a restore had brought everything back.
fn is_after_restore(facts: &Facts<'_>, boot: &Boot<'_>) -> bool {
    is_there(facts, boot) && boot.whole_unix_ms.is_some_and(|whole| whole <= facts.began_unix_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const CREATED: Facts<'static> = Facts {
        method: b"POST",
        state: State::Completed,
        reason: "",
        status: Some(201),
        not_replayable: "",
        boot_id: "old",
        began_unix_ms: 1_000,
        body: Body::Whole,
    };
    const NEW_BOOT: Boot<'static> = Boot {
        id: "new",
        seen_unix_ms: Some(2_000),
        whole_unix_ms: None,
    };

    #[track_caller]
    fn restores(facts: Facts<'_>, want: Choice) {
        assert_eq!(choose(&facts, &Rules::restore(), Some(&NEW_BOOT), false), want);
    }

    #[track_caller]
    fn replays(facts: Facts<'_>, want: Choice) {
        assert_eq!(choose(&facts, &Rules::REPLAY, None, false), want);
    }

    #[test]
    fn a_restore_sends_what_is_known_to_have_changed_something() {
        for method in [&b"POST"[..], b"PUT", b"PATCH", b"DELETE", b"PURGE"] {
            restores(Facts { method, ..CREATED }, Choice::Send);
        }
        restores(
            Facts {
                method: b"GET",
                ..CREATED
            },
            Choice::LeftOut(LeftOut::Safe),
        );
        for status in [Some(199), Some(300), Some(404), Some(500), None] {
            restores(Facts { status, ..CREATED }, Choice::LeftOut(LeftOut::Status));
        }
        for status in [200, 204, 299] {
            restores(
                Facts {
                    status: Some(status),
                    ..CREATED
                },
                Choice::Send,
            );
        }
    }

    /// What broke off is not restored unless somebody asks for it.
    #[test]
    fn a_restore_leaves_out_what_nobody_saw_end() {
        for state in [
            State::Unspecified,
            State::Begun,
            State::Forwarded,
            State::Aborted,
            State::Unknown,
        ] {
            restores(Facts { state, ..CREATED }, Choice::LeftOut(LeftOut::Incomplete));
            let want = if state == State::Begun {
                Choice::LeftOut(LeftOut::Incomplete)
            } else {
                Choice::Send
            };
            replays(
                Facts {
                    state,
                    status: None,
                    ..CREATED
                },
                want,
            );
        }
    }

    #[test]
    fn what_never_reached_the_application_is_not_restored_and_says_so() {
        let refused = Facts {
            state: State::Aborted,
            reason: NOT_SENT,
            status: Some(503),
            ..CREATED
        };
        for body in [Body::Whole, Body::Broken, Body::Redacted, Body::Truncated] {
            restores(Facts { body, ..refused }, Choice::LeftOut(LeftOut::NotSent));
        }
        replays(refused, Choice::Send);
        let reason = "client_reset";
        restores(Facts { reason, ..refused }, Choice::LeftOut(LeftOut::Incomplete));
    }

    #[test]
    fn a_request_that_is_not_whole_is_not_sent() {
        for (body, why) in [
            (Body::Truncated, LeftOut::Truncated),
            (Body::Redacted, LeftOut::Redacted),
            (Body::Broken, LeftOut::Broken),
        ] {
            let restored = if body == Body::Broken {
                Choice::LeftOut(why)
            } else {
                Choice::Missing(why)
            };
            restores(Facts { body, ..CREATED }, restored);
            replays(Facts { body, ..CREATED }, Choice::LeftOut(why));
            let forced = choose(
                &Facts { body, ..CREATED },
                &Rules {
                    force: true,
                    ..Rules::REPLAY
                },
                None,
                false,
            );
            let want = if body == Body::Truncated {
                Choice::Send
            } else {
                Choice::LeftOut(why)
            };
            assert_eq!(forced, want);
        }
        let upgrade = Facts {
            not_replayable: "upgrade",
            ..CREATED
        };
        replays(upgrade, Choice::LeftOut(LeftOut::NotReplayable));
    }

    #[test]
    fn a_restore_lacks_only_what_took_place_and_is_not_there() {
        let hidden = Facts {
            body: Body::Redacted,
            ..CREATED
        };
        let left_out = Choice::LeftOut(LeftOut::Redacted);
        for status in [Some(409), Some(302), None] {
            restores(Facts { status, ..hidden }, left_out);
        }
        let state = State::Aborted;
        restores(Facts { state, ..hidden }, left_out);
        let boot_id = "new";
        restores(Facts { boot_id, ..hidden }, Choice::Early);
        assert_eq!(choose(&hidden, &Rules::restore(), Some(&NEW_BOOT), true), Choice::Known);
    }

    #[test]
    fn what_ran_on_the_new_boot_is_early() {
        restores(
            Facts {
                boot_id: "new",
                ..CREATED
            },
            Choice::Early,
        );
        let silent = |began_unix_ms| Facts {
            boot_id: "",
            began_unix_ms,
            ..CREATED
        };
        restores(silent(1_999), Choice::Send);
        restores(silent(2_000), Choice::Early);
        restores(
            Facts {
                began_unix_ms: 2_000,
                ..CREATED
            },
            Choice::Send,
        );
        let unseen = Boot {
            seen_unix_ms: None,
            ..NEW_BOOT
        };
        assert_eq!(
            choose(&silent(2_000), &Rules::restore(), Some(&unseen), false),
            Choice::Send
        );
    }

    #[test]
    fn what_ran_on_the_new_boot_after_its_restore_is_there_and_not_early() {
        let whole = Boot {
            whole_unix_ms: Some(3_000),
            ..NEW_BOOT
        };
        let check = |facts: Facts<'_>, want| assert_eq!(choose(&facts, &Rules::restore(), Some(&whole), false), want);
        for boot_id in ["new", ""] {
            let at = |began_unix_ms| Facts {
                boot_id,
                began_unix_ms,
                ..CREATED
            };
            check(at(2_999), Choice::Early);
            check(at(3_000), Choice::Known);
        }
        let began_unix_ms = 3_000;
        check(
            Facts {
                began_unix_ms,
                ..CREATED
            },
            Choice::Send,
        );
    }

    #[test]
    fn what_the_ledger_has_is_not_sent() {
        assert_eq!(
            choose(&CREATED, &Rules::restore(), Some(&NEW_BOOT), true),
            Choice::Known
        );
        let safe = Facts {
            method: b"GET",
            ..CREATED
        };
        assert_eq!(
            choose(&safe, &Rules::restore(), Some(&NEW_BOOT), true),
            Choice::LeftOut(LeftOut::Safe)
        );
    }

    #[test]
    fn a_body_is_whole_if_the_request_was_seen_to_its_end() {
        let whole = Half {
            ended: true,
            ..Half::default()
        };
        assert_eq!(Body::of(&whole), Body::Whole);
        assert_eq!(
            Body::of(&Half {
                redacted: "parts".into(),
                ..whole.clone()
            }),
            Body::Whole
        );
        assert_eq!(
            Body::of(&Half {
                redacted: "whole".into(),
                ..whole.clone()
            }),
            Body::Redacted
        );
        assert_eq!(
            Body::of(&Half {
                truncated: true,
                ..whole
            }),
            Body::Truncated
        );
        assert_eq!(Body::of(&Half::default()), Body::Broken);
    }
}
