//! Plans, steps and ends of replays, as tables.

use super::api::{Pages, listed};
use super::follow::number;
use super::output::Output;
use super::replay::ShowArgs;
use super::table::{Rows, cell, plain};
use super::{Diagnostic, Verdict};
use crate::app::replays::{exit, named};
use crate::client::Api;
use serde_json::Value;
use std::fmt::Write as _;

/// Most steps that are shown beside the end of a replay.
const SHOWN_MAX: usize = 20;
/// Pages in which steps to show are looked for.
const PAGES_MAX: u32 = 40;

const COLUMNS: [&str; 8] = [
    "at",
    "capture",
    "method",
    "target",
    "recorded_status",
    "status",
    "state",
    "detail",
];

/// Shows what would be sent; a plan that would be refused is refused.
pub(super) fn plan(plan: &Value, show: ShowArgs, output: &mut Output) -> Result<Verdict, Box<dyn Diagnostic>> {
    let refusal = plan.get("refusal").and_then(Value::as_str);
    let verdict = Verdict::Replay(if refusal.is_some() { exit::REFUSED } else { exit::MATCH });
    if show.json {
        output.json(plan)?;
        return Ok(verdict);
    }
    let names = ["capture", "method", "target", "status"];
    let mut rows = Rows::new(&names, show.max_column_width);
    for step in listed(plan, "steps") {
        rows.add(step);
    }
    output.write(rows)?;
    let text = |name: &str| plain(&cell(plan.get(name).unwrap_or(&Value::Null)));
    let mut lines = format!(
        "{} to {} ({}): {} of {} captures would be sent, {} of them mutations\n",
        text("kind"),
        text("url"),
        text("mode"),
        number(plan, "sends"),
        number(plan, "captures"),
        number(plan, "mutations"),
    );
    lines.push_str(&left_out(plan));
    lines.push_str(&withheld(plan));
    if let Some(refusal) = refusal {
        let _infallible = writeln!(lines, "it would be refused: {}", plain(refusal));
    }
    output.write(lines)?;
    Ok(verdict)
}

/// Shows what became of a replay: as JSON, or with the steps that somebody has to look at.
pub(super) async fn summary(
    api: &Api,
    view: &Value,
    show: ShowArgs,
    output: &mut Output,
) -> Result<(), Box<dyn Diagnostic>> {
    if show.json {
        return output.json(view);
    }
    let table = Table::of(view);
    if table.is_shown {
        table.write(api, view, show, output).await?;
    }
    output.write(lines(view))
}

/// Shows a replay with all its steps; in JSON they are its `steps`.
pub(super) async fn whole(
    api: &Api,
    mut view: Value,
    show: ShowArgs,
    output: &mut Output,
) -> Result<(), Box<dyn Diagnostic>> {
    if !show.json {
        let table = Table {
            is_all: true,
            is_shown: true,
            rows_max: usize::MAX,
        };
        table.write(api, &view, show, output).await?;
        return output.write(lines(&view));
    }
    let path = steps_path(&view);
    let mut pages = Pages::new(api, &path, Vec::new());
    let mut all = Vec::new();
    while let Some(steps) = pages.next(Pages::ROWS_MAX).await? {
        all.extend(steps);
    }
    if let Some(fields) = view.as_object_mut() {
        fields.insert("steps".to_owned(), Value::Array(all));
    }
    output.json(&view)
}
/// Which steps are shown.
struct Table {
    /// Also those that nobody has to look at.
    is_all: bool,
    is_shown: bool,
    rows_max: usize,
}

impl Table {
    /// Shows all steps of a short replay, else the first of those that somebody has to look at.
    fn of(view: &Value) -> Self {
        let counts = view.get("counts").unwrap_or(&Value::Null);
        let count = |name: &str| number(counts, name);
        let is_all = usize::try_from(count("planned")).is_ok_and(|planned| planned <= SHOWN_MAX);
        let odd = ["differed", "skipped", "in_doubt", "errors"];
        Self {
            is_all,
            is_shown: is_all || odd.iter().any(|name| count(name) > 0),
            rows_max: SHOWN_MAX,
        }
    }

    async fn write(
        &self,
        api: &Api,
        view: &Value,
        show: ShowArgs,
        output: &mut Output,
    ) -> Result<(), Box<dyn Diagnostic>> {
        let rows = self.rows(api, view, show).await?;
        let shown = rows.len();
        if !rows.is_empty() {
            output.write(rows)?;
        }
        let planned = number(view.get("counts").unwrap_or(&Value::Null), "planned");
        if usize::try_from(planned).is_ok_and(|planned| planned <= shown) {
            return Ok(());
        }
        let id = number(view, "id");
        output.write(format_args!(
            "{shown} of {planned} steps shown; `replayd replays show {id} --steps all` shows all\n"
        ))
    }

