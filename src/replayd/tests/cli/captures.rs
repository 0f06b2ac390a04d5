//! `replayd captures` against a daemon.

use super::{Said, Serving, ask, replayd};
use serde_json::{Value, json};
use std::fs;
use std::process::Stdio;

/// When the first capture of [`line`] began.
const BEGAN_MS: i64 = 1_700_000_000_000;

/// A capture as a line of a file: `at` seconds after the first.
pub(super) fn line(at: u32, method: &str, target: &str, status: u16) -> Value {
    let began_us = u64::from(at) * 1_000_000 + 1;
    json!({"capture": {
        "state": "completed",
        "began_unix_ms": BEGAN_MS + i64::from(at) * 1000,
        "began_us": began_us,
        "ended_us": began_us + u64::from(at + 1) * 1000,
        "route": "orders", "cluster": "shop", "principal": "ann", "request_id": format!("r-{at}"),
        "request": {
            "headers": [[":method", method], [":scheme", "http"], [":authority", "shop"], [":path", target],
                ["content-type", "text/plain"]],
            "body_base64": "aGk=", "ended": true,
        },
        "response": {"headers": [[":status", status.to_string()]], "body_base64": "b2s=", "ended": true},
    }})
}

/// A file of these lines, as an export writes it.
fn framed(lines: &[Value]) -> String {
    let (head, foot) = (
        json!({"head": {"version": 1}}),
        json!({"foot": {"captures": lines.len()}}),
    );
    let all = std::iter::once(&head).chain(lines).chain([&foot]);
    all.map(|line| format!("{line}\n")).collect()
}

impl Serving {
    /// Takes captures in: method, target and status of each.
    #[track_caller]
    pub(super) fn import(&self, captures: &[(&str, &str, u16)]) {
        let numbered = (0..).zip(captures);
        let lines = numbered.map(|(at, (method, target, status))| line(at, method, target, *status));
        let file = framed(&lines.collect::<Vec<_>>());
        ask(self.dir.path(), "captures import --format ndjson -", &file, 0);
    }

    #[track_caller]
    pub(super) fn ask(&self, line: &str) -> Said {
        ask(self.dir.path(), line, "", 0)
    }
}

fn five() -> Serving {
    let serving = Serving::start(&[]);
    serving.import(&[
        ("POST", "/a?x=1", 201),
        ("PUT", "/b", 500),
        ("DELETE", "/c/1", 204),
        ("POST", "/c/2", 404),
        ("PATCH", "/d", 200),
    ]);
    serving
}

#[track_caller]
fn listed(serving: &Serving, flags: &str, want: &[i64]) {
    let list = serving.ask(&format!("captures list --json {flags}")).json();
    let ids: Vec<_> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["id"].as_i64().unwrap())
        .collect();
    assert_eq!(ids, want, "{flags}");
}

#[test]
fn every_filter_of_a_list_is_a_flag() {
    let serving = five();
    serving.ask("captures label --id 2,3 --add odd");
    listed(&serving, "", &[1, 2, 3, 4, 5]);
    listed(&serving, "--id 1,4", &[1, 4]);
    listed(&serving, "--id-gte 2 --id-lte 3", &[2, 3]);
    listed(&serving, "--method post,patch", &[1, 4, 5]);
    listed(&serving, "--status 4xx,500-599", &[2, 4]);
    listed(&serving, "--path /c/* --path /a", &[1, 3, 4]);
    listed(&serving, "--path-not /c/* --path-not /d", &[1, 2]);
    listed(&serving, "--host shop", &[1, 2, 3, 4, 5]);
    listed(&serving, "--host other", &[]);
    listed(&serving, "--label odd", &[2, 3]);
    listed(&serving, "--state aborted", &[]);
    listed(
        &serving,
        "--principal ann --route orders --cluster shop --state completed",
        &[1, 2, 3, 4, 5],
    );
    listed(&serving, "--principal bob", &[]);
    listed(&serving, "--request-id r-2", &[3]);
    listed(
        &serving,
        "--since 2023-11-14T22:13:22Z --until 2023-11-14T22:13:24Z",
        &[3, 4],
    );
    listed(&serving, "--since 1h", &[]);
    listed(&serving, "--latency-ms-gte 4", &[4, 5]);
    listed(&serving, "--text x=1", &[1]);
}

