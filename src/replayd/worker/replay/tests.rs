//! Replays against real servers in the process, with a real store.

mod broken;
mod cases;
mod compaction;
mod doubt;
mod gate;
mod questions;
mod requests;
mod responses;
mod targets;
mod upstream;

use crate::app::boots::Boots;
use crate::app::captures::Captures;
use crate::app::replays::{
    Answer, Decision, Parts, Question, ReplayError, ReplayPage, ReplaySpec, ReplayState, ReplayView, Replays,
};
use crate::app::seal::SealKey;
use crate::clock::{SystemClock, UnixMillis};
use crate::config::{OnEarly, Target, Targets, base};
use crate::connector::{Connector, Reach};
use crate::metrics::Ends;
use crate::store::SqliteStore;
use crate::store::captures::{Capture, CaptureId, CaptureRow, Captures as _};
use reprise_core::http::write_pairs;
use reprise_core::wire::{Half, State};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time;
use upstream::Upstream;

/// An installation: its store, its use cases, its worker.
struct Stack {
    store: SqliteStore,
    replays: Replays,
    boots: Boots,
    upstream: Upstream,
    worker: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    _dir: tempfile::TempDir,
}

/// What a capture was; the response's body is `{}`.
fn capture(method: &str, target: &str, body: &str) -> Capture {
    let pairs = |list: &[(&str, &str)]| {
        let mut pairs = Vec::new();
        let list = list.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        write_pairs(list, &mut pairs);
        pairs
    };
    let half = |pairs: Vec<u8>, body: &str| Half {
        pairs,
        body: body.as_bytes().to_vec(),
        body_len: u64::try_from(body.len()).unwrap(),
        ended: true,
        ..Half::default()
    };
    let request = [
        (":method", method),
        (":scheme", "http"),
        (":authority", "shop"),
        (":path", target),
        ("content-type", "application/json"),
    ];
    Capture {
        row: CaptureRow {
            id: CaptureId(0),
            epoch: None,
            seq: 0,
            origin: None,
            state: State::Completed,
            reason: String::new(),
            method: method.into(),
            scheme: "http".into(),
            authority: "shop".into(),
            target: target.into(),
            status: Some(201),
            began_at: UnixMillis(1000),
            began_us: 0,
            ended_us: 0,
            route: String::new(),
            cluster: "upstream".into(),
            principal: String::new(),
            client: String::new(),
            peer: String::new(),
            protocol: "HTTP/1.1".into(),
            request_id: String::new(),
            labels: Vec::new(),
            boot_id: "boot-0".into(),
            not_replayable: String::new(),
            request_bytes: 0,
            response_bytes: 0,
            truncated: false,
            redacted: false,
            sealed: 0,
            received_at: UnixMillis(0),
        },
        request: half(pairs(&request), body),
        response: Some(half(
            pairs(&[(":status", "201"), ("content-type", "application/json")]),
            "{}",
        )),
        sealed: Vec::new(),
    }
}

/// Captures of `POST /n/1`, `POST /n/2` …
fn posts(count: usize) -> Vec<Capture> {
    (1..=count).map(|n| capture("POST", &format!("/n/{n}"), "{}")).collect()
}

impl Stack {
    /// Starts with these captures, and the target `shop`.
    async fn start(captures: Vec<Capture>) -> Self {
        Self::with(captures, |_| {}).await
    }

