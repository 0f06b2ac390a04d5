//! Every number that replayd tells about itself, in one list.

use crate::clock::UnixMillis;
use crate::store::{Boot, Commits, Instance};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::StatusCode;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::sync::Arc;

/// What a scrape is made of.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The classes of statuses that this daemon answers with.
const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

/// Every number of one daemon.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    /// What is taken in.
    pub(crate) intake: Intake,
    /// What is kept.
    pub(crate) kept: Kept,
    /// How replays end.
    pub(crate) ends: Ends,
    closed_boots: Family<ClusterLabels, Gauge>,
}

/// How replays come to rest; clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ends(Family<EndLabels, Counter>);

/// What a replay's end is counted under.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabels {
    kind: &'static str,
    state: &'static str,
    exit_code: u32,
}

/// What a boot is told under.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClusterLabels {
    cluster: String,
}

impl Ends {
    /// Counts a replay of one `kind` (`replay` or `restore`) that came to rest.
    pub(crate) fn count(&self, kind: &'static str, state: &'static str, exit_code: u8) {
        let exit_code = exit_code.into();
        let labels = EndLabels { kind, state, exit_code };
        self.0.get_or_create(&labels).inc();
    }
}

/// What is counted of what Envoy sends.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    /// Captures that were stored.
    pub(crate) stored: Counter,
    /// Captures that came again.
    pub(crate) duplicates: Counter,
    /// Bytes of batches that are in memory.
    pub(crate) bytes: Gauge,
    batches: Family<BatchLabels, Counter>,
}

/// What the worker that looks after the captures found last.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// Captures.
    pub(crate) captures: Gauge,
    /// Bytes of their headers and bodies.
    pub(crate) bytes: Gauge,
    /// Captures that never came although later ones of their streams did.
    pub(crate) missing: Gauge,
    /// Captures that were deleted because of their age, or because there were too many.
    pub(crate) expired: Counter,
    /// Captures whose end nobody saw.
    pub(crate) unknown: Counter,
}

/// What a batch is counted under.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BatchLabels {
    kind: &'static str,
    outcome: &'static str,
}

impl Intake {
    /// Counts a batch of one `kind` (`batch` or `journal`) by what became of it.
    pub(crate) fn count(&self, kind: &'static str, outcome: &'static str) {
        self.batches.get_or_create(&BatchLabels { kind, outcome }).inc();
    }

    fn register(&self, registry: &mut Registry) {
        registry.register("captures_stored", "Captures that were stored", self.stored.clone());
        registry.register(
            "captures_duplicate",
            "Captures that came again",
            self.duplicates.clone(),
        );
        registry.register("ingest_batches", "Batches, by kind and outcome", self.batches.clone());
        registry.register_with_unit(
            "ingest_in_flight",
            "Batches that are in memory",
            Unit::Bytes,
            self.bytes.clone(),
        );
    }
}

impl Kept {
    fn register(&self, registry: &mut Registry) {
        registry.register("captures_kept", "Captures that are kept", self.captures.clone());
        registry.register_with_unit(
            "captures_kept",
            "Headers and bodies of captures",
            Unit::Bytes,
            self.bytes.clone(),
        );
        registry.register(
            "captures_missing",
            "Captures that never came although later ones of their streams did",
            self.missing.clone(),
        );
        registry.register(
            "captures_expired",
            "Captures that were deleted by age or size",
            self.expired.clone(),
        );
        registry.register(
            "captures_given_up",
            "Captures whose end nobody saw",
            self.unknown.clone(),
        );
    }
}

fn register_commits(commits: &Commits, registry: &mut Registry) {
    registry.register_with_unit(
        "store_commit",
        "How long commits take, from the first job to the disk",
        Unit::Seconds,
        commits.seconds.clone(),
    );
    registry.register("store_jobs", "Jobs that are on disk", commits.jobs.clone());
    registry.register("store_commit_failures", "Commits that failed", commits.failures.clone());
    registry.register(
        "store_jobs_waiting",
        "Jobs that wait for the disk",
        commits.waiting.clone(),
    );
    registry.register(
        "store_full",
        "Whether the disk is full: captures are stored only in place of deleted ones",
        commits.full.clone(),
    );
}

fn register_replays(ends: &Ends, closed_boots: &Family<ClusterLabels, Gauge>, registry: &mut Registry) {
    registry.register(
        "replays_ended",
        "Replays that came to rest, by kind, state and exit code",
        ends.0.clone(),
    );
    registry.register(
        "boots_closed",
        "Whether the newest boot of a cluster was not restored: filters with restore.boot_gate refuse its mutations",
        closed_boots.clone(),
    );
}

/// What a request is counted under.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    listener: &'static str,
    status: &'static str,
}

/// One listener's name, and where its requests are counted.
#[derive(Debug, Clone)]
pub(crate) struct Counted {
    /// The listener's name.
    pub(crate) listener: &'static str,
    /// Where its requests are counted.
    pub(crate) metrics: Arc<Metrics>,
}

