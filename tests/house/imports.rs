//! What the built filter asks of its host: a new import is a question for a review.

use super::sources::{read, root};
use reprise_tests::harness::{filter_wasm, required};
use std::collections::BTreeSet;

#[test]
fn the_filter_imports_what_the_list_says() {
    let Some(file) = filter_wasm() else {
        assert!(!required("envoy"), "the filter is required");
        println!("skipped: no built filter; scripts/build-filter.sh builds it");
        return;
    };
    let wasm = std::fs::read(&file).unwrap();
    let built = imports(&wasm).unwrap_or_else(|| panic!("{} has no import section that can be read", file.display()));
    if !root().join("tests/house/imports.txt").exists() {
        println!("skipped: tests/house/imports.txt is not there; the filter imports {built:?}");
        return;
    }
    let listed: BTreeSet<_> = read("tests/house/imports.txt").lines().map(str::to_owned).collect();
    assert_eq!(built, listed);
}

/// Reads the names of all imports out of a module; none if it is not one.
///
/// Shape: `\0asm`, version 4 bytes, then sections of `u8 id | leb size | bytes`; section 2 is `leb count` and as many
/// `name module | name field | u8 kind | description`, where a name is `leb length | bytes`.
fn imports(wasm: &[u8]) -> Option<BTreeSet<String>> {
    let mut rest = wasm.strip_prefix(b"\0asm")?.get(4..)?;
    loop {
        let id = byte(&mut rest)?;
        let size = leb(&mut rest)?;
        let (mut section, next) = rest.split_at_checked(size)?;
        rest = next;
        if id != 2 {
            continue;
        }
        let count = leb(&mut section)?;
        return (0..count).map(|_| import(&mut section)).collect();
    }
}

/// Reads one import; only functions are expected, whose description is one number.
fn import(section: &mut &[u8]) -> Option<String> {
    let (module, field) = (name(section)?, name(section)?);
    let kind = byte(section)?;
    leb(section)?;
    (kind == 0).then(|| format!("{module}.{field}"))
}

fn name(bytes: &mut &[u8]) -> Option<String> {
    let len = leb(bytes)?;
    let (name, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    String::from_utf8(name.to_vec()).ok()
}

fn byte(bytes: &mut &[u8]) -> Option<u8> {
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*first)
}

fn leb(bytes: &mut &[u8]) -> Option<usize> {
    let mut value = 0;
    for shift in (0..35).step_by(7) {
        let part = byte(bytes)?;
        value |= usize::from(part & 0x7f) << shift;
        if part & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[test]
fn an_import_section_is_read() {
    let wasm = b"\0asm\x01\0\0\0\x01\x01\x00\x02\x0b\x01\x03env\x03foo\x00\x05";
    assert_eq!(imports(wasm), Some(BTreeSet::from(["env.foo".to_owned()])));
    assert_eq!(imports(b"\0asm\x01\0\0\0"), None);
}
