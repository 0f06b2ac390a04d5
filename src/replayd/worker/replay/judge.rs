//! Whether a response is as it was, and what it teaches about values that are others in this replay.

use super::send::Sender;
use crate::app::seal::SealError;
use crate::connector::Answered;
use crate::store::captures::Capture;
use reprise_core::http::Pairs;
use reprise_core::http::write_pairs;
use reprise_core::replay::compare::{Difference, Place, Response, Rules, compare, noise};
use reprise_core::replay::variables::{Exchange, Learned};

/// What stands between a place and what differs there.
const IS: &str = " = ";
/// What follows a place whose values nobody may see.
const DIFFERS: &str = " differs";
/// What follows a place that was not there.
const IS_NEW: &str = " is new";
/// What follows a place that is not there any more.
const IS_GONE: &str = " is gone";
/// Differences that are kept of one step with what they were; of the others the place is, for `noise_from`.
const LINES_MAX: usize = 20;

impl Sender {
    /// Tells what differs, and what was learned, as it is kept; nothing differs where nothing was recorded.
    pub(super) fn judge(&self, capture: &Capture, answered: &Answered, noise: &[Place]) -> (Vec<String>, Vec<u8>) {
        let pairs = pairs(answered);
        let is = response(answered, &pairs);
        let mut lines = Vec::new();
        let mut binding = Vec::new();
        if let Some(was) = capture.response.as_ref().and_then(Response::of) {
            let makes_up = self.may_make_up(capture);
            let mut variables = self.maps.then(|| self.variables());
            if let Some(variables) = variables.as_mut().filter(|_| was.status == is.status) {
                binding = self.keep(&variables.learn(&Exchange {
                    method: capture.row.method.as_bytes(),
                    target: capture.row.target.as_bytes(),
                    was,
                    is,
                }));
            }
            let known = self.noise.get(&capture.row.id).into_iter().flatten();
            let noise: Vec<_> = known.chain(noise).cloned().collect();
            let rules = Rules {
                status_only: self.compare.status_only,
                any_of_class: makes_up,
                or_gone: makes_up && capture.row.method == "DELETE",
                headers: &self.compare.headers,
                ignore: &self.compare.ignore,
                noise: &noise,
                variables: variables.as_deref(),
                target: capture.row.target.as_bytes(),
            };
            lines = self::lines(&compare(&was, &is, &rules));
        } else if let Some(status) = capture.row.status.filter(|status| *status != is.status) {
            lines.push(format!("status{IS}{} (was {status})", is.status));
        }
        if !answered.ended {
            lines.push("the response broke off".to_owned());
        }
        (lines, binding)
    }

    /// Tells whether the target's owner says that only the state counts that a request leaves.
    fn may_make_up(&self, capture: &Capture) -> bool {
        let (method, target) = (capture.row.method.as_bytes(), capture.row.target.as_bytes());
        self.target.rules.iter().any(|rule| rule.is_about(method, target))
    }

    /// Finds what differs between two responses to one request.
    pub(super) fn noise(&self, first: &Answered, second: &Answered) -> Vec<Place> {
        let (one, other) = (pairs(first), pairs(second));
        noise(&response(first, &one), &response(second, &other), &self.compare.headers)
    }

    /// Takes back what was learned before the replay was interrupted.
    ///
    /// # Errors
    /// [`SealError::Broken`] if it was sealed with another key; later requests would name what is not there.
    pub(super) fn remember(&self, bindings: &[Vec<u8>]) -> Result<(), SealError> {
        let mut variables = self.variables();
        for binding in bindings {
            let opened = self.sealed.seal_key().disclose(&self.bound(), binding)?;
            let kept: Vec<(String, String, String, bool)> = serde_json::from_slice(&opened).unwrap_or_default();
            for (was, is, noun, is_id) in kept {
                variables.remember(&Learned { was, is, noun, is_id });
            }
        }
        drop(variables);
        Ok(())
    }

    /// Encrypts what was learned: live values of the target's, secrets among them.
    ///
    /// Shape: sealed JSON, `[[was, is, noun, is_id], …]`; nothing for nothing.
    fn keep(&self, learned: &[Learned]) -> Vec<u8> {
        if learned.is_empty() {
            return Vec::new();
        }
        let list: Vec<_> = learned
            .iter()
            .map(|each| (&each.was, &each.is, &each.noun, each.is_id))
            .collect();
        let json = serde_json::to_vec(&list).unwrap_or_default();
        // Without randomness nothing is kept rather than something readable.
        self.sealed.seal_key().close(&self.bound(), json).unwrap_or_default()
    }

