//! The policy: what replayd tells all filters, fetched by one VM and kept in shared data for all.

use crate::host::{Host, HostError};
use crate::publisher::{self, Answer};
use crate::store::POLICY;
use crate::vm::Vm;
use prost::Message as _;
use reprise_core::time::{Millis, MonoMillis};
use reprise_core::wire::{Gate, Policy};

/// How often replayd is asked for a newer one.
const EVERY: Millis = Millis(1000);
/// How often it is asked where no document needs it: a route's metadata may capture, and a replay may come, all the same.
const EVERY_SLOW: Millis = Millis(5000);

/// What a VM knows of the policy.
#[derive(Debug, Default)]
pub struct Policies {
    number: Option<u32>,
    tag: String,
    /// The tag that an acknowledgement named last, and the one that was asked for.
    heard: String,
    asked_for: String,
    asked: MonoMillis,
    /// Whether what was asked for last did not come.
    failed: bool,
    policy: Option<Policy>,
}

impl Policies {
    /// Takes note of the tag that an acknowledgement names.
    pub fn hear(&mut self, tag: &str) {
        if self.heard != tag {
            tag.clone_into(&mut self.heard);
        }
    }

    /// Tells whether a policy is at hand.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        self.policy.is_some()
    }

    /// Shows the gates.
    #[must_use]
    pub fn gates(&self) -> &[Gate] {
        self.policy.as_ref().map_or(&[], |policy| &policy.gates)
    }

    /// Tells whether replayd says that a boot of a cluster is open.
    #[must_use]
    pub fn opens(&self, cluster: &str, boot_id: &str) -> bool {
        let is = |gate: &Gate| !gate.closed && gate.cluster == cluster && gate.boot_id == boot_id;
        self.gates().iter().any(is)
    }

    /// Shows the keys of signatures, the newest first.
    #[must_use]
    pub fn signature_keys(&self) -> &[Vec<u8>] {
        self.policy.as_ref().map_or(&[], |policy| &policy.signature_keys)
    }
}

/// Reads the policy if it changed, and asks for a newer one if it is this VM's turn.
///
/// # Errors
/// [`HostError`] if the host fails.
pub fn tick(host: &impl Host, vm: &mut Vm, now: MonoMillis) -> Result<(), HostError> {
    refresh(host, vm)?;
    let policies = &vm.policies;
    let every = if vm.is_captured { EVERY } else { EVERY_SLOW };
    let waited = now.since(policies.asked) >= every;
    let is_news = policies.heard != policies.tag;
    // Whoever hears of another one asks at once, and again only if it did not come.
    let is_fresh = is_news && policies.heard != policies.asked_for;
    let is_again = is_news && policies.failed && waited;
    if is_fresh || is_again || (waited && vm.sweep.is_ours(now)) {
        ask(host, vm, now);
    }
    Ok(())
}

fn ask(host: &impl Host, vm: &mut Vm, now: MonoMillis) {
    vm.policies.asked = now;
    vm.policies.asked_for = vm.policies.heard.clone();
    let tag = vm.policies.tag.clone();
    vm.policies.failed = !publisher::ask_policy(host, vm, &tag, now);
}

/// Reads the policy from shared data, if it changed.
///
/// # Errors
/// [`HostError`] if the host fails.
pub fn refresh(host: &impl Host, vm: &mut Vm) -> Result<(), HostError> {
    let shared = host.shared(POLICY)?;
    if shared.number == vm.policies.number {
        return Ok(());
    }
    vm.policies.number = shared.number;
    let Some((tag, policy)) = read(&shared.value) else {
        return Ok(());
    };
    if let Ok(key) = <[u8; 32]>::try_from(&policy.redaction_key[..]) {
        vm.captures.redaction_key = key;
    }
    vm.policies.tag = tag;
    vm.policies.policy = Some(policy);
    crate::boots::rule(host, vm);
    Ok(())
}

/// Takes in what replayd answers.
pub fn answered(host: &impl Host, vm: &mut Vm, answer: Option<&Answer>) {
    vm.policies.failed = answer.is_none_or(|answer| !matches!(answer.status, 200 | 304));
    let Some(answer) = answer.filter(|answer| answer.status == 200) else {
        // 304: nothing new. Anything else: the next time.
        return;
    };
    let (Ok(tag), Ok(_whole)) = (std::str::from_utf8(&answer.etag), Policy::decode(&answer.body[..])) else {
        return;
    };
    let tag = tag.trim_matches('"');
    if tag != vm.policies.tag && host.set_shared(POLICY, &written(tag, &answer.body)).is_ok() {
        // The next tick reads it, if this does not.
        let _later = refresh(host, vm);
    }
}

/// Shape: tag length u16, little endian | tag | policy as it travels.
fn written(tag: &str, policy: &[u8]) -> Vec<u8> {
    let len = u16::try_from(tag.len()).unwrap_or_default();
    let tag = if len == 0 { "" } else { tag };
    [&len.to_le_bytes()[..], tag.as_bytes(), policy].concat()
}

fn read(bytes: &[u8]) -> Option<(String, Policy)> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    let (tag, policy) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
    Some((String::from_utf8(tag.to_vec()).ok()?, Policy::decode(policy).ok()?))
}
