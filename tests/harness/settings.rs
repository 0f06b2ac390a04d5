//! From the reference configuration and a test's wishes to the file that Envoy reads.

use super::folder;
use super::process::{envoy_binary, filter_wasm, free_port, replayd_binary, root, skip, trap_wasm};
use super::replayd::Replayd;
use super::stack::Stack;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the reference calls the filter.
pub(super) const FILTER: &str = "envoy.filters.http.wasm";

/// Which build of the filter runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wasm {
    /// The one that is shipped.
    Shipped,
    /// The one that traps on command.
    Trap,
}

impl Wasm {
    pub(super) fn file(self) -> Option<PathBuf> {
        match self {
            Self::Shipped => filter_wasm(),
            Self::Trap => trap_wasm(),
        }
    }
}

/// The replayd that Envoy calls.
pub(super) enum Beside {
    /// There is none.
    None,
    /// One of the stack's own.
    Own,
    /// Another stack's, at this port, with this token.
    Other {
        /// Where Envoy calls it.
        ingest: u16,
        /// What Envoy shows to it.
        token: String,
    },
}

/// What one test wants to be different from the reference configuration.
pub struct Settings {
    pub(super) workers: u32,
    pub(super) wasm: Wasm,
    pub(super) replayd: Beside,
    pub(super) relayed: bool,
    pub(super) replayd_toml: String,
    pub(super) lds: bool,
    pub(super) ecds: bool,
    pub(super) drain_s: u32,
    pub(super) wasm_log: &'static str,
    pub(super) allowed: Vec<String>,
    pub(super) files: Vec<(String, Value)>,
    document: Value,
    rules: Vec<Value>,
    routes: Vec<Value>,
    clusters: Vec<Value>,
    patches: Vec<Patch>,
}

type Patch = Box<dyn FnOnce(&mut Value) + Send>;

impl Default for Settings {
    fn default() -> Self {
        Self {
            workers: 2,
            wasm: Wasm::Shipped,
            replayd: Beside::None,
            relayed: false,
            replayd_toml: String::new(),
            lds: false,
            ecds: false,
            drain_s: 1,
            wasm_log: "warning",
            allowed: Vec::new(),
            files: Vec::new(),
            document: json!({}),
            rules: Vec::new(),
            routes: Vec::new(),
            clusters: Vec::new(),
            patches: Vec::new(),
        }
    }
}

impl Settings {
    /// Merges `change` into the filter's document; null removes, lists are replaced.
    #[must_use]
    pub fn document(mut self, change: Value) -> Self {
        merge(&mut self.document, change);
        self
    }

    /// Adds a rule to the document.
    #[must_use]
    pub fn rule(mut self, rule: Value) -> Self {
        self.rules.push(rule);
        self
    }

    /// Adds a rule for all one-segment paths under `/area/`: `area/x` and so on.
    #[must_use]
    pub fn area(self, area: &str, idempotency: &Value) -> Self {
        self.rule(json!({"match": {"path": format!("/{area}/{{case}}")}, "idempotency": idempotency}))
    }

    /// As [`Settings::area`], for paths whose first requests run detached.
    #[must_use]
    pub fn detached_area(self, area: &str) -> Self {
        self.area(area, &json!({"execution": "detached", "detached_cluster": "detached"}))
    }

    /// Sets how many worker threads Envoy has; 2 if not said.
    #[must_use]
    pub const fn workers(mut self, workers: u32) -> Self {
        self.workers = workers;
        self
    }

    /// Sets the length of leases.
    #[must_use]
    pub fn lease_ms(self, lease_ms: u64) -> Self {
        self.document(json!({"idempotency": {"lease_ms": lease_ms}}))
    }

    /// Chooses the build of the filter.
    #[must_use]
    pub const fn wasm(mut self, wasm: Wasm) -> Self {
        self.wasm = wasm;
        self
    }

    /// Runs a replayd beside Envoy.
    #[must_use]
    pub fn replayd(mut self) -> Self {
        self.replayd = Beside::Own;
        self
    }

    /// Takes the replayd of another stack.
    #[must_use]
    pub fn shares(self, replayd: &Replayd) -> Self {
        self.replayd_at(replayd.ingest().port(), &replayd.ingest_token())
    }

    /// Takes a replayd that runs already: the port where Envoy calls it, and the token that it wants.
    #[must_use]
    pub fn replayd_at(mut self, ingest: u16, token: &str) -> Self {
        self.replayd = Beside::Other {
            ingest,
            token: token.to_owned(),
        };
        self
    }

    /// Puts a [`super::Relay`] between Envoy and replayd.
    #[must_use]
    pub const fn relayed(mut self) -> Self {
        self.relayed = true;
        self
    }

