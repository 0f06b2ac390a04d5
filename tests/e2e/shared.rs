//! One stack for all cases that can live side by side, with an area of paths for each setting.

use reprise_tests::harness::{Request, Settings, Stack, free_port};
use serde_json::{Value, json};
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::OnceCell;

static STACK: OnceCell<Option<Stack>> = OnceCell::const_new();

/// One test's use of the shared stack; checks Envoy's log at its end.
pub(crate) struct Shared(&'static Stack);

/// Gives the shared stack; none if Envoy or the filter is missing.
pub(crate) async fn shared() -> Option<Shared> {
    let told = STACK.initialized();
    let stack = STACK.get_or_init(|| settings().start()).await.as_ref();
    if told && stack.is_none() {
        println!("skipped: the shared stack did not start, see above");
    }
    stack.map(Shared)
}

impl Shared {
    /// Begins a POST with a fresh key to a fresh target in `area`.
    pub(crate) fn fresh(&self, area: &str) -> Request {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        self.post(&format!("/{area}/{number}"))
            .key(&format!("key-{number}-of-a-test"))
            .body("{\"amount\": 5}")
    }
}

impl Deref for Shared {
    type Target = Stack;

    fn deref(&self) -> &Stack {
        self.0
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.0.check_log();
        }
    }
}

/// Gives what the shared stack is made of.
pub(crate) fn settings() -> Settings {
    Stack::builder()
        .document(json!({"idempotency": {"response_bytes_max": 1_048_576}}))
        .area("required", &json!({"mode": "required"}))
        .area("off", &json!({"mode": "off"}))
        .area("answer-409", &json!({"answer_status": 409}))
        .area("manual", &json!({"mode": "manual"}))
        .area("endpoint", &json!({"scope": "endpoint"}))
        .area(
            "aliased",
            &json!({"mode": "required", "header_aliases": ["HTTP_X_REQUEST_KEY"]}),
        )
        .area("team-a", &json!({"namespace": "team-a"}))
        .area("named", &json!({"anonymous": "refuse"}))
        .area("runs", &json!({"in_flight": "run"}))
        .area("store-207", &json!({"store_on": [207]}))
        .area("store-400", &json!({"store_on": ["2xx", 400]}))
        .area("my-key", &json!({"mode": "required", "header": "X-My-Key"}))
        .area("unknown-runs", &json!({"on_unknown": "release"}))
        .area("short", &json!({"retain_s": 2}))
        .area("django", &json!({"encoder": "django", "fingerprint": "none"}))
        .area(
            "by-tenant",
            &json!({"encoder": {"parts": ["key", "path", "header:X-Tenant"]}, "fingerprint": "none"}),
        )
        .area("json", &json!({"fingerprint": "json"}))
        .area("amounts", &json!({"fingerprint": "json", "fields": ["/amount"]}))
        .area("slow-runs", &json!({"on_unknown": "release"}))
        .detached_area("detached")
        .detached_area("detached-slow")
        .detached_area("detached-retried")
        .detached_area("detached-retried-elsewhere")
        .detached_area("detached-refused")
        .detached_area("detached-nowhere")
        .route(json!({"match": {"prefix": "/detached-slow/"}, "route": {"cluster": "upstream", "timeout": "0.3s"}}))
        .route(json!({"match": {"prefix": "/detached-refused/"}, "route": {"cluster": "refused"}}))
        .route(json!({"match": {"prefix": "/detached-nowhere/"}, "route": {"cluster": "nobody"}}))
        .cluster(json!({"name": "nobody", "type": "STATIC"}))
        .cluster_at("refused", free_port())
        .route(retrying("/detached-retried/", "upstream", "5xx"))
        .route(retrying("/detached-retried-elsewhere/", "then_refused", "reset"))
        .route(json!({
            "match": {"prefix": "/metadata-off/"}, "route": {"cluster": "upstream"},
            "metadata": {"filter_metadata": {"reprise": {"idempotency": {"mode": "off"}}}},
        }))
        .route(json!({"match": {"prefix": "/slow/"}, "route": {"cluster": "upstream", "timeout": "0.3s"}}))
        .route(json!({"match": {"prefix": "/slow-runs/"}, "route": {"cluster": "upstream", "timeout": "0.3s"}}))
        .route(json!({"match": {"prefix": "/h2/"}, "route": {"cluster": "upstream_h2"}}))
        .route(retrying("/retried/", "upstream", "5xx"))
        .route(retrying("/retried-elsewhere/", "then_refused", "reset"))
        .patch(add_clusters)
}

fn retrying(prefix: &str, cluster: &str, on: &str) -> Value {
    let elsewhere = json!({
        "name": "envoy.retry_priorities.previous_priorities",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
            "update_frequency": 1,
        },
    });
    json!({
        "match": {"prefix": prefix},
        "route": {"cluster": cluster, "retry_policy": {"retry_on": on, "num_retries": 1, "retry_priority": elsewhere}},
    })
}

/// Adds the upstream as HTTP/2, and one whose second choice refuses connections.
pub(crate) fn add_clusters(bootstrap: &mut Value) {
    let clusters = bootstrap["static_resources"]["clusters"].as_array_mut().unwrap();
    let upstream = clusters
        .iter()
        .find(|cluster| cluster["name"] == "upstream")
        .unwrap()
        .clone();
    let named = |name: &str| {
        let mut cluster = upstream.clone();
        cluster["name"] = name.into();
        cluster["load_assignment"]["cluster_name"] = name.into();
        cluster
    };
    let mut h2 = named("upstream_h2");
    h2["typed_extension_protocol_options"] = json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }});
    let mut then_refused = named("then_refused");
    let refused = json!({"socket_address": {"address": "127.0.0.1", "port_value": free_port()}});
    let second = json!({"priority": 1, "lb_endpoints": [{"endpoint": {"address": refused}}]});
    then_refused["load_assignment"]["endpoints"]
        .as_array_mut()
        .unwrap()
        .push(second);
    clusters.extend([h2, then_refused]);
}
