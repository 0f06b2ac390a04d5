//! Secrets do not leave Envoy.

use super::super::replay::replayed;
use super::unsteady;
use reprise_tests::harness::{Replayd, Request, Stack};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// How many secrets are planted.
const PLANTED: usize = 20;

/// A secret that occurs nowhere else.
fn secret(n: usize) -> String {
    format!("s3cr3t-{n:02}-9f4ac1d7b2")
}

/// What is redacted besides the headers that never show.
fn rules() -> Value {
    json!({
        "body_bytes_max": 1024,
        "redact": {
            "headers": ["x-secret", "X-Other-Secret"], "query": ["token", "api key"], "form": ["password", "pin code"],
            "json": ["/card/number", "/items/*/secret", "/a~1b"],
        },
    })
}

/// A request for each way in which a secret travels, with the secrets in it.
fn planted(stack: &Stack) -> Vec<Request> {
    let s = secret;
    let form = "application/x-www-form-urlencoded";
    let post = |n: usize| stack.post(&format!("/r38/{n}"));
    let jsonic = |n: usize, body: String| post(n).header("content-type", "application/json").body(body);
    let padding = "x".repeat(2000);
    vec![
        post(0).header("authorization", format!("Bearer {}", s(0))),
        post(1).header("cookie", format!("sid={}", s(1))),
        post(2).header("X-Secret", s(2)).header("x-other-secret", s(3)),
        post(4).header("x-api-key", s(4)).header("proxy-authorization", s(5)),
        post(6).at(&format!("/r38/6?token={}&x=1", s(6))),
        post(7).at(&format!("/r38/7?x=1&%74oken={}&api+key={}", s(7), s(8))),
        post(9).header("referer", format!("https://other.test/x?token={}#y", s(9))),
        post(10)
            .header("content-type", form)
            .body(format!("user=a&password={}&b=c", s(10))),
        post(11)
            .header("content-type", form)
            .body(format!("p%61ssword={}&pin+code={}", s(11), s(12))),
        jsonic(
            13,
            json!({"card": {"number": s(13), "name": "A"}, "items": [{"secret": s(14)}, {"ok": 1}]}).to_string(),
        ),
        jsonic(
            15,
            format!("{{\"c\\u0061rd\":{{\"num\\u0062er\":\"{}\"}},\"a/b\":1}}", s(15)),
        ),
        jsonic(
            16,
            format!("{{\"card\":{{\"number\":\"{}\"}},\"pad\":\"{padding}\"}}", s(16)),
        ),
        jsonic(17, format!("{{\"card\":{{\"number\":\"{}\"}}", s(17))),
        // Declared as encoded: what it says cannot be looked into.
        jsonic(18, format!("{{\"card\":{{\"number\":\"{}\"}}}}", s(18))).header("content-encoding", "gzip"),
        post(19).script(&json!({"headers": [
            ["location", format!("/done?token={}", s(19))], ["set-cookie", format!("sid={}", s(1))],
        ]})),
    ]
}

/// Case R38.
#[tokio::test]
async fn planted_secrets_are_found_nowhere() {
    let settings = unsteady().rule(json!({"match": {"path": "/r38/{n}"}, "capture": rules()}));
    let Some(mut stack) = settings.wasm_log("info").start().await else {
        return;
    };
    let requests = planted(&stack);
    for request in &requests {
        let response = request.send().await;
        assert_eq!(response.status, 201, "{request:?}: {}", response.text());
    }
    stack.replayd().captured("path=/r38/*", requests.len()).await;
    let view = replayed(&stack, &json!({"query": {"path": "/r38/*"}, "on_error": "continue"})).await;
    assert_eq!(view["state"], "finished", "{view:#}");
    let mut said = said(&stack).await;
    assert_eq!(stack.replayd_mut().terminate().await, "exit status: 0");
    said.push(("Envoy's log".to_owned(), stack.log().into_bytes()));
    files(&stack.replayd().data(), &mut said);
    assert!(
        said.iter()
            .any(|(place, _)| place.ends_with(".db") || place.contains("sqlite")),
        "no database is looked into"
    );
    let mut found = Vec::new();
    for (place, bytes) in &said {
        for n in 0..PLANTED {
            let secret = secret(n).into_bytes();
            if bytes.windows(secret.len()).any(|window| window == secret) {
                found.push(format!("secret {n} is in {place}"));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// Everything that replayd and Envoy tell, and that is looked into.
async fn said(stack: &Stack) -> Vec<(String, Vec<u8>)> {
    let replayd = stack.replayd();
    let mut said = vec![(
        "metrics of Envoy".to_owned(),
        stack.admin("GET", "/stats").await.into_bytes(),
    )];
    for format in ["har", "gor", "curl", "k6", "ndjson"] {
        let target = format!("/api/v1/captures/export?format={format}&path=/r38/*");
        let response = replayd.request("GET", &target).send().await;
        assert_eq!(response.status, 200, "{format}: {}", response.text());
        assert!(!response.body.is_empty(), "{format}");
        said.push((format.to_owned(), response.body));
    }
    let metrics = replayd.anonymous("GET", "/metrics").send().await;
    said.push(("metrics of replayd".to_owned(), metrics.body));
    said.push(("replayd's log".to_owned(), replayd.log().into_bytes()));
    said.extend(details(replayd).await);
    said
}

async fn details(replayd: &Replayd) -> Vec<(String, Vec<u8>)> {
    let mut said = Vec::new();
    for row in replayd.captures("path=/r38/*").await {
        let capture = replayd.capture(&row["id"]).await;
        said.push((format!("capture {}", row["id"]), capture.to_string().into_bytes()));
        said.push((format!("body {}", row["id"]), replayd.body(&row["id"], "request").await));
    }
    said
}

fn files(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
}
