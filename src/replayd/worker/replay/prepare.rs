//! What happens before the first step: the target gets well, the plan is made and written down.

use super::{End, Job};
use crate::app::replays::{
    Kind, Order, ReplayError, ReplayState, Restoring, count, exit, look, refuse_restore, rules, select,
};
use crate::clock::Stopwatch;
use crate::store::{Boot, NewStep};
use reprise_core::replay::step::is_safe;
use std::time::Duration;
use tokio::time;

/// How often a target is looked at until it is well.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long a proxy may take to tell of the boot that it just saw.
const TOLD_WITHIN: Duration = Duration::from_millis(2500);
/// Steps that are written down together.
const STEPS_AT_ONCE: usize = 2000;

impl Job {
    /// Waits until the target of a restore is well, and finds out which boot it is.
    ///
    /// # Errors
    /// How the replay ends, if it does.
    pub(super) async fn pass_gate(&mut self) -> Result<Option<Restoring>, End> {
        if self.spec.kind == Kind::Replay {
            return Ok(None);
        }
        self.show(ReplayState::WaitingGate).await?;
        let since = Stopwatch::start();
        let shown = loop {
            let seen = look(&self.connector, &self.target).await;
            if seen.is_well {
                break seen;
            }
            if since.elapsed() >= self.meant.wait_gate {
                let waited_ms = self.meant.wait_gate.as_millis();
                let detail = format!("the target is not healthy after {waited_ms} ms: {}", seen.detail);
                return Err(End::new(ReplayState::Interrupted, exit::ERRORS, detail));
            }
            tokio::select! {
                order = self.orders.recv() => self.hear(order.as_ref())?,
                () = time::sleep(LOOK_EVERY) => {}
            }
        };
        if shown.boot_id.is_empty() {
            self.wait_for_word().await;
        }
        let identified = self.replays.identify(&self.spec, &self.target, &shown)?;
        self.boot = identified.boot.clone();
        self.hold_boot()?;
        let boot = self
            .replays
            .restoring(&self.spec, &self.target, identified, self.progress.in_doubt)
            .await?;
        let before = std::mem::replace(&mut self.progress.boot_id, boot.boot_id.clone());
        if self.progress.is_planned && before != self.progress.boot_id {
            let detail = "the target has restarted since this restore was planned: start a new one".to_owned();
            return Err(End::new(ReplayState::Failed, exit::REFUSED, detail));
        }
        Ok(Some(boot))
    }

    /// Makes sure that nobody else restores this boot.
    fn hold_boot(&self) -> Result<(), End> {
        self.replays.hold_boot(self.id, &self.boot).map_err(|busy| End {
            // Nobody decided against it: it goes on afterwards.
            is_cut: true,
            ..End::from(busy)
        })
    }

    /// Tells whether the proxies know the boot by this name, or will: a name of people's must not stand for a newer boot.
    pub(super) fn is_of_proxies(&self, cluster: &str, boot_id: &str) -> bool {
        let is_it = |boot: &Boot| boot.cluster == cluster && boot.boot_id == boot_id;
        self.boot.target.is_empty() || self.replays.parts().boots.newest().iter().any(is_it)
    }

    /// Gives the proxies time to tell of a new boot, where only they see it: the look went through one.
    async fn wait_for_word(&self) {
        let Some(cluster) = &self.target.cluster else { return };
        let mut boots = self.replays.parts().boots.watch();
        let is_closed = |known: &std::sync::Arc<Vec<Boot>>| {
            let last = known.iter().rev().find(|boot| boot.cluster == *cluster);
            last.is_some_and(|boot| boot.closed)
        };
        // Without word the boot that is known counts: nothing that it has is sent to it again.
        let _told = time::timeout(TOLD_WITHIN, boots.wait_for(is_closed)).await;
    }

    /// Works out the steps and writes them down.
    ///
    /// Again: a plan that is written down stays as it is.
    ///
    /// # Errors
    /// How the replay ends, if it does.
    pub(super) async fn plan(&mut self, boot: Option<&Restoring>) -> Result<(), End> {
        if self.progress.is_planned {
            return Ok(());
        }
        self.show(ReplayState::Planned).await?;
        let selection = select(
            &*self.replays.parts().captures,
            &self.meant,
            boot,
            rules(&self.spec, &self.target),
        )
        .await;
        let selection = selection.map_err(ReplayError::Store)?;
        let mutates = selection.sends.iter().any(|chosen| !is_safe(chosen.method.as_bytes()));
        let refusal = self.replays.refusal(&self.spec, &self.target, mutates);
        let early = refuse_restore(&self.spec, &self.target, &selection);
        self.progress.early.clone_from(&selection.early);
        self.progress.left_out.clone_from(&selection.left_out);
        if let Some(why) = refusal.or(early) {
            return Err(End::new(ReplayState::Refused, exit::REFUSED, why));
        }
        let planned = selection.steps();
        self.progress.counts.planned = count(planned.len());
        let mut at = 0_u64;
        for chunk in planned.chunks(STEPS_AT_ONCE) {
            let steps = chunk.iter().map(|chosen| {
                let place = at;
                at = at.saturating_add(1);
                NewStep {
                    at: place,
                    capture: chosen.id,
                    method: chosen.method.clone(),
                    target: chosen.target.clone(),
                    recorded_status: chosen.status,
                    item: chosen.item,
                }
            });
            let steps = steps.collect();
            let added = self.replays.parts().store.add_steps(self.id, steps).await;
            added.map_err(ReplayError::Store)?;
            while let Ok(order) = self.orders.try_recv() {
                self.hear(Some(&order))?;
            }
        }
        self.progress.is_planned = true;
        self.show(ReplayState::Planned).await
    }

    /// Listens to an order while nothing is out.
    ///
    /// # Errors
    /// How the replay ends, if it does.
    pub(super) fn hear(&self, order: Option<&Order>) -> Result<(), End> {
        match order {
            Some(Order::Drain) => Err(End::drained()),
            Some(Order::Interrupt) | None => Err(End::interrupted()),
            Some(Order::Cancel) => Err(End::cancelled()),
            Some(Order::Decide(..)) => Ok(()),
        }
    }

    /// Writes down and shows a state.
    pub(super) async fn show(&mut self, state: ReplayState) -> Result<(), End> {
        self.state = state;
        self.live.show(state, self.progress.clone());
        Ok(self.replays.rest(self.id, state, &self.progress).await?)
    }
}
