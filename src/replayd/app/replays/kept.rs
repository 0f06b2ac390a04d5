//! A replay's spec as it is kept: rules that replace values may hold secrets, and are encrypted.

use super::{ReplayError, ReplaySpec, Replays, meant, to_json};
use crate::app::seal::SealError;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// What a sealed rule is bound to.
const RULE: &str = "rule of a replay";
/// What is shown of a rule.
const HIDDEN: &str = "…";

impl Replays {
    /// Writes a spec as the store has it.
    ///
    /// Shape: JSON; each of `map` is base64 of the sealed rule.
    pub(super) fn keep(&self, spec: &ReplaySpec) -> Result<String, ReplayError> {
        let seal = |rule: &String| {
            let sealed = self.parts.sealed.seal_key().close(RULE, rule.clone().into_bytes());
            sealed
                .map(|sealed| BASE64_STANDARD.encode(sealed))
                .map_err(|error| broken(&error))
        };
        let map: Result<Vec<_>, _> = spec.map.iter().map(seal).collect();
        to_json(&ReplaySpec {
            map: map?,
            ..spec.clone()
        })
    }

    /// Reads a spec that is kept.
    ///
    /// # Errors
    /// [`ReplayError::Invalid`] if it was sealed with another key, or is none.
    pub(crate) fn kept(&self, json: &str) -> Result<ReplaySpec, ReplayError> {
        let mut spec: ReplaySpec =
            serde_json::from_str(json).map_err(|error| meant::invalid("spec", error.to_string()))?;
        for rule in &mut spec.map {
            let sealed = BASE64_STANDARD.decode(&*rule).map_err(|_| broken(&SealError::Broken))?;
            let opened = self.parts.sealed.seal_key().disclose(RULE, &sealed);
            let opened = opened.map_err(|error| broken(&error))?;
            *rule = String::from_utf8(opened).map_err(|_| broken(&SealError::Broken))?;
        }
        Ok(spec)
    }
}

/// Shows a spec to people: without its rules.
pub(crate) fn without_rules(mut spec: ReplaySpec) -> ReplaySpec {
    spec.map.fill(HIDDEN.to_owned());
    spec
}

fn broken(error: &SealError) -> ReplayError {
    meant::invalid("map", error.to_string())
}
