//! What the filter counts in an Envoy that runs, and what of it tells of something wrong.

use super::Check;
use std::collections::BTreeMap;

const NAME: &str = "envoy-counts";

/// Envoy's own numbers, by their full names.
struct Counts<'a>(BTreeMap<&'a str, u64>);

impl<'a> Counts<'a> {
    /// Reads the answer of `GET /stats`; what is no whole number is passed over.
    fn parse(text: &'a str) -> Self {
        let pairs = text.lines().filter_map(|line| line.split_once(": "));
        Self(
            pairs
                .filter_map(|(name, value)| Some((name, value.parse().ok()?)))
                .collect(),
        )
    }

    /// Gives a number of the filter's; 0 if it has not counted yet.
    fn of(&self, name: &str) -> u64 {
        let name = format!("wasmcustom.reprise_{name}");
        self.0.get(name.as_str()).copied().unwrap_or_default()
    }

    /// Gives the requests that ended in one way.
    fn requests(&self, outcome: &str) -> u64 {
        self.of(&format!("requests_outcome=.={outcome};.;_total"))
    }

    /// Adds up what VMs of all filters say by a name that ends like this.
    fn vms(&self, ending: &str) -> u64 {
        let vms = self
            .0
            .iter()
            .filter(|(name, _)| name.starts_with("wasm.") && name.ends_with(ending));
        vms.map(|(_, count)| *count).fold(0, u64::saturating_add)
    }
}

/// Judges the numbers that the Envoy at `url` shows; `shared` are the paths where keys are required of nameless callers.
pub(super) fn judge(url: &str, stats: &str, shared: &[String]) -> Vec<Check> {
    let counts = Counts::parse(stats);
    let mut checks: Vec<Check> = errors(url, &counts).chain(warnings(url, &counts)).collect();
    checks.extend(anonymous(url, &counts, shared));
    if checks.is_empty() {
        checks.push(Check::ok(
            NAME,
            format!("{url}: the filter counts nothing that is wrong"),
        ));
    }
    checks
}

fn errors<'a>(url: &'a str, counts: &Counts<'_>) -> impl Iterator<Item = Check> + 'a {
    let found = [
        (
            counts.requests("misconfigured"),
            "requests were refused as misconfigured",
            "their route's metadata do not parse, or Envoy held a duplicate without its body \
             (allow_on_headers_stop_iteration)",
        ),
        (
            counts.vms(".vm_reload_failure"),
            "VMs of the filter failed and could not be made again",
            "their workers answer 503",
        ),
    ];
    let found = found.into_iter().filter(|(count, ..)| *count > 0);
    found.map(move |(count, what, so)| Check::error(NAME, format!("{url}: {what} ({count}): {so}")))
}

fn warnings<'a>(url: &'a str, counts: &Counts<'_>) -> impl Iterator<Item = Check> + 'a {
    let found = [
        (
            counts.vms(".vm_reload_success"),
            "VMs of the filter failed and were made again",
            "what ran in them has an unknown outcome",
        ),
        (
            counts.vms(".vm_reload_backoff"),
            "requests got 503 while a VM of the filter waited to be made again",
            "it had failed before; Envoy's log says why",
        ),
        (
            counts.of("bad_metadata_total"),
            "requests met a route whose metadata do not parse",
            "the filter's log says what is wrong with them",
        ),
        (
            counts.requests("capacity"),
            "requests were refused because the store, their caller's part of it, or the worker's memory was full",
            "keys_max, keys_per_principal_max and retain_s say how much fits; what is held whole, or runs detached, is bounded \
             by limits.buffered_bytes_max and the detached cluster's circuit breaker",
        ),
        (
            counts.of("evicted_total"),
            "live records went for new keys",
            "their repeats run again",
        ),
        (
            counts.requests("store_error"),
            "requests were refused because the store failed",
            "nothing of them ran",
        ),
        (
            counts.of("retried_attempts_total"),
            "protected requests were sent more than once by Envoy itself",
            "a failure after that is an unknown outcome",
        ),
    ];
    let found = found.into_iter().filter(|(count, ..)| *count > 0);
    found.map(move |(count, what, so)| Check::warning(NAME, format!("{url}: {what} ({count}): {so}")))
}

/// Outcomes of requests that carry a key.
const KEYED: [&str; 9] = [
    "miss",
    "answer",
    "waited",
    "conflict",
    "mismatch",
    "unknown",
    "tombstone",
    "manual",
    "ran",
];

/// Warns of callers that share their keys where keys are required.
fn anonymous(url: &str, counts: &Counts<'_>, shared: &[String]) -> Option<Check> {
    let nameless = counts.of("anonymous_total");
    if nameless == 0 || shared.is_empty() {
        return None;
    }
    let keyed = KEYED.iter().map(|outcome| counts.requests(outcome));
    let keyed = keyed.fold(0, u64::saturating_add).max(nameless);
    let text = format!(
        "{url}: {nameless} of {keyed} requests with a key had no caller by any source of `principal`; keys are required, and \
         such callers share them, on {}",
        shared.join(", ")
    );
    Some(Check::warning(NAME, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Status;

    #[track_caller]
    fn check(stats: &str, status: Status, words: &str) {
        let found = judge("http://envoy", stats, &["/pay".to_owned()]);
        let said = |check: &Check| check.status == status && check.message.contains(words);
        assert!(found.len() == 1 && said(&found[0]), "{found:?}");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_number() {
        let outcome = |name: &str| format!("wasmcustom.reprise_requests_outcome=.={name};.;_total: 3\n");
        check(
            &outcome("misconfigured"),
            Status::Error,
            "requests were refused as misconfigured (3)",
        );
        check(&outcome("capacity"), Status::Warning, "memory was full (3)");
        check(&outcome("store_error"), Status::Warning, "because the store failed");
        check(
            "wasmcustom.reprise_bad_metadata_total: 1\n",
            Status::Warning,
            "metadata do not parse (1)",
        );
        check(
            "wasmcustom.reprise_evicted_total: 2\n",
            Status::Warning,
            "live records went for new keys (2)",
        );
        check(
            "wasmcustom.reprise_retried_attempts_total: 1\n",
            Status::Warning,
            "more than once",
        );
    }

    #[test]
    fn vms_that_failed_are_told() {
        check("wasm.reprise.vm_reload_success: 2\n", Status::Warning, "made again (2)");
        check("wasm.reprise.vm_reload_backoff: 2\n", Status::Warning, "made again (2)");
        check(
            "wasm.reprise.vm_reload_failure: 1\n",
            Status::Error,
            "could not be made again",
        );
    }

    #[test]
    fn callers_without_a_name_are_a_warning_where_keys_are_required() {
        let stats = "wasmcustom.reprise_anonymous_total: 2\nwasmcustom.reprise_requests_outcome=.=miss;.;_total: 3\n\
                     wasmcustom.reprise_requests_outcome=.=answer;.;_total: 1\n";
        check(stats, Status::Warning, "2 of 4 requests with a key had no caller");
        let elsewhere = judge("http://envoy", stats, &[]);
        assert_eq!(elsewhere[0].status, Status::Ok, "{elsewhere:?}");
    }

    #[test]
    fn an_envoy_that_counts_nothing_wrong_is_fine() {
        let stats = "wasm.reprise.vm_reload_success: 0\nwasmcustom.reprise_requests_outcome=.=answer;.;_total: 9\n\
                     wasmcustom.reprise_added_ms: P50(1,2)\n";
        check(stats, Status::Ok, "counts nothing that is wrong");
    }
}
