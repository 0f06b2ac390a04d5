//! Whether a replayed response is the one that was captured.

use super::Pointer;
use super::json::{Node, Value, is_same_number, parse};
use super::request::is_json_media;
use super::variables::Variables;
use crate::capture::redact::has_token;
use crate::http::Pairs;
use crate::wire::Half;
use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// Most differences that are told.
pub const DIFFERENCES_MAX: usize = 500;
/// Most characters of a value that are shown.
const SHOWN_MAX: usize = 200;

/// A response, captured or replayed.
#[derive(Debug, Clone, Copy)]
pub struct Response<'a> {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub pairs: Pairs<'a>,
    /// Its body.
    pub body: &'a [u8],
    /// Whether `body` is all of it.
    pub is_whole: bool,
}

impl<'a> Response<'a> {
    /// Looks at a captured response; none if it has no status.
    #[must_use]
    pub fn of(half: &'a Half) -> Option<Self> {
        let pairs = Pairs::new(&half.pairs);
        let status = core::str::from_utf8(pairs.first(b":status")?).ok()?;
        Some(Self {
            status: status.parse().ok()?,
            pairs,
            body: &half.body,
            is_whole: half.ended && !half.truncated && half.redacted != "whole",
        })
    }

    pub(super) fn header(&self, name: &str) -> Option<Cow<'a, str>> {
        let values = self
            .pairs
            .filter(|(each, _)| each.eq_ignore_ascii_case(name.as_bytes()));
        let mut values = values.map(|(_, value)| String::from_utf8_lossy(value));
        let first = values.next()?;
        Some(values.fold(first, |joined, value| Cow::Owned(format!("{joined}, {value}"))))
    }

    /// Reads the body, if it is whole and JSON.
    pub(super) fn json(&self) -> Option<Node<'a>> {
        let is_json = self.pairs.first(b"content-type").is_none_or(is_json_media);
        (is_json && self.is_whole).then(|| parse(self.body)).flatten()
    }
}

/// What is compared.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules<'a> {
    /// Whether only the status is.
    pub status_only: bool,
    /// Whether statuses of one class are the same: of a step that may make up for others, which are not sent.
    pub any_of_class: bool,
    /// Whether 404 and 410 are the same as any: of a DELETE that may make up for what it took away.
    pub or_gone: bool,
    /// Headers that are, in lower case.
    pub headers: &'a [String],
    /// What is not, of JSON bodies.
    pub ignore: &'a [Pointer],
    /// Places that differ between any two responses, as [`noise`] finds them.
    pub noise: &'a [Place],
    /// Ids that are others in this replay, and are the same therefore.
    pub variables: Option<&'a Variables>,
    /// `:path` of the request, as captured: it tells of what an `id` is.
    pub target: &'a [u8],
}

/// Where two responses differ.
///
/// Shape, as text: `status`, `header:NAME`, `json:POINTER`, `body`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// The status.
    Status,
    /// A header.
    Header(String),
    /// A value in the JSON body. An array of another length differs as a whole.
    Json(Pointer),
    /// The body, of which one is not JSON.
    Body,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status => out.write_str("status"),
            Self::Header(name) => write!(out, "header:{name}"),
            Self::Json(pointer) => write!(out, "json:{pointer}"),
            Self::Body => out.write_str("body"),
        }
    }
}

impl Place {
    /// Tells whether this is the place `other`, or one of those that it stands for.
    #[must_use]
    pub fn fits(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Json(pointer), Self::Json(other)) => pointer.fits(other.segments()),
            _ => self == other,
        }
    }

    /// Reads a place as it is shown; none if it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None if text == "status" => Some(Self::Status),
            None if text == "body" => Some(Self::Body),
            Some(("header", name)) if !name.is_empty() => Some(Self::Header(name.into())),
            Some(("json", pointer)) => Pointer::parse(pointer).map(Self::Json),
            _ => None,
        }
    }
}

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where.
    pub place: Place,
    /// What was captured, shortened; none = nothing.
    pub was: Option<String>,
    /// What came now, shortened; none = nothing.
    pub is: Option<String>,
}

