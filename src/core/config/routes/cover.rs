//! Which path templates are broader than others.
//!
//! What becomes of their rules is decided by the routes.

use super::path;
use alloc::string::String;

/// What stands for `{id}` in a sample. No template holds it, and it comes before all that one may hold.
const ONE: char = '\u{1}';
/// What stands for `{*rest}`.
const MANY: char = '\0';
/// What ends a sample, so that `/v1` comes after `/v1/{*rest}`, which matches it too.
const END: char = '\u{7f}';

/// A path that a template matches and that no fixed segment can match by chance.
///
/// In the order of samples, a template comes before those that it covers; of two that do not cover each other, the one
/// that is fixed further to the left comes later.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sample(String);

impl Sample {
    /// Makes the sample of a template that is known to be well-formed.
    pub(super) fn new(template: &str) -> Self {
        let mut sample = String::new();
        if template == path::REST {
            sample.push(MANY);
        }
        let mut rest = template;
        while let Some((fixed, opened)) = rest.split_once('{') {
            sample.push_str(fixed);
            rest = if let Some(after) = opened.strip_prefix('{') {
                sample.push('{');
                after
            } else {
                sample.push(if opened.starts_with('*') { MANY } else { ONE });
                opened.split_once('}').map_or("", |(_name, after)| after)
            };
        }
        if template != path::REST {
            sample.push_str(rest);
        }
        sample.push(END);
        Self(sample)
    }

    /// Gives the path.
    fn path(&self) -> &str {
        self.0.strip_suffix(END).unwrap_or(&self.0)
    }
}

/// A template that matches other paths than its own text.
#[derive(Debug)]
pub(super) enum Cover {
    /// `*`.
    All,
    /// A template with `{id}` or `{*rest}` in it.
    Some {
        /// What all its paths begin with.
        prefix: String,
        /// Knows it: 1 where a path is met by a `{*rest}`. The numbers make it the router that the routes have.
        router: matchit::Router<u32>,
    },
}

impl Cover {
    /// Makes the cover of `template`; none if it covers nothing.
    pub(super) fn new(template: &str) -> Option<Self> {
        if template == path::REST {
            return Some(Self::All);
        }
        let (prefix, _) = template.split_once('{')?;
        let mut router = matchit::Router::new();
        let is_many = Sample::new(template).path().contains(MANY);
        router.insert(template, u32::from(is_many)).ok()?;
        if let Some(bare) = path::bare_prefix(template) {
            router.insert(bare, 0).ok()?;
        }
        Some(Self::Some {
            prefix: prefix.strip_suffix('/').unwrap_or(prefix).into(),
            router,
        })
    }

    /// Tells whether every path of the template of `sample` is a path of this one too.
    pub(super) fn has(&self, sample: &Sample) -> bool {
        match self {
            Self::All => true,
            Self::Some { prefix, router } => {
                let path = sample.path();
                // Only one that goes on for ever holds all of another that does.
                let fits = |by_many: bool| by_many || !path.contains(MANY);
                path.starts_with(prefix.as_str()) && router.at(path).is_ok_and(|found| fits(*found.value == 1))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[track_caller]
    fn check(broad: &str, narrow: &str, want: bool) {
        let cover = Cover::new(broad);
        let (broad_sample, sample) = (Sample::new(broad), Sample::new(narrow));
        assert_eq!(cover.is_some_and(|cover| cover.has(&sample)), want, "{broad} {narrow}");
        assert!(!want || broad == narrow || broad_sample < sample, "{broad} {narrow}");
    }

    #[test]
    fn a_catch_all_covers_what_is_below_it_and_its_bare_prefix() {
        for narrow in ["/v1/orders", "/v1/{id}", "/v1/orders/{id}", "/v1/a/{*rest}", "/v1"] {
            check("/v1/{*rest}", narrow, true);
        }
        for narrow in ["/v2", "/{*rest}", "/{x}/a", "/{x}", "/", "/v1a"] {
            check("/v1/{*rest}", narrow, false);
        }
        check("/{*rest}", "/", true);
        check("/v{*rest}", "/v1/{*rest}", true);
        check("/v{*rest}", "/v", false);
        check("/{x}/{*rest}", "/{x}", true);
        check("/{x}/{*rest}", "/{*rest}", false);
    }

    #[test]
    fn a_segment_covers_one_segment() {
        for narrow in ["/a/b", "/a/x{id}", "/{x}/b", "/a/{x}"] {
            check("/{x}/{y}", narrow, true);
        }
        for narrow in ["/a", "/a/b/c", "/a/{*rest}", "/{x}/{*rest}", "/{*rest}"] {
            check("/{x}/{y}", narrow, false);
        }
        check("/a/x{id}", "/a/xy", true);
        check("/a/x{id}", "/a/{id}", false);
    }

    #[test]
    fn fixed_text_covers_nothing() {
        check("/a", "/a/b", false);
        check("/a", "/{x}", false);
        check("/{{a}}", "/{x}", false);
        check("/{{{x}", "/{y}", false);
    }

    #[test]
    fn the_rest_covers_everything() {
        for narrow in ["/", "/a", "/{x}", "/{*rest}"] {
            check("*", narrow, true);
            check(narrow, "*", false);
        }
    }

    #[test]
    fn of_two_that_only_overlap_the_one_fixed_further_left_comes_later() {
        assert!(Sample::new("/{x}/b") < Sample::new("/a/{y}"));
        assert!(Sample::new("/{*rest}") < Sample::new("/{x}"));
    }

    #[cfg(not(target_arch = "wasm32"))]
    mod properties {
        use super::*;
        use proptest::prelude::*;

        fn template() -> impl Strategy<Value = String> {
            let segment = prop_oneof!["[ab]{1,2}", Just("{x}".into()), Just("a{x}".into()), Just("{{a".into())];
            let many = prop_oneof![Just(""), Just("/{*rest}"), Just("/a{*rest}")];
            (prop::collection::vec(segment, 1..4), many)
                .prop_map(|(segments, many)| alloc::format!("/{}{many}", segments.join("/")))
                .prop_filter("names must differ", |template| {
                    matchit::Router::new().insert(template.as_str(), 0).is_ok()
                })
        }

        fn matches(template: &str, path: &str) -> bool {
            let mut router = matchit::Router::new();
            router.insert(template, 0).unwrap();
            if let Some(bare) = path::bare_prefix(template) {
                router.insert(bare, 0).unwrap();
            }
            router.at(path).is_ok()
        }

        proptest! {
            #[test]
            fn what_a_covered_template_matches_the_broader_one_does_too(
                broad in template(), narrow in template(), path in "(/[ab{]{1,2}){1,4}",
            ) {
                let covers = Cover::new(&broad).is_some_and(|cover| cover.has(&Sample::new(&narrow)));
                prop_assert!(!covers || !matches(&narrow, &path) || matches(&broad, &path));
                prop_assert!(!covers || broad == narrow || Sample::new(&broad) < Sample::new(&narrow));
            }
        }
    }
}
