//! Captures into files, and out of them.

use super::{ExportArgs, ImportArgs, tell};
use crate::cli::api::failed;
use crate::cli::filter::with_query;
use crate::cli::follow::number;
use crate::cli::output::Output;
use crate::cli::table::plain;
use crate::cli::{Diagnostic, Failure};
use crate::client::Api;
use crate::clock;
use crate::format::{ImportFormat, say};
use clap::ValueEnum as _;
use serde_json::Value;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Writes captures into a file.
pub(super) async fn export(api: &Api, args: &ExportArgs, output: &mut Output) -> Result<(), Box<dyn Diagnostic>> {
    let format = args.format.to_possible_value().map(|value| value.get_name().to_owned());
    let mut fields = args.filter.fields(clock::now());
    fields.push(("format", format.unwrap_or_default()));
    let path = with_query("/api/v1/captures/export", &fields);
    let trailers = match &args.output {
        None => api.download(&path, &mut io::stdout()).await.map_err(failed)?,
        Some(file) => export_file(api, &path, file).await?,
    };
    let text = |name: &str| trailers.get(name).and_then(|value| value.to_str().ok());
    let count = text("reprise-captures").unwrap_or("?");
    let captures = if count == "1" { "capture" } else { "captures" };
    let not_carried = text("reprise-not-carried").and_then(|json| serde_json::from_str(json).ok());
    output.write_error(format_args!("{count} {captures} written\n"));
    output.write_error(left_behind(&not_carried.unwrap_or_default()));
    Ok(())
}

/// Says in words what a format did not carry.
fn left_behind(not_carried: &Value) -> String {
    let counts = not_carried.as_object().into_iter().flatten();
    let counts = counts.map(|(name, count)| (name.as_str(), count.as_u64().unwrap_or_default()));
    match plain(&say(counts)).as_str() {
        "" => String::new(),
        said => format!("{said}\n"),
    }
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

/// Takes captures from a file.
pub(super) async fn import(api: &Api, args: &ImportArgs, output: &mut Output) -> Result<(), Box<dyn Diagnostic>> {
    let format = args.format.to_possible_value().map(|value| value.get_name().to_owned());
    let bytes =
        read(&args.file).map_err(|error| Failure::because(format!("cannot read {}", args.file.display()), error))?;
    let mut fields = vec![("format", format.unwrap_or_default())];
    fields.extend(args.keep_secrets.then(|| ("redact", "false".to_owned())));
    let path = with_query("/api/v1/captures/import", &fields);
    let done = api.upload(&path, bytes).await.map_err(failed)?;
    let names = ["imported", "duplicates", "first_id", "last_id"];
    tell(output, args.json, &done, &names)?;
    output.write_error(left_behind(done.get("not_carried").unwrap_or(&Value::Null)));
    output.write_error(meaning(
        args.format,
        number(&done, "imported"),
        number(&done, "duplicates"),
    ));
    Ok(())
}

/// Says what an import means for what is done next.
fn meaning(format: ImportFormat, imported: u64, duplicates: u64) -> String {
    let mut said = String::new();
    if duplicates > 0 {
        let are = if duplicates == 1 { "is" } else { "are" };
        let _infallible = writeln!(
            said,
            "imported {imported}; {duplicates} {are} here already, and left out"
        );
    }
    if imported > 0 && format != ImportFormat::Ndjson {
        said.push_str("imports count as captures of their own: a restore sends them too\n");
    }
    said
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    if file != Path::new("-") {
        return fs::read(file);
    }
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}
