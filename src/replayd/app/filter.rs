//! Which captures are meant, as people write it: in a query, in JSON, in the configuration.

use crate::clock::UnixMillis;
use crate::store::captures::CaptureQuery;
use reprise_core::wire::State;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// Most values of one field.
const VALUES_MAX: usize = 1000;
/// Longest value.
const VALUE_BYTES_MAX: usize = 2048;

/// Which captures are meant, as written; fields that are not given allow all.
///
/// Shape: each field is a text, a number or a list of them; methods, statuses, states, labels and numbers may also be
/// separated by commas in one text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CaptureFilter {
    /// Only these numbers.
    #[serde(skip_serializing_if = "Texts::is_empty")]
    pub(crate) id: Texts,
    /// From this number on.
    #[serde(rename = "id__gte", skip_serializing_if = "Texts::is_empty")]
    pub(crate) id_gte: Texts,
    /// Up to this number.
    #[serde(rename = "id__lte", skip_serializing_if = "Texts::is_empty")]
    pub(crate) id_lte: Texts,
    /// Methods, in any case.
    #[serde(skip_serializing_if = "Texts::is_empty")]
    pub(crate) method: Texts,
    /// Statuses: `404`, `4xx`, `500-599`.
    #[serde(skip_serializing_if = "Texts::is_empty")]
    pub(crate) status: Texts,
    /// Paths: exact, or a prefix before a final `*`.
    #[serde(skip_serializing_if = "Texts::is_empty")]
    pub(crate) path: Texts,
    /// Paths that are left out: exact, or a prefix before a final `*`.
    #[serde(rename = "path__not", skip_serializing_if = "Texts::is_empty")]
    pub(crate) path_not: Texts,
    /// Hosts, exact.
    #[serde(skip_serializing_if = "Texts::is_empty")]
    pub(crate) host: Texts,
    /// Labels that all have to be there.
    #[serde(skip_serializing_if = "Texts::is_empty")]
    pub(crate) label: Texts,
    /// States.
    #[serde(skip_serializing_if = "Texts::is_empty")]
    pub(crate) state: Texts,
    /// Callers, exact.
    #[serde(skip_serializing_if = "Texts::is_empty")]
    pub(crate) principal: Texts,
    /// Routes, exact.
    #[serde(skip_serializing_if = "Texts::is_empty")]
    pub(crate) route: Texts,
    /// Upstream clusters, exact.
    #[serde(skip_serializing_if = "Texts::is_empty")]
    pub(crate) cluster: Texts,
    /// `x-request-id`, exact.
    #[serde(skip_serializing_if = "Texts::is_empty")]
    pub(crate) request_id: Texts,
    /// Began at or after: RFC 3339, or milliseconds since 1970.
    #[serde(skip_serializing_if = "Texts::is_empty")]
    pub(crate) since: Texts,
    /// Began before: RFC 3339, or milliseconds since 1970.
    #[serde(skip_serializing_if = "Texts::is_empty")]
    pub(crate) until: Texts,
    /// At least so long, in milliseconds.
    #[serde(rename = "latency_ms__gte", skip_serializing_if = "Texts::is_empty")]
    pub(crate) latency_ms_gte: Texts,
    /// Occurs in the target.
    #[serde(skip_serializing_if = "Texts::is_empty")]
    pub(crate) text: Texts,
}

/// Every field of [`CaptureFilter`], and what it means to people.
pub(crate) const FIELDS: [(&str, &str); 18] = [
    ("id", "only these numbers"),
    ("id__gte", "from this number on"),
    ("id__lte", "up to this number"),
    ("method", "methods"),
    ("status", "statuses: `404`, `4xx`, `500-599`"),
    ("path", "paths: exact, or a prefix before a final `*`"),
    (
        "path__not",
        "paths that are left out: exact, or a prefix before a final `*`",
    ),
    ("host", "hosts, exact"),
    ("label", "labels that all have to be there"),
    ("state", "states: begun, forwarded, completed, aborted, unknown"),
    ("principal", "callers, exact"),
    ("route", "routes, exact"),
    ("cluster", "upstream clusters, exact"),
    ("request_id", "`x-request-id`, exact"),
    ("since", "began at or after: RFC 3339, or milliseconds since 1970"),
    ("until", "began before: RFC 3339, or milliseconds since 1970"),
    ("latency_ms__gte", "at least so long, in milliseconds"),
    ("text", "occurs in the target"),
];

