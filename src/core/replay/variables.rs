//! Values that the target makes anew in each life: ids and tokens that later requests have to use as they are now.
//!
//! Rules of people come first. Then what a captured response said is compared with what the replayed one says at the
//! same place: where they differ, later requests that use the one get the other. An id that could be anything, such as
//! 7, is only replaced where the same kind of thing is meant: in `/orders/7` or as `order_id`, if it was an order's.
//! Amounts, words and dates are left alone.

mod lesson;
mod names;
mod places;
mod text;

use super::compare::{Place, Response};
use super::request::Outgoing;
use super::step::is_safe;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use lesson::Lesson;

/// Most values that are learned.
pub const VALUES_MAX: usize = 1 << 20;

/// What people ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// A text is replaced by another wherever it stands as a word of its own.
    Text {
        /// What is replaced.
        from: String,
        /// By what.
        to: String,
    },
    /// The value at this place of each response is one to learn, whatever it looks like.
    At(Place),
}

impl Rule {
    /// Reads `FROM=TO`, `json:POINTER` or `header:NAME`; none if it is none of them.
    ///
    /// Shape: in FROM, `\=` is an equals sign and `\\` a backslash.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.starts_with("json:") || text.starts_with("header:") {
            return Place::parse(text).map(Self::At);
        }
        let mut from = String::new();
        let mut rest = text.chars();
        loop {
            match rest.next()? {
                '=' => break,
                '\\' => from.push(rest.next().filter(|char| matches!(char, '=' | '\\'))?),
                plain => from.push(plain),
            }
        }
        let to = rest.as_str().into();
        (!from.is_empty()).then_some(Self::Text { from, to })
    }
}

/// One value that is another in this replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Learned {
    /// What was captured.
    pub was: String,
    /// What it is in this replay; the same if it is no other any more.
    pub is: String,
    /// Of which kind of thing it is the id; empty = it is known again wherever it stands.
    pub noun: String,
    /// Whether its place says that it is an id: then a response that has the one instead of the other is the same.
    pub is_id: bool,
}

/// A request that was answered again.
#[derive(Debug, Clone, Copy)]
pub struct Exchange<'a> {
    /// `:method`.
    pub method: &'a [u8],
    /// `:path`, as captured.
    pub target: &'a [u8],
    /// The captured response.
    pub was: Response<'a>,
    /// The replayed one.
    pub is: Response<'a>,
}

/// What is known about values of this replay.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    texts: Vec<(String, String)>,
    places: Vec<Place>,
    is_auto: bool,
    values: BTreeMap<String, Vec<Meaning>>,
    count: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Meaning {
    noun: String,
    is: String,
    is_id: bool,
}

/// Where a value stands.
#[derive(Debug, Clone, Default)]
struct Context {
    /// Kinds of things whose id it may be.
    nouns: Vec<String>,
    /// Whether only ids count.
    ids_only: bool,
    /// Whether only values count that nobody says by chance, besides those of `nouns`.
    certain_only: bool,
}

impl Variables {
    /// Begins with the rules of people; `is_auto` = learns from responses beyond what rules name.
    #[must_use]
    pub fn new(rules: Vec<Rule>, is_auto: bool) -> Self {
        let mut variables = Self {
            is_auto,
            ..Self::default()
        };
        for rule in rules {
            match rule {
                Rule::Text { from, to } => variables.texts.push((from, to)),
                Rule::At(place) => variables.places.push(place),
            }
        }
        variables
    }

    /// Learns from one answer, and gives what is new: to be written down, for [`Variables::remember`] after a crash.
    pub fn learn(&mut self, exchange: &Exchange<'_>) -> Vec<Learned> {
        let learned = Lesson::of(exchange, self);
        let is_latest = !is_safe(exchange.method);
        learned.into_iter().filter(|each| self.put(each, is_latest)).collect()
    }

    /// Takes back what was learned in an earlier run.
    pub fn remember(&mut self, learned: &Learned) {
        self.put(learned, true);
    }

    /// Replaces what is known to be another value now; tells how many places changed.
    ///
    /// Target, headers and body stay byte for byte as they are elsewhere.
    pub fn apply(&self, request: &mut Outgoing) -> u32 {
        if self.texts.is_empty() && self.values.is_empty() {
            return 0;
        }
        places::replace(request, self)
    }

