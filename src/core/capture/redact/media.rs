//! What a body is, as its headers have it.

use crate::http::Pairs;
use alloc::string::String;

/// What a body is, as far as secrets are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Media {
    /// JSON of any kind.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `multipart/…`, with its boundary; none if it does not say which.
    Multipart(Option<String>),
    /// Something that holds neither fields nor JSON.
    Opaque,
    /// Nobody says, or it could be anything.
    Unknown,
}

/// Families and types that hold neither fields nor JSON.
const OPAQUE: [&str; 15] = [
    "image/",
    "audio/",
    "video/",
    "font/",
    "text/html",
    "text/css",
    "text/csv",
    "text/xml",
    "text/javascript",
    "application/javascript",
    "application/xml",
    "application/pdf",
    "application/zip",
    "application/grpc",
    "application/wasm",
];

impl Media {
    /// Reads the one `content-type` of a half.
    pub(super) fn of(pairs: Pairs<'_>) -> Self {
        let mut values = pairs.filter(|(name, _)| name.eq_ignore_ascii_case(b"content-type"));
        let (Some((_, value)), None) = (values.next(), values.next()) else {
            return Self::Unknown;
        };
        core::str::from_utf8(value).map_or(Self::Unknown, Self::read)
    }

    fn read(value: &str) -> Self {
        let (media, parameters) = value.split_once(';').unwrap_or((value, ""));
        let media = media.trim().to_ascii_lowercase();
        if media.starts_with("multipart/") {
            return Self::Multipart(boundary(parameters));
        }
        if media == "application/x-www-form-urlencoded" {
            return Self::Form;
        }
        if media.contains("json") {
            return Self::Json;
        }
        let is_opaque = OPAQUE.into_iter().any(|family| media.starts_with(family)) || media.ends_with("+xml");
        if is_opaque && !media.contains(',') {
            Self::Opaque
        } else {
            Self::Unknown
        }
    }
}

/// Finds the boundary; none if there is none, or several, or one that RFC 2046 does not allow.
fn boundary(parameters: &str) -> Option<String> {
    let mut found = parameters.split(';').filter_map(|each| {
        let (name, value) = each.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then_some(value.trim())
    });
    let (Some(value), None) = (found.next(), found.next()) else {
        return None;
    };
    let bare = value
        .strip_prefix('"')
        .map_or(Some(value), |rest| rest.strip_suffix('"'))?;
    let legal = |char: char| char.is_ascii_alphanumeric() || "'()+_,-./:=? ".contains(char);
    ((1..=70).contains(&bare.len()) && bare.chars().all(legal) && !bare.ends_with(' ')).then(|| bare.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{is_encoded, write_pairs};
    use alloc::vec::Vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn map(pairs: &[(&str, &str)]) -> Vec<u8> {
        let mut map = Vec::new();
        write_pairs(
            pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())),
            &mut map,
        );
        map
    }

    #[track_caller]
    fn check(value: &str, want: &Media) {
        assert_eq!(
            &Media::of(Pairs::new(&map(&[("content-type", value)]))),
            want,
            "{value}"
        );
    }

    #[test]
    fn json_has_many_names() {
        for value in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/problem+json",
            "text/json",
            "application/x-ndjson",
            "text/html, application/json",
        ] {
            check(value, &Media::Json);
        }
    }

    #[test]
    fn forms_are_known() {
        check("application/x-www-form-urlencoded; charset=UTF-8", &Media::Form);
        check("multipart/form-data; boundary=ab", &Media::Multipart(Some("ab".into())));
        check(
            "Multipart/Mixed; x=1; Boundary=\"a b\"",
            &Media::Multipart(Some("a b".into())),
        );
        for unclear in [
            "",
            "; boundary=",
            "; boundary=\"a",
            "; boundary=a; boundary=b",
            "; boundary=a\\b",
            "; boundary=\"a \"",
        ] {
            check(&alloc::format!("multipart/form-data{unclear}"), &Media::Multipart(None));
        }
    }

    #[test]
    fn what_could_be_anything_is_unknown() {
        for value in [
            "",
            "text/plain",
            "application/octet-stream",
            "*/*",
            "text/html, text/x",
            "json?no",
        ] {
            let want = if value.contains("json") {
                Media::Json
            } else {
                Media::Unknown
            };
            check(value, &want);
        }
        for value in [
            "image/png",
            "text/html; charset=utf-8",
            "application/soap+xml",
            "application/grpc+proto",
        ] {
            check(value, &Media::Opaque);
        }
        let two = map(&[("content-type", "image/png"), ("Content-Type", "application/json")]);
        assert_eq!(Media::of(Pairs::new(&two)), Media::Unknown);
        assert_eq!(Media::of(Pairs::new(&[])), Media::Unknown);
    }

    #[test]
    fn only_identity_is_no_encoding() {
        for (value, want) in [("gzip", true), ("identity, br", true), ("Identity", false), ("", false)] {
            assert_eq!(
                is_encoded(Pairs::new(&map(&[("content-encoding", value)]))),
                want,
                "{value}"
            );
        }
        let two = map(&[("content-encoding", "identity"), ("Content-Encoding", "br")]);
        assert!(is_encoded(Pairs::new(&two)) && !is_encoded(Pairs::new(&[])));
    }
}
