//! The binary as its users run it: exit codes, streams, signals. What a command finds is tested beside it.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

mod boots;
mod captures;
mod replays;
mod tokens;
mod upstream;

use assert_cmd::assert::Assert;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use tempfile::TempDir;

/// Prepares the binary in `dir`, without any variable of the test's own environment.
fn replayd(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_replayd"));
    command.current_dir(dir).env_clear().args(arguments);
    command
}

fn check(command: Command) -> Assert {
    assert_cmd::Command::from(command).assert()
}

/// Runs a command beside the daemon in `dir`, with these bytes on its standard input.
#[track_caller]
fn ask(dir: &Path, line: &str, input: &str, code: i32) -> Said {
    let words: Vec<_> = line.split_whitespace().collect();
    let ran = assert_cmd::Command::from(replayd(dir, &words))
        .write_stdin(input)
        .output()
        .unwrap();
    let said = Said {
        out: String::from_utf8_lossy(&ran.stdout).into_owned(),
        err: String::from_utf8_lossy(&ran.stderr).into_owned(),
    };
    assert_eq!(ran.status.code(), Some(code), "{line}\n{}\n{}", said.out, said.err);
    said
}

/// What a command wrote.
struct Said {
    out: String,
    err: String,
}

impl Said {
    #[track_caller]
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap()
    }
}

/// A process that ends with its test at the latest.
struct Ends(Child);

impl Deref for Ends {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Ends {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        let _over = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// `replayd serve` in a directory of its own, on free ports.
struct Serving {
    dir: TempDir,
    child: Ends,
    log: BufReader<ChildStderr>,
}

impl Serving {
    /// Returns once the log says that the daemon is ready.
    fn start(more: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), more)
    }

    fn start_in(dir: TempDir, more: &[&str]) -> Self {
        let mut command = replayd(dir.path(), &["serve", "--console-address", "127.0.0.1:0"]);
        command.args(more).env("REPLAYD_INGEST_ADDRESS", "127.0.0.1:0");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut serving = Self {
            dir,
            child: Ends(child),
            log,
        };
        let mut line = String::new();
        serving.log.read_line(&mut line).unwrap();
        assert!(line.contains("ready"), "{line}");
        serving
    }

    /// Sends SIGTERM; tells how the daemon ended and what it wrote to standard output.
    fn stop(mut self) -> (ExitStatus, String, TempDir) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", "TERM", &id])
                .status()
                .unwrap()
                .success()
        );
        let mut written = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut written).unwrap();
        (self.child.wait().unwrap(), written, self.dir)
    }
}

#[test]
fn a_daemon_ends_with_0_on_sigterm() {
    let (status, ..) = Serving::start(&[]).stop();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_token_is_not_shown_where_no_person_reads() {
    let (_, written, dir) = Serving::start(&[]).stop();
    assert_eq!(written, "");
    assert_eq!(
        fs::read(dir.path().join("reprise-data/ingest-token")).unwrap().len(),
        64
    );
}

#[test]
fn a_json_log_has_one_object_a_line() {
    let mut serving = Serving::start(&["--log-format", "json"]);
    let id = serving.child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-s", "INT", &id])
            .status()
            .unwrap()
            .success()
    );
    let mut line = String::new();
    serving.log.read_line(&mut line).unwrap();
    let event: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(event["message"], "stopping");
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_second_daemon_on_one_directory_is_refused() {
    let serving = Serving::start(&[]);
    let second = check(replayd(serving.dir.path(), &["serve"])).code(2);
    let told = String::from_utf8_lossy(&second.get_output().stderr).into_owned();
    assert!(
        told.contains("another replayd serves the data directory ./reprise-data"),
        "{told}"
    );
    serving.stop();
}

#[test]
fn a_health_check_follows_the_daemon() {
    let serving = Serving::start(&[]);
    check(replayd(serving.dir.path(), &["doctor", "--ready"])).code(0);
    let (_, _, dir) = serving.stop();
    // Nothing listens on port 1 of the loopback.
    check(replayd(
        dir.path(),
        &["doctor", "--ready", "--console", "http://127.0.0.1:1"],
    ))
    .code(1);
}

#[test]
fn a_doctor_finds_a_running_daemon_healthy() {
    let serving = Serving::start(&[]);
    let found = check(replayd(serving.dir.path(), &["doctor", "--json"])).code(0);
    let report: serde_json::Value = serde_json::from_slice(&found.get_output().stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let named = |name| checks.iter().find(|check| check["name"] == name).unwrap();
    for name in [
        "data-directory",
        "ingest-token",
        "admin-token",
        "store",
        "ingest",
        "console",
    ] {
        assert_eq!(named(name)["status"], "ok", "{name}: {report:#}");
    }
    serving.stop();
}

#[test]
fn a_wrong_configuration_is_shown_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("replayd.toml"), "[ingest]\nadress = '127.0.0.1:0'\n").unwrap();
    let refused = check(replayd(dir.path(), &["serve"])).code(2);
    let told = String::from_utf8_lossy(&refused.get_output().stderr).into_owned();
    for words in [
        "replayd.toml:2:1",
        "unknown field `adress`, expected `address`",
        "adress = '127.0.0.1:0'",
    ] {
        assert!(told.contains(words), "no `{words}` in\n{told}");
    }
    assert!(!dir.path().join("reprise-data").exists());
}

