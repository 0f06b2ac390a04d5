//! A real replayd beside Envoy: its life, its REST interface and its command line.

use super::client::{Request, Response};
use super::process::{Process, replayd_binary};
use super::wait::eventually;
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long replayd may take to start or to end.
const START: Duration = Duration::from_secs(30);

/// A replayd with a data directory that outlives its process.
#[derive(Debug)]
pub struct Replayd {
    process: Option<Process>,
    folder: PathBuf,
    ingest: u16,
    console: u16,
}

/// How a command ended, and what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The exit code; -1 if a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Replayd {
    /// Starts one in `folder`, with its data in `reprise-data` there, that listens to Envoy at the port `ingest`.
    pub async fn start(folder: &Path, ingest: u16, console: u16) -> Self {
        let mut replayd = Self {
            process: None,
            folder: folder.to_owned(),
            ingest,
            console,
        };
        replayd.start_again().await;
        replayd
    }

    /// Takes one that runs already in `folder`, with its data in `reprise-data` there.
    #[must_use]
    pub fn running_in(folder: &Path) -> Self {
        let addresses = folder.join("reprise-data/addresses.json");
        let text = fs::read_to_string(&addresses).unwrap_or_else(|error| panic!("{}: {error}", addresses.display()));
        let addresses: Value = serde_json::from_str(&text).expect("addresses are JSON");
        let port = |name: &str| {
            let address = addresses[name]
                .as_str()
                .and_then(|address| address.parse::<SocketAddr>().ok());
            address.expect("an address of each listener").port()
        };
        Self {
            process: None,
            folder: folder.to_owned(),
            ingest: port("ingest"),
            console: port("console"),
        }
    }

    /// Starts the program again after its end, at the same addresses with the same data, and waits until it is ready.
    pub async fn start_again(&mut self) {
        self.spawn();
        self.is_ready().await;
    }

    /// Starts the program without waiting for it.
    pub fn spawn(&mut self) {
        let binary = replayd_binary().expect("replayd is built: cargo build -p replayd");
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join("replayd.log"))
            .expect("a log for replayd");
        let prepare = |command: &mut Command| {
            command.args(["serve", "--data-dir", "reprise-data"]);
            command.args(["--console-address", &format!("127.0.0.1:{}", self.console)]);
            command.args(["--ingest-address", &format!("127.0.0.1:{}", self.ingest)]);
            command
                .current_dir(&self.folder)
                .stdout(log.try_clone().expect("a second handle"))
                .stderr(log);
        };
        let process = Process::start(&binary, prepare).unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
        self.process = Some(process);
    }

    /// Waits until it is ready.
    pub async fn is_ready(&mut self) {
        let (console, ingest, log) = (self.console(), self.ingest, self.folder.join("replayd.log"));
        let process = std::cell::RefCell::new(self.process());
        eventually("replayd is ready", START, || async {
            if let Some(status) = process.borrow_mut().ended() {
                panic!(
                    "replayd ended with {status}: {}",
                    fs::read_to_string(&log).unwrap_or_default()
                );
            }
            for to in [console, ([127, 0, 0, 1], ingest).into()] {
                drop(
                    tokio::net::TcpStream::connect(to)
                        .await
                        .map_err(|error| error.to_string())?,
                );
            }
            let said = Request::new(console, "GET", "/readyz").send().await;
            (said.status == 200).then_some(()).ok_or_else(|| said.text())
        })
        .await;
    }

    /// Gives the running process.
    #[must_use]
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("replayd runs")
    }

    /// Kills it at once and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Asks it to end and waits until it has; tells how it ended.
    pub async fn terminate(&mut self) -> String {
        self.process().signal("TERM");
        let process = std::cell::RefCell::new(self.process.take().expect("replayd runs"));
        eventually("replayd ends", START, || async {
            process.borrow_mut().ended().ok_or_else(|| "it runs".to_owned())
        })
        .await
    }

    /// Tells where people and programs call it.
    #[must_use]
    pub fn console(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.console).into()
    }

    /// Tells where Envoy calls it.
    #[must_use]
    pub fn ingest(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.ingest).into()
    }

    /// Gives its data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.join("reprise-data")
    }

    /// Reads what Envoy shows to it.
    #[must_use]
    pub fn ingest_token(&self) -> String {
        self.token("ingest-token")
    }

    fn token(&self, name: &str) -> String {
        let token = fs::read_to_string(self.data().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        token.trim().to_owned()
    }

    /// Reads its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.join("replayd.log")).unwrap_or_default()).into_owned()
    }

    /// Writes `replayd.toml`, which the next start reads.
    pub fn configure(&self, toml: &str) {
        fs::write(self.folder.join("replayd.toml"), toml).expect("the configuration is written");
    }

    /// Begins a request to its REST interface, as its administrator.
    #[must_use]
    pub fn request(&self, method: &str, target: &str) -> Request {
        self.anonymous(method, target)
            .header("authorization", format!("Bearer {}", self.token("admin-token")))
    }

    /// Begins a request to its REST interface, as nobody.
    #[must_use]
    pub fn anonymous(&self, method: &str, target: &str) -> Request {
        Request::new(self.console(), method, target)
    }

    /// Asks for JSON and expects 200.
    pub async fn get(&self, target: &str) -> Value {
        let said = self.request("GET", target).send().await;
        assert_eq!(said.status, 200, "{target}: {}", said.text());
        said.json()
    }

    /// Sends JSON and expects a status below 300.
    pub async fn post(&self, target: &str, body: &Value) -> Value {
        let said = self.request("POST", target).json(body).send().await;
        assert!(
            (200..300).contains(&said.status),
            "{target}: {} {}",
            said.status,
            said.text()
        );
        said.json()
    }

    /// Lists all captures that `query` (as `path=/x&method=POST`; empty = all) means, in the order of receipt.
    pub async fn captures(&self, query: &str) -> Vec<Value> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let mut page = self
                .get(&format!("/api/v1/captures?order_by=id&limit=500&{query}{cursor}"))
                .await;
            all.append(page["items"].as_array_mut().expect("a page has items"));
            let Some(next) = page["next"].as_str() else {
                return all;
            };
            cursor = format!("&cursor={next}");
        }
    }

    /// Waits until `count` captures are there that `query` means; gives them in the order of receipt.
    pub async fn captured(&self, query: &str, count: usize) -> Vec<Value> {
        eventually(
            &format!("{count} captures {query}"),
            Duration::from_secs(20),
            || async {
                let all = self.captures(query).await;
                let complaint = || format!("{} are there", all.len());
                if all.len() < count {
                    return Err(complaint());
                }
                assert!(all.len() == count, "{count} captures {query}: {}", complaint());
                Ok(all)
            },
        )
        .await
    }

    /// Shows one capture, whole.
    pub async fn capture(&self, id: &Value) -> Value {
        self.get(&format!("/api/v1/captures/{id}")).await
    }

    /// Gives the bytes of a capture's body, `half` being `request` or `response`.
    pub async fn body(&self, id: &Value, half: &str) -> Vec<u8> {
        let said: Response = self
            .request("GET", &format!("/api/v1/captures/{id}/{half}"))
            .send()
            .await;
        assert_eq!(said.status, 200, "{}", said.text());
        said.body
    }

    /// Runs a command of replayd's against it, to its end.
    pub async fn run(&self, arguments: &[&str]) -> Ran {
        let child = self.command(arguments);
        tokio::task::spawn_blocking(move || ran(child))
            .await
            .expect("the command is waited for")
    }

    /// Prepares a command of replayd's against it.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(replayd_binary().expect("replayd is built"));
        command.args(arguments).args(["--data-dir", "reprise-data"]);
        command.current_dir(&self.folder).stdin(std::process::Stdio::null());
        command
    }
}

fn ran(mut command: Command) -> Ran {
    let output = command.output().expect("the command runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}
