//! What people and programs call: the console's listener.

mod access;
mod answer;
mod audit;
mod boots;
mod captures;
mod error;
mod health;
mod input;
mod openapi;
mod replays;
mod scrape;
mod tokens;

use crate::app::access::Access;
use crate::app::captures::Captures;
use crate::app::policy::Policy;
use crate::app::replays::Replays;
use crate::clock::Clock;
use crate::config::CapturesView;
use crate::metrics::{self, Counted, Metrics};
use crate::phase::PhaseReader;
use crate::problem::Problem;
use crate::store::SqliteStore;
use ::http::{Method, Uri};
use axum::routing::{any, get};
use axum::{Router, middleware};
use std::sync::Arc;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The listener's name in metrics.
const LISTENER: &str = "console";

/// What the handlers of this listener know.
#[derive(Clone)]
pub(crate) struct Console {
    /// Where everything is kept.
    pub(crate) store: SqliteStore,
    /// Where captures are kept.
    pub(crate) captures: Captures,
    /// What is sent again.
    pub(crate) replays: Replays,
    /// With which key secrets are hidden.
    pub(crate) policy: Policy,
    /// Who may do what, and did.
    pub(crate) access: Access,
    /// How captures are listed if nobody says.
    pub(crate) view: Arc<CapturesView>,
    /// What time it is.
    pub(crate) clock: Arc<dyn Clock>,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// Whether the daemon stops.
    pub(crate) phase: PhaseReader,
}

/// Builds the listener's routes.
pub(crate) fn router(console: Console) -> Router {
    console.metrics.announce(LISTENER);
    let counted = Counted {
        listener: LISTENER,
        metrics: Arc::clone(&console.metrics),
    };
    let (api, _) = api().split_for_parts();
    let authenticated = middleware::from_fn_with_state(console.clone(), access::authenticate);
    // Whoever has no token does not even learn what is there.
    let api = api
        .route("/api/{*path}", any(missing))
        .method_not_allowed_fallback(wrong_method)
        .layer(authenticated);
    Router::new()
        .merge(api)
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(scrape::metrics))
        .fallback(missing)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(counted, metrics::count))
        .with_state(console)
}

/// The API: each handler with its description.
fn api() -> OpenApiRouter<Console> {
    OpenApiRouter::with_openapi(openapi::Frame::openapi())
        .merge(capture_routes())
        .merge(replay_routes())
        .merge(boot_routes())
        .merge(access_routes())
        .routes(routes!(openapi::serve))
}

fn capture_routes() -> OpenApiRouter<Console> {
    OpenApiRouter::new()
        .routes(routes!(captures::list, captures::delete))
        .routes(routes!(captures::stats))
        .routes(routes!(captures::label))
        .routes(routes!(captures::export))
        .routes(routes!(captures::import))
        .routes(routes!(captures::show))
        .routes(routes!(captures::request))
        .routes(routes!(captures::response))
        .routes(routes!(captures::history))
        .routes(routes!(captures::clear))
}

fn replay_routes() -> OpenApiRouter<Console> {
    OpenApiRouter::new()
        .routes(routes!(replays::list, replays::start))
        .routes(routes!(replays::start_last))
        .routes(routes!(replays::replay_last))
        .routes(routes!(replays::plan))
        .routes(routes!(replays::show))
        .routes(routes!(replays::steps))
        .routes(routes!(replays::resume))
        .routes(routes!(replays::interrupt))
        .routes(routes!(replays::cancel))
        .routes(routes!(replays::decide))
}

fn boot_routes() -> OpenApiRouter<Console> {
    OpenApiRouter::new()
        .routes(routes!(boots::list))
        .routes(routes!(boots::open))
}

fn access_routes() -> OpenApiRouter<Console> {
    OpenApiRouter::new()
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
        .routes(routes!(audit::list))
}

async fn missing(uri: Uri) -> Problem {
    Problem::not_found(uri.path())
}

