//! `replayd replay`, `restore` and `replays` against a daemon and an application.

use super::upstream::Upstream;
use super::{Said, Serving, ask, replayd};
use serde_json::json;
use std::fs;
use std::io::Read as _;
use std::process::{Command, Stdio};

/// A daemon with captures, and an application that they may be sent to.
struct Stage {
    serving: Serving,
    upstream: Upstream,
}

impl Stage {
    /// The target `shop` is allowed, and nothing else is.
    fn with(captures: &[(&str, &str, u16)]) -> Self {
        let upstream = Upstream::start();
        let dir = tempfile::tempdir().unwrap();
        let target = format!(
            "[targets.shop]\nurl = '{}'\nallowed = true\nhonours_keys = true\n",
            upstream.url
        );
        fs::write(dir.path().join("replayd.toml"), target).unwrap();
        let serving = Serving::start_in(dir, &[]);
        serving.import(captures);
        Self { serving, upstream }
    }

    fn five() -> Self {
        Self::with(&["/a?x=1", "/b", "/c/1", "/c/2", "/d"].map(|target| ("POST", target, 201)))
    }

    #[track_caller]
    fn run(&self, line: &str, input: &str, code: i32) -> Said {
        ask(self.serving.dir.path(), line, input, code)
    }

    #[track_caller]
    fn sent(&self, want: &[&str]) {
        let requests = self.upstream.requests();
        let sent: Vec<_> = requests
            .iter()
            .filter_map(|request| request.split(' ').nth(1))
            .collect();
        assert_eq!(sent, want);
    }
}

#[test]
fn everything_is_sent_again_in_its_order() {
    let stage = Stage::five();
    let said = stage.run("replay --all --target shop", "", 0);
    stage.sent(&["/a?x=1", "/b", "/c/1", "/c/2", "/d"]);
    assert_eq!(stage.upstream.requests()[0], "POST /a?x=1 hi");
    assert!(said.err.contains("replay 1: 5/5 finished"), "{}", said.err);
    assert!(
        said.out.contains("sent 5") || said.out.contains("5 sent"),
        "{}",
        said.out
    );
}

/// Case R39.
#[test]
fn mutations_go_to_no_target_that_nobody_allowed() {
    let (stage, elsewhere) = (Stage::five(), Upstream::start());
    let url = &elsewhere.url;
    let refused = stage.run(&format!("replay --all --base-url {url}"), "", 4);
    assert!(refused.err.starts_with("refused: "), "{}", refused.err);
    stage.run(&format!("restore --target {url}"), "", 4);
    assert_eq!(elsewhere.requests(), Vec::<String>::new());
    stage.run(&format!("replay --all --base-url {url} --yes"), "", 0);
    assert_eq!(elsewhere.requests().len(), 5);
}

/// Case R03.
#[test]
fn a_replay_starts_from_a_number() {
    let stage = Stage::five();
    stage.run("replay --target shop --start-from-id 3", "", 0);
    stage.sent(&["/c/1", "/c/2", "/d"]);
}

#[test]
fn excluded_urls_are_left_out() {
    let stage = Stage::five();
    stage.run(
        "replay --all --target shop --excluded-urls /c/*,http://elsewhere/b",
        "",
        0,
    );
    stage.sent(&["/a?x=1", "/d"]);
}

#[test]
fn a_replay_needs_captures_that_somebody_named() {
    let stage = Stage::five();
    assert!(stage.run("replay --target shop", "", 2).err.contains("--all"));
    stage.run("replay --target shop --last 2", "", 0);
    stage.sent(&["/c/2", "/d"]);
    stage.run("replay --target shop --path /b", "", 0);
    stage.sent(&["/c/2", "/d", "/b"]);
}

