//! Envoys that run: each by what its admin interface shows, and two by what both protect.

use super::{Check, Status, counts, envoy};
use crate::check::{Running, check_running};
use crate::client::{Fetched, fetch_up_to};
use http::StatusCode;

const NAME: &str = "envoy-running";
/// Largest dump or list of numbers that is read.
const BYTES_MAX: usize = 64 << 20;

/// Looks at the Envoys behind these admin interfaces.
pub(super) async fn checks(urls: &[String]) -> Vec<Check> {
    let (mut checks, mut seen) = (Vec::new(), Vec::new());
    for url in urls {
        let url = url.trim_end_matches('/');
        let admin = envoy::admin(url).await;
        let is_there = admin.status != Status::Error;
        checks.push(admin);
        if !is_there {
            continue;
        }
        match running(url).await {
            Ok(running) => {
                checks.extend(envoy::findings(NAME, &running.report));
                checks.extend(numbers(url, &running).await);
                seen.push(running);
            }
            Err(check) => checks.push(check),
        }
    }
    checks.extend(apart(&seen));
    checks
}

/// Reads the configuration that an Envoy runs with.
async fn running(url: &str) -> Result<Running, Check> {
    let dump = body(&format!("{url}/config_dump")).await?;
    let is_none = || {
        Check::error(
            NAME,
            format!("{url}/config_dump does not show a configuration of Envoy's"),
        )
    };
    check_running(&dump, url).ok_or_else(is_none)
}

/// Judges what the filter of an Envoy counts.
async fn numbers(url: &str, running: &Running) -> Vec<Check> {
    match body(&format!("{url}/stats?filter=wasm")).await {
        Ok(text) => counts::judge(url, &text, &running.shared),
        Err(check) => vec![check],
    }
}

async fn body(url: &str) -> Result<String, Check> {
    match fetch_up_to(url, BYTES_MAX).await {
        Ok(Fetched {
            status: StatusCode::OK,
            body,
        }) => Ok(body),
        Ok(Fetched { status, .. }) => Err(Check::error(NAME, format!("{url} answers {status}"))),
        Err(error) => Err(Check::error(NAME, error.to_string())),
    }
}

/// Warns of two Envoys that protect the same paths, neither knowing the other's keys.
fn apart(seen: &[Running]) -> Vec<Check> {
    let mut warnings = Vec::new();
    for (at, one) in seen.iter().enumerate() {
        for other in seen.iter().skip(at.saturating_add(1)) {
            warnings.extend(pair(one, other));
        }
    }
    warnings
}

fn pair(one: &Running, other: &Running) -> Option<Check> {
    let protected = one.protected.iter();
    let both = protected.flat_map(|here| other.protected.iter().flat_map(|there| here.overlap(there)));
    let mut paths: Vec<String> = both.collect();
    paths.dedup();
    (!paths.is_empty()).then(|| {
        let (one, other) = (&one.report.file, &other.report.file);
        let text = format!(
            "{one} and {other} both protect {}, each with keys in shared data of its own: a repeat that meets the other \
             one runs a second time",
            paths.join(", ")
        );
        Check::warning("shared-data", text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Protected, check};

    fn running(place: &str, paths: &[&str]) -> Running {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        Running {
            report: check("version: 1", place),
            shared: Vec::new(),
            protected: vec![Protected {
                name: "edge".into(),
                domain: "*".into(),
                paths,
            }],
        }
    }

    #[tokio::test]
    async fn an_envoy_that_does_not_answer_is_told_once() {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        let found = checks(&[url]).await;
        assert!(found.len() == 1 && found[0].status == Status::Error, "{found:?}");
    }

    #[test]
    fn only_envoys_that_protect_the_same_are_a_warning() {
        let (one, other, third) = (
            running("a", &["/pay", "/x"]),
            running("b", &["/pay"]),
            running("c", &["/y"]),
        );
        let found = apart(&[one, other, third]);
        assert!(
            found.len() == 1 && found[0].message.starts_with("a and b both protect /pay,"),
            "{found:?}"
        );
    }
}