    /// Adds lines to the `replayd.toml` that replayd reads at its start.
    #[must_use]
    pub fn replayd_toml(mut self, lines: &str) -> Self {
        self.replayd_toml.push_str(lines);
        self.replayd_toml.push('\n');
        self
    }

    /// Captures into a replayd of this stack's own; `capture` is merged into the document's.
    #[must_use]
    pub fn captures(self, capture: &Value) -> Self {
        let settings = self.document(json!({"capture": {"enabled": true}}));
        let mut settings = settings.document(json!({"capture": capture}));
        if capture["durability"]
            .as_str()
            .is_some_and(|durability| durability != "async")
        {
            settings = settings.patch(run_inline);
        }
        if matches!(settings.replayd, Beside::None) {
            return settings.replayd();
        }
        settings
    }

    /// Takes the listener from a file that [`Stack::reload`] can replace.
    #[must_use]
    pub const fn lds(mut self) -> Self {
        self.lds = true;
        self
    }

    /// Takes the filter's configuration from a file that [`Stack::reload_filter`] can replace.
    #[must_use]
    pub const fn ecds(mut self) -> Self {
        self.ecds = true;
        self
    }

    /// Sets how long connections of a replaced listener live on, in seconds; 1 if not said.
    #[must_use]
    pub const fn drain_s(mut self, drain_s: u32) -> Self {
        self.drain_s = drain_s;
        self
    }

    /// Lets a worker make a new VM at once after one has died; Envoy waits for a second otherwise.
    #[must_use]
    pub fn reloads_at_once(self) -> Self {
        self.patch(|bootstrap| {
            let manager = &mut bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0];
            let config = &mut filter_in(&mut manager["typed_config"])["typed_config"]["config"];
            // Envoy halves the interval and divides by that: 1 ms ends it with SIGFPE.
            config["reload_config"] = json!({"backoff": {"base_interval": "0.004s"}});
        })
    }

    /// Lets the filter log at this level of Envoy's; `warning` if not said.
    #[must_use]
    pub const fn wasm_log(mut self, level: &'static str) -> Self {
        self.wasm_log = level;
        self
    }

    /// Adds a route before the others, as Envoy's JSON.
    #[must_use]
    pub fn route(mut self, route: Value) -> Self {
        self.routes.push(route);
        self
    }

    /// Adds a cluster, as Envoy's JSON.
    #[must_use]
    pub fn cluster(mut self, cluster: Value) -> Self {
        self.clusters.push(cluster);
        self
    }

    /// Adds a cluster of one address.
    #[must_use]
    pub fn cluster_at(self, name: &str, port: u16) -> Self {
        self.cluster(cluster(name, port))
    }

    /// Puts a file of resources into the directory that Envoy runs in.
    #[must_use]
    pub fn file(mut self, name: &str, content: Value) -> Self {
        self.files.push((name.to_owned(), content));
        self
    }

    /// Changes anything in the bootstrap, after all else.
    #[must_use]
    pub fn patch(mut self, patch: impl FnOnce(&mut Value) + Send + 'static) -> Self {
        self.patches.push(Box::new(patch));
        self
    }

    /// Allows lines with this text among the errors and warnings of Envoy's log.
    #[must_use]
    pub fn allow_log(mut self, text: &str) -> Self {
        self.allowed.push(text.to_owned());
        self
    }

    /// Starts it all; none if something is missing and not required, which is said on the terminal.
    pub async fn start(self) -> Option<Stack> {
        Stack::start_with(self).await
    }

    /// Lets Envoy judge it without running; gives its complaint, or none if something is missing.
    #[must_use]
    pub fn validate(self) -> Option<Result<(), String>> {
        let Some(binary) = envoy_binary() else {
            skip("envoy", "no Envoy; scripts/envoy.sh gets one");
            return None;
        };
        let said = self.judged_by(&binary, &["--mode", "validate", "-l", "warning", "-c"])?;
        Some(said.map(drop))
    }

    /// Lets `replayd check-config` judge it; gives what it says, as an error if it ends with one, or none if something is missing.
    #[must_use]
    pub fn check_config(self) -> Option<Result<String, String>> {
        let Some(binary) = replayd_binary() else {
            skip("replayd", "no replayd; cargo build -p replayd builds it");
            return None;
        };
        self.judged_by(&binary, &["check-config"])
    }

    /// Runs a program on the bootstrap, in a directory as the bootstrap wants it.
    fn judged_by(mut self, binary: &Path, arguments: &[&str]) -> Option<Result<String, String>> {
        let Some(wasm) = self.wasm.file() else {
            skip("envoy", "no built filter; scripts/build-filter.sh builds it");
            return None;
        };
        let folder = folder::make(&wasm);
        std::fs::write(folder.join("reprise-data/ingest-token"), "a token for nobody").expect("the token is written");
        let bootstrap = self.bootstrap(Ports::random(8080)).to_string();
        std::fs::write(folder.join("envoy.json"), bootstrap).expect("the configuration is written");
        let mut command = Command::new(binary);
        command.args(arguments).arg("envoy.json").current_dir(&folder);
        let output = command.output().expect("the program runs");
        let _ = std::fs::remove_dir_all(&folder);
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        Some(if output.status.success() {
            Ok(said.into_owned())
        } else {
            Err(said.into_owned())
        })
    }

    /// Writes the bootstrap for these ports.
    pub(super) fn bootstrap(&mut self, ports: Ports) -> Value {
        let mut bootstrap = reference();
        set_port(&mut bootstrap["admin"]["address"], ports.admin);
        let resources = &mut bootstrap["static_resources"];
        set_port(&mut resources["listeners"][0]["address"], ports.listener);
        for cluster in resources["clusters"]
            .as_array_mut()
            .expect("the reference has clusters")
        {
            let port = if cluster["name"] == "replayd" {
                ports.replayd
            } else {
                ports.upstream
            };
            // The way to the internal listener has no port.
            if endpoint(cluster).get("socket_address").is_some() {
                set_port(endpoint(cluster), port);
            }
        }
        push(&mut resources["clusters"], std::mem::take(&mut self.clusters));
        let manager = &mut resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
        let document = document_in(filter_in(manager));
        merge(document, std::mem::take(&mut self.document));
        push(&mut document["rules"], std::mem::take(&mut self.rules));
        let more = std::mem::take(&mut self.routes);
        // What runs detached meets the same routes.
        for listener in resources["listeners"]
            .as_array_mut()
            .expect("the reference has listeners")
        {
            let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
            let routes = &mut manager["route_config"]["virtual_hosts"][0]["routes"];
            let mut all = more.clone();
            all.append(routes.as_array_mut().expect("the reference has routes"));
            *routes = all.into();
        }
        for patch in std::mem::take(&mut self.patches) {
            patch(&mut bootstrap);
        }
        bootstrap
    }
}

