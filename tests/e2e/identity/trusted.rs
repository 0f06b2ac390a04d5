//! Headers that name the caller, and clients that write them themselves.

use super::super::assert_answers;
use super::{token, verifies_tokens};
use reprise_tests::harness::{Request, Settings, Stack};
use serde_json::{Value, json};

fn manager(bootstrap: &mut Value) -> &mut Value {
    &mut bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
}

/// The reference, with callers that `x-user` names.
fn trusting(change: fn(&mut Value)) -> Settings {
    let settings = Stack::builder().document(json!({"principal": [{"header": "x-user"}]}));
    settings.patch(move |bootstrap| change(manager(bootstrap)))
}

/// Removes the header before anything else sees a request, as `envoy/authn.yaml` says.
fn removes_early(manager: &mut Value) {
    let mutations = &mut manager["early_header_mutation_extensions"][0]["typed_config"]["mutations"];
    mutations.as_array_mut().unwrap().push(json!({"remove": "x-user"}));
}

fn removes_from_outside(manager: &mut Value) {
    manager["route_config"]["internal_only_headers"] = json!(["x-user"]);
}

fn knows_internal_addresses(manager: &mut Value) {
    removes_from_outside(manager);
    let ranges = json!([{"address_prefix": "10.0.0.0", "prefix_len": 8}]);
    manager["internal_address_config"] = json!({"cidr_ranges": ranges});
}

fn knows_its_peer_too(manager: &mut Value) {
    knows_internal_addresses(manager);
    manager["use_remote_address"] = true.into();
}

/// Sends one key as two users who say themselves who they are; tells whether they were believed.
async fn is_believed(post: &Request) -> bool {
    let by = |user: &str| post.clone().header("x-user", user);
    let (first, second) = (by("alice").send().await, by("mallory").send().await);
    assert_eq!((first.status, second.status), (201, 201), "{first:?} {second:?}");
    !second.is_answer()
}

#[tokio::test]
async fn a_client_does_not_name_itself_in_a_header_that_is_removed() {
    for removes in [removes_early, removes_from_outside, knows_its_peer_too] {
        let Some(stack) = trusting(removes).start().await else {
            return;
        };
        let post = stack.post("/trusted/direct").key("direct").body("{}");
        assert!(!is_believed(&post).await);
        let forged = stack.post("/trusted/forged").key("forged").body("{}");
        assert!(!is_believed(&forged.header("x-forwarded-for", "10.0.0.1")).await);
    }
}

/// Why `check-config` refuses it: who is internal is what `x-forwarded-for` says, and a client writes that.
#[tokio::test]
async fn a_client_names_itself_where_envoy_believes_whence_it_says_it_comes() {
    let Some(stack) = trusting(knows_internal_addresses).start().await else {
        return;
    };
    let post = stack.post("/trusted/direct").key("direct").body("{}");
    assert!(!is_believed(&post).await);
    let forged = stack.post("/trusted/forged").key("forged").body("{}");
    assert!(is_believed(&forged.header("x-forwarded-for", "10.0.0.1")).await);
}

#[tokio::test]
async fn the_header_that_a_verifier_sets_names_the_caller() {
    let settings = trusting(removes_early).patch(|bootstrap| {
        verifies_tokens(bootstrap);
        let verifier = &mut manager(bootstrap)["http_filters"][0]["typed_config"];
        let claims = json!([{"header_name": "x-user", "claim_name": "sub"}]);
        verifier["providers"]["test"]["claim_to_headers"] = claims;
    });
    let Some(stack) = settings.start().await else { return };
    let post = stack.post("/trusted/claim").key("claim").body("{}");
    let with = |subject: &str, id: u32| post.clone().header("authorization", token(subject, id));
    let first = with("alice", 1).send().await;
    assert_eq!(first.status, 201, "{first:?}");
    assert_answers(&first, &with("alice", 2).header("x-user", "mallory").send().await);
    let forged = with("mallory", 3).header("x-user", "alice").send().await;
    assert!(forged.status == 201 && !forged.is_answer(), "{forged:?}");
}
