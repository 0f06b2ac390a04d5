//! A replay from its plan to its loop: what it needs is read, and what was known before is taken up.

use super::Run;
use crate::app::replays::{Kind, Mode, ReplayError, ReplayState, Restoring, exit, rules};
use crate::clock::Stopwatch;
use crate::config::Target;
use crate::store::StepRow;
use crate::store::captures::CaptureId;
use crate::worker::replay::judge::place_of;
use crate::worker::replay::pacer::Pacer;
use crate::worker::replay::send::Sender;
use crate::worker::replay::spread::Histogram;
use crate::worker::replay::{End, Job};
use reprise_core::replay::compare::Place;
use reprise_core::replay::schedule::Schedule;
use reprise_core::replay::variables::Variables;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use tokio::sync::{RwLock, mpsc};

/// Steps that are read together.
const STEPS_AT_ONCE: u32 = 2000;

impl Job {
    /// Runs the replay to its end.
    ///
    /// # Errors
    /// How it ends, if something goes wrong on the way.
    pub(in crate::worker::replay) async fn run(&mut self) -> Result<End, End> {
        self.progress.started_ms = Some(self.replays.parts().clock.now().0);
        self.progress.detail.clear();
        let boot = self.pass_gate().await?;
        self.plan(boot.as_ref()).await?;
        let mut run = self.begin(boot.as_ref()).await?;
        let ended = run.drive().await;
        run.show_times();
        Ok(run.conclude(ended?).await)
    }

    /// Tells which gates open at this end: only those of a boot that has everything, however often it was tried.
    pub(in crate::worker::replay) fn opens(&self, end: &End) -> Vec<(String, String)> {
        let is_whole = |cluster: &String| self.progress.is_whole(&self.spec, end.state, Some(cluster));
        let clusters = self.clusters().into_iter().filter(is_whole);
        clusters
            .map(|cluster| (cluster, self.progress.boot_id.clone()))
            .collect()
    }

    /// Finds the clusters whose boot this was: that of the target, else the one of which a proxy saw the id that it shows.
    fn clusters(&self) -> Vec<String> {
        let boot_id = &self.progress.boot_id;
        if let Some(cluster) = &self.target.cluster {
            let of_proxies = self.is_of_proxies(cluster, boot_id);
            return of_proxies.then(|| cluster.clone()).into_iter().collect();
        }
        // A name that people gave, or that only a body told, may be another boot's elsewhere.
        if !self.boot.target.is_empty() {
            return Vec::new();
        }
        let newest = self.replays.parts().boots.newest().into_iter();
        let seen: Vec<_> = newest.filter(|boot| boot.boot_id == *boot_id).collect();
        if seen.len() > 1 {
            tracing::warn!(
                boot_id,
                "several clusters show this boot id: none of their boot gates is opened"
            );
            return Vec::new();
        }
        seen.into_iter().map(|boot| boot.cluster).collect()
    }

    async fn begin(&mut self, boot: Option<&Restoring>) -> Result<Run<'_>, End> {
        let boot_id = boot.map(|boot| boot.boot_id.clone()).unwrap_or_default();
        let mut sender = self.sender(&boot_id);
        sender.noise = self.earlier_noise().await?;
        let bindings = self.replays.parts().store.bindings(self.id).await;
        let remembered = sender.remember(&bindings.map_err(ReplayError::Store)?);
        remembered.map_err(|error| End::new(ReplayState::Interrupted, exit::ERRORS, error.to_string()))?;
        if let Err(error) = sender.refresh().await {
            let detail = format!("{error}");
            return Err(End::new(ReplayState::Interrupted, exit::ERRORS, detail));
        }
        let rows = self.load(self.id).await?;
        let items: Vec<_> = rows.iter().map(|row| row.step.item).collect();
        let schedule = Schedule::new(self.meant.schedule, &items, self.meant.concurrency);
        let watch = Stopwatch::start();
        let keeps_time = matches!(self.spec.mode(), Mode::Timed | Mode::Rate);
        let pacer = keeps_time.then(|| Pacer::start(watch)).transpose();
        let pacer = pacer.map_err(|error| End::new(ReplayState::Failed, exit::ERRORS, error.to_string()))?;
        let (tell, told) = mpsc::unbounded_channel();
        let target_boot = self.boot.clone();
        self.show(ReplayState::Running).await?;
        let mut run = Run {
            sender: Arc::new(sender),
            boot: target_boot,
            shown_boot: String::new(),
            steps: Vec::with_capacity(rows.len()),
            schedule,
            watch,
            pacer,
            halt: Arc::default(),
            tell,
            told,
            due: Vec::new(),
            changes: Vec::new(),
            writing: None,
            out: 0,
            asks: VecDeque::new(),
            allowed: HashSet::new(),
            refreshed: HashSet::new(),
            end: None,
            wake_us: None,
            answered_before: 0,
            lateness: Histogram::default(),
            intended: Histogram::default(),
            latency: Histogram::default(),
            job: self,
        };
        run.take_up(&rows, boot.map(|boot| &boot.ledger));
        Ok(run)
    }

    fn sender(&self, boot_id: &str) -> Sender {
        let parts = self.replays.parts();
        // A restore of one boot has one scope, so that a target that honours keys runs each request once on it.
        let usual = match self.spec.kind {
            Kind::Restore if !boot_id.is_empty() => format!("restore/{boot_id}"),
            Kind::Restore | Kind::Replay => format!("replay-{}", self.id),
        };
        Sender {
            connector: self.connector.clone(),
            target: Target {
                rules: rules(&self.spec, &self.target).to_vec(),
                ..self.target.clone()
            },
            timeout: self.meant.timeout,
            replay: self.id,
            scope: self.spec.scope.clone().unwrap_or(usual),
            key: self.key,
            sealed: parts.sealed.clone(),
            clock: Arc::clone(&parts.clock),
            boot: boot_id.to_owned(),
            secret: RwLock::new(None),
            compare: self.meant.compare.clone(),
            noise: HashMap::new(),
            force: self.spec.force,
            maps: !self.meant.map.is_empty() || self.meant.auto_map,
            variables: Mutex::new(Variables::new(self.meant.map.clone(), self.meant.auto_map)),
        }
    }

    /// Finds what differed in an earlier replay of the same captures.
    async fn earlier_noise(&self) -> Result<HashMap<CaptureId, Vec<Place>>, End> {
        let Some(id) = self.spec.compare.noise_from else {
            return Ok(HashMap::new());
        };
        let rows = self.load(id).await?;
        let of = |row: StepRow| {
            let places: Vec<_> = row.outcome.detail.iter().filter_map(|line| place_of(line)).collect();
            (!places.is_empty()).then_some((row.step.capture, places))
        };
        Ok(rows.into_iter().filter_map(of).collect())
    }

    async fn load(&self, id: i64) -> Result<Vec<StepRow>, End> {
        let mut rows: Vec<StepRow> = Vec::new();
        loop {
            let from = rows.last().map_or(0, |row| row.step.at.saturating_add(1));
            let page = self.replays.parts().store.steps(id, from, STEPS_AT_ONCE).await;
            let page = page.map_err(ReplayError::Store)?;
            if page.is_empty() {
                return Ok(rows);
            }
            rows.extend(page);
        }
    }
}
