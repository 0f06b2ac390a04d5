//! A spec as it is meant: checked, with what was not given filled in.

use super::ReplayError;
use super::spec::{Kind, Mode, OnMismatch, ReplaySpec};
use super::target::is_boot_id;
use crate::config::Target;
use crate::store::captures::CaptureQuery;
use reprise_core::replay::Pointer;
use reprise_core::replay::per_key::PerKey;
use reprise_core::replay::schedule;
use reprise_core::replay::select::Rules;
use reprise_core::replay::variables::Rule;
use std::time::Duration;

/// Most requests at one time.
const CONCURRENCY_MAX: u32 = 4096;
/// Longest wait for one response or for a gate, in milliseconds.
const WAIT_MS_MAX: u64 = 86_400_000;

/// A spec as it is meant.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Meant {
    /// In which order and how fast.
    pub(crate) schedule: schedule::Mode,
    /// What mode `per_key` keeps in order.
    pub(crate) key: PerKey,
    /// Most requests at one time.
    pub(crate) concurrency: usize,
    /// Which captures are looked at.
    pub(crate) query: CaptureQuery,
    /// Only the last so many of those that can be sent.
    pub(crate) count: Option<u64>,
    /// Which of them are sent.
    pub(crate) rules: Rules,
    /// What follows on a response that differs.
    pub(crate) on_mismatch: OnMismatch,
    /// Whether what is sealed may go to the target.
    pub(crate) is_trusted: bool,
    /// Rules that replace values.
    pub(crate) map: Vec<Rule>,
    /// Whether the automatic mapping is on.
    pub(crate) auto_map: bool,
    /// What of the responses is compared.
    pub(crate) compare: CompareMeant,
    /// How long a restore waits for its target.
    pub(crate) wait_gate: Duration,
    /// How long one request may take.
    pub(crate) timeout: Duration,
}

/// What of the responses is compared, besides the status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CompareMeant {
    /// Whether only statuses are compared.
    pub(crate) status_only: bool,
    /// Headers, in lower case.
    pub(crate) headers: Vec<String>,
    /// What is left out of JSON bodies.
    pub(crate) ignore: Vec<Pointer>,
    /// Whether safe requests are sent twice, to learn what differs anyway.
    pub(crate) learn: bool,
}

impl ReplaySpec {
    /// Reads what is meant at `target`: a restore of a cluster is about what that cluster was asked.
    ///
    /// # Errors
    /// [`ReplayError::Invalid`] or [`ReplayError::Filter`].
    pub(crate) fn meant_at(&self, target: &Target) -> Result<Meant, ReplayError> {
        let mut meant = self.meant()?;
        meant.is_trusted = target.allowed;
        let clusters = &mut meant.query.clusters;
        if self.kind == Kind::Restore && clusters.is_empty() {
            // What was imported may name no cluster.
            let with_imports = |cluster: &String| vec![cluster.clone(), String::new()];
            *clusters = target.cluster.as_ref().map(with_imports).unwrap_or_default();
        }
        Ok(meant)
    }

    fn meant(&self) -> Result<Meant, ReplayError> {
        let is_restore = self.kind == Kind::Restore;
        let mode = self.mode();
        self.check_boot_id()?;
        if self.count == Some(0) {
            return Err(invalid("count", "0 is nothing; allowed is 1 and more".to_owned()));
        }
        let mut query = self.query.query().map_err(ReplayError::Filter)?;
        query.paths_not.extend(self.excluded_urls.iter().cloned());
        query.id_min = query.id_min.max(self.start_from_id);
        let mut rules = if is_restore { Rules::restore() } else { Rules::REPLAY };
        rules.force = self.force;
        if is_restore && !query.statuses.is_empty() {
            rules.statuses = None;
        }
        Ok(Meant {
            schedule: self.schedule(mode)?,
            key: self.key_of(mode)?,
            concurrency: self.concurrency(mode)?,
            query,
            count: self.count,
            rules,
            on_mismatch: self.on_mismatch.unwrap_or(if is_restore {
                OnMismatch::Stop
            } else {
                OnMismatch::Ignore
            }),
            is_trusted: false,
            auto_map: self.auto_map.unwrap_or(matches!(mode, Mode::Serial | Mode::Causal)),
            map: self.rules()?,
            compare: self.compare_meant(is_restore)?,
            wait_gate: wait("wait_gate_ms", self.wait_gate_ms, 60_000)?,
            timeout: wait("timeout_ms", self.timeout_ms, 30_000)?,
        })
    }

