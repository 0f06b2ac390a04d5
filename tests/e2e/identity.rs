//! Which requests are the same, and whose they are.

mod mtls;
mod trusted;

use super::{assert_answers, problem, shared, verdict};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reprise_tests::harness::Stack;
use serde_json::{Value, json};
use sha2::Sha256;

/// Case T19.
#[tokio::test]
async fn a_key_with_another_body_is_refused() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("plain");
    assert_eq!(post.send().await.status, 201);
    let other = post.clone().body("{\"amount\": 6}").send().await;
    assert_eq!(verdict(&other), problem(422, "key-reused"));
    assert_eq!(other.json()["title"], "Idempotency-Key is already used");
    assert_eq!(stack.runs(&post).await, 1);
}

/// Case T20.
#[tokio::test]
async fn a_key_with_another_query_is_refused() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("plain");
    let (one, two) = (format!("{}?x=1", post.target()), format!("{}?x=2", post.target()));
    assert_eq!(post.clone().at(&one).send().await.status, 201);
    assert_eq!(verdict(&post.at(&two).send().await), problem(422, "key-reused"));
}

/// Case T21.
#[tokio::test]
async fn a_key_of_an_endpoint_is_another_key_on_another_path() {
    let Some(stack) = shared().await else { return };
    let (post, elsewhere) = (stack.fresh("endpoint"), stack.fresh("endpoint"));
    let there = post.clone().at(elsewhere.target());
    let (here_first, there_first) = (post.send().await, there.send().await);
    assert_eq!((here_first.status, there_first.status), (201, 201));
    assert_answers(&here_first, &post.send().await);
    assert_answers(&there_first, &there.send().await);
    assert_eq!((stack.runs(&post).await, stack.runs(&there).await), (1, 1));
}

/// Case T21.
#[tokio::test]
async fn a_key_on_another_path_is_refused() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("plain");
    assert_eq!(post.send().await.status, 201);
    let elsewhere = stack.fresh("plain");
    let refused = post.clone().at(elsewhere.target()).send().await;
    assert_eq!(verdict(&refused), problem(422, "key-reused"));
}

/// Case T22.
#[tokio::test]
async fn a_key_with_another_method_is_refused() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("plain");
    assert_eq!(post.send().await.status, 201);
    assert_eq!(verdict(&post.method("PATCH").send().await), problem(422, "key-reused"));
}

/// Case T26.
#[tokio::test]
async fn two_callers_never_share_a_key() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("plain");
    let alice = post.clone().header("authorization", "Bearer alice");
    let mallory = post.clone().header("authorization", "Bearer mallory");
    let (first, other) = (alice.send().await, mallory.send().await);
    assert!(!other.is_answer());
    assert_ne!(first.body, other.body);
    assert_answers(&first, &alice.send().await);
    assert_eq!(stack.runs(&post).await, 2);
}

#[tokio::test]
async fn a_key_may_come_in_another_header_and_not_in_two() {
    let Some(stack) = shared().await else { return };
    let fresh = stack.fresh("aliased");
    let key = fresh.target().replace('/', "-");
    let post = fresh.without("idempotency-key").key(&key);
    let alias = post.clone().without("idempotency-key").header("x-request-key", &key);
    assert_answers(&alias.send().await, &post.send().await);
    let both = post.clone().header("x-request-key", &key).send().await;
    assert_eq!(verdict(&both), problem(400, "key-malformed"));
}

#[tokio::test]
async fn routes_of_two_namespaces_share_no_key() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("plain");
    assert_eq!(post.send().await.status, 201);
    let target = stack.fresh("team-a").target().to_owned();
    let other = post.clone().at(&target).send().await;
    assert!(other.status == 201 && !other.is_answer(), "{other:?}");
}

#[tokio::test]
async fn a_key_without_a_caller_is_refused_where_callers_are_wanted() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("named");
    assert_eq!(verdict(&post.send().await), problem(401, "caller-missing"));
    assert_eq!(stack.runs(&post).await, 0);
    let alice = post.clone().header("authorization", "Bearer alice");
    assert_answers(&alice.send().await, &alice.send().await);
}

/// Case T28.
#[tokio::test]
async fn two_cookies_are_two_callers() {
    let settings = Stack::builder().document(json!({"principal": [{"cookie": "sid"}]}));
    let Some(stack) = settings.start().await else { return };
    let post = stack.post("/plain/t28").key("t28").body("{}");
    let with = |cookie: &str| post.clone().header("cookie", cookie);
    let (one, two) = (with("a=1; sid=one"), with("sid=two"));
    let first = one.send().await;
    let other = two.send().await;
    assert!(other.status == 201 && !other.is_answer(), "{other:?}");
    assert_answers(&first, &with("sid=one; b=2").send().await);
    assert_eq!(stack.runs(&post).await, 2);
}

/// The key that tokens of these tests are signed with.
const TOKEN_KEY: &[u8] = b"a key of tests, known to everybody";

/// Makes a token of `subject`; `id` makes it another one.
fn token(subject: &str, id: u32) -> String {
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let head = encode(&json!({"alg": "HS256", "kid": "test"}));
    let claims =
        encode(&json!({"iss": "https://issuer.test", "sub": subject, "exp": 4_102_444_800_u64, "jti": id.to_string()}));
    let signed = format!("{head}.{claims}");
    let mut mac = Hmac::<Sha256>::new_from_slice(TOKEN_KEY).unwrap();
    mac.update(signed.as_bytes());
    format!(
        "Bearer {signed}.{}",
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    )
}

/// Has Envoy verify tokens before Reprise sees the request.
fn verifies_tokens(bootstrap: &mut Value) {
    let keys = json!({"keys": [{"kty": "oct", "kid": "test", "alg": "HS256", "k": URL_SAFE_NO_PAD.encode(TOKEN_KEY)}]});
    let provider = json!({"issuer": "https://issuer.test", "payload_in_metadata": "payload", "forward": true,
        "local_jwks": {"inline_string": keys.to_string()}});
    let filter = json!({
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"test": provider},
            "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "test"}}],
        },
    });
    let manager = &mut bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0];
    let filters = manager["typed_config"]["http_filters"].as_array_mut().unwrap();
    filters.insert(0, filter);
}

/// Case T27.
#[tokio::test]
async fn a_token_that_was_renewed_names_the_same_caller() {
    let settings = Stack::builder().document(json!({"principal": ["jwt"]}));
    let Some(stack) = settings.patch(verifies_tokens).start().await else {
        return;
    };
    let post = stack.post("/plain/t27").key("t27").body("{}");
    let with = |subject: &str, id: u32| post.clone().header("authorization", token(subject, id));
    let first = with("alice", 1).send().await;
    assert_eq!(first.status, 201, "{first:?}");
    assert_answers(&first, &with("alice", 2).send().await);
    assert_eq!(post.send().await.status, 401, "Envoy's own: no token");
    let other = with("mallory", 3).send().await;
    assert!(other.status == 201 && !other.is_answer(), "{other:?}");
    let seen = stack.upstream().seen(post.target()).await;
    assert_eq!(seen.len(), 2);
}
