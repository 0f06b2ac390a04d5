//! The gate: what a request's head asks for, before anything is looked up.

use crate::caller::{Proven, principal};
use crate::claim::Effect;
use crate::config::{Anonymous, Document, Encoder, Fingerprint, InFlight, Methods, Mode, Policy, Scope, plain_path};
use crate::encoder::{Code, Encoding};
use crate::fingerprint::{Digest, Head};
use crate::http::Pairs;
use crate::id::{Namespace, Principal, Secrets, Tag, encoded_tag, endpoint_tag, tag};
use crate::key::{IdempotencyKey, KeyError};
use crate::problem::{Dialect, Problem};
use alloc::vec::Vec;

/// The parts of a request's head that decide its way.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// All headers.
    pub pairs: Pairs<'a>,
    /// `:method`; empty if there is none.
    pub method: &'a [u8],
    /// `:path` with its query; empty for CONNECT.
    pub target: &'a [u8],
    /// `:authority`.
    pub authority: &'a [u8],
    /// `:scheme`.
    pub scheme: &'a [u8],
    /// Whether it asks for another protocol.
    pub upgrades: bool,
    /// What the proxy proved about its sender; nothing unless asked for.
    pub proven: Proven<'a>,
    /// Whether replayd signed it, as a step of a replay.
    pub is_step: bool,
    /// What its route's encoder made of it.
    pub encoded: Encoded,
}

/// What a route's encoder made of a request whose body it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoded {
    /// Nothing yet.
    #[default]
    Not,
    /// This.
    Code(Code),
    /// Nothing: the body is longer than is held.
    TooLong,
    /// Nothing: the body could not be read.
    Unread,
    /// Nothing: as much is held already as may be.
    NoRoom,
}

/// What is to do with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// It is none of our business.
    Pass,
    /// It has no key, where a key would have protected it.
    PassUnkeyed,
    /// It does not go through.
    Refuse(Problem),
    /// Its key has no name before the body is known: see [`encoding`].
    Encode,
    /// Its key is to be claimed.
    Claim(Keyed),
}

/// A request with a key, ready for the look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keyed {
    /// The key's name in the store.
    pub tag: Tag,
    /// The row in which it counts.
    pub principal_row: u16,
    /// Whether no source names the caller.
    pub anonymous: bool,
    /// The head's digest.
    pub head: Digest,
}

impl<'a> Request<'a> {
    /// Reads a request's headers in the host's serialised form.
    #[must_use]
    pub fn read(map: &'a [u8]) -> Self {
        let pairs = Pairs::new(map);
        let mut request = Self {
            pairs,
            method: b"",
            target: b"",
            authority: b"",
            scheme: b"",
            upgrades: false,
            proven: Proven::default(),
            is_step: false,
            encoded: Encoded::Not,
        };
        for (name, value) in pairs {
            match name {
                b":method" => request.method = value,
                b":path" => request.target = value,
                b":authority" => request.authority = value,
                b":scheme" => request.scheme = value,
                b"upgrade" => request.upgrades = true,
                _ => {}
            }
        }
        request.upgrades |= request.method == b"CONNECT";
        request
    }

    /// Tells whether nothing that a document can say concerns the request: it is safe, and stays HTTP.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        !self.upgrades && is_safe(self.method)
    }

    /// Tells what the client reads errors as, as the proxy sees it.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match self.grpc() {
            Some(b"" | [b'+', ..]) => Dialect::Grpc,
            Some(_) | None => Dialect::Http,
        }
    }

    /// Tells whether it is gRPC, or gRPC-Web.
    #[must_use]
    pub fn is_grpc(&self) -> bool {
        self.grpc().is_some()
    }

    /// Gives what stands behind the media type of gRPC: nothing, or that it is gRPC-Web; none if it is another one.
    fn grpc(&self) -> Option<&'a [u8]> {
        self.pairs.first(b"content-type")?.strip_prefix(b"application/grpc")
    }

    /// Counts the bytes that the body should have; none if the request does not say.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        core::str::from_utf8(self.pairs.first(b"content-length")?)
            .ok()?
            .parse()
            .ok()
    }

    /// Shows the path without its query.
    #[must_use]
    pub fn path(&self) -> &'a [u8] {
        self.target.split(|byte| *byte == b'?').next().unwrap_or_default()
    }

    /// Names the headers that a protected request must not carry: they would make Envoy send it again, or speak for us.
    #[must_use]
    pub fn forbidden(&self) -> Vec<Vec<u8>> {
        self.pairs
            .filter(|(name, _)| is_forbidden(name))
            .map(|(name, _)| name.to_vec())
            .collect()
    }
}

