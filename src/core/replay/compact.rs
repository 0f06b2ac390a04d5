//! What a restore need not send, because something later makes up for it.
//!
//! Only where the target's owner declares that nothing but the last state counts: a PUT may ring a bell, too. What comes
//! back is the same state, by fewer requests; statuses may be others, since the first PUT that is sent creates.

use super::schedule::{Item, order, precedes};
use crate::config::{check_template, path_fits, plain_path};
use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// What the target's owner declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// On paths that fit, a PUT sets all there is, a DELETE takes it away, and neither does anything else.
    State {
        /// A template, as rules of the filter's document have them.
        path: String,
    },
    /// A request to a path that fits takes away all that is at, or came from, the paths that it empties.
    Clear {
        /// The method, in upper case.
        method: String,
        /// A template.
        path: String,
        /// A template.
        empties: String,
    },
}

impl Rule {
    /// Declares that only the last state of paths that fit counts.
    ///
    /// # Errors
    /// What is wrong with the template.
    pub fn state(path: &str) -> Result<Self, String> {
        let path = check_template(path)?;
        Ok(Self::State { path })
    }

    /// Tells whether a request could make up for others by this rule: then it need not create what it created, nor find
    /// what it took away.
    #[must_use]
    pub fn is_about(&self, method: &[u8], target: &[u8]) -> bool {
        let (path, has_query) = split(target);
        match self {
            Self::State { path: template } => {
                matches!(method, b"PUT" | b"DELETE") && !has_query && path_fits(template, &path)
            }
            Self::Clear {
                method: of,
                path: template,
                ..
            } => of.as_bytes() == method && path_fits(template, &path),
        }
    }

    /// Declares that a request empties paths.
    ///
    /// # Errors
    /// What is wrong with a template.
    pub fn clear(method: &str, path: &str, empties: &str) -> Result<Self, String> {
        Ok(Self::Clear {
            method: method.to_ascii_uppercase(),
            path: check_template(path)?,
            empties: check_template(empties)?,
        })
    }
}

/// A mutation that a restore would send, or that the target has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mutation<'a> {
    /// `:method`.
    pub method: &'a [u8],
    /// `:path`, with the query.
    pub target: &'a [u8],
    /// The captured response's status.
    pub status: Option<u16>,
    /// Whether it makes up for nothing: it asked for a state to be there before, by `if-match` and the like, or it
    /// cannot be sent.
    pub is_weak: bool,
    /// Whether the target has it already, or may have it.
    pub is_there: bool,
    /// When it ran.
    pub item: Item,
}

/// A mutation that need not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Superseded {
    /// Its place in the list.
    pub at: usize,
    /// The place of what makes up for it; its own, if it takes away what is not sent.
    pub by: usize,
}

/// Finds what need not be sent, in the order of places.
///
/// One mutation supersedes another only if it began after the end of the other.
#[must_use]
pub fn compact(mutations: &[Mutation<'_>], rules: &[Rule]) -> Vec<Superseded> {
    if rules.is_empty() {
        return Vec::new();
    }
    let items: Vec<Item> = mutations.iter().map(|mutation| mutation.item).collect();
    let mut history = History {
        mutations,
        rules,
        states: BTreeMap::new(),
        clearable: rules.iter().map(|_| Vec::new()).collect(),
        superseded: BTreeMap::new(),
    };
    for at in order(&items) {
        history.take(at);
    }
    let found = history.superseded.into_iter();
    found.map(|(at, by)| Superseded { at, by }).collect()
}

/// Takes a target apart: its path, and whether it has a query.
fn split(target: &[u8]) -> (Cow<'_, str>, bool) {
    let mut parts = target.splitn(2, |byte| *byte == b'?');
    let path = plain_path(parts.next().unwrap_or_default());
    (path, parts.next().is_some())
}

struct History<'a> {
    mutations: &'a [Mutation<'a>],
    rules: &'a [Rule],
    /// By path, where its state comes from; nothing but these made or used it.
    states: BTreeMap<String, Origin>,
    /// By rule, what a clear would take away.
    clearable: Vec<Vec<usize>>,
    superseded: BTreeMap<usize, usize>,
}

#[derive(Default)]
struct Origin {
    /// The first of all changes: it tells whether anything was there before.
    first: Option<usize>,
    /// Whether the target has one of the changes: then it takes a DELETE to undo it.
    is_there: bool,
    /// Those that are not made up for.
    parts: Vec<usize>,
}