async fn wrong_method(method: Method) -> Problem {
    Problem::method_not_allowed(method.as_str())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::app::access::{Who, Wish};
    use crate::app::boots::Boots;
    use crate::app::replays::Parts;
    use crate::app::seal::SealKey;
    use crate::clock::{ManualClock, UnixMillis};
    use crate::config::Config;
    use crate::connector::{Connector, Reach};
    use crate::phase::Phase;
    use crate::store::access::Role;
    use crate::store::{Capture, CaptureId, CaptureRow, MemoryStore};
    use crate::token::Token;
    use ::http::{HeaderMap, Request, StatusCode, request};
    use axum::body::Body;
    use http_body_util::BodyExt as _;
    use reprise_core::wire::{Half, State};
    use serde_json::Value;
    use tokio::sync::watch;
    use tower::ServiceExt as _;

    /// Sends `request` to `routes` and reads the answer.
    pub(crate) async fn answer(routes: Router, request: request::Builder) -> (StatusCode, String) {
        let response = routes.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// The numbers of a daemon that was started two seconds into 1970.
    pub(crate) fn metrics() -> Arc<Metrics> {
        let instance = crate::store::Instance {
            id: "0".repeat(32),
            created_at: UnixMillis(1000),
            last_started_at: UnixMillis(2000),
            version: "0.1.0".to_owned(),
        };
        Arc::new(Metrics::new(&instance, &crate::store::Commits::default()))
    }

    /// A whole exchange, as an import has it.
    pub(super) fn capture(target: &str) -> Capture {
        let pairs = |pairs: &[(&str, &str)]| {
            let mut out = Vec::new();
            let bytes = pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
            reprise_core::http::write_pairs(bytes, &mut out);
            out
        };
        let half = |head: &[(&str, &str)], body: &[u8]| Half {
            pairs: pairs(head),
            body: body.to_vec(),
            body_len: body.len() as u64,
            ended: true,
            ..Half::default()
        };
        let head = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "shop"),
            (":path", target),
        ];
        Capture {
            row: CaptureRow {
                id: CaptureId(0),
                epoch: None,
                seq: 0,
                origin: None,
                state: State::Completed,
                reason: String::new(),
                method: "POST".to_owned(),
                scheme: "http".to_owned(),
                authority: "shop".to_owned(),
                target: target.to_owned(),
                status: Some(201),
                began_at: UnixMillis(1_500),
                began_us: 1_000_000,
                ended_us: 1_002_500,
                route: "orders".to_owned(),
                cluster: "shop".to_owned(),
                principal: String::new(),
                client: "127.0.0.1".to_owned(),
                peer: "127.0.0.1".to_owned(),
                protocol: "HTTP/1.1".to_owned(),
                request_id: String::new(),
                labels: Vec::new(),
                boot_id: String::new(),
                not_replayable: String::new(),
                request_bytes: 4,
                response_bytes: 2,
                truncated: false,
                redacted: false,
                sealed: 0,
                received_at: UnixMillis(1_600),
            },
            request: half(&head, b"\xffask"),
            response: Some(half(&[(":status", "201")], b"ok")),
            sealed: Vec::new(),
        }
    }

    /// A console over stores of its own, one second into 1970.
    pub(crate) struct Daemon {
        pub(crate) console: Console,
        pub(crate) phase: watch::Sender<Phase>,
        admin: Token,
        _dir: tempfile::TempDir,
    }

    /// An answer, whole.
    pub(super) struct Answer {
        pub(super) status: StatusCode,
        pub(super) headers: HeaderMap,
        pub(super) bytes: Vec<u8>,
        pub(super) trailers: Option<HeaderMap>,
    }

    impl Answer {
        pub(super) fn json(&self) -> Value {
            serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("{}", self.text()))
        }

        pub(super) fn text(&self) -> String {
            String::from_utf8_lossy(&self.bytes).into_owned()
        }

        /// Gives the numbers of the captures in this list.
        pub(super) fn ids(&self) -> Vec<i64> {
            let items = self.json()["items"].clone();
            let ids = items.as_array().unwrap().iter();
            ids.map(|item| item["id"].as_i64().unwrap()).collect()
        }

        /// Checks that this is a problem of that kind, and gives its detail.
        #[track_caller]
        pub(super) fn refused(&self, status: u16, slug: &str) -> String {
            assert_eq!(self.status.as_u16(), status, "{}", self.text());
            assert_eq!(self.headers["content-type"], "application/problem+json");
            let problem = self.json();
            assert_eq!(problem["type"], format!("urn:reprise:problem:{slug}"));
            problem["detail"].as_str().unwrap().to_owned()
        }
    }

    impl Daemon {
        pub(crate) async fn start() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let store = SqliteStore::open(&dir.path().join("replayd.db")).unwrap();
            let (phase, reader) = watch::channel(Phase::Serving);
            let memory = Arc::new(MemoryStore::default());
            let boots = Boots::load(store.clone()).await.unwrap();
            let seal = SealKey::load_or_draw(&dir.path().join("seal-key")).unwrap();
            let clock = Arc::new(ManualClock::at(UnixMillis(1000)));
            let captures = Captures::new(memory.clone(), boots.clone(), seal);
            let policy = Policy::load(&store, boots.clone(), UnixMillis(1)).await.unwrap();
            let parts = Parts {
                store: Arc::new(store.clone()),
                captures: memory.clone(),
                sealed: captures.clone(),
                boots,
                targets: Config::default().targets,
                clock: clock.clone(),
                outside: Connector::new(Reach::Public).unwrap(),
                anywhere: Connector::new(Reach::Anywhere).unwrap(),
            };
            let admin = Token::draw().unwrap();
            Self {
                console: Console {
                    store,
                    captures,
                    replays: Replays::new(parts),
                    policy,
                    access: Access::new(admin.clone(), memory),
                    view: Arc::new(CapturesView::default()),
                    clock,
                    metrics: metrics(),
                    phase: reader,
                },
                phase,
                admin,
                _dir: dir,
            }
        }

        /// A daemon that holds captures with these targets, numbered from 1.
        pub(super) async fn with(targets: &[&str]) -> Self {
            let daemon = Self::start().await;
            let captures = targets.iter().map(|target| capture(target)).collect();
            daemon
                .console
                .captures
                .import(captures, UnixMillis(1_600))
                .await
                .unwrap();
            daemon
        }

        /// A daemon with five captures.
        pub(super) async fn five() -> Self {
            Self::with(&["/a?x=1", "/b", "/a/c", "/d", "/e"]).await
        }

        pub(crate) async fn get(&self, path: &str) -> (StatusCode, String) {
            answer(router(self.console.clone()), Request::get(path)).await
        }

        /// Asks without a token.
        pub(super) async fn send(&self, request: request::Builder, body: impl Into<Body>) -> Answer {
            let request = request.body(body.into()).unwrap();
            let response = router(self.console.clone()).oneshot(request).await.unwrap();
            let (head, body) = response.into_parts();
            let collected = body.collect().await.unwrap();
            let trailers = collected.trailers().cloned();
            Answer {
                status: head.status,
                headers: head.headers,
                bytes: collected.to_bytes().to_vec(),
                trailers,
            }
        }

        /// Asks as the administrator; a body is sent as JSON.
        pub(super) async fn ask(&self, method: &str, path: &str, json: Option<Value>) -> Answer {
            self.ask_as(self.admin.secret(), method, path, json).await
        }

        pub(super) async fn ask_as(&self, token: &str, method: &str, path: &str, json: Option<Value>) -> Answer {
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header("authorization", format!("Bearer {token}"));
            match json {
                Some(json) => {
                    self.send(request.header("content-type", "application/json"), json.to_string())
                        .await
                }
                None => self.send(request, Body::empty()).await,
            }
        }

        /// Gives the administrator's token.
        pub(super) fn admin(&self) -> &str {
            self.admin.secret()
        }

        /// Makes a token.
        pub(super) async fn token(&self, role: Role) -> String {
            let by = Who {
                name: "admin".to_owned(),
                role: Role::Admin,
            };
            let wish = Wish {
                name: role.name().to_uppercase(),
                role,
                expires_at: None,
            };
            let (_, token) = self.console.access.create(wish, &by, UnixMillis(0)).await.unwrap();
            token.secret().to_owned()
        }
    }

    #[tokio::test]
    async fn a_path_that_is_not_there_is_not_found() {
        let (status, body) = Daemon::start().await.get("/x").await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(body.contains("\"type\":\"urn:reprise:problem:not-found\""), "{body}");
    }

    #[tokio::test]
    async fn a_wrong_method_is_told_with_the_method() {
        let request = Request::delete("/metrics");
        let (status, body) = answer(router(Daemon::start().await.console), request).await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
        assert!(body.contains("DELETE is not allowed"), "{body}");
    }
}
