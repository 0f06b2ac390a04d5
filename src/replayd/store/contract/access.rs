//! The promises of [`Access`].

use crate::clock::UnixMillis;
use crate::store::access::{Access, NewAudit, NewToken, Role};

fn token(name: &str, digest: u8) -> NewToken {
    NewToken {
        name: name.to_owned(),
        role: Role::Operator,
        digest: [digest; 32],
        created_by: "admin".to_owned(),
        created_at: UnixMillis(5),
        expires_at: Some(UnixMillis(9)),
    }
}

async fn audit(store: &impl Access, action: &'static str) -> i64 {
    let row = NewAudit {
        at: UnixMillis(7),
        actor: "ann".to_owned(),
        action,
        detail: "{}".to_owned(),
    };
    store.audit(row).await.unwrap()
}

async fn a_token_is_found_by_its_digest(store: impl Access) {
    let made = store.add_token(token("ci", 1)).await.unwrap().unwrap();
    assert_eq!(store.token([1; 32]).await.unwrap(), Some(made.clone()));
    assert_eq!(store.token([2; 32]).await.unwrap(), None);
    assert_eq!(
        (made.name.as_str(), made.role, made.created_by.as_str()),
        ("ci", Role::Operator, "admin")
    );
    assert_eq!(
        (made.created_at, made.expires_at, made.used_at),
        (UnixMillis(5), Some(UnixMillis(9)), None)
    );
}

async fn a_name_is_given_once_and_again_after_it_was_revoked(store: impl Access) {
    let first = store.add_token(token("ci", 1)).await.unwrap().unwrap();
    assert_eq!(store.add_token(token("ci", 2)).await.unwrap(), None);
    assert!(store.revoke_token("ci".to_owned()).await.unwrap());
    let second = store.add_token(token("ci", 2)).await.unwrap().unwrap();
    assert!(second.id > first.id);
}

async fn tokens_are_listed_by_name(store: impl Access) {
    for (name, digest) in [("b", 1), ("c", 2), ("a", 3)] {
        store.add_token(token(name, digest)).await.unwrap().unwrap();
    }
    let names: Vec<_> = store.tokens().await.unwrap().into_iter().map(|row| row.name).collect();
    assert_eq!(names, ["a", "b", "c"]);
}

async fn a_revoked_token_is_not_found(store: impl Access) {
    store.add_token(token("ci", 1)).await.unwrap().unwrap();
    assert!(store.revoke_token("ci".to_owned()).await.unwrap());
    assert!(!store.revoke_token("ci".to_owned()).await.unwrap());
    assert_eq!(store.token([1; 32]).await.unwrap(), None);
    assert_eq!(store.tokens().await.unwrap(), []);
}

async fn the_last_use_of_a_token_is_kept(store: impl Access) {
    let made = store.add_token(token("ci", 1)).await.unwrap().unwrap();
    store.use_token(made.id, UnixMillis(8)).await.unwrap();
    assert_eq!(
        store.token([1; 32]).await.unwrap().unwrap().used_at,
        Some(UnixMillis(8))
    );
}

async fn an_audit_row_is_begun_and_ended(store: impl Access) {
    let id = audit(&store, "captures.delete").await;
    let begun = store.audits(None, 10).await.unwrap().remove(0);
    assert_eq!((begun.id, begun.actor.as_str(), begun.outcome), (id, "ann", None));
    store.end_audit(id, "deleted 3".to_owned()).await.unwrap();
    let ended = store.audits(None, 10).await.unwrap().remove(0);
    assert_eq!(
        (ended.at, ended.action.as_str(), ended.detail.as_str()),
        (UnixMillis(7), "captures.delete", "{}")
    );
    assert_eq!(ended.outcome.as_deref(), Some("deleted 3"));
}

async fn audit_rows_are_paged_from_the_newest(store: impl Access) {
    for action in ["a.a", "b.b", "c.c"] {
        audit(&store, action).await;
    }
    let first = store.audits(None, 2).await.unwrap();
    let rest = store.audits(first.last().map(|row| row.id), 2).await.unwrap();
    let actions: Vec<_> = first.iter().chain(&rest).map(|row| row.action.as_str()).collect();
    assert_eq!(actions, ["c.c", "b.b", "a.a"]);
}

promises!(
    a_token_is_found_by_its_digest,
    a_name_is_given_once_and_again_after_it_was_revoked,
    tokens_are_listed_by_name,
    a_revoked_token_is_not_found,
    the_last_use_of_a_token_is_kept,
    an_audit_row_is_begun_and_ended,
    audit_rows_are_paged_from_the_newest,
);
