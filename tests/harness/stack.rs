//! A running stack: Envoy with the filter, the demo upstream, and what a test asks of them.

use super::client::Request;
use super::control::UpstreamControl;
use super::folder;
use super::h2::Http2;
use super::log::Complaints;
use super::process::{Process, envoy_binary, free_port, skip};
use super::relay::Relay;
use super::replayd::Replayd;
use super::settings::{Beside, FILTER, Ports, Settings, document_in, filter_in, merge};
use super::stats::Stats;
use super::wait::eventually;
use crate::upstream::Upstream;
use serde_json::{Value, json};
use std::fs;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long Envoy may take to start.
const START: Duration = Duration::from_secs(30);

/// Envoy, the upstream behind it, and what else one test needs. All of it ends when this is dropped.
#[derive(Debug)]
pub struct Stack {
    edge: SocketAddr,
    admin: Option<SocketAddr>,
    upstream: UpstreamControl,
    own: Option<Own>,
}

/// What belongs to a stack that was started here.
#[derive(Debug)]
struct Own {
    envoy: Process,
    replayd: Option<Replayd>,
    relay: Option<Relay>,
    upstream: Option<Upstream>,
    folder: PathBuf,
    complaints: Complaints,
}

impl Stack {
    /// Begins a stack that differs from the reference configuration.
    #[must_use]
    pub fn builder() -> Settings {
        Settings::default()
    }

    /// Starts the reference configuration as it is, or takes the stack that `REPRISE_STACK_URL` and `REPRISE_UPSTREAM_URL` name.
    pub async fn start() -> Option<Self> {
        match (address_in("REPRISE_STACK_URL"), address_in("REPRISE_UPSTREAM_URL")) {
            (Some(edge), Some(upstream)) => {
                let mut stack = Self::at(edge, upstream);
                stack.admin = address_in("REPRISE_ADMIN_URL");
                Some(stack)
            }
            // The reference captures commands, and this stack has no replayd: nobody waits for it.
            _ => {
                Self::builder()
                    .allow_log("replayd does not take captures")
                    .start()
                    .await
            }
        }
    }

    /// Takes a stack that runs already: where Envoy listens, and where its upstream does.
    #[must_use]
    pub const fn at(edge: SocketAddr, upstream: SocketAddr) -> Self {
        Self {
            edge,
            admin: None,
            upstream: UpstreamControl::at(upstream),
            own: None,
        }
    }

    /// Tells where Envoy's admin interface is, in a stack that ran already.
    #[must_use]
    pub const fn with_admin(mut self, admin: SocketAddr) -> Self {
        self.admin = Some(admin);
        self
    }

    pub(super) async fn start_with(mut settings: Settings) -> Option<Self> {
        let Some(binary) = envoy_binary() else {
            skip("envoy", "no Envoy; scripts/envoy.sh gets one");
            return None;
        };
        let Some(wasm) = settings.wasm.file() else {
            skip("envoy", "no built filter; scripts/build-filter.sh builds it");
            return None;
        };
        let folder = folder::make(&wasm);
        let upstream = Upstream::start();
        let mut ports = Ports::random(upstream.address().port());
        let (replayd, relay) = start_replayd(&settings, &folder, &mut ports).await;
        let mut bootstrap = settings.bootstrap(ports);
        for (name, content) in &settings.files {
            fs::write(folder.join(name), content.to_string()).expect("a file of resources");
        }
        if settings.ecds {
            move_filter(&mut bootstrap, &folder);
        }
        if settings.lds {
            move_listener(&mut bootstrap, &folder);
        }
        fs::write(folder.join("envoy.json"), bootstrap.to_string()).expect("the configuration is written");
        let mut envoy = start_envoy(&binary, &folder, &settings);
        let admin = ([127, 0, 0, 1], ports.admin).into();
        ready(admin, &mut envoy, &folder).await;
        let complaints = Complaints::new(std::mem::take(&mut settings.allowed));
        Some(Self {
            edge: ([127, 0, 0, 1], ports.listener).into(),
            admin: Some(admin),
            upstream: UpstreamControl::at(upstream.address()),
            own: Some(Own {
                envoy,
                replayd,
                relay,
                upstream: Some(upstream),
                folder,
                complaints,
            }),
        })
    }