/// Tells whether a method is safe: a key means nothing to it.
#[must_use]
pub const fn is_safe(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE")
}

/// Tells whether a protected request must not carry a header.
pub(crate) fn is_forbidden(name: &[u8]) -> bool {
    name.starts_with(b"reprise-")
        || matches!(
            name,
            b"x-envoy-retry-on"
                | b"x-envoy-retry-grpc-on"
                | b"x-envoy-max-retries"
                | b"x-envoy-hedge-on-per-try-timeout"
        )
}

/// Decides what is to do with `request` on a route with `policy`.
#[must_use]
pub fn gate(request: &Request<'_>, policy: &Policy, document: &Document, secrets: &Secrets) -> Gate {
    match policy.mode {
        Mode::Off => return Gate::Pass,
        Mode::Required if request.upgrades => return Gate::Refuse(Problem::NotProtectable),
        Mode::Optional | Mode::Required | Mode::Manual
            if request.upgrades || !is_covered(request.method, &policy.methods) =>
        {
            return Gate::Pass;
        }
        Mode::Optional | Mode::Required | Mode::Manual => {}
    }
    // A recorded response could not be told to a gRPC client: the proxy turns every local reply into an error for it.
    if policy.mode != Mode::Required && request.grpc().is_some() {
        return Gate::Pass;
    }
    match key(request, policy) {
        Ok(Some(key)) => match keyed(request, &key, (policy, document), secrets) {
            // A step goes out with what was captured of its caller: the key was the caller's then.
            keyed if keyed.anonymous && policy.anonymous == Anonymous::Refuse && !request.is_step => {
                Gate::Refuse(Problem::CallerMissing)
            }
            keyed => encoded(request, keyed, &key, (policy, document), secrets),
        },
        Ok(None) if policy.mode != Mode::Required => Gate::PassUnkeyed,
        Ok(None) => Gate::Refuse(Problem::KeyMissing {
            header: policy.header.clone(),
        }),
        Err(error) => Gate::Refuse(Problem::KeyMalformed {
            header: policy.header.clone(),
            error,
        }),
    }
}

/// Lets a key through by the name that its route's encoder gives it.
fn encoded(
    request: &Request<'_>,
    keyed: Keyed,
    key: &IdempotencyKey<'_>,
    (policy, document): (&Policy, &Document),
    secrets: &Secrets,
) -> Gate {
    let max = document.hold_bytes_max;
    let named = |code: &Code| {
        Gate::Claim(Keyed {
            tag: encoded_tag(&keyed.tag, code, secrets),
            ..keyed
        })
    };
    match (request.encoded, &policy.encoder) {
        (_, Encoder::Standard) => Gate::Claim(keyed),
        (_, encoder) if !encoder.needs_body() => match Encoding::begin(encoder, request, key) {
            Some(encoding) => named(&encoding.end()),
            None => Gate::Claim(keyed),
        },
        (Encoded::Code(code), _) => named(&code),
        (Encoded::Not, _) if request.content_length().is_none_or(|len| len <= max) => Gate::Encode,
        (Encoded::Not | Encoded::TooLong, _) => Gate::Refuse(Problem::BodyTooLarge { max }),
        (Encoded::Unread, _) => Gate::Refuse(Problem::StoreUnavailable),
        (Encoded::NoRoom, _) => Gate::Refuse(Problem::Capacity),
    }
}

/// Begins what the gate wants where it says [`Gate::Encode`].
#[must_use]
pub fn encoding(request: &Request<'_>, policy: &Policy) -> Option<Encoding> {
    let key = key(request, policy).ok()??;
    Encoding::begin(&policy.encoder, request, &key)
}

/// What is to do with a duplicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// It is held, and gets what the first request left.
    Hold,
    /// It is held until the first request has ended.
    Wait,
    /// It runs beside the first request.
    Run,
    /// It goes on, and its upstream is told what is recorded.
    Tell,
}

