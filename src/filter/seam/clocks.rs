//! The wall clock is set forward and back: leases and retention do not care.

use super::SMALL;
use crate::fake::{Sent, Worker, World};
use crate::host::Host as _;
use std::rc::Rc;

const HOUR_MS: i64 = 3_600_000;

/// Sets the wall clock of one world an hour back, of another an hour forward, and to and fro in a third: every time
/// that `act` calls what it is given.
fn with_the_wall_clock_set(act: impl Fn(&Rc<World>, &dyn Fn())) {
    for hours in [[-1, -1], [1, 1], [-1, 1]] {
        let (world, turn) = (World::new(), std::cell::Cell::new(0));
        let set = || {
            turn.set(1 - turn.get());
            world.wall_set.set(hours[turn.get()] * HOUR_MS);
        };
        act(&world, &set);
    }
}

#[test]
fn the_wall_clock_is_set_in_these_tests() {
    with_the_wall_clock_set(|world, set| {
        let one = Worker::start(world, SMALL);
        let before = one.host.wall_millis();
        set();
        assert_eq!(one.host.wall_millis().abs_diff(before), HOUR_MS.unsigned_abs());
        assert_eq!(one.host.wall_seconds().abs_diff(1_700_000_000), 3600);
    });
}

/// Case T73.
#[test]
fn a_heartbeat_keeps_a_long_request_alive_whatever_the_wall_clock_says() {
    with_the_wall_clock_set(|world, set| {
        let (mut one, mut two) = (Worker::start(world, SMALL), Worker::start(world, SMALL));
        let mut first = one.post("k", "body").forwarded();
        for _ in 0..9 {
            set();
            one.tick(100);
            assert_eq!(two.post("k", "body").replied().kind(), "in-flight");
        }
        one.answer(&mut first, "200", "late");
        set();
        assert_eq!(two.post("k", "body").replied().body, b"late");
    });
}

/// Case T73.
#[test]
fn a_lease_ends_at_its_moment_whatever_the_wall_clock_says() {
    with_the_wall_clock_set(|world, set| {
        let (mut one, mut two) = (Worker::start(world, SMALL), Worker::start(world, SMALL));
        let _lost = one.post("k", "body").forwarded();
        world.pass(400);
        set();
        assert_eq!(two.post("k", "body").replied().kind(), "in-flight");
        world.pass(1);
        set();
        assert_eq!(two.post("k", "body").replied().kind(), "outcome-unknown");
    });
}

/// Case T73.
#[test]
fn a_record_lives_from_its_completion_whatever_the_wall_clock_says() {
    with_the_wall_clock_set(|world, set| {
        let mut one = Worker::start(world, SMALL);
        let mut first = one.post("k", "body").forwarded();
        one.answer(&mut first, "200", "a");
        for passed in [1000, 900, 99] {
            world.pass(passed);
            set();
            assert_eq!(one.post("k", "body").replied().body, b"a");
        }
        world.pass(1);
        set();
        assert!(matches!(one.post("k", "body"), Sent::Forwarded(_)));
    });
}
