//! Boots that are not restored, as the running replayd tells.

use super::Check;
use crate::client::Api;
use crate::data_dir::ADMIN_TOKEN;
use serde_json::Value;
use std::fs;
use std::path::Path;

const NAME: &str = "boots";

/// Asks the replayd at `console` for its boots; none if it cannot be asked, which other checks tell.
pub(super) async fn check(console: &str, data_dir: &Path) -> Option<Check> {
    let token = fs::read_to_string(data_dir.join(ADMIN_TOKEN)).ok()?;
    let api = Api::new(console, token.trim_end()).ok()?;
    let boots = api.get("/api/v1/boots").await.ok()?;
    Some(judge(boots.get("items")?.as_array()?))
}

fn judge(boots: &[Value]) -> Check {
    let waits = |boot: &&Value| boot.get("restored").is_some_and(|restored| restored == false);
    let waiting: Vec<_> = boots.iter().filter(waits).map(told).collect();
    if waiting.is_empty() {
        return Check::ok(NAME, "no boot waits to be restored");
    }
    Check::warning(NAME, waiting.join("; "))
}

fn told(boot: &Value) -> String {
    let (cluster, boot_id, seen) = (text(boot, "cluster"), text(boot, "boot_id"), text(boot, "seen"));
    let waits = format!(
        "`{cluster}` was not restored since {seen} (boot {boot_id}), and filters with `restore.boot_gate` refuse its \
         mutations until it is"
    );
    if let Some(last) = boot.get("last_restore").filter(|last| last.is_object()) {
        return format!("{waits}: {}", tried(last));
    }
    let targets = boot.get("targets").and_then(Value::as_array);
    match targets.and_then(|targets| targets.first()).and_then(Value::as_str) {
        Some(target) => format!("{waits}: `replayd restore --target {}`", target.escape_debug()),
        None => format!(
            "{waits}; no target in replayd.toml is this cluster: give one `cluster = \"{cluster}\"` and restore it, restore \
             it by its URL if it shows its boot id, or let clients in as it is: `replayd boots open {cluster}`"
        ),
    }
}

/// Tells what became of the last restore, and what goes on.
fn tried(last: &Value) -> String {
    let replay = last.get("replay").and_then(Value::as_i64).unwrap_or_default();
    let (state, next) = (text(last, "state").replace('_', " "), text(last, "next"));
    let why = match text(last, "detail") {
        detail if detail.is_empty() => String::new(),
        detail => format!(" ({detail})"),
    };
    format!("restore {replay} is {state}{why}; `{next}` goes on")
}

fn text(value: &Value, name: &str) -> String {
    let text = value.get(name).and_then(Value::as_str).unwrap_or("?");
    text.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Status;
    use serde_json::json;

    #[track_caller]
    fn check(boot: Value, status: Status, words: &str) {
        let check = judge(&[boot]);
        assert!(check.status == status && check.message.contains(words), "{check:?}");
    }

    fn boot(restored: bool, targets: &[&str], last: &Value) -> Value {
        json!({"cluster": "orders", "boot_id": "b2", "seen": "T", "restored": restored, "targets": targets,
            "last_restore": last})
    }

    #[test]
    fn a_boot_that_is_not_restored_is_a_warning_with_what_restores_it() {
        check(boot(true, &[], &Value::Null), Status::Ok, "no boot");
        let told = boot(false, &["shop"], &Value::Null);
        check(told, Status::Warning, "replayd restore --target shop");
        check(
            boot(false, &[], &Value::Null),
            Status::Warning,
            "replayd boots open orders",
        );
    }

    #[test]
    fn a_restore_that_stopped_says_why_and_what_goes_on() {
        let last = json!({"replay": 3, "state": "refused", "detail": "1 early mutation: capture 4",
            "next": "replayd restore --target shop --on-early keep"});
        let words = "restore 3 is refused (1 early mutation: capture 4); `replayd restore --target shop --on-early keep` goes on";
        check(boot(false, &["shop"], &last), Status::Warning, words);
    }
}
