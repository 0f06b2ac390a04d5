//! What a sent request carries.

use super::{Stack, posts};
use crate::app::replays::ReplayState;

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