/// Where the parts of one stack listen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) listener: u16,
    pub(super) admin: u16,
    pub(super) upstream: u16,
    /// Where Envoy finds replayd.
    pub(super) replayd: u16,
}

impl Ports {
    pub(super) fn random(upstream: u16) -> Self {
        Self {
            listener: free_port(),
            admin: free_port(),
            upstream,
            replayd: free_port(),
        }
    }
}

/// Reads the reference configuration.
fn reference() -> Value {
    let path = root().join("envoy/envoy.yaml");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Finds the filter in a connection manager's configuration.
pub(super) fn filter_in(manager: &mut Value) -> &mut Value {
    let filters = manager["http_filters"].as_array_mut().expect("the manager has filters");
    let wasm = filters.iter_mut().find(|filter| filter["name"] == FILTER);
    wasm.expect("the reference has the filter")
}

/// Has the reference's payments run inline: what is written ahead cannot run detached.
fn run_inline(bootstrap: &mut Value) {
    let manager = &mut bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    let rules = &mut document_in(filter_in(manager))["rules"];
    for rule in rules.as_array_mut().into_iter().flatten() {
        if rule["match"]["path"] == "/api/payments" {
            rule["idempotency"] = json!({"mode": "required"});
        }
    }
}

/// Finds the document in the filter's configuration.
pub(super) fn document_in(filter: &mut Value) -> &mut Value {
    &mut filter["typed_config"]["config"]["configuration"]["value"]
}

fn cluster(name: &str, port: u16) -> Value {
    let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    json!({
        "name": name, "type": "STATIC", "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]},
    })
}

fn endpoint(cluster: &mut Value) -> &mut Value {
    &mut cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]
}

fn set_port(address: &mut Value, port: u16) {
    address["socket_address"]["port_value"] = port.into();
}

fn push(list: &mut Value, more: Vec<Value>) {
    if list.is_null() {
        *list = json!([]);
    }
    list.as_array_mut().expect("a list").extend(more);
}

/// Merges `change` into `target` as RFC 7396 says.
pub fn merge(target: &mut Value, change: Value) {
    let Value::Object(change) = change else {
        *target = change;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Some(target) = target.as_object_mut() else { return };
    for (name, value) in change {
        if value.is_null() {
            target.remove(&name);
        } else {
            merge(target.entry(name).or_insert(Value::Null), value);
        }
    }
}