    /// Begins a request to Envoy.
    #[must_use]
    pub fn request(&self, method: &str, target: &str) -> Request {
        Request::new(self.edge, method, target)
    }

    /// Begins a POST to Envoy.
    #[must_use]
    pub fn post(&self, target: &str) -> Request {
        self.request("POST", target)
    }

    /// Counts the executions of a request's target.
    pub async fn runs(&self, request: &Request) -> usize {
        self.upstream.executions(request.target()).await
    }

    /// Opens an HTTP/2 connection to Envoy.
    pub async fn http2(&self) -> Http2 {
        Http2::open(self.edge).await
    }

    /// Tells where Envoy listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.edge
    }

    /// Gives the upstream's own view.
    #[must_use]
    pub const fn upstream(&self) -> &UpstreamControl {
        &self.upstream
    }

    /// Reads Envoy's statistics as they are now; the filter writes its own a quarter of a second late.
    pub async fn stats(&self) -> Stats {
        Stats::parse(&self.admin("GET", "/stats/prometheus").await)
    }

    /// Reads those of Envoy's statistics whose names contain `filter`.
    pub async fn stats_of(&self, filter: &str) -> Stats {
        let target = format!("/stats/prometheus?filter={filter}");
        Stats::parse(&self.admin("GET", &target).await)
    }

    /// Tells where Envoy's admin interface is.
    #[must_use]
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.admin.expect("the stack's admin address is known"))
    }

    /// Asks Envoy's admin interface.
    pub async fn admin(&self, method: &str, target: &str) -> String {
        let admin = self.admin.expect("the stack's admin address is known");
        Request::new(admin, method, target).send().await.text()
    }

    /// Gives Envoy's process.
    #[must_use]
    pub fn envoy(&mut self) -> &mut Process {
        &mut self.own.as_mut().expect("a stack of this test's own").envoy
    }

    /// Gives the replayd beside Envoy.
    #[must_use]
    pub fn replayd(&self) -> &Replayd {
        let own = self.own.as_ref().and_then(|own| own.replayd.as_ref());
        own.expect("a stack with a replayd")
    }

    /// Gives the replayd beside Envoy, to be stopped and started.
    #[must_use]
    pub fn replayd_mut(&mut self) -> &mut Replayd {
        let own = self.own.as_mut().and_then(|own| own.replayd.as_mut());
        own.expect("a stack with a replayd")
    }

    /// Gives the relay between Envoy and replayd.
    #[must_use]
    pub fn relay(&self) -> &Relay {
        let own = self.own.as_ref().and_then(|own| own.relay.as_ref());
        own.expect("a stack with a relay")
    }

    /// Stops the upstream; what it remembers is lost.
    pub async fn stop_upstream(&mut self) {
        let own = self.own.as_mut().expect("a stack of this test's own");
        drop(own.upstream.take());
        let address = self.upstream.address();
        eventually("the upstream has stopped", START, || async {
            std::net::TcpListener::bind(address)
                .map(drop)
                .map_err(|error| error.to_string())
        })
        .await;
    }

    /// Starts a stopped upstream at its old address, with nothing in its memory.
    pub fn start_upstream(&mut self) {
        let address = self.upstream.address();
        let own = self.own.as_mut().expect("a stack of this test's own");
        own.upstream = Some(Upstream::start_at(address));
    }

    /// Stops the upstream and starts it again.
    pub async fn reboot_upstream(&mut self) {
        self.stop_upstream().await;
        self.start_upstream();
    }

    /// Reads Envoy's log so far.
    #[must_use]
    pub fn log(&self) -> String {
        let own = self.own.as_ref().expect("a stack of this test's own");
        String::from_utf8_lossy(&fs::read(own.folder.join("envoy.log")).unwrap_or_default()).into_owned()
    }

    /// Changes the filter's document in a running Envoy; needs [`Settings::lds`]. Gives whether Envoy took it.
    pub async fn reload(&self, change: Value) -> bool {
        let mut resources = self.resources("lds.json");
        let manager = &mut resources["resources"][0]["filter_chains"][0]["filters"][0]["typed_config"];
        merge(document_in(filter_in(manager)), change);
        let lds = ["success", "rejected"].map(|name| format!("listener_manager.lds.update_{name}"));
        self.judged("lds.json", &resources, &lds).await
    }

    /// Changes the filter's document in a running Envoy; needs [`Settings::ecds`]. Gives whether Envoy took it.
    pub async fn reload_filter(&self, change: Value) -> bool {
        let mut resources = self.resources("ecds.json");
        merge(document_in(&mut resources["resources"][0]), change);
        let ecds = ["update_success", "update_rejected"];
        let ecds = ecds.map(|name| format!("extension_config_discovery.http_filter.{FILTER}.{name}"));
        self.judged("ecds.json", &resources, &ecds).await
    }

    /// Replaces a file of resources and waits until one of Envoy's counters `[taken, refused]` has moved.
    async fn judged(&self, file: &str, content: &Value, counters: &[String; 2]) -> bool {
        let read = async || (self.gauge(&counters[0]).await, self.gauge(&counters[1]).await);
        let before = read().await;
        self.replace(file, content);
        eventually("Envoy has judged the new resources", START, || async {
            let now = read().await;
            if now == before {
                Err("not yet".to_owned())
            } else {
                Ok(now.0 > before.0)
            }
        })
        .await
    }

    /// Reads one of Envoy's own numbers by its full name; 0 if it is not there.
    pub async fn gauge(&self, name: &str) -> u64 {
        let text = self.admin("GET", &format!("/stats?filter={name}")).await;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.and_then(|value| value.parse().ok()).unwrap_or_default()
    }

    /// Waits until one of Envoy's own numbers has this value.
    pub async fn gauge_is(&self, name: &str, value: u64) {
        eventually(&format!("{name} is {value}"), START, || async {
            let now = self.gauge(name).await;
            if now == value {
                Ok(())
            } else {
                Err(format!("it is {now}"))
            }
        })
        .await;
    }

    /// Reads a file of resources.
    #[must_use]
    pub fn resources(&self, name: &str) -> Value {
        read_json(&self.file(name))
    }

    /// Replaces a file of resources in one step, as Envoy wants it.
    pub fn replace(&self, name: &str, content: &Value) {
        let next = self.file(&format!("{name}.next"));
        fs::write(&next, content.to_string()).expect("the new file is written");
        fs::rename(next, self.file(name)).expect("the new file is moved");
    }

    fn file(&self, name: &str) -> PathBuf {
        self.own.as_ref().expect("a stack of this test's own").folder.join(name)
    }

    /// Fails if Envoy's log complains of something that no setting allows. Each complaint is told once.
    #[track_caller]
    pub fn check_log(&self) {
        let Some(own) = &self.own else { return };
        let log = own.folder.join("envoy.log");
        let fresh = own.complaints.fresh(&log);
        assert!(
            fresh.is_empty(),
            "Envoy complains, see {}:\n{}",
            log.display(),
            fresh.join("\n")
        );
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        let Some(own) = &mut self.own else { return };
        own.envoy.kill();
        if failed {
            println!("logs are in {}", own.folder.display());
            return;
        }
        self.check_log();
        if let Some(own) = &self.own {
            let _ = fs::remove_dir_all(&own.folder);
        }
    }
}

