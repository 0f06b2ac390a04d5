//! `replayd replays`: what was sent again, and what still is.

use super::api::{ApiArgs, failed, listed, runtime};
use super::follow::{self, number};
use super::output::Output;
use super::replay::{InDoubt, ShowArgs, word};
use super::table::{Rows, cell, plain};
use super::{Diagnostic, Verdict, steps};
use crate::client::Api;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

/// Columns of a list.
const COLUMNS: [&str; 9] = [
    "id", "kind", "state", "target", "mode", "by", "sent", "differed", "errors",
];

/// Arguments of `replayd replays`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    api: ApiArgs,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List replays, the newest first
    List(ListArgs),
    /// Show one replay
    Show(StepsArgs),
    /// Go on with an interrupted replay, or follow one that runs or asks, and wait for its end
    Resume(ResumeArgs),
    /// Stop a replay so that it can be resumed
    Interrupt(OneArgs),
    /// End a replay for good
    Cancel(OneArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Most rows
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
    #[command(flatten)]
    show: ShowArgs,
}

#[derive(Debug, Clone, Copy, Args)]
struct OneArgs {
    /// The replay's number
    id: i64,
    #[command(flatten)]
    show: ShowArgs,
}

#[derive(Debug, Args)]
struct StepsArgs {
    #[command(flatten)]
    one: OneArgs,
    /// Which steps are shown [default: all of at most 20, else the first 20 that somebody has to look at]
    #[arg(long, value_name = "WHICH")]
    steps: Option<Steps>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Steps {
    /// Every step, with --json as well
    All,
}

#[derive(Debug, Args)]
struct ResumeArgs {
    /// The replay's number
    id: i64,
    /// What becomes of requests whose outcome is unknown [default: as the replay said]
    #[arg(long, value_name = "WHAT")]
    in_doubt: Option<InDoubt>,
    #[command(flatten)]
    show: ShowArgs,
}

/// Does what is asked for.
pub(super) fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Box<dyn Diagnostic>> {
    let api = arguments.api.api()?;
    runtime()?.block_on(async {
        match &arguments.what {
            What::List(args) => list(&api, args, output).await,
            What::Show(args) => show(&api, args, output).await,
            What::Resume(args) => resume(&api, args, output).await,
            What::Interrupt(args) => order(&api, args, "interrupt", output).await,
            What::Cancel(args) => order(&api, args, "cancel", output).await,
        }
    })
}

async fn list(api: &Api, args: &ListArgs, output: &mut Output) -> Result<Verdict, Box<dyn Diagnostic>> {
    let page = api
        .get(&format!("/api/v1/replays?limit={}", args.limit))
        .await
        .map_err(failed)?;
    output.answer(args.show.json, &page, || {
        let mut rows = Rows::new(&COLUMNS, args.show.max_column_width);
        for replay in listed(&page, "items") {
            let find = |name: &str| replay.get(name).or_else(|| replay.get("counts")?.get(name));
            rows.push(COLUMNS.iter().map(|name| cell(find(name).unwrap_or(&Value::Null))));
        }
        rows
    })?;
    Ok(Verdict::Fine)
}

async fn show(api: &Api, args: &StepsArgs, output: &mut Output) -> Result<Verdict, Box<dyn Diagnostic>> {
    let OneArgs { id, show } = args.one;
    let view = api.get(&format!("/api/v1/replays/{id}")).await.map_err(failed)?;
    match args.steps {
        Some(Steps::All) => steps::whole(api, view, show, output).await?,
        None => steps::summary(api, &view, show, output).await?,
    }
    Ok(Verdict::Fine)
}

async fn resume(api: &Api, args: &ResumeArgs, output: &mut Output) -> Result<Verdict, Box<dyn Diagnostic>> {
    let mut how = Map::new();
    how.extend(args.in_doubt.as_ref().map(|doubt| ("in_doubt".to_owned(), word(doubt))));
    match api.post(&format!("/api/v1/replays/{}/resume", args.id), &how).await {
        Ok(view) => follow::stay(api, view, args.show, output).await,
        Err(error) => match running(api, args).await? {
            Some(view) => follow::stay(api, view, args.show, output).await,
            None => follow::refused(error, output),
        },
    }
}

/// Finds the replay, if it runs or asks already; what is said of steps in doubt comes too late then.
async fn running(api: &Api, args: &ResumeArgs) -> Result<Option<Value>, Box<dyn Diagnostic>> {
    if args.in_doubt.is_some() {
        return Ok(None);
    }
    let view = api.get(&format!("/api/v1/replays/{}", args.id)).await.map_err(failed)?;
    Ok(Some(view).filter(|view| view.get("exit_code").is_none_or(Value::is_null)))
}

async fn order(api: &Api, args: &OneArgs, what: &str, output: &mut Output) -> Result<Verdict, Box<dyn Diagnostic>> {
    let view = api
        .post(&format!("/api/v1/replays/{}/{what}", args.id), &json!({}))
        .await
        .map_err(failed)?;
    output.answer(args.show.json, &view, || {
        let [kind, state] = ["kind", "state"].map(|name| cell(view.get(name).unwrap_or(&Value::Null)));
        let is_out = view.get("exit_code").is_none_or(Value::is_null);
        // What is out is waited for.
        let state = if is_out { "stopping".to_owned() } else { plain(&state) };
        format!("{} {} is {state}\n", plain(&kind), number(&view, "id"))
    })?;
    Ok(Verdict::Fine)
}