/// Tells where `is` differs from `was`; at most [`DIFFERENCES_MAX`] places.
///
/// JSON bodies are compared by what they say: order of members, white space, escapes and the spelling of numbers do not
/// count. What was redacted is not compared, nor are bodies of which a part is missing.
#[must_use]
pub fn compare(was: &Response<'_>, is: &Response<'_>, rules: &Rules<'_>) -> Vec<Difference> {
    let mut found = Found {
        rules,
        path: Vec::new(),
        differences: Vec::new(),
    };
    if rules.or_gone && matches!(is.status, 404 | 410) {
        return found.differences;
    }
    let class = |status: u16| status.checked_div(100);
    if was.status != is.status && !(rules.any_of_class && class(was.status) == class(is.status)) {
        found.push(Place::Status, Some(was.status.to_string()), Some(is.status.to_string()));
    }
    if !rules.status_only {
        for name in rules.headers {
            found.header(name, was.header(name), is.header(name));
        }
        found.bodies(was, is);
    }
    found.differences
}

/// Finds what differs between two responses to one request: noise, in whatever else is compared with them.
#[must_use]
pub fn noise(one: &Response<'_>, other: &Response<'_>, headers: &[String]) -> Vec<Place> {
    let rules = Rules {
        headers,
        ..Rules::default()
    };
    let differences = compare(one, other, &rules);
    differences.into_iter().map(|difference| difference.place).collect()
}

struct Found<'a> {
    rules: &'a Rules<'a>,
    path: Vec<String>,
    differences: Vec<Difference>,
}

impl Found<'_> {
    fn push(&mut self, place: Place, was: Option<String>, is: Option<String>) {
        if self.differences.len() < DIFFERENCES_MAX && !self.rules.noise.contains(&place) {
            let (was, is) = (was.map(|value| shown(&value)), is.map(|value| shown(&value)));
            self.differences.push(Difference { place, was, is });
        }
    }

    fn push_json(&mut self, was: Option<&Node<'_>>, is: Option<&Node<'_>>) {
        let place = Place::Json(Pointer::new(self.path.clone()));
        self.push(
            place,
            was.map(|node| text_of(&node.value)),
            is.map(|node| text_of(&node.value)),
        );
    }

    fn header(&mut self, name: &str, was: Option<Cow<'_, str>>, is: Option<Cow<'_, str>>) {
        let is_hidden = was.as_ref().is_some_and(|was| has_token(was.as_bytes()));
        let is_same = match (&was, &is) {
            (Some(was), Some(is)) => self.is_same_text(was, is, || Place::Header(name.into())),
            (None, None) => true,
            _ => false,
        };
        if !is_same && !is_hidden {
            self.push(
                Place::Header(name.into()),
                was.map(Cow::into_owned),
                is.map(Cow::into_owned),
            );
        }
    }

    fn bodies(&mut self, was: &Response<'_>, is: &Response<'_>) {
        if !was.is_whole || !is.is_whole || was.body == is.body {
            return;
        }
        if let (Some(was), Some(is)) = (was.json(), is.json()) {
            return self.nodes(&was, &is);
        }
        let text = |body| String::from_utf8_lossy(body).into_owned();
        if !has_token(was.body) && !self.is_same_text(&text(was.body), &text(is.body), || Place::Body) {
            self.push(Place::Body, Some(text(was.body)), Some(text(is.body)));
        }
    }

    fn nodes(&mut self, was: &Node<'_>, is: &Node<'_>) {
        if self.rules.ignore.iter().any(|pointer| pointer.fits(&self.path)) || self.is_noise() {
            return;
        }
        match (&was.value, &is.value) {
            (Value::Object(was), Value::Object(is)) => self.members(was, is),
            (Value::Array(one), Value::Array(other)) => {
                if one.len() != other.len() {
                    self.push_json(Some(was), Some(is));
                }
                for (at, (was, is)) in one.iter().zip(other).enumerate() {
                    self.within(at.to_string(), |found| found.nodes(was, is));
                }
            }
            (one, other) if self.is_same(one, other) => {}
            _ => self.push_json(Some(was), Some(is)),
        }
    }

    /// Of members with one name the last one counts, as most readers have it.
    fn members<'a>(&mut self, was: &[(Cow<'a, str>, Node<'a>)], is: &[(Cow<'a, str>, Node<'a>)]) {
        let mut both: BTreeMap<&str, (Option<&Node<'_>>, Option<&Node<'_>>)> = BTreeMap::new();
        for (name, node) in was {
            both.entry(name).or_default().0 = Some(node);
        }
        for (name, node) in is {
            both.entry(name).or_default().1 = Some(node);
        }
        for (name, pair) in both {
            self.within(name.into(), |found| match pair {
                (Some(was), Some(is)) => found.nodes(was, is),
                (was, is) => {
                    if !found.rules.ignore.iter().any(|pointer| pointer.fits(&found.path)) {
                        found.push_json(was, is);
                    }
                }
            });
        }
    }

    fn within(&mut self, name: String, inside: impl FnOnce(&mut Self)) {
        self.path.push(name);
        inside(self);
        self.path.pop();
    }

    fn is_noise(&self) -> bool {
        let is_here = |place: &Place| matches!(place, Place::Json(pointer) if pointer.segments() == self.path);
        self.rules.noise.iter().any(is_here)
    }

    fn is_same(&self, was: &Value<'_>, is: &Value<'_>) -> bool {
        let is_same_value = match (was, is) {
            (Value::Text(was), _) if has_token(was.as_bytes()) => true,
            (Value::Number(was), Value::Number(is)) => is_same_number(was, is),
            (Value::Text(was), Value::Text(is)) => was == is,
            _ => was == is,
        };
        let place = || Place::Json(Pointer::new(self.path.clone()));
        let renames = || match (scalar(was), scalar(is)) {
            (Some(was), Some(is)) => self.renames(was, is, place),
            _ => false,
        };
        is_same_value || renames()
    }

    fn is_same_text(&self, was: &str, is: &str, place: impl FnOnce() -> Place) -> bool {
        was == is || self.renames(was, is, place)
    }

    fn renames(&self, was: &str, is: &str, place: impl FnOnce() -> Place) -> bool {
        let renames = |variables: &Variables| variables.renames(was, is, &place(), self.rules.target);
        self.rules.variables.is_some_and(renames)
    }
}

