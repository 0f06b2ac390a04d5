//! One compose project for all cases: started by the first, removed after the last, also if that one fails.

use reprise_tests::harness::{Stack, eventually, root, skip, target};
use std::hash::{BuildHasher as _, RandomState};
use std::io::Write as _;
use std::net::SocketAddr;
use std::ops::Deref;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};

/// How long the stack may take to serve, and to find a container that has come back.
const PATIENCE: Duration = Duration::from_secs(60);

static PROJECT: Mutex<Option<Project>> = Mutex::const_new(None);

/// A running compose project; removed when dropped, and when this process ends in whatever way.
struct Project {
    name: String,
    /// Waits for the end of its input, which comes with the end of this process at the latest; then saves the logs and
    /// removes everything.
    keeper: Child,
    log: PathBuf,
    failed: bool,
}

impl Project {
    fn start() -> Self {
        let name = format!("reprise-{:016x}", RandomState::new().hash_one(0));
        let log = target().join("containers").join(format!("{name}.log"));
        std::fs::create_dir_all(target().join("containers")).unwrap();
        let written = std::fs::File::create(&log).unwrap();
        let mut keeper = Command::new("sh");
        keeper.args([
            "-c",
            // What is paused cannot be stopped.
            r#"cat; "$0" unpause; "$0" logs --no-color; exec "$0" down -v -t 1"#,
        ]);
        keeper.arg(root().join("scripts/docker.sh"));
        // In a group of its own, Ctrl-C does not reach it.
        keeper
            .env("REPRISE_PROJECT", &name)
            .stdin(Stdio::piped())
            .stdout(written.try_clone().unwrap())
            .stderr(written)
            .process_group(0);
        let mut project = Self {
            keeper: keeper.spawn().unwrap(),
            log,
            failed: true,
            name,
        };
        let mut up = Command::new(root().join("scripts/docker.sh"));
        run(up.args(["up", "-d"]).env("REPRISE_PROJECT", &project.name)).unwrap_or_else(|said| panic!("{said}"));
        project.failed = false;
        project
    }

    /// Runs a docker command on the container of a service, running or not.
    fn act(&self, command: &[&str], service: &str) -> Result<String, String> {
        let label = |name: &str, value: &str| format!("--filter=label=com.docker.compose.{name}={value}");
        let (project, service) = (label("project", &self.name), label("service", service));
        let container = docker(&["ps", "--all", "--quiet", &project, &service])?;
        docker(&[command, &[&container]].concat())
    }

    /// Tells where a service's port is published; it moves when the container starts again.
    fn published(&self, service: &str, port: u16) -> SocketAddr {
        let told = self.act(&["port"], service).unwrap_or_else(|said| panic!("{said}"));
        let line = told
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{port}/tcp -> ")));
        line.unwrap_or_else(|| panic!("{service}: {port} is not published: {told}"))
            .parse()
            .unwrap()
    }

    /// Names the network that Envoy shares with the upstream.
    fn application(&self) -> String {
        format!("{}_application", self.name)
    }

    fn stack(&self) -> Stack {
        Stack::at(self.published("envoy", 10_000), self.published("upstream", 8080))
            .with_admin(self.published("envoy", 9901))
    }

    /// Undoes what a failed test may have left, so that the next one finds everything whole.
    fn mend(&self) {
        let _ = self.act(&["unpause"], "upstream");
        let _ = self.act(&["start"], "upstream");
        let _ = self.act(&["network", "connect", &self.application()], "envoy");
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let removed = self.keeper.wait().is_ok_and(|status| status.success());
        if self.failed || !removed {
            println!("logs are in {}", self.log.display());
        } else {
            let _ = std::fs::remove_file(&self.log);
        }
    }
}