/// Decides about a duplicate by what it met. A step of a replay never runs beside another.
#[must_use]
pub fn repeat(met: Effect, policy: &Policy, is_step: bool) -> Repeat {
    match (met, policy.in_flight, policy.mode) {
        (Effect::RefuseInFlight, InFlight::Run, _) if !is_step => Repeat::Run,
        (Effect::RefuseInFlight, InFlight::Wait, _) => Repeat::Wait,
        (Effect::Answer, _, Mode::Manual) => Repeat::Tell,
        _ => Repeat::Hold,
    }
}

fn is_covered(method: &[u8], methods: &Methods) -> bool {
    match methods {
        Methods::Unsafe => !is_safe(method),
        Methods::Listed(listed) => !is_safe(method) && listed.iter().any(|each| each.as_bytes() == method),
    }
}

/// Where replayd puts the key of a step whose capture had none there.
const DERIVED: &[u8] = crate::replay::key::HEADER.as_bytes();

fn key<'a>(request: &Request<'a>, policy: &Policy) -> Result<Option<IdempotencyKey<'a>>, KeyError> {
    let is_other = |name: &[u8]| policy.header_aliases.iter().any(|alias| alias.as_bytes() == name);
    let is_key = |name: &[u8]| name == policy.header.as_bytes() || is_other(name);
    let mut values = request.pairs.filter(|(name, _)| is_key(name));
    match (values.next(), values.next(), values.next()) {
        (None, _, _) => Ok(None),
        (Some((_, value)), None, _) => IdempotencyKey::parse(value, policy.header_syntax).map(Some),
        // Where its client's key was in another header, replayd added one: the client's counts.
        (Some((one, own)), Some((other, value)), None) if request.is_step && (one == DERIVED) != (other == DERIVED) => {
            let own = if one == DERIVED { value } else { own };
            IdempotencyKey::parse(own, policy.header_syntax).map(Some)
        }
        (Some(_), Some(_), _) => Err(KeyError::Several),
    }
}

fn keyed(
    request: &Request<'_>,
    key: &IdempotencyKey<'_>,
    (policy, document): (&Policy, &Document),
    secrets: &Secrets,
) -> Keyed {
    let principal = principal(request, document, secrets);
    let namespace = policy.namespace.as_ref().map_or_else(
        || Namespace::Default {
            name: document.name.as_bytes(),
            authority: request.authority,
            scheme: request.scheme,
        },
        |name| Namespace::Named(name.as_bytes()),
    );
    let caller = principal.unwrap_or(Principal::ANONYMOUS);
    let everywhere = tag(&namespace, &caller, key, secrets);
    Keyed {
        tag: match policy.scope {
            Scope::Principal => everywhere,
            // The plainest spelling: what an application reads as one path is one.
            Scope::Endpoint => endpoint_tag(&everywhere, plain_path(request.path()).as_bytes(), secrets),
        },
        principal_row: caller.row(),
        anonymous: principal.is_none(),
        head: match policy.fingerprint {
            Fingerprint::Raw | Fingerprint::Json => head(request, secrets),
            Fingerprint::None => Digest::default(),
        },
    }
}

