//! An upstream that comes back with nothing, under live traffic.

use super::{AT_REST, eventually};
use reprise_tests::harness::{Settings, Stack, UpstreamControl, free_port};
use reprise_tests::upstream::Upstream;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

fn settings(upstream: u16, more: &str) -> Settings {
    let toml = format!(
        "[targets.queue]\nurl = \"http://127.0.0.1:{upstream}\"\nallowed = true\ncluster = \"queue\"\nauto_restore = true\n{more}"
    );
    routed(upstream).replayd_toml(&toml)
}

/// A cluster with a boot gate, which no target names.
fn routed(upstream: u16) -> Settings {
    let route = json!({"match": {"prefix": "/api/commands"}, "name": "queue", "route": {"cluster": "queue"}});
    Stack::builder()
        .captures(&json!({}))
        .document(json!({"restore": {"boot_gate": true}}))
        .cluster_at("queue", upstream)
        .route(route)
}

async fn post(stack: &Stack, command: &str) -> reprise_tests::harness::Response {
    stack
        .post("/api/commands")
        .json(&json!({"command": command}))
        .send()
        .await
}

/// Waits until the upstream that was dropped has left its port.
async fn is_gone(port: u16) {
    eventually("the old one is gone", Duration::from_secs(5), || async {
        std::net::TcpListener::bind(("127.0.0.1", port))
            .map(drop)
            .map_err(|error| error.to_string())
    })
    .await;
}

async fn queue(stack: &Stack, upstream: &Upstream) -> Vec<Value> {
    let queue = stack
        .request("GET", "/api/commands")
        .to(upstream.address())
        .send()
        .await
        .json();
    queue
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["command"].clone())
        .collect()
}

/// Waits until a restore that nobody asked for has come to rest; gives it.
async fn restored(stack: &Stack) -> Value {
    eventually("an automatic restore", Duration::from_secs(30), || async {
        let page = stack.replayd().get("/api/v1/replays").await;
        let view = page["items"][0].clone();
        let is_over = view["state"].as_str().is_some_and(|state| AT_REST.contains(&state));
        if is_over { Ok(view) } else { Err(format!("{page:#}")) }
    })
    .await
}

/// Case R35.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebooted_upstream_is_restored_before_clients_change_it() {
    let port = free_port();
    let upstream = Upstream::start_at(([127, 0, 0, 1], port).into());
    let Some(stack) = settings(port, "").start().await else {
        return;
    };
    // A gate closes only where it can be opened again.
    stack.gauge_is("wasmcustom.reprise_has_policy", 1).await;
    for n in 0..5 {
        assert_eq!(post(&stack, &format!("before {n}")).await.status, 201);
    }
    stack.replayd().captured("path=/api/commands", 5).await;
    drop(upstream);
    is_gone(port).await;
    let upstream = Upstream::start_at(([127, 0, 0, 1], port).into());
    // The first response tells of the new boot: a read, as a health check or a page would be.
    assert_eq!(stack.request("GET", "/api/commands").send().await.status, 200);
    let refused = post(&stack, "too early").await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(refused.problem().as_deref(), Some("restoring"));
    assert!(refused.header("retry-after").is_some());
    eventually("clients may change it again", Duration::from_secs(30), || async {
        let response = post(&stack, "after").await;
        (response.status == 201).then_some(()).ok_or_else(|| response.text())
    })
    .await;
    let mut expected: Vec<_> = (0..5).map(|n| json!(format!("before {n}"))).collect();
    expected.push(json!("after"));
    assert_eq!(queue(&stack, &upstream).await, expected);
    let view = restored(&stack).await;
    assert_eq!(
        (&view["state"], &view["early"]),
        (&json!("finished"), &json!([])),
        "{view:#}"
    );
}

