//! The promises of [`ReplayStore`].

use crate::clock::UnixMillis;
use crate::store::captures::{CaptureId, CaptureQuery, Captures};
use crate::store::replays::{BootLedger, Entry, Outcome, ReplayStore, StepChange, Tally, TargetBoot};
use crate::store::{NewReplay, NewStep, ReplayChange};
use reprise_core::replay::schedule::Item;
use reprise_core::replay::step::Step;

fn replay(target: &str) -> NewReplay {
    NewReplay {
        target: target.to_owned(),
        state: "planned".to_owned(),
        spec: "{}".to_owned(),
        progress: "{}".to_owned(),
        by: "ann".to_owned(),
        created_at: UnixMillis(5),
    }
}

fn to(state: &str, holds: bool) -> ReplayChange {
    ReplayChange {
        state: state.to_owned(),
        progress: r#"{"detail":"x"}"#.to_owned(),
        holds,
        pins: holds || state == "interrupted",
    }
}

fn steps(places: std::ops::Range<u64>) -> Vec<NewStep> {
    let step = |at: u64| NewStep {
        at,
        capture: CaptureId(i64::try_from(at).unwrap() + 1),
        method: "POST".to_owned(),
        target: format!("/n/{at}"),
        recorded_status: (at > 0).then_some(201),
        item: Item {
            began_us: 7,
            ended_us: 0,
            stream: 3,
            received: at + 1,
            key: u64::MAX,
        },
    };
    places.map(step).collect()
}

fn written(at: u64, state: Step) -> StepChange {
    StepChange {
        at,
        state,
        outcome: Outcome::default(),
        binding: Vec::new(),
        entry: Entry::AsBefore,
    }
}

fn boot(id: &str) -> TargetBoot {
    TargetBoot {
        target: "http://shop:80".to_owned(),
        boot_id: id.to_owned(),
    }
}

async fn a_replay_reads_back_as_it_was(store: impl ReplayStore) {
    let id = store.create(replay("a")).await.unwrap().unwrap();
    let row = store.replay(id).await.unwrap().unwrap();
    assert_eq!((row.id, row.holds, row.replay), (id, true, replay("a")));
    store.change(id, to("running", true)).await.unwrap();
    let row = store.replay(id).await.unwrap().unwrap();
    assert_eq!((row.replay.state.as_str(), row.replay.progress.len()), ("running", 14));
    assert_eq!(store.replay(id + 1).await.unwrap(), None);
}

async fn a_target_is_held_by_one_replay(store: impl ReplayStore) {
    let first = store.create(replay("a")).await.unwrap().unwrap();
    assert_eq!(store.create(replay("a")).await.unwrap(), Err(first));
    let other = store.create(replay("b")).await.unwrap().unwrap();
    store.change(first, to("interrupted", false)).await.unwrap();
    let second = store.create(replay("a")).await.unwrap().unwrap();
    let taken = store.take_target(first, to("planned", true)).await.unwrap();
    assert_eq!(taken, Err(second));
    assert_eq!(store.replay(first).await.unwrap().unwrap().replay.state, "interrupted");
    store.change(second, to("finished", false)).await.unwrap();
    store.take_target(first, to("planned", true)).await.unwrap().unwrap();
    let holding: Vec<_> = store.holding().await.unwrap().iter().map(|row| row.id).collect();
    assert_eq!(holding, [first, other]);
}

async fn replays_are_listed_from_the_newest(store: impl ReplayStore) {
    for target in ["a", "b", "c"] {
        store.create(replay(target)).await.unwrap().unwrap();
    }
    let targets = async |before, limit| {
        let rows = store.replays(before, limit).await.unwrap();
        rows.into_iter().map(|row| row.replay.target).collect::<Vec<_>>()
    };
    assert_eq!(targets(None, 2).await, ["c", "b"]);
    let newest = store.replays(None, 1).await.unwrap()[0].id;
    assert_eq!(targets(Some(newest - 1), 2).await, ["a"]);
}

async fn steps_read_back_as_they_were_planned(store: impl ReplayStore) {
    let id = store.create(replay("a")).await.unwrap().unwrap();
    store.add_steps(id, steps(0..3)).await.unwrap();
    store.add_steps(id, steps(3..5)).await.unwrap();
    let rows = store.steps(id, 1, 3).await.unwrap();
    let read: Vec<_> = rows.iter().map(|row| row.step.clone()).collect();
    assert_eq!(read, steps(1..4));
    assert!(
        rows.iter()
            .all(|row| row.state == Step::NEW && row.outcome == Outcome::default())
    );
    assert_eq!(store.steps(id + 1, 0, 9).await.unwrap(), []);
}

async fn a_plan_that_begins_anew_leaves_nothing_of_the_one_before(store: impl ReplayStore) {
    let id = store.create(replay("a")).await.unwrap().unwrap();
    store.add_steps(id, steps(0..5)).await.unwrap();
    store.add_steps(id, steps(0..2)).await.unwrap();
    assert_eq!(store.steps(id, 0, 9).await.unwrap().len(), 2);
}

