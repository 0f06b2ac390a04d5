//! Rules 1 to 3: who may depend on whom.

use super::sources::{assert_none, files, read, root};
use std::process::Command;

/// Crates that reach the outside world.
const IO_CRATES: [&str; 16] = [
    "tokio",
    "hyper",
    "axum",
    "mio",
    "socket2",
    "rusqlite",
    "libsqlite3-sys",
    "proxy-wasm",
    "tracing",
    "reqwest",
    "rustls",
    "redis",
    "getrandom",
    "rand",
    "rustix",
    "replayd",
];

#[test]
fn core_depends_on_no_member_and_reaches_nothing() {
    let tree = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--package",
            "reprise-core",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--locked",
            "--offline",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    let (listed, said) = (
        String::from_utf8_lossy(&tree.stdout),
        String::from_utf8_lossy(&tree.stderr),
    );
    assert!(tree.status.success() && listed.starts_with("reprise-core "), "{said}");
    let outside = |line: &&str| line.split(' ').next().is_some_and(|name| IO_CRATES.contains(&name));
    let found: Vec<_> = listed.lines().filter(outside).map(str::to_owned).collect();
    assert_none("core reaches nothing outside", &found);
    assert!(read("src/core/lib.rs").contains("#![no_std]"));
    assert!(!read("src/core/Cargo.toml").contains("reprise-filter"));
}

#[test]
fn filter_and_replayd_do_not_know_each_other() {
    assert!(
        !read("src/filter/Cargo.toml")
            .lines()
            .any(|line| line.starts_with("replayd"))
    );
    assert!(!read("src/replayd/Cargo.toml").contains("reprise-filter"));
}

/// The rooms of replayd, and those that each may not enter.
const CLOSED_DOORS: [(&str, &[&str]); 8] = [
    ("store", &["app", "ingest", "http", "ui", "worker", "run", "cli"]),
    ("app", &["ingest", "http", "ui", "worker", "run", "cli"]),
    ("format", &["app", "ingest", "http", "ui", "worker", "run", "cli"]),
    ("ingest", &["http", "ui", "worker", "run", "cli"]),
    ("http", &["ingest", "ui", "worker", "run", "cli"]),
    ("ui", &["ingest", "http", "worker", "run", "cli"]),
    ("worker", &["ingest", "http", "ui", "run", "cli"]),
    ("run", &["cli"]),
];

#[test]
fn rooms_do_not_import_sideways() {
    let mut found = Vec::new();
    for source in files("src/replayd", &[".rs"]) {
        let inside = source.path.trim_start_matches("src/replayd/");
        let room = inside.split(['/', '.']).next().unwrap_or_default();
        let closed = CLOSED_DOORS
            .iter()
            .find(|(name, _)| *name == room)
            .map_or(&[] as &[&str], |(_, closed)| closed);
        for (at, line) in source.code() {
            let enters = |other: &&&str| {
                let door = format!("crate::{other}");
                line.match_indices(&door)
                    .any(|(start, _)| !continues(&line[start + door.len()..]))
            };
            found.extend(
                closed
                    .iter()
                    .filter(enters)
                    .map(|other| format!("{}:{at}: {room} uses {other}", source.path)),
            );
        }
    }
    assert_none("rooms do not import sideways", &found);
}

fn continues(rest: &str) -> bool {
    rest.starts_with(|next: char| next.is_alphanumeric() || next == '_')
}
