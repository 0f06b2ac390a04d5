//! Which rules are about a request, and what they and its route want together.

mod cover;
mod fit;
mod host;
mod path;

use self::cover::{Cover, Sample};
use self::host::HostPattern;
use super::error::{Place, Problems};
use super::fields::{CaptureFields, RouteFields, RuleFields};
use super::overrides::check_route;
use super::rate::Retained;
use super::table::Table;
use super::{Overrides, Policy};
use crate::time::Millis;
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Most rules that one path may have: a selection has a bit for each.
const RULES_PER_PATH_MAX: usize = 64;

/// Gives the plainest spelling of a path, as rules read it; see [`Routes`].
///
/// Allocates nothing for a path that is in it already.
pub(crate) fn plain_path(path: &[u8]) -> Cow<'_, str> {
    match String::from_utf8_lossy(path) {
        Cow::Borrowed(path) => path::plain(path),
        Cow::Owned(path) => Cow::Owned(path::plain(&path).into_owned()),
    }
}

/// Reads a template by itself, in its plainest spelling.
pub(crate) fn check_template(written: &str) -> Result<String, String> {
    let template = path::template(written)?;
    if template != path::REST
        && let Err(error) = matchit::Router::new().insert(template.as_str(), 0_u32)
    {
        return Err(format!(
            "{written:?} is not a template: {}",
            error.to_string().to_ascii_lowercase()
        ));
    }
    Ok(template)
}

/// Tells whether a path in its plainest spelling fits one template.
pub(crate) fn path_fits(template: &str, plain_path: &str) -> bool {
    fit::fits(template, plain_path)
}

/// The rules of a document over its defaults.
///
/// The most specific path template is the request's: fixed segments over `{id}` over `{*rest}`, and `*` last. Its rules
/// count, and before them those of every template that covers it, the broadest first: `/v1/{*rest}` covers
/// `/v1/orders/{id}` and `/v1`, and `*` covers all. Of these rules, those whose host and methods match count field by
/// field, so that of two that set the same field the more specific template wins, then the later in the document; a
/// rule is never hidden by one that is about other hosts or methods.
///
/// Where two templates overlap and neither covers the other, only one is the request's: the one that is fixed further
/// to the left (of `/a/{y}` and `/{x}/b`, `/a/b` is met by the first, and the rules of the second do not count). Where
/// both cover a third, the one that is fixed further to the left is the more specific.
///
/// A path is read as an application would: a slash at its end does not matter, `//` is `/`, `.` and `..` are resolved
/// and needless percent-encoding is undone (`%61` is `a`; `%2F` stays). Bytes that are not UTF-8 are replaced, so that
/// they fit `{id}` and `{*rest}`, and nothing fixed. Envoy should hand the application the same reading:
/// `normalize_path` and `merge_slashes`.
#[derive(Debug, Clone)]
pub struct Routes {
    defaults: Policy,
    /// What the document writes of capture.
    capture: CaptureFields,
    /// How long unknown outcomes live; none = as long as the route's records.
    unknown_retain: Option<Millis>,
    /// In the order of the document.
    rules: Vec<Rule>,
    templates: Vec<Template>,
    router: matchit::Router<u32>,
    /// The template `*`.
    rest: Option<u32>,
}

/// One path template.
#[derive(Debug, Clone, PartialEq)]
struct Template {
    path: String,
    /// The rules that its paths may meet, as places in the list of all: those of broader templates, then its own.
    rules: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq)]
struct Rule {
    /// Its place in the document's list.
    at: usize,
    /// The place of its template.
    template: usize,
    host: HostPattern,
    /// None = all.
    methods: Option<Vec<String>>,
    fields: RouteFields,
    capture: CaptureFields,
}

/// The rules that are about one request: small, and equal for requests that meet the same ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Selection {
    template: u32,
    /// One bit a rule of the template.
    rules: u64,
}

impl Selection {
    /// No rule.
    pub const NONE: Self = Self { template: 0, rules: 0 };
}

