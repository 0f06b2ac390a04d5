//! Ten thousand requests that no client should send: they kill no worker's VM, and run nothing under a malformed key.
//!
//! All of them follow from [`SEED`].

use super::{assert_answers, problem, verdict};
use reprise_tests::harness::{Connection, Request, Settings, Stack, within};
use reprise_tests::upstream::Execution;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::task::JoinSet;

/// Where all chance comes from.
const SEED: u64 = 0x5eed_0001;
const CLIENTS: u64 = 16;
const REQUESTS_A_CLIENT: usize = 640;
const STREAMS_A_CLIENT: usize = 64;
/// The target of all requests whose key is malformed: it must never run.
const NEVER: &str = "/required/malformed";

/// Chance that can be repeated: splitmix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| u8::try_from(self.next() & 0xff).unwrap()).collect()
    }

    /// Gives bytes that HTTP lets into a header's value.
    fn value(&mut self, len: usize) -> Vec<u8> {
        let allowed = |byte: &u8| *byte >= 0x20 && *byte != 0x7f;
        self.bytes(len).into_iter().filter(allowed).collect()
    }
}

/// Makes a key that no rule allows.
fn malformed_key(chance: &mut Chance) -> Vec<u8> {
    let long = "k".repeat(256 + chance.below(3000));
    let any = [b"k", &chance.value(40)[..], b"\xff"].concat();
    // What comes after a semicolon is ignored.
    let any: Vec<_> = any.into_iter().filter(|byte| *byte != b';').collect();
    let broken: [&[u8]; 9] = [
        b"",
        b"\"\"",
        b"\"open",
        b"open\"",
        b"K1, K2",
        b"two words",
        b"caf\xe9",
        long.as_bytes(),
        &any,
    ];
    broken[chance.below(broken.len())].to_vec()
}

const AREAS: [&str; 12] = [
    "plain",
    "plain",
    "required",
    "required",
    "meta",
    "meta",
    "off",
    "bad-meta",
    "none\u{7f}",
    "%00",
    "a//b/../c",
    "%ff%fe",
];
const METHODS: [&str; 10] = [
    "PATCH", "PUT", "DELETE", "GET", "HEAD", "OPTIONS", "TRACE", "FROB", "post", "M-SEARCH",
];
const MEDIA: [&str; 6] = [
    "",
    ";",
    "application/grpc",
    "application/json; charset=\"",
    "/",
    "multipart/form-data",
];
const NAMES: [&str; 5] = [
    "reprise-key-exists",
    "reprise-",
    "x-envoy-max-retries",
    "x-envoy-retry-on",
    "x-envoy-upstream-rq-timeout-ms",
];
const LENGTHS: [&str; 5] = ["5", "-1", "99999999999999999999", "x", ""];
const CHUNKS: [&str; 5] = [
    "zz\r\n",
    "ffffffffffffffff\r\nx",
    "5\r\nabc",
    "-1\r\n",
    "3;x=\"\r\nabc\r\n0\r\nt: \u{1}\r\n\r\n",
];
const FORMS: [&str; 8] = [
    "OPTIONS *",
    "CONNECT a:443",
    "CONNECT /",
    "POST *",
    "POST http://x/y",
    "POST //",
    "PRI *",
    " ",
];

/// Makes a request that is whole, and odd in up to three ways; one in five has a malformed key.
fn odd_request(chance: &mut Chance, stack: &Stack) -> Request {
    if chance.below(5) == 0 {
        let clean = stack
            .post(chance.pick(&[NEVER, "/required/malformed?1"]))
            .body(chance.bytes(20));
        return match chance.below(3) {
            0 => clean.key("one").key("other"),
            _ => clean
                .header("x-0", chance.value(20))
                .header("idempotency-key", malformed_key(chance)),
        };
    }
    let (area, number) = (chance.pick(&AREAS), chance.below(60));
    let request = stack.post(&format!("/{area}/{number}"));
    let keyed = match chance.below(8) {
        0 => request,
        1 => request.key(&format!("key-{}", chance.below(60))),
        _ => request.key(&format!("key-{area}-{number}")),
    };
    (0..chance.below(4)).fold(keyed, |request, _| odder(chance, request))
}

/// Makes a request odder by one.
fn odder(chance: &mut Chance, request: Request) -> Request {
    let any = chance.value(200);
    let any = &any[..chance.below(any.len())];
    match chance.below(14) {
        0 => request.method(chance.pick(&METHODS)),
        1 => request.header("content-type", any),
        2 => request.header("content-type", chance.pick(&MEDIA)),
        3 => request.header("authorization", any),
        4 => request.header(&format!("x-{}", chance.below(9)), any),
        5 => request.header("x-long", "v".repeat(chance.below(30_000))),
        6 => request.header("cookie", any).header("cookie", ""),
        7 => request.header(chance.pick(&NAMES), any),
        8 => request.header("accept-encoding", any).header("te", "trailers"),
        9 => request.body(chance.bytes(100)).chunked(),
        10 => request.body(vec![b'x'; chance.below(100_000)]),
        11 => request.header("idempotency-key", any),
        12 => request.header("x-script", odd_script(chance).to_string()),
        _ => request.header("host", any),
    }
}

