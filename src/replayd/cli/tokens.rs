//! `replayd tokens`: who may use the API.

use super::api::{ApiArgs, failed, listed, runtime};
use super::filter::span;
use super::output::Output;
use super::table::{Rows, cell};
use super::{Diagnostic, Verdict};
use crate::client::Api;
use crate::clock::{self, UnixMillis};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

/// Arguments of `replayd tokens`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    api: ApiArgs,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a token; it is printed this once
    Create(CreateArgs),
    /// List the tokens that live
    List(ListArgs),
    /// End the life of a token
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// Its name: 1 to 64 of a-z, A-Z, 0-9, `.`, `_`, `-`
    name: String,
    /// What its bearer may do
    #[arg(long)]
    role: Role,
    /// How long it counts, as in 12h, 30d, or until when, in RFC 3339 [default: until it is revoked]
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Role {
    /// Reads
    Viewer,
    /// Replays, labels and imports
    Operator,
    /// Deletes, opens boot gates, and gives tokens
    Admin,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct RevokeArgs {
    /// Its name
    name: String,
}

/// Does what is asked for.
pub(super) fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Box<dyn Diagnostic>> {
    let api = arguments.api.api()?;
    runtime()?.block_on(async {
        match &arguments.what {
            What::Create(args) => create(&api, args, output).await,
            What::List(args) => list(&api, args, output).await,
            What::Revoke(args) => revoke(&api, args, output).await,
        }
    })?;
    Ok(Verdict::Fine)
}

async fn create(api: &Api, args: &CreateArgs, output: &mut Output) -> Result<(), Box<dyn Diagnostic>> {
    let role = args.role.to_possible_value().map(|value| value.get_name().to_owned());
    let expires = args.expires.as_ref().map(|text| until(text, clock::now()));
    let wish = json!({ "name": args.name, "role": role, "expires": expires });
    let made = api.post("/api/v1/tokens", &wish).await.map_err(failed)?;
    let token = || format!("{}\n", cell(made.get("token").unwrap_or(&Value::Null)));
    output.answer(args.json, &made, token)
}

/// Turns a span into the moment when it is over; anything else the API judges.
fn until(text: &str, now: UnixMillis) -> String {
    let Ok(span) = span(text) else {
        return text.to_owned();
    };
    let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    UnixMillis(now.0.saturating_add(millis)).to_rfc3339()
}

async fn list(api: &Api, args: &ListArgs, output: &mut Output) -> Result<(), Box<dyn Diagnostic>> {
    let page = api.get("/api/v1/tokens").await.map_err(failed)?;
    output.answer(args.json, &page, || {
        let mut rows = Rows::new(&["name", "role", "created_by", "created", "expires", "used"], None);
        listed(&page, "items").for_each(|token| rows.add(token));
        rows
    })
}

async fn revoke(api: &Api, args: &RevokeArgs, output: &mut Output) -> Result<(), Box<dyn Diagnostic>> {
    let name = form_urlencoded::byte_serialize(args.name.as_bytes())
        .collect::<String>()
        .replace('+', "%20");
    api.delete(&format!("/api/v1/tokens/{name}")).await.map_err(failed)?;
    output.write(format_args!("revoked {}\n", super::table::plain(&args.name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_turned_into_a_moment() {
        assert_eq!(until("2s", UnixMillis(1000)), "1970-01-01T00:00:03.000Z");
        assert_eq!(until("2030-01-01T00:00:00Z", UnixMillis(0)), "2030-01-01T00:00:00Z");
    }
}
