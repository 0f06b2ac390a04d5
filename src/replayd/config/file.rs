//! `replayd.toml`: raw as written, then checked, with the place of every problem.

use super::captures::{RawCaptures, bytes_max, retain_days, unknown_after_s};
use super::options::{LogFormat, LogLevel, Options, address, directory, shutdown_ms};
use super::targets::{self, RawTarget};
use super::{ConfigError, Problem, shape};
use miette::NamedSource;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;
use toml::Spanned;

/// The file as written.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    data_dir: Option<Spanned<String>>,
    shutdown_delay_ms: Option<Spanned<i64>>,
    shutdown_timeout_ms: Option<Spanned<i64>>,
    ingest: RawListener,
    console: RawListener,
    log: RawLog,
    captures: RawCaptures,
    targets: BTreeMap<Spanned<String>, RawTarget>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawListener {
    address: Option<Spanned<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawLog {
    level: Option<LogLevel>,
    format: Option<LogFormat>,
}

/// Reads and checks the file `path`.
pub(super) fn read(path: &Path) -> Result<Options, ConfigError> {
    let text = fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    parse(path, text)
}

/// Checks `text`, which was read from `path`.
///
/// # Errors
/// [`ConfigError::Wrong`] with every problem; with the first where the text is no TOML.
pub(super) fn parse(path: &Path, text: String) -> Result<Options, ConfigError> {
    checked(&text).map_err(|problems| {
        let path = path.display().to_string();
        let text = NamedSource::new(&path, text).with_language("TOML");
        let problems = problems.into_iter().map(Problem::label).collect();
        ConfigError::Wrong { path, text, problems }
    })
}

fn checked(text: &str) -> Result<Options, Vec<Problem>> {
    let mut wrong = Vec::new();
    let raw: Option<Raw> = shape::read(text, &mut |message, span| wrong.push(problem(message, span)));
    let Some(raw) = raw else { return Err(wrong) };
    let view = raw.captures.view;
    let captures_view = view.map(|view| view.check(&mut |message, span| wrong.push(problem(message, span))));
    let mut tell = |message, span| wrong.push(problem(message, span));
    let targets = targets::check(raw.targets, &mut tell);
    let options = Options {
        data_dir: check(raw.data_dir, |text| directory(&text), &mut wrong),
        shutdown_delay_ms: check(raw.shutdown_delay_ms, shutdown_ms, &mut wrong),
        shutdown_timeout_ms: check(raw.shutdown_timeout_ms, shutdown_ms, &mut wrong),
        ingest_address: check(raw.ingest.address, |text| address(&text), &mut wrong),
        console_address: check(raw.console.address, |text| address(&text), &mut wrong),
        log_level: raw.log.level,
        log_format: raw.log.format,
        captures_retain_days: check(raw.captures.retain_days, retain_days, &mut wrong),
        captures_bytes_max: check(raw.captures.bytes_max, bytes_max, &mut wrong),
        captures_unknown_after_s: check(raw.captures.unknown_after_s, unknown_after_s, &mut wrong),
        captures_view,
        targets,
    };
    if wrong.is_empty() { Ok(options) } else { Err(wrong) }
}

fn check<Raw, Meant>(
    raw: Option<Spanned<Raw>>,
    mean: impl FnOnce(Raw) -> Result<Meant, String>,
    wrong: &mut Vec<Problem>,
) -> Option<Meant> {
    let raw = raw?;
    let span = raw.span();
    mean(raw.into_inner())
        .map_err(|message| wrong.push(problem(message, span)))
        .ok()
}

fn problem(message: String, span: Range<usize>) -> Problem {
    Problem {
        message,
        span: span.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks that `text` has problems exactly at `places`, with these words in their messages.
    #[track_caller]
    fn check(text: &str, places: &[(&str, &str)]) {
        let found = checked(text).unwrap_err();
        let at = |problem: &Problem| text[problem.span.offset()..][..problem.span.len()].to_owned();
        let seen: Vec<_> = found
            .iter()
            .map(|problem| (at(problem), problem.message.clone()))
            .collect();
        assert_eq!(seen.len(), places.len(), "{seen:?}");
        for ((at, message), (place, words)) in seen.iter().zip(places) {
            assert!(at == place && message.contains(words), "{seen:?}");
        }
    }

    #[test]
    fn an_unknown_field_is_named_with_the_allowed_ones() {
        check("[ingest]\nadress = 'x'", &[("adress", "expected `address`")]);
    }

    #[test]
    fn an_unknown_section_is_named() {
        check("[ingress]\naddress = 'x'", &[("ingress", "unknown field `ingress`")]);
    }

    #[test]
    fn a_wrong_type_is_named_with_its_place() {
        check(
            "shutdown_delay_ms = 'long'",
            &[("'long'", "invalid type: string \"long\"")],
        );
    }

    #[test]
    fn a_wrong_word_is_named_with_the_allowed_ones() {
        check("[log]\nformat = 'xml'", &[("'xml'", "expected `text` or `json`")]);
    }

    #[test]
    fn problems_of_a_target_are_told_with_their_places() {
        let text = "[targets.shop]\nurl = 'shop'\nauto_restore = true\ncredential = {env = 'A', file = 'b'}";
        check(
            text,
            &[
                ("'shop'", "not a URL"),
                ("true", "`cluster`"),
                ("{env = 'A', file = 'b'}", "exactly one"),
            ],
        );
    }

    #[test]
    fn problems_of_captures_are_told_with_their_places() {
        let text = "[captures]\nretain_days = 0\nbytes_max = -1\nunknown_after_s = 86401\n
            [captures.view]\nfilter = {status = '9xx'}\norder_by = 'size'\ncolumns = 'id,body'";
        check(
            text,
            &[
                ("{status = '9xx'}", "status"),
                ("'size'", "not an order"),
                ("'id,body'", "not a column"),
                ("0", "between 1 and 36500 days"),
                ("-1", "above 0"),
                ("86401", "between 1 and 86400 seconds"),
            ],
        );
        check(
            "[captures.view]\nfilter = {size = 1}",
            &[("size", "unknown field `size`")],
        );
    }

    #[test]
    fn unknown_fields_and_wrong_types_are_told_with_all_else() {
        let text = "data_dir = ''\nadress = 'x'\nshutdown_delay_ms = 'long'\n[ingest]\naddres = 'y'\n
            [targets.shop]\nurl = 'shop'\nstate_only = ['/a', 7]\n[targets.none]\nallowed = true";
        check(
            text,
            &[
                ("adress", "unknown field `adress`"),
                ("addres", "unknown field `addres`"),
                ("'long'", "invalid type: string \"long\""),
                ("[targets.none]", "missing field `url`"),
                ("7", "invalid type: integer `7`"),
                ("'shop'", "not a URL"),
                ("''", "is empty"),
            ],
        );
    }

    #[test]
    fn what_is_no_toml_is_told_with_its_place() {
        check("data_dir = ", &[("", "string values must be quoted")]);
    }

    #[test]
    fn all_values_out_of_bounds_are_told_at_once() {
        let text = "data_dir = ''\nshutdown_timeout_ms = 600001\n[console]\naddress = 'localhost'";
        check(
            text,
            &[
                ("''", "is empty"),
                ("600001", "between 0 and 600000"),
                ("'localhost'", "IP:PORT"),
            ],
        );
    }
}
