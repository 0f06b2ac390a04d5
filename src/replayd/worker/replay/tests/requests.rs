//! What a sent request carries.

use super::{Stack, posts};
use crate::app::replays::ReplayState;
use crate::store::captures::{Epoch, Origin};

#[tokio::test]
async fn a_credential_is_read_again_once_after_a_401() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "old").unwrap();
    let config = format!(
        "[targets.x]\nurl = 'http://x'\ncredential = {{file = '{}'}}",
        token.display()
    );
    let credential = crate::config::targets_of(&config)["x"].credential.clone();
    let stack = Stack::with(posts(2), |target| target.credential = credential).await;
    stack.upstream.script(move |_, executed| {
        let is_new = executed.headers["authorization"] == "new";
        std::fs::write(&token, "new").unwrap();
        Some((if is_new { 201 } else { 401 }, "{}".to_owned()))
    });
    let view = stack.run(r#"{"target": "shop"}"#).await;
    assert_eq!(
        (view.state, view.counts.matched),
        (ReplayState::Finished, 2),
        "{view:#?}"
    );
    assert_eq!(stack.upstream.targets(), ["/n/1", "/n/1", "/n/2"]);
}

#[tokio::test]
async fn every_step_is_signed_for_itself() {
    use reprise_core::signature::{HEADER, Line, verify};
    let stack = Stack::start(posts(2)).await;
    let view = stack.run(r#"{"target": "shop"}"#).await;
    for (at, sent) in stack.upstream.log().iter().enumerate() {
        let line = Line {
            method: sent.method.as_bytes(),
            authority: sent.headers["host"].as_bytes(),
            target: sent.target.as_bytes(),
        };
        let signed = verify(&[[7_u8; 32]], sent.headers[HEADER].as_bytes(), &line, 0).unwrap();
        assert_eq!((signed.id, signed.attempt), (format!("{}/{}", view.id, at + 1), 1));
        assert_eq!(signed.body, Some(*blake3::hash(&sent.body).as_bytes()));
    }
}

#[tokio::test]
async fn steps_of_two_callers_are_signed_for_two() {
    use reprise_core::signature::{HEADER, Line, verify};
    let mut captures = posts(3);
    for (capture, caller) in captures.iter_mut().zip(["alice", "mallory", "alice"]) {
        capture.row.principal = format!("authorization:{caller}");
    }
    let stack = Stack::start(captures).await;
    stack.run(r#"{"target": "shop"}"#).await;
    let log = stack.upstream.log();
    let scopes = log.iter().map(|sent| {
        let line = Line {
            method: sent.method.as_bytes(),
            authority: sent.headers["host"].as_bytes(),
            target: sent.target.as_bytes(),
        };
        verify(&[[7_u8; 32]], sent.headers[HEADER].as_bytes(), &line, 0)
            .unwrap()
            .scope
    });
    let scopes: Vec<_> = scopes.collect();
    assert!(scopes[0] != scopes[1] && scopes[0] == scopes[2], "{scopes:?}");
}

/// It may have another number here, or be imported a second time after it was deleted.
#[tokio::test]
async fn what_was_imported_has_the_key_of_where_it_was_seen_first() {
    let origin = Origin {
        epoch: Epoch([5; 16]),
        seq: 9,
    };
    let mut keys = Vec::new();
    for before in [0, 3] {
        let mut captures = posts(before + 1);
        captures[before].row.origin = Some(origin);
        let stack = Stack::start(captures).await;
        stack.run(r#"{"target": "shop", "scope": "s"}"#).await;
        keys.push(stack.upstream.log()[before].headers["idempotency-key"].clone());
    }
    assert_eq!(keys[0], keys[1]);
}
