//! `replayd boots`: which boot of each upstream cluster is known, and its gate.

use super::api::{ApiArgs, failed, runtime};
use super::output::Output;
use super::table::{Rows, cell, plain};
use super::{Diagnostic, Verdict};
use crate::client::Api;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// Columns of a list.
const COLUMNS: [&str; 5] = ["cluster", "boot_id", "seen", "restored", "targets"];

/// Arguments of `replayd boots`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    api: ApiArgs,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the newest boot of each upstream cluster
    List(ListArgs),
    /// Open the gate of a cluster by hand: nothing is sent, and clients are let in as it is
    Open(OpenArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct OpenArgs {
    /// The cluster, as Envoy names it
    cluster: String,
}

/// Does what is asked for.
pub(super) fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Box<dyn Diagnostic>> {
    let api = arguments.api.api()?;
    runtime()?.block_on(async {
        match &arguments.what {
            What::List(args) => list(&api, args, output).await,
            What::Open(args) => open(&api, args, output).await,
        }
    })?;
    Ok(Verdict::Fine)
}

async fn list(api: &Api, args: &ListArgs, output: &mut Output) -> Result<(), Box<dyn Diagnostic>> {
    let page = api.get("/api/v1/boots").await.map_err(failed)?;
    if args.json {
        return output.write(format_args!("{page:#}\n"));
    }
    let mut rows = Rows::new(&COLUMNS, None);
    for boot in page.get("items").and_then(Value::as_array).into_iter().flatten() {
        rows.push(COLUMNS.iter().map(|name| cell(boot.get(name).unwrap_or(&Value::Null))));
    }
    output.write(rows)
}

async fn open(api: &Api, args: &OpenArgs, output: &mut Output) -> Result<(), Box<dyn Diagnostic>> {
    let cluster = form_urlencoded::byte_serialize(args.cluster.as_bytes())
        .collect::<String>()
        .replace('+', "%20");
    let path = format!("/api/v1/boots/{cluster}/open");
    let boot = api.post(&path, &json!({})).await.map_err(failed)?;
    let boot_id = cell(boot.get("boot_id").unwrap_or(&Value::Null));
    output.write(format_args!(
        "boot {} of {} is open\n",
        plain(&boot_id),
        plain(&args.cluster)
    ))
}