impl Metrics {
    /// Begins to count for the daemon that `instance` tells about, and shows what its store counts.
    pub(crate) fn new(instance: &Instance, commits: &Commits) -> Self {
        let mut registry = Registry::with_prefix("replayd");
        let requests = Family::default();
        let build = Info::new(vec![("version", instance.version.clone())]);
        registry.register("build", "The running binary", build);
        let (start, created) = (seconds(instance.last_started_at), seconds(instance.created_at));
        registry.register_with_unit(
            "start_time",
            "When this process started, since 1970",
            Unit::Seconds,
            start,
        );
        registry.register_with_unit(
            "created_time",
            "When this data was first served, since 1970",
            Unit::Seconds,
            created,
        );
        registry.register(
            "http_requests",
            "Requests answered, by listener and class of status",
            requests.clone(),
        );
        let (intake, kept) = (Intake::default(), Kept::default());
        intake.register(&mut registry);
        kept.register(&mut registry);
        register_commits(commits, &mut registry);
        let (ends, closed_boots) = (Ends::default(), Family::default());
        register_replays(&ends, &closed_boots, &mut registry);
        Self {
            registry,
            requests,
            intake,
            kept,
            ends,
            closed_boots,
        }
    }

    /// Lets the counters of `listener` begin at zero, so that their first step is seen.
    pub(crate) fn announce(&self, listener: &'static str) {
        for status in CLASSES {
            let _at_zero = self.requests.get_or_create(&RequestLabels { listener, status });
        }
    }

    /// Tells of the newest boot of each cluster whether it waits to be restored.
    pub(crate) fn tell_boots(&self, newest: &[Boot]) {
        for boot in newest {
            let cluster = boot.cluster.clone();
            let gauge = self.closed_boots.get_or_create_owned(&ClusterLabels { cluster });
            gauge.set(i64::from(boot.closed));
        }
    }

    /// Writes everything in the text format of Prometheus (`OpenMetrics`).
    pub(crate) fn text(&self) -> Result<String, fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.registry)?;
        Ok(page)
    }

    fn count(&self, listener: &'static str, status: StatusCode) {
        self.requests
            .get_or_create(&RequestLabels {
                listener,
                status: class(status),
            })
            .inc();
    }
}

fn seconds(moment: UnixMillis) -> Gauge {
    let gauge = Gauge::default();
    gauge.set(moment.seconds());
    gauge
}

const fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        ..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        500.. => "5xx",
    }
}

/// Counts every request that passes, once it has its response.
pub(crate) async fn count(State(counted): State<Counted>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    counted.metrics.count(counted.listener, response.status());
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::metrics;

    #[test]
    fn the_page_tells_the_build_and_its_times() {
        let page = metrics().text().unwrap();
        for line in [
            "replayd_build_info{version=\"0.1.0\"} 1",
            "replayd_start_time_seconds 2",
            "replayd_created_time_seconds 1",
        ] {
            assert!(page.lines().any(|found| found == line), "no `{line}` in\n{page}");
        }
    }

    #[test]
    fn requests_are_counted_by_listener_and_class() {
        let metrics = metrics();
        metrics.announce("ingest");
        metrics.count("ingest", StatusCode::UNAUTHORIZED);
        let page = metrics.text().unwrap();
        for line in [
            "replayd_http_requests_total{listener=\"ingest\",status=\"4xx\"} 1",
            "replayd_http_requests_total{listener=\"ingest\",status=\"2xx\"} 0",
        ] {
            assert!(page.lines().any(|found| found == line), "no `{line}` in\n{page}");
        }
    }

    #[test]
    fn ends_of_replays_and_boots_that_wait_are_told() {
        let metrics = metrics();
        metrics.ends.count("restore", "refused", 4);
        let boot = |boot_id: &str, closed| Boot {
            cluster: "orders".to_owned(),
            boot_id: boot_id.to_owned(),
            seen_at: UnixMillis(1),
            closed,
        };
        let lines = |closed| {
            [
                "replayd_replays_ended_total{kind=\"restore\",state=\"refused\",exit_code=\"4\"} 1".to_owned(),
                format!("replayd_boots_closed{{cluster=\"orders\"}} {closed}"),
            ]
        };
        for (closed, shown) in [(true, 1), (false, 0)] {
            metrics.tell_boots(&[boot("b2", closed)]);
            let page = metrics.text().unwrap();
            for line in lines(shown) {
                assert!(page.lines().any(|found| found == line), "no `{line}` in\n{page}");
            }
        }
    }

    #[test]
    fn classes_end_where_the_next_begins() {
        let classes = [299, 300, 399, 400, 499, 500].map(|status| class(StatusCode::from_u16(status).unwrap()));
        assert_eq!(classes, ["2xx", "3xx", "3xx", "4xx", "4xx", "5xx"]);
    }
}