/// Makes an answer of the upstream that is odd.
fn odd_script(chance: &mut Chance) -> Value {
    let status = [200, 204, 304, 404, 500, 503, 599][chance.below(7)];
    let faults = ["reset", "reset_after_headers", "reset_mid_body", "reset_unread"];
    match chance.below(6) {
        0 => json!({"fault": faults[chance.below(4)], "body_bytes": 100, "pieces": 2}),
        1 => json!({"early": true, "status": status}),
        2 => {
            json!({"headers": [["reprise-effect", ""], ["reprise-retain", "-1"], ["reprise-\u{1}", "?"], ["retry-after", "x"]]})
        }
        3 => json!({"headers": [["content-type", ""], ["location", "\u{e9}\u{20ac}"], ["", ""]], "status": status}),
        4 => json!({"body_bytes": chance.below(200_000), "pieces": chance.below(5), "chunked": true, "status": status}),
        _ => json!({"no such": "field"}),
    }
}

/// Breaks the bytes of a request: what comes of it is a request only by chance.
fn broken_bytes(chance: &mut Chance, request: &Request) -> Vec<u8> {
    let mut bytes = request.bytes();
    let at = chance.below(bytes.len());
    match chance.below(9) {
        0 => bytes.truncate(at),
        1 => bytes[at] ^= 1 << chance.below(8),
        2 => drop(bytes.splice(at..at, chance.bytes(30))),
        3 => {
            bytes = [
                &request.clone().body("").chunked().head(),
                chance.pick(&CHUNKS).as_bytes(),
            ]
            .concat()
        }
        4 => bytes = request.clone().header("content-length", chance.pick(&LENGTHS)).bytes(),
        5 => bytes = request.clone().header("expect", "100-continue").bytes(),
        6 => {
            let upgraded = request
                .clone()
                .header("upgrade", chance.pick(&["websocket", "h2c", ""]));
            bytes = upgraded.header("connection", "upgrade").bytes();
        }
        7 => {
            let rest = b" HTTP/1.1\r\nhost: a\r\nidempotency-key: K\r\ncontent-length: 0\r\n\r\n";
            bytes = [chance.pick(&FORMS).as_bytes(), rest].concat();
        }
        _ => bytes = chance.bytes(300),
    }
    bytes
}

/// Sends what chance says, over connections that are kept while Envoy keeps them.
async fn client(stack: &Stack, number: u64) {
    let mut chance = Chance(SEED ^ (number << 32));
    let mut connection = Connection::open(stack.address()).await;
    for at in 0..REQUESTS_A_CLIENT {
        let request = odd_request(&mut chance, stack);
        let what = format!("request {at} of client {number}: {request:?}");
        let is_whole = request.target().starts_with(NEVER) || chance.below(4) > 0;
        let reusable = if is_whole {
            let response = within(&what, Duration::from_secs(20), connection.send(&request)).await;
            response.complete && response.header("connection") != Some("close") && response.status != 101
        } else {
            connection.write(broken_bytes(&mut chance, &request)).await;
            if chance.below(2) == 0 {
                within(&what, Duration::from_secs(20), connection.finish()).await;
            }
            false
        };
        if !reusable {
            connection.hang_up();
            connection = Connection::open(stack.address()).await;
        }
    }
    let mut http2 = stack.http2().await;
    for _ in 0..STREAMS_A_CLIENT {
        // A host that HTTP/2 does not allow ends the connection, a second late.
        let request = odd_request(&mut chance, stack).without("host");
        let response = tokio::time::timeout(Duration::from_secs(5), http2.send(&request)).await;
        if response.is_ok_and(|response| response.status == 0) {
            http2 = stack.http2().await;
        }
    }
}

fn settings() -> Settings {
    let route = |prefix: &str, metadata: Value| {
        json!({
            "match": {"prefix": prefix}, "route": {"cluster": "upstream", "timeout": "5s"},
            "metadata": {"filter_metadata": {"reprise": metadata}},
        })
    };
    Stack::builder()
        .area("required", &json!({"mode": "required", "methods": "unsafe"}))
        .area("off", &json!({"mode": "off"}))
        .document(json!({"principal": [{"header": "x-0"}, "authorization"]}))
        .route(route(
            "/meta/",
            json!({"idempotency": {"mode": "required", "answer_status": 409, "methods": ["POST", "FROB"]}}),
        ))
        .route(route("/bad-meta/", json!({"idempotency": {"retain_s": {}}})))
        .allow_log("route metadata (filter_metadata.reprise)")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_hostile_requests_kill_no_vm() {
    let Some(stack) = settings().start().await else { return };
    let stack = std::sync::Arc::new(stack);
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let stack = std::sync::Arc::clone(&stack);
        clients.spawn(async move { client(&stack, number).await });
    }
    clients.join_all().await;
    let reloads = stack.admin("GET", "/stats?filter=vm_reload").await;
    assert!(
        reloads.contains("wasm.reprise.vm_reload") && reloads.lines().all(|line| line.ends_with(": 0")),
        "{reloads}"
    );
    assert!(!stack.log().contains("panicked"), "{}", stack.log());
    let ran: Vec<Execution> = stack.upstream().all().await;
    let never: Vec<_> = ran.iter().filter(|seen| seen.target.starts_with(NEVER)).collect();
    assert!(never.is_empty(), "{never:?}");
    let (executed, answers) = (ran.len(), stack.stats().await.outcome("answer"));
    assert!(
        executed > 1000 && answers > 100.0,
        "{executed} ran, {answers} were answered: too few to tell anything"
    );
    for n in 0..16 {
        let post = stack.post(&format!("/required/after-{n}")).key(&format!("good-{n}"));
        assert_answers(&post.send().await, &post.send().await);
        assert_eq!(
            verdict(&post.without("idempotency-key").send().await),
            problem(400, "key-missing")
        );
    }
}