impl History<'_> {
    fn take(&mut self, at: usize) {
        let Some(mutation) = self.mutations.get(at).copied() else {
            return;
        };
        // What was refused changed nothing, and is sent to be refused again.
        if !mutation.status.is_some_and(|status| (200..300).contains(&status)) {
            return;
        }
        let (path, has_query) = split(mutation.target);
        self.forget_above(&path);
        self.clear(at, &mutation, &path);
        let is_state = |rule: &Rule| matches!(rule, Rule::State { path: template } if path_fits(template, &path));
        if self.rules.iter().any(is_state) {
            let method = if has_query { b"" } else { mutation.method };
            self.set_state(at, method, &mutation, path);
        }
    }

    /// A request below a path may have used the state that the path had then.
    fn forget_above(&mut self, path: &str) {
        for (end, _) in path.match_indices('/') {
            if let Some(above) = path.get(..end) {
                self.states.remove(above);
            }
        }
    }

    fn clear(&mut self, at: usize, mutation: &Mutation<'_>, path: &str) {
        let is_clear = |rule: &Rule| {
            matches!(rule, Rule::Clear { method, path: template, .. }
            if method.as_bytes() == mutation.method && path_fits(template, path) && !mutation.is_weak)
        };
        let empties = |rule: &Rule| matches!(rule, Rule::Clear { empties, .. } if path_fits(empties, path));
        // What a clear took away is not known to another clear, unless it is of the same kind.
        let is_any = self.rules.iter().any(is_clear);
        for (number, rule) in self.rules.iter().enumerate() {
            let is_own = is_clear(rule);
            if !is_own && (is_any || !empties(rule)) {
                continue;
            }
            let mut clearable = self.clearable.get_mut(number).map(core::mem::take).unwrap_or_default();
            if is_own {
                clearable = self.supersede(clearable, at);
            }
            clearable.push(at);
            if let Some(place) = self.clearable.get_mut(number) {
                *place = clearable;
            }
        }
    }

    fn set_state(&mut self, at: usize, method: &[u8], mutation: &Mutation<'_>, path: Cow<'_, str>) {
        let is_change = matches!(method, b"PUT" | b"PATCH" | b"DELETE");
        let Some(mut state) = is_change.then(|| self.states.remove(&*path).unwrap_or_default()) else {
            self.states.remove(&*path);
            return;
        };
        let is_created = self.creates(*state.first.get_or_insert(at));
        if method != b"PATCH" && !mutation.is_weak {
            state.parts = self.supersede(state.parts, at);
        }
        let is_new = is_created && !state.is_there;
        state.is_there |= mutation.is_there;
        if method == b"DELETE" && !mutation.is_weak && is_new && state.parts.is_empty() {
            self.superseded.insert(at, at);
        } else {
            state.parts.push(at);
            self.states.insert(path.into_owned(), state);
        }
    }

    fn creates(&self, at: usize) -> bool {
        let created = |mutation: &Mutation<'_>| mutation.method == b"PUT" && mutation.status == Some(201);
        self.mutations.get(at).is_some_and(created)
    }

    /// Notes that `by` makes up for `before`; gives back those that overlapped it.
    fn supersede(&mut self, before: Vec<usize>, by: usize) -> Vec<usize> {
        let item = |at: usize| self.mutations.get(at).map(|mutation| mutation.item);
        let is_over = |at: &usize| {
            item(*at)
                .zip(item(by))
                .is_some_and(|(one, other)| precedes(&one, &other))
        };
        let (over, left): (Vec<_>, Vec<_>) = before.into_iter().partition(is_over);
        for at in over {
            self.superseded.entry(at).or_insert(by);
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn rules() -> Vec<Rule> {
        vec![
            Rule::state("/devices/{id}").unwrap(),
            Rule::clear("delete", "/commands", "/commands/{*rest}").unwrap(),
            Rule::clear("POST", "/reset", "*").unwrap(),
        ]
    }

    /// Reads `METHOD TARGET STATUS [if]`, one after the other in time.
    fn history<'a>(lines: &[&'a str]) -> Vec<Mutation<'a>> {
        let read = |(line, began_us): (&&'a str, u64)| {
            let mut words = line.split(' ');
            Mutation {
                method: words.next().unwrap_or_default().as_bytes(),
                target: words.next().unwrap_or_default().as_bytes(),
                status: words.next().and_then(|status| status.parse().ok()),
                is_weak: words.next() == Some("if"),
                is_there: false,
                item: Item {
                    began_us,
                    ended_us: began_us.saturating_add(5),
                    ..Item::default()
                },
            }
        };
        lines.iter().zip((1..).step_by(10)).map(read).collect()
    }

    #[track_caller]
    fn check(lines: &[&str], want: &[(usize, usize)]) {
        let found = compact(&history(lines), &rules());
        let found: Vec<_> = found.iter().map(|each| (each.at, each.by)).collect();
        assert_eq!(found, want);
    }

    #[test]
    fn the_last_put_makes_up_for_those_before_it() {
        check(
            &[
                "PUT /devices/1 201",
                "PATCH /devices/1 200",
                "PUT /devices/1 200",
                "PUT /devices/2 201",
            ],
            &[(0, 2), (1, 2)],
        );
        check(&["PUT /devices/1 201", "PUT /devices/1/ 200"], &[(0, 1)]);
        check(&["PUT /other/1 201", "PUT /other/1 200"], &[]);
    }

    #[test]
    fn a_delete_takes_all_with_it_and_itself_if_nothing_was_there_before() {
        check(
            &["PUT /devices/1 201", "PATCH /devices/1 200", "DELETE /devices/1 204"],
            &[(0, 2), (1, 2), (2, 2)],
        );
        check(&["PUT /devices/1 200", "DELETE /devices/1 204"], &[(0, 1)]);
        check(
            &["PATCH /devices/1 200", "DELETE /devices/1 204", "PUT /devices/1 201"],
            &[(0, 1), (1, 2)],
        );
    }

    #[test]
    fn what_may_have_used_a_state_keeps_it() {
        for between in [
            "POST /devices/1 200",
            "POST /devices/1/copy 200",
            "PUT /devices/1?dry 200",
            "PURGE /devices/1 200",
        ] {
            check(&["PUT /devices/1 201", between, "PUT /devices/1 200"], &[]);
            check(&["PUT /devices/1 201", between, "DELETE /devices/1 204"], &[]);
        }
        check(
            &["PUT /devices/1 201", "POST /devices/12/copy 200", "PUT /devices/1 200"],
            &[(0, 2)],
        );
    }

    #[test]
    fn a_conditional_change_needs_what_was_before() {
        check(&["PUT /devices/1 201", "PUT /devices/1 200 if"], &[]);
        check(&["PUT /devices/1 201", "DELETE /devices/1 204 if"], &[]);
        check(
            &["PUT /devices/1 201", "PUT /devices/1 200 if", "PUT /devices/1 200"],
            &[(0, 2), (1, 2)],
        );
        check(&["POST /commands 201", "DELETE /commands 200 if"], &[]);
    }

    #[test]
    fn what_was_refused_makes_up_for_nothing() {
        check(
            &["PUT /devices/1 201", "PUT /devices/1 409", "DELETE /devices/1 404"],
            &[],
        );
        check(&["POST /commands 201", "DELETE /commands 500", "DELETE /commands"], &[]);
    }

    #[test]
    fn a_clear_makes_up_for_all_that_it_empties() {
        check(
            &[
                "POST /commands 201",
                "POST /commands/7/retry 200",
                "POST /orders 201",
                "DELETE /commands 200",
                "POST /commands 201",
            ],
            &[(0, 3), (1, 3)],
        );
        check(&["DELETE /commands 200", "DELETE /commands 200"], &[(0, 1)]);
        check(
            &[
                "POST /commands 201",
                "DELETE /commands 200",
                "PUT /devices/1 201",
                "POST /reset 200",
            ],
            &[(0, 1), (2, 3)],
        );
    }

    #[test]
    fn what_overlapped_makes_up_for_nothing() {
        let mut both = history(&["PUT /devices/1 201", "PUT /devices/1 200", "PUT /devices/1 200"]);
        both[0].item.ended_us = both[1].item.began_us;
        assert_eq!(
            compact(&both, &rules()),
            [Superseded { at: 0, by: 2 }, Superseded { at: 1, by: 2 }]
        );
        assert_eq!(compact(&both[..2], &rules()), []);
        let mut cleared = history(&["POST /commands 201", "DELETE /commands 200"]);
        cleared[0].item.ended_us = 0;
        assert_eq!(compact(&cleared, &rules()), []);
    }

    #[test]
    fn a_delete_of_what_the_target_has_is_sent() {
        let mut known = history(&["PUT /devices/1 201", "PUT /devices/1 200", "DELETE /devices/1 204"]);
        known[0].is_there = true;
        assert_eq!(
            compact(&known, &rules()),
            [Superseded { at: 0, by: 1 }, Superseded { at: 1, by: 2 }]
        );
    }

    #[test]
    fn a_rule_is_about_what_could_make_up_for_others() {
        let is_about = |method: &str, target: &str| {
            let is_it = |rule: &Rule| rule.is_about(method.as_bytes(), target.as_bytes());
            rules().iter().any(is_it)
        };
        for (method, target) in [
            ("PUT", "/devices/1"),
            ("DELETE", "/devices/1/"),
            ("DELETE", "/commands?all"),
            ("POST", "/reset"),
        ] {
            assert!(is_about(method, target), "{method} {target}");
        }
        for (method, target) in [
            ("PATCH", "/devices/1"),
            ("PUT", "/devices/1?dry"),
            ("PUT", "/commands"),
            ("POST", "/commands"),
            ("GET", "/reset"),
        ] {
            assert!(!is_about(method, target), "{method} {target}");
        }
    }

    #[test]
    fn without_a_rule_all_is_sent() {
        assert_eq!(
            compact(&history(&["PUT /devices/1 201", "PUT /devices/1 200"]), &[]),
            []
        );
        assert!(Rule::state("devices").is_err() && Rule::clear("POST", "/a", "/*").is_err());
    }

    #[cfg(not(target_arch = "wasm32"))]
    mod properties {
        use super::*;
        use alloc::string::ToString;
        use proptest::prelude::*;

        /// A system with devices, whose changes leave no trace, commands, that can be cleared, and a log of what was copied.
        #[derive(Debug, Clone, PartialEq, Default)]
        struct System {
            devices: BTreeMap<String, Vec<usize>>,
            commands: Vec<usize>,
            log: Vec<Option<Vec<usize>>>,
        }

        impl System {
            fn answer(&mut self, method: &str, target: &str, at: usize, is_conditional: bool) -> u16 {
                let parts: Vec<_> = target.trim_start_matches('/').split('/').collect();
                match (method, &parts[..]) {
                    ("POST", ["reset"]) => {
                        *self = Self::default();
                        200
                    }
                    ("POST", ["commands"]) => {
                        self.commands.push(at);
                        201
                    }
                    ("DELETE", ["commands"]) => {
                        self.commands.clear();
                        200
                    }
                    ("POST", ["devices", id, "copy"]) => {
                        self.log.push(self.devices.get(*id).cloned());
                        200
                    }
                    (_, ["devices", id]) => self.device(method, id, at, is_conditional),
                    _ => 404,
                }
            }

            fn device(&mut self, method: &str, id: &str, at: usize, is_conditional: bool) -> u16 {
                let state = self.devices.get_mut(id);
                match (method, state) {
                    (_, None) if is_conditional => 412,
                    ("PUT", state) => {
                        let status = if state.is_some() { 200 } else { 201 };
                        self.devices.insert(id.into(), vec![at]);
                        status
                    }
                    ("PATCH", Some(state)) => {
                        state.push(at);
                        200
                    }
                    ("DELETE", Some(_)) => {
                        self.devices.remove(id);
                        204
                    }
                    _ => 404,
                }
            }
        }

        const REQUESTS: [(&str, &str); 9] = [
            ("PUT", "/devices/1"),
            ("PUT", "/devices/2"),
            ("PATCH", "/devices/1"),
            ("DELETE", "/devices/1"),
            ("DELETE", "/devices/2"),
            ("POST", "/devices/1/copy"),
            ("POST", "/commands"),
            ("DELETE", "/commands"),
            ("POST", "/reset"),
        ];

        proptest! {
            #![proptest_config(ProptestConfig::with_cases(2_000))]

            #[test]
            fn the_same_state_comes_back(
                requests in prop::collection::vec((prop::sample::select(&REQUESTS[..]), prop::bool::weighted(0.2), 0..25_u64), 0..30),
                has_device: bool,
                restored in 0..30_usize,
            ) {
                let mut before = System::default();
                if has_device {
                    before.devices.insert(1.to_string(), vec![999]);
                }
                let (mut system, mut mutations) = (before.clone(), vec![]);
                for (at, ((method, target), is_conditional, lasts)) in requests.iter().enumerate() {
                    let status = Some(system.answer(method, target, at, *is_conditional));
                    let began_us = u64::try_from(at).unwrap().saturating_mul(10);
                    let item = Item { began_us, ended_us: began_us.saturating_add(*lasts), ..Item::default() };
                    let (method, target) = (method.as_bytes(), target.as_bytes());
                    let (is_weak, is_there) = (*is_conditional, false);
                    mutations.push(Mutation { method, target, status, is_weak, is_there, item });
                }
                let mut again = before;
                // A restore of what there was so far, and one of all.
                for until in [restored.min(mutations.len()), mutations.len()] {
                    let superseded = compact(&mutations[..until], &rules());
                    for (at, ((method, target), is_conditional, _)) in requests.iter().enumerate().take(until) {
                        if !mutations[at].is_there && superseded.iter().all(|each| each.at != at) {
                            again.answer(method, target, at, *is_conditional);
                            mutations[at].is_there = true;
                        }
                    }
                }
                prop_assert_eq!(again, system);
            }
        }
    }
}