impl PartialEq for Routes {
    /// Compares what was written; the router is made from it.
    fn eq(&self, other: &Self) -> bool {
        let settings = |routes: &Self| {
            (
                routes.defaults.clone(),
                routes.capture.filled_whole(),
                routes.unknown_retain,
            )
        };
        settings(self) == settings(other) && self.rules == other.rules && self.templates == other.templates
    }
}

impl Routes {
    /// Makes routes that have no rules yet.
    ///
    /// `unknown_retain` is how long unknown outcomes live; none = as long as the route's records.
    #[must_use]
    pub(super) fn new(mut defaults: Policy, capture: CaptureFields, unknown_retain: Option<Millis>) -> Self {
        defaults.capture = capture.policy();
        Self {
            defaults,
            capture,
            unknown_retain,
            rules: Vec::new(),
            templates: Vec::new(),
            router: matchit::Router::new(),
            rest: None,
        }
    }

    /// Tells whether there are no rules, so that nothing needs to be selected.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.templates.is_empty()
    }

    /// Gives what counts where neither a rule nor a route says otherwise.
    #[must_use]
    pub const fn defaults(&self) -> &Policy {
        &self.defaults
    }

    /// Selects the rules that are about a request; `path` is without its query.
    ///
    /// Allocates nothing for a path in its plainest spelling.
    #[must_use]
    pub fn select(&self, method: &[u8], host: &[u8], path: &[u8]) -> Selection {
        if self.is_empty() {
            return Selection::NONE;
        }
        let Some((at, template)) = self.template(path) else {
            return Selection::NONE;
        };
        let met = self.numbered(template).filter(|(rule, _)| rule.is_about(method, host));
        let rules = met.fold(0, |rules, (_, bit)| rules | bit);
        if rules == 0 {
            Selection::NONE
        } else {
            Selection { template: at, rules }
        }
    }

    fn template(&self, path: &[u8]) -> Option<(u32, &Template)> {
        let path = plain_path(path);
        let at = self.router.at(&path).map(|found| *found.value).ok().or(self.rest)?;
        Some((at, self.templates.get(usize::try_from(at).ok()?)?))
    }

    /// Merges what counts for a request: its route's metadata over its rules over the defaults, field by field.
    #[must_use]
    pub fn policy(&self, selection: Selection, overrides: Option<&Overrides>) -> Policy {
        let rules = self.selected(selection).map(|rule| (&rule.fields, &rule.capture));
        self.merged(rules.chain(overrides.map(|overrides| (overrides.keys(), overrides.capture()))))
    }

    /// Lays `over` over the defaults, one after the other.
    fn merged<'a>(&self, over: impl Iterator<Item = (&'a RouteFields, &'a CaptureFields)>) -> Policy {
        let (mut policy, mut capture) = (self.defaults.clone(), self.capture.clone());
        for (keys, captured) in over {
            keys.apply(&mut policy);
            capture.lay(captured);
        }
        policy.unknown_retain = self.unknown_retain.unwrap_or(policy.retain);
        policy.capture = capture.policy();
        policy
    }

    fn selected(&self, selection: Selection) -> impl Iterator<Item = &Rule> {
        let template = usize::try_from(selection.template)
            .ok()
            .and_then(|at| self.templates.get(at));
        template
            .into_iter()
            .flat_map(|template| self.numbered(template))
            .filter(move |(_, bit)| selection.rules & bit != 0)
            .map(|(rule, _)| rule)
    }

    /// Lists the rules that paths of `template` may meet, each with its bit in a selection.
    fn numbered(&self, template: &Template) -> impl Iterator<Item = (&Rule, u64)> {
        let bits = core::iter::successors(Some(1_u64), |bit| bit.checked_shl(1));
        let rules = template.rules.iter().filter_map(|at| self.rules.get(*at));
        rules.zip(bits)
    }

    /// Lists the rules: the path template of each, and what it makes of the defaults by itself.
    pub fn rules(&self) -> impl Iterator<Item = (&str, Policy)> {
        let templates = self.templates.iter().enumerate();
        templates
            .flat_map(|(at, template)| self.numbered(template).map(move |(rule, _)| (at, template, rule)))
            .filter(|(at, _, rule)| rule.template == *at)
            .map(|(_, template, rule)| {
                let policy = self.merged(core::iter::once((&rule.fields, &rule.capture)));
                (template.path.as_str(), policy)
            })
    }

    /// Lists the rules by their places in the document, with what each makes of the defaults by itself.
    pub(super) fn placed_rules(&self) -> impl Iterator<Item = (usize, Policy)> {
        let merged = |rule: &Rule| self.merged(core::iter::once((&rule.fields, &rule.capture)));
        self.rules.iter().map(move |rule| (rule.at, merged(rule)))
    }

    /// Gives the longest that records live, by the defaults and all rules.
    pub(super) fn longest_retained(&self) -> Retained {
        let rules = self.rules.iter().map(|rule| (rule.at, rule.fields.retain_s));
        Retained::longest(self.defaults.retain.0.div_euclid(1000), rules)
    }

    /// Adds the rules of a document whose own fields are `defaults`.
    pub(super) fn add(
        &mut self,
        rules: &[RuleFields],
        defaults: &RouteFields,
        place: &Place<'_>,
        problems: &mut Problems,
    ) {
        for (at, rule) in rules.iter().enumerate() {
            let here = place.item(at);
            check_route(&rule.idempotency(), defaults, &here.field("idempotency"), problems);
            rule.capture().check(&self.capture, &here.field("capture"), problems);
            if let Err(problem) = self.add_rule(at, rule) {
                problems.add(&here.field("match").field("path"), format_args!("{problem}"));
            }
        }
        self.check_contradictions(place, problems);
        self.add_broader(place, problems);
        self.add_bare_prefixes();
    }

    fn add_rule(&mut self, at: usize, rule: &RuleFields) -> Result<(), String> {
        let wanted = rule.r#match();
        let template = path::template(&wanted.path())?;
        let at_template = match self.templates.iter().position(|known| known.path == template) {
            Some(known) => known,
            None => self.add_template(template)?,
        };
        let rule = Rule {
            at,
            template: at_template,
            host: HostPattern::new(&wanted.host()),
            methods: wanted.methods(),
            fields: rule.idempotency(),
            capture: rule.capture(),
        };
        let own = self.templates.get_mut(at_template).map(|template| &mut template.rules);
        let own = own.filter(|own| own.len() < RULES_PER_PATH_MAX);
        let too_many = || format!("has more than {RULES_PER_PATH_MAX} rules");
        own.ok_or_else(too_many)?.push(self.rules.len());
        self.rules.push(rule);
        Ok(())
    }

    fn add_template(&mut self, path: String) -> Result<usize, String> {
        let at = self.templates.len();
        let number = u32::try_from(at).map_err(|error| error.to_string())?;
        if path == path::REST {
            self.rest = Some(number);
        } else {
            self.router
                .insert(path.as_str(), number)
                .map_err(|error| self.describe(&path, &error))?;
        }
        self.templates.push(Template {
            path,
            rules: Vec::new(),
        });
        Ok(at)
    }

    fn describe(&self, path: &str, error: &matchit::InsertError) -> String {
        let matchit::InsertError::Conflict { with } = error else {
            return format!("{path:?} is not a template: {}", error.to_string().to_ascii_lowercase());
        };
        let known = self.templates.iter().find(|template| template.path == *with);
        let place = known
            .and_then(|template| self.numbered(template).next())
            .map(|(rule, _)| format!(" of rules[{}]", rule.at));
        format!(
            "{path:?} and {with:?}{} fit the same paths; write them alike",
            place.unwrap_or_default()
        )
    }

    /// Notes fields that two rules with the same match give different values.
    fn check_contradictions(&self, place: &Place<'_>, problems: &mut Problems) {
        for template in &self.templates {
            for (count, (later, _)) in self.numbered(template).enumerate() {
                let earlier = self.numbered(template).take(count).map(|(rule, _)| rule);
                for earlier in earlier.filter(|earlier| earlier.has_match_of(later)) {
                    note_contradictions(earlier, later, place, problems);
                }
            }
        }
    }

    /// Puts the rules of every broader template before a template's own, the broadest first.
    fn add_broader(&mut self, place: &Place<'_>, problems: &mut Problems) {
        let broader = self.broader();
        for (template, mut met) in self.templates.iter_mut().zip(broader) {
            let own = template.rules.first().and_then(|own| self.rules.get(*own));
            met.append(&mut template.rules);
            if let Some(own) = own.filter(|_| met.len() > RULES_PER_PATH_MAX) {
                let here = place.item(own.at);
                problems.add(
                    &here.field("match").field("path"),
                    format_args!("has more than {RULES_PER_PATH_MAX} rules with those of broader templates"),
                );
            }
            template.rules = met;
        }
    }

    /// Lists for each template the rules of those that cover it, the broadest first.
    fn broader(&self) -> Vec<Vec<usize>> {
        let samples: Vec<Sample> = self
            .templates
            .iter()
            .map(|template| Sample::new(&template.path))
            .collect();
        // Put in order one by one: it happens once, and a sort is 11 KB of code.
        let mut ordered: Vec<(&Sample, &Template)> = Vec::new();
        for (sample, template) in samples.iter().zip(&self.templates) {
            let at = ordered.partition_point(|(before, _)| *before < sample);
            ordered.insert(at, (sample, template));
        }
        let mut met: Vec<Vec<usize>> = self.templates.iter().map(|_| Vec::new()).collect();
        for (broad, template) in ordered {
            let Some(cover) = Cover::new(&template.path) else {
                continue;
            };
            for (sample, met) in samples.iter().zip(&mut met) {
                // One more than allowed is enough to refuse it.
                if met.len() <= RULES_PER_PATH_MAX && sample != broad && cover.has(sample) {
                    met.extend(&template.rules);
                }
            }
        }
        met
    }

    /// Lets `/v1/{*rest}` also match `/v1` itself, unless another template does.
    fn add_bare_prefixes(&mut self) {
        for (at, template) in self.templates.iter().enumerate() {
            if let (Some(bare), Ok(at)) = (path::bare_prefix(&template.path), u32::try_from(at)) {
                // An error says that the path has a template of its own, which is the more specific one.
                drop(self.router.insert(bare, at));
            }
        }
    }
}

