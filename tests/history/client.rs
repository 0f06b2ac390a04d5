//! A client: it works off the plans of its keys, and writes down what it was told.

use super::plan::{ECHO, Manner, Plan, Try, TryId};
use crate::harness::{Connection, Response, eventually, monotonic_micros};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// A response that takes longer never comes.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a client was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    Reply(Reply),
    /// The connection ended before the response did.
    Broken,
    /// The client hung up itself.
    Left,
    /// No response came, and the connection stayed.
    Nothing,
}

/// A whole response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) is_answer: bool,
    /// Whose response the upstream says it is.
    pub(super) echo: Option<TryId>,
    pub(super) problem: Option<String>,
    pub(super) location: Option<String>,
    pub(super) shows_effect: bool,
    pub(super) body: Vec<u8>,
}

impl Reply {
    fn read(response: Response) -> Self {
        Self {
            status: response.status,
            is_answer: response.is_answer(),
            echo: response.header(ECHO).and_then(TryId::read),
            problem: response.problem(),
            location: response.header("location").map(str::to_owned),
            shows_effect: response.header("reprise-effect").is_some(),
            body: response.body,
        }
    }

    /// Tells whether Envoy speaks for itself here.
    pub(super) const fn is_local(&self) -> bool {
        self.echo.is_none() && self.problem.is_none()
    }

    /// Tells whether it is this problem.
    pub(super) fn is(&self, problem: &str) -> bool {
        self.problem.as_deref() == Some(problem)
    }
}

/// A try and what came of it; times are in microseconds of the machine's monotonic clock.
#[derive(Debug, Clone)]
pub(super) struct Tried {
    pub(super) plan: Try,
    pub(super) sent: u64,
    pub(super) ended: u64,
    pub(super) said: Said,
}

/// A key and all that was done with it, in the order of the tries' ends.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) plan: Plan,
    pub(super) tried: Vec<Tried>,
    pub(super) is_settled: bool,
}

/// The keys of a round, each given to one client.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) edge: SocketAddr,
    pub(super) seed: u64,
    pub(super) round: u64,
    pub(super) areas: &'static [&'static str],
    pub(super) keys: u64,
    /// How many VMs are killed meanwhile.
    pub(super) traps: u64,
    pub(super) next: AtomicU64,
}

/// One client with the connections that it keeps.
pub(super) struct Client {
    queue: Arc<Queue>,
    idle: Vec<Connection>,
}

impl Client {
    pub(super) const fn new(queue: Arc<Queue>) -> Self {
        Self {
            queue,
            idle: Vec::new(),
        }
    }

    /// Works until the queue is empty and each of its keys has an end.
    pub(super) async fn work(mut self) -> Vec<Key> {
        let mut keys = Vec::new();
        loop {
            let n = self.queue.next.fetch_add(1, Ordering::Relaxed);
            if self.queue.keys <= n {
                break;
            }
            if self.queue.traps > 0 && n % (self.queue.keys / self.queue.traps) == 1 {
                self.kill_a_vm().await;
            }
            keys.push(self.key(n).await);
        }
        for key in keys.iter_mut().filter(|key| !key.is_settled) {
            self.settle(key).await;
        }
        keys
    }

    async fn kill_a_vm(&self) {
        let request = crate::harness::Request::new(self.queue.edge, "GET", "/trap").header("x-reprise-trap", "1");
        let mut connection = Connection::open(self.queue.edge).await;
        let _ = timeout(PATIENCE, connection.send(&request)).await;
    }

    async fn key(&mut self, n: u64) -> Key {
        let plan = Plan::draw(self.queue.seed, self.queue.round, n, self.queue.areas);
        let mut tried = Vec::new();
        for wave in &plan.waves {
            tried.extend(self.wave(&plan, wave).await);
        }
        let question = plan.question(tried.len());
        let end = self.one(&plan, question).await;
        let is_settled = is_an_end(&end.said);
        tried.push(end);
        Key {
            plan,
            tried,
            is_settled,
        }
    }

    /// Sends all tries of a wave at once.
    async fn wave(&mut self, plan: &Plan, wave: &[Try]) -> Vec<Tried> {
        let mut sending = JoinSet::new();
        for each in wave {
            let (edge, plan, each, open) = (self.queue.edge, plan.clone(), *each, self.idle.pop());
            sending.spawn(async move { run(edge, &plan, each, open).await });
        }
        let mut tried = Vec::new();
        while let Some(done) = sending.join_next().await {
            let (done, open) = done.expect("a try panics only where the harness does");
            tried.push(done);
            self.idle.extend(open);
        }
        tried
    }

    async fn one(&mut self, plan: &Plan, each: Try) -> Tried {
        let (tried, open) = run(self.queue.edge, plan, each, self.idle.pop()).await;
        self.idle.extend(open);
        tried
    }

    /// Asks how a key ended until it has an end.
    async fn settle(&self, key: &mut Key) {
        let (edge, plan, first) = (self.queue.edge, &key.plan, key.tried.len());
        let asked = Mutex::new(Vec::new());
        let ends = eventually("the key has an end", 2 * PATIENCE, || async {
            let n = first
                + asked
                    .lock()
                    .map(|asked: std::sync::MutexGuard<'_, Vec<_>>| asked.len())
                    .unwrap_or_default();
            let (tried, _) = run(edge, plan, plan.question(n), None).await;
            let said = tried.said.clone();
            if let Ok(mut asked) = asked.lock() {
                asked.push(tried);
            }
            if is_an_end(&said) {
                Ok(())
            } else {
                Err(format!("{said:?}"))
            }
        });
        key.is_settled = timeout(PATIENCE, ends).await.is_ok();
        key.tried.extend(asked.into_inner().unwrap_or_default());
    }
}

/// Tells whether a key's outcome is known by this: neither in flight, nor Envoy's own words.
fn is_an_end(said: &Said) -> bool {
    match said {
        Said::Reply(reply) => !reply.is_local() && !reply.is("in-flight"),
        Said::Nothing => true,
        Said::Broken | Said::Left => false,
    }
}

async fn run(edge: SocketAddr, plan: &Plan, each: Try, open: Option<Connection>) -> (Tried, Option<Connection>) {
    let mut connection = match open {
        Some(open) => open,
        None => Connection::open(edge).await,
    };
    let request = plan.request(edge, &each);
    let sent = monotonic_micros();
    let (said, open) = match each.manner {
        Manner::Stays => {
            let said = timeout(PATIENCE, connection.send(&request))
                .await
                .map_or(Said::Nothing, said);
            (said, Some(connection))
        }
        Manner::LeavesMidUpload => {
            let all = request.bytes();
            connection.write(&all[..all.len() - plan.body_bytes / 2]).await;
            connection.hang_up();
            (Said::Left, None)
        }
        Manner::LeavesAfterUpload { ms } => {
            connection.write(request.bytes()).await;
            let _ = timeout(Duration::from_millis(ms), connection.read_bytes(1)).await;
            connection.hang_up();
            (Said::Left, None)
        }
    };
    let open = open.filter(|_| matches!(&said, Said::Reply(reply) if !reply.is_local()));
    let tried = Tried {
        plan: each,
        sent,
        ended: monotonic_micros(),
        said,
    };
    (tried, open)
}

fn said(response: Response) -> Said {
    if response.status == 0 || !response.complete {
        return Said::Broken;
    }
    Said::Reply(Reply::read(response))
}