    async fn rows(&self, api: &Api, view: &Value, show: ShowArgs) -> Result<Rows, Box<dyn Diagnostic>> {
        let mut rows = Rows::new(&COLUMNS, show.max_column_width);
        let path = steps_path(view);
        let mut pages = Pages::new(api, &path, Vec::new());
        let mut looked_at = 0_u32;
        while let Some(steps) = pages.next(Pages::ROWS_MAX).await? {
            for step in steps.iter().filter(|step| self.is_all || is_odd(step)) {
                rows.add(step);
                if rows.len() == self.rows_max {
                    return Ok(rows);
                }
            }
            looked_at = looked_at.saturating_add(1);
            if !self.is_all && looked_at == PAGES_MAX {
                break;
            }
        }
        Ok(rows)
    }
}

fn steps_path(view: &Value) -> String {
    format!("/api/v1/replays/{}/steps", number(view, "id"))
}

/// Tells whether somebody has to look at a step.
fn is_odd(step: &Value) -> bool {
    let state = step.get("state").and_then(Value::as_str);
    state != Some("answered") || step.get("matched") == Some(&Value::Bool(false))
}

/// Tells what is left out, and why.
fn left_out(view: &Value) -> String {
    let reasons = view.get("left_out").and_then(Value::as_object).into_iter().flatten();
    reasons
        .map(|(reason, count)| format!("left out: {count} ({})\n", plain(reason)))
        .collect()
}

/// Tells what could not be sent, and whether a restore would stop there.
fn withheld(plan: &Value) -> String {
    let line = |each: &Value| {
        let why = each.get("why").and_then(Value::as_str).unwrap_or_default();
        format!("capture {}: {}\n", number(each, "capture"), plain(why))
    };
    let mut lines: String = listed(plan, "withheld").take(SHOWN_MAX).map(line).collect();
    if let Some(id) = plan.get("stops_at").and_then(Value::as_i64) {
        let _infallible = writeln!(
            lines,
            "the restore would stop at capture {id}: --on-mismatch skip goes on without what cannot be sent"
        );
    }
    lines
}

/// Tells which redacted headers requests went without.
fn without_headers(view: &Value) -> String {
    let headers = view
        .get("headers_left_out")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    let line = |(name, count): (&String, &Value)| {
        let captures = if count == 1 { "capture" } else { "captures" };
        format!(
            "not sent: {} of {count} {captures}; `credential` in [targets.NAME] gives one\n",
            plain(name)
        )
    };
    headers.map(line).collect()
}

/// Tells what clients changed before a restore.
fn early(view: &Value) -> String {
    let ids: Vec<_> = listed(view, "early").filter_map(Value::as_i64).collect();
    if ids.is_empty() {
        return String::new();
    }
    format!("early: {} ({})\n", ids.len(), named(&ids))
}

/// Writes the end of a replay.
fn lines(view: &Value) -> String {
    let counts = view.get("counts").unwrap_or(&Value::Null);
    let text = |name: &str| plain(&cell(view.get(name).unwrap_or(&Value::Null)));
    let mut lines = format!("{} {} to {}: {}", text("kind"), text("id"), text("url"), text("state"));
    for name in [
        "sent", "answered", "matched", "differed", "skipped", "in_doubt", "errors",
    ] {
        let _infallible = write!(lines, ", {} {}", number(counts, name), name.replace('_', " "));
    }
    lines.push('\n');
    for (name, spread) in ["lateness", "latency_intended", "latency"].map(|name| (name, view.get(name))) {
        let spread = spread.unwrap_or(&Value::Null);
        if number(spread, "count") > 0 {
            let [p50, p99, max] = ["p50", "p99", "max"].map(|name| number(spread, name));
            let _infallible = writeln!(lines, "{name:<17} p50 {p50} us, p99 {p99} us, max {max} us");
        }
    }
    lines.push_str(&left_out(view));
    lines.push_str(&without_headers(view));
    let detail = text("detail");
    if detail != "-" {
        let _infallible = writeln!(lines, "{detail}");
    }
    lines.push_str(&early(view));
    if text("state") == "interrupted" {
        let _infallible = writeln!(lines, "`replayd replays resume {}` goes on", text("id"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_left_out_or_early_is_counted_with_its_reason() {
        let view = json!({"left_out": {"on the target already": 3}, "early": [5]});
        assert_eq!(left_out(&view), "left out: 3 (on the target already)\n");
        assert_eq!(early(&view), "early: 1 (capture 5)\n");
        assert_eq!(early(&json!({"early": []})), "");
        let sent = json!({"headers_left_out": {"authorization": 1}});
        let want = "not sent: authorization of 1 capture; `credential` in [targets.NAME] gives one\n";
        assert_eq!(without_headers(&sent), want);
    }

    #[test]
    fn a_plan_tells_what_cannot_be_sent_and_where_it_stops() {
        let plan = json!({"withheld": [{"capture": 1, "why": "json:/password was redacted"}], "stops_at": 1});
        let told = withheld(&plan);
        let mut lines = told.lines();
        assert_eq!(lines.next(), Some("capture 1: json:/password was redacted"));
        assert!(
            lines.next().unwrap().starts_with("the restore would stop at capture 1"),
            "{told}"
        );
    }
}
