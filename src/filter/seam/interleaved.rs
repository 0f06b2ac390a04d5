//! Claims of workers whose host calls interleave in every way that a few changes of turn allow, and in many others.

use super::turns::{Death, Order, Turn, Turns};
use super::{SMALL, small};
use crate::fake::{Worker, World, map};
use crate::http::{Exchange, Flow};
use crate::metrics::Count;
use crate::root::{self, Root};
use crate::vm::Vm;
use proptest::prelude::*;
use reprise_core::claim::State;
use reprise_core::claim::bucket::Bucket;
use reprise_core::claim::geometry::Name;
use reprise_core::claim::record::Record;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

/// What one worker saw.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Saw {
    /// It sent the request on.
    Ran,
    /// It recorded this response.
    Stored(String),
    /// It gave this answer.
    Answered(String),
    /// It refused with this problem.
    Refused(String),
}

struct Client {
    host: Turn,
    vm: Vm,
    root: Rc<Root>,
    saw: Arc<Mutex<Vec<Saw>>>,
}

impl Client {
    /// Sends one request with the one key, and has the upstream answer it, if it comes there.
    fn post(&mut self, n: u32) {
        let mut exchange = Exchange::new(Some(Rc::clone(&self.root)), n + 1);
        let head = [(":method", "POST"), (":path", "/pay"), ("idempotency-key", "k")];
        *self.host.own.request.borrow_mut() = map(&[&head[..], &[(":authority", "a"), (":scheme", "http")]].concat());
        if exchange.request_headers(&self.host, &mut self.vm, false) == Flow::Continue {
            self.saw(Saw::Ran);
        }
        *self.host.own.buffer.borrow_mut() = b"body".to_vec();
        exchange.request_body(&self.host, &mut self.vm, 4, true);
        let reply = self.host.own.replies.borrow_mut().pop();
        match reply {
            Some(reply) if reply.status == 201 => {
                self.saw(Saw::Answered(String::from_utf8_lossy(&reply.body).into_owned()));
            }
            Some(reply) => self.saw(Saw::Refused(reply.kind())),
            None => self.respond(&mut exchange, n),
        }
    }

    fn respond(&mut self, exchange: &mut Exchange, n: u32) {
        let body = format!("run {n} of worker {}", self.host.id);
        let stored = self.vm.metrics.pending(Count::EndStored);
        *self.host.own.response.borrow_mut() = map(&[(":status", "201"), ("x-envoy-upstream-service-time", "1")]);
        exchange.response_headers(&self.host, &mut self.vm, false);
        *self.host.own.buffer.borrow_mut() = body.as_bytes().to_vec();
        exchange.response_body(&self.host, &mut self.vm, body.len(), true);
        exchange.log(&self.host, &mut self.vm);
        if self.vm.metrics.pending(Count::EndStored) > stored {
            self.saw(Saw::Stored(body));
        }
    }

    fn saw(&self, what: Saw) {
        self.saw.lock().unwrap().push(what);
    }
}

/// Has each of `workers` workers send two requests in this order; shows what they saw, and what is left.
fn run(document: &str, workers: usize, order: &Order) -> (Vec<Saw>, Arc<Turns>) {
    let world = World::new();
    drop(Worker::start(&world, document));
    let turns = Turns::new(&world, workers, order);
    let saw = Arc::new(Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for id in 0..workers {
            let (turns, saw) = (Arc::clone(&turns), Arc::clone(&saw));
            scope.spawn(move || live(id, &turns, document, &saw));
        }
    });
    let saw = saw.lock().unwrap().clone();
    (saw, turns)
}

fn live(id: usize, turns: &Arc<Turns>, document: &str, saw: &Arc<Mutex<Vec<Saw>>>) {
    turns.wait(id);
    let life = catch_unwind(AssertUnwindSafe(|| {
        let (host, mut vm) = (Turn::new(id, turns, document), Vm::default());
        let root = root::configure(&host, &mut vm, document.as_bytes()).unwrap().unwrap();
        host.takes_turns.set(true);
        let saw = Arc::clone(saw);
        let mut client = Client { host, vm, root, saw };
        client.post(1);
        client.post(2);
    }));
    turns.leave(id);
    if let Err(cause) = life
        && !cause.is::<Death>()
    {
        std::panic::resume_unwind(cause);
    }
}

