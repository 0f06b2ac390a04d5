//! Callers that the proxy knows by their certificates.

use super::super::{assert_answers, problem, verdict};
use reprise_tests::harness::tls::{Authority, Name};
use reprise_tests::harness::{Request, Response, Settings, Stack};
use serde_json::{Value, json};

/// A stack whose listener wants certificates, and who signs them.
struct Guarded {
    stack: Stack,
    authority: Authority,
}

/// Has the reference's listener speak TLS.
fn guarded(socket: Value) -> Settings {
    let settings = Stack::builder().document(json!({"principal": ["mtls"]}));
    settings.patch(move |bootstrap| {
        bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["transport_socket"] = socket;
    })
}

/// What a listener asks of certificates.
fn verifies(authority: &Authority, is_required: bool) -> Value {
    json!({
        "require_client_certificate": is_required,
        "common_tls_context": {"validation_context": {"trusted_ca": authority.trusted()}},
    })
}

impl Guarded {
    async fn start(is_required: bool, change: Value) -> Option<Self> {
        let authority = Authority::new();
        let socket = authority.socket(verifies(&authority, is_required));
        let stack = guarded(socket).document(change).start().await?;
        Some(Self { stack, authority })
    }

    /// Begins a request with a key.
    fn post(&self, name: &str) -> Request {
        self.stack.post(&format!("/mtls/{name}")).key(name).body("{}")
    }

