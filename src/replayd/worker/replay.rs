//! Drives replays: takes those that are started or resumed, runs each in a task of its own, and takes it to rest.

mod drive;
mod judge;
mod pacer;
mod prepare;
mod send;
mod spread;
#[cfg(test)]
mod tests;

use crate::app::replays::{Live, Meant, Order, Progress, ReplayError, ReplaySpec, ReplayState, Replays, exit, origin};
use crate::config::Target;
use crate::connector::Connector;
use crate::metrics::Ends;
use crate::store::{ReplayRow, TargetBoot};
use std::error::Error as _;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time;

/// How long to wait before an end that could not be written down is written again.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// One replay that is driven.
pub(super) struct Job {
    replays: Replays,
    /// The key of signatures.
    key: [u8; 32],
    id: i64,
    spec: ReplaySpec,
    meant: Meant,
    target: Target,
    connector: Connector,
    /// The boot that is restored, once it is known.
    boot: TargetBoot,
    live: Live,
    orders: UnboundedReceiver<Order>,
    state: ReplayState,
    progress: Progress,
}

/// How a replay comes to rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    state: ReplayState,
    exit_code: u8,
    detail: String,
    /// Whether it stops only because replayd does.
    is_cut: bool,
}

impl End {
    const fn new(state: ReplayState, exit_code: u8, detail: String) -> Self {
        Self {
            state,
            exit_code,
            detail,
            is_cut: false,
        }
    }

    fn drained() -> Self {
        let detail = "replayd stopped while it ran".to_owned();
        Self {
            is_cut: true,
            ..Self::new(ReplayState::Interrupted, exit::INTERRUPTED, detail)
        }
    }

    fn interrupted() -> Self {
        Self::new(ReplayState::Interrupted, exit::INTERRUPTED, "interrupted".to_owned())
    }

    fn cancelled() -> Self {
        Self::new(ReplayState::Cancelled, exit::INTERRUPTED, "cancelled".to_owned())
    }
}

impl From<ReplayError> for End {
    /// What is not in the store did not happen: the replay stops where it is, and can be resumed.
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Refused { why } => Self::new(ReplayState::Refused, exit::REFUSED, why),
            other => Self::new(ReplayState::Interrupted, exit::INTERRUPTED, told(&other)),
        }
    }
}

fn told(error: &ReplayError) -> String {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}

/// Drives replays until `stop`; then stops them so that they can be resumed, and waits for what is out.
///
/// # Errors
/// If the store does not tell what to drive.
pub(crate) async fn run(
    replays: Replays,
    key: [u8; 32],
    ends: Ends,
    stop: impl Future<Output = ()>,
) -> Result<(), ReplayError> {
    let mut running = JoinSet::new();
    let (stopping, going) = watch::channel(());
    tokio::pin!(stop);
    loop {
        for taken in replays.take().await? {
            running.spawn(drive(replays.clone(), key, ends.clone(), taken, going.clone()));
        }
        tokio::select! {
            () = replays.woken() => {}
            () = &mut stop => break,
            Some(_ended) = running.join_next() => {}
        }
    }
    drop(stopping);
    replays.drain_all();
    while running.join_next().await.is_some() {}
    Ok(())
}

type Taken = (ReplayRow, Live, UnboundedReceiver<Order>);

async fn drive(replays: Replays, key: [u8; 32], ends: Ends, (row, live, orders): Taken, going: watch::Receiver<()>) {
    let (id, (_, mut progress)) = (row.id, live.seen());
    let mut opens = Vec::new();
    let end = match job(&replays, key, &row, &live, orders) {
        Ok(mut job) => {
            let end = job.run().await.unwrap_or_else(|end| end);
            opens = job.opens(&end);
            progress = job.progress;
            end
        }
        Err(error) => End::new(ReplayState::Failed, exit::REFUSED, told(&error)),
    };
    tracing::info!(
        replay = id,
        state = end.state.name(),
        exit_code = end.exit_code,
        "replay at rest"
    );
    progress.detail = end.detail;
    progress.exit_code = Some(end.exit_code);
    progress.is_cut = end.is_cut;
    progress.question = None;
    progress.eta_s = None;
    progress.ended_ms = Some(replays.parts().clock.now().0);
    let rest = Rest {
        state: end.state,
        progress,
        opens,
    };
    if rest.settle(&replays, id, &live, going).await {
        ends.count(replays.kind(&row), rest.state.name(), end.exit_code);
        replays.leave(id);
    }
}

/// What is written down of a replay's end.
struct Rest {
    state: ReplayState,
    progress: Progress,
    /// The clusters and boots whose gates open.
    opens: Vec<(String, String)>,
}

impl Rest {
    /// Writes it down, and tries again until that is done; tells whether it is before replayd stops.
    async fn settle(&self, replays: &Replays, id: i64, live: &Live, mut going: watch::Receiver<()>) -> bool {
        while let Err(error) = self.write(replays, id).await {
            tracing::error!(
                replay = id,
                error = &error as &dyn std::error::Error,
                "the replay's end is not written down yet"
            );
            let (state, mut shown) = live.seen();
            shown.detail = format!("it has ended, but that cannot be written down: {}", told(&error));
            live.show(state, shown);
            tokio::select! {
                () = time::sleep(AGAIN_AFTER) => {}
                // It is taken to rest when replayd starts again.
                _ = going.changed() => return false,
            }
        }
        true
    }

    async fn write(&self, replays: &Replays, id: i64) -> Result<(), ReplayError> {
        let parts = replays.parts();
        for (cluster, boot_id) in &self.opens {
            parts.boots.open(cluster, boot_id, parts.clock.now()).await?;
        }
        // Shown from the store, so that whoever sees it at rest can resume it.
        replays.rest(id, self.state, &self.progress).await
    }
}

fn job(
    replays: &Replays,
    key: [u8; 32],
    row: &ReplayRow,
    live: &Live,
    orders: UnboundedReceiver<Order>,
) -> Result<Job, ReplayError> {
    let spec = replays.kept(&row.replay.spec)?;
    let target = replays.target(&spec)?;
    let (state, progress) = live.seen();
    Ok(Job {
        replays: replays.clone(),
        key,
        id: row.id,
        meant: spec.meant_at(&target)?,
        connector: replays.connector(&target, spec.yes).clone(),
        boot: TargetBoot {
            target: origin(&target.url),
            boot_id: String::new(),
        },
        target,
        spec,
        live: live.clone(),
        orders,
        state,
        progress,
    })
}
