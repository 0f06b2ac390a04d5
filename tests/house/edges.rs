//! Rule 4: each edge of the world is touched in one place.

use super::sources::{Source, assert_none, files, rust};

#[track_caller]
fn only_in(rule: &str, sources: &[Source], marks: &[&str], allowed: impl Fn(&str) -> bool) {
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| !allowed(&source.path)) {
        let marked = source
            .code()
            .filter(|(_, line)| marks.iter().any(|mark| line.contains(mark)));
        found.extend(marked.map(|(at, line)| format!("{}:{at}: {line}", source.path)));
    }
    assert_none(rule, &found);
}

fn is_house(path: &str) -> bool {
    path.starts_with("tests/house/")
}

fn is_bench(path: &str) -> bool {
    path.starts_with("tests/bench")
}

#[test]
fn only_the_store_speaks_sql() {
    let marks = ["SELECT ", "INSERT INTO", "DELETE FROM", "CREATE TABLE", "PRAGMA "];
    only_in("SQL is in store/", &files("src", &[".rs"]), &marks, |path| {
        path.starts_with("src/replayd/store/") || path == "src/replayd/store.rs"
    });
}

#[test]
fn only_the_seam_names_the_host() {
    let allowed = |path: &str| path == "src/filter/host.rs" || path.starts_with("src/filter/host/");
    only_in(
        "hostcalls are made in host.rs and below it",
        &files("src", &[".rs"]),
        &["hostcalls"],
        allowed,
    );
}

#[test]
fn only_the_clock_reads_a_clock() {
    let marks = ["Instant::now", "SystemTime::now", "UNIX_EPOCH"];
    only_in(
        "clocks are read in clock.rs, host/proxy.rs and harness/wait.rs",
        &rust(),
        &marks,
        |path| {
            let clock = [
                "src/replayd/clock.rs",
                "src/filter/host/proxy.rs",
                "tests/harness/wait.rs",
            ]
            .contains(&path);
            clock || path.starts_with("src/filter/host/") || is_house(path) || is_bench(path)
        },
    );
}

#[test]
fn only_main_exits() {
    only_in(
        "only main.rs exits",
        &files("src", &[".rs"]),
        &["process::exit"],
        |path| path.ends_with("/main.rs"),
    );
}

#[test]
fn only_telemetry_installs_a_subscriber() {
    let allowed = |path: &str| path == "src/replayd/telemetry.rs";
    only_in(
        "subscribers are installed in telemetry.rs",
        &files("src", &[".rs"]),
        &["tracing_subscriber"],
        allowed,
    );
}

#[test]
fn only_configuration_reads_the_environment() {
    let allowed = |path: &str| path.contains("/config/") || path.ends_with("/config.rs");
    only_in(
        "the environment is read in config",
        &files("src", &[".rs"]),
        &["env::var", "env::vars"],
        allowed,
    );
}

#[test]
fn tests_wait_for_facts() {
    let marks = ["thread::sleep", "time::sleep"];
    let allowed = |path: &str| {
        // The upstream plays a slow application, the relay a slow network, and the one wait pauses between its probes.
        let slow = ["tests/upstream/api.rs", "tests/harness/relay.rs"].contains(&path);
        slow || path == "tests/harness/wait.rs" || is_house(path) || is_bench(path)
    };
    only_in("nobody sleeps", &files("tests", &[".rs"]), &marks, allowed);
    only_in("no test is switched off", &rust(), &["#[ignore"], is_house);
}
