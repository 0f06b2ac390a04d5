//! `replayd captures`: what was captured.

use super::api::{ApiArgs, Pages, failed, listed, runtime};
use super::filter::{FilterArgs, with_query};
use super::output::Output;
use super::table::{Rows, cell, plain};
use super::{Diagnostic, Failure, Verdict};
use crate::client::Api;
use crate::clock;
use crate::format::{ExportFormat, ImportFormat};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

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
    /// Delete captures; those that a running replay needs stay
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
struct JsonArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// created, id, status or latency; a `-` before it turns it round [default: as [captures.view] says]
    #[arg(long, value_name = "ORDER", allow_hyphen_values = true)]
    order_by: Option<String>,
    /// Columns, or __all__
    #[arg(long, value_name = "NAME,…")]
    columns: Option<String>,
    /// Most rows
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// Cut cells after so many characters
    #[arg(long, value_name = "N")]
    max_column_width: Option<usize>,
    /// Print JSON
    #[arg(long)]
    json: bool,
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
    #[command(flatten)]
    filter: FilterArgs,
    /// A label that comes; may be given again
    #[arg(long, value_name = "LABEL", required_unless_present = "remove")]
    add: Vec<String>,
    /// A label that goes; may be given again
    #[arg(long, value_name = "LABEL")]
    remove: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ExportArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// In which format
    #[arg(long, value_name = "FORMAT")]
    format: ExportFormat,
    /// Into which file; it appears when it is whole [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
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
    #[command(flatten)]
    filter: FilterArgs,
    /// Delete everything
    #[arg(long)]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Does what is asked for.
pub(super) fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Box<dyn Diagnostic>> {
    let api = arguments.api.api()?;
    runtime()?.block_on(async {
        match &arguments.what {
            What::List(args) => list(&api, args, output).await,
            What::Show(args) => show(&api, args, output).await,
            What::Label(args) => label(&api, args, output).await,
            What::Export(args) => export(&api, args, output).await,
            What::Import(args) => import(&api, args, output).await,
            What::Stats(args) => stats(&api, args, output).await,
            What::Delete(args) => delete(&api, args, output).await,
        }
    })?;
    Ok(Verdict::Fine)
}

async fn list(api: &Api, args: &ListArgs, output: &mut Output) -> Result<(), Box<dyn Diagnostic>> {
    let mut fields = args.filter.fields(clock::now());
    fields.extend(args.order_by.clone().map(|order| ("order_by", order)));
    fields.extend(args.columns.clone().map(|columns| ("columns", columns)));
    let mut pages = Pages::new(api, "/api/v1/captures", fields);
    let mut items = Vec::new();
    while items.len() < args.limit
        && let Some(rows) = pages.next(args.limit.saturating_sub(items.len())).await?
    {
        items.extend(rows);
    }
    let all = json!({ "items": items, "next": pages.cursor });
    output.answer(args.json, &all, || table(&items, args))
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
    let wish = json!({ "filter": args.filter.json(clock::now()), "add": args.add, "remove": args.remove });
    let done = api.post("/api/v1/captures/labels", &wish).await.map_err(failed)?;
    tell(output, args.json, &done, &["labelled"])
}

async fn export(api: &Api, args: &ExportArgs, output: &mut Output) -> Result<(), Box<dyn Diagnostic>> {
    let format = args.format.to_possible_value().map(|value| value.get_name().to_owned());
    let mut fields = args.filter.fields(clock::now());
    fields.push(("format", format.unwrap_or_default()));
    let path = with_query("/api/v1/captures/export", &fields);
    let trailers = match &args.output {
        None => api.download(&path, &mut io::stdout()).await.map_err(failed)?,
        Some(file) => export_file(api, &path, file).await?,
    };
    let text = |name: &str| {
        trailers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("?")
            .to_owned()
    };
    let (count, not_carried) = (text("reprise-captures"), text("reprise-not-carried"));
    output.write_error(format_args!("{count} captures written; not carried: {not_carried}\n"));
    Ok(())
}