fn note_contradictions(earlier: &Rule, later: &Rule, place: &Place<'_>, problems: &mut Problems) {
    let here = place.item(later.at);
    let mut note = |part: &str, name: &str| {
        let other = format_args!("{place}[{}].{part}.{name}", earlier.at);
        problems.add(
            &here.field(part).field(name),
            format_args!("contradicts {other}: both rules have the same match"),
        );
    };
    for name in later.fields.contradictions(&earlier.fields) {
        note("idempotency", name);
    }
    for name in later.capture.differing(&earlier.capture) {
        note("capture", &name);
    }
}

impl Rule {
    fn is_about(&self, method: &[u8], host: &[u8]) -> bool {
        let methods = self.methods.as_ref();
        methods.is_none_or(|methods| methods.iter().any(|name| name.as_bytes() == method)) && self.host.has(host)
    }

    fn has_match_of(&self, other: &Self) -> bool {
        self.host == other.host && self.methods == other.methods
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Document, Mode};
    use serde_json::{Value, json};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn read(rules: &Value) -> Result<Routes, String> {
        let document = Document::from_value(&json!({"version": 1, "rules": rules})).map(Option::unwrap);
        document
            .map(|document| document.routes)
            .map_err(|errors| errors.to_string())
    }

    fn rule(path: &str, retain_s: u64) -> Value {
        json!({"match": {"path": path}, "idempotency": {"retain_s": retain_s}})
    }

