//! `replayd tokens`, and in whose name commands ask.

use super::{Serving, ask, replayd};
use std::process::Output;

#[test]
fn a_token_is_printed_once_and_ends_when_it_is_revoked() {
    let serving = Serving::start(&[]);
    let token = serving.ask("tokens create ci --role viewer").out.trim().to_owned();
    assert_eq!(token.len(), 64);
    let listed = serving.ask("tokens list").out;
    assert!(
        listed.contains("ci") && listed.contains("viewer") && !listed.contains(&token),
        "{listed}"
    );
    ask(serving.dir.path(), &format!("captures list --token {token}"), "", 0);
    assert_eq!(serving.ask("tokens revoke ci").out, "revoked ci\n");
    let refused = ask(serving.dir.path(), &format!("captures list --token {token}"), "", 2).err;
    assert!(refused.contains("--token or REPLAYD_TOKEN"), "{refused}");
    ask(serving.dir.path(), "tokens revoke ci", "", 2);
}

#[test]
fn a_token_carries_its_role_and_its_end() {
    let serving = Serving::start(&[]);
    let made = serving
        .ask("tokens create ops --role operator --expires 2h --json")
        .json();
    assert_eq!(
        (&made["name"], &made["role"], &made["created_by"]),
        (&"ops".into(), &"operator".into(), &"admin".into())
    );
    assert!(made["expires"].is_string(), "{made}");
    let token = made["token"].as_str().unwrap();
    let refused = ask(
        serving.dir.path(),
        &format!("captures delete --all --token {token}"),
        "",
        2,
    )
    .err;
    assert!(refused.contains("its role is operator, admin is needed"), "{refused}");
    let past = ask(
        serving.dir.path(),
        "tokens create old --role admin --expires 2001-01-01T00:00:00Z",
        "",
        2,
    )
    .err;
    assert!(past.contains("expire in the past"), "{past}");
    assert_eq!(
        serving.ask("tokens list --json").json()["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn a_daemon_is_found_by_flag_variable_and_directory() {
    let serving = Serving::start(&[]);
    let data = serving.dir.path().join("reprise-data");
    let addresses: serde_json::Value =
        serde_json::from_slice(&std::fs::read(data.join("addresses.json")).unwrap()).unwrap();
    let url = format!("http://{}", addresses["console"].as_str().unwrap());
    let token = std::fs::read_to_string(data.join("admin-token")).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str], variables: &[(&str, &str)]| -> Output {
        let list = ["captures", "list"];
        let words: Vec<_> = list.iter().chain(arguments).copied().collect();
        replayd(elsewhere.path(), &words)
            .envs(variables.iter().copied())
            .output()
            .unwrap()
    };
    let code = |arguments: &[&str], variables: &[(&str, &str)]| run(arguments, variables).status.code();
    let data = data.to_str().unwrap();
    assert_eq!(code(&["--url", &url, "--token", &token], &[]), Some(0));
    assert_eq!(code(&[], &[("REPLAYD_URL", &url), ("REPLAYD_TOKEN", &token)]), Some(0));
    assert_eq!(code(&["--data-dir", data], &[]), Some(0));
    assert_eq!(code(&[], &[("REPLAYD_DATA_DIR", data)]), Some(0));
    std::fs::write(elsewhere.path().join("conf.toml"), format!("data_dir = '{data}'")).unwrap();
    assert_eq!(code(&["--config", "conf.toml"], &[]), Some(0));
    let lost = run(&[], &[]);
    let told = String::from_utf8_lossy(&lost.stderr).into_owned();
    assert!(
        lost.status.code() == Some(2) && told.contains("replayd serve"),
        "{told}"
    );
    let wrong = run(&["--url", "http://127.0.0.1:1", "--token", "x"], &[]);
    let told = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(
        wrong.status.code() == Some(2) && told.contains("does not answer"),
        "{told}"
    );
}