    /// Tells whether `is` says at `place` now what `was` said there then, as far as ids go; `target` is the request's.
    ///
    /// A value that could be anything counts only where the name says that it is an id, and one of the same kind.
    #[must_use]
    pub fn renames(&self, was: &str, is: &str, place: &Place, target: &[u8]) -> bool {
        let is_ruled = self.places.iter().any(|ruled| ruled.fits(place));
        let nouns = places::id_nouns(place, target);
        let context = Context {
            certain_only: nouns.is_empty() && !is_ruled,
            nouns,
            ids_only: true,
        };
        self.replaced(was, &context).is_some_and(|now| now == is)
    }

    /// Tells whether it is known what the id of a thing of this kind is now.
    fn has_id(&self, was: &str, noun: &str) -> bool {
        let is_it = |meaning: &Meaning| meaning.is_id && meaning.noun == noun;
        self.values.get(was).is_some_and(|meanings| meanings.iter().any(is_it))
    }

    /// Stores a value; tells whether that changed anything. The first meaning counts, unless `is_latest`.
    fn put(&mut self, learned: &Learned, is_latest: bool) -> bool {
        let is_same = learned.was == learned.is;
        let meanings = self.values.get_mut(&learned.was);
        let known = meanings.and_then(|meanings| meanings.iter_mut().find(|known| known.noun == learned.noun));
        match known {
            Some(known) if (known.is != learned.is && is_latest) || (known.is == learned.is && learned.is_id) => {
                let before = known.clone();
                known.is.clone_from(&learned.is);
                known.is_id |= learned.is_id;
                *known != before
            }
            Some(_) => false,
            None if is_same || self.count >= VALUES_MAX => false,
            None => {
                self.count = self.count.saturating_add(1);
                let Learned { was, is, noun, is_id } = learned.clone();
                self.values.entry(was).or_default().push(Meaning { noun, is, is_id });
                true
            }
        }
    }

    /// Finds what a whole value is now.
    fn value(&self, was: &str, context: &Context) -> Option<&str> {
        let meanings = self.values.get(was)?;
        let fits = |noun: &str| {
            meanings
                .iter()
                .find(|each| each.noun == noun && (each.is_id || !context.ids_only))
        };
        let known = context
            .nouns
            .iter()
            .filter(|noun| !noun.is_empty())
            .find_map(|noun| fits(noun));
        let is_certain = !context.certain_only || names::is_certain(was);
        let anywhere = || fits("").filter(|_| is_certain);
        known.or_else(anywhere).map(|meaning| &*meaning.is)
    }