#[test]
fn a_list_goes_in_its_order_and_no_further_than_asked() {
    let serving = five();
    listed(&serving, "--order-by -id --limit 2", &[5, 4]);
    listed(&serving, "--order-by status --limit 3", &[5, 1, 3]);
    let list = serving.ask("captures list --columns id,status --limit 1 --json").json();
    assert_eq!(list["items"], json!([{"id": 1, "status": 201}]));
    let refused = ask(serving.dir.path(), "captures list --order-by size", "", 2);
    assert!(
        refused.err.contains("order_by: `size` is not an order"),
        "{}",
        refused.err
    );
}

#[test]
fn a_table_shows_what_is_asked_for_and_cuts_what_is_long() {
    let serving = five();
    let table = serving
        .ask("captures list --columns id,target,status --max-column-width 4")
        .out;
    let lines: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["id", "target", "status"]);
    assert_eq!(lines[1], ["1", "/a?…", "201"]);
    assert_eq!(lines[3], ["3", "/c/1", "204"]);
}

#[test]
fn a_view_of_the_configuration_counts_where_nothing_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let view = "[captures.view]\nfilter = {path = '/c/*'}\norder_by = '-id'\ncolumns = 'id,path'\n";
    fs::write(dir.path().join("replayd.toml"), view).unwrap();
    let serving = Serving::start_in(dir, &[]);
    serving.import(&[("POST", "/a", 201), ("PUT", "/c/1", 200), ("PUT", "/c/2", 200)]);
    let list = serving.ask("captures list --json").json();
    assert_eq!(
        list["items"],
        json!([{"id": 3, "path": "/c/2"}, {"id": 2, "path": "/c/1"}])
    );
    let table = serving.ask("captures list").out;
    assert!(
        table.lines().next().unwrap().split_whitespace().eq(["id", "path"]),
        "{table}"
    );
}

#[test]
fn a_capture_is_shown_in_three_ways() {
    let serving = five();
    let page = serving.ask("captures show 1").out;
    for words in ["/a?x=1", "content-type: text/plain", "(2 bytes, 2 kept)", "\n  hi\n"] {
        assert!(page.contains(words), "no `{words}` in\n{page}");
    }
    let capture = serving.ask("captures show 1 --json").json();
    assert_eq!(capture["request"]["body"]["text"], "hi");
    assert_eq!(serving.ask("captures show 1 --body request").out, "hi");
    assert_eq!(serving.ask("captures show 1 --body response").out, "ok");
    let missing = ask(serving.dir.path(), "captures show 9", "", 2);
    assert!(missing.err.contains("there is no capture 9"), "{}", missing.err);
}

#[test]
fn labels_come_and_go() {
    let serving = five();
    assert!(
        serving
            .ask("captures label --path /c/* --add bug --add old")
            .out
            .contains("labelled     2")
    );
    assert_eq!(
        serving.ask("captures label --id 4 --remove bug --json").json(),
        json!({"labelled": 1})
    );
    listed(&serving, "--label bug", &[3]);
    listed(&serving, "--label old", &[3, 4]);
    ask(serving.dir.path(), "captures label --id 1", "", 2);
    for (flags, told) in [("", "--all"), ("--all --id 1", "a filter as well")] {
        let refused = ask(serving.dir.path(), &format!("captures label --add x {flags}"), "", 2);
        assert!(refused.err.contains(told), "{}", refused.err);
    }
    assert!(
        serving
            .ask("captures label --add x --all")
            .out
            .contains("labelled     5")
    );
}

#[test]
fn what_is_exported_is_whole_or_not_there() {
    let serving = five();
    for format in ["har", "gor", "curl", "k6", "ndjson"] {
        let said = serving.ask(&format!(
            "captures export --format {format} --path /c/* --output out.{format}"
        ));
        assert!(said.err.starts_with("2 captures written"), "{format}: {}", said.err);
        let file = fs::read_to_string(serving.dir.path().join(format!("out.{format}"))).unwrap();
        assert!(file.contains("/c/1") && !file.contains("/a?x=1"), "{format}: {file}");
        assert_eq!(
            serving
                .ask(&format!("captures export --format {format} --path /c/*"))
                .out,
            file,
            "{format}"
        );
    }
    ask(
        serving.dir.path(),
        "captures export --format ndjson --status 9xx -o bad.ndjson",
        "",
        2,
    );
    for name in ["bad.ndjson", "bad.ndjson.part"] {
        assert!(!serving.dir.path().join(name).exists(), "{name}");
    }
}

