//! Envoy from outside: its configuration, whether its admin interface answers, and which version it is.

use super::Check;
use crate::check::{Finding, Report};
use crate::client::fetch;
use http::StatusCode;
use serde::Deserialize;

/// The versions of Envoy that the filter is tested with.
const TESTED: [&str; 3] = ["1.38", "1.39", "1.40"];

const NAME: &str = "envoy-admin";

/// What is read of Envoy's answer.
///
/// Shape: `{"version": "<commit>/<version>/<source status>/<build>/<TLS library>", "state": "LIVE", …}`.
///
/// Source: Envoy admin interface, `GET /server_info`, read for 1.40.
#[derive(Deserialize)]
struct ServerInfo {
    version: String,
    state: String,
}

/// Makes a check of every finding in Envoy's configuration, and one that says so where nothing is wrong.
pub(super) fn findings(name: &'static str, report: &Report) -> Vec<Check> {
    let told = |Finding { place, text }: &Finding| format!("{}: {place}: {text}", report.file);
    let errors = report.errors.iter().map(|finding| Check::error(name, told(finding)));
    let warnings = report
        .warnings
        .iter()
        .map(|finding| Check::warning(name, told(finding)));
    let mut checks: Vec<_> = errors.chain(warnings).collect();
    if checks.is_empty() {
        checks.push(Check::ok(name, format!("{}: nothing is wrong", report.file)));
    }
    checks.extend(report.notes.iter().map(|finding| Check::note(name, told(finding))));
    checks
}

/// Asks the admin interface at `url` who it is.
pub(super) async fn admin(url: &str) -> Check {
    let url = format!("{}/server_info", url.trim_end_matches('/'));
    match fetch(&url).await {
        Ok(answer) if answer.status == StatusCode::OK => judge(&url, &answer.body),
        Ok(answer) => Check::error(NAME, format!("{url} answers {}", answer.status)),
        Err(error) => Check::error(NAME, error.to_string()),
    }
}

fn judge(url: &str, body: &str) -> Check {
    let Ok(info) = serde_json::from_str::<ServerInfo>(body) else {
        return Check::error(NAME, format!("{url} does not answer as Envoy does"));
    };
    let version = info.version.split('/').nth(1).unwrap_or(&info.version);
    let is_tested = TESTED
        .iter()
        .any(|minor| version.strip_prefix(minor).is_some_and(|rest| rest.starts_with('.')));
    if !is_tested {
        let tested = TESTED.join(", ");
        return Check::warning(
            NAME,
            format!("{url}: Envoy {version} is not one of those tested: {tested}"),
        );
    }
    if info.state != "LIVE" {
        return Check::warning(NAME, format!("{url}: Envoy {version} is not live but {}", info.state));
    }
    Check::ok(NAME, format!("{url}: Envoy {version} is live"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Status;

    #[track_caller]
    fn check(version: &str, state: &str, status: Status, words: &str) {
        let body = format!(r#"{{"version": "0af5/{version}/Clean/RELEASE/BoringSSL", "state": "{state}", "more": 1}}"#);
        let check = judge("http://envoy", &body);
        assert!(check.status == status && check.message.contains(words), "{check:?}");
    }

    #[test]
    fn a_tested_version_is_fine() {
        check("1.38.0", "LIVE", Status::Ok, "Envoy 1.38.0 is live");
        check("1.40.3-dev", "LIVE", Status::Ok, "1.40.3-dev");
    }

    #[test]
    fn another_version_is_a_warning() {
        check("1.37.9", "LIVE", Status::Warning, "1.38, 1.39, 1.40");
        check("1.400.0", "LIVE", Status::Warning, "not one of those tested");
    }

    #[test]
    fn an_envoy_that_drains_is_a_warning() {
        check("1.40.0", "DRAINING", Status::Warning, "DRAINING");
    }

    #[test]
    fn each_finding_in_the_configuration_is_a_check() {
        let found = findings(
            "envoy-config",
            &crate::check::check("version: 1\nadress: x\nnaem: y\n", "a.yaml"),
        );
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found.iter().all(|check| check.status == Status::Error), "{found:?}");
    }

    #[test]
    fn a_configuration_with_nothing_wrong_says_so_and_what_is_good_to_know() {
        let found = findings("envoy-config", &crate::check::check("version: 1\n", "a.yaml"));
        assert_eq!(found[0], Check::ok("envoy-config", "a.yaml: nothing is wrong"));
        assert!(found.len() == 2 && found[1].status == Status::Note, "{found:?}");
    }

    #[test]
    fn callers_that_may_share_a_bound_are_told_of() {
        let text = r#"{"version": 1, "idempotency": {"keys_per_principal_max": 7}}"#;
        let found = findings("envoy-config", &crate::check::check(text, "a.json"));
        let said = |check: &Check| check.status == Status::Note && check.message.contains("two callers that share one");
        assert!(found.iter().any(said), "{found:?}");
    }

    #[test]
    fn another_server_is_an_error() {
        assert_eq!(judge("http://envoy", "<html>").status, Status::Error);
    }
}