/// Tells what is wrong with what was seen, if anything is.
fn wrong(saw: &[Saw], turns: &Turns, runs_max: usize) -> Option<String> {
    let runs = saw.iter().filter(|each| **each == Saw::Ran).count();
    if runs > runs_max {
        return Some(format!("ran {runs} times"));
    }
    let is_stray = |each: &&Saw| match each {
        Saw::Answered(body) => !saw.contains(&Saw::Stored(body.clone())),
        _ => false,
    };
    if let Some(stray) = saw.iter().find(is_stray) {
        return Some(format!("{stray:?} is no record"));
    }
    let data = turns.data();
    for n in 0..2 {
        let bucket = Bucket::read(data[&format!("b:{n}")].0.clone()).unwrap();
        for (at, way) in bucket.ways().filter(|(_, way)| way.state == State::Done) {
            let record = &data[Name::default().record(n, at)].0;
            if Record::read(record).is_none_or(|record| record.fence != way.fence) {
                return Some(format!("way {at} is done, and its record is not there"));
            }
        }
    }
    None
}

#[track_caller]
fn check(document: &str, workers: usize, order: &Order, runs_max: usize) {
    let (saw, turns) = run(document, workers, order);
    if let Some(wrong) = wrong(&saw, &turns, runs_max) {
        panic!("{wrong}: {order:?}\n{saw:#?}");
    }
}

/// Gives every order in which `most` times at most another than the next in turn goes on.
fn orders(calls: usize, passes: u32) -> impl Iterator<Item = Order> {
    let one = move |at: usize, choice: u8| {
        let mut choices = vec![0; at];
        choices.push(choice);
        choices
    };
    let two = move |first: Vec<u8>| {
        (first.len()..calls).flat_map(move |at| {
            let first = first.clone();
            [1, 2].map(move |choice| {
                let mut choices = first.clone();
                choices.resize(at, 0);
                choices.push(choice);
                choices
            })
        })
    };
    (0..calls)
        .flat_map(move |at| [1, 2].map(|choice| one(at, choice)))
        .flat_map(two)
        .map(move |choices| Order {
            choices,
            passes,
            dies: None,
        })
}

#[test]
fn two_workers_run_a_key_once_whoever_goes_on_in_between() {
    for order in orders(26, 2) {
        check(SMALL, 2, &order, 1);
    }
}

/// An owner that was held up for longer than its lease wrote its record over the one of the claim that followed.
#[test]
fn a_late_owner_leaves_the_record_of_the_next_claim_alone() {
    let document = small(r#""on_unknown": "release""#);
    for order in orders(26, 1) {
        check(&document, 2, &order, 4);
    }
}

/// Any order of three workers, of which one may die.
fn any_order() -> impl Strategy<Value = Order> {
    let choices = proptest::collection::vec(0_u8..4, 0..90);
    let dies = proptest::option::of((0_usize..3, 0_u32..20));
    (choices, 0_u32..4, dies).prop_map(|(choices, passes, dies)| Order { choices, passes, dies })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn three_workers_of_which_one_dies_run_a_key_once(order in any_order()) {
        let (saw, turns) = run(SMALL, 3, &order);
        prop_assert_eq!(wrong(&saw, &turns, 1), None, "{:#?}", saw);
    }

    #[test]
    fn three_workers_that_release_what_is_unknown_answer_what_is_recorded(order in any_order()) {
        let document = small(r#""on_unknown": "release""#);
        let (saw, turns) = run(&document, 3, &order);
        prop_assert_eq!(wrong(&saw, &turns, 6), None, "{:#?}", saw);
    }
}
