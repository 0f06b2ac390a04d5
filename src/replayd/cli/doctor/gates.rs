//! Boot gates that are closed, as the running replayd tells.

use super::Check;
use crate::client::Api;
use crate::data_dir::ADMIN_TOKEN;
use serde_json::Value;
use std::fs;
use std::path::Path;

const NAME: &str = "boot-gates";

/// Asks the replayd at `console` for its gates; none if it cannot be asked, which other checks tell.
pub(super) async fn check(console: &str, data_dir: &Path) -> Option<Check> {
    let token = fs::read_to_string(data_dir.join(ADMIN_TOKEN)).ok()?;
    let api = Api::new(console, token.trim_end()).ok()?;
    let boots = api.get("/api/v1/boots").await.ok()?;
    Some(judge(boots.get("items")?.as_array()?))
}

fn judge(boots: &[Value]) -> Check {
    let is_closed = |boot: &&Value| boot.get("closed").is_some_and(|closed| closed == true);
    let closed: Vec<_> = boots.iter().filter(is_closed).map(told).collect();
    if closed.is_empty() {
        return Check::ok(NAME, "no boot waits to be restored");
    }
    Check::warning(NAME, closed.join("; "))
}

fn told(boot: &Value) -> String {
    let text = |name: &str| boot.get(name).and_then(Value::as_str).unwrap_or("?").escape_debug();
    let (cluster, boot_id, seen) = (text("cluster"), text("boot_id"), text("seen"));
    let waits = format!("`{cluster}` waits to be restored since {seen} (boot {boot_id})");
    let targets = boot.get("targets").and_then(Value::as_array);
    match targets.and_then(|targets| targets.first()).and_then(Value::as_str) {
        Some(target) => format!("{waits}: `replayd restore --target {}`", target.escape_debug()),
        None => format!(
            "{waits}, and no restore opens its gate: give a target in replayd.toml `cluster = \"{cluster}\"`, or \
             `replayd boots open {cluster}`"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Status;
    use serde_json::json;

    #[track_caller]
    fn check(closed: bool, targets: &[&str], status: Status, words: &str) {
        let boot = json!({"cluster": "orders", "boot_id": "b2", "seen": "T", "closed": closed, "targets": targets});
        let check = judge(&[boot]);
        assert!(check.status == status && check.message.contains(words), "{check:?}");
    }

    #[test]
    fn a_gate_that_is_closed_is_a_warning_with_what_opens_it() {
        check(false, &[], Status::Ok, "no boot");
        check(true, &["shop"], Status::Warning, "replayd restore --target shop");
        check(true, &[], Status::Warning, "replayd boots open orders");
    }
}
