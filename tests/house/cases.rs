//! The cases of the specs that are due, and those that tests name: the same. Those that wait for a feature are named by none.

use super::sources::{read, rust};
use std::collections::BTreeSet;

#[test]
fn every_case_that_is_due_is_named_by_a_test() {
    let (due, named) = (due(), named());
    let missing: Vec<_> = due.difference(&named).collect();
    let unlisted: Vec<_> = named.difference(&due).collect();
    assert!(
        missing.is_empty() && unlisted.is_empty(),
        "due, but named nowhere: {missing:?}; named, but not due: {unlisted:?}"
    );
}

#[test]
fn a_case_that_waits_is_not_named_and_says_what_it_waits_for() {
    let (due, named) = (due(), named());
    for line in read("tests/house/waiting.txt").lines() {
        let (case, waits_for) = line.split_once(' ').unwrap_or((line, ""));
        assert!(waits_for.contains(':'), "{case} waits for nothing: {line}");
        assert!(
            !named.contains(case),
            "{case} is named by a test: it is due, and stands in cases.txt"
        );
        assert!(!due.contains(case), "{case} is due: it does not wait");
    }
}

fn due() -> BTreeSet<String> {
    let due = read("tests/house/cases.txt");
    due.split_whitespace().map(str::to_owned).collect()
}

fn named() -> BTreeSet<String> {
    rust().iter().flat_map(|source| cases(&source.text)).collect()
}

/// Finds `/// Case T14.` in the docs of tests.
fn cases(text: &str) -> Vec<String> {
    let case = |line: &str| {
        line.trim()
            .strip_prefix("/// Case ")?
            .strip_suffix('.')
            .map(str::to_owned)
    };
    text.lines().filter_map(case).collect()
}