    /// Sends it with a certificate of these names; every call makes a new one.
    async fn send_as(&self, request: &Request, subject: &str, names: &[Name<'_>]) -> Response {
        let certificate = self.authority.certify(subject, names);
        self.authority.send(request, Some(&certificate)).await
    }
}

const ALICE: Name<'_> = Name::Uri("spiffe://test/alice");
const MALLORY: Name<'_> = Name::Uri("spiffe://test/mallory");

#[tokio::test]
async fn two_certificates_are_two_callers_and_a_renewed_one_is_the_same() {
    let Some(edge) = Guarded::start(true, json!({})).await else {
        return;
    };
    let post = edge.post("renewed");
    let first = edge.send_as(&post, "alice", &[ALICE]).await;
    assert_eq!(first.status, 201, "{first:?}");
    let other = edge.send_as(&post, "alice", &[MALLORY]).await;
    assert!(other.status == 201 && !other.is_answer(), "{other:?}");
    assert_ne!(first.body, other.body);
    assert_answers(&first, &edge.send_as(&post, "alice, renewed", &[ALICE]).await);
    assert_answers(&other, &edge.send_as(&post, "mallory", &[MALLORY]).await);
    assert_eq!(edge.stack.runs(&post).await, 2);
}

#[tokio::test]
async fn the_first_uri_names_the_caller_and_a_host_where_there_is_none() {
    let Some(edge) = Guarded::start(true, json!({})).await else {
        return;
    };
    let post = edge.post("several");
    let host = Name::Dns("alice.test");
    let first = edge.send_as(&post, "a", &[host, ALICE, MALLORY]).await;
    assert_eq!(first.status, 201, "{first:?}");
    assert_answers(&first, &edge.send_as(&post, "b", &[ALICE]).await);
    let by_host = edge.send_as(&post, "c", &[host]).await;
    assert!(by_host.status == 201 && !by_host.is_answer(), "{by_host:?}");
    assert_answers(
        &by_host,
        &edge.send_as(&post, "d", &[host, Name::Dns("other.test")]).await,
    );
    assert_eq!(edge.stack.runs(&post).await, 2);
}

#[tokio::test]
async fn whoever_shows_no_name_is_anonymous() {
    let Some(edge) = Guarded::start(false, json!({})).await else {
        return;
    };
    let post = edge.post("anonymous");
    let first = edge.authority.send(&post, None).await;
    assert_eq!(first.status, 201, "{first:?}");
    assert_answers(&first, &edge.send_as(&post, "no name at all", &[]).await);
    let mail = Name::Mail("alice@test");
    assert_answers(&first, &edge.send_as(&post, "alice", &[mail]).await);
    let named = edge.send_as(&post, "alice", &[ALICE]).await;
    assert!(named.status == 201 && !named.is_answer(), "{named:?}");
    assert_eq!(edge.stack.runs(&post).await, 2);
}

#[tokio::test]
async fn whoever_shows_no_name_is_refused_where_callers_are_wanted() {
    let refuses = json!({"idempotency": {"anonymous": "refuse"}});
    let Some(edge) = Guarded::start(false, refuses).await else {
        return;
    };
    let post = edge.post("refused");
    let missing = problem(401, "caller-missing");
    assert_eq!(verdict(&edge.authority.send(&post, None).await), missing);
    assert_eq!(verdict(&edge.send_as(&post, "no name", &[]).await), missing);
    assert_eq!(edge.stack.runs(&post).await, 0);
    assert_eq!(edge.send_as(&post, "alice", &[ALICE]).await.status, 201);
}

#[tokio::test]
async fn a_strangers_certificate_names_nobody() {
    let Some(edge) = Guarded::start(true, json!({})).await else {
        return;
    };
    let post = edge.post("stranger");
    let forged = Authority::new().certify("alice", &[ALICE]);
    assert_eq!(edge.authority.send(&post, Some(&forged)).await.status, 0);
    assert_eq!(edge.authority.send(&post, None).await.status, 0);
    assert_eq!(edge.stack.runs(&post).await, 0);
}

#[tokio::test]
async fn no_key_of_anybody_is_logged() {
    let authority = Authority::new();
    let socket = authority.socket(verifies(&authority, true));
    let Some(stack) = guarded(socket).wasm_log("trace").start().await else {
        return;
    };
    let alice = authority.certify("alice", &[ALICE]);
    let post = stack.post("/mtls/logged").key("a-key-nobody-logs").body("{}");
    let first = authority.send(&post, Some(&alice)).await;
    assert_answers(&first, &authority.send(&post, Some(&alice)).await);
    let log = stack.log();
    assert!(log.contains("[wasm]"), "there is a log");
    assert!(!log.contains("a-key-nobody-logs") && !log.contains(&alice.secret()[..40]));
}

/// Why `check-config` wants an authority: without one Envoy asks nobody for a certificate, whatever it requires.
#[tokio::test]
async fn a_listener_without_an_authority_asks_for_no_certificate() {
    let authority = Authority::new();
    let socket = authority.socket(json!({"require_client_certificate": true}));
    let Some(stack) = guarded(socket).start().await else {
        return;
    };
    let post = stack.post("/mtls/unasked").key("unasked").body("{}");
    let first = authority.send(&post, None).await;
    assert_eq!(first.status, 201, "{first:?}");
    let alice = authority.certify("alice", &[ALICE]);
    assert_answers(&first, &authority.send(&post, Some(&alice)).await);
}

/// Why `check-config` refuses `ACCEPT_UNTRUSTED`: whoever makes a certificate is whom he likes.
#[tokio::test]
async fn a_listener_that_accepts_the_untrusted_lets_callers_name_themselves() {
    let authority = Authority::new();
    let context = json!({"trusted_ca": authority.trusted(), "trust_chain_verification": "ACCEPT_UNTRUSTED"});
    let wants = json!({"require_client_certificate": true, "common_tls_context": {"validation_context": context}});
    let Some(stack) = guarded(authority.socket(wants)).start().await else {
        return;
    };
    let post = stack.post("/mtls/forged").key("forged").body("{}");
    let alice = authority.certify("alice", &[ALICE]);
    let first = authority.send(&post, Some(&alice)).await;
    assert_eq!(first.status, 201, "{first:?}");
    let forged = Authority::new().certify("mallory", &[ALICE]);
    assert_answers(&first, &authority.send(&post, Some(&forged)).await);
}