    /// Seconds that the rules give to a POST at `path`; 900 if none is about it.
    fn retained(routes: &Routes, host: &str, path: &[u8]) -> u64 {
        let selection = routes.select(b"POST", host.as_bytes(), path);
        routes.policy(selection, None).retain.0 / 1000
    }

    #[track_caller]
    fn check(rules: &Value, path: &str, want: u64) {
        assert_eq!(
            retained(&read(rules).unwrap(), "a.test", path.as_bytes()),
            want,
            "{path}"
        );
    }

    #[track_caller]
    fn refused(rules: &Value, want: &str) {
        assert_eq!(read(rules).unwrap_err(), want);
    }

    #[test]
    fn without_rules_nothing_is_selected() {
        let routes = read(&json!([])).unwrap();
        assert!(routes.is_empty());
        assert_eq!(routes.select(b"POST", b"a", b"/"), Selection::NONE);
    }

    #[test]
    fn the_most_specific_template_wins() {
        let rules = json!([
            rule("*", 1),
            rule("/v1/{*rest}", 2),
            rule("/v1/orders/{id}", 3),
            rule("/v1/orders/new", 4)
        ]);
        for (path, want) in [
            ("/", 1),
            ("/v1/x/y", 2),
            ("/v1/orders/7", 3),
            ("/v1/orders/new", 4),
            ("/v1/orders/7/x", 2),
        ] {
            check(&rules, path, want);
        }
    }