/// Case R40.
#[test]
fn a_file_that_is_cut_off_is_refused_with_its_place_and_nothing_of_it_is_taken() {
    let serving = five();
    for format in ["har", "gor", "ndjson"] {
        serving.ask(&format!("captures export --format {format} --output out"));
        let whole = fs::read(serving.dir.path().join("out")).unwrap();
        fs::write(serving.dir.path().join("cut"), &whole[..whole.len() * 2 / 3]).unwrap();
        let refused = ask(
            serving.dir.path(),
            &format!("captures import --format {format} cut"),
            "",
            2,
        );
        assert!(refused.err.contains("byte "), "{format}: {}", refused.err);
        assert_eq!(serving.ask("captures stats --json").json()["count"], 5, "{format}");
        let taken = serving
            .ask(&format!("captures import --format {format} out --json"))
            .json();
        let new = if format == "ndjson" { 0 } else { 5 };
        assert_eq!(
            (&taken["imported"], &taken["duplicates"]),
            (&json!(new), &json!(5 - new)),
            "{format}"
        );
        serving.ask("captures delete --id-gte 6");
    }
}

#[test]
fn what_is_imported_twice_is_there_once() {
    let serving = five();
    for format in ["har", "gor", "ndjson"] {
        serving.ask(&format!("captures export --format {format} --output out"));
        serving.ask("captures delete --all");
        let import = format!("captures import --format {format} out");
        let first = serving.ask(&import);
        assert!(first.out.contains("imported     5"), "{format}: {}", first.out);
        let means = "imports count as captures of their own: a restore sends them too";
        assert_eq!(first.err.contains(means), format != "ndjson", "{format}: {}", first.err);
        let again = serving.ask(&import);
        assert!(again.out.contains("imported     0"), "{format}: {}", again.out);
        assert!(
            again.err.contains("imported 0; 5 are here already"),
            "{format}: {}",
            again.err
        );
    }
}

#[test]
fn what_a_format_does_not_carry_is_said_in_words() {
    let serving = five();
    let said = serving.ask("captures export --format curl --id 1").err;
    let want = "1 capture written\n\
                not carried: route, cluster, caller, addresses and boot id (of 1); responses (of 1)\n";
    assert_eq!(said, want);
}

#[test]
fn a_list_says_that_there_is_more_and_goes_on_from_there() {
    let serving = five();
    let first = serving.ask("captures list --order-by -id --limit 2");
    let hint = first
        .err
        .strip_prefix("2 shown, there are more: --limit N, or --cursor ")
        .unwrap();
    listed(&serving, &format!("--limit 2 --cursor {hint}"), &[3, 2]);
    assert_eq!(serving.ask("captures list --limit 5").err, "");
}

#[test]
fn captures_are_counted_for_people_and_programs() {
    let serving = five();
    let stats = serving.ask("captures stats --json").json();
    assert_eq!((&stats["count"], &stats["ledger"]["seen"]), (&json!(5), &json!(0)));
    let page = serving.ask("captures stats").out;
    for words in ["count        5", "last_id      5", "sampled_out  0", "dropped      -"] {
        assert!(page.contains(words), "no `{words}` in\n{page}");
    }
}

#[test]
fn what_is_deleted_has_to_be_named() {
    let serving = five();
    let told = ask(serving.dir.path(), "captures delete", "", 2).err;
    assert!(told.contains("--all"), "{told}");
    assert!(
        serving
            .ask("captures delete --path /c/*")
            .out
            .contains("deleted      2")
    );
    assert_eq!(
        serving.ask("captures delete --all --json").json(),
        json!({"deleted": 3, "pinned": 0, "replays": []})
    );
    listed(&serving, "", &[]);
}

#[test]
fn a_reader_that_goes_away_ends_a_list_in_peace() {
    let serving = five();
    let mut command = replayd(serving.dir.path(), &["captures", "list"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(
        command.stdout(writer).stderr(Stdio::null()).status().unwrap().code(),
        Some(0)
    );
}

#[test]
fn captured_text_cannot_steer_a_terminal() {
    let serving = Serving::start(&[]);
    let mut hostile = line(0, "POST", "/a", 201);
    hostile["capture"]["principal"] = "ann\u{1b}]0;owned\u{7}".into();
    ask(
        serving.dir.path(),
        "captures import --format ndjson -",
        &framed(&[hostile]),
        0,
    );
    for command in ["captures list --columns id,principal", "captures show 1"] {
        let shown = serving.ask(command).out;
        assert!(
            !shown.contains('\u{1b}') && shown.contains("\\u{1b}]0;owned"),
            "{shown}"
        );
    }
}
