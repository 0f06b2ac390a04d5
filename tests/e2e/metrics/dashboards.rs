//! The dashboard and the alert rules against what a running stack exports: neither may ask for what is not there.

use super::expression::{Matcher, Named, Selector, read};
use reprise_core::wire::BATCH_PATH;
use reprise_tests::harness::{Request, Settings, Stack, eventually, free_port, root};
use reprise_tests::upstream::Upstream;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

/// What Prometheus adds to every sample of a scrape.
const ADDED: [&str; 2] = ["instance", "job"];
/// What Prometheus says of a scrape itself; the job is the one that the alert rules name.
const OF_PROMETHEUS: &str = "up{job=\"replayd\"} 1";

/// An expression, and the labels that the words beside it name.
struct Asked {
    place: String,
    named: Named,
    labels: BTreeSet<String>,
}

/// What a stack exports: the labels and values of all samples, by their names.
#[derive(Debug, Default)]
struct Exported(BTreeMap<String, Vec<Matcher>>);

impl Exported {
    fn of(pages: &[&str]) -> Self {
        let mut exported = Self::default();
        let lines = pages.iter().flat_map(|page| page.lines());
        for line in lines.filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let sample = read(line).selectors.swap_remove(0);
            exported.0.entry(sample.metric).or_default().extend(sample.matchers);
        }
        exported
    }

    /// Tells what is asked for and not there.
    fn missing(&self, asked: &Asked) -> Vec<String> {
        let selectors = &asked.named.selectors;
        let mut missing: Vec<_> = selectors.iter().flat_map(|selector| self.lacks(selector)).collect();
        let grouped = asked.named.labels.union(&asked.labels);
        let has = |label: &String| selectors.iter().any(|selector| self.has_label(&selector.metric, label));
        let unknown = grouped.filter(|label| !ADDED.contains(&label.as_str()) && !has(label));
        missing.extend(unknown.map(|label| format!("no metric here has a label {label}")));
        missing.iter().map(|each| format!("{}: {each}", asked.place)).collect()
    }

    fn lacks(&self, selector: &Selector) -> Vec<String> {
        let Some(there) = self.0.get(&selector.metric) else {
            return vec![format!("no metric {}", selector.metric)];
        };
        let wanted = selector.matchers.iter();
        let wanted = wanted.flat_map(|matcher| matcher.wants().into_iter().map(move |value| (&matcher.label, value)));
        wanted
            .filter(|(label, value)| {
                !there
                    .iter()
                    .any(|sample| sample.label == **label && fits(&sample.value, value))
            })
            .map(|(label, value)| format!("no {}{{{label}=\"{value}\"}}", selector.metric))
            .collect()
    }

    fn has_label(&self, metric: &str, label: &str) -> bool {
        let there = self.0.get(metric).into_iter().flatten();
        there.into_iter().any(|sample| sample.label == label)
    }
}

fn fits(value: &str, wanted: &str) -> bool {
    wanted
        .strip_suffix(".+")
        .map_or(value == wanted, |prefix| value.starts_with(prefix))
}