    #[test]
    fn a_catch_all_matches_its_bare_prefix() {
        check(&json!([rule("/v1/{*rest}", 2)]), "/v1", 2);
        check(&json!([rule("/v1/{*rest}", 2)]), "/v1/", 2);
        check(&json!([rule("/{*rest}", 2)]), "/", 2);
        check(&json!([rule("/v1/{*rest}", 2), rule("/v1", 3)]), "/v1", 3);
    }

    #[test]
    fn another_spelling_does_not_dodge_a_rule() {
        for path in [
            "/v1/orders/",
            "//v1/orders",
            "/v1/./orders",
            "/v1/x/../orders",
            "/%761/orders",
            "/v1/orders//",
        ] {
            check(&json!([rule("/v1/orders", 2)]), path, 2);
        }
    }

    #[test]
    fn a_path_that_is_not_utf8_does_not_dodge_a_rule() {
        let rules = json!([rule("*", 2), rule("/a/{id}", 3), rule("/b/{*rest}", 4), rule("/c", 5)]);
        let routes = read(&rules).unwrap();
        let paths: [(&[u8], u64); 6] = [
            (b"/\xff", 2),
            (b"\xff", 2),
            (b"/a/\xff", 3),
            (b"//a/./\xff\xfe/", 3),
            (b"/b/x/\xc3/y", 4),
            (b"/c\xff", 2),
        ];
        for (path, want) in paths {
            assert_eq!(retained(&routes, "a", path), want, "{path:?}");
        }
    }

    #[test]
    fn rules_of_one_path_count_in_order_where_they_match() {
        let rules = json!([
            {"match": {"path": "/a"}, "idempotency": {"retain_s": 1, "mode": "required"}},
            {"match": {"path": "/a", "methods": ["PUT"]}, "idempotency": {"retain_s": 2}},
            {"match": {"path": "/a", "host": "*.b.test"}, "idempotency": {"retain_s": 3}},
        ]);
        let routes = read(&rules).unwrap();
        assert_eq!(retained(&routes, "a.test", b"/a"), 1);
        assert_eq!(retained(&routes, "x.b.test:80", b"/a"), 3);
        let put = routes.policy(routes.select(b"PUT", b"a.test", b"/a"), None);
        assert_eq!((put.retain, put.mode), (Millis(2000), Mode::Required));
    }

