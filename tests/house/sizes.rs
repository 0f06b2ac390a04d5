//! Files that are too long to be one concept, and names that say nothing.

use super::sources::{assert_none, files, rust};

const LINES_MAX: usize = 500;
const SCRIPT_LINES_MAX: usize = 60;
/// Scripts that may be longer.
const LONG_SCRIPTS: [&str; 2] = ["scripts/up.sh", "scripts/test.sh"];

#[test]
fn no_file_is_too_long() {
    let lines = |text: &str| text.lines().count();
    let mut found: Vec<_> = rust()
        .iter()
        .filter(|source| lines(source.product()) > LINES_MAX)
        .map(|source| format!("{}: {} lines", source.path, lines(source.product())))
        .collect();
    let scripts = files("scripts", &[".sh"]);
    let long = scripts.iter().filter(|script| lines(&script.text) > SCRIPT_LINES_MAX);
    let long = long.filter(|script| !LONG_SCRIPTS.contains(&script.path.as_str()));
    found.extend(long.map(|script| format!("{}: {} lines", script.path, lines(&script.text))));
    assert_none("at most 500 lines without tests, 60 in a script", &found);
}

#[test]
fn a_file_is_named_after_a_concept() {
    const NOTHING: [&str; 10] = [
        "mod", "util", "utils", "common", "helpers", "misc", "manager", "service", "types", "models",
    ];
    let stem = |path: &str| {
        path.rsplit('/')
            .next()
            .and_then(|name| name.split('.').next())
            .map(str::to_owned)
    };
    let says_nothing = |path: &str| stem(path).is_some_and(|stem| NOTHING.contains(&stem.as_str()));
    let found: Vec<_> = rust()
        .into_iter()
        .map(|source| source.path)
        .filter(|path| says_nothing(path))
        .collect();
    assert_none("a name says what is inside", &found);
}
