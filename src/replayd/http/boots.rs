//! `/api/v1/boots`: which boot of each upstream cluster is known, and its gate.

use super::access::{Admin, Viewer};
use super::answer::{self, Page};
use super::input::Query;
use super::openapi::ProblemBody;
use super::{Console, error};
use crate::app::access::Who;
use crate::app::replays::{LastRestore, ReplayState};
use crate::problem::Problem;
use crate::store::Boot;
use ::http::HeaderMap;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

/// The newest boot of an upstream cluster.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BootView {
    /// The cluster, as the proxy names it.
    cluster: String,
    /// What `Reprise-Boot-Id` said.
    boot_id: String,
    /// When it was heard of: RFC 3339, UTC.
    seen: String,
    /// Whether nothing of it is missing: a restore brought everything back, an admin opened it, or it is the first boot that
    /// is known. Until then filters with `restore.boot_gate` refuse its mutations.
    restored: bool,
    /// The last restore that was to bring back everything, of a boot that is not restored.
    last_restore: Option<LastRestoreView>,
    /// The targets in replayd.toml that are this cluster; of none, no restore opens the gate.
    targets: Vec<String>,
}

/// A restore after which its boot is still not restored.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LastRestoreView {
    /// Its number.
    replay: i64,
    /// What became of it.
    state: ReplayState,
    /// Why.
    detail: String,
    /// The command that goes on.
    next: String,
}

impl From<LastRestore> for LastRestoreView {
    fn from(last: LastRestore) -> Self {
        Self {
            replay: last.replay,
            state: last.state,
            detail: last.detail,
            next: last.next,
        }
    }
}

/// Lists the newest boot of each cluster, by the clusters' names.
#[utoipa::path(get, path = "/api/v1/boots", tag = "boots", security(("token" = ["viewer"])),
    responses((status = 200, body = Page<BootView>), (status = 304)))]
pub(super) async fn list(
    _: Viewer,
    State(console): State<Console>,
    asked: HeaderMap,
    query: Query,
) -> Result<Response, Problem> {
    query.end()?;
    let mut items = Vec::new();
    for boot in console.replays.parts().boots.newest() {
        items.push(view(&console, boot).await?);
    }
    answer::json(&asked, &Page { items, next: None })
}

/// Opens the gate of a cluster's newest boot by hand: nothing is sent, and clients are let in as it is.
#[utoipa::path(post, path = "/api/v1/boots/{name}/open", tag = "boots", security(("token" = ["admin"])),
    params(("name" = String, Path, description = "the cluster")),
    responses((status = 200, body = BootView), (status = 404, body = ProblemBody)))]
pub(super) async fn open(
    Admin(who): Admin,
    State(console): State<Console>,
    Path(cluster): Path<String>,
    query: Query,
) -> Result<Response, Problem> {
    query.end()?;
    let newest = console.replays.parts().boots.newest();
    let boot = newest.into_iter().find(|boot| boot.cluster == cluster);
    let missing = || error::missing(format!("no boot of a cluster `{}` is known", cluster.escape_debug()));
    let boot = opened(&console, &who, boot.ok_or_else(missing)?).await?;
    answer::json(&HeaderMap::new(), &view(&console, boot).await?)
}

async fn opened(console: &Console, who: &Who, boot: Boot) -> Result<Boot, Problem> {
    let now = console.clock.now();
    let detail = json!({ "cluster": boot.cluster, "boot_id": boot.boot_id }).to_string();
    let begun = console.access.begin(who, "boots.open", detail, now).await?;
    let boots = &console.replays.parts().boots;
    let done = boots.open(&boot.cluster, &boot.boot_id, now).await;
    let outcome = match &done {
        Ok(()) => "opened".to_owned(),
        Err(error) => format!("failed: {error}"),
    };
    console.access.end(begun, outcome).await;
    done?;
    Ok(Boot { closed: false, ..boot })
}

async fn view(console: &Console, boot: Boot) -> Result<BootView, Problem> {
    let last = match boot.closed {
        true => console.replays.last_of(&boot).await?,
        false => None,
    };
    let targets = console.replays.parts().targets.iter();
    let is_it = |cluster: Option<&String>| cluster == Some(&boot.cluster);
    Ok(BootView {
        targets: targets
            .filter(|(_, target)| is_it(target.cluster.as_ref()))
            .map(|(name, _)| name.clone())
            .collect(),
        cluster: boot.cluster,
        boot_id: boot.boot_id,
        seen: boot.seen_at.to_rfc3339(),
        restored: !boot.closed,
        last_restore: last.map(Into::into),
    })
}

#[cfg(test)]
mod tests {
    use crate::clock::UnixMillis;
    use crate::http::tests::Daemon;
    use reprise_core::wire;
    use serde_json::json;

    /// A daemon that heard of a restart of `upstream`.
    async fn restarted() -> Daemon {
        let daemon = Daemon::start().await;
        let boot = wire::Boot {
            cluster: "upstream".into(),
            boot_id: "b2".into(),
            before: "b1".into(),
        };
        let boots = &daemon.console.replays.parts().boots;
        boots.seen(&boot, UnixMillis(1000)).await.unwrap();
        daemon
    }

    #[tokio::test]
    async fn a_gate_is_opened_by_hand_and_that_is_audited() {
        let daemon = restarted().await;
        let closed = json!({"cluster": "upstream", "boot_id": "b2", "seen": "1970-01-01T00:00:01.000Z",
            "restored": false, "last_restore": null, "targets": []});
        let listed = daemon.ask("GET", "/api/v1/boots", None).await;
        assert_eq!(listed.json()["items"], json!([closed]));
        let opened = daemon.ask("POST", "/api/v1/boots/upstream/open", None).await;
        assert_eq!(
            (opened.status.as_u16(), &opened.json()["restored"]),
            (200, &json!(true))
        );
        let listed = daemon.ask("GET", "/api/v1/boots", None).await;
        assert_eq!(listed.json()["items"][0]["restored"], true);
        let audit = daemon.ask("GET", "/api/v1/audit", None).await.json();
        let row = &audit["items"][0];
        assert_eq!(
            (&row["action"], &row["outcome"]),
            (&json!("boots.open"), &json!("opened"))
        );
        assert_eq!(row["detail"], json!({"cluster": "upstream", "boot_id": "b2"}));
    }

    #[tokio::test]
    async fn a_cluster_that_nobody_told_of_has_no_gate() {
        let told = restarted().await.ask("POST", "/api/v1/boots/orders/open", None).await;
        assert!(told.refused(404, "not-found").contains("orders"));
    }
}
