//! `replayd replay`: sends captured requests again.

use super::api::{ApiArgs, runtime};
use super::filter::{FilterArgs, span};
use super::follow;
use super::output::Output;
use super::{Diagnostic, Failure, Verdict};
use crate::clock::{self, UnixMillis};
use clap::{Args, ValueEnum};
use http::Uri;
use serde_json::{Value, json};
use std::time::Duration;

/// Arguments of `replayd replay`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    api: ApiArgs,
    #[command(flatten)]
    send: SendArgs,
    /// Send everything that is captured, in its order
    #[arg(long, conflicts_with = "last", help_heading = "Which captures")]
    all: bool,
    /// Only the last so many of them, the oldest first
    #[arg(long, value_name = "N", help_heading = "Which captures")]
    last: Option<u64>,
    #[command(flatten)]
    pace: PaceArgs,
}

/// In which order and how fast.
#[derive(Debug, Args)]
#[command(next_help_heading = "Order and pace")]
struct PaceArgs {
    /// In which order and how fast [default: serial]
    #[arg(long, value_name = "MODE")]
    mode: Option<Mode>,
    /// In mode per-key, what has to stay in order: path, session, header:NAME or json:POINTER [default: path]
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// In mode timed: how many times as fast
    #[arg(long, value_name = "FACTOR")]
    speed: Option<f64>,
    /// In mode timed: longest pause, as in 500ms, 5s
    #[arg(long, value_name = "SPAN", value_parser = span)]
    max_gap: Option<Duration>,
    /// In mode rate: requests a second
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// Most requests at one time
    #[arg(long, value_name = "N")]
    concurrency: Option<u32>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mode {
    /// One after the other
    Serial,
    /// What had ended before another began is answered before it is sent
    Causal,
    /// One after the other for each key
    PerKey,
    /// At the same distances in time
    Timed,
    /// So many a second
    Rate,
    /// As fast as it goes
    Max,
}

/// What replays and restores have in common.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch that people know by its name"
)]
pub(super) struct SendArgs {
    /// Where to: the name of a target in replayd.toml, or a URL
    #[arg(long, value_name = "NAME|URL", visible_alias = "base-url")]
    target: String,
    #[command(flatten)]
    filter: FilterArgs,
    /// Paths that are left out: exact, or a prefix before a final `*`
    #[arg(long, value_name = "PATH,…", value_delimiter = ',', num_args = 1.., value_parser = path, help_heading = "Which captures")]
    excluded_urls: Vec<String>,
    /// Only from this capture on
    #[arg(long, value_name = "N", help_heading = "Which captures")]
    start_from_id: Option<i64>,
    /// Show what would be sent, and send nothing
    #[arg(long)]
    dry_run: bool,
    /// Ask before every request
    #[arg(long, conflicts_with = "detach")]
    interactive: bool,
    /// What follows on a response that differs [default: stop for a restore, ignore for a replay]
    #[arg(long, value_name = "WHAT")]
    on_mismatch: Option<OnMismatch>,
    /// Count requests that get no response, and go on
    #[arg(long)]
    skip_request_errors: bool,
    /// What becomes of requests whose outcome is unknown [default: those are sent again that cannot act twice]
    #[arg(long, value_name = "WHAT")]
    in_doubt: Option<InDoubt>,
    /// Send captures whose body is not whole, or of which a part was redacted, too
    #[arg(long)]
    force: bool,
    /// Send mutations to a target that is not allowed in replayd.toml
    #[arg(long)]
    yes: bool,
    /// A rule that replaces values in every request: `FROM=TO` (a text by another), `json:/POINTER` or `header:NAME`
    /// (what responses showed there by what they show now); may be given again
    #[arg(long, value_name = "RULE")]
    map: Vec<String>,
    /// Whether values that responses showed first are replaced by the new ones [default: in modes serial and causal]
    #[arg(long, value_name = "BOOL")]
    auto_map: Option<bool>,
    /// A header that is compared; may be given again
    #[arg(long, value_name = "NAME", help_heading = "Comparing")]
    compare_header: Vec<String>,
    /// A JSON pointer that is not compared, `*` for every item; may be given again
    #[arg(long, value_name = "POINTER", help_heading = "Comparing")]
    ignore: Vec<String>,
    /// Whether only statuses are compared [default: in a restore]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", help_heading = "Comparing")]
    status_only: Option<bool>,
    /// Send safe requests twice, and do not compare what differs between the two
    #[arg(long, help_heading = "Comparing")]
    learn: bool,
    /// Do not compare what differed in this earlier replay
    #[arg(long, value_name = "REPLAY", help_heading = "Comparing")]
    noise_from: Option<i64>,
    /// Separates its idempotency keys from those of others [default: one of its own]
    #[arg(long, value_name = "NAME")]
    scope: Option<String>,
    /// How long one request may take, as in 500ms, 30s
    #[arg(long, value_name = "SPAN", value_parser = span)]
    timeout: Option<Duration>,
    /// Start it, print its number, and do not wait for it; nobody can be asked then
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    pub(super) show: ShowArgs,
}

/// How a replay is shown.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct ShowArgs {
    /// Cut cells after so many characters
    #[arg(long, value_name = "N")]
    pub(super) max_column_width: Option<usize>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OnMismatch {
    /// It stops, and can be resumed
    Stop,
    /// It is told at once
    Skip,
    /// Somebody is asked
    Ask,
    /// It is counted
    Ignore,
}

