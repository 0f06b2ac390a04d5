//! The caller: who sends a request, by the first source that says so.

use crate::config::{Document, PrincipalSource};
use crate::gate::Request;
use crate::id::{Principal, PrincipalKind, Secrets};
use alloc::vec::Vec;

/// What the proxy proved about a request's sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Proven<'a> {
    /// Whose token it verified, as [`subject`] writes it.
    pub jwt: Option<&'a [u8]>,
    /// The name in the certificate that it was shown.
    pub mtls: Option<&'a [u8]>,
}

/// Names the subject of a token: the same subject of two issuers is two.
///
/// Shape: `u32le len(issuer) | issuer | subject`.
#[must_use]
pub fn subject(issuer: &[u8], subject: &[u8]) -> Vec<u8> {
    let len = crate::http::len_u32(issuer.len()).to_le_bytes();
    [&len[..], issuer, subject].concat()
}

/// Names what says who the caller is (a header, `jwt` or `mtls`), and its first value: of the first source that is
/// present.
#[must_use]
pub fn caller<'a>(request: &Request<'a>, document: &'a Document) -> Option<(&'a str, &'a [u8])> {
    document.principal.iter().find_map(|source| {
        let (_, what, _) = place(source);
        Some((what, values(request, source).next()?))
    })
}

/// Tells where a source is: its kind, the header if it is in one, and its own name, a cookie's within that header.
const fn place(source: &PrincipalSource) -> (PrincipalKind, &str, &str) {
    match source {
        PrincipalSource::Authorization => (PrincipalKind::Authorization, "authorization", "authorization"),
        PrincipalSource::Header(name) => (PrincipalKind::Header, name.as_str(), name.as_str()),
        PrincipalSource::Cookie(name) => (PrincipalKind::Cookie, "cookie", name.as_str()),
        PrincipalSource::Jwt => (PrincipalKind::Jwt, "jwt", "jwt"),
        PrincipalSource::Mtls => (PrincipalKind::Mtls, "mtls", "mtls"),
    }
}

/// Lists what is known at a source: what was proven, its header's lines, or the values of its cookies.
fn values<'a>(request: &Request<'a>, source: &'a PrincipalSource) -> impl Iterator<Item = &'a [u8]> {
    let (kind, header, name) = place(source);
    let proven = match kind {
        PrincipalKind::Jwt => request.proven.jwt,
        PrincipalKind::Mtls => request.proven.mtls,
        PrincipalKind::Authorization | PrincipalKind::Header | PrincipalKind::Cookie => None,
    };
    let is_header = !matches!(kind, PrincipalKind::Jwt | PrincipalKind::Mtls);
    let lines = request
        .pairs
        .filter(move |(each, _)| is_header && *each == header.as_bytes());
    let said = lines.flat_map(move |(_, line)| {
        let is_cookie = kind == PrincipalKind::Cookie;
        let whole = (!is_cookie).then_some(line);
        let crumbs = is_cookie.then(|| line.split(|byte| *byte == b';'));
        let crumbs = crumbs.into_iter().flatten();
        whole
            .into_iter()
            .chain(crumbs.filter_map(move |crumb| cookie(crumb, name)))
    });
    // An empty one names nobody: gateways send it for guests.
    proven.into_iter().chain(said).filter(|value| !value.is_empty())
}

/// Gives the value of a cookie (`name=value`) if it has this name.
fn cookie<'a>(crumb: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let rest = crumb.trim_ascii().strip_prefix(name.as_bytes())?;
    rest.strip_prefix(b"=")
}

/// Finds the caller by the first source that is present; later ones are never tried.
pub(crate) fn principal(request: &Request<'_>, document: &Document, secrets: &Secrets) -> Option<Principal> {
    document.principal.iter().find_map(|source| {
        let (kind, _, name) = place(source);
        let mut values = values(request, source).peekable();
        values.peek()?;
        Some(Principal::new(kind, name.as_bytes(), values, secrets))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::write_pairs;
    use alloc::vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const SECRETS: Secrets = Secrets {
        identity: [1; 16],
        fingerprint: [2; 16],
        long_body: [3; 32],
    };

    fn document(principal: &str) -> Document {
        let text = alloc::format!(r#"{{"version": 1, "principal": {principal}}}"#);
        Document::read(text.as_bytes()).unwrap().unwrap()
    }

    fn named(headers: &[(&str, &str)], proven: Proven<'_>, document: &Document) -> Option<Principal> {
        let mut map = vec![];
        write_pairs(
            headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())),
            &mut map,
        );
        let mut request = Request::read(&map);
        request.proven = proven;
        principal(&request, document, &SECRETS)
    }

    #[test]
    fn the_first_source_that_is_present_names_the_caller() {
        let sources = document(r#"[{"header": "x-user"}, "authorization"]"#);
        let of = |headers: &[(&str, &str)]| named(headers, Proven::default(), &sources);
        let (alice, mallory) = (("authorization", "alice"), ("authorization", "mallory"));
        assert!(of(&[alice]).is_some() && of(&[alice]) != of(&[mallory]));
        let both = of(&[("x-user", "u"), alice]);
        assert_eq!(both, of(&[("x-user", "u"), mallory]), "later sources are not tried");
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("x-user", ""), alice]), of(&[alice]), "an empty one names nobody");
    }

    #[test]
    fn a_cookie_among_others_names_the_caller() {
        let cookies = document(r#"[{"cookie": "sid"}]"#);
        let of = |line: &str| named(&[("cookie", line)], Proven::default(), &cookies);
        let one = of("a=1; sid=one; b=2");
        assert!(one.is_some() && one == of("sid=one") && one != of("sid=two"));
        assert_eq!(of("xsid=one; sid2=one; SID=one"), None);
    }

    #[test]
    fn what_the_proxy_proved_names_the_caller_and_headers_of_that_name_do_not() {
        let document = document(r#"["jwt", "mtls"]"#);
        let forged = [("jwt", "forged"), ("mtls", "forged")];
        let of = |jwt: Option<&[u8]>, mtls: Option<&[u8]>| named(&forged, Proven { jwt, mtls }, &document);
        let (alice, bob) = (subject(b"iss", b"alice"), subject(b"is", b"salice"));
        assert_ne!(alice, bob);
        assert!(of(Some(&alice), None).is_some() && of(Some(&alice), None) != of(Some(&bob), None));
        let both = of(Some(&alice), Some(b"spiffe://x"));
        assert_eq!(of(Some(&alice), None), both, "later sources are not tried");
        assert_ne!(of(None, Some(&alice)), of(Some(&alice), None));
        assert_eq!(of(None, None), None);
    }
}