fn address_in(variable: &str) -> Option<SocketAddr> {
    let url = std::env::var(variable).ok()?;
    let address = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    address
        .to_socket_addrs()
        .unwrap_or_else(|error| panic!("{variable}: {address}: {error}"))
        .next()
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("a file of resources")).expect("the file is JSON")
}

/// Puts the listener that has the filter into a file; the internal one stays.
fn move_listener(bootstrap: &mut Value, folder: &Path) {
    let listeners = bootstrap["static_resources"]["listeners"].as_array_mut();
    let mut edge = listeners.expect("the reference has listeners").remove(0);
    edge["@type"] = "type.googleapis.com/envoy.config.listener.v3.Listener".into();
    let lds = folder.join("lds.json");
    fs::write(&lds, json!({"resources": [edge]}).to_string()).expect("the listener is written");
    bootstrap["dynamic_resources"] = json!({"lds_config": {"path_config_source": {"path": lds}}});
}

/// Leaves the filter's name in its place, and puts what it is into a file.
fn move_filter(bootstrap: &mut Value, folder: &Path) {
    let manager = &mut bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0];
    let filter = filter_in(&mut manager["typed_config"]);
    let config = filter["typed_config"].take();
    let (ecds, kind) = (folder.join("ecds.json"), config["@type"].clone());
    *filter = json!({"name": FILTER, "config_discovery": {
        "config_source": {"path_config_source": {"path": ecds}}, "type_urls": [kind],
    }});
    let resource = json!({
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig", "name": FILTER, "typed_config": config,
    });
    fs::write(ecds, json!({"resources": [resource]}).to_string()).expect("the filter's configuration is written");
}