/// Reads every expression of the dashboard.
fn dashboard() -> Vec<Asked> {
    let text = fs::read_to_string(root().join("envoy/grafana.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let asked = |panel: &Value, target: &Value| Asked {
        place: format!("grafana.json, {}", panel["title"]),
        named: read(target["expr"].as_str().unwrap()),
        labels: braced(target["legendFormat"].as_str().unwrap(), ""),
    };
    let targets = |panel: &Value| panel["targets"].as_array().cloned().unwrap_or_default();
    panels
        .iter()
        .flat_map(|panel| targets(panel).into_iter().map(move |target| asked(panel, &target)))
        .collect()
}

/// Reads every expression of the alert rules.
fn alerts() -> Vec<Asked> {
    let text = fs::read_to_string(root().join("envoy/alerts.yaml")).unwrap();
    let alerts: Value = serde_saphyr::from_str(&text).unwrap();
    let groups = alerts["groups"].as_array().unwrap().iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
    rules
        .map(|rule| Asked {
            place: format!("alerts.yaml, {}", rule["alert"]),
            named: read(rule["expr"].as_str().unwrap()),
            labels: braced(&rule["annotations"].to_string(), "$labels."),
        })
        .collect()
}

/// Finds the labels in `{{ … }}` that have `mark` before their names.
fn braced(text: &str, mark: &str) -> BTreeSet<String> {
    let inside = text.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
    let labels = inside.filter_map(|inside| inside.trim().strip_prefix(mark).map(str::to_owned));
    labels.collect()
}

/// A stack that captures into a replayd which restores the upstream at `port`.
fn settings(port: u16) -> Settings {
    let target = format!(
        "[targets.queue]\nurl = \"http://127.0.0.1:{port}\"\nallowed = true\ncluster = \"queue\"\nauto_restore = true\n"
    );
    Stack::builder()
        .captures(&json!({}))
        .document(json!({"restore": {"boot_gate": true}}))
        .cluster_at("queue", port)
        .route(json!({"match": {"prefix": "/api/commands"}, "name": "queue", "route": {"cluster": "queue"}}))
        .replayd_toml(&target)
        .allow_log("reprise: replayd ")
}

/// Lets everything happen that is counted from its first time on: a time, a restore, a refused batch.
async fn live(stack: &Stack, upstream: Upstream, port: u16) {
    stack.gauge_is("wasmcustom.reprise_has_policy", 1).await;
    for n in 0..20 {
        let post = stack.post("/api/commands").key(&format!("k{n}"));
        assert_eq!(post.json(&json!({"command": "on"})).send().await.status, 201);
    }
    stack.replayd().captured("path=/api/commands", 20).await;
    drop(upstream);
    let at = SocketAddr::from(([127, 0, 0, 1], port));
    eventually("the upstream is gone", Duration::from_secs(5), || async {
        let bound = std::net::TcpListener::bind(at);
        bound.map(drop).map_err(|error| error.to_string())
    })
    .await;
    let _upstream = Upstream::start_at(at);
    assert_eq!(stack.request("GET", "/api/commands").send().await.status, 200);
    restored(stack).await;
    let batch = Request::new(stack.replayd().ingest(), "POST", BATCH_PATH);
    let token = format!("Bearer {}", stack.replayd().ingest_token());
    let refused = batch.header("authorization", token).body("no batch").send().await;
    assert!((400..500).contains(&refused.status), "{refused:?}");
}

async fn restored(stack: &Stack) {
    eventually("an automatic restore", Duration::from_secs(30), || async {
        let page = stack.replayd().get("/api/v1/replays").await;
        let is_over = page["items"][0]["state"] == "finished";
        is_over.then_some(()).ok_or_else(|| format!("{page:#}"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dashboard_and_alerts_ask_for_what_is_exported() {
    let port = free_port();
    let upstream = Upstream::start_at(([127, 0, 0, 1], port).into());
    let Some(stack) = settings(port).start().await else {
        return;
    };
    live(&stack, upstream, port).await;
    let asked: Vec<_> = dashboard().into_iter().chain(alerts()).collect();
    assert!(asked.len() > 50, "{} expressions", asked.len());
    eventually("all that is asked for is exported", Duration::from_secs(20), || async {
        let envoy = stack.admin("GET", "/stats/prometheus").await;
        let replayd = stack.replayd().anonymous("GET", "/metrics").send().await.text();
        let exported = Exported::of(&[&envoy, &replayd, OF_PROMETHEUS]);
        let missing: Vec<_> = asked.iter().flat_map(|asked| exported.missing(asked)).collect();
        missing.is_empty().then_some(()).ok_or_else(|| missing.join("\n"))
    })
    .await;
}
