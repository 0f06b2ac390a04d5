//! Boots: which life of each upstream is seen, and whether its gate is closed until it is restored.
//!
//! Who compares and who refuses is not here.

use crate::wire::{Boot, Gate};
use alloc::string::String;
use alloc::vec::Vec;
use prost::Message as _;

/// Clusters that are known at most; what shows boot ids beyond it is not looked at.
pub const CLUSTERS_MAX: usize = 256;
/// Longest boot id, in bytes; a longer one is none.
pub const BOOT_ID_BYTES_MAX: usize = 256;

/// Boot ids of one cluster without a gate that are known besides the last two, at most: its instances, one each.
pub const EARLIER_MAX: usize = 32;

/// What another boot id of a cluster means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gated {
    /// Nothing: there is no gate, and several instances may show one each.
    No,
    /// Its gate is open for that boot.
    Open,
    /// Its gate closes.
    Closed,
}

/// What is known of one cluster.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Known {
    #[prost(message, optional, tag = "1")]
    boot: Option<Boot>,
    #[prost(bool, tag = "2")]
    closed: bool,
    /// Ids before the last two, the oldest first; none where there is a gate.
    #[prost(string, repeated, tag = "3")]
    earlier: Vec<String>,
}

impl Known {
    /// Tells whether an id was shown before, and is no news.
    fn has(&self, boot_id: &str, gated: Gated) -> bool {
        let is = |boot: &Boot| boot.boot_id == boot_id || boot.before == boot_id;
        let is_earlier = || gated == Gated::No && self.earlier.iter().any(|each| each == boot_id);
        self.boot.as_ref().is_some_and(is) || is_earlier()
    }

    /// Takes another id in.
    fn show(&mut self, boot_id: &str, gated: Gated) {
        let Some(boot) = &mut self.boot else { return };
        let last = core::mem::replace(&mut boot.boot_id, boot_id.into());
        let before = core::mem::replace(&mut boot.before, last);
        if gated == Gated::No && !before.is_empty() {
            let over = self.earlier.len().saturating_add(1).saturating_sub(EARLIER_MAX);
            self.earlier.drain(..over.min(self.earlier.len()));
            self.earlier.push(before);
        }
        self.closed = gated == Gated::Closed;
    }
}

/// All boots of one process.
///
/// Shape: protobuf, `repeated Known = 1` with `Known {Boot boot = 1; bool closed = 2; repeated string earlier = 3}`; no
/// bytes = none.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Boots {
    #[prost(message, repeated, tag = "1")]
    known: Vec<Known>,
}