/// Writes beside `file` and renames: what is called so is whole.
async fn export_file(api: &Api, path: &str, file: &Path) -> Result<http::HeaderMap, Box<dyn Diagnostic>> {
    let failed_to = |error| Failure::because(format!("cannot write {}", file.display()), error);
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    let mut out = File::create(&part).map_err(failed_to)?;
    let trailers = match api.download(path, &mut out).await {
        Ok(trailers) => trailers,
        Err(error) => {
            let _nothing_whole = fs::remove_file(&part);
            return Err(failed(error));
        }
    };
    out.sync_all()
        .and_then(|()| fs::rename(&part, file))
        .map_err(failed_to)?;
    Ok(trailers)
}

async fn import(api: &Api, args: &ImportArgs, output: &mut Output) -> Result<(), Box<dyn Diagnostic>> {
    let format = args.format.to_possible_value().map(|value| value.get_name().to_owned());
    let bytes =
        read(&args.file).map_err(|error| Failure::because(format!("cannot read {}", args.file.display()), error))?;
    let mut fields = vec![("format", format.unwrap_or_default())];
    fields.extend(args.keep_secrets.then(|| ("redact", "false".to_owned())));
    let path = with_query("/api/v1/captures/import", &fields);
    let done = api.upload(&path, bytes).await.map_err(failed)?;
    tell(
        output,
        args.json,
        &done,
        &["imported", "first_id", "last_id", "not_carried"],
    )
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    if file != Path::new("-") {
        return fs::read(file);
    }
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}

async fn stats(api: &Api, args: &JsonArgs, output: &mut Output) -> Result<(), Box<dyn Diagnostic>> {
    let stats = api.get("/api/v1/captures/stats").await.map_err(failed)?;
    if args.json {
        return output.json(&stats);
    }
    tell(
        output,
        false,
        &stats,
        &["count", "bytes", "first_id", "last_id", "missing", "duplicates"],
    )?;
    let ledger = stats.get("ledger").unwrap_or(&Value::Null);
    tell(
        output,
        false,
        ledger,
        &[
            "seen",
            "stored",
            "pending",
            "tail_unknown",
            "filtered",
            "sampled_out",
            "dropped",
        ],
    )?;
    let names = [
        "instance",
        "worker",
        "epoch",
        "last",
        "received",
        "missing",
        "duplicates",
        "tail",
    ];
    let mut rows = Rows::new(&names, None);
    for stream in listed(&stats, "streams") {
        rows.push(
            names
                .iter()
                .map(|name| ranges(stream.get(name).unwrap_or(&Value::Null))),
        );
    }
    if rows.is_empty() { Ok(()) } else { output.write(rows) }
}

/// Writes lists of ranges as `1-5, 7-9`, and everything else as it is.
fn ranges(value: &Value) -> String {
    let ends = |range: &Value| Some(format!("{}-{}", range.get(0)?, range.get(1)?));
    match value.as_array().filter(|ranges| !ranges.is_empty()) {
        Some(ranges) => ranges.iter().filter_map(ends).collect::<Vec<_>>().join(", "),
        None => cell(value),
    }
}

async fn delete(api: &Api, args: &DeleteArgs, output: &mut Output) -> Result<(), Box<dyn Diagnostic>> {
    let mut fields = args.filter.fields(clock::now());
    if args.all {
        fields.push(("all", "true".to_owned()));
    }
    if fields.is_empty() {
        return Err(Failure::told("nothing says which captures: give a filter, or --all"));
    }
    let done = api
        .delete(&with_query("/api/v1/captures", &fields))
        .await
        .map_err(failed)?;
    tell(output, args.json, &done, &["deleted"])
}

/// Writes some fields of an answer, one a line.
fn tell(output: &mut Output, json: bool, answer: &Value, names: &[&str]) -> Result<(), Box<dyn Diagnostic>> {
    let line = |name: &&str| {
        let value = answer.get(name).unwrap_or(&Value::Null);
        format!("{name:<NAME_WIDTH$} {}\n", plain(&cell(value)))
    };
    output.answer(json, answer, || names.iter().map(line).collect::<String>())
}
