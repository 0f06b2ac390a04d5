//! Paths as rules see them: one spelling each.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// The template of every path that no other template matches.
pub(super) const REST: &str = "*";

/// Gives the plainest spelling of `path`: no slash at the end, no empty or dot segments, nothing encoded needlessly.
pub(super) fn plain(path: &str) -> Cow<'_, str> {
    if path.contains("//") || path.contains("/.") || path.contains('%') {
        return Cow::Owned(resolve(&decode(path)));
    }
    Cow::Borrowed(if path == "/" {
        path
    } else {
        path.strip_suffix('/').unwrap_or(path)
    })
}

/// Undoes the encoding of characters that never need it.
fn decode(path: &str) -> String {
    let mut pieces = path.split('%');
    let mut plain = pieces.next().unwrap_or_default().to_string();
    for piece in pieces {
        match unreserved(piece) {
            Some((char, rest)) => {
                plain.push(char);
                plain.push_str(rest);
            }
            None => {
                plain.push('%');
                plain.push_str(piece);
            }
        }
    }
    plain
}

fn unreserved(piece: &str) -> Option<(char, &str)> {
    let (digits, rest) = piece.split_at_checked(2)?;
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let char = char::from(u8::from_str_radix(digits, 16).ok()?);
    (char.is_ascii_alphanumeric() || "-._~".contains(char)).then_some((char, rest))
}

/// Leaves out empty segments and `.`, and lets `..` take the segment before it away.
fn resolve(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    format!("/{}", segments.join("/"))
}

/// Reads a template in its plainest spelling.
pub(super) fn template(written: &str) -> Result<String, String> {
    if written == REST {
        return Ok(REST.into());
    }
    if !written.starts_with('/') || written.contains(['?', '#']) {
        return Err(format!(
            "{written:?} is not a path such as /v1/orders/{{id}}, without a query"
        ));
    }
    if written.replace("{*", "").contains('*') {
        return Err(format!(
            "{written:?} has a * that stands for nothing; write {{name}} for one segment, {{*rest}} at the end for any"
        ));
    }
    let shortened = if written == "/" {
        written
    } else {
        written.strip_suffix('/').unwrap_or(written)
    };
    let plain = plain(written);
    if plain != shortened {
        return Err(format!(
            "{written:?} is never met: paths are compared in their plainest spelling, here {plain:?}"
        ));
    }
    Ok(plain.into_owned())
}

/// Gives what stands before `/{*rest}`.
pub(super) fn bare_prefix(template: &str) -> Option<&str> {
    let (prefix, last) = template.rsplit_once('/')?;
    if !last.starts_with("{*") {
        return None;
    }
    Some(if prefix.is_empty() { "/" } else { prefix })
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[track_caller]
    fn check(path: &str, want: &str) {
        assert_eq!(plain(path), want);
    }

    #[test]
    fn a_plain_path_is_borrowed() {
        assert!(matches!(plain("/v1/orders"), Cow::Borrowed("/v1/orders")));
        assert!(matches!(plain("/v1/orders/"), Cow::Borrowed("/v1/orders")));
        assert!(matches!(plain("/"), Cow::Borrowed("/")));
    }

    #[test]
    fn other_spellings_are_the_same_path() {
        for spelling in [
            "//v1/orders",
            "/v1//orders//",
            "/./v1/orders",
            "/x/../v1/orders",
            "/v1/%6frders",
            "/v1/%2E/orders",
        ] {
            check(spelling, "/v1/orders");
        }
    }

    #[test]
    fn what_must_be_encoded_stays() {
        check("/v1/a%2Fb", "/v1/a%2Fb");
        check("/v1/%zz%", "/v1/%zz%");
        check("/v1/%+1", "/v1/%+1");
    }

    #[test]
    fn nothing_is_above_the_root() {
        check("/../..", "/");
    }

    #[test]
    fn a_template_is_written_plainly() {
        assert_eq!(template("/v1/orders/"), Ok("/v1/orders".into()));
        assert_eq!(template("/v1/{*rest}"), Ok("/v1/{*rest}".into()));
        for glob in ["/v1/orders/*", "/v1/**", "/*/a", "/v1/{id}*"] {
            assert!(template(glob).is_err_and(|error| error.contains("{*rest}")), "{glob}");
        }
        assert_eq!(template("/"), Ok("/".into()));
        for written in ["v1", "", "/a?b", "/a//b", "/%61", "/a/../b"] {
            assert!(template(written).is_err(), "{written}");
        }
    }

    #[test]
    fn a_catch_all_has_a_prefix() {
        assert_eq!(bare_prefix("/v1/{*rest}"), Some("/v1"));
        assert_eq!(bare_prefix("/{*rest}"), Some("/"));
        assert_eq!(bare_prefix("/v1/{id}"), None);
    }

    #[cfg(not(target_arch = "wasm32"))]
    mod properties {
        use super::*;
        use proptest::prelude::*;

        proptest! {
            #[test]
            fn a_plain_path_stays_as_it_is(path in "/[a-z./é]{0,24}") {
                let once = plain(&path).into_owned();
                prop_assert_eq!(plain(&once), once.as_str());
            }

            #[test]
            fn encoding_a_letter_changes_nothing(path in "(/[a-z]{1,6}){1,4}") {
                let encoded: String = path.chars()
                    .map(|char| if char == '/' { "/".into() } else { format!("%{:02X}", u32::from(char)) })
                    .collect();
                prop_assert_eq!(plain(&encoded).into_owned(), path);
            }
        }
    }
}