#[test]
fn a_dry_run_shows_its_plan_and_sends_nothing() {
    let stage = Stage::five();
    let plan = stage
        .run("replay --all --target shop --dry-run --max-column-width 5", "", 0)
        .out;
    for words in ["/a?x…", "/c/2", "5 of 5 captures would be sent"] {
        assert!(plan.contains(words), "no `{words}` in\n{plan}");
    }
    let json = stage.run("replay --all --target shop --dry-run --json", "", 0).json();
    assert_eq!(
        (&json["sends"], &json["steps"][0]["target"]),
        (&json!(5), &json!("/a?x=1"))
    );
    let refused = stage.run("replay --all --target http://127.0.0.1:1 --dry-run", "", 4);
    assert!(refused.out.contains("it would be refused"), "{}", refused.out);
    stage.sent(&[]);
}

#[test]
fn an_interactive_replay_asks_and_goes_on_where_it_stopped() {
    let stage = Stage::five();
    let said = stage.run("replay --all --target shop --interactive", "y\nwhat?\ns\nq\n", 3);
    let asked = said.err.matches("send POST /a?x=1 (capture 1)?").count();
    assert_eq!(asked, 1, "{}", said.err);
    assert!(said.out.contains("replays resume 1"), "{}", said.out);
    stage.sent(&["/a?x=1"]);
    stage.run("replays resume 1", "y\ny\ny\n", 0);
    stage.sent(&["/a?x=1", "/c/1", "/c/2", "/d"]);
}

#[test]
fn requests_that_get_no_response_are_counted_where_told_so() {
    let captures = [("POST", "/a", 201), ("POST", "/drop", 201), ("POST", "/b", 201)];
    let stage = Stage::with(&captures);
    stage.run("replay --all --target shop --mode serial", "", 3);
    assert!(!stage.upstream.requests().iter().any(|request| request.contains("/b")));
    let stage = Stage::with(&captures);
    stage.run("replay --all --target shop --skip-request-errors", "", 2);
    assert!(stage.upstream.requests().iter().any(|request| request.contains("/b")));
}

#[test]
fn the_end_shows_the_steps_cut_to_a_width() {
    let stage = Stage::with(&[("POST", "/status/500", 201), ("POST", "/ok", 201)]);
    let said = stage.run("replay --all --target shop --max-column-width 6", "", 1);
    assert!(said.out.contains("/stat…") && said.out.contains("500"), "{}", said.out);
    let json = stage.run("replay --all --target shop --json", "", 1).json();
    assert_eq!(
        (&json["counts"]["differed"], &json["counts"]["matched"]),
        (&json!(1), &json!(1))
    );
}

#[test]
fn a_mismatch_stops_or_asks_where_told_so() {
    let captures = [("POST", "/status/500", 201), ("POST", "/ok", 201)];
    let stage = Stage::with(&captures);
    stage.run("replay --all --target shop --on-mismatch stop", "", 1);
    stage.sent(&["/status/500"]);
    let stage = Stage::with(&captures);
    let said = stage.run("replay --all --target shop --on-mismatch ask", "y\n", 1);
    assert!(said.err.contains("go on after POST /status/500"), "{}", said.err);
    stage.sent(&["/status/500", "/ok"]);
}

#[test]
fn every_mode_sends_everything() {
    let stage = Stage::five();
    let modes = [
        "serial",
        "causal",
        "per-key --key path --concurrency 2",
        "timed --speed 1000 --max-gap 10ms",
        "rate --rate 500",
        "max --concurrency 3",
    ];
    for (at, mode) in modes.iter().enumerate() {
        stage.run(&format!("replay --all --target shop --mode {mode}"), "", 0);
        assert_eq!(stage.upstream.requests().len(), (at + 1) * 5, "{mode}");
    }
}