/// One test's turn; the last one's end removes the project.
pub(crate) struct Turn(MutexGuard<'static, Option<Project>>);

impl Drop for Turn {
    fn drop(&mut self) {
        static ENDED: AtomicUsize = AtomicUsize::new(0);
        if std::thread::panicking()
            && let Some(project) = self.0.as_mut()
        {
            project.failed = true;
            project.mend();
        }
        if ENDED.fetch_add(1, Ordering::Relaxed) + 1 == *SELECTED {
            *self.0 = None;
        }
    }
}

/// How many tests this process runs, as it tells when it is asked with the same arguments.
static SELECTED: LazyLock<usize> = LazyLock::new(|| {
    let mut list = Command::new(std::env::current_exe().unwrap());
    list.args(std::env::args_os().skip(1))
        .args(["--list", "--format", "terse"]);
    let names = run(&mut list).unwrap_or_default();
    names.lines().filter(|line| line.ends_with(": test")).count()
});

/// The stack in containers, for as long as one test needs it.
pub(crate) struct Containers {
    turn: Turn,
    stack: Stack,
}

/// Gives a test its turn, without the stack.
pub(crate) async fn turn() -> Turn {
    Turn(PROJECT.lock().await)
}

/// Gives the stack in containers when it is this test's turn; none if something is missing and not required.
pub(crate) async fn containers() -> Option<Containers> {
    let mut turn = Turn(PROJECT.lock().await);
    if turn.0.is_none() {
        if let Some(missing) = missing() {
            skip("docker", &missing);
            return None;
        }
        *turn.0 = Some(Project::start());
    }
    let stack = turn.0.as_ref()?.stack();
    let containers = Containers { turn, stack };
    containers.reaches_the_upstream().await;
    Some(containers)
}

/// Tells what is missing to start at all.
pub(crate) fn missing() -> Option<String> {
    if let Err(said) = docker(&["info"]) {
        return Some(format!("no docker: {said}"));
    }
    let images = docker(&[
        "image",
        "inspect",
        "reprise-replayd:local",
        "reprise-demo-upstream:local",
    ]);
    images
        .err()
        .map(|_| "no images; scripts/images.sh builds them".to_owned())
}

impl Deref for Containers {
    type Target = Stack;

    fn deref(&self) -> &Stack {
        &self.stack
    }
}

impl Containers {
    fn project(&self) -> &Project {
        self.turn.0.as_ref().unwrap()
    }

    fn act(&self, command: &[&str], service: &str) {
        self.project()
            .act(command, service)
            .unwrap_or_else(|said| panic!("{said}"));
    }

    /// Kills the upstream at once.
    pub(crate) fn kill_upstream(&self) {
        self.act(&["kill", "--signal", "KILL"], "upstream");
    }

    /// Starts a killed upstream again, with an empty memory.
    pub(crate) async fn start_upstream(&mut self) {
        self.act(&["start"], "upstream");
        self.stack = self.project().stack();
        self.reaches_the_upstream().await;
    }

    /// Runs a command of replayd's where it serves; gives what it said, as an error if it ends with one.
    pub(crate) fn replayd(&self, arguments: &[&str]) -> Result<String, String> {
        let project = self.project();
        let label = |name: &str, value: &str| format!("--filter=label=com.docker.compose.{name}={value}");
        let (mine, service) = (label("project", &project.name), label("service", "replayd"));
        let container = docker(&["ps", "--quiet", &mine, &service])?;
        docker(
            &[
                &["exec", &container, "/usr/local/bin/replayd"],
                arguments,
                &["--data-dir", "/data"],
            ]
            .concat(),
        )
    }

    /// Waits until replayd lists at least `count` captures that `query` means.
    pub(crate) async fn has_captured(&self, query: &str, count: usize) {
        let arguments: Vec<String> = query
            .split('&')
            .filter_map(|part| part.split_once('='))
            .flat_map(|(name, value)| [format!("--{name}"), value.to_owned()])
            .collect();
        let arguments: Vec<&str> = ["captures", "list", "--json"]
            .into_iter()
            .chain(arguments.iter().map(String::as_str))
            .collect();
        eventually("replayd has captured it", PATIENCE, || async {
            let said = self.replayd(&arguments)?;
            let listed = said.matches("\"target\"").count();
            (count <= listed).then_some(()).ok_or(said)
        })
        .await;
    }

    /// Stops the upstream where it is.
    pub(crate) fn pause_upstream(&self) {
        self.act(&["pause"], "upstream");
    }

    /// Lets a paused upstream go on.
    pub(crate) fn unpause_upstream(&self) {
        self.act(&["unpause"], "upstream");
    }

    /// Restarts Envoy, and waits until it serves; it has no connection to the upstream then.
    pub(crate) async fn restart_envoy(&mut self) {
        self.act(&["restart", "--time", "1"], "envoy");
        self.stack = self.project().stack();
        eventually("Envoy is ready", PATIENCE, || async {
            let said = self.admin("GET", "/ready").await;
            (said.trim() == "LIVE").then_some(()).ok_or(said)
        })
        .await;
        self.gauge_is("cluster.upstream.membership_healthy", 1).await;
    }

    /// Takes Envoy out of the network that it shares with the upstream.
    pub(crate) fn part(&self) {
        self.act(&["network", "disconnect", &self.project().application()], "envoy");
    }

    /// Brings Envoy and the upstream together again.
    pub(crate) async fn rejoin(&self) {
        self.act(&["network", "connect", &self.project().application()], "envoy");
        self.reaches_the_upstream().await;
    }

    async fn reaches_the_upstream(&self) {
        eventually("Envoy reaches the upstream", PATIENCE, || async {
            let response = self.request("GET", "/reached").send().await;
            let reached = (200..300).contains(&response.status);
            reached
                .then_some(())
                .ok_or_else(|| format!("{}: {}", response.status, response.text()))
        })
        .await;
    }
}

pub(crate) fn docker(arguments: &[&str]) -> Result<String, String> {
    run(Command::new("docker").args(arguments))
}

/// Runs a docker command that reads `input` before it says much.
pub(crate) fn fed(arguments: &[&str], input: &[u8]) -> Result<String, String> {
    let mut command = Command::new("docker");
    command.args(arguments);
    run_fed(&mut command, input)
}

/// Runs a program to its end; gives what it printed, or its complaint if it failed.
fn run(command: &mut Command) -> Result<String, String> {
    run_fed(command, b"")
}

fn run_fed(command: &mut Command, input: &[u8]) -> Result<String, String> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    // A program that does not want all of it says why itself.
    let _refused = child.stdin.take().map(|mut stdin| stdin.write_all(input));
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(format!("{command:?}: {}", text(&output.stderr)))
    }
}