    fn bound(&self) -> String {
        format!("bindings of replay {}", self.replay)
    }
}

fn pairs(answered: &Answered) -> Vec<u8> {
    let headers = answered.headers.iter();
    let list: Vec<_> = headers
        .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
        .collect();
    let mut pairs = Vec::new();
    write_pairs(list.into_iter(), &mut pairs);
    pairs
}

fn response<'a>(answered: &'a Answered, pairs: &'a [u8]) -> Response<'a> {
    Response {
        status: answered.status.as_u16(),
        pairs: Pairs::new(pairs),
        body: &answered.body,
        is_whole: answered.ended && u64::try_from(answered.body.len()) == Ok(answered.body_len),
    }
}

fn lines(differences: &[Difference]) -> Vec<String> {
    let (first, others) = differences.split_at(differences.len().min(LINES_MAX));
    let bare = others.iter().map(|other| format!("{}{DIFFERS}", other.place));
    first.iter().map(line).chain(bare).collect()
}

/// Tells a difference. Values are shown only if both are a status, a number, true, false or null: anything else could
/// be a secret of the target's.
fn line(difference: &Difference) -> String {
    let place = &difference.place;
    match (&difference.was, &difference.is) {
        (Some(was), Some(is)) if is_plain(was) && is_plain(is) => format!("{place}{IS}{is} (was {was})"),
        (None, Some(is)) if is_plain(is) => format!("{place}{IS}{is} (was not there)"),
        (None, Some(_)) => format!("{place}{IS_NEW}"),
        (Some(was), None) if is_plain(was) => format!("{place}{IS_GONE} (was {was})"),
        (Some(_), None) => format!("{place}{IS_GONE}"),
        _ => format!("{place}{DIFFERS}"),
    }
}

fn is_plain(shown: &str) -> bool {
    use serde_json::Value::{Bool, Null, Number};
    matches!(serde_json::from_str(shown), Ok(Null | Bool(_) | Number(_)))
}

/// Finds the place in a line that tells a difference; a status is never noise.
pub(super) fn place_of(line: &str) -> Option<Place> {
    let bare = line.rsplit_once(" (was ").map_or(line, |(before, _)| before);
    let without = |end: &&str| line.strip_suffix(*end).or_else(|| bare.strip_suffix(*end));
    let place = [DIFFERS, IS_NEW, IS_GONE].iter().find_map(without);
    let place = place.or_else(|| Some(line.split_once(IS)?.0))?;
    Place::parse(place).filter(|place| *place != Place::Status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(place: &str, was: Option<&str>, is: Option<&str>, want: &str) {
        let place = Place::parse(place).unwrap();
        let difference = Difference {
            place: place.clone(),
            was: was.map(ToOwned::to_owned),
            is: is.map(ToOwned::to_owned),
        };
        assert_eq!(line(&difference), want);
        assert_eq!(place_of(want), Some(place).filter(|place| *place != Place::Status));
    }

    #[test]
    fn only_values_that_are_no_secret_are_told() {
        check("status", Some("201"), Some("500"), "status = 500 (was 201)");
        check("json:/total", Some("1.5"), Some("2"), "json:/total = 2 (was 1.5)");
        check("json:/paid", Some("true"), Some("null"), "json:/paid = null (was true)");
        check("header:x-count", Some("1"), Some("2"), "header:x-count = 2 (was 1)");
        check("json:/token", Some("\"a\""), Some("\"b\""), "json:/token differs");
        check("json:/token", Some("1"), Some("\"b\""), "json:/token differs");
        check("json:/count", None, Some("1"), "json:/count = 1 (was not there)");
        check("json:/count", Some("1"), None, "json:/count is gone (was 1)");
        check("json:/token", None, Some("\"a\""), "json:/token is new");
        check("json:/token", Some("\"a\""), None, "json:/token is gone");
        check("header:x-token", Some("a"), Some("b"), "header:x-token differs");
        check("body", Some("<a>"), Some("<b>"), "body differs");
    }
}
