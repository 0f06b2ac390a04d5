//! Waiters of workers whose host calls interleave: whoever goes on in between, nobody is forgotten.

use super::small;
use super::turns::{Order, Turn, Turns};
use crate::fake::{Worker, World, map};
use crate::http::{Exchange, Flow};
use crate::queues;
use crate::root::{self, Root};
use crate::vm::Vm;
use proptest::prelude::*;
use reprise_core::time::Millis;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

/// What happened, in the order in which it did.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Saw {
    Ran,
    /// The upstream's response is recorded, or says that nothing ran.
    Ended {
        released: bool,
    },
    Answered,
    Refused(String),
    /// A request that waits, and that nobody will wake.
    Forgotten,
}

struct Client {
    host: Turn,
    vm: Vm,
    root: Rc<Root>,
    saw: Arc<Mutex<Vec<Saw>>>,
    held: Vec<(u32, Exchange)>,
    /// How many of the first runs of all take no effect.
    releases: usize,
}

impl Client {
    fn post(&mut self, id: u32) {
        let mut exchange = Exchange::new(Some(Rc::clone(&self.root)), id);
        let head = [(":method", "POST"), (":path", "/pay"), ("idempotency-key", "k")];
        *self.host.own.request.borrow_mut() = map(&[&head[..], &[(":authority", "a"), (":scheme", "http")]].concat());
        self.host.own.buffer.borrow_mut().clear();
        let flow = exchange.request_headers(&self.host, &mut self.vm, false);
        if flow == Flow::Continue {
            self.saw(Saw::Ran);
        }
        *self.host.own.buffer.borrow_mut() = b"body".to_vec();
        let went_on = exchange.request_body(&self.host, &mut self.vm, 4, true);
        match (flow, went_on) {
            (Flow::Continue, _) => self.respond(&mut exchange),
            (Flow::Pause, Flow::Continue) => {
                self.saw(Saw::Ran);
                self.respond(&mut exchange);
            }
            (Flow::Pause, Flow::Pause) => self.held.push((id, exchange)),
        }
        self.hear();
    }

    /// Takes note of the replies that were given.
    fn hear(&self) {
        for reply in self.host.own.replies.borrow_mut().drain(..) {
            self.saw(match reply.status {
                201 => Saw::Answered,
                _ => Saw::Refused(reply.kind()),
            });
        }
    }

    fn respond(&mut self, exchange: &mut Exchange) {
        let runs = self.saw.lock().unwrap().iter().filter(|saw| **saw == Saw::Ran).count();
        let released = runs <= self.releases;
        let effect = if released { "none" } else { "some" };
        let headers = [
            (":status", "201"),
            ("x-envoy-upstream-service-time", "1"),
            ("reprise-effect", effect),
        ];
        *self.host.own.response.borrow_mut() = map(&headers);
        let once = (
            "upstream.request_attempt_count".to_owned(),
            1_u64.to_le_bytes().to_vec(),
        );
        self.host.own.properties.borrow_mut().extend([once]);
        exchange.response_headers(&self.host, &mut self.vm, false);
        *self.host.own.buffer.borrow_mut() = b"paid".to_vec();
        // Told before the claim ends: with its end another may run.
        self.saw(Saw::Ended { released });
        exchange.response_body(&self.host, &mut self.vm, 4, true);
        exchange.log(&self.host, &mut self.vm);
    }

    /// Has the root called for what is in the worker's queue; what goes on then runs.
    fn wake(&mut self) {
        if let Some((_, queue)) = queues::open(&self.host, &mut self.vm, Millis(300)) {
            queues::woken(&self.host, &mut self.vm, queue, 0);
        }
        self.hear();
        let resumed: Vec<_> = self.host.own.resumed.borrow_mut().drain(..).collect();
        for (id, _) in resumed {
            let at = self.held.iter().position(|(held, _)| *held == id).unwrap();
            let (_, mut exchange) = self.held.remove(at);
            self.saw(Saw::Ran);
            self.respond(&mut exchange);
        }
    }

    fn saw(&self, what: Saw) {
        self.saw.lock().unwrap().push(what);
    }
}

/// Has each of `workers` workers send two requests in this order, of which the first `releases` runs take no effect.
fn run(workers: usize, releases: usize, order: &Order) -> Vec<Saw> {
    let document = small(r#""in_flight": "wait""#);
    let world = World::new();
    drop(Worker::start(&world, &document));
    let turns = Turns::new(&world, workers, order);
    let saw = Arc::new(Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for id in 0..workers {
            let (turns, saw, document) = (Arc::clone(&turns), Arc::clone(&saw), &document);
            scope.spawn(move || live((id, &turns), document, saw, releases));
        }
    });
    let saw = saw.lock().unwrap();
    saw.clone()
}

fn live((id, turns): (usize, &Arc<Turns>), document: &str, saw: Arc<Mutex<Vec<Saw>>>, releases: usize) {
    turns.wait(id);
    let (host, mut vm) = (Turn::new(id, turns, document), Vm::default());
    let root = root::configure(&host, &mut vm, document.as_bytes()).unwrap().unwrap();
    host.takes_turns.set(true);
    let mut client = Client {
        host,
        vm,
        root,
        saw,
        held: Vec::new(),
        releases,
    };
    client.post(1);
    client.post(2);
    while turns.sleep(id) {
        client.wake();
    }
    for _ in 0..client.vm.waits.count() {
        client.saw(Saw::Forgotten);
    }
    client.host.takes_turns.set(false);
    turns.leave(id);
}

/// Tells what is wrong with what was seen, if anything is.
fn wrong(saw: &[Saw], requests: usize) -> Option<&'static str> {
    let (mut running, mut stored) = (false, false);
    for each in saw {
        match each {
            Saw::Ran if running => return Some("two ran at once"),
            Saw::Ran if stored => return Some("one ran after another was recorded"),
            Saw::Ran => running = true,
            Saw::Ended { released } => {
                running = false;
                stored |= !released;
            }
            Saw::Forgotten => return Some("a waiter was forgotten"),
            Saw::Refused(_) => return Some("one was refused that had time to wait"),
            Saw::Answered => {}
        }
    }
    let is_end = |saw: &&Saw| matches!(saw, Saw::Answered | Saw::Ended { .. });
    (saw.iter().filter(is_end).count() != requests).then_some("a request has no end")
}

#[track_caller]
fn check(workers: usize, releases: usize, order: &Order) {
    let saw = run(workers, releases, order);
    if let Some(wrong) = wrong(&saw, 2 * workers) {
        panic!("{wrong}: {order:?}\n{saw:#?}");
    }
}

/// Gives every order of two workers with two changes of turn.
fn orders(calls: usize) -> impl Iterator<Item = Order> {
    let changes = (0..calls).flat_map(move |one| (one..calls).map(move |two| (one, two)));
    changes.map(|(one, two)| {
        let mut choices = vec![0; two + 1];
        choices[one] = 1;
        choices[two] = 1;
        Order {
            choices,
            ..Order::default()
        }
    })
}

#[test]
fn nobody_is_forgotten_whoever_goes_on_in_between() {
    for order in orders(40) {
        check(2, 0, &order);
    }
}

#[test]
fn nobody_is_forgotten_after_a_release_whoever_goes_on_in_between() {
    for order in orders(40) {
        check(2, 1, &order);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn nobody_is_forgotten_on_three_workers(choices in prop::collection::vec(0_u8..3, 0..150), releases in 0_usize..3) {
        let order = Order { choices, ..Order::default() };
        let saw = run(3, releases, &order);
        prop_assert_eq!(wrong(&saw, 6), None, "{:#?}", saw);
    }
}
