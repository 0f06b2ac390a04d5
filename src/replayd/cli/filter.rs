//! Which captures are meant, as flags; the API decides what they mean.

use crate::clock::UnixMillis;
use clap::Args;
use form_urlencoded::Serializer;
use serde_json::{Map, Value};
use std::time::Duration;

/// Which captures are meant; what is not given allows all.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Which captures")]
pub(super) struct FilterArgs {
    /// Only these numbers
    #[arg(long, value_name = "N,…")]
    id: Vec<String>,
    /// From this number on
    #[arg(long, value_name = "N")]
    id_gte: Option<String>,
    /// Up to this number
    #[arg(long, value_name = "N")]
    id_lte: Option<String>,
    /// Methods
    #[arg(long, value_name = "METHOD,…")]
    method: Vec<String>,
    /// Statuses: 404, 4xx, 500-599
    #[arg(long, value_name = "STATUS,…")]
    status: Vec<String>,
    /// Paths: exact, or a prefix before a final `*`; may be given again
    #[arg(long, value_name = "PATH")]
    path: Vec<String>,
    /// Paths that are left out; may be given again
    #[arg(long, value_name = "PATH")]
    path_not: Vec<String>,
    /// Hosts; may be given again
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    /// Labels that all have to be there
    #[arg(long, value_name = "LABEL,…")]
    label: Vec<String>,
    /// States: begun, forwarded, completed, aborted, unknown
    #[arg(long, value_name = "STATE,…")]
    state: Vec<String>,
    /// Callers; may be given again
    #[arg(long, value_name = "CALLER")]
    principal: Vec<String>,
    /// Routes; may be given again
    #[arg(long, value_name = "ROUTE")]
    route: Vec<String>,
    /// Upstream clusters; may be given again
    #[arg(long, value_name = "CLUSTER")]
    cluster: Vec<String>,
    /// The value of x-request-id
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Began at or after: RFC 3339, or how long ago, as in 90s, 15m, 2h, 7d
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    since: Option<Moment>,
    /// Began before: RFC 3339, or how long ago
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    until: Option<Moment>,
    /// At least so many milliseconds
    #[arg(long, value_name = "MS")]
    latency_ms_gte: Option<String>,
    /// Occurs in the target
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
}

/// A moment as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Moment {
    /// As the API reads it.
    At(String),
    /// So long before now.
    Ago(Duration),
}

fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(ago) = span(text) {
        return Ok(Moment::Ago(ago));
    }
    if text.parse::<i64>().is_ok() || UnixMillis::from_rfc3339(text).is_some() {
        return Ok(Moment::At(text.to_owned()));
    }
    Err(format!(
        "`{text}` is not a moment; allowed are 2026-11-21T16:00:00Z and 90s, 15m, 2h, 7d ago"
    ))
}

/// Reads how long something is: `500ms`, `90s`, `15m`, `2h`, `7d`.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    let units = [
        ("ms", 1),
        ("s", 1000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
    ];
    let read = |(unit, millis): (&str, u64)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(millis).map(Duration::from_millis)
    };
    let found = units.into_iter().find_map(read);
    found.ok_or_else(|| format!("`{text}` is not a span of time; allowed are 500ms, 90s, 15m, 2h, 7d"))
}

impl Moment {
    fn text(&self, now: UnixMillis) -> String {
        match self {
            Self::At(text) => text.clone(),
            Self::Ago(ago) => now.before(*ago).0.to_string(),
        }
    }
}

impl FilterArgs {
    /// Gives every field that was given, by the API's names.
    pub(super) fn fields(&self, now: UnixMillis) -> Vec<(&'static str, String)> {
        let many = [
            ("id", &self.id),
            ("method", &self.method),
            ("status", &self.status),
            ("path", &self.path),
            ("path__not", &self.path_not),
            ("host", &self.host),
            ("label", &self.label),
            ("state", &self.state),
            ("principal", &self.principal),
            ("route", &self.route),
            ("cluster", &self.cluster),
        ];
        let one = [
            ("id__gte", self.id_gte.clone()),
            ("id__lte", self.id_lte.clone()),
            ("request_id", self.request_id.clone()),
            ("since", self.since.as_ref().map(|moment| moment.text(now))),
            ("until", self.until.as_ref().map(|moment| moment.text(now))),
            ("latency_ms__gte", self.latency_ms_gte.clone()),
            ("text", self.text.clone()),
        ];
        let many = many
            .into_iter()
            .flat_map(|(name, values)| values.iter().map(move |value| (name, value.clone())));
        let one = one.into_iter().filter_map(|(name, value)| Some((name, value?)));
        many.chain(one).collect()
    }

    /// Gives them as the API's JSON.
    pub(super) fn json(&self, now: UnixMillis) -> Value {
        let mut fields: Map<String, Value> = Map::new();
        for (name, value) in self.fields(now) {
            let values = fields.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(values) = values {
                values.push(value.into());
            }
        }
        Value::Object(fields)
    }
}

/// Puts parameters behind a path.
pub(super) fn with_query(path: &str, fields: &[(&str, String)]) -> String {
    if fields.is_empty() {
        return path.to_owned();
    }
    let mut query = Serializer::new(String::new());
    query.extend_pairs(fields);
    format!("{path}?{}", query.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::filter::FIELDS;

    #[test]
    fn every_field_of_the_api_has_a_flag() {
        let all = FilterArgs {
            id: vec!["1".into()],
            id_gte: Some("1".into()),
            id_lte: Some("1".into()),
            method: vec!["GET".into()],
            status: vec!["2xx".into()],
            path: vec!["/".into()],
            path_not: vec!["/".into()],
            host: vec!["h".into()],
            label: vec!["l".into()],
            state: vec!["begun".into()],
            principal: vec!["p".into()],
            route: vec!["r".into()],
            cluster: vec!["c".into()],
            request_id: Some("i".into()),
            since: Some(Moment::Ago(Duration::from_secs(2))),
            until: Some(Moment::At("1".into())),
            latency_ms_gte: Some("1".into()),
            text: Some("t".into()),
        };
        let fields = all.fields(UnixMillis(5000));
        let mut names: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
        let mut known: Vec<_> = FIELDS.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        known.sort_unstable();
        assert_eq!(names, known);
        assert!(fields.contains(&("since", "3000".to_owned())));
    }

    #[test]
    fn a_moment_is_a_date_or_a_while_ago() {
        assert_eq!(moment("15m"), Ok(Moment::Ago(Duration::from_mins(15))));
        assert_eq!(
            moment("1970-01-01T00:00:00Z"),
            Ok(Moment::At("1970-01-01T00:00:00Z".into()))
        );
        assert!(moment("soon").is_err());
    }

    #[test]
    fn parameters_are_escaped() {
        assert_eq!(
            with_query("/a", &[("text", "x&y=1 z".to_owned())]),
            "/a?text=x%26y%3D1+z"
        );
        assert_eq!(with_query("/a", &[]), "/a");
    }
}