fn scalar<'a>(value: &'a Value<'_>) -> Option<&'a str> {
    match value {
        Value::Text(text) => Some(text),
        Value::Number(number) => Some(number),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn text_of(value: &Value<'_>) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => (*number).into(),
        Value::Text(text) => format!("{text:?}"),
        Value::Array(items) => format!("{} items", items.len()),
        Value::Object(members) => format!("{} members", members.len()),
    }
}

fn shown(value: &str) -> String {
    let mut chars = value.chars();
    let mut shown: String = chars.by_ref().take(SHOWN_MAX).collect();
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::super::variables::{Exchange, Rule};
    use super::*;
    use crate::http::write_pairs;
    use alloc::vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const TOKEN: &str = "rdt_abcdefghijklmnopqrstuvwx27";

    fn half(headers: &[(&str, &str)], body: &str) -> Half {
        let mut pairs = vec![];
        let raw = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        write_pairs(raw, &mut pairs);
        Half {
            pairs,
            body: body.into(),
            ended: true,
            ..Half::default()
        }
    }

    fn ok(body: &str) -> Half {
        half(&[(":status", "200")], body)
    }

    fn places(was: &Half, is: &Half, rules: &Rules<'_>) -> Vec<String> {
        let found = compare(&Response::of(was).unwrap(), &Response::of(is).unwrap(), rules);
        found.iter().map(|difference| difference.place.to_string()).collect()
    }

    #[track_caller]
    fn check(was: &str, is: &str, want: &[&str]) {
        assert_eq!(places(&ok(was), &ok(is), &Rules::default()), want);
        assert_eq!(places(&ok(is), &ok(was), &Rules::default()), want);
    }

    fn ignoring(pointers: &[&str]) -> Vec<Pointer> {
        pointers.iter().filter_map(|pointer| Pointer::parse(pointer)).collect()
    }

    #[test]
    fn json_is_compared_by_what_it_says() {
        check(
            r#"{"a":1,"b":[true,null]}"#,
            "{ \"b\" : [true,null],\n\"a\" : 1.0 }",
            &[],
        );
        check(r#"{"a":"\u00e9"}"#, r#"{"a":"é"}"#, &[]);
        check(r#"{"a":1,"a":2}"#, r#"{"a":2}"#, &[]);
        check("9007199254740993", "9007199254740992", &["json:"]);
    }

    #[test]
    fn each_place_that_differs_is_told() {
        check(
            r#"{"a":1,"b":{"c/d":[1,2]}}"#,
            r#"{"a":2,"b":{"c/d":[1,3]}}"#,
            &["json:/a", "json:/b/c~1d/1"],
        );
        check(r#"{"a":1}"#, r#"{"a":"1"}"#, &["json:/a"]);
        check(r#"{"a":1}"#, r#"{}"#, &["json:/a"]);
        check(r#"{"a":[]}"#, r#"{"a":{}}"#, &["json:/a"]);
        check(r#"{"a":null}"#, r#"{"a":false}"#, &["json:/a"]);
    }

    #[test]
    fn an_array_of_another_length_differs_once_and_its_front_by_item() {
        check("[1,2]", "[1,2,3]", &["json:"]);
        check("[1,2]", "[1,4,3]", &["json:", "json:/1"]);
    }

    #[test]
    fn bodies_that_are_not_json_are_compared_byte_by_byte() {
        check("a b", "a  b", &["body"]);
        check("{", "{}", &["body"]);
        let text = |body| half(&[(":status", "200"), ("content-type", "text/plain")], body);
        assert_eq!(places(&text("1"), &text("1.0"), &Rules::default()), ["body"]);
    }

    #[test]
    fn the_status_and_chosen_headers_are_compared() {
        let was = half(&[(":status", "200"), ("x-a", "1"), ("x-a", "2"), ("date", "x")], "a");
        let is = half(&[(":status", "201"), ("x-a", "1, 2"), ("x-b", "1"), ("date", "y")], "b");
        let headers = ["x-a", "x-b", "x-c"].map(String::from);
        let rules = Rules {
            headers: &headers,
            ..Rules::default()
        };
        assert_eq!(places(&was, &is, &rules), ["status", "header:x-b", "body"]);
        let rules = Rules {
            status_only: true,
            ..rules
        };
        assert_eq!(places(&was, &is, &rules), ["status"]);
        let of_class = Rules {
            any_of_class: true,
            ..rules
        };
        assert_eq!(places(&was, &is, &of_class), [""; 0]);
        assert_eq!(places(&was, &half(&[(":status", "300")], ""), &of_class), ["status"]);
        let or_gone = Rules {
            or_gone: true,
            ..Rules::default()
        };
        for (status, want) in [("404", &[][..]), ("410", &[]), ("409", &["status", "body"])] {
            assert_eq!(
                places(&was, &half(&[(":status", status)], "x"), &or_gone),
                want,
                "{status}"
            );
        }
    }

    #[test]
    fn ignored_places_do_not_count_nor_what_is_inside() {
        let (was, is) = (
            ok(r#"{"a":[{"t":1,"v":1},{"t":2}],"x":1}"#),
            ok(r#"{"a":[{"t":5,"v":2},{"t":6}],"y":{"z":1}}"#),
        );
        let check = |pointers: &[&str], want: &[&str]| {
            let ignore = ignoring(pointers);
            let rules = Rules {
                ignore: &ignore,
                ..Rules::default()
            };
            assert_eq!(places(&was, &is, &rules), want);
        };
        check(&["/a/*/t", "/x"], &["json:/a/0/v", "json:/y"]);
        check(&["/a", "/x", "/y"], &[]);
        check(&[""], &[]);
        check(&["/*"], &[]);
    }

    #[test]
    fn what_was_redacted_or_cut_off_is_not_compared() {
        let was = ok(&["{\"a\":\"", TOKEN, "\",\"b\":1}"].concat());
        assert_eq!(places(&was, &ok(r#"{"a":"s","b":2}"#), &Rules::default()), ["json:/b"]);
        assert_eq!(
            places(&ok(&["a=", TOKEN].concat()), &ok("a=s"), &Rules::default()),
            [""; 0]
        );
        let headers = ["x-key".into()];
        let rules = Rules {
            headers: &headers,
            ..Rules::default()
        };
        let keyed = |key| half(&[(":status", "200"), ("x-key", key)], "");
        assert_eq!(places(&keyed(TOKEN), &keyed("s"), &rules), [""; 0]);
        assert_eq!(places(&keyed("s"), &keyed("t"), &rules), ["header:x-key"]);
        for was in [
            Half {
                truncated: true,
                ..ok("a")
            },
            Half {
                ended: false,
                ..ok("a")
            },
            Half {
                redacted: "whole".into(),
                ..ok("")
            },
        ] {
            assert_eq!(places(&was, &ok("b"), &Rules::default()), [""; 0]);
            assert_eq!(
                places(&was, &half(&[(":status", "500")], "b"), &Rules::default()),
                ["status"]
            );
        }
    }

    #[test]
    fn noise_is_what_differs_between_two_responses_to_one_request() {
        let headers = ["x-id".into()];
        let answer = |id, at: &str| {
            half(
                &[(":status", "200"), ("x-id", id)],
                &[r#"{"at":"#, at, r#","n":[1]}"#].concat(),
            )
        };
        let (one, other) = (answer("1", "5"), answer("2", "6"));
        let noise = noise(&Response::of(&one).unwrap(), &Response::of(&other).unwrap(), &headers);
        assert_eq!(
            noise.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["header:x-id", "json:/at"]
        );
        let rules = Rules {
            headers: &headers,
            noise: &noise,
            ..Rules::default()
        };
        assert_eq!(places(&one, &answer("3", "[7]"), &rules), [""; 0]);
        let inside = [Place::parse("json:/at").unwrap()];
        let rules_inside = Rules {
            noise: &inside,
            ..Rules::default()
        };
        let (was, is) = (answer("1", "{\"ms\":5}"), answer("1", "{\"ms\":6}"));
        assert_eq!(
            places(&was, &is, &rules_inside),
            [""; 0],
            "what is inside of noise is noise"
        );
        let changed = half(&[(":status", "200")], r#"{"at":1,"n":[2]}"#);
        assert_eq!(places(&one, &changed, &rules), ["json:/n/0"]);
    }

    #[test]
    fn ids_of_this_replay_are_the_same() {
        let (was, is) = (
            ok(r#"{"id":7,"self":"/v1/orders/7","total":10}"#),
            ok(r#"{"id":9,"self":"/v1/orders/9","total":11}"#),
        );
        let mut variables = Variables::new(vec![], true);
        let (was_seen, is_seen) = (Response::of(&was).unwrap(), Response::of(&is).unwrap());
        variables.learn(&Exchange {
            method: b"POST",
            target: b"/v1/orders",
            was: was_seen,
            is: is_seen,
        });
        let rules = Rules {
            variables: Some(&variables),
            target: b"/v1/orders",
            ..Rules::default()
        };
        assert_eq!(places(&was, &is, &rules), ["json:/total"]);
        assert_eq!(
            places(&was, &is, &Rules::default()),
            ["json:/id", "json:/self", "json:/total"]
        );
        let none = Variables::new(
            vec![Rule::Text {
                from: "10".into(),
                to: "11".into(),
            }],
            true,
        );
        let rules = Rules {
            variables: Some(&none),
            ..Rules::default()
        };
        assert_eq!(
            places(&was, &is, &rules).len(),
            3,
            "what is replaced in requests says nothing about responses"
        );
    }

    /// What differs after each of these answers was learned from and compared.
    fn after(answers: &[(&str, &str, &str)]) -> Vec<String> {
        let mut variables = Variables::new(vec![], true);
        let mut found = vec![];
        for (request, was, is) in answers {
            let (method, target) = request.split_once(' ').unwrap();
            let (was, is) = (ok(was), ok(is));
            variables.learn(&Exchange {
                method: method.as_bytes(),
                target: target.as_bytes(),
                was: Response::of(&was).unwrap(),
                is: Response::of(&is).unwrap(),
            });
            let rules = Rules {
                variables: Some(&variables),
                target: target.as_bytes(),
                ..Rules::default()
            };
            found.extend(places(&was, &is, &rules));
        }
        found
    }

    const MADE: (&str, &str, &str) = ("POST /v1/orders", r#"{"id":7}"#, r#"{"id":9}"#);

    #[test]
    fn an_id_of_this_replay_is_the_same_only_as_an_id_of_its_kind() {
        for (target, body) in [
            ("GET /v1/orders/7", r#"{"id":@}"#),
            ("GET /v1/carts/1", r#"{"order_id":@,"order":{"id":"@"}}"#),
            ("GET /v1/carts/1", r#"{"at":"/v1/orders/@"}"#),
        ] {
            let (was, is) = (body.replace('@', "7"), body.replace('@', "9"));
            assert_eq!(after(&[MADE, (target, &was, &is)]), [""; 0], "{body}");
        }
        for (target, body, want) in [
            ("GET /v1/orders/7", r#"{"count":@}"#, "json:/count"),
            ("GET /v1/orders", r#"{"orders":@}"#, "json:/orders"),
            ("GET /v1/carts/1", r#"{"user_id":@}"#, "json:/user_id"),
            ("GET /v1/carts/1", r#"["@"]"#, "json:/0"),
        ] {
            let (was, is) = (body.replace('@', "7"), body.replace('@', "9"));
            assert_eq!(after(&[MADE, (target, &was, &is)]), [want], "{body}");
        }
    }

    #[test]
    fn a_reference_to_something_else_does_not_excuse_itself() {
        let user = ("POST /v1/users", r#"{"id":5}"#, r#"{"id":15}"#);
        let order = ("POST /v1/orders", r#"{"id":7,"user_id":5}"#, r#"{"id":9,"user_id":16}"#);
        assert_eq!(after(&[user, order]), ["json:/user_id"]);
        let read = ("GET /v1/orders/7", r#"{"user_id":"u-5a"}"#, r#"{"user_id":"u-6b"}"#);
        assert_eq!(after(&[read]), ["json:/user_id"]);
        // What a mutation makes besides is another in each life.
        let bill = ("POST /v1/checkout", r#"{"order_id":7}"#, r#"{"order_id":9}"#);
        assert_eq!(after(&[bill]), [""; 0]);
    }

    #[test]
    fn differences_are_shortened_and_bounded() {
        let long = "x".repeat(300);
        let found = compare(
            &Response::of(&ok(&long)).unwrap(),
            &Response::of(&ok("y")).unwrap(),
            &Rules::default(),
        );
        assert_eq!(found[0].was.as_ref().map(|was| was.chars().count()), Some(201));
        assert_eq!(found[0].is.as_deref(), Some("y"));
        let many = |value: &str| ok(&["[", &[value; 600].join(","), "]"].concat());
        assert_eq!(places(&many("1"), &many("2"), &Rules::default()).len(), DIFFERENCES_MAX);
    }

    #[test]
    fn places_read_back() {
        for text in ["status", "body", "header:etag", "json:", "json:/a~1b/0"] {
            assert_eq!(Place::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "header:", "json:a", "query:x", "statuses"] {
            assert_eq!(Place::parse(text), None, "{text}");
        }
        assert!(Response::of(&half(&[(":status", "x")], "")).is_none());
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest::proptest! {
        #[test]
        fn a_response_is_the_same_as_itself_and_any_bytes_are_compared(body: Vec<u8>, other: Vec<u8>) {
            let (one, other) = (Half { body, ..ok("") }, Half { body: other, ..ok("") });
            assert_eq!(places(&one, &one, &Rules::default()), [""; 0]);
            let is_same = places(&one, &other, &Rules::default()).is_empty();
            assert!(is_same || one.body != other.body);
        }
    }
}