    fn check_boot_id(&self) -> Result<(), ReplayError> {
        match &self.boot_id {
            Some(_) if self.kind != Kind::Restore => Err(invalid("boot_id", "only a restore has it".to_owned())),
            Some(id) if id.is_empty() || !is_boot_id(id.as_bytes()) => {
                let problem = "it has 1 to 256 visible ASCII characters, without a space".to_owned();
                Err(invalid("boot_id", problem))
            }
            _ => Ok(()),
        }
    }

    fn schedule(&self, mode: Mode) -> Result<schedule::Mode, ReplayError> {
        let only = |field, given: bool, of: Mode| {
            let problem = || format!("only mode {of:?} has it, and the mode is {mode:?}").to_lowercase();
            (!given || mode == of)
                .then_some(())
                .ok_or_else(|| invalid(field, problem()))
        };
        only("speed", self.speed.is_some(), Mode::Timed)?;
        only("max_gap_ms", self.max_gap_ms.is_some(), Mode::Timed)?;
        only("rate", self.rate.is_some(), Mode::Rate)?;
        Ok(match mode {
            Mode::Serial => schedule::Mode::Serial,
            Mode::Causal => schedule::Mode::Causal,
            Mode::PerKey => schedule::Mode::PerKey,
            Mode::Max => schedule::Mode::Max,
            Mode::Timed => schedule::Mode::Timed {
                speed_milli: milli("speed", self.speed.unwrap_or(1.0))?,
                max_gap_us: self.max_gap_ms.map(|ms| ms.saturating_mul(1000)),
            },
            Mode::Rate => {
                let rate = self
                    .rate
                    .ok_or_else(|| invalid("rate", "mode rate needs it".to_owned()))?;
                schedule::Mode::Rate {
                    per_second_milli: milli("rate", rate)?,
                }
            }
        })
    }

    fn key_of(&self, mode: Mode) -> Result<PerKey, ReplayError> {
        let Some(key) = &self.key else {
            return Ok(PerKey::Path);
        };
        if mode != Mode::PerKey {
            return Err(invalid("key", "only mode per_key has it".to_owned()));
        }
        let problem = || format!("`{key}` is not path, session, header:NAME or json:/POINTER");
        PerKey::parse(key).ok_or_else(|| invalid("key", problem()))
    }

    fn rules(&self) -> Result<Vec<Rule>, ReplayError> {
        // A rule may hold a secret, and what is wrong is audited: only its place is told.
        let rule = |(at, text): (usize, &String)| {
            let problem = || {
                format!(
                    "rule {} is not FROM=TO, json:/POINTER or header:NAME",
                    at.saturating_add(1)
                )
            };
            Rule::parse(text).ok_or_else(|| invalid("map", problem()))
        };
        self.map.iter().enumerate().map(rule).collect()
    }

    fn compare_meant(&self, is_restore: bool) -> Result<CompareMeant, ReplayError> {
        let pointer = |text: &String| {
            let problem = || format!("`{text}` is not a JSON pointer, as /items/*/id");
            Pointer::parse(text).ok_or_else(|| invalid("compare.ignore", problem()))
        };
        let ignore: Result<Vec<_>, _> = self.compare.ignore.iter().map(pointer).collect();
        Ok(CompareMeant {
            status_only: self.compare.status_only.unwrap_or(is_restore),
            headers: self
                .compare
                .headers
                .iter()
                .map(|name| name.to_ascii_lowercase())
                .collect(),
            ignore: ignore?,
            learn: self.compare.learn,
        })
    }