    #[test]
    fn a_broad_rule_is_not_hidden_by_a_narrower_one_for_other_requests() {
        let rules = json!([
            {"match": {"path": "/v1/orders", "methods": ["PUT"]}, "idempotency": {"mode": "off"}},
            {"match": {"path": "/v1/orders/{id}", "host": "b.test"}, "idempotency": {"mode": "optional"}},
            {"match": {"path": "/v1/{*rest}"}, "idempotency": {"mode": "required"}},
        ]);
        let routes = read(&rules).unwrap();
        let mode = |method: &str, host: &str, path: &str| {
            let selection = routes.select(method.as_bytes(), host.as_bytes(), path.as_bytes());
            routes.policy(selection, None).mode
        };
        assert_eq!(mode("POST", "a.test", "/v1/orders"), Mode::Required);
        assert_eq!(mode("PUT", "a.test", "/v1/orders"), Mode::Off);
        assert_eq!(mode("POST", "a.test", "/v1/orders/7"), Mode::Required);
        assert_eq!(mode("POST", "b.test", "/v1/orders/7"), Mode::Optional);
        assert_eq!(mode("POST", "a.test", "/v2"), Mode::Optional);
    }

    #[test]
    fn rules_of_broader_templates_count_field_by_field() {
        let rule = |path, field: &str, value: u64| json!({"match": {"path": path}, "idempotency": {field: value}});
        let rules = json!([
            rule("/v1/orders/{id}", "retain_s", 4),
            rule("/v1/{*rest}", "retain_s", 3),
            rule("/v1/{*rest}", "in_flight_status", 425),
            rule("*", "retain_s", 2),
            rule("*", "in_flight_status", 423)
        ]);
        let routes = read(&rules).unwrap();
        for (path, want) in [
            ("/v1/orders/7", (4000, 425)),
            ("/v1/orders", (3000, 425)),
            ("/v1", (3000, 425)),
            ("/", (2000, 423)),
        ] {
            let policy = routes.policy(routes.select(b"POST", b"a", path.as_bytes()), None);
            assert_eq!((policy.retain.0, policy.in_flight_status), want, "{path}");
        }
    }

    #[test]
    fn templates_that_only_overlap_do_not_add_up() {
        let rules = json!([rule("/a/{y}", 1), {"match": {"path": "/{x}/b"}, "idempotency": {"mode": "required"}}]);
        let routes = read(&rules).unwrap();
        let policy = routes.policy(routes.select(b"POST", b"a", b"/a/b"), None);
        assert_eq!((policy.retain, policy.mode), (Millis(1000), Mode::Optional));
    }

    #[test]
    fn of_two_that_cover_a_third_the_one_fixed_further_left_wins() {
        check(
            &json!([rule("/a/{y}", 1), rule("/{x}/b", 2), rule("/a/b", 3)]),
            "/a/b",
            3,
        );
        let narrow = json!({"match": {"path": "/a/b"}, "idempotency": {"mode": "required"}});
        check(&json!([rule("/a/{y}", 1), rule("/{x}/b", 2), narrow]), "/a/b", 1);
    }

    #[test]
    fn a_routes_metadata_goes_over_its_rules() {
        let routes =
            read(&json!([{"match": {"path": "/a"}, "idempotency": {"mode": "required", "retain_s": 5}}])).unwrap();
        let overrides = Overrides::read(&json!({"idempotency": {"mode": "optional"}})).unwrap();
        let policy = routes.policy(routes.select(b"POST", b"a", b"/a"), Some(&overrides));
        assert_eq!((policy.mode, policy.retain), (Mode::Optional, Millis(5000)));
    }

    #[test]
    fn unknown_outcomes_live_as_long_as_the_routes_records() {
        let routes = read(&json!([rule("/a", 5)])).unwrap();
        let policy = routes.policy(routes.select(b"POST", b"a", b"/a"), None);
        assert_eq!(policy.unknown_retain, Millis(5000));
    }

    #[test]
    fn rules_are_listed_with_what_each_wants() {
        let routes = read(&json!([rule("/a", 5), rule("/b/{id}", 6)])).unwrap();
        let listed: Vec<(&str, u64)> = routes.rules().map(|(path, policy)| (path, policy.retain.0)).collect();
        assert_eq!(listed, [("/a", 5000), ("/b/{id}", 6000)]);
    }

