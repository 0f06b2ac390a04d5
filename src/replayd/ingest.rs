//! What Envoy calls: batches, journals, the policy, and whether replayd lives.

mod batch;
mod policy;
mod receive;

use crate::app::captures::Captures;
use crate::app::policy::Policy;
use crate::clock::Clock;
use crate::metrics::{self, Counted, Metrics};
use crate::problem::Problem;
use crate::token::Token;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use http::{HeaderMap, Method, StatusCode, Uri, header};
use reprise_core::wire::{BATCH_BYTES_MAX, BATCH_PATH, JOURNAL_PATH, POLICY_PATH};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// The listener's name in metrics.
const LISTENER: &str = "ingest";
/// Most bytes of batches in memory; what comes above it is told to come again.
const IN_FLIGHT_BYTES_MAX: usize = 2 * BATCH_BYTES_MAX;
/// How long a batch may take to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the handlers of this listener know.
#[derive(Clone)]
pub(crate) struct Intake {
    captures: Captures,
    policy: Policy,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    budget: Arc<Semaphore>,
    patience: Duration,
}

impl Intake {
    /// Takes in for `captures`, and tells `policy`.
    pub(crate) fn new(captures: Captures, policy: Policy, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        Self {
            captures,
            policy,
            clock,
            metrics,
            budget: Arc::new(Semaphore::new(IN_FLIGHT_BYTES_MAX)),
            patience: PATIENCE,
        }
    }
}

/// Builds the listener's routes; all but `/healthz` ask for `token`.
pub(crate) fn router(token: Token, intake: Intake) -> Router {
    let metrics = Arc::clone(&intake.metrics);
    metrics.announce(LISTENER);
    Router::new()
        .route(BATCH_PATH, post(receive::batch).fallback(wrong_method))
        .route(JOURNAL_PATH, post(receive::journal).fallback(wrong_method))
        .route(POLICY_PATH, get(policy::policy).fallback(wrong_method))
        .fallback(missing)
        .with_state(intake)
        .layer(middleware::from_fn_with_state(token, authorize))
        .route("/healthz", get(healthz).fallback(wrong_method))
        .layer(middleware::from_fn_with_state(
            Counted {
                listener: LISTENER,
                metrics,
            },
            metrics::count,
        ))
}

/// Words a refusal.
const fn refuse(status: StatusCode, slug: &'static str, title: &'static str, detail: String) -> Problem {
    Problem {
        status,
        slug,
        title,
        detail,
    }
}

async fn healthz() -> &'static str {
    "ok\n"
}

async fn missing(uri: Uri) -> Problem {
    Problem::not_found(uri.path())
}

async fn wrong_method(method: Method) -> Problem {
    Problem::method_not_allowed(method.as_str())
}

/// Lets a request pass that shows the token.
///
/// Source: RFC 6750 §2.1, §3.
async fn authorize(State(token): State<Token>, request: Request, next: Next) -> Result<Response, (Challenge, Problem)> {
    if bearer(request.headers()).is_some_and(|shown| token.is(shown)) {
        return Ok(next.run(request).await);
    }
    let problem = Problem {
        status: StatusCode::UNAUTHORIZED,
        slug: "unauthorized",
        title: "The ingest token is missing or wrong",
        detail: "send `authorization: Bearer <token>` with the token in <data_dir>/ingest-token".to_owned(),
    };
    Err(([(header::WWW_AUTHENTICATE, "Bearer")], problem))
}