impl Boots {
    /// Reads what is known; nothing if the bytes are not so written.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        Self::decode(bytes).unwrap_or_default()
    }

    /// Writes what is known.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        self.encode_to_vec()
    }

    /// Lists the boots that were seen last.
    #[must_use]
    pub fn seen(&self) -> Vec<Boot> {
        self.known.iter().filter_map(|known| known.boot.clone()).collect()
    }

    /// Tells whether a cluster showed this boot id: nothing is new then.
    #[must_use]
    pub fn has(&self, cluster: &str, boot_id: &str, gated: Gated) -> bool {
        let is = |known: &&Known| known.boot.as_ref().is_some_and(|boot| boot.cluster == cluster);
        self.known
            .iter()
            .find(is)
            .is_some_and(|known| known.has(boot_id, gated))
    }

    /// Tells whether unsafe client requests to a cluster are refused.
    #[must_use]
    pub fn is_closed(&self, cluster: &str) -> bool {
        let is = |known: &Known| known.closed && known.boot.as_ref().is_some_and(|boot| boot.cluster == cluster);
        self.known.iter().any(is)
    }

    /// Tells whether any gate is closed.
    #[must_use]
    pub fn has_closed(&self) -> bool {
        self.known.iter().any(|known| known.closed)
    }

    /// Takes note of a boot id in a response; tells whether anything changed.
    ///
    /// The first one is where a cluster is; another one closes its gate if `gated` says so. The one before never comes
    /// back: a response that shows it was under way when the upstream ended. Without a gate no id that is known comes back.
    pub fn see(&mut self, cluster: &str, boot_id: &str, gated: Gated) -> bool {
        if boot_id.is_empty() || boot_id.len() > BOOT_ID_BYTES_MAX {
            return false;
        }
        match self.find(cluster) {
            Some(known) if known.has(boot_id, gated) => false,
            Some(known) => {
                known.show(boot_id, gated);
                true
            }
            None => self.add(cluster, boot_id, false),
        }
    }

    /// Takes note of what replayd says of the gates; tells whether anything changed.
    ///
    /// It opens the boot that it names. It closes that boot too, and one that this proxy has not seen yet, but never one
    /// that is over.
    pub fn rule(&mut self, gates: &[Gate]) -> bool {
        let mut changed = false;
        for gate in gates {
            changed |= self.rule_one(gate);
        }
        changed
    }

    fn rule_one(&mut self, gate: &Gate) -> bool {
        let found = self.find(&gate.cluster);
        match found.and_then(|known| Some((known.boot.as_mut()?, &mut known.closed))) {
            Some((boot, closed)) if boot.boot_id == gate.boot_id => {
                core::mem::replace(closed, gate.closed) != gate.closed
            }
            Some((boot, closed)) if gate.closed && boot.before != gate.boot_id => {
                boot.before = core::mem::replace(&mut boot.boot_id, gate.boot_id.clone());
                *closed = true;
                true
            }
            Some(_) => false,
            None => gate.closed && self.add(&gate.cluster, &gate.boot_id, true),
        }
    }

    fn find(&mut self, cluster: &str) -> Option<&mut Known> {
        let is = |known: &&mut Known| known.boot.as_ref().is_some_and(|boot| boot.cluster == cluster);
        self.known.iter_mut().find(is)
    }

    fn add(&mut self, cluster: &str, boot_id: &str, closed: bool) -> bool {
        if self.known.len() >= CLUSTERS_MAX {
            return false;
        }
        let boot = Boot {
            cluster: cluster.into(),
            boot_id: boot_id.into(),
            before: String::new(),
        };
        self.known.push(Known {
            boot: Some(boot),
            closed,
            earlier: Vec::new(),
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn gate(boot_id: &str, closed: bool) -> Gate {
        Gate {
            cluster: "queue".into(),
            boot_id: boot_id.into(),
            closed,
        }
    }

    fn booted(ids: &[&str]) -> Boots {
        let mut boots = Boots::default();
        for id in ids {
            boots.see("queue", id, Gated::Closed);
        }
        boots
    }

    #[test]
    fn the_first_boot_is_open_and_another_closes_the_gate_of_its_cluster_alone() {
        let mut boots = booted(&["a"]);
        boots.see("other", "x", Gated::Closed);
        assert!(!boots.has_closed());
        assert!(boots.see("queue", "b", Gated::Closed) && !boots.see("queue", "b", Gated::Closed));
        assert!(boots.is_closed("queue") && !boots.is_closed("other"));
        assert_eq!(
            (boots.seen()[0].boot_id.as_str(), boots.seen()[0].before.as_str()),
            ("b", "a")
        );
    }

    #[test]
    fn without_a_gate_boots_are_told_and_nothing_closes() {
        let mut boots = booted(&["a"]);
        assert!(boots.see("queue", "b", Gated::No) && boots.has("queue", "b", Gated::No));
        assert!(!boots.has("other", "b", Gated::No));
        assert!(!boots.has_closed());
    }

    #[test]
    fn a_late_response_of_the_boot_before_changes_nothing() {
        let mut boots = booted(&["a", "b"]);
        assert!(!boots.see("queue", "a", Gated::Closed));
        assert_eq!(boots.seen()[0].boot_id, "b");
    }

    #[test]
    fn replayd_opens_the_boot_that_it_names_and_no_other() {
        let mut boots = booted(&["a", "b"]);
        assert!(!boots.rule(&[gate("a", false)]) && boots.is_closed("queue"));
        assert!(boots.rule(&[gate("b", false)]) && !boots.is_closed("queue"));
        assert!(!boots.rule(&[gate("b", false)]));
    }

    #[test]
    fn replayd_closes_a_boot_that_was_not_seen_yet_but_none_that_is_over() {
        let mut boots = booted(&["a"]);
        assert!(boots.rule(&[gate("b", true)]) && boots.is_closed("queue"));
        let mut boots = booted(&["a", "b"]);
        boots.rule(&[gate("b", false)]);
        assert!(!boots.rule(&[gate("a", true)]) && !boots.is_closed("queue"));
        let mut nothing = Boots::default();
        assert!(nothing.rule(&[gate("b", true)]) && nothing.is_closed("queue"));
        assert!(!Boots::default().rule(&[gate("b", false)]));
    }

    #[test]
    fn the_instances_of_a_cluster_without_a_gate_are_news_once_each() {
        let mut boots = Boots::default();
        let mut news = |gated| {
            let ids = ["a", "b", "c", "d"].into_iter().cycle().take(12);
            ids.filter(|id| boots.see("queue", id, gated)).count()
        };
        assert_eq!(news(Gated::No), 4);
        assert_eq!(
            news(Gated::Closed),
            12,
            "an id that comes back is another boot to a gate"
        );
        let mut many = Boots::default();
        for n in 0..200 {
            many.see("queue", &format!("{n}"), Gated::No);
        }
        assert!(many.has("queue", &format!("{}", 199 - EARLIER_MAX - 1), Gated::No));
        assert!(!many.has("queue", &format!("{}", 199 - EARLIER_MAX - 2), Gated::No));
    }

    #[test]
    fn what_is_known_is_bounded_and_reads_back() {
        let mut boots = Boots::default();
        for n in 0..=CLUSTERS_MAX {
            boots.see(&format!("c{n}"), "a", Gated::Closed);
        }
        assert_eq!(boots.seen().len(), CLUSTERS_MAX);
        assert_eq!(Boots::read(&boots.write()), boots);
        assert_eq!(Boots::read(b"\xff"), Boots::default());
        assert!(!boots.see("c0", &"x".repeat(BOOT_ID_BYTES_MAX + 1), Gated::Closed));
    }
}
