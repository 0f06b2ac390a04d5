//! Whether a replay that was stopped may still go on where it goes: the configuration may have changed since.

use super::{Kind, Progress, ReplayError, Replays, origin, path};
use crate::config::{Target, base};
use crate::store::ReplayRow;
use reprise_core::replay::step::is_safe;

/// Steps that are looked at together.
const STEPS_AT_ONCE: u32 = 2000;

impl Replays {
    /// Checks that a replay's target is where it was, and may still be changed.
    ///
    /// # Errors
    /// [`ReplayError::Refused`], or [`ReplayError::Invalid`] if there is no such target any more.
    pub(super) async fn check_place(&self, row: &ReplayRow, progress: &Progress) -> Result<(), ReplayError> {
        let spec = self.kept(&row.replay.spec)?;
        let target = self.target(&spec)?;
        if is_elsewhere(&target, row, progress) {
            let why = format!(
                "the target {} was {} when this began, and is {} now: start a new one",
                spec.target, progress.url, target.url
            );
            return Err(ReplayError::Refused { why });
        }
        let Some(why) = self.refusal(&spec, &target, true) else {
            return Ok(());
        };
        if spec.kind == Kind::Restore || self.mutates(row.id).await? {
            return Err(ReplayError::Refused { why });
        }
        Ok(())
    }

    /// Tells whether a step of a plan is a mutation; a plan that is not made yet is judged when it is.
    async fn mutates(&self, id: i64) -> Result<bool, ReplayError> {
        let mut from = 0;
        loop {
            let rows = self.parts.store.steps(id, from, STEPS_AT_ONCE).await?;
            let Some(last) = rows.last() else { return Ok(false) };
            if rows.iter().any(|row| !is_safe(row.step.method.as_bytes())) {
                return Ok(true);
            }
            from = last.step.at.saturating_add(1);
        }
    }
}

fn is_elsewhere(target: &Target, row: &ReplayRow, progress: &Progress) -> bool {
    let is_other_path = base(&progress.url).is_ok_and(|began| path(&began) != path(&target.url));
    is_other_path || origin(&target.url) != row.replay.target
}