#[test]
fn every_other_flag_reaches_the_daemon() {
    let stage = Stage::five();
    let said = stage.run(
        "replay --target shop --path /d --force --yes --in-doubt skip --auto-map false --scope s1 --timeout 5s \
         --compare-header x-a --ignore /id --status-only --learn --on-mismatch ignore --mode per-key \
         --key header:x-a --concurrency 7 --json",
        "",
        0,
    );
    let spec = &said.json()["spec"];
    let want = json!({"path": ["/d"]});
    assert_eq!(
        (&spec["query"], &spec["force"], &spec["yes"]),
        (&want, &json!(true), &json!(true))
    );
    assert_eq!(
        (&spec["in_doubt"], &spec["auto_map"], &spec["scope"]),
        (&json!("skip"), &json!(false), &json!("s1"))
    );
    assert_eq!(
        (&spec["timeout_ms"], &spec["on_mismatch"]),
        (&json!(5000), &json!("ignore"))
    );
    let compare = json!({"headers": ["x-a"], "ignore": ["/id"], "learn": true, "status_only": true});
    assert_eq!(spec["compare"], compare);
    assert_eq!(
        (&spec["mode"], &spec["key"], &spec["concurrency"]),
        (&json!("per_key"), &json!("header:x-a"), &json!(7))
    );
    let again = stage
        .run("replay --target shop --path /d --noise-from 1 --json", "", 0)
        .json();
    assert_eq!(again["spec"]["compare"]["noise_from"], 1);
    let mapped = stage
        .run("replay --target shop --path /d --map a=b --map json:/id --json", "", 0)
        .json();
    assert_eq!(mapped["spec"]["map"], json!(["…", "…"]));
}

#[test]
fn a_restore_sends_mutations_and_takes_its_flags() {
    let stage = Stage::with(&[("POST", "/a", 201), ("GET", "/b", 200), ("PUT", "/c", 201)]);
    let line = "restore --target shop --on-early keep --wait-gate 5s --concurrency 2 --boot-id b1 --json";
    let spec = stage.run(line, "", 0).json()["spec"].clone();
    assert_eq!(
        (&spec["kind"], &spec["on_early"], &spec["wait_gate_ms"]),
        (&json!("restore"), &json!("keep"), &json!(5000))
    );
    assert_eq!((&spec["concurrency"], &spec["boot_id"]), (&json!(2), &json!("b1")));
    let sent: Vec<_> = stage
        .upstream
        .requests()
        .into_iter()
        .filter(|request| !request.starts_with("GET"))
        .collect();
    assert_eq!(sent, ["POST /a hi", "PUT /c hi"]);
}

#[test]
fn a_replay_that_nobody_waits_for_is_listed_shown_and_cancelled() {
    let stage = Stage::with(&[("POST", "/hold", 201), ("POST", "/b", 201)]);
    assert_eq!(stage.run("replay --all --target shop --detach", "", 0).out, "1\n");
    stage.upstream.wait_for(1);
    let busy = stage.run("replay --all --target shop", "", 4);
    assert!(busy.err.contains("replay 1 has the target"), "{}", busy.err);
    let listed = stage.run("replays list", "", 0).out;
    assert!(listed.contains("running") && listed.contains("shop"), "{listed}");
    assert_eq!(
        stage.run("replays list --limit 1 --json", "", 0).json()["items"][0]["state"],
        "running"
    );
    assert_eq!(stage.run("replays show 1 --json", "", 0).json()["counts"]["sent"], 1);
    stage.run("replays cancel 1", "", 0);
    stage.upstream.release();
    stage.run("replays resume 1", "", 4);
    stage.sent(&["/hold"]);
    stage.run("replays show 7", "", 2);
}

