//! Planning and starting: where a replay goes, what it would send, and why it may not.

use super::{
    Chosen, Kind, Look, OnDoubt, OnMismatch, PlanStep, PlanView, Progress, ReplayError, ReplaySpec, ReplayState,
    Replays, Restoring, Selection, count, look, named, origin, reach, select, target, to_json,
};
use crate::clock::UnixMillis;
use crate::config::{OnEarly, Target};
use crate::connector::{Connector, Reach};
use crate::store::{Boot, NewReplay, TargetBoot};
use reprise_core::replay::compact::Rule;
use reprise_core::replay::step::is_safe;

/// Steps that a plan shows.
const PLAN_STEPS_MAX: usize = 1000;

impl Replays {
    /// Works out what `spec` would do, and sends nothing but the probe for the target's boot.
    pub(crate) async fn plan(&self, spec: &ReplaySpec) -> Result<PlanView, ReplayError> {
        let target = self.target(spec)?;
        let meant = spec.meant_at(&target)?;
        let nothing = self.about_nothing(spec, &meant).await?;
        let (boot, unknown) = match spec.kind {
            Kind::Replay => (None, None),
            Kind::Restore => {
                let look = look(self.connector(&target, spec.yes), &target).await;
                let restoring = async {
                    let identified = self.identify(spec, &target, &look)?;
                    self.restoring(spec, &target, identified, None).await
                };
                match restoring.await {
                    Ok(boot) => (Some(boot), None),
                    Err(ReplayError::Refused { why }) => (None, Some(why)),
                    Err(error) => return Err(error),
                }
            }
        };
        let mut selection = select(&*self.parts.captures, &meant, boot.as_ref(), rules(spec, &target)).await?;
        let early = refuse_restore(spec, &target, &selection);
        let withheld = selection.withhold();
        let stops = spec.kind == Kind::Restore && meant.on_mismatch == OnMismatch::Stop;
        let is_mutation = |chosen: &&Chosen| !is_safe(chosen.method.as_bytes());
        let mutations = selection.sends.iter().filter(is_mutation).count();
        let refusal = self.refusal(spec, &target, mutations > 0);
        let steps = selection.sends.iter().take(PLAN_STEPS_MAX).map(|chosen| PlanStep {
            capture: chosen.id.0,
            method: chosen.method.clone(),
            target: chosen.target.clone(),
            status: chosen.status,
        });
        Ok(PlanView {
            kind: spec.kind,
            target: spec.target.clone(),
            url: target.url.to_string(),
            mode: spec.mode(),
            boot_id: boot.map(|boot| boot.boot_id).unwrap_or_default(),
            captures: selection.captures,
            sends: count(selection.sends.len()),
            mutations: count(mutations),
            refusal: refusal.or(unknown).or(early).or(nothing),
            steps: steps.collect(),
            stops_at: withheld.first().filter(|_| stops).map(|(first, _)| first.id.0),
            withheld: withheld.into_iter().take(PLAN_STEPS_MAX).map(Into::into).collect(),
            left_out: selection.left_out,
            early: selection.early,
        })
    }

    /// Starts a replay in the name of `by`, and gives its number.
    ///
    /// Atomic: it has the target's lease when it exists.
    ///
    /// # Errors
    /// [`ReplayError::Invalid`], [`ReplayError::Filter`], [`ReplayError::Refused`] or [`ReplayError::Busy`]; nothing was
    /// created then.
    pub(crate) async fn start(&self, spec: ReplaySpec, by: &str) -> Result<i64, ReplayError> {
        let target = self.target(&spec)?;
        let meant = spec.meant_at(&target)?;
        if let Some(why) = self.about_nothing(&spec, &meant).await? {
            return Err(ReplayError::Refused { why });
        }
        if self.refusal(&spec, &target, true).is_some() {
            let boot = None;
            let selection = select(&*self.parts.captures, &meant, boot, &[]).await?;
            let mutates = selection.sends.iter().any(|chosen| !is_safe(chosen.method.as_bytes()));
            if let Some(why) = self.refusal(&spec, &target, mutates || spec.kind == Kind::Restore) {
                return Err(ReplayError::Refused { why });
            }
        }
        let progress = Progress {
            url: target.url.to_string(),
            ..Progress::default()
        };
        let new = NewReplay {
            target: origin(&target.url),
            state: ReplayState::Planned.name().to_owned(),
            spec: self.keep(&spec)?,
            progress: to_json(&progress)?,
            by: by.to_owned(),
            created_at: self.parts.clock.now(),
        };
        let created = self.parts.store.create(new).await?;
        let id = created.map_err(|by| ReplayError::Busy {
            target: origin(&target.url),
            by,
        })?;
        self.wake.notify_one();
        Ok(id)
    }

    /// Finds where a spec goes.
    pub(crate) fn target(&self, spec: &ReplaySpec) -> Result<Target, ReplayError> {
        target::resolve(&self.parts.targets, &spec.target)
    }

    /// Picks who dials.
    pub(crate) fn connector(&self, target: &Target, yes: bool) -> &Connector {
        match reach(target, yes) {
            Reach::Public => &self.parts.outside,
            Reach::Anywhere => &self.parts.anywhere,
        }
    }