/// One field of a filter that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FilterProblem {
    /// The field's name.
    pub(crate) field: &'static str,
    /// What is wrong, and what is allowed.
    pub(crate) problem: String,
}

impl fmt::Display for FilterProblem {
    fn fmt(&self, line: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(line, "{}: {}", self.field, self.problem)
    }
}

/// The values of one field, as written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Texts(pub(crate) Vec<String>);

impl Texts {
    /// Tells whether the field was not given.
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for Texts {
    fn from(text: &str) -> Self {
        Self(vec![text.to_owned()])
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TextsVisitor)
    }
}

struct TextsVisitor;

impl<'de> Visitor<'de> for TextsVisitor {
    type Value = Texts;

    fn expecting(&self, line: &mut fmt::Formatter<'_>) -> fmt::Result {
        line.write_str("a text, a number, or a list of them")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Texts, E> {
        Ok(text.into())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Texts, E> {
        Ok(Texts(vec![number.to_string()]))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Texts, E> {
        Ok(Texts(vec![number.to_string()]))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Texts, E> {
        Ok(Texts::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Texts, A::Error> {
        let mut all = Vec::new();
        while let Some(Texts(item)) = items.next_element()? {
            all.extend(item);
        }
        Ok(Texts(all))
    }
}

impl CaptureFilter {
    /// Reads what is meant.
    ///
    /// # Errors
    /// Every field that cannot be meant.
    pub(crate) fn query(&self) -> Result<CaptureQuery, Vec<FilterProblem>> {
        let mut wrong = Wrong::default();
        let query = CaptureQuery {
            id_min: wrong.one("id__gte", &self.id_gte, whole),
            id_max: wrong.one("id__lte", &self.id_lte, whole),
            ids: wrong.list("id", &self.id, whole),
            methods: wrong.list("method", &self.method, method),
            statuses: wrong.list("status", &self.status, statuses),
            paths: wrong.each("path", &self.path, path),
            paths_not: wrong.each("path__not", &self.path_not, path),
            hosts: wrong.each("host", &self.host, text),
            labels: wrong.list("label", &self.label, label),
            states: wrong.list("state", &self.state, state),
            principals: wrong.each("principal", &self.principal, text),
            routes: wrong.each("route", &self.route, text),
            clusters: wrong.each("cluster", &self.cluster, text),
            request_id: wrong.one("request_id", &self.request_id, text),
            since: wrong.one("since", &self.since, moment),
            until: wrong.one("until", &self.until, moment),
            latency_min_us: wrong.one("latency_ms__gte", &self.latency_ms_gte, micros),
            text: wrong.one("text", &self.text, text),
        };
        if wrong.0.is_empty() { Ok(query) } else { Err(wrong.0) }
    }
}

/// What is wrong so far.
#[derive(Default)]
struct Wrong(Vec<FilterProblem>);

impl Wrong {
    fn push(&mut self, field: &'static str, problem: String) {
        self.0.push(FilterProblem { field, problem });
    }

    fn one<T>(&mut self, field: &'static str, texts: &Texts, mean: fn(&str) -> Result<T, String>) -> Option<T> {
        if texts.0.len() > 1 {
            self.push(field, format!("is given {} times, once is allowed", texts.0.len()));
            return None;
        }
        self.values(field, texts.0.iter().map(String::as_str), mean).pop()
    }

    fn each<T>(&mut self, field: &'static str, texts: &Texts, mean: fn(&str) -> Result<T, String>) -> Vec<T> {
        self.values(field, texts.0.iter().map(String::as_str), mean)
    }

    fn list<T>(&mut self, field: &'static str, texts: &Texts, mean: fn(&str) -> Result<T, String>) -> Vec<T> {
        let parts = texts.0.iter().flat_map(|text| text.split(',')).map(str::trim);
        self.values(field, parts, mean)
    }

    fn values<'a, T>(
        &mut self,
        field: &'static str,
        texts: impl Iterator<Item = &'a str>,
        mean: fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let mut meant = Vec::new();
        for text in texts {
            match mean(text) {
                _ if text.len() > VALUE_BYTES_MAX => {
                    self.push(
                        field,
                        format!("has {} bytes, at most {VALUE_BYTES_MAX} are allowed", text.len()),
                    );
                }
                Ok(value) => meant.push(value),
                Err(problem) => self.push(field, problem),
            }
        }
        if meant.len() > VALUES_MAX {
            self.push(
                field,
                format!("has {} values, at most {VALUES_MAX} are allowed", meant.len()),
            );
        }
        meant
    }
}

fn whole(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("`{text}` is not a whole number"))
}

fn method(text: &str) -> Result<String, String> {
    let upper = text.to_ascii_uppercase();
    http::Method::from_bytes(upper.as_bytes())
        .map(|_| upper)
        .map_err(|_| format!("`{text}` is not a method"))
}

fn statuses(text: &str) -> Result<(u16, u16), String> {
    let status = |text: &str| text.parse().ok().filter(|status: &u16| (100..=599).contains(status));
    let class = text.strip_suffix("xx").and_then(|class| status(&format!("{class}00")));
    let range = || match text.split_once('-') {
        Some((first, last)) => Some((status(first)?, status(last)?)),
        None => status(text).map(|status| (status, status)),
    };
    class
        .map(|first| (first, first.saturating_add(99)))
        .or_else(range)
        .filter(|(first, last)| first <= last)
        .ok_or_else(|| format!("`{text}` is not a status; allowed are 404, 4xx, 500-599"))
}

fn path(text: &str) -> Result<String, String> {
    let is_path = text.starts_with('/') || text == "*";
    let prefix = text.strip_suffix('*').unwrap_or(text);
    if !is_path || prefix.contains(['*', '?', '#']) {
        return Err(format!("`{text}` is not a path; allowed are /a/b and /a/*"));
    }
    Ok(text.to_owned())
}

fn text(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    Ok(text.to_owned())
}

/// Reads a label: what can be written between commas.
pub(crate) fn label(text: &str) -> Result<String, String> {
    let is_label = (1..=64).contains(&text.len()) && text.chars().all(|each| each != ',' && !each.is_control());
    if is_label && text.trim() == text {
        return Ok(text.to_owned());
    }
    Err(format!(
        "`{}` is not a label; allowed are 1 to 64 bytes without commas and control characters",
        text.escape_debug()
    ))
}

/// The states, and their names.
pub(crate) const STATES: [(State, &str); 5] = [
    (State::Begun, "begun"),
    (State::Forwarded, "forwarded"),
    (State::Completed, "completed"),
    (State::Aborted, "aborted"),
    (State::Unknown, "unknown"),
];

fn state(text: &str) -> Result<State, String> {
    let found = STATES.iter().find(|(_, name)| *name == text);
    found
        .map(|(state, _)| *state)
        .ok_or_else(|| format!("`{text}` is not a state; allowed are begun, forwarded, completed, aborted, unknown"))
}

fn moment(text: &str) -> Result<UnixMillis, String> {
    if let Ok(millis) = text.parse() {
        return Ok(UnixMillis(millis));
    }
    UnixMillis::from_rfc3339(text).ok_or_else(|| {
        format!("`{text}` is not a moment; allowed are 2026-11-21T16:00:00Z and milliseconds since 1970")
    })
}

fn micros(text: &str) -> Result<u64, String> {
    let millis: Result<u64, _> = text.parse();
    millis
        .map(|millis| millis.saturating_mul(1000))
        .map_err(|_| format!("`{text}` is not a number of milliseconds"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(json: Value) -> Result<CaptureQuery, Vec<FilterProblem>> {
        serde_json::from_value::<CaptureFilter>(json).unwrap().query()
    }

    #[track_caller]
    fn check(json: Value, want: CaptureQuery) {
        assert_eq!(read(json), Ok(want));
    }

    #[track_caller]
    fn refuse(json: Value, words: &[&str]) {
        let told: Vec<_> = read(json).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), words.len(), "{told:?}");
        assert!(
            told.iter().zip(words).all(|(told, words)| told.contains(words)),
            "{told:?}"
        );
    }

    #[test]
    fn an_empty_filter_means_all() {
        check(json!({}), CaptureQuery::default());
    }

    #[test]
    fn statuses_are_codes_classes_and_ranges() {
        let statuses = vec![(404, 404), (500, 599), (200, 204)];
        check(
            json!({"status": [404, "5xx, 200-204"]}),
            CaptureQuery {
                statuses,
                ..CaptureQuery::default()
            },
        );
        refuse(json!({"status": "6xx,42,300-200"}), &["`6xx`", "`42`", "`300-200`"]);
    }

    #[test]
    fn every_field_is_meant() {
        let written = json!({"id": "1,2", "id__gte": 1, "id__lte": "9", "method": "post", "status": "2xx", "path": "/a*",
            "path__not": ["/a,b"], "host": "h", "label": "x,y", "state": "completed", "principal": "p", "route": "r",
            "cluster": "c", "request_id": "i", "since": "1970-01-01T00:00:01Z", "until": 2000, "latency_ms__gte": 3,
            "text": "t"});
        assert!(FIELDS.iter().all(|(name, _)| written.get(name).is_some()));
        assert_eq!(written.as_object().unwrap().len(), FIELDS.len());
        let list = |text: &str| vec![text.to_owned()];
        let want = CaptureQuery {
            id_min: Some(1),
            id_max: Some(9),
            ids: vec![1, 2],
            methods: list("POST"),
            statuses: vec![(200, 299)],
            paths: list("/a*"),
            paths_not: list("/a,b"),
            hosts: list("h"),
            labels: vec!["x".to_owned(), "y".to_owned()],
            states: vec![State::Completed],
            principals: list("p"),
            routes: list("r"),
            clusters: list("c"),
            request_id: Some("i".to_owned()),
            since: Some(UnixMillis(1000)),
            until: Some(UnixMillis(2000)),
            latency_min_us: Some(3000),
            text: Some("t".to_owned()),
        };
        check(written, want);
    }

    #[test]
    fn all_problems_are_told_at_once_with_their_fields() {
        let written = json!({"id__gte": ["1", "2"], "method": "PO ST", "path": "a", "state": "done", "since": "soon"});
        refuse(
            written,
            &["id__gte: is given 2 times", "method: ", "path: ", "state: ", "since: "],
        );
    }

    #[test]
    fn an_unknown_field_is_named_with_the_known_ones() {
        let error = serde_json::from_value::<CaptureFilter>(json!({"stat": 1})).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("unknown field `stat`, expected one of `id`, `id__gte`"),
            "{error}"
        );
    }

    #[test]
    fn a_filter_is_written_as_it_was_read() {
        let filter: CaptureFilter = serde_json::from_value(json!({"id__gte": 3, "path": "/a"})).unwrap();
        assert_eq!(
            serde_json::to_value(&filter).unwrap(),
            json!({"id__gte": ["3"], "path": ["/a"]})
        );
    }

    #[test]
    fn a_value_that_is_too_long_is_refused() {
        refuse(json!({"text": "x".repeat(2049)}), &["text: has 2049 bytes"]);
    }
}