    fn concurrency(&self, mode: Mode) -> Result<usize, ReplayError> {
        if self.interactive || mode == Mode::Serial {
            return Ok(1);
        }
        // Modes that keep to the clock must not wait for responses.
        let usual = match mode {
            Mode::Timed | Mode::Rate => 1024,
            Mode::Serial | Mode::Causal | Mode::PerKey | Mode::Max => 64,
        };
        let asked = self.concurrency.unwrap_or(usual);
        if !(1..=CONCURRENCY_MAX).contains(&asked) {
            let problem = format!("{asked} is not between 1 and {CONCURRENCY_MAX}");
            return Err(invalid("concurrency", problem));
        }
        Ok(usize::try_from(asked).unwrap_or(usize::MAX))
    }
}

fn wait(field: &'static str, ms: Option<u64>, usual: u64) -> Result<Duration, ReplayError> {
    let ms = ms.unwrap_or(usual);
    if ms > WAIT_MS_MAX || ms == 0 {
        return Err(invalid(field, format!("{ms} is not between 1 and {WAIT_MS_MAX}")));
    }
    Ok(Duration::from_millis(ms))
}

/// Counts in thousandths.
fn milli(field: &'static str, number: f64) -> Result<u64, ReplayError> {
    if !(0.001..=1_000_000.0).contains(&number) {
        return Err(invalid(field, format!("{number} is not between 0.001 and 1000000")));
    }
    // Between 1 and 10^9, so that the text has only digits.
    let text = format!("{:.0}", number * 1000.0);
    text.parse()
        .map_err(|_| invalid(field, format!("{number} cannot be counted")))
}

pub(super) fn invalid(field: &'static str, problem: String) -> ReplayError {
    ReplayError::Invalid { field, problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn meant(json: &str) -> Result<Meant, ReplayError> {
        serde_json::from_str::<ReplaySpec>(json).unwrap().meant()
    }

    #[track_caller]
    fn wrong(json: &str, place: &str) {
        let error = meant(json).unwrap_err();
        assert!(
            matches!(error, ReplayError::Invalid { field, .. } if field == place),
            "{error}"
        );
    }

    #[test]
    fn a_restore_stops_at_what_differs_and_sends_mutations_in_their_order() {
        let meant = meant(r#"{"kind": "restore"}"#).unwrap();
        assert_eq!(meant.schedule, schedule::Mode::Causal);
        assert_eq!(
            (meant.on_mismatch, meant.rules.mutations_only),
            (OnMismatch::Stop, true)
        );
    }

    #[test]
    fn a_speed_and_a_rate_are_counted_in_thousandths() {
        let timed = meant(r#"{"mode": "timed", "speed": 2.5, "max_gap_ms": 7}"#).unwrap();
        let want = schedule::Mode::Timed {
            speed_milli: 2500,
            max_gap_us: Some(7000),
        };
        assert_eq!(timed.schedule, want);
    }

    #[test]
    fn what_does_not_fit_the_mode_is_refused() {
        wrong(r#"{"mode": "max", "rate": 5}"#, "rate");
        wrong(r#"{"mode": "rate"}"#, "rate");
        wrong(r#"{"mode": "rate", "rate": 0}"#, "rate");
        wrong(r#"{"mode": "timed", "speed": -1}"#, "speed");
        wrong(r#"{"key": "path"}"#, "key");
        wrong(r#"{"mode": "per_key", "key": "cookie"}"#, "key");
        wrong(r#"{"mode": "max", "concurrency": 0}"#, "concurrency");
        wrong(r#"{"timeout_ms": 0}"#, "timeout_ms");
        wrong(r#"{"boot_id": "b1"}"#, "boot_id");
        wrong(r#"{"kind": "restore", "boot_id": ""}"#, "boot_id");
        wrong(r#"{"kind": "restore", "boot_id": "b 1"}"#, "boot_id");
    }

    #[test]
    fn what_starts_from_a_number_leaves_out_those_below() {
        let meant = meant(r#"{"start_from_id": 3, "query": {"id__gte": 2}, "excluded_urls": ["/x/*"]}"#).unwrap();
        assert_eq!(
            (meant.query.id_min, meant.query.paths_not),
            (Some(3), vec!["/x/*".to_owned()])
        );
    }
}
