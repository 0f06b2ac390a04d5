//! A tour of what Reprise does, against a running stack: every step shows the real response and checks it.
//!
//! `tour EDGE_URL UPSTREAM_URL FOLDER PID`, as `scripts/up.sh --demo` calls it: replayd runs in the folder, and the process
//! is the upstream's, which the tour kills and starts again. It ends with 1 if anything is not as promised.
#![expect(
    clippy::print_stdout,
    clippy::panic,
    reason = "it is there to be read, and ends where it cannot go on"
)]

use reprise_tests::harness::{Connection, Process, Replayd, Request, Response, UpstreamControl, eventually, target};
use serde_json::{Value, json};
use std::hash::{BuildHasher as _, RandomState};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

/// What the tour walks through.
struct Tour {
    edge: SocketAddr,
    upstream: UpstreamControl,
    replayd: Replayd,
    upstream_pid: String,
    /// Tells this tour's keys from those of an earlier one.
    mark: String,
    broken: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [edge, upstream, folder, pid] = &arguments[..] else {
        println!("tour EDGE_URL UPSTREAM_URL FOLDER PID");
        return ExitCode::from(2);
    };
    let (Some(edge), Some(upstream)) = (address(edge), address(upstream)) else {
        println!("tour: {edge} or {upstream} is no address");
        return ExitCode::from(2);
    };
    let mark = format!("{:08x}", RandomState::new().hash_one(0) >> 32);
    let mut tour = Tour {
        edge,
        upstream: UpstreamControl::at(upstream),
        replayd: Replayd::running_in(Path::new(folder)),
        upstream_pid: pid.clone(),
        mark,
        broken: 0,
    };
    tour.one_payment().await;
    tour.many_at_once().await;
    tour.no_key().await;
    tour.hang_up().await;
    tour.hang_up_inline().await;
    tour.expiry().await;
    let _upstream = tour.lost_and_restored().await;
    println!();
    if tour.broken == 0 {
        println!("Everything was as promised.");
        return ExitCode::SUCCESS;
    }
    println!("{} promises were broken.", tour.broken);
    ExitCode::FAILURE
}

fn address(url: &str) -> Option<SocketAddr> {
    url.trim_start_matches("http://")
        .trim_end_matches('/')
        .to_socket_addrs()
        .ok()?
        .next()
}

impl Tour {
    fn payment(&self, key: &str) -> Request {
        let body = json!({"amount": 4200, "to": "ACME"});
        Request::new(self.edge, "POST", "/api/payments")
            .key(&format!("{key}-{}", self.mark))
            .json(&body)
    }

    async fn executed(&self) -> usize {
        self.upstream.executions("/api/payments").await
    }

    fn check(&mut self, promise: &str, kept: bool) {
        println!("   {} {promise}", if kept { "ok    " } else { "BROKEN" });
        self.broken += usize::from(!kept);
    }

    async fn one_payment(&mut self) {
        title("A payment, and the same request again");
        let before = self.executed().await;
        let post = self.payment("invoice-7");
        let (first, again) = (post.send().await, post.send().await);
        show("first", &first);
        show("again", &again);
        self.check("the first one is made", first.status == 201 && !first.is_answer());
        self.check(
            "the second one gets the same answer",
            again.is_answer() && again.body == first.body,
        );
        let executed = self.executed().await - before;
        self.check("the application ran once", executed == 1);

        title("The same key with another amount");
        let other = post.body("{\"amount\": 9900, \"to\": \"ACME\"}").send().await;
        show("other", &other);
        self.check("it is refused", other.status == 422);
        let executed = self.executed().await - before;
        self.check("the application still ran once", executed == 1);
    }