    async fn with(captures: Vec<Capture>, change: impl FnOnce(&mut Target)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&dir.path().join("replayd.db")).unwrap();
        let upstream = Upstream::start().await;
        let mut target = Target {
            url: base(&upstream.url()).unwrap(),
            allowed: true,
            honours_keys: false,
            gate: None,
            probe: None,
            credential: None,
            cluster: None,
            auto_restore: false,
            on_early: OnEarly::Stop,
            rules: Vec::new(),
        };
        change(&mut target);
        let boots = Boots::load(store.clone()).await.unwrap();
        let kept: Arc<dyn crate::store::captures::Captures> = Arc::new(store.clone());
        let seal = SealKey::load_or_draw(&dir.path().join("seal-key")).unwrap();
        let replays = Replays::new(Parts {
            store: Arc::new(store.clone()),
            captures: Arc::clone(&kept),
            sealed: Captures::new(kept, boots.clone(), seal),
            boots: boots.clone(),
            targets: Targets::from([("shop".to_owned(), target)]),
            clock: Arc::new(SystemClock),
            outside: Connector::new(Reach::Public).unwrap(),
            anywhere: Connector::new(Reach::Anywhere).unwrap(),
        });
        store.import(captures, UnixMillis(0)).await.unwrap();
        let mut stack = Self {
            store,
            replays,
            boots,
            upstream,
            worker: None,
            _dir: dir,
        };
        stack.work();
        stack
    }

    /// Starts the worker.
    fn work(&mut self) {
        let (stop, stopped) = oneshot::channel();
        let replays = self.replays.clone();
        let worker = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            super::run(replays, [7; 32], Ends::default(), stopped).await.unwrap();
        });
        self.worker = Some((stop, worker));
    }

    /// Ends everything at once, as `kill -9` does, and comes back with what is on disk.
    async fn kill(mut self) -> Self {
        let (_stop, worker) = self.worker.take().unwrap();
        worker.abort();
        worker.await.unwrap_err();
        self.replays = self.replays.forgotten();
        self.replays.recover().await.unwrap();
        self.work();
        self
    }

    /// Starts again with the target `shop` changed.
    async fn configured(self, change: impl FnOnce(&mut Target)) -> Self {
        self.rebuilt(|parts| change(parts.targets.get_mut("shop").unwrap()))
            .await
    }

    /// Starts again with other parts.
    async fn rebuilt(mut self, change: impl FnOnce(&mut Parts)) -> Self {
        let (stop, worker) = self.worker.take().unwrap();
        stop.send(()).unwrap();
        worker.await.unwrap();
        let mut parts = self.replays.parts().clone();
        change(&mut parts);
        self.replays = Replays::new(parts);
        self.work();
        self
    }

    async fn start_replay(&self, json: &str) -> i64 {
        let spec: ReplaySpec = serde_json::from_str(json).unwrap();
        self.replays.start(spec, "test").await.unwrap()
    }

    /// Waits until a replay is as `is` says.
    async fn until(&self, id: i64, is: impl Fn(&ReplayView) -> bool) -> ReplayView {
        let mut last = None;
        for _ in 0..12_000 {
            let view = self.replays.replay(id).await.unwrap();
            if is(&view) {
                return view;
            }
            last = Some(view);
            time::timeout(Duration::from_millis(10), std::future::pending::<()>())
                .await
                .unwrap_err();
        }
        panic!("not within 2 minutes: {last:#?}");
    }

    /// Waits until a replay is at rest.
    async fn rest(&self, id: i64) -> ReplayView {
        self.until(id, |view| !view.state.holds()).await
    }

    /// Runs a replay to its rest.
    async fn run(&self, json: &str) -> ReplayView {
        let id = self.start_replay(json).await;
        self.rest(id).await
    }

    /// Waits until a replay asks what `is` says.
    async fn question(&self, id: i64, is: impl Fn(&Question) -> bool) -> Question {
        let view = self.until(id, |view| view.question.as_ref().is_some_and(&is)).await;
        view.question.unwrap()
    }

    async fn decide(&self, id: i64, question: &Question, decision: Decision) -> Result<(), ReplayError> {
        let answer = Answer {
            step: question.step,
            why: question.why,
            attempt: Some(question.attempt),
            decision,
        };
        self.replays.decide(id, answer).await
    }

    async fn page(&self) -> ReplayPage {
        self.replays.list(None, 10).await.unwrap()
    }
}

#[tokio::test]
async fn a_replay_runs_in_order_to_its_end() {
    let stack = Stack::start(posts(3)).await;
    let view = stack.run(r#"{"target": "shop"}"#).await;
    assert_eq!(
        (view.state, view.exit_code),
        (ReplayState::Finished, Some(0)),
        "{view:#?}"
    );
    assert_eq!(stack.upstream.targets(), ["/n/1", "/n/2", "/n/3"]);
    assert_eq!((view.counts.planned, view.counts.sent, view.counts.matched), (3, 3, 3));
    assert_eq!(stack.page().await.replays.len(), 1);
}