fn start_envoy(binary: &Path, folder: &Path, settings: &Settings) -> Process {
    let log = fs::File::create(folder.join("envoy.log")).expect("a log for Envoy");
    let prepare = |command: &mut Command| {
        command.args([
            "-c",
            "envoy.json",
            "-l",
            "warning",
            "--component-log-level",
            &format!("wasm:{}", settings.wasm_log),
            "--concurrency",
            &settings.workers.to_string(),
        ]);
        command.args([
            "--disable-hot-restart",
            "--drain-time-s",
            &settings.drain_s.to_string(),
            "--service-node",
            "test",
            "--service-cluster",
            "test",
        ]);
        command
            .current_dir(folder)
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log);
    };
    Process::start(binary, prepare).unwrap_or_else(|error| panic!("{}: {error}", binary.display()))
}

async fn ready(admin: SocketAddr, envoy: &mut Process, folder: &Path) {
    let envoy = std::cell::RefCell::new(envoy);
    eventually("Envoy is ready", START, || async {
        if let Some(status) = envoy.borrow_mut().ended() {
            let log = fs::read_to_string(folder.join("envoy.log")).unwrap_or_default();
            panic!("Envoy ended with {status}:\n{log}");
        }
        let asked = tokio::net::TcpStream::connect(admin)
            .await
            .map_err(|error| error.to_string());
        drop(asked?);
        let answer = Request::new(admin, "GET", "/ready").send().await;
        if answer.status == 200 {
            Ok(())
        } else {
            Err(answer.text())
        }
    })
    .await;
}

/// Starts what Envoy calls as replayd, and what stands between the two.
async fn start_replayd(settings: &Settings, folder: &Path, ports: &mut Ports) -> (Option<Replayd>, Option<Relay>) {
    let token = |token: &str| {
        fs::write(folder.join("reprise-data/ingest-token"), token).expect("the token is written");
    };
    let replayd = match &settings.replayd {
        Beside::None => {
            token("a token for nobody");
            return (None, None);
        }
        Beside::Own => {
            fs::write(folder.join("replayd.toml"), &settings.replayd_toml).expect("replayd's configuration is written");
            Some(Replayd::start(folder, ports.replayd, free_port()).await)
        }
        Beside::Other { ingest, token: shown } => {
            token(shown);
            ports.replayd = *ingest;
            None
        }
    };
    if !settings.relayed {
        return (replayd, None);
    }
    let relay = Relay::start(free_port(), ([127, 0, 0, 1], ports.replayd).into());
    ports.replayd = relay.address().port();
    (replayd, Some(relay))
}