fn head(request: &Request<'_>, secrets: &Secrets) -> Digest {
    let head = Head {
        method: request.method,
        target: request.target,
        content_type: request.pairs.first(b"content-type").unwrap_or_default(),
    };
    head.digest(secrets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::write_pairs;
    use alloc::string::String;
    use alloc::vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const SECRETS: Secrets = Secrets {
        identity: [1; 16],
        fingerprint: [2; 16],
        long_body: [3; 32],
    };

    type Header<'a> = (&'a str, &'a str);

    const POST: [Header<'static>; 4] = [
        (":method", "POST"),
        (":path", "/pay?x=1"),
        (":authority", "api.test"),
        (":scheme", "http"),
    ];

    fn document(idempotency: &str) -> Document {
        let text = alloc::format!(r#"{{"version": 1, "idempotency": {{{idempotency}}}}}"#);
        Document::read(text.as_bytes()).unwrap().unwrap()
    }

    fn decided(headers: &[Header<'_>], document: &Document) -> Gate {
        let mut map = vec![];
        write_pairs(
            headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())),
            &mut map,
        );
        gate(&Request::read(&map), document.routes.defaults(), document, &SECRETS)
    }

    fn with<'a>(more: &[Header<'a>]) -> Vec<Header<'a>> {
        [&POST[..], more].concat()
    }

    #[track_caller]
    fn claimed(headers: &[Header<'_>], document: &Document) -> Keyed {
        let gate = decided(headers, document);
        let Gate::Claim(keyed) = gate else { panic!("{gate:?}") };
        keyed
    }

    const KEY: Header<'static> = ("idempotency-key", "k");

    #[test]
    fn a_key_is_claimed_where_it_is_optional_and_where_it_is_required() {
        for mode in ["optional", "required"] {
            claimed(&with(&[KEY]), &document(&alloc::format!(r#""mode": "{mode}""#)));
        }
    }

    #[test]
    fn without_a_key_a_request_passes_or_is_told_so() {
        assert_eq!(decided(&POST, &document(r#""mode": "optional""#)), Gate::PassUnkeyed);
        let missing = Problem::KeyMissing {
            header: String::from("idempotency-key"),
        };
        assert_eq!(
            decided(&POST, &document(r#""mode": "required""#)),
            Gate::Refuse(missing)
        );
    }

    #[test]
    fn off_and_safe_methods_and_other_methods_pass_with_any_key() {
        assert_eq!(decided(&with(&[KEY]), &document(r#""mode": "off""#)), Gate::Pass);
        for method in ["GET", "HEAD", "OPTIONS", "TRACE", "DELETE"] {
            let headers = [(":method", method), (":path", "/"), ("idempotency-key", "")];
            assert_eq!(
                decided(&headers, &document(r#""mode": "required""#)),
                Gate::Pass,
                "{method}"
            );
        }
    }

    #[test]
    fn unsafe_covers_all_methods_but_the_safe_ones() {
        let all = document(r#""mode": "optional", "methods": "unsafe""#);
        for method in ["POST", "PUT", "DELETE", "PURGE"] {
            claimed(&[(":method", method), KEY], &all);
        }
        assert_eq!(decided(&[(":method", "GET"), KEY], &all), Gate::Pass);
    }

    #[test]
    fn an_upgrade_is_refused_where_a_key_is_required_and_passes_elsewhere() {
        let upgrade = [(":method", "GET"), (":path", "/"), ("upgrade", "websocket"), KEY];
        let required = document(r#""mode": "required""#);
        assert_eq!(decided(&upgrade, &required), Gate::Refuse(Problem::NotProtectable));
        assert_eq!(
            decided(&[(":method", "CONNECT")], &required),
            Gate::Refuse(Problem::NotProtectable)
        );
        assert_eq!(decided(&upgrade, &document(r#""mode": "optional""#)), Gate::Pass);
    }

    #[test]
    fn grpc_passes_where_keys_are_optional() {
        let grpc = with(&[KEY, ("content-type", "application/grpc+proto")]);
        assert_eq!(decided(&grpc, &document(r#""mode": "optional""#)), Gate::Pass);
        claimed(&grpc, &document(r#""mode": "required""#));
    }

    #[test]
    fn two_key_headers_are_refused() {
        let two = decided(&with(&[KEY, KEY]), &document(r#""mode": "optional""#));
        assert!(
            matches!(
                two,
                Gate::Refuse(Problem::KeyMalformed {
                    error: KeyError::Several,
                    ..
                })
            ),
            "{two:?}"
        );
    }

    #[test]
    fn a_step_of_a_replay_meets_what_its_client_met() {
        let document = document(r#""mode": "optional", "anonymous": "refuse", "header_aliases": ["x-request-key"]"#);
        let decide = |headers: &[Header<'_>], is_step: bool| {
            let mut map = vec![];
            write_pairs(
                headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())),
                &mut map,
            );
            let mut request = Request::read(&map);
            request.is_step = is_step;
            gate(&request, document.routes.defaults(), &document, &SECRETS)
        };
        let derived = ("idempotency-key", "derived");
        let Gate::Claim(own) = decide(&with(&[("x-request-key", "k")]), true) else {
            panic!("its caller is not asked for")
        };
        for both in [[("x-request-key", "k"), derived], [derived, ("x-request-key", "k")]] {
            let Gate::Claim(step) = decide(&with(&both), true) else {
                panic!("{both:?}")
            };
            assert_eq!(step.tag, own.tag);
            assert!(matches!(decide(&with(&both), false), Gate::Refuse(_)));
        }
        let twice = with(&[derived, derived]);
        assert!(matches!(decide(&twice, true), Gate::Refuse(_)));
    }

    #[test]
    fn only_what_the_proxy_takes_for_grpc_is_told_in_trailers() {
        for (media, dialect) in [
            ("application/grpc", Dialect::Grpc),
            ("application/grpc+proto", Dialect::Grpc),
            ("application/grpc-web", Dialect::Http),
            ("application/json", Dialect::Http),
        ] {
            let mut map = vec![];
            write_pairs([(&b"content-type"[..], media.as_bytes())].into_iter(), &mut map);
            assert_eq!(Request::read(&map).dialect(), dialect, "{media}");
        }
    }

    #[test]
    fn a_duplicate_is_held_unless_its_route_says_otherwise() {
        let of = |idempotency: &str, met: Effect, is_step: bool| {
            repeat(met, document(idempotency).routes.defaults(), is_step)
        };
        let (plain, runs, manual) = (r#""mode": "optional""#, r#""in_flight": "run""#, r#""mode": "manual""#);
        for met in [Effect::RefuseInFlight, Effect::Answer, Effect::RefuseUnknown] {
            assert_eq!(of(plain, met, false), Repeat::Hold);
        }
        assert_eq!(of(runs, Effect::RefuseInFlight, false), Repeat::Run);
        assert_eq!(of(runs, Effect::RefuseInFlight, true), Repeat::Hold);
        assert_eq!(of(runs, Effect::Answer, false), Repeat::Hold);
        assert_eq!(of(manual, Effect::Answer, false), Repeat::Tell);
        for met in [Effect::RefuseInFlight, Effect::RefuseMismatch, Effect::RefuseUnknown] {
            assert_eq!(of(manual, met, false), Repeat::Hold);
        }
    }

    #[test]
    fn keys_belong_to_their_callers() {
        let any = document(r#""mode": "optional""#);
        let alice = claimed(&with(&[KEY, ("authorization", "alice")]), &any);
        let mallory = claimed(&with(&[KEY, ("authorization", "mallory")]), &any);
        let nobody = claimed(&with(&[KEY]), &any);
        assert!(alice.tag != mallory.tag && alice.tag != nobody.tag && nobody.anonymous && !alice.anonymous);
    }

    #[test]
    fn without_a_caller_a_key_may_be_refused() {
        let refuses = document(r#""mode": "optional", "anonymous": "refuse""#);
        assert_eq!(decided(&with(&[KEY]), &refuses), Gate::Refuse(Problem::CallerMissing));
        assert_eq!(decided(&POST, &refuses), Gate::PassUnkeyed);
        claimed(&with(&[KEY, ("authorization", "alice")]), &refuses);
    }

    #[test]
    fn an_alias_carries_the_same_key_and_two_headers_are_two_keys() {
        let aliases = document(r#""mode": "required", "header_aliases": ["X-Request-Key", "HTTP_X_OLD_KEY"]"#);
        let own = claimed(&with(&[KEY]), &aliases);
        for alias in ["x-request-key", "x-old-key"] {
            assert_eq!(own.tag, claimed(&with(&[(alias, "k")]), &aliases).tag);
            let two = decided(&with(&[KEY, (alias, "k")]), &aliases);
            assert!(matches!(two, Gate::Refuse(Problem::KeyMalformed { .. })), "{two:?}");
        }
    }

    #[test]
    fn a_key_of_an_endpoint_is_another_key_on_another_path() {
        let to = |path: &str, scope: &str| {
            let headers = [(":method", "POST"), (":path", path), (":authority", "api.test"), KEY];
            claimed(
                &headers,
                &document(&alloc::format!(r#""mode": "required", "scope": "{scope}""#)),
            )
        };
        assert_eq!(to("/a", "principal").tag, to("/b", "principal").tag);
        assert_ne!(to("/a", "endpoint").tag, to("/b", "endpoint").tag);
        for same in ["/a?x=1", "/a/", "//a", "/%61"] {
            assert_eq!(to("/a", "endpoint").tag, to(same, "endpoint").tag, "{same}");
        }
    }

    #[test]
    fn a_key_that_the_body_names_is_known_with_the_body() {
        let django = document(r#""encoder": "django""#);
        let decide = |encoded: Encoded, more: &[Header<'_>]| {
            let mut map = vec![];
            let headers = with(more);
            write_pairs(
                headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())),
                &mut map,
            );
            let mut request = Request::read(&map);
            request.encoded = encoded;
            gate(&request, django.routes.defaults(), &django, &SECRETS)
        };
        assert_eq!(decide(Encoded::Not, &[KEY]), Gate::Encode);
        assert_eq!(decide(Encoded::Not, &[]), Gate::PassUnkeyed);
        let Gate::Claim(one) = decide(Encoded::Code([1; 32]), &[KEY]) else {
            panic!()
        };
        let Gate::Claim(other) = decide(Encoded::Code([2; 32]), &[KEY]) else {
            panic!()
        };
        assert_ne!(one.tag, other.tag);
        let Gate::Claim(alice) = decide(Encoded::Code([1; 32]), &[KEY, ("authorization", "alice")]) else {
            panic!()
        };
        assert_ne!(one.tag, alice.tag, "a code never opens another caller's keys");
        assert_ne!(one.tag, claimed(&with(&[KEY]), &document(r#""mode": "optional""#)).tag);
        let max = 4_063_232;
        let too_large = Gate::Refuse(Problem::BodyTooLarge { max });
        assert_eq!(decide(Encoded::TooLong, &[KEY]), too_large);
        assert_eq!(decide(Encoded::Not, &[KEY, ("content-length", "4063233")]), too_large);
        assert_eq!(
            decide(Encoded::Not, &[KEY, ("content-length", "4063232")]),
            Gate::Encode
        );
        assert_eq!(decide(Encoded::Unread, &[KEY]), Gate::Refuse(Problem::StoreUnavailable));
        assert_eq!(decide(Encoded::NoRoom, &[KEY]), Gate::Refuse(Problem::Capacity));
    }

    #[test]
    fn parts_without_the_body_name_a_key_at_once() {
        let parts = document(r#""encoder": {"parts": ["key", "header:x-tenant"]}"#);
        let of = |tenant: &str| claimed(&with(&[KEY, ("x-tenant", tenant)]), &parts).tag;
        assert!(of("a") == of("a") && of("a") != of("b"));
    }

    #[test]
    fn without_a_fingerprint_every_head_is_the_same() {
        let none = document(r#""mode": "required", "fingerprint": "none""#);
        let other = [
            (":method", "PATCH"),
            (":path", "/other"),
            (":authority", "api.test"),
            KEY,
        ];
        let (one, two) = (claimed(&with(&[KEY]), &none), claimed(&other, &none));
        assert_eq!((one.tag, one.head), (two.tag, two.head));
    }

    #[test]
    fn a_namespace_of_its_own_is_shared_by_authorities() {
        let named = document(r#""mode": "optional", "namespace": "shop""#);
        let here = claimed(&with(&[KEY]), &named);
        let there = claimed(
            &[
                (":method", "POST"),
                (":path", "/pay?x=1"),
                (":authority", "other.test"),
                KEY,
            ],
            &named,
        );
        assert_eq!(here.tag, there.tag);
        let apart = document(r#""mode": "optional""#);
        let there = claimed(
            &[
                (":method", "POST"),
                (":path", "/pay?x=1"),
                (":authority", "other.test"),
                KEY,
            ],
            &apart,
        );
        assert_ne!(claimed(&with(&[KEY]), &apart).tag, there.tag);
    }

    #[test]
    fn headers_that_speak_for_us_or_repeat_requests_are_named() {
        let mut map = vec![];
        let headers: [(&[u8], &[u8]); 3] = [
            (b"x-envoy-max-retries", b"3"),
            (b"x", b"y"),
            (b"reprise-effect", b"none"),
        ];
        write_pairs(headers.into_iter(), &mut map);
        assert_eq!(
            Request::read(&map).forbidden(),
            [b"x-envoy-max-retries".to_vec(), b"reprise-effect".to_vec()]
        );
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest::proptest! {
        #[test]
        fn any_map_is_decided_without_a_panic(map: Vec<u8>) {
            let document = document(r#""mode": "required", "methods": "unsafe""#);
            let _gate = gate(&Request::read(&map), document.routes.defaults(), &document, &SECRETS);
        }
    }
}
