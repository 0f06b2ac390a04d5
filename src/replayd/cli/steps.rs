//! Plans, steps and ends of replays, as tables.

use super::api::{Pages, listed};
use super::follow::number;
use super::output::Output;
use super::replay::ShowArgs;
use super::table::{Rows, cell, plain};
use super::{Diagnostic, Verdict};
use crate::app::replays::exit;
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
    for (reason, count) in plan.get("left_out").and_then(Value::as_object).into_iter().flatten() {
        let _infallible = writeln!(lines, "left out: {count} {}", plain(reason));
    }
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
    let counts = view.get("counts").unwrap_or(&Value::Null);
    let count = |name: &str| number(counts, name);
    let all = usize::try_from(count("planned")).is_ok_and(|planned| planned <= SHOWN_MAX);
    let odd = ["differed", "skipped", "in_doubt", "errors"]
        .iter()
        .any(|name| count(name) > 0);
    if all || odd {
        let rows = steps(api, number(view, "id"), all, show).await?;
        if !rows.is_empty() {
            output.write(rows)?;
        }
    }
    output.write(lines(view))
}

async fn steps(api: &Api, id: u64, all: bool, show: ShowArgs) -> Result<Rows, Box<dyn Diagnostic>> {
    let mut rows = Rows::new(&COLUMNS, show.max_column_width);
    let path = format!("/api/v1/replays/{id}/steps");
    let mut pages = Pages::new(api, &path, Vec::new());
    for _ in 0..PAGES_MAX {
        let Some(steps) = pages.next(Pages::ROWS_MAX).await? else {
            break;
        };
        for step in steps.iter().filter(|step| all || is_odd(step)) {
            rows.add(step);
            if rows.len() == SHOWN_MAX {
                return Ok(rows);
            }
        }
    }
    Ok(rows)
}

/// Tells whether somebody has to look at a step.
fn is_odd(step: &Value) -> bool {
    let state = step.get("state").and_then(Value::as_str);
    state != Some("answered") || step.get("matched") == Some(&Value::Bool(false))
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
    for (reason, count) in view.get("left_out").and_then(Value::as_object).into_iter().flatten() {
        let _infallible = writeln!(lines, "left out: {count} {}", plain(reason));
    }
    let detail = text("detail");
    if detail != "-" {
        let _infallible = writeln!(lines, "{detail}");
    }
    if let Some(early) = view
        .get("early")
        .and_then(Value::as_array)
        .filter(|early| !early.is_empty())
    {
        let _infallible = writeln!(lines, "early captures: {}", cell(&Value::Array(early.clone())));
    }
    if text("state") == "interrupted" {
        let _infallible = writeln!(lines, "`replayd replays resume {}` goes on", text("id"));
    }
    lines
}
