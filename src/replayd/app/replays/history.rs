//! Which restores a boot had: what the last one came to, and since when the boot is whole.

use super::{Course, Kind, Progress, ReplayError, ReplaySpec, ReplayState, ReplayView, Replays, progress_of};
use crate::clock::UnixMillis;
use crate::store::{Boot, ReplayRow, TargetBoot};
use std::ops::ControlFlow;

/// Replays that are looked at together.
const LOOKED_AT: u32 = 100;
/// Numbers of captures that are told in a line.
const NAMED_MAX: usize = 20;

/// The last restore of a boot that was to bring back everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LastRestore {
    /// Its number.
    pub(crate) replay: i64,
    /// What became of it.
    pub(crate) state: ReplayState,
    /// Why.
    pub(crate) detail: String,
    /// The command that goes on.
    pub(crate) next: String,
}

impl From<ReplayView> for LastRestore {
    fn from(view: ReplayView) -> Self {
        Self {
            next: next(&view),
            replay: view.id,
            state: view.state,
            detail: view.detail,
        }
    }
}

/// Tells which command goes on with a restore, or begins it anew.
fn next(view: &ReplayView) -> String {
    let (id, target) = (view.id, &view.target);
    if view.state.holds() || view.state == ReplayState::Interrupted {
        return format!("replayd replays resume {id}");
    }
    let yes = if view.spec.yes { " --yes" } else { "" };
    let keep = if view.is_stopped_by_early() {
        " --on-early keep"
    } else {
        ""
    };
    format!("replayd restore --target {target}{yes}{keep}")
}

impl ReplayView {
    fn is_stopped_by_early(&self) -> bool {
        self.state == ReplayState::Refused && !self.early.is_empty()
    }
}

impl Progress {
    /// Tells whether a restore that ended in `state` brought back everything that `cluster` was asked, however often it
    /// was tried.
    pub(crate) fn is_whole(&self, spec: &ReplaySpec, state: ReplayState, cluster: Option<&str>) -> bool {
        spec.is_whole_restore(cluster)
            // Whoever was asked may have left something out.
            && !(spec.interactive && self.counts.skipped > 0)
            && state == ReplayState::Finished
            && self.missing == 0
            && !self.boot_id.is_empty()
    }
}

impl Replays {
    /// Finds the last whole restore of a boot that was begun for `target`.
    pub(crate) async fn last_restore(&self, target: &str, boot_id: &str) -> Result<Option<(i64, Course)>, ReplayError> {
        let cluster = self.cluster(target);
        let is_it =
            |view: &ReplayView| view.spec.is_whole_restore(cluster) && view.target == target && view.boot_id == boot_id;
        let found = self.last(is_it).await?;
        Ok(found.map(|(row, _)| (row.id, self.course_of(&row))))
    }

    /// Finds the last whole restore of a boot, whatever target it was begun for.
    pub(crate) async fn last_of(&self, boot: &Boot) -> Result<Option<LastRestore>, ReplayError> {
        let cluster = Some(boot.cluster.as_str());
        let is_it = |view: &ReplayView| view.spec.is_whole_restore(cluster) && view.boot_id == boot.boot_id;
        Ok(self.last(is_it).await?.map(|(_, view)| view.into()))
    }

    /// Tells since when a boot has everything; what clients do afterwards is not early.
    pub(super) async fn whole_since(&self, boot: &TargetBoot) -> Result<Option<UnixMillis>, ReplayError> {
        let mut first = None;
        let see = |row: &ReplayRow| {
            if self.made_whole(row, boot) {
                first = progress_of(row).ended_ms.map(UnixMillis);
            }
            ControlFlow::Continue(())
        };
        self.each(see).await?;
        Ok(first)
    }

    fn made_whole(&self, row: &ReplayRow, boot: &TargetBoot) -> bool {
        let (view, progress) = (self.view(row), progress_of(row));
        let is_there = boot.target.is_empty() || boot.target == row.replay.target;
        view.kind == Kind::Restore
            && is_there
            && progress.boot_id == boot.boot_id
            && progress.is_whole(&view.spec, view.state, self.cluster(&view.target))
    }

    fn cluster(&self, target: &str) -> Option<&str> {
        self.parts.targets.get(target)?.cluster.as_deref()
    }

    async fn last(&self, is_it: impl Fn(&ReplayView) -> bool) -> Result<Option<(ReplayRow, ReplayView)>, ReplayError> {
        let mut found = None;
        let see = |row: &ReplayRow| {
            let view = self.view(row);
            if !is_it(&view) {
                return ControlFlow::Continue(());
            }
            found = Some((row.clone(), view));
            ControlFlow::Break(())
        };
        self.each(see).await?;
        Ok(found)
    }

    /// Shows all replays, the newest first, until that is enough.
    async fn each(&self, mut see: impl FnMut(&ReplayRow) -> ControlFlow<()>) -> Result<(), ReplayError> {
        let mut before = None;
        loop {
            let rows = self.parts.store.replays(before, LOOKED_AT).await?;
            if rows.iter().any(|row| see(row).is_break()) {
                return Ok(());
            }
            before = rows.last().map(|row| row.id);
            if before.is_none() {
                return Ok(());
            }
        }
    }
}

/// Names captures, those after the first twenty only by their count.
pub(crate) fn named(ids: &[i64]) -> String {
    let (shown, others) = ids.split_at(ids.len().min(NAMED_MAX));
    let shown: Vec<_> = shown.iter().map(ToString::to_string).collect();
    let noun = if ids.len() == 1 { "capture" } else { "captures" };
    let more = match others.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{noun} {}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captures_are_named_by_their_numbers() {
        assert_eq!(named(&[5]), "capture 5");
        assert_eq!(named(&[5, 7]), "captures 5, 7");
        let many: Vec<_> = (1..=22).collect();
        assert!(named(&many).ends_with("19, 20 and 2 more"), "{}", named(&many));
    }
}