#[test]
fn a_variable_wins_over_the_file_and_a_flag_over_both() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("replayd.toml"), "data_dir = 'file'").unwrap();
    let seen = |flags: &[&str], variable: Option<&str>| {
        let mut command = replayd(dir.path(), &["doctor", "--console", "http://127.0.0.1:1"]);
        command
            .args(flags)
            .envs(variable.map(|value| ("REPLAYD_DATA_DIR", value)));
        let found = check(command).code(1);
        String::from_utf8_lossy(&found.get_output().stdout).into_owned()
    };
    assert!(seen(&[], None).contains("file is not there"));
    assert!(seen(&[], Some("variable")).contains("variable is not there"));
    assert!(seen(&["--data-dir", "flag"], Some("variable")).contains("flag is not there"));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = replayd(dir.path(), &["config", "default"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    command.stdout(writer);
    assert_eq!(command.status().unwrap().code(), Some(0));
}

#[test]
fn the_default_configuration_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let printed = check(replayd(dir.path(), &["config", "default"])).code(0);
    fs::write(dir.path().join("replayd.toml"), &printed.get_output().stdout).unwrap();
    let found = check(replayd(dir.path(), &["doctor", "--console", "http://127.0.0.1:1"])).code(1);
    assert_eq!(String::from_utf8_lossy(&found.get_output().stderr), "");
}

#[test]
fn the_help_of_doctor_speaks_of_doctor_alone() {
    let dir = tempfile::tempdir().unwrap();
    let help = check(replayd(dir.path(), &["doctor", "--help"])).code(0);
    let help = String::from_utf8_lossy(&help.get_output().stdout).into_owned();
    assert!(help.contains("--data-dir") && help.contains("--envoy-admin"), "{help}");
    assert!(
        !help.contains("--shutdown-delay-ms") && !help.contains("--captures-"),
        "{help}"
    );
}

#[test]
fn all_problems_of_the_configuration_are_told_before_the_help() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("replayd.toml"),
        "adress = 'x'\nshutdown_delay_ms = 'long'\n",
    )
    .unwrap();
    let wrong = check(replayd(dir.path(), &["doctor"])).code(2);
    let told = String::from_utf8_lossy(&wrong.get_output().stderr).into_owned();
    let places = ["cannot be used", "unknown field `adress`", "invalid type", "help:"].map(|words| told.find(words));
    assert!(places.is_sorted() && places[0].is_some(), "{told}");
    assert!(!told.contains("Error:"), "{told}");
}

#[test]
fn a_document_is_checked_with_an_exit_code_for_each_verdict() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("sound.yaml"), "version: 1\n").unwrap();
    fs::write(dir.path().join("wrong.yaml"), "version: 1\nadress: x\n").unwrap();
    check(replayd(dir.path(), &["check-config", "sound.yaml"])).code(0);
    let wrong = check(replayd(dir.path(), &["check-config", "wrong.yaml", "--json"])).code(1);
    let report: serde_json::Value = serde_json::from_slice(&wrong.get_output().stdout).unwrap();
    assert_eq!(
        (&report["file"], &report["errors"][0]["place"]),
        (&"wrong.yaml".into(), &"adress".into())
    );
    let missing = check(replayd(dir.path(), &["check-config", "missing.yaml"])).code(2);
    assert!(String::from_utf8_lossy(&missing.get_output().stderr).contains("cannot read missing.yaml"));
}

#[test]
fn every_command_has_a_manual_page() {
    let dir = tempfile::tempdir().unwrap();
    check(replayd(dir.path(), &["man", "pages"])).code(0);
    for page in ["replayd.1", "replayd-serve.1", "replayd-doctor.1"] {
        assert!(dir.path().join("pages").join(page).exists(), "{page}");
    }
}

#[test]
fn a_completion_script_names_the_commands() {
    let dir = tempfile::tempdir().unwrap();
    let printed = check(replayd(dir.path(), &["completions", "bash"])).code(0);
    assert!(String::from_utf8_lossy(&printed.get_output().stdout).contains("replayd__subcmd__doctor"));
}
