//! `replayd boots` against a daemon that no proxy told of anything.

use super::{Serving, ask};

#[test]
fn gates_are_listed_and_one_that_nobody_knows_is_not_opened() {
    let serving = Serving::start(&[]);
    assert!(serving.ask("boots list").out.contains("restored"));
    assert!(
        serving.ask("boots list --json").json()["items"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    let refused = ask(serving.dir.path(), "boots open queue/1", "", 2).err;
    assert!(refused.contains("queue/1"), "{refused}");
    let doctor = serving.ask("doctor").out;
    assert!(doctor.contains("no boot waits"), "{doctor}");
}