    async fn many_at_once(&mut self) {
        title("Twenty retries at once, while the first one runs");
        let before = self.executed().await;
        let gate = format!("tour-{}", self.mark);
        let post = self.payment("invoice-8").script(&json!({"gate": gate}));
        let mut sending = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let post = post.clone();
            sending.spawn(async move { post.send().await });
        }
        let mut refused = 0;
        for _ in 1..20 {
            let response = sending.join_next().await.and_then(Result::ok).unwrap_or_default();
            if refused == 0 {
                show("one of them", &response);
            }
            refused += usize::from(response.status == 409 && response.header("retry-after").is_some());
        }
        self.upstream.open(&gate).await;
        let first = sending.join_next().await.and_then(Result::ok).unwrap_or_default();
        show("the one that ran", &first);
        self.check("nineteen are told to come back", refused == 19);
        self.check("one is made", first.status == 201);
        let executed = self.executed().await - before;
        self.check("the application ran once", executed == 1);
    }

    async fn no_key(&mut self) {
        title("A payment without a key");
        let before = self.executed().await;
        let refused = self.payment("none").without("idempotency-key").send().await;
        show("no key", &refused);
        self.check("it is refused", refused.status == 400);
        let executed = self.executed().await - before;
        self.check("nothing ran", executed == 0);
    }

    async fn hang_up(&mut self) {
        title("A client that hangs up while its payment is made (payments run detached)");
        let before = self.executed().await;
        let gate = format!("hang-up-{}", self.mark);
        let post = self.payment("invoice-9").script(&json!({"gate": gate}));
        self.leave(&post, &gate).await;
        let meanwhile = post.send().await;
        show("its retry", &meanwhile);
        self.check(
            "the payment goes on without it",
            meanwhile.problem().as_deref() == Some("in-flight"),
        );
        self.upstream.open(&gate).await;
        let retry = settled(&post).await;
        show("and later", &retry);
        self.check("it finds its answer", retry.status == 201 && retry.is_answer());
        let executed = self.executed().await - before;
        self.check("it does not run a second time", executed == 1);
    }

    async fn hang_up_inline(&mut self) {
        title("A client that hangs up while its order is made (orders run inline: Envoy ends them with their client)");
        let before = self.upstream.executions("/api/orders").await;
        let gate = format!("hang-up-inline-{}", self.mark);
        let post = self.payment("order-9").at("/api/orders").script(&json!({"gate": gate}));
        self.leave(&post, &gate).await;
        let retry = settled(&post).await;
        show("its retry", &retry);
        self.check(
            "it is told that the outcome is unknown",
            retry.problem().as_deref() == Some("outcome-unknown"),
        );
        let executed = self.upstream.executions("/api/orders").await - before;
        self.check("it does not run a second time", executed == 1);
    }

    /// Sends a request, and hangs up while the application waits at the gate.
    async fn leave(&self, post: &Request, gate: &str) {
        let mut connection = Connection::open(self.edge).await;
        connection.write(post.bytes()).await;
        self.upstream.held(gate, 1).await;
        connection.hang_up();
    }

    async fn expiry(&mut self) {
        title("A key whose record has expired (this path keeps its records for two seconds)");
        let target = format!("/tour/expiry/{}", self.mark);
        let post = Request::new(self.edge, "POST", &target).key("short").body("{}");
        let (first, again) = (post.send().await, post.send().await);
        show("first", &first);
        show("again", &again);
        let later = eventually("the record expires", Duration::from_secs(10), || async {
            let response = post.send().await;
            if response.is_answer() {
                Err(response.text())
            } else {
                Ok(response)
            }
        })
        .await;
        show("two seconds later", &later);
        self.check("until then it is answered", again.is_answer());
        let executed = self.upstream.executions(&target).await;
        self.check("after that it is a new request", later.status == 201 && executed == 2);
    }

    /// Gives the upstream that it leaves behind: it lives as long as this process.
    async fn lost_and_restored(&mut self) -> Process {
        title("A queue of commands, in the memory of a process that dies");
        for command in ["restart wifi", "rotate logs", "open valve 7"] {
            let post = Request::new(self.edge, "POST", "/api/commands").json(&json!({"command": command}));
            show("command", &post.send().await);
        }
        let before = self.queue().await;
        println!("   its queue: {}", before.join(", "));
        self.check("three commands are queued", before.len() == 3);
        let captures = self.replayd.captured("path=/api/commands", 3).await;
        self.check("replayd has captured them", captures.len() == 3);

        title("The process is killed, and started again");
        let upstream = self.restart_upstream().await;
        let after = self.queue().await;
        println!(
            "   its queue: {}",
            if after.is_empty() {
                "empty".to_owned()
            } else {
                after.join(", ")
            }
        );
        self.check("it has forgotten everything", after.is_empty());

        let url = format!("http://{}", self.upstream.address());
        title(&format!("replayd restore --target {url} --yes"));
        let mut restore = self.replayd.command(&["restore", "--target", &url, "--yes"]);
        let restored = restore.status().is_ok_and(|status| status.success());
        self.check("the restore ends well", restored);
        let after = self.queue().await;
        println!("   its queue: {}", after.join(", "));
        self.check("the queue is as before", after == before);

        title("The same once more");
        let again = restore.status().is_ok_and(|status| status.success());
        self.check("it finds nothing left to do", again && self.queue().await == before);
        upstream
    }

    /// Reads the commands in the queue, past Envoy.
    async fn queue(&self) -> Vec<String> {
        let queue = Request::new(self.upstream.address(), "GET", "/api/commands")
            .send()
            .await
            .json();
        let command = |entry: &Value| entry["command"].as_str().map(str::to_owned);
        queue.as_array().into_iter().flatten().filter_map(command).collect()
    }

    async fn restart_upstream(&self) -> Process {
        let address = self.upstream.address();
        let killed = Command::new("kill").args(["-s", "KILL", &self.upstream_pid]).status();
        assert!(
            killed.is_ok_and(|status| status.success()),
            "the upstream cannot be killed"
        );
        eventually("the upstream is gone", Duration::from_secs(10), || async {
            std::net::TcpListener::bind(address)
                .map(drop)
                .map_err(|error| error.to_string())
        })
        .await;
        let program = target().join("debug/demo-upstream");
        let started = Process::start(&program, |command| {
            command.arg(address.to_string()).stdout(std::process::Stdio::null());
        });
        let process = started.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        eventually("the upstream listens", Duration::from_secs(10), || async {
            tokio::net::TcpStream::connect(address)
                .await
                .map(drop)
                .map_err(|error| error.to_string())
        })
        .await;
        process
    }
}

/// Repeats a request until the first one does not run any more.
async fn settled(post: &Request) -> Response {
    eventually("the first one is over", Duration::from_secs(10), || async {
        let response = post.send().await;
        if response.problem().as_deref() == Some("in-flight") {
            Err(response.text())
        } else {
            Ok(response)
        }
    })
    .await
}

fn title(text: &str) {
    println!("\n== {text}");
}

fn show(who: &str, response: &Response) {
    let mark = if response.is_answer() {
        "  (Idempotent-Replayed: true)"
    } else {
        ""
    };
    println!("   {who}: {} {}{mark}", response.status, response.text().trim());
}