async fn what_is_written_down_of_a_step_reads_back(store: impl ReplayStore) {
    let id = store.create(replay("a")).await.unwrap().unwrap();
    store.add_steps(id, steps(0..7)).await.unwrap();
    let outcome = Outcome {
        status: Some(500),
        matched: Some(false),
        late_us: Some(0),
        latency_us: Some(9),
        detail: vec!["status".to_owned(), "body".to_owned()],
    };
    let answered = StepChange {
        outcome: outcome.clone(),
        binding: b"b".to_vec(),
        ..written(1, Step::Answered(2))
    };
    let changes = vec![
        written(0, Step::Sent(1)),
        answered,
        written(2, Step::InDoubt(1)),
        written(3, Step::Skipped(0)),
        written(4, Step::Resent(2)),
        written(5, Step::Missing(1)),
    ];
    store.journal(id, boot(""), changes).await.unwrap();
    let rows = store.steps(id, 0, 9).await.unwrap();
    let states: Vec<_> = rows.iter().map(|row| row.state).collect();
    let want = [
        Step::Sent(1),
        Step::Answered(2),
        Step::InDoubt(1),
        Step::Skipped(0),
        Step::Resent(2),
        Step::Missing(1),
        Step::NEW,
    ];
    assert_eq!((states.as_slice(), &rows[1].outcome), (&want[..], &outcome));
    store.change(id, to("interrupted", false)).await.unwrap();
    assert_eq!(store.bindings(id).await.unwrap(), [b"b"]);
    let tally = Tally {
        planned: 7,
        out: 3,
        answered: 1,
        matched: 0,
        differed: 1,
        skipped: 2,
    };
    assert_eq!(store.tally(id).await.unwrap(), tally);
    store.change(id, to("finished", false)).await.unwrap();
    assert!(store.bindings(id).await.unwrap().is_empty());
}

async fn a_boot_has_what_its_ledger_says_last(store: impl ReplayStore) {
    let id = store.create(replay("a")).await.unwrap().unwrap();
    let entries = [
        Entry::Maybe(CaptureId(1)),
        Entry::Maybe(CaptureId(2)),
        Entry::Maybe(CaptureId(3)),
        Entry::Sure(CaptureId(2)),
        Entry::Not(CaptureId(3)),
        Entry::AsBefore,
    ];
    for entry in entries {
        let change = StepChange {
            entry,
            ..written(0, Step::Sent(1))
        };
        store.journal(id, boot("x"), vec![change.clone()]).await.unwrap();
        // Nobody knows which boot it is: nothing is kept of it.
        store.journal(id, boot(""), vec![change]).await.unwrap();
    }
    let want = BootLedger {
        sure: vec![2],
        maybe: vec![1],
    };
    assert_eq!(store.restored(boot("x")).await.unwrap(), want);
    assert_eq!(store.restored(boot("y")).await.unwrap(), BootLedger::default());
    assert_eq!(store.restored(boot("")).await.unwrap(), BootLedger::default());
}

async fn a_boot_is_heard_of_first_once(store: impl ReplayStore) {
    assert_eq!(store.boot_seen(boot("x"), UnixMillis(7)).await.unwrap(), UnixMillis(7));
    assert_eq!(store.boot_seen(boot("x"), UnixMillis(9)).await.unwrap(), UnixMillis(7));
    assert_eq!(store.boot_seen(boot("x"), UnixMillis(3)).await.unwrap(), UnixMillis(3));
    assert_eq!(store.boot_seen(boot("y"), UnixMillis(9)).await.unwrap(), UnixMillis(9));
}

async fn captures_of_a_replay_stay_until_it_cannot_be_resumed(store: impl ReplayStore + Captures) {
    let captures = (0..2).map(|_| super::samples::capture("/x")).collect();
    store.import(captures, UnixMillis(0)).await.unwrap();
    let id = store.create(replay("a")).await.unwrap().unwrap();
    store.add_steps(id, steps(0..1)).await.unwrap();
    store.change(id, to("interrupted", false)).await.unwrap();
    let some = store.delete(CaptureQuery::default()).await.unwrap();
    assert_eq!((some.deleted, some.pinned), (1, 1));
    assert_eq!(some.replays, [(id, "interrupted".to_owned())]);
    store.change(id, to("finished", false)).await.unwrap();
    assert_eq!(store.delete(CaptureQuery::default()).await.unwrap().deleted, 1);
}

promises!(
    a_replay_reads_back_as_it_was,
    a_target_is_held_by_one_replay,
    replays_are_listed_from_the_newest,
    steps_read_back_as_they_were_planned,
    a_plan_that_begins_anew_leaves_nothing_of_the_one_before,
    what_is_written_down_of_a_step_reads_back,
    a_boot_has_what_its_ledger_says_last,
    a_boot_is_heard_of_first_once,
    captures_of_a_replay_stay_until_it_cannot_be_resumed,
);