type Challenge = [(header::HeaderName, &'static str); 1];

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, token) = headers
        .get(header::AUTHORIZATION)?
        .as_bytes()
        .split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::batch::tests::head;
    pub(crate) use super::batch::tests::{batch, exchange};
    use super::*;
    use crate::app::boots::Boots;
    use crate::app::seal::SealKey;
    use crate::clock::{ManualClock, UnixMillis};
    use crate::http::tests::metrics;
    use crate::store::captures::{CaptureId, Captures as _};
    use crate::store::{MemoryStore, SqliteStore};
    use axum::body::Body;
    use bytes::Bytes;
    use http::request;
    use http_body_util::BodyExt as _;
    use prost::Message as _;
    use reprise_core::wire::{Ack, BatchHead, Boot, CONTENT_TYPE, Policy as WirePolicy, Range, Sealed, push_frame};
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use tower::ServiceExt as _;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    /// A listener over stores of its own.
    struct Listener {
        routes: Router,
        captures: MemoryStore,
        store: SqliteStore,
        intake: Intake,
        _dir: tempfile::TempDir,
    }

    /// What a listener answered.
    struct Answer {
        status: StatusCode,
        headers: HeaderMap,
        body: Bytes,
    }

    impl Answer {
        fn text(&self) -> String {
            String::from_utf8(self.body.to_vec()).unwrap()
        }

        fn header(&self, name: &str) -> &str {
            self.headers.get(name).map_or("", |value| value.to_str().unwrap())
        }

        fn ack(&self) -> Ack {
            assert_eq!(
                (self.status, self.header("content-type")),
                (StatusCode::OK, CONTENT_TYPE),
                "{}",
                self.text()
            );
            Ack::decode(self.body.clone()).unwrap()
        }
    }

    impl Listener {
        async fn start() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let store = SqliteStore::open(&dir.path().join("replayd.db")).unwrap();
            let boots = Boots::load(store.clone()).await.unwrap();
            let policy = Policy::load(&store, boots.clone(), UnixMillis(1)).await.unwrap();
            let seal = SealKey::load_or_draw(&dir.path().join("seal-key")).unwrap();
            let kept = MemoryStore::default();
            let captures = Captures::new(Arc::new(kept.clone()), boots, seal);
            let clock = Arc::new(ManualClock::at(UnixMillis(5)));
            let intake = Intake::new(captures, policy, clock, metrics());
            let token = dir.path().join("ingest-token");
            std::fs::write(&token, SECRET).unwrap();
            Self {
                routes: router(Token::load_or_draw(&token).unwrap(), intake.clone()),
                captures: kept,
                store,
                intake,
                _dir: dir,
            }
        }

        /// Stores on disk instead.
        async fn on_disk(mut self) -> Self {
            let store = Arc::new(self.store.clone());
            let boots = Boots::load(self.store.clone()).await.unwrap();
            let seal = SealKey::load_or_draw(&self._dir.path().join("seal-key")).unwrap();
            self.intake.captures = Captures::new(store, boots, seal);
            let token = Token::load_or_draw(&self._dir.path().join("ingest-token")).unwrap();
            self.routes = router(token, self.intake.clone());
            self
        }

        async fn ask(&self, request: request::Builder, body: impl Into<Body>) -> Answer {
            let request = request.body(body.into()).unwrap();
            let (head, body) = self.routes.clone().oneshot(request).await.unwrap().into_parts();
            Answer {
                status: head.status,
                headers: head.headers,
                body: body.collect().await.unwrap().to_bytes(),
            }
        }

        async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
            let request = Request::post(path).header("content-type", CONTENT_TYPE);
            self.ask(request.header("authorization", format!("Bearer {SECRET}")), body)
                .await
        }

        async fn policy(&self, known: &str) -> Answer {
            let request = Request::get(POLICY_PATH).header("authorization", format!("Bearer {SECRET}"));
            self.ask(request.header("if-none-match", known), Body::empty()).await
        }

        async fn count(&self) -> u64 {
            self.captures.capture_stats().await.unwrap().count
        }
    }

    fn range(first: u64, last: u64) -> Vec<Range> {
        vec![Range { first, last }]
    }

    async fn ask(method: &str, path: &str, authorization: Option<&str>) -> (StatusCode, String) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        let answer = Listener::start().await.ask(request, Body::empty()).await;
        (answer.status, answer.text())
    }

    #[tokio::test]
    async fn health_needs_no_token() {
        assert_eq!(ask("GET", "/healthz", None).await, (StatusCode::OK, "ok\n".to_owned()));
    }

    #[tokio::test]
    async fn health_is_only_read() {
        assert_eq!(ask("POST", "/healthz", None).await.0, StatusCode::METHOD_NOT_ALLOWED);
    }

    #[tokio::test]
    async fn a_path_without_token_is_unauthorized() {
        for path in [BATCH_PATH, JOURNAL_PATH, POLICY_PATH, "/x"] {
            let (status, body) = ask("POST", path, None).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
            assert!(body.contains("\"type\":\"urn:reprise:problem:unauthorized\""), "{body}");
        }
    }

    #[tokio::test]
    async fn a_wrong_token_is_unauthorized() {
        let wrong = format!("Bearer {}0", &SECRET[..31]);
        for value in [&wrong, SECRET, "Bearer", "Bearer ", "Basic x"] {
            assert_eq!(
                ask("GET", "/x", Some(value)).await.0,
                StatusCode::UNAUTHORIZED,
                "{value}"
            );
        }
    }

    #[tokio::test]
    async fn a_path_that_is_not_there_is_not_found_with_the_token() {
        let (status, body) = ask("GET", "/x", Some(&format!("bearer {SECRET}"))).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(body.contains("no resource has the path /x"), "{body}");
    }

    #[tokio::test]
    async fn a_batch_is_acknowledged_when_it_is_stored() {
        let listener = Listener::start().await;
        for (path, seq) in [(BATCH_PATH, 1), (JOURNAL_PATH, 3)] {
            let captures = [exchange(seq), exchange(seq + 1)];
            let ack = listener.post(path, batch(&head(), &captures)).await.ack();
            let policy_tag = listener.intake.policy.encoded().tag;
            let ranges = range(seq, seq + 1);
            assert_eq!(ack, Ack { ranges, policy_tag });
        }
        assert_eq!(listener.count().await, 4);
        let first = listener.captures.capture(CaptureId(1)).await.unwrap().unwrap();
        assert_eq!(
            (first.row.method.as_str(), first.row.received_at),
            ("POST", UnixMillis(5))
        );
    }

    /// The acknowledgement was lost, and the filter sends the same again.
    ///
    /// Case R16.
    #[tokio::test]
    async fn a_batch_that_comes_again_is_stored_once() {
        let listener = Listener::start().await;
        let sent = batch(&head(), &[exchange(1), exchange(2)]);
        let first = listener.post(BATCH_PATH, sent.clone()).await.ack();
        assert_eq!(listener.post(BATCH_PATH, sent).await.ack(), first);
        assert_eq!(listener.count().await, 2);
        let page = listener.intake.metrics.text().unwrap();
        for line in ["replayd_captures_stored_total 2", "replayd_captures_duplicate_total 2"] {
            assert!(page.lines().any(|found| found == line), "no `{line}` in\n{page}");
        }
    }

    /// Case R24.
    #[tokio::test]
    async fn two_proxies_of_one_name_may_send_out_of_order() {
        let listener = Listener::start().await;
        let other = BatchHead {
            epoch: vec![8; 16],
            ..head()
        };
        for numbers in [[3, 4], [1, 2]] {
            for head in [&head(), &other, &head()] {
                listener
                    .post(BATCH_PATH, batch(head, &numbers.map(exchange)))
                    .await
                    .ack();
            }
        }
        assert_eq!(listener.count().await, 8);
        let streams = listener.captures.capture_stats().await.unwrap().streams;
        assert!(
            streams
                .iter()
                .all(|stream| stream.received == range(1, 4) && stream.missing.is_empty())
        );
    }

    #[tokio::test]
    async fn what_is_sealed_is_encrypted_at_rest() {
        let listener = Listener::start().await;
        let mut capture = exchange(1);
        let sealed = Sealed {
            token: b"rdt_abc".to_vec(),
            value: b"Bearer hush".to_vec(),
        };
        capture.sealed = vec![sealed.clone()];
        listener.post(BATCH_PATH, batch(&head(), &[capture])).await.ack();
        let kept = listener.captures.capture(CaptureId(1)).await.unwrap().unwrap();
        assert_eq!(kept.sealed[0].token, sealed.token);
        assert!(!kept.sealed[0].value.windows(4).any(|window| window == b"hush"));
        assert_eq!(listener.intake.captures.unseal(&kept).unwrap(), [sealed]);
    }

    #[tokio::test]
    async fn another_content_type_is_refused() {
        let listener = Listener::start().await;
        let request = Request::post(BATCH_PATH).header("authorization", format!("Bearer {SECRET}"));
        for kind in ["application/json", "application/vnd.reprise.v2+protobuf", ""] {
            let request = Request::post(BATCH_PATH).header("authorization", format!("Bearer {SECRET}"));
            let answer = listener
                .ask(request.header("content-type", kind), batch(&head(), &[]))
                .await;
            assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{kind}");
        }
        assert_eq!(
            listener.ask(request, Body::empty()).await.status,
            StatusCode::UNSUPPORTED_MEDIA_TYPE
        );
    }

    #[tokio::test]
    async fn a_batch_that_is_too_large_is_refused_told_or_untold() {
        let listener = Listener::start().await;
        let request = || {
            let request = Request::post(BATCH_PATH).header("content-type", CONTENT_TYPE);
            request.header("authorization", format!("Bearer {SECRET}"))
        };
        let told = request().header("content-length", BATCH_BYTES_MAX + 1);
        assert_eq!(
            listener.ask(told, Body::empty()).await.status,
            StatusCode::PAYLOAD_TOO_LARGE
        );
        let untold = listener.ask(request(), vec![0; BATCH_BYTES_MAX + 1]).await;
        assert_eq!(untold.status, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn garbage_is_refused_with_its_offset_and_nothing_is_stored() {
        let listener = Listener::start().await;
        let good = batch(&head(), &[exchange(1)]);
        for bad in [&b"\xff\xff"[..], b"\x05{]", b"\x7f"] {
            let answer = listener.post(BATCH_PATH, [&*good, bad].concat()).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST);
            assert!(
                answer.text().contains(&format!("byte {}", good.len())),
                "{}",
                answer.text()
            );
        }
        assert_eq!(listener.count().await, 0);
        assert!(listener.captures.capture_stats().await.unwrap().streams.is_empty());
        listener.post(BATCH_PATH, good).await.ack();
    }

    #[tokio::test]
    async fn what_is_too_much_for_the_memory_is_told_to_come_again() {
        let listener = Listener::start().await;
        let most = u32::try_from(IN_FLIGHT_BYTES_MAX).unwrap();
        let full = listener.intake.budget.clone().try_acquire_many_owned(most).unwrap();
        let sent = batch(&head(), &[exchange(1)]);
        let answer = listener.post(JOURNAL_PATH, sent.clone()).await;
        assert_eq!(
            (answer.status, answer.header("retry-after")),
            (StatusCode::SERVICE_UNAVAILABLE, "1")
        );
        assert!(answer.text().contains("overloaded"), "{}", answer.text());
        drop(full);
        listener.post(JOURNAL_PATH, sent).await.ack();
        assert_eq!(listener.intake.budget.available_permits(), IN_FLIGHT_BYTES_MAX);
    }

    /// A body of which nothing ever comes.
    struct Stalled;

    impl axum::body::HttpBody for Stalled {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _context: &mut Context<'_>,
        ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_batch_that_stalls_gives_its_room_back() {
        let mut listener = Listener::start().await;
        listener.intake.patience = Duration::from_millis(1);
        let listener = listener.on_disk().await;
        let request = Request::post(BATCH_PATH)
            .header("content-type", CONTENT_TYPE)
            .header("authorization", format!("Bearer {SECRET}"))
            .header("content-length", BATCH_BYTES_MAX);
        let answer = listener.ask(request, Body::new(Stalled)).await;
        assert_eq!(answer.status, StatusCode::REQUEST_TIMEOUT, "{}", answer.text());
        assert_eq!(listener.intake.budget.available_permits(), IN_FLIGHT_BYTES_MAX);
    }

    #[tokio::test]
    async fn a_batch_whose_proxy_hung_up_counts_until_the_store_is_done() {
        let listener = Listener::start().await.on_disk().await;
        let (over, stalled) = std::sync::mpsc::channel();
        let stall = tokio::spawn({
            let store = listener.store.clone();
            async move { store.stall(stalled).await }
        });
        tokio::task::yield_now().await;
        let sent = batch(&head(), &[exchange(1)]);
        let len = sent.len();
        tokio::select! {
            biased;
            answer = listener.post(JOURNAL_PATH, sent) => panic!("{}", answer.text()),
            () = tokio::task::yield_now() => {}
        }
        assert_eq!(listener.intake.budget.available_permits(), IN_FLIGHT_BYTES_MAX - len);
        drop(over);
        stall.await.unwrap();
        let all = u32::try_from(IN_FLIGHT_BYTES_MAX).unwrap();
        drop(listener.intake.budget.acquire_many(all).await.unwrap());
        assert_eq!(listener.store.capture_stats().await.unwrap().count, 1);
    }

    #[tokio::test]
    async fn a_store_that_refuses_is_told_to_be_asked_again() {
        let listener = Listener::start().await.on_disk().await;
        listener.store.lose_its_captures().await;
        let answer = listener.post(BATCH_PATH, batch(&head(), &[exchange(1)])).await;
        assert_eq!(
            (answer.status, answer.header("retry-after")),
            (StatusCode::SERVICE_UNAVAILABLE, "1")
        );
        assert!(answer.text().contains("store-unavailable"), "{}", answer.text());
    }

    #[tokio::test]
    async fn the_policy_is_told_once_to_whoever_has_it() {
        let listener = Listener::start().await;
        let first = listener.policy("\"other\"").await;
        let read = WirePolicy::decode(first.body.clone()).unwrap();
        assert_eq!((first.status, read.redaction_key.len()), (StatusCode::OK, 32));
        let tag = first.headers["etag"].to_str().unwrap();
        for known in [
            tag,
            tag.trim_matches('"'),
            &format!("W/{tag}"),
            &format!("\"x\", {tag}"),
        ] {
            let again = listener.policy(known).await;
            assert_eq!(
                (again.status, again.body.len()),
                (StatusCode::NOT_MODIFIED, 0),
                "{known}"
            );
        }
    }

    #[tokio::test]
    async fn a_new_boot_closes_the_gate_of_all_proxies() {
        let listener = Listener::start().await;
        let before = listener.policy("").await;
        let boot = Boot {
            cluster: "upstream".into(),
            boot_id: "b2".into(),
            before: "b1".into(),
        };
        let mut told = vec![];
        push_frame(
            &BatchHead {
                boots: vec![boot],
                ..head()
            },
            &mut told,
        );
        let ack = listener.post(BATCH_PATH, told).await.ack();
        let after = listener.policy(before.headers["etag"].to_str().unwrap()).await;
        assert_eq!(after.headers["etag"], format!("\"{}\"", ack.policy_tag));
        let gates = WirePolicy::decode(after.body).unwrap().gates;
        assert!(gates[0].boot_id == "b2" && gates[0].closed, "{gates:?}");
    }
}
