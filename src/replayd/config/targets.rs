//! Where replays may go: `[targets.<name>]`, raw as written, then checked.

use super::credential::{Credential, RawCredential};
use http::Uri;
use reprise_core::replay::compact::Rule;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use toml::Spanned;
use utoipa::ToSchema;

/// Every target, by name.
pub(crate) type Targets = BTreeMap<String, Target>;

/// A place where replays may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Its base URL, `http` or `https`, without query.
    pub(crate) url: Uri,
    /// Whether mutations may go there without being asked, whether it may be on a private network, and whether it may see
    /// what is sealed.
    pub(crate) allowed: bool,
    /// Whether it runs two requests with one idempotency key once.
    pub(crate) honours_keys: bool,
    /// Asked until it is well, before a restore.
    pub(crate) gate: Option<Uri>,
    /// Asked for the boot id: the header `Reprise-Boot-Id`, else the body.
    pub(crate) probe: Option<Uri>,
    /// What is shown there.
    pub(crate) credential: Option<Credential>,
    /// The upstream cluster that it is, as the proxy names it: its boot gate opens when a restore has ended well.
    pub(crate) cluster: Option<String>,
    /// Whether a new boot of the cluster is restored without being asked.
    pub(crate) auto_restore: bool,
    /// What follows if clients changed a new boot before its restore, which may say otherwise.
    pub(crate) on_early: OnEarly,
    /// What a restore need not send, because something later makes up for it.
    pub(crate) rules: Vec<Rule>,
}

/// A target as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTarget {
    url: Spanned<String>,
    #[serde(default)]
    allowed: bool,
    #[serde(default)]
    honours_keys: bool,
    gate: Option<Spanned<String>>,
    probe: Option<Spanned<String>>,
    credential: Option<Spanned<RawCredential>>,
    cluster: Option<String>,
    auto_restore: Option<Spanned<bool>>,
    #[serde(default)]
    on_early: OnEarly,
    #[serde(default)]
    state_only: Vec<Spanned<String>>,
    #[serde(default)]
    clear: Vec<Spanned<RawClear>>,
}

/// What follows if clients changed the new boot before the restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnEarly {
    /// The restore is refused, and tells them.
    #[default]
    Stop,
    /// They stay as they are, and the restore goes on.
    Keep,
}

/// A request that empties paths, as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClear {
    method: String,
    path: String,
    empties: String,
}

/// Tells a problem and where it is.
pub(super) type Wrong<'a> = &'a mut dyn FnMut(String, std::ops::Range<usize>);

/// Checks targets as written; those with problems are left out.
pub(super) fn check(raw: BTreeMap<Spanned<String>, RawTarget>, wrong: Wrong<'_>) -> Targets {
    let mut targets = Targets::new();
    for (name, raw) in raw {
        let is_name = !name.get_ref().is_empty() && !name.get_ref().contains(['/', ':']);
        if !is_name {
            wrong(
                "the name of a target has no `/` and no `:`, so that it is not taken for a URL".to_owned(),
                name.span(),
            );
        }
        if let Some(target) = raw.check(wrong) {
            targets.insert(name.into_inner(), target);
        }
    }
    targets
}

impl RawTarget {
    fn check(self, wrong: Wrong<'_>) -> Option<Target> {
        let mut url = |raw: Spanned<String>| {
            let span = raw.span();
            base(raw.get_ref()).map_err(|problem| wrong(problem, span)).ok()
        };
        let base = url(self.url);
        let (gate, probe) = (self.gate.map(&mut url), self.probe.map(&mut url));
        if let Some(auto) = &self.auto_restore
            && *auto.get_ref()
            && (self.cluster.is_none() || !self.allowed)
        {
            let problem = "auto_restore needs `cluster`, whose boots are watched, and `allowed = true`";
            wrong(problem.to_owned(), auto.span());
        }
        let credential = self.credential.and_then(|raw| {
            let span = raw.span();
            raw.into_inner().check().map_err(|problem| wrong(problem, span)).ok()
        });
        let mut rules = Vec::new();
        for path in self.state_only {
            match Rule::state(path.get_ref()) {
                Ok(rule) => rules.push(rule),
                Err(problem) => wrong(problem, path.span()),
            }
        }
        for clear in self.clear {
            let RawClear { method, path, empties } = clear.get_ref();
            match Rule::clear(method, path, empties) {
                Ok(rule) => rules.push(rule),
                Err(problem) => wrong(problem, clear.span()),
            }
        }
        Some(Target {
            url: base?,
            allowed: self.allowed,
            honours_keys: self.honours_keys,
            gate: gate.flatten(),
            probe: probe.flatten(),
            credential,
            cluster: self.cluster,
            auto_restore: self.auto_restore.is_some_and(Spanned::into_inner),
            on_early: self.on_early,
            rules,
        })
    }
}

/// Reads the base URL of a target: what a request's target is put behind.
///
/// # Errors
/// What is wrong, and what is allowed.
pub(crate) fn base(text: &str) -> Result<Uri, String> {
    let wrong =
        || format!("`{text}` is not a URL; allowed is http://HOST:PORT/PATH or https://…, without user and query");
    let url: Uri = text.parse().map_err(|_| wrong())?;
    let is_http = matches!(url.scheme_str(), Some("http" | "https"));
    let is_plain = url.query().is_none() && url.authority().is_some_and(|at| !at.as_str().contains('@'));
    (is_http && is_plain && url.host().is_some_and(|host| !host.is_empty()))
        .then_some(url)
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_a_url_of_the_web_without_user_and_query() {
        for url in ["http://127.0.0.1:80", "https://shop.example/api/", "http://[::1]:8080/"] {
            base(url).unwrap();
        }
        for url in [
            "shop.example",
            "/x",
            "ftp://x/",
            "http://u:p@x/",
            "http://x/?a=1",
            "http://",
            "staging",
        ] {
            base(url).unwrap_err();
        }
    }
}