/// Case R35.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_changed_before_the_gate_is_told_and_the_restore_stops() {
    let port = free_port();
    let upstream = Upstream::start_at(([127, 0, 0, 1], port).into());
    let Some(stack) = settings(port, "").start().await else {
        return;
    };
    // A gate closes only where it can be opened again.
    stack.gauge_is("wasmcustom.reprise_has_policy", 1).await;
    for n in 0..5 {
        assert_eq!(post(&stack, &format!("before {n}")).await.status, 201);
    }
    stack.replayd().captured("path=/api/commands", 5).await;
    drop(upstream);
    is_gone(port).await;
    let upstream = Upstream::start_at(([127, 0, 0, 1], port).into());
    // A mutation is the first that the new boot answers.
    assert_eq!(post(&stack, "early").await.status, 201);
    let view = restored(&stack).await;
    assert_eq!(view["early"].as_array().map(Vec::len), Some(1), "{view:#}");
    assert_ne!(view["state"], "finished", "{view:#}");
    assert_eq!(queue(&stack, &upstream).await, [json!("early")]);
    // Somebody has to act, and is told so: in the log, by a number, and by the boot itself.
    let command = "replayd restore --target queue --on-early keep";
    eventually("a warning with what goes on", Duration::from_secs(10), || async {
        let log = stack.replayd().log();
        let is_told = log.lines().any(|line| line.contains("WARN") && line.contains(command));
        is_told.then_some(()).ok_or(log)
    })
    .await;
    let boots = stack.replayd().get("/api/v1/boots").await;
    assert_eq!(boots["items"][0]["last_restore"]["next"], command, "{boots:#}");
    let page = stack.replayd().request("GET", "/metrics").send().await.text();
    for line in [
        "replayd_boots_closed{cluster=\"queue\"} 1",
        "replayd_replays_ended_total{kind=\"restore\",state=\"refused\",exit_code=\"4\"} 1",
    ] {
        assert!(page.contains(line), "no `{line}` in\n{page}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_keeps_what_was_early_is_restored_although_a_client_was_first() {
    let port = free_port();
    let upstream = Upstream::start_at(([127, 0, 0, 1], port).into());
    let Some(stack) = settings(port, "on_early = \"keep\"").start().await else {
        return;
    };
    stack.gauge_is("wasmcustom.reprise_has_policy", 1).await;
    assert_eq!(post(&stack, "before").await.status, 201);
    stack.replayd().captured("path=/api/commands", 1).await;
    drop(upstream);
    is_gone(port).await;
    let upstream = Upstream::start_at(([127, 0, 0, 1], port).into());
    assert_eq!(post(&stack, "early").await.status, 201);
    eventually("clients may change it again", Duration::from_secs(30), || async {
        let response = post(&stack, "after").await;
        (response.status == 201).then_some(()).ok_or_else(|| response.text())
    })
    .await;
    let expected = ["early", "before", "after"].map(|command| json!(command));
    assert_eq!(queue(&stack, &upstream).await, expected);
}

/// Clients that post one command after the other, whatever happens; each until it is taken.
#[derive(Default)]
struct Traffic {
    taken: AtomicUsize,
    is_over: AtomicBool,
}

impl Traffic {
    /// Most commands of one client.
    const MAX: usize = 2000;

    /// Posts as the client of this name until the traffic is over; gives its commands.
    async fn client(self: Arc<Self>, stack: Arc<Stack>, name: usize) -> Vec<Value> {
        let mut commands = Vec::new();
        while !self.is_over.load(Ordering::SeqCst) {
            assert!(commands.len() < Self::MAX, "the traffic does not end");
            let command = format!("{name}/{}", commands.len());
            eventually("a command is taken", Duration::from_secs(60), || async {
                let response = post(&stack, &command).await;
                (response.status == 201).then_some(()).ok_or_else(|| response.text())
            })
            .await;
            commands.push(json!(command));
            self.taken.fetch_add(1, Ordering::SeqCst);
        }
        commands
    }

    /// Waits until so many more commands are taken.
    async fn goes_on(&self, more: usize) {
        let want = self.taken.load(Ordering::SeqCst) + more;
        eventually("commands are taken", Duration::from_secs(60), || async {
            let taken = self.taken.load(Ordering::SeqCst);
            (want <= taken)
                .then_some(())
                .ok_or_else(|| format!("{taken} of {want}"))
        })
        .await;
    }
}

/// Case R35.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_is_ready_when_it_is_restored_has_all_that_clients_were_told_in_order() {
    let port = free_port();
    let at = ([127, 0, 0, 1], port).into();
    let old = Upstream::start_at(at);
    // What a client was told is on disk.
    let rule = json!({"match": {"path": "/api/commands"}, "capture": {"durability": "write_ahead_response"}});
    let Some(stack) = settings(port, "").rule(rule).start().await else {
        return;
    };
    stack.gauge_is("wasmcustom.reprise_has_policy", 1).await;
    let (stack, traffic) = (Arc::new(stack), Arc::new(Traffic::default()));
    let clients: Vec<_> = (0..3)
        .map(|name| tokio::spawn(Arc::clone(&traffic).client(Arc::clone(&stack), name)))
        .collect();
    traffic.goes_on(20).await;
    drop(old);
    eventually("the old one is gone", Duration::from_secs(5), || async {
        std::net::TcpListener::bind(at)
            .map(drop)
            .map_err(|error| error.to_string())
    })
    .await;
    let upstream = Upstream::start_unready_at(at);
    let view = restored(&stack).await;
    assert_eq!(
        (&view["state"], &view["early"]),
        (&json!("finished"), &json!([])),
        "{view:#}"
    );
    assert!(20 <= view["counts"]["answered"].as_u64().unwrap(), "{view:#}");
    let control = UpstreamControl::at(at);
    control.open("ready").await;
    traffic.goes_on(20).await;
    traffic.is_over.store(true, Ordering::SeqCst);

    let mut told = Vec::new();
    for client in clients {
        told.push(client.await.unwrap());
    }
    let queue = queue(&stack, &upstream).await;
    for (name, told) in told.iter().enumerate() {
        let of_client = |command: &&Value| command.as_str().unwrap().starts_with(&format!("{name}/"));
        let kept: Vec<_> = queue.iter().filter(of_client).cloned().collect();
        assert_eq!(kept, *told, "client {name}");
    }
    let runs = control.seen("/api/commands").await;
    let is_restored = runs
        .iter()
        .filter(|run| run.method == "POST")
        .map(|run| run.header("replayd-signature").is_some());
    assert!(
        is_restored.is_sorted_by(|before, after| before >= after),
        "restored and new ones are mixed"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_that_no_restore_opens_is_opened_by_hand() {
    let port = free_port();
    let upstream = Upstream::start_at(([127, 0, 0, 1], port).into());
    let Some(stack) = routed(port).start().await else {
        return;
    };
    stack.gauge_is("wasmcustom.reprise_has_policy", 1).await;
    assert_eq!(post(&stack, "before").await.status, 201);
    drop(upstream);
    is_gone(port).await;
    let _upstream = Upstream::start_at(([127, 0, 0, 1], port).into());
    assert_eq!(stack.request("GET", "/api/commands").send().await.status, 200);
    assert_eq!(post(&stack, "too early").await.problem().as_deref(), Some("restoring"));
    eventually("replayd knows of it", Duration::from_secs(10), || async {
        let boots = stack.replayd().get("/api/v1/boots").await;
        (boots["items"][0]["restored"] == false)
            .then_some(())
            .ok_or_else(|| format!("{boots:#}"))
    })
    .await;
    let ran = stack.replayd().run(&["boots", "open", "queue"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    eventually("clients may change it again", Duration::from_secs(30), || async {
        let response = post(&stack, "after").await;
        (response.status == 201).then_some(()).ok_or_else(|| response.text())
    })
    .await;
}