    /// Replaces what a text says; none if it stays as it is.
    fn replaced(&self, text: &str, context: &Context) -> Option<String> {
        let mut now = None;
        if !context.ids_only {
            for (from, to) in &self.texts {
                let text = now.as_deref().unwrap_or(text);
                now = text::replace_word(text, from, to).or(now);
            }
        }
        let text = now.as_deref().unwrap_or(text);
        if self.values.is_empty() {
            return now;
        }
        let whole = self.value(text, context).map(String::from);
        whole.or_else(|| text::replace_parts(text, self, context)).or(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::write_pairs;
    use crate::replay::request::Header;
    use crate::wire::Half;
    use alloc::vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const UUID: &str = "8e03978e-40d5-43e8-bc93-6894a57f9324";
    const NEW_UUID: &str = "0b1f2c3d-40d5-43e8-bc93-6894a57f9999";

    fn half(headers: &[(&str, &str)], body: &str) -> Half {
        let mut pairs = vec![];
        let all = [(":status", "200")];
        let raw = all
            .iter()
            .chain(headers)
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        write_pairs(raw, &mut pairs);
        Half {
            pairs,
            body: body.into(),
            ended: true,
            ..Half::default()
        }
    }

    fn teach(variables: &mut Variables, request: &str, was: &Half, is: &Half) -> Vec<Learned> {
        let (method, target) = request.split_once(' ').unwrap();
        variables.learn(&Exchange {
            method: method.as_bytes(),
            target: target.as_bytes(),
            was: Response::of(was).unwrap(),
            is: Response::of(is).unwrap(),
        })
    }

    /// What is known after one response with another body.
    fn after(request: &str, was: &str, is: &str) -> Variables {
        let mut variables = Variables::new(vec![], true);
        teach(&mut variables, request, &half(&[], was), &half(&[], is));
        variables
    }

    fn request(target: &str, headers: &[(&str, &str)], body: &str) -> Outgoing {
        let header = |(name, value): &(&str, &str)| Header::from((name.as_bytes(), value.as_bytes()));
        Outgoing {
            target: target.into(),
            headers: headers.iter().map(header).collect(),
            body: body.into(),
            ..Outgoing::default()
        }
    }

    #[track_caller]
    fn check(variables: &Variables, mut before: Outgoing, after: &Outgoing) {
        let unmapped = before.clone();
        let mapped = variables.apply(&mut before);
        assert!(mapped > 0 || before == unmapped);
        let text = |request: &Outgoing| {
            let lines = request
                .headers
                .iter()
                .map(|header| String::from_utf8_lossy(&header.value).into_owned());
            let lines = [&request.target, &request.body]
                .map(|part| String::from_utf8_lossy(part).into_owned())
                .into_iter()
                .chain(lines);
            lines.collect::<Vec<_>>()
        };
        assert_eq!(text(&before), text(after));
    }

    #[track_caller]
    fn check_target(variables: &Variables, before: &str, after: &str) {
        check(variables, request(before, &[], ""), &request(after, &[], ""));
    }

    #[track_caller]
    fn check_json(variables: &Variables, before: &str, after: &str) {
        check(variables, request("/", &[], before), &request("/", &[], after));
    }

    #[test]
    fn a_value_that_nobody_says_by_chance_is_replaced_wherever_it_stands() {
        let variables = after(
            "POST /v1/orders",
            &format(r#"{"id":"@"}"#, UUID),
            &format(r#"{"id":"@"}"#, NEW_UUID),
        );
        for place in ["/v1/orders/@", "/a/@/b?x=@&y=1", "/a?q=x%20@", "/a?u=/b/@"] {
            let after = format(place, NEW_UUID).replace("u=/b/", "u=%2Fb%2F");
            check_target(&variables, &format(place, UUID), &after);
        }
        check_json(
            &variables,
            &format(r#"{ "a" : ["@", "see @!"] , "n":1.0 }"#, UUID),
            &format(r#"{ "a" : ["@", "see @!"] , "n":1.0 }"#, NEW_UUID),
        );
        check_json(
            &variables,
            &format("plain @ text", UUID),
            &format("plain @ text", NEW_UUID),
        );
        let form = "application/x-www-form-urlencoded";
        let with = |value| {
            request(
                "/",
                &[
                    ("content-type", form),
                    ("cookie", &format("a=b; sid=@", value)),
                    ("authorization", &format("Bearer @", value)),
                ],
                &format("a=@&b=x+y&c", value),
            )
        };
        check(&variables, with(UUID), &with(NEW_UUID));
    }

    fn format(text: &str, value: &str) -> String {
        text.replace('@', value)
    }

    #[test]
    fn parts_of_longer_words_stay() {
        let variables = after("POST /v1/orders", r#"{"id":"ord1"}"#, r#"{"id":"ord2"}"#);
        for target in [
            "/v1/orders/ord1-x",
            "/v1/orders/xord1",
            "/v1/orders/ord1_",
            "/v1/orders/éord1",
        ] {
            check_target(&variables, target, target);
        }
        check_target(&variables, "/v1/orders/ord1.json", "/v1/orders/ord2.json");
    }

    #[test]
    fn a_plain_id_is_replaced_where_its_kind_is_meant() {
        let variables = after("POST /v1/orders", r#"{"id":7,"amount":7}"#, r#"{"id":9,"amount":7}"#);
        check_target(
            &variables,
            "/v1/orders/7/lines?order_id=7&n=7",
            "/v1/orders/9/lines?order_id=9&n=7",
        );
        check_json(
            &variables,
            r#"{"orderId":7,"order":{"id":"7"},"orders":[7, 8],"n":7}"#,
            r#"{"orderId":9,"order":{"id":"9"},"orders":[9, 8],"n":7}"#,
        );
        for target in ["/v1/users/7", "/v1/7", "/v1/users?user_id=7", "/7/orders"] {
            check_target(&variables, target, target);
        }
        let own = request("/v1/orders", &[], r#"{"id":7}"#);
        check(&variables, own, &request("/v1/orders", &[], r#"{"id":9}"#));
        check_json(
            &variables,
            r#"{"id":7,"text":"order 7, see /orders/7"}"#,
            r#"{"id":7,"text":"order 7, see /orders/9"}"#,
        );
    }

    #[test]
    fn the_object_around_an_id_says_of_what_it_is() {
        let variables = after(
            "POST /v1/carts",
            r#"{"order":{"id":7},"data":[{"id":3}]}"#,
            r#"{"order":{"id":9},"data":[{"id":4}]}"#,
        );
        check_target(&variables, "/orders/7", "/orders/9");
        check_target(&variables, "/carts/7", "/carts/7");
        check_target(&variables, "/carts/3", "/carts/4");
    }

    #[test]
    fn words_amounts_and_dates_are_left_alone() {
        let was =
            r#"{"state":"pending","total":1000,"price":"10.50","at":"2026-11-20T10:00:00Z","request_id":"abc123"}"#;
        let is = r#"{"state":"active","total":1001,"price":"11.50","at":"2026-11-21T10:00:00Z","request_id":"def456"}"#;
        let variables = after("POST /v1/orders", was, is);
        check_json(&variables, was, was);
        check_json(
            &variables,
            r#"{"order_id":"x","id":"x"}"#,
            r#"{"order_id":"x","id":"x"}"#,
        );
    }

    #[test]
    fn values_that_only_moved_are_no_others() {
        let variables = after(
            "POST /v1/orders",
            r#"[{"id":"a1b2"},{"id":"c3d4"},{"id":"e5f6"}]"#,
            r#"[{"id":"c3d4"},{"id":"a1b2"},{"id":"x7y8"}]"#,
        );
        check_target(&variables, "/v1/orders/a1b2/c3d4/e5f6", "/v1/orders/a1b2/c3d4/x7y8");
    }

    #[test]
    fn headers_teach_too() {
        let mut variables = Variables::new(vec![], true);
        let headers = |id, tag, time, session| {
            [
                ("location", id),
                ("etag", tag),
                ("last-modified", time),
                ("x-session-id", session),
                ("set-cookie", session),
            ]
        };
        let was = half(
            &headers("http://a.test/v1/orders/7?x", "W/\"1\"", "Fri, 20 Nov", "s1x1"),
            "",
        );
        let is = half(&headers("/v1/orders/9", "W/\"2\"", "Sat, 21 Nov", "s2x2"), "");
        teach(&mut variables, "POST /v1/orders", &was, &is);
        let with = |id: &str, tag, time, session| {
            request(
                &format("/v1/orders/@", id),
                &[("if-match", tag), ("if-unmodified-since", time), ("x-s", session)],
                "",
            )
        };
        check(
            &variables,
            with("7", "\"0\", W/\"1\"", "Fri, 20 Nov", "s1x1"),
            &with("9", "\"0\", W/\"2\"", "Sat, 21 Nov", "s2x2"),
        );
    }

    #[test]
    fn a_redacted_value_of_a_response_is_known_again() {
        let token = "rdt_abcdefghijklmnopqrstuvwx27";
        let variables = after(
            "POST /login",
            &format(r#"{"access_token":"@"}"#, token),
            r#"{"access_token":"real.1"}"#,
        );
        let with = |value| request("/", &[("authorization", &format("Bearer @", value))], "");
        check(&variables, with(token), &with("real.1"));
    }

    #[test]
    fn rules_replace_words_and_paths() {
        let rules = ["v1=v2", "/old/path/=/new/", "7=x y", "a\\=b=c"].map(|rule| Rule::parse(rule).unwrap());
        let variables = Variables::new(rules.into(), false);
        check_target(
            &variables,
            "/v1/av1/v1b/old/path/7?q=7&r=v1",
            "/v2/av1/v1b/new/x%20y?q=x%20y&r=v2",
        );
        check_json(
            &variables,
            r#"{"a":7,"b":17,"c":"7","d":"a=b"}"#,
            r#"{"a":"x y","b":17,"c":"x y","d":"c"}"#,
        );
    }

    #[test]
    fn a_rule_names_a_place_whatever_stands_there() {
        let rules = ["json:/code", "header:x-word"].map(|rule| Rule::parse(rule).unwrap());
        let mut variables = Variables::new(rules.into(), false);
        let learned = teach(
            &mut variables,
            "POST /a",
            &half(&[("x-word", "red")], r#"{"code":"on","id":1}"#),
            &half(&[("x-word", "blue")], r#"{"code":"off","id":2}"#),
        );
        assert_eq!(learned.len(), 2);
        check_json(
            &variables,
            r#"{"x":"on","y":"red","id":1}"#,
            r#"{"x":"off","y":"blue","id":1}"#,
        );
    }

    #[test]
    fn what_is_no_rule_is_none() {
        for text in ["", "a", "=b", "json:a=b", "header:", "a\\b=c", "a\\"] {
            assert_eq!(Rule::parse(text), None, "{text}");
        }
        assert_eq!(
            Rule::parse("a="),
            Some(Rule::Text {
                from: "a".into(),
                to: "".into()
            })
        );
    }

    #[test]
    fn the_first_meaning_counts_but_an_id_that_is_made_again_is_the_new_one() {
        let mut variables = after("POST /v1/orders", r#"{"id":7}"#, r#"{"id":9}"#);
        teach(
            &mut variables,
            "GET /v1/orders",
            &half(&[], r#"{"id":7}"#),
            &half(&[], r#"{"id":1}"#),
        );
        check_target(&variables, "/orders/7", "/orders/9");
        let again = teach(
            &mut variables,
            "POST /v1/orders",
            &half(&[], r#"{"id":7}"#),
            &half(&[], r#"{"id":10}"#),
        );
        assert_eq!(again.len(), 1);
        check_target(&variables, "/orders/7", "/orders/10");
        teach(
            &mut variables,
            "PUT /v1/orders",
            &half(&[], r#"{"id":7}"#),
            &half(&[], r#"{"id":7}"#),
        );
        check_target(&variables, "/orders/7", "/orders/7");
    }

    #[test]
    fn what_was_learned_can_be_remembered() {
        let mut variables = Variables::new(vec![], true);
        let (was, is) = (
            half(&[], r#"{"id":7,"key":"a1b2"}"#),
            half(&[], r#"{"id":9,"key":"c3d4"}"#),
        );
        let learned = teach(&mut variables, "POST /v1/orders", &was, &is);
        assert_eq!(learned.len(), 2);
        assert_eq!(teach(&mut variables, "POST /v1/orders", &was, &is), []);
        let mut other = Variables::new(vec![], true);
        learned.iter().for_each(|each| other.remember(each));
        assert_eq!(other.values, variables.values);
    }

    #[test]
    fn no_more_is_learned_than_there_is_room_for() {
        let mut variables = Variables {
            count: VALUES_MAX,
            ..Variables::new(vec![], true)
        };
        assert_eq!(
            teach(
                &mut variables,
                "POST /a",
                &half(&[], r#"{"id":7}"#),
                &half(&[], r#"{"id":9}"#)
            ),
            []
        );
    }

    #[test]
    fn the_clients_key_and_encoded_bodies_stay() {
        let variables = after("POST /v1/orders", r#"{"id":"ord1"}"#, r#"{"id":"ord2"}"#);
        let keyed = request(
            "/",
            &[("idempotency-key", "ord1"), ("content-encoding", "gzip")],
            "ord1",
        );
        check(&variables, keyed.clone(), &keyed);
        let mut digested = request("/", &[("content-digest", "x")], "ord1");
        variables.apply(&mut digested);
        assert_eq!((digested.headers.len(), &digested.body[..]), (0, &b"ord2"[..]));
    }

    #[cfg(not(target_arch = "wasm32"))]
    mod properties {
        use super::*;
        use proptest::prelude::*;

        proptest! {
            #[test]
            fn a_request_without_a_known_value_stays_byte_for_byte(target: Vec<u8>, value: Vec<u8>, body: Vec<u8>) {
                let variables = after("POST /v1/orders", &format(r#"{"id":"@"}"#, UUID), &format(r#"{"id":"@"}"#, NEW_UUID));
                let mut request = Outgoing { target, body, ..request("/", &[("x-a", "")], "") };
                request.headers[0].value = value;
                let before = request.clone();
                variables.apply(&mut request);
                prop_assert_eq!(request, before);
            }

            #[test]
            fn any_two_responses_teach_without_a_panic(was: Vec<u8>, is: Vec<u8>, text in "[{}\\[\\]\":,a-z0-9/% =&]{0,40}") {
                let mut variables = Variables::new(vec![Rule::Text { from: "a".into(), to: "b".into() }], true);
                let raw = |body: &[u8]| Half { body: body.into(), ..half(&[("location", &text)], "") };
                teach(&mut variables, "POST /a", &raw(&was), &raw(&is));
                teach(&mut variables, "POST /a", &raw(text.as_bytes()), &raw(br#"{"id":"a1b2"}"#));
                variables.apply(&mut request(&text, &[("x", &text)], &text));
            }

            #[test]
            fn a_replaced_value_leaves_the_rest_of_a_document_as_it_was(before in "[a-z ]{0,9}", after_it in "[0-9 ]{0,9}") {
                let variables = after("POST /v1/orders", &format(r#"{"id":"@"}"#, UUID), &format(r#"{"id":"@"}"#, NEW_UUID));
                let document = |value: &str| [r#"{"t" : ""#, &before, r#"", "x":[1.50,"#, "\"", value, "\"", r#" ], "u":""#, &after_it, "\"}\n"].concat();
                let mut request = request("/", &[], &document(UUID));
                prop_assert_eq!(variables.apply(&mut request), 1);
                prop_assert_eq!(String::from_utf8(request.body).unwrap(), document(NEW_UUID));
            }
        }
    }
}
