//! `replayd captures`: what was captured. Files are in `files`, what is counted in `stats`.

mod files;
mod stats;

use super::api::{ApiArgs, Pages, failed, listed, runtime};
use super::filter::{FilterArgs, with_query};
use super::follow::number;
use super::output::Output;
use super::table::{Rows, cell, plain};
use super::{Diagnostic, Failure, Verdict};
use crate::client::Api;
use crate::clock;
use crate::format::{ExportFormat, ImportFormat};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;

/// Columns of a list if nobody names others.
const COLUMNS: &str = "id,created,method,host,path,status,state,latency_ms,labels";

/// Width of the names before values: the longest one's.
const NAME_WIDTH: usize = "tail_unknown".len();

/// Arguments of `replayd captures`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    api: ApiArgs,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List captures
    List(ListArgs),
    /// Show one capture
    Show(ShowArgs),
    /// Add and take labels
    Label(LabelArgs),
    /// Write captures into a file
    Export(ExportArgs),
    /// Take captures from a file: all of them, or none if anything in it is wrong
    Import(ImportArgs),
    /// Count what is captured, and what is missing
    Stats(JsonArgs),
    /// Delete captures; those that a replay needs, which runs or can be resumed, stay
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
struct JsonArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

// Which captures comes last: what follows would stand under its heading in the help.
#[derive(Debug, Args)]
struct ListArgs {
    /// created, id, status or latency; a `-` before it turns it round [default: as [captures.view] says]
    #[arg(long, value_name = "ORDER", allow_hyphen_values = true)]
    order_by: Option<String>,
    /// Columns, or __all__
    #[arg(long, value_name = "NAME,…")]
    columns: Option<String>,
    /// Most rows
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// Go on where another list ended: the cursor that it named; its order counts
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// Cut cells after so many characters
    #[arg(long, value_name = "N")]
    max_column_width: Option<usize>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: FilterArgs,
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// The capture's number
    id: i64,
    /// Write one body as it is kept, and nothing else
    #[arg(long, value_name = "WHICH", conflicts_with = "json")]
    body: Option<Which>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Which {
    /// The request's
    Request,
    /// The response's
    Response,
}

#[derive(Debug, Args)]
struct LabelArgs {
    /// Label everything
    #[arg(long)]
    all: bool,
    /// A label that comes; may be given again
    #[arg(long, value_name = "LABEL", required_unless_present = "remove")]
    add: Vec<String>,
    /// A label that goes; may be given again
    #[arg(long, value_name = "LABEL")]
    remove: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: FilterArgs,
}

#[derive(Debug, Args)]
struct ExportArgs {
    /// In which format
    #[arg(long, value_name = "FORMAT")]
    format: ExportFormat,
    /// Into which file; it appears when it is whole [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    filter: FilterArgs,
}

#[derive(Debug, Args)]
struct ImportArgs {
    /// From which file; `-` is standard input
    file: PathBuf,
    /// In which format
    #[arg(long, value_name = "FORMAT")]
    format: ImportFormat,
    /// Keep headers that never show, such as authorization and cookie, as they are in the file; an admin may
    #[arg(long)]
    keep_secrets: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct DeleteArgs {
    /// Delete everything
    #[arg(long)]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: FilterArgs,
}

/// Does what is asked for.
pub(super) fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Box<dyn Diagnostic>> {
    let api = arguments.api.api()?;
    runtime()?.block_on(async {
        match &arguments.what {
            What::List(args) => list(&api, args, output).await,
            What::Show(args) => show(&api, args, output).await,
            What::Label(args) => label(&api, args, output).await,
            What::Export(args) => files::export(&api, args, output).await,
            What::Import(args) => files::import(&api, args, output).await,
            What::Stats(args) => stats::show(&api, args.json, output).await,
            What::Delete(args) => delete(&api, args, output).await,
        }
    })?;
    Ok(Verdict::Fine)
}

async fn list(api: &Api, args: &ListArgs, output: &mut Output) -> Result<(), Box<dyn Diagnostic>> {
    let mut fields = args.filter.fields(clock::now());
    fields.extend(args.order_by.clone().map(|order| ("order_by", order)));
    fields.extend(args.columns.clone().map(|columns| ("columns", columns)));
    let mut pages = Pages::from(api, "/api/v1/captures", fields, args.cursor.as_deref());
    let mut items = Vec::new();
    while items.len() < args.limit
        && let Some(rows) = pages.next(args.limit.saturating_sub(items.len())).await?
    {
        items.extend(rows);
    }
    let all = json!({ "items": items, "next": pages.cursor });
    output.answer(args.json, &all, || table(&items, args))?;
    if let Some(cursor) = pages.cursor.as_str() {
        let more = format_args!(
            "{} shown, there are more: --limit N, or --cursor {cursor}\n",
            items.len()
        );
        output.write_error(more);
    }
    Ok(())
}

/// Shows what came: the usual columns, or those that were asked for, or those that the view has.
fn table(items: &[Value], args: &ListArgs) -> Rows {
    let has = |name: &&str| items.first().is_none_or(|first| first.get(name).is_some());
    let all = || {
        items
            .first()
            .and_then(Value::as_object)
            .map(|first| first.keys().map(String::as_str).collect())
    };
    let names: Vec<&str> = match args.columns.as_deref() {
        Some("__all__") => all().unwrap_or_default(),
        Some(named) => named.split(',').map(str::trim).collect(),
        None => COLUMNS.split(',').filter(has).collect(),
    };
    let mut rows = Rows::new(&names, args.max_column_width);
    for item in items {
        rows.add(item);
    }
    rows
}

async fn show(api: &Api, args: &ShowArgs, output: &mut Output) -> Result<(), Box<dyn Diagnostic>> {
    let path = format!("/api/v1/captures/{}", args.id);
    if let Some(which) = args.body {
        let which = match which {
            Which::Request => "request",
            Which::Response => "response",
        };
        let mut bytes = Vec::new();
        api.download(&format!("{path}/{which}"), &mut bytes)
            .await
            .map_err(failed)?;
        return output.write_bytes(&bytes);
    }
    let capture = api.get(&path).await.map_err(failed)?;
    output.answer(args.json, &capture, || page(&capture))
}

/// Lays a capture out for people.
fn page(capture: &Value) -> String {
    let mut page = String::new();
    for (name, value) in capture.as_object().into_iter().flatten() {
        if !["request", "response"].contains(&name.as_str()) {
            let _infallible = writeln!(page, "{name:<15} {}", plain(&cell(value)));
        }
    }
    for which in ["request", "response"] {
        let Some(half) = capture.get(which).filter(|half| half.is_object()) else {
            continue;
        };
        let _infallible = writeln!(page, "\n{which}");
        for pair in ["headers", "trailers"]
            .iter()
            .filter_map(|list| half.get(list))
            .flat_map(|list| list.as_array())
            .flatten()
        {
            let text = |field: &str| plain(pair.get(field).and_then(Value::as_str).unwrap_or_default());
            let _infallible = writeln!(page, "  {}: {}", text("name"), text("value"));
        }
        let body = half.get("body").unwrap_or(&Value::Null);
        page.push_str(&body_lines(body));
    }
    page
}

fn body_lines(body: &Value) -> String {
    let number = |name: &str| body.get(name).and_then(Value::as_u64).unwrap_or_default();
    let mut lines = format!("  ({} bytes, {} kept)\n", number("bytes"), number("kept_bytes"));
    let text = body.get("text").and_then(Value::as_str).unwrap_or_default();
    for line in text.lines() {
        let _infallible = writeln!(lines, "  {}", plain(line));
    }
    lines
}

async fn label(api: &Api, args: &LabelArgs, output: &mut Output) -> Result<(), Box<dyn Diagnostic>> {
    which(&args.filter, args.all)?;
    let wish = json!({ "filter": args.filter.json(clock::now()), "add": args.add, "remove": args.remove });
    let done = api.post("/api/v1/captures/labels", &wish).await.map_err(failed)?;
    tell(output, args.json, &done, &["labelled"])
}

async fn delete(api: &Api, args: &DeleteArgs, output: &mut Output) -> Result<(), Box<dyn Diagnostic>> {
    let mut fields = which(&args.filter, args.all)?;
    fields.extend(args.all.then(|| ("all", "true".to_owned())));
    let done = api
        .delete(&with_query("/api/v1/captures", &fields))
        .await
        .map_err(failed)?;
    tell(output, args.json, &done, &["deleted"])?;
    output.write_error(stays(&done));
    Ok(())
}

/// Gives the filter, which nobody may forget where captures are changed.
fn which(filter: &FilterArgs, all: bool) -> Result<Vec<(&'static str, String)>, Box<dyn Diagnostic>> {
    let fields = filter.fields(clock::now());
    match (fields.is_empty(), all) {
        (true, false) => Err(Failure::told("nothing says which captures: give a filter, or --all")),
        (false, true) => Err(Failure::told("--all is given, and a filter as well: give one of them")),
        _ => Ok(fields),
    }
}

/// Says which captures were not deleted, who needs them, and what lets them go.
fn stays(done: &Value) -> String {
    let replay = |of: &Value| (number(of, "id"), plain(&cell(of.get("state").unwrap_or(&Value::Null))));
    let replays: Vec<_> = listed(done, "replays").map(replay).collect();
    let named: Vec<_> = replays.iter().map(|(id, state)| format!("{id} ({state})")).collect();
    let (verb, needs) = match number(done, "pinned") {
        0 => return String::new(),
        1 => ("stays", "it"),
        _ => ("stay", "them"),
    };
    let who = match named.as_slice() {
        [one] => format!("replay {one} needs {needs}"),
        more => format!("replays {} need {needs}", more.join(", ")),
    };
    let cancel = |(id, _): &(u64, _)| format!("`replayd replays cancel {id}`");
    let cancel: Vec<_> = replays.iter().map(cancel).collect();
    let lets = if cancel.len() == 1 { "lets" } else { "let" };
    format!(
        "{} {verb}: {who}; {} {lets} {needs} go\n",
        number(done, "pinned"),
        cancel.join(" and ")
    )
}

/// Writes some fields of an answer, one a line.
fn tell(output: &mut Output, json: bool, answer: &Value, names: &[&str]) -> Result<(), Box<dyn Diagnostic>> {
    let line = |name: &&str| {
        let value = answer.get(name).unwrap_or(&Value::Null);
        format!("{name:<NAME_WIDTH$} {}\n", plain(&cell(value)))
    };
    output.answer(json, answer, || names.iter().map(line).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(done: &Value, want: &str) {
        assert_eq!(stays(done), want);
    }

    #[test]
    fn what_is_not_deleted_is_told_with_who_needs_it() {
        check(&json!({"deleted": 3, "pinned": 0, "replays": []}), "");
        check(
            &json!({"deleted": 20, "pinned": 1, "replays": [{"id": 8, "state": "interrupted"}]}),
            "1 stays: replay 8 (interrupted) needs it; `replayd replays cancel 8` lets it go\n",
        );
        let two = json!([{"id": 8, "state": "interrupted"}, {"id": 9, "state": "running"}]);
        check(
            &json!({"deleted": 0, "pinned": 4, "replays": two}),
            "4 stay: replays 8 (interrupted), 9 (running) need them; `replayd replays cancel 8` and \
             `replayd replays cancel 9` let them go\n",
        );
    }
}