#[test]
fn a_replay_that_asks_is_followed_by_whoever_comes_back() {
    let stage = Stage::five();
    let mut command = replayd(
        stage.serving.dir.path(),
        &["replay", "--all", "--target", "shop", "--interactive"],
    );
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = [0; 4096];
    let mut seen = String::new();
    while !seen.contains("[q]uit") {
        let read = child.stderr.as_mut().unwrap().read(&mut told).unwrap();
        seen.push_str(&String::from_utf8_lossy(&told[..read]));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    stage.run("replays resume 1 --in-doubt skip", "", 4);
    stage.run("replays resume 1", "y\nq\n", 3);
    stage.sent(&["/a?x=1"]);
    stage.run("replays interrupt 1", "", 2);
}

#[test]
fn a_replay_that_runs_is_interrupted_by_its_number() {
    let stage = Stage::with(&[("POST", "/hold", 201), ("POST", "/b", 201)]);
    stage.run("replay --all --target shop --detach", "", 0);
    stage.upstream.wait_for(1);
    assert_eq!(stage.run("replays interrupt 1", "", 0).out, "replay 1 is stopping\n");
    stage.upstream.release();
    stage.run("replays resume 1", "", 0);
    stage.sent(&["/hold", "/b"]);
}

#[test]
fn a_long_replay_says_how_many_steps_it_shows_and_shows_all_where_asked() {
    let captures = [("POST", "/status/500", 201); 22];
    let stage = Stage::with(&captures);
    let said = stage.run("replay --all --target shop", "", 1).out;
    assert!(said.contains("20 of 22 steps shown"), "{said}");
    assert_eq!(said.matches("/status/500").count(), 20, "{said}");
    let all = stage.run("replays show 1 --steps all", "", 0).out;
    assert_eq!(all.matches("/status/500").count(), 22, "{all}");
    assert!(!all.contains("steps shown"), "{all}");
    let json = stage.run("replays show 1 --steps all --json", "", 0).json();
    assert_eq!(json["steps"].as_array().unwrap().len(), 22);
}

#[test]
fn a_replay_of_nothing_is_refused() {
    let stage = Stage::five();
    for (line, words) in [
        ("replay --id 99 --target shop", "there is no capture 99"),
        ("replay --last 0 --target shop", "0 is nothing"),
        ("replay --start-from-id 99999 --target shop", "from capture 99999 on"),
        (
            "replay --all --target shopp",
            "`shopp` is no target (replayd.toml has shop)",
        ),
    ] {
        let said = stage.run(line, "", 4);
        assert!(said.err.contains(words), "{line}: {}", said.err);
    }
    stage.sent(&[]);
}

#[test]
fn nobody_is_asked_who_does_not_wait() {
    let stage = Stage::five();
    for asks in ["--on-mismatch ask", "--in-doubt ask", "--interactive"] {
        stage.run(&format!("replay --all --target shop --detach {asks}"), "", 2);
    }
    stage.sent(&[]);
}

#[test]
fn a_replay_whose_replayd_is_gone_can_go_on() {
    let mut stage = Stage::with(&[("POST", "/hold", 201)]);
    let mut command = replayd(stage.serving.dir.path(), &["replay", "--all", "--target", "shop"]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    stage.upstream.wait_for(1);
    stage.serving.child.kill().unwrap();
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3), "{told}");
    assert!(told.contains("`replayd replays resume 1` goes on"), "{told}");
}

#[test]
fn ctrl_c_interrupts_so_that_a_replay_can_go_on() {
    let stage = Stage::with(&[("POST", "/hold", 201), ("POST", "/b", 201), ("POST", "/c", 201)]);
    let mut command = replayd(stage.serving.dir.path(), &["replay", "--all", "--target", "shop"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    stage.upstream.wait_for(1);
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-s", "INT", &id])
            .status()
            .unwrap()
            .success()
    );
    stage.upstream.release();
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3), "{told}");
    let shown = stage.run("replays show 1 --json", "", 0).json();
    assert_eq!(shown["state"], "interrupted");
    stage.run("replays resume 1 --in-doubt resend", "", 0);
    stage.sent(&["/hold", "/b", "/c"]);
}

#[test]
fn a_terminal_gets_a_bar_and_a_table_with_lines() {
    let stage = Stage::five();
    let line = format!("{} replay --all --target shop", env!("CARGO_BIN_EXE_replayd"));
    let ran = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env("TERM", "xterm")
        .current_dir(stage.serving.dir.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let seen = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert_eq!(ran.status.code(), Some(0), "{seen}");
    assert!(seen.contains('│') && seen.contains("/a?x=1"), "{seen}");
    assert!(seen.contains("/s, 0 differ, 0 errors"), "{seen}");
}