/// What becomes of requests whose outcome is unknown.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum InDoubt {
    /// They are not sent again
    Skip,
    /// They are sent again: an effect may come twice
    Resend,
    /// Somebody is asked
    Ask,
}

/// Reads a path, also where it stands in a URL.
fn path(text: &str) -> Result<String, String> {
    if text.starts_with('/') || text == "*" {
        return Ok(text.to_owned());
    }
    let uri: Option<Uri> = text.parse().ok();
    let uri = uri.filter(|uri| uri.scheme().is_some());
    uri.map(|uri| uri.path().to_owned())
        .ok_or_else(|| format!("`{text}` is neither a path nor a URL"))
}

/// Names a choice as the API does.
pub(super) fn word(choice: &impl ValueEnum) -> Value {
    let name = choice
        .to_possible_value()
        .map(|value| value.get_name().replace('-', "_"));
    name.map_or(Value::Null, Value::String)
}

/// Tells how many milliseconds a span has.
pub(super) fn millis(span: Option<Duration>) -> Option<u64> {
    span.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

/// Sends what is asked for, and waits for the end.
pub(super) fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Box<dyn Diagnostic>> {
    let send = &arguments.send;
    let mut spec = send.spec("replay", clock::now());
    if !(arguments.all || arguments.last.is_some() || send.names_captures()) {
        return Err(Failure::told(
            "nothing says which captures: give a filter, --last N, or --all",
        ));
    }
    let pace = &arguments.pace;
    spec.set("count", arguments.last);
    spec.set("mode", pace.mode.as_ref().map(word));
    spec.set("key", pace.key.clone());
    spec.set("speed", pace.speed);
    spec.set("max_gap_ms", millis(pace.max_gap));
    spec.set("rate", pace.rate);
    spec.set("concurrency", pace.concurrency);
    let api = arguments.api.api()?;
    runtime()?.block_on(follow::start(&api, &spec, send.how()?, output))
}

/// A replay as the API reads it; what is not given is not said.
#[derive(Debug)]
pub(super) struct Spec(pub(super) Value);

impl Spec {
    /// Says `value` of `name`, if there is one.
    pub(super) fn set(&mut self, name: &str, value: Option<impl Into<Value>>) {
        if let (Some(fields), Some(value)) = (self.0.as_object_mut(), value) {
            fields.insert(name.to_owned(), value.into());
        }
    }
}

impl SendArgs {
    fn names_captures(&self) -> bool {
        self.start_from_id.is_some() || !self.filter.fields(UnixMillis(0)).is_empty()
    }

    /// Says everything that replays and restores have in common.
    pub(super) fn spec(&self, kind: &str, now: UnixMillis) -> Spec {
        let compare = {
            let mut compare =
                Spec(json!({ "headers": self.compare_header, "ignore": self.ignore, "learn": self.learn }));
            compare.set("status_only", self.status_only);
            compare.set("noise_from", self.noise_from);
            compare.0
        };
        let mut spec = Spec(json!({
            "kind": kind,
            "target": self.target,
            "query": self.filter.json(now),
            "excluded_urls": self.excluded_urls,
            "interactive": self.interactive,
            "on_error": if self.skip_request_errors { "continue" } else { "stop" },
            "force": self.force,
            "yes": self.yes,
            "map": self.map,
            "compare": compare,
        }));
        spec.set("start_from_id", self.start_from_id);
        spec.set("on_mismatch", self.on_mismatch.as_ref().map(word));
        spec.set("in_doubt", self.in_doubt.as_ref().map(word));
        spec.set("auto_map", self.auto_map);
        spec.set("scope", self.scope.clone());
        spec.set("timeout_ms", millis(self.timeout));
        spec
    }

    /// Says how it is started and shown.
    ///
    /// # Errors
    /// [`Failure`] if it might ask somebody who does not wait for it.
    pub(super) fn how(&self) -> Result<follow::How, Box<dyn Diagnostic>> {
        let asks = matches!(self.on_mismatch, Some(OnMismatch::Ask)) || matches!(self.in_doubt, Some(InDoubt::Ask));
        if asks && self.detach {
            return Err(Failure::told(
                "with --detach nobody is there who can be asked: leave it out, or say what is done without asking",
            ));
        }
        Ok(follow::How {
            dry_run: self.dry_run,
            detach: self.detach,
            show: self.show,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::replays::ReplaySpec;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        send: SendArgs,
    }

    fn spec(line: &str) -> ReplaySpec {
        let words = ["x"].into_iter().chain(line.split_whitespace());
        let spec = Line::try_parse_from(words).unwrap().send.spec("replay", UnixMillis(0));
        serde_json::from_value(spec.0).unwrap()
    }

    #[test]
    fn what_is_not_said_is_left_to_the_api() {
        let want = ReplaySpec {
            target: "shop".to_owned(),
            ..ReplaySpec::default()
        };
        assert_eq!(spec("--target shop"), want);
    }

    #[test]
    fn the_seeds_flags_are_understood() {
        let spec = spec(
            "--base-url http://a --excluded-urls /a,http://b/c?d /e* --start-from-id 3 --interactive --skip-request-errors",
        );
        assert_eq!(spec.target, "http://a");
        assert_eq!(spec.excluded_urls, ["/a", "/c", "/e*"]);
        assert_eq!((spec.start_from_id, spec.interactive), (Some(3), true));
        assert_eq!(spec.on_error, crate::app::replays::OnError::Continue);
    }
}
