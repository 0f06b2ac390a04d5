//! Where a replay goes: a target's name or a URL, and how well it is there.

use super::ReplayError;
use crate::config::{OnEarly, Target, Targets, base};
use crate::connector::{Connector, Outgoing, Reach};
use http::{Request, StatusCode, Uri};
use std::time::Duration;

/// The header in which an upstream shows its boot id.
pub(crate) const BOOT_ID: &str = "reprise-boot-id";
/// Longest boot id.
const BOOT_ID_BYTES_MAX: usize = 256;
/// How long one look at a target may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// What one look at a target showed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Look {
    /// Whether requests may be sent.
    pub(crate) is_well: bool,
    /// The boot id; empty if none was shown.
    pub(crate) boot_id: String,
    /// Whether a response's header showed it, as the proxies see it; else only the probe's body did.
    pub(crate) is_header: bool,
    /// What was seen, for people.
    pub(crate) detail: String,
}

impl Look {
    /// Takes the boot id from the probe's answer: its header, else its body.
    fn hear(&mut self, header: String, body: String) {
        let is_header = !header.is_empty();
        let shown = if is_header { header } else { body };
        self.is_header = is_header || (self.is_header && self.boot_id == shown);
        self.boot_id = shown;
    }
}

/// Finds the target of that name or URL; a URL that is a target's is that target.
///
/// # Errors
/// [`ReplayError::Invalid`] if it is neither.
pub(super) fn resolve(targets: &Targets, name: &str) -> Result<Target, ReplayError> {
    if let Some(target) = targets.get(name) {
        return Ok(target.clone());
    }
    let url = base(name).map_err(|problem| ReplayError::Invalid {
        field: "target",
        problem: not_a_target(targets, name, &problem),
    })?;
    let same = |target: &&Target| origin(&target.url) == origin(&url) && path(&target.url) == path(&url);
    Ok(targets.values().find(same).cloned().unwrap_or_else(|| Target {
        url,
        allowed: false,
        honours_keys: false,
        gate: None,
        probe: None,
        credential: None,
        cluster: None,
        auto_restore: false,
        on_early: OnEarly::Stop,
        rules: Vec::new(),
    }))
}

/// Says what is wrong with what is neither a target's name nor a URL.
fn not_a_target(targets: &Targets, name: &str, problem: &str) -> String {
    let known: Vec<_> = targets.keys().map(String::as_str).collect();
    let known = match &*known {
        [] => "replayd.toml has none".to_owned(),
        known => format!("replayd.toml has {}", known.join(", ")),
    };
    if name.contains("://") {
        return format!("{problem}, or the name of a target ({known})");
    }
    format!("`{name}` is no target ({known}) and no URL; allowed is also http://HOST:PORT/PATH or https://…")
}

/// Names who is at a URL: scheme, host and port.
pub(crate) fn origin(url: &Uri) -> String {
    let scheme = url.scheme_str().unwrap_or("http");
    let port = url.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
    let host = url.host().unwrap_or_default().to_ascii_lowercase();
    format!("{scheme}://{host}:{port}")
}

/// Tells the path that stands before every request's own, without the slash between.
pub(crate) fn path(url: &Uri) -> &str {
    url.path().trim_end_matches('/')
}

/// Tells which addresses a replay may dial.
pub(crate) const fn reach(target: &Target, yes: bool) -> Reach {
    if target.allowed || yes {
        Reach::Anywhere
    } else {
        Reach::Public
    }
}

/// Looks once whether the target is well, and which boot it is.
pub(crate) async fn look(connector: &Connector, target: &Target) -> Look {
    let gate = target.gate.as_ref();
    let mut seen = match ask(connector, gate.unwrap_or(&target.url)).await {
        Ok(answered) => {
            let away = [
                StatusCode::BAD_GATEWAY,
                StatusCode::SERVICE_UNAVAILABLE,
                StatusCode::GATEWAY_TIMEOUT,
            ];
            let is_well = match gate {
                Some(_) => answered.status.is_success(),
                None => !away.contains(&answered.status),
            };
            let boot_id = header(&answered);
            Look {
                is_well,
                is_header: !boot_id.is_empty(),
                boot_id,
                detail: format!("the target answers {}", answered.status.as_u16()),
            }
        }
        Err(detail) => Look {
            detail,
            ..Look::default()
        },
    };
    if let Some(probe) = target.probe.as_ref().filter(|_| seen.is_well) {
        match ask(connector, probe).await {
            Ok(answered) if answered.status.is_success() => seen.hear(header(&answered), text(&answered.body)),
            Ok(answered) => {
                seen.is_well = false;
                seen.detail = format!("the probe for the boot id answers {}", answered.status.as_u16());
            }
            Err(detail) => {
                seen.is_well = false;
                seen.detail = detail;
            }
        }
    }
    seen
}

async fn ask(connector: &Connector, url: &Uri) -> Result<crate::connector::Answered, String> {
    let request = Request::get(url).body(Outgoing::default());
    let request = request.map_err(|error| error.to_string())?;
    connector
        .send(request, LOOK_TIMEOUT)
        .await
        .map_err(|error| error.to_string())
}

fn header(answered: &crate::connector::Answered) -> String {
    answered
        .headers
        .get(BOOT_ID)
        .map(|value| text(value.as_bytes()))
        .unwrap_or_default()
}

fn text(bytes: &[u8]) -> String {
    let line = bytes.trim_ascii();
    if is_boot_id(line) {
        String::from_utf8_lossy(line).into_owned()
    } else {
        String::new()
    }
}

/// Tells whether this can name a boot.
pub(super) fn is_boot_id(text: &[u8]) -> bool {
    text.len() <= BOOT_ID_BYTES_MAX && text.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn an_origin_has_its_port_and_no_path() {
        assert_eq!(origin(&uri("http://Shop.example/api/")), "http://shop.example:80");
        assert_eq!(origin(&uri("https://shop.example")), "https://shop.example:443");
        assert_eq!(path(&uri("http://shop.example/api/")), "/api");
        assert_eq!(path(&uri("http://shop.example")), "");
    }

    #[test]
    fn a_url_that_is_a_targets_is_that_target() {
        let target = Target {
            allowed: true,
            ..resolve(&Targets::new(), "http://shop:80/api").unwrap()
        };
        let targets = Targets::from([("shop".to_owned(), target)]);
        assert!(resolve(&targets, "shop").unwrap().allowed);
        assert!(resolve(&targets, "http://shop/api/").unwrap().allowed);
        assert!(!resolve(&targets, "http://shop/other").unwrap().allowed);
        for name in ["stage", "http://u@stage"] {
            let error = resolve(&targets, name).unwrap_err().to_string();
            assert!(
                error.starts_with("target: ") && error.contains("replayd.toml has shop"),
                "{error}"
            );
        }
    }
}
