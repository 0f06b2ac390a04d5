//! What comes in: queries whose unknown parameters are errors, and JSON with a bound.

use super::error;
use crate::app::filter::{CaptureFilter, FilterProblem};
use crate::problem::Problem;
use ::http::header::CONTENT_TYPE;
use ::http::request::Parts;
use ::http::{HeaderMap, StatusCode};
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::fmt::Display;
use std::str::FromStr;

/// Largest JSON body.
const JSON_BYTES_MAX: usize = 1 << 20;
/// Rows of a page if nobody says.
const LIMIT: u32 = 50;
/// Most rows of a page.
const LIMIT_MAX: u32 = 500;

/// The query of a request, from which each handler takes what it knows.
#[derive(Debug, Default)]
pub(super) struct Query {
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
    wrong: Vec<FilterProblem>,
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        let pairs = form_urlencoded::parse(query).into_owned().collect();
        Ok(Self {
            pairs,
            ..Self::default()
        })
    }
}

impl Query {
    /// Takes all values of `name`, as written.
    fn take(&mut self, name: &'static str) -> Vec<String> {
        self.known.push(name);
        let pairs = std::mem::take(&mut self.pairs);
        let (found, rest) = pairs.into_iter().partition::<Vec<_>, _>(|(each, _)| each == name);
        self.pairs = rest;
        found.into_iter().map(|(_, value)| value).collect()
    }

    /// Takes the one value of `name`.
    pub(super) fn one<T>(&mut self, name: &'static str, mean: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let values = self.take(name);
        let meant = match values.as_slice() {
            [] => return None,
            [value] => mean(value),
            more => Err(format!("is given {} times, once is allowed", more.len())),
        };
        meant.map_err(|problem| self.refuse(name, problem)).ok()
    }

    /// Takes the one value of `name`, which is parsed.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Option<T> {
        self.one(name, |text| text.parse().map_err(|error| format!("`{text}`: {error}")))
    }

    /// Takes the size of a page.
    pub(super) fn limit(&mut self) -> u32 {
        let mean = |text: &str| {
            let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
            limit.ok_or_else(|| format!("`{text}` is not between 1 and {LIMIT_MAX}"))
        };
        self.one("limit", mean).unwrap_or(LIMIT)
    }

    /// Notes that `name` is not valid.
    pub(super) fn refuse(&mut self, field: &'static str, problem: String) {
        self.wrong.push(FilterProblem { field, problem });
    }

    /// Takes everything that names captures; none if nothing does.
    pub(super) fn filter(&mut self) -> Option<CaptureFilter> {
        let mut fields = Map::new();
        for (name, _) in crate::app::filter::FIELDS {
            let values = self.take(name);
            if !values.is_empty() {
                fields.insert(name.to_owned(), values.into());
            }
        }
        if fields.is_empty() {
            return None;
        }
        serde_json::from_value(Value::Object(fields))
            .map_err(|error| self.refuse("query", error.to_string()))
            .ok()
    }

    /// Ends it.
    ///
    /// # Errors
    /// Everything that is not valid, and every parameter that nobody knows, with those that are known.
    pub(super) fn end(mut self) -> Result<(), Problem> {
        let mut told: Vec<_> = self.wrong.iter().map(ToString::to_string).collect();
        self.known.sort_unstable();
        let known = self.known.join(", ");
        for (name, _) in &self.pairs {
            let name = name.escape_debug();
            told.push(match known.as_str() {
                "" => format!("{name}: unknown parameter; there are none here"),
                known => format!("{name}: unknown parameter; known are {known}"),
            });
        }
        if told.is_empty() {
            return Ok(());
        }
        Err(error::invalid(told.join("; ")))
    }
}

/// A number in the path.
pub(super) struct Id(pub(super) i64);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path: Result<Path<String>, _> = Path::from_request_parts(parts, state).await;
        let text = path.map(|Path(text)| text).unwrap_or_default();
        let id = text.parse().ok().filter(|id| *id > 0);
        id.map(Self)
            .ok_or_else(|| error::missing(format!("`{}` is not a number", text.escape_debug())))
    }
}

/// A JSON body.
pub(super) struct Json<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(error::problem(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not-json",
                "The content is not JSON",
                "send `content-type: application/json`",
            ));
        }
        let bytes = whole(request.into_body(), JSON_BYTES_MAX).await?;
        let value: Value =
            serde_json::from_slice(&bytes).map_err(|wrong| error::invalid(format!("the JSON is broken: {wrong}")))?;
        let meant = serde_json::from_value(value);
        meant.map(Self).map_err(|wrong| error::unprocessable(wrong.to_string()))
    }
}

/// Reads a body of at most `bytes_max` bytes.
pub(super) async fn whole(body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    match Limited::new(body, bytes_max).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(wrong) if wrong.is::<LengthLimitError>() => Err(error::too_large(bytes_max)),
        Err(wrong) => Err(error::invalid(format!("the body broke off: {wrong}"))),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/json")
}
