//! Whether one path fits one template, without a router.
//!
//! Which of several templates is a path's is decided by the routes.

use super::path;

/// Tells whether `path`, in its plainest spelling, fits `template`.
///
/// The same reading as the routes': `{id}` is the rest of a segment and not empty at a path's end, `{*rest}` the rest of the path, and
/// `/v1/{*rest}` fits `/v1` too.
pub(super) fn fits(template: &str, path: &str) -> bool {
    let is_bare = || path::bare_prefix(template).is_some_and(|bare| fits_whole(bare, path));
    template == path::REST || fits_whole(template, path) || is_bare()
}

fn fits_whole(template: &str, path: &str) -> bool {
    let (mut template, mut path) = (template, path);
    loop {
        let Some((fixed, opened)) = template.split_once(['{', '}']) else {
            return template == path;
        };
        let Some(rest) = path.strip_prefix(fixed) else {
            return false;
        };
        // `{{` and `}}` stand for one brace each.
        if let Some((brace, after)) = escaped(template, fixed) {
            let Some(rest) = rest.strip_prefix(brace) else {
                return false;
            };
            (template, path) = (after, rest);
            continue;
        }
        if opened.starts_with('*') {
            return !rest.is_empty();
        }
        let (segment, rest) = rest
            .split_at_checked(rest.find('/').unwrap_or(rest.len()))
            .unwrap_or_default();
        // As the router has it: `/a{id}/b` fits `/a/b`, but `/a{id}` not `/a`.
        if segment.is_empty() && rest.is_empty() {
            return false;
        }
        (template, path) = (opened.split_once('}').map_or("", |(_name, after)| after), rest);
    }
}

/// Takes an escaped brace after `fixed`.
fn escaped<'a>(template: &'a str, fixed: &str) -> Option<(char, &'a str)> {
    let rest = template.strip_prefix(fixed)?;
    [('{', "{{"), ('}', "}}")]
        .into_iter()
        .find_map(|(brace, twice)| Some((brace, rest.strip_prefix(twice)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[track_caller]
    fn check(template: &str, path: &str, want: bool) {
        assert_eq!(fits(template, path), want, "{template} {path}");
    }

    #[test]
    fn fixed_text_fits_itself() {
        check("/v1/orders", "/v1/orders", true);
        check("/v1/orders", "/v1/orders/7", false);
        check("/a{{b}}", "/a{b}", true);
        check("/a{{b}}", "/axb}", false);
        check("*", "/any", true);
    }

    #[test]
    fn a_segment_ends_at_a_slash_and_is_not_empty_at_the_end() {
        check("/v1/{id}/lines", "/v1/7/lines", true);
        check("/v1/x{id}", "/v1/x7", true);
        check("/v1/x{id}", "/v1/x", false);
        for path in ["/v1/7", "/v1/7/8/lines", "/v1/7/lines/8"] {
            check("/v1/{id}/lines", path, false);
        }
    }

    #[test]
    fn a_catch_all_fits_what_is_below_it_and_its_bare_prefix() {
        for path in ["/v1", "/v1/a", "/v1/a/b"] {
            check("/v1/{*rest}", path, true);
        }
        check("/{*rest}", "/", true);
        check("/v1/{*rest}", "/v2", false);
        check("/v{*rest}", "/v", false);
    }

    #[cfg(not(target_arch = "wasm32"))]
    mod properties {
        use super::*;
        use alloc::format;
        use alloc::string::String;
        use proptest::prelude::*;

        fn template() -> impl Strategy<Value = String> {
            let segment = prop_oneof!["[ab]{1,2}", Just("{x}".into()), Just("a{x}".into()), Just("{{a".into())];
            let many = prop_oneof![Just(""), Just("/{*rest}"), Just("/a{*rest}")];
            (prop::collection::vec(segment, 1..4), many)
                .prop_map(|(segments, many)| format!("/{}{many}", segments.join("/")))
        }

        fn router_fits(template: &str, path: &str) -> Option<bool> {
            let mut router = matchit::Router::new();
            router.insert(template, 0).ok()?;
            if let Some(bare) = path::bare_prefix(template) {
                router.insert(bare, 0).ok()?;
            }
            Some(router.at(path).is_ok())
        }

        proptest! {
            #[test]
            fn a_path_fits_as_the_router_says(template in template(), path in "(/[ab{]{1,2}){1,4}") {
                if let Some(want) = router_fits(&template, &path) {
                    prop_assert_eq!(fits(&template, &path), want);
                }
            }
        }
    }
}
