//! The cases of the specs that are due, and those that tests name: the same.

use super::sources::{read, rust};
use std::collections::BTreeSet;

#[test]
fn every_case_that_is_due_is_named_by_a_test() {
    let due = read("tests/house/cases.txt");
    let due: BTreeSet<_> = due.split_whitespace().map(str::to_owned).collect();
    let named: BTreeSet<_> = rust().iter().flat_map(|source| cases(&source.text)).collect();
    let missing: Vec<_> = due.difference(&named).collect();
    let unlisted: Vec<_> = named.difference(&due).collect();
    assert!(
        missing.is_empty() && unlisted.is_empty(),
        "due, but named nowhere: {missing:?}; named, but not due: {unlisted:?}"
    );
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
