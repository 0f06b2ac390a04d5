//! Cases of the specs against a real Envoy with the filter in it.

use reprise_tests::harness::Stack;
#[tokio::test]
async fn smoke() {
    let Some(stack) = Stack::start().await else { return };
    let r = stack.post("/api/payments").key("a").body("{}").send().await;
    assert_eq!(r.status, 201, "{r:?}");
    let mut c = reprise_tests::harness::Connection::open(stack.address()).await;
    let r = c.send(&stack.post("/api/payments").chunked().key("a").body("{}")).await;
    assert!(!c.is_closed().await);
    let r2 = c
        .send(
            &stack
                .post("/x")
                .script(&serde_json::json!({"body_bytes": 100000, "chunked": true, "pieces": 9})),
        )
        .await;
    assert_eq!(r2.body.len(), 100000);
    let h = stack.http2().await;
    let rs = h.send_at_once(&stack.post("/x"), 20).await;
    assert!(rs.iter().all(|r| r.status == 201));
    assert_eq!(stack.upstream().executions("/x").await, 21);
    println!("{:?}", stack.stats().await.names("envoy_http_downstream_rq_tot"));
}