    /// Case T12.
    #[test]
    fn rules_with_one_match_and_two_values_are_refused() {
        let rule = |mode| json!({"match": {"path": "/a", "methods": ["POST"]}, "idempotency": {"mode": mode}});
        let want = "rules[1].idempotency.mode: contradicts rules[0].idempotency.mode: both rules have the same match";
        refused(&json!([rule("off"), rule("required")]), want);
        assert!(read(&json!([rule("off"), rule("off")])).is_ok());
    }

    /// Case T12.
    #[test]
    fn rules_that_only_overlap_do_not_contradict() {
        let rules = json!([rule("/a", 1), {"match": {"path": "/a", "host": "b"}, "idempotency": {"retain_s": 2}}]);
        assert!(read(&rules).is_ok());
    }

    /// Case T12.
    #[test]
    fn a_rule_that_is_off_says_nothing_else() {
        let rule = |retain_s| json!({"match": {"path": "/a"}, "idempotency": {"mode": "off", "retain_s": retain_s}});
        refused(
            &json!([rule(5)]),
            "rules[0].idempotency.retain_s: contradicts mode: off beside it",
        );
        assert!(read(&json!([rule(900)])).is_ok());
    }

    #[test]
    fn templates_that_fit_the_same_paths_are_refused() {
        let want = "rules[1].match.path: \"/a/{y}\" and \"/a/{x}\" of rules[0] fit the same paths; write them alike";
        refused(&json!([rule("/a/{x}", 1), rule("/a/{y}", 1)]), want);
    }

    #[test]
    fn what_is_no_template_is_refused() {
        let text = read(&json!([rule("/a/{x", 1), rule("/{*x}/b", 2), rule("a", 3)])).unwrap_err();
        let places: Vec<&str> = text.lines().map(|line| line.split(':').next().unwrap()).collect();
        assert_eq!(
            places,
            ["rules[0].match.path", "rules[1].match.path", "rules[2].match.path"],
            "{text}"
        );
    }

    #[test]
    fn one_path_has_at_most_64_rules() {
        let rules = |count: u64| Value::from((0..count).map(|_| rule("/a", 1)).collect::<Vec<_>>());
        assert!(read(&rules(64)).is_ok());
        refused(&rules(65), "rules[64].match.path: has more than 64 rules");
    }

    #[test]
    fn rules_of_broader_templates_are_counted_too() {
        let rules = |count: u64| Value::from_iter((0..count).map(|_| rule("/a", 1)).chain([rule("*", 1)]));
        assert!(read(&rules(63)).is_ok());
        let want = "rules[0].match.path: has more than 64 rules with those of broader templates";
        refused(&rules(64), want);
    }

    #[cfg(not(target_arch = "wasm32"))]
    #[expect(clippy::arithmetic_side_effects, reason = "the numbers of the tests are small")]
    mod properties {
        use super::*;
        use proptest::prelude::*;

        proptest! {
            #[test]
            fn any_templates_and_path_are_read_without_a_panic(
                paths in prop::collection::vec("/[ab{}*/.]{0,8}", 0..6),
                path in prop::collection::vec(any::<u8>(), 0..20),
            ) {
                let rules: Vec<Value> = paths.iter().map(|path| rule(path, 5)).collect();
                if let Ok(routes) = read(&Value::from(rules)) {
                    let _ = routes.select(b"POST", b"a", &path);
                }
            }

            #[test]
            fn the_64th_rule_is_selected_like_the_first(count in 1_u64..=64, wanted in 0_u64..64) {
                let wanted = wanted % count;
                let rule = |at| json!({"match": {"path": "/a", "host": format!("h{at}.test")}, "idempotency": {"retain_s": at + 1}});
                let routes = read(&Value::from((0..count).map(rule).collect::<Vec<_>>())).unwrap();
                prop_assert_eq!(retained(&routes, &format!("h{wanted}.test"), b"/a"), wanted + 1);
            }
        }
    }
}
