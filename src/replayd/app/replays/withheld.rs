//! What a replay would not send because a redacted value of it is not known: judged for the plan as for the step.

use super::meant::Meant;
use crate::store::captures::Capture;
use reprise_core::capture::redact::all_tokens;
use reprise_core::replay::hidden::{Hidden, hidden};
use reprise_core::replay::request::Outgoing;
use reprise_core::replay::variables::Variables;
use std::collections::HashMap;

/// Counted under this: nobody knows the value.
const LOST: &str = "redacted and not sealed; --force sends the tokens";
/// Counted under this: the target may not see the value.
const SEALED: &str = "sealed, and that goes only to a target with `allowed = true` in [targets.NAME]";

/// Says under which reason it is counted.
pub(crate) const fn kind(why: &Hidden) -> &'static str {
    match why {
        Hidden::Sealed => SEALED,
        Hidden::Lost(_) => LOST,
    }
}

/// Says what is not known of one capture.
pub(crate) fn told(why: &Hidden) -> String {
    match why {
        Hidden::Sealed => SEALED.to_owned(),
        Hidden::Lost(Some(place)) => format!("{place} was {LOST}"),
        Hidden::Lost(None) => format!("a part of it was {LOST}"),
    }
}

/// Tells why a capture would not be sent, before anything is learned; none if it would.
pub(super) fn withheld(capture: &Capture, meant: &Meant) -> Option<Hidden> {
    let mut out = Outgoing::read(&capture.request)?;
    Variables::new(meant.map.clone(), false).apply(&mut out);
    hidden(&out, &capture.sealed, meant.is_trusted).filter(|_| !meant.rules.force)
}

/// What the responses of captures told: a later request may use it as it is then.
#[derive(Debug, Default)]
pub(super) struct Told {
    first: HashMap<Vec<u8>, i64>,
}

impl Told {
    /// Reads the response of a capture that is sent.
    pub(super) fn hear(&mut self, capture: &Capture) {
        let Some(response) = &capture.response else { return };
        for token in all_tokens(&response.pairs).chain(all_tokens(&response.body)) {
            let first = self.first.entry(token.to_vec()).or_insert(capture.row.id.0);
            *first = capture.row.id.0.min(*first);
        }
    }

    /// Tells whether all of `tokens` were told before the capture `id`.
    pub(super) fn has(&self, id: i64, tokens: &[Vec<u8>]) -> bool {
        let is_told = |token: &Vec<u8>| self.first.get(token).is_some_and(|told| *told < id);
        tokens.iter().all(is_told)
    }
}

/// Finds the tokens of a request that something would have to be known for.
pub(super) fn tokens(capture: &Capture, is_trusted: bool) -> Vec<Vec<u8>> {
    let Some(out) = Outgoing::read(&capture.request) else {
        return Vec::new();
    };
    let is_known = |token: &&[u8]| is_trusted && capture.sealed.iter().any(|sealed| sealed.token == **token);
    let all = all_tokens(&out.target).chain(all_tokens(&out.body));
    all.filter(|token| !is_known(token)).map(<[u8]>::to_vec).collect()
}
