//! Restores by itself what a proxy saw restart, where a target says so.

use crate::app::boots::newest;
use crate::app::replays::{Course, Kind, ReplayError, ReplaySpec, Replays};
use crate::clock::Stopwatch;
use crate::store::Boot;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::time::Duration;
use tokio::time;

/// How often it is looked whether a restore has to be begun, or broke off.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Longest pause before a restore that broke off is resumed; it grows with every time.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What was tried for one target and boot.
struct Tried {
    /// The restore that was begun.
    replay: Option<i64>,
    /// Whether nothing more is tried: it is over, or left to people.
    is_left: bool,
    /// How long it has to run, or to rest, before it is resumed again.
    pause: Duration,
    since: Stopwatch,
}

/// Watches boots until `stop`.
pub(crate) async fn run(replays: Replays, stop: impl Future<Output = ()>) {
    let mut boots = replays.parts().boots.watch();
    let mut tried = BTreeMap::new();
    let mut warned = BTreeSet::new();
    tokio::pin!(stop);
    loop {
        let known = boots.borrow_and_update().clone();
        let mut is_again = false;
        for boot in newest(&known).into_iter().filter(|boot| boot.closed) {
            warn_of_nobody(&replays, &boot, &mut warned);
            is_again |= !restore(&replays, &boot, &mut tried).await;
        }
        tokio::select! {
            () = &mut stop => return,
            changed = boots.changed() => if changed.is_err() { return },
            () = time::sleep(LOOK_EVERY), if is_again => {}
        }
    }
}

/// Warns once of a closed boot whose gate no restore opens.
fn warn_of_nobody(replays: &Replays, boot: &Boot, warned: &mut BTreeSet<(String, String)>) {
    let mut targets = replays.parts().targets.values();
    if targets.all(|target| target.cluster.as_ref() != Some(&boot.cluster))
        && warned.insert((boot.cluster.clone(), boot.boot_id.clone()))
    {
        tracing::warn!(
            cluster = boot.cluster,
            boot_id = boot.boot_id,
            "no target in replayd.toml names this cluster: its boot gate stays closed until a restore by URL, or `replayd boots \
             open`"
        );
    }
}

/// Warns of a boot that stays closed although a restore came to rest, and of what goes on.
async fn warn_of_left(replays: &Replays, boot: &Boot) -> Result<(), ReplayError> {
    let newest = replays.parts().boots.newest();
    let is_closed = newest.iter().any(|newest| newest == boot && newest.closed);
    let Some(last) = replays.last_of(boot).await?.filter(|_| is_closed) else {
        return Ok(());
    };
    tracing::warn!(
        cluster = boot.cluster,
        boot_id = boot.boot_id,
        replay = last.replay,
        state = last.state.name(),
        detail = last.detail,
        next = last.next,
        "this boot is not restored, and nothing more is tried by itself: filters with a boot gate refuse mutations until \
         somebody acts"
    );
    Ok(())
}

/// Takes care of the targets that are this cluster; tells whether nothing is left to do for any of them.
async fn restore(replays: &Replays, boot: &Boot, tried: &mut BTreeMap<(String, String), Tried>) -> bool {
    let targets = replays.parts().targets.iter();
    let wanted = targets.filter(|(_, target)| target.auto_restore && target.cluster.as_ref() == Some(&boot.cluster));
    let mut is_all = true;
    for (name, _) in wanted {
        let this = (name.clone(), boot.boot_id.clone());
        let tried = tried.entry(this).or_insert_with(Tried::nothing);
        if !tried.is_left
            && let Err(error) = tried.go_on(replays, name, boot).await
        {
            let error = &error as &dyn Error;
            tracing::warn!(target = name, error, "cannot restore yet");
        }
        is_all &= tried.is_left;
    }
    is_all
}

impl Tried {
    fn nothing() -> Self {
        Self {
            replay: None,
            is_left: false,
            pause: LOOK_EVERY,
            since: Stopwatch::start(),
        }
    }

    /// Begins the restore, and resumes it when it breaks off, until it is over or people have to look.
    async fn go_on(&mut self, replays: &Replays, name: &str, boot: &Boot) -> Result<(), ReplayError> {
        let boot_id = boot.boot_id.as_str();
        let Some(id) = self.replay else {
            self.replay = begin(replays, name, boot_id).await?;
            self.since = Stopwatch::start();
            tracing::info!(target = name, boot_id, replay = self.replay, "restoring");
            return self.leave_if(self.replay.is_none(), replays, boot).await;
        };
        match replays.course(id).await? {
            Course::Broke if self.since.elapsed() >= self.pause => {
                self.pause = self.pause.saturating_mul(2).min(PAUSE_MAX);
                self.since = Stopwatch::start();
                let is_resumed = resume(replays, id).await?;
                tracing::info!(target = name, boot_id, replay = id, is_resumed, "the restore broke off");
                self.leave_if(!is_resumed, replays, boot).await?;
            }
            Course::Broke | Course::Runs => {}
            Course::Stopped | Course::Over => self.leave_if(true, replays, boot).await?,
        }
        Ok(())
    }

    async fn leave_if(&mut self, is_left: bool, replays: &Replays, boot: &Boot) -> Result<(), ReplayError> {
        if is_left {
            warn_of_left(replays, boot).await?;
        }
        self.is_left = is_left;
        Ok(())
    }
}

/// Begins the restore of this boot, or goes on with the one that broke off; none if people have to look.
///
/// One that stopped at what differed, or that somebody stopped, is left to them.
pub(super) async fn begin(replays: &Replays, name: &str, boot_id: &str) -> Result<Option<i64>, ReplayError> {
    match replays.last_restore(name, boot_id).await? {
        Some((id, Course::Runs)) => Ok(Some(id)),
        Some((id, Course::Broke)) => Ok(resume(replays, id).await?.then_some(id)),
        Some((_, Course::Stopped)) => Ok(None),
        Some((_, Course::Over)) | None => {
            let spec = ReplaySpec {
                kind: Kind::Restore,
                target: name.to_owned(),
                ..ReplaySpec::default()
            };
            replays.start(spec, "replayd").await.map(Some)
        }
    }
}

/// Resumes a restore; tells whether it may go on where its target is now.
async fn resume(replays: &Replays, id: i64) -> Result<bool, ReplayError> {
    match replays.resume(id, None).await {
        Err(ReplayError::Refused { .. } | ReplayError::Invalid { .. }) => Ok(false),
        resumed => resumed.map(|()| true),
    }
}