    /// Tells why a replay may not run; none if it may.
    pub(crate) fn refusal(&self, spec: &ReplaySpec, target: &Target, mutates: bool) -> Option<String> {
        let refused = mutates && !target.allowed && !spec.yes;
        // A URL may have a target's place by any name.
        let name = Some(&spec.target).filter(|name| self.parts.targets.contains_key(*name));
        let name = name.map_or("NAME", String::as_str);
        refused.then(|| {
            format!(
                "{} is not an allowed target, and something would be changed there: say `allowed = true` in \
                 [targets.{name}], or --yes",
                spec.target
            )
        })
    }

    /// Finds out which boot is to be restored.
    ///
    /// Where the target shows none, the name that somebody gave counts, and then the boot that a proxy saw.
    ///
    /// # Errors
    /// [`ReplayError::Refused`] if nobody can tell which boot it is: it could have everything already.
    pub(crate) fn identify(&self, spec: &ReplaySpec, target: &Target, look: &Look) -> Result<Identified, ReplayError> {
        let of_cluster = target.cluster.as_ref().and_then(|cluster| {
            let newest = self.parts.boots.newest();
            newest.into_iter().find(|boot| boot.cluster == *cluster)
        });
        let origin = origin(&target.url);
        let (named, shown) = (spec.boot_id.as_ref(), Some(&look.boot_id).filter(|id| !id.is_empty()));
        let boot_id = match (named, shown, &of_cluster) {
            (Some(named), Some(shown), _) if named != shown => {
                let why = format!("{origin} shows the boot id {shown}, and not {named}: leave it out");
                return Err(ReplayError::Refused { why });
            }
            (_, Some(shown), _) => shown,
            (Some(named), None, Some(boot)) if *named != boot.boot_id => return Err(other_boot(named, boot)),
            (Some(named), None, _) => named,
            (None, None, Some(boot)) => &boot.boot_id,
            (None, None, None) => return Err(unknown_boot(&origin)),
        };
        let heard = of_cluster.as_ref().filter(|boot| boot.boot_id == *boot_id);
        let is_header = heard.is_some() || (shown.is_some() && look.is_header);
        Ok(Identified {
            boot: TargetBoot {
                // What a process shows in its responses names it alone; any other name does so only where it was given.
                target: if is_header { String::new() } else { origin },
                boot_id: boot_id.clone(),
            },
            heard_at: heard.map(|boot| boot.seen_at),
        })
    }

    /// Finds out what is known of the boot that is to be restored.
    pub(crate) async fn restoring(
        &self,
        spec: &ReplaySpec,
        target: &Target,
        identified: Identified,
        in_doubt: Option<OnDoubt>,
    ) -> Result<Restoring, ReplayError> {
        let Identified { boot, heard_at } = identified;
        let heard_at = heard_at.unwrap_or_else(|| self.parts.clock.now());
        let seen_at = self.parts.store.boot_seen(boot.clone(), heard_at).await?;
        Ok(Restoring {
            boot_id: boot.boot_id.clone(),
            seen_at,
            whole_since: self.whole_since(&boot).await?,
            ledger: self.parts.store.restored(boot).await?,
            on_doubt: in_doubt.or(spec.in_doubt).map(OnDoubt::meant),
            honours_keys: target.honours_keys,
        })
    }
}

/// The boot that is to be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identified {
    /// Whose ledger it is.
    pub(crate) boot: TargetBoot,
    /// When a proxy saw it first; none = no proxy did.
    heard_at: Option<UnixMillis>,
}

/// Refuses a boot by another name than the proxies know: its gate would stay closed.
fn other_boot(named: &str, boot: &Boot) -> ReplayError {
    ReplayError::Refused {
        why: format!(
            "the newest boot of {} that Envoy saw is {}, and not {named}: leave --boot-id out",
            boot.cluster, boot.boot_id
        ),
    }
}

/// Refuses a restore without a boot: sent again, everything could act twice.
fn unknown_boot(origin: &str) -> ReplayError {
    ReplayError::Refused {
        why: format!(
            "nobody tells which boot of {origin} this is, so it may have everything already: give its target in \
             [targets.NAME] a `probe` that tells the boot id, or the `cluster` that it is behind Envoy, or name its boot with --boot-id"
        ),
    }
}

/// Picks what a replay need not send; only a restore is about the state and not about the requests.
pub(crate) fn rules<'a>(spec: &ReplaySpec, target: &'a Target) -> &'a [Rule] {
    match spec.kind {
        Kind::Restore => &target.rules,
        Kind::Replay => &[],
    }
}

/// Tells why a restore does not go on: clients changed the new boot before it, or nobody knows what the boot has.
pub(crate) fn refuse_restore(spec: &ReplaySpec, target: &Target, selection: &Selection) -> Option<String> {
    let stops = spec.on_early.unwrap_or(target.on_early) == OnEarly::Stop
        && !selection.early.is_empty()
        && !selection.sends.is_empty();
    if let Some(first) = selection.in_doubt.first() {
        return Some(format!(
            "an earlier restore of this boot sent capture {first}, and no answer told whether it ran ({} such captures): \
             look, then resume it, or say --in-doubt skip or resend",
            selection.in_doubt.len()
        ));
    }
    stops.then(|| {
        format!(
            "clients changed the new boot before the restore ({}): --on-early keep restores the rest",
            early(&selection.early)
        )
    })
}

/// Counts and names early mutations.
fn early(ids: &[i64]) -> String {
    let mutations = if ids.len() == 1 { "mutation" } else { "mutations" };
    format!("{} early {mutations}: {}", ids.len(), named(ids))
}
