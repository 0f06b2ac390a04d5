//! `/api/v1/tokens`: who may use the API.

use super::access::Admin;
use super::answer::{self, Page};
use super::audit::Act;
use super::input::{Json, Query};
use super::openapi::ProblemBody;
use super::{Console, error};
use crate::app::access::Wish;
use crate::clock::UnixMillis;
use crate::problem::Problem;
use crate::store::access::{Role, TokenRow};
use ::http::{HeaderMap, StatusCode};
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

/// A token that is wished for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenRequest {
    /// Its name: 1 to 64 of a-z, A-Z, 0-9, `.`, `_`, `-`.
    name: String,
    /// What its bearer may do.
    role: RoleName,
    /// From when on it does not count: RFC 3339; not given = it counts until it is revoked.
    #[serde(default)]
    expires: Option<String>,
}

/// What a token's bearer may do; each role may do what those before it may.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum RoleName {
    /// Reads.
    Viewer,
    /// Replays, labels and imports.
    Operator,
    /// Deletes, opens boot gates, and gives tokens.
    Admin,
}

/// A token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TokenView {
    /// Its name.
    name: String,
    /// What its bearer may do.
    role: RoleName,
    /// Who made it.
    created_by: String,
    /// When: RFC 3339, UTC.
    created: String,
    /// From when on it does not count; null = never.
    expires: Option<String>,
    /// When it was shown last, to the minute; null = never.
    used: Option<String>,
}

/// A new token, with its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NewTokenView {
    #[serde(flatten)]
    row: TokenView,
    /// The secret. It is shown this once.
    token: String,
}

/// Lists the tokens that live, by name.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "access", security(("token" = ["admin"])),
    responses((status = 200, body = Page<TokenView>), (status = 304)))]
pub(super) async fn list(
    Admin(_): Admin,
    State(console): State<Console>,
    asked: HeaderMap,
    query: Query,
) -> Result<Response, Problem> {
    query.end()?;
    let rows = console.access.tokens().await?;
    let items = rows.into_iter().map(TokenView::from).collect();
    answer::json(&asked, &Page { items, next: None })
}

/// Makes a token.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "access", security(("token" = ["admin"])),
    request_body = TokenRequest,
    responses((status = 201, body = NewTokenView), (status = 409, body = ProblemBody), (status = 422, body = ProblemBody)))]
pub(super) async fn create(
    Admin(who): Admin,
    State(console): State<Console>,
    query: Query,
    Json(wish): Json<TokenRequest>,
) -> Result<Response, Problem> {
    query.end()?;
    let expires_at = wish.expires.as_deref().map(moment).transpose()?;
    let act = Act {
        who: &who,
        action: "tokens.create",
        detail: json!({ "name": wish.name, "role": wish.role, "expires": wish.expires }),
    };
    let wish = Wish {
        name: wish.name,
        role: wish.role.into(),
        expires_at,
    };
    let work = console.access.create(wish, &who, console.clock.now());
    let (row, token) = console.audited(act, work, |_| "created".to_owned()).await?;
    let view = NewTokenView {
        row: row.into(),
        token: token.secret().to_owned(),
    };
    answer::accepted(StatusCode::CREATED, &view)
}

/// Ends the life of a token.
#[utoipa::path(delete, path = "/api/v1/tokens/{name}", tag = "access", security(("token" = ["admin"])),
    params(("name" = String, Path)),
    responses((status = 204), (status = 404, body = ProblemBody)))]
pub(super) async fn revoke(
    Admin(who): Admin,
    State(console): State<Console>,
    Path(name): Path<String>,
    query: Query,
) -> Result<Response, Problem> {
    query.end()?;
    let act = Act {
        who: &who,
        action: "tokens.revoke",
        detail: json!({ "name": name }),
    };
    let told = |is_gone: &bool| if *is_gone { "revoked" } else { "there was none" }.to_owned();
    let work = console.access.revoke(name.clone());
    let is_gone = console.audited(act, work, told).await?;
    if !is_gone {
        return Err(error::missing(format!(
            "there is no token called `{}`",
            name.escape_debug()
        )));
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn moment(text: &str) -> Result<UnixMillis, Problem> {
    UnixMillis::from_rfc3339(text)
        .ok_or_else(|| error::unprocessable(format!("expires: `{}` is not RFC 3339", text.escape_debug())))
}

impl From<TokenRow> for TokenView {
    fn from(row: TokenRow) -> Self {
        Self {
            name: row.name,
            role: row.role.into(),
            created_by: row.created_by,
            created: row.created_at.to_rfc3339(),
            expires: row.expires_at.map(UnixMillis::to_rfc3339),
            used: row.used_at.map(UnixMillis::to_rfc3339),
        }
    }
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Viewer => Self::Viewer,
            RoleName::Operator => Self::Operator,
            RoleName::Admin => Self::Admin,
        }
    }
}

impl From<Role> for RoleName {
    fn from(role: Role) -> Self {
        match role {
            Role::Viewer => Self::Viewer,
            Role::Operator => Self::Operator,
            Role::Admin => Self::Admin,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::http::tests::Daemon;
    use serde_json::json;

    #[tokio::test]
    async fn a_token_is_shown_once_and_counts_until_it_is_revoked() {
        let daemon = Daemon::start().await;
        let wish = json!({"name": "ci", "role": "viewer", "expires": "1970-01-01T00:00:02Z"});
        let made = daemon.ask("POST", "/api/v1/tokens", Some(wish)).await;
        assert_eq!(made.status, 201);
        let token = made.json()["token"].as_str().unwrap().to_owned();
        assert_eq!(daemon.ask_as(&token, "GET", "/api/v1/captures", None).await.status, 200);
        let listed = daemon.ask("GET", "/api/v1/tokens", None).await;
        assert!(!listed.text().contains(&token), "{}", listed.text());
        assert_eq!(listed.json()["items"][0]["expires"], "1970-01-01T00:00:02.000Z");
        assert_eq!(daemon.ask("DELETE", "/api/v1/tokens/ci", None).await.status, 204);
        daemon
            .ask_as(&token, "GET", "/api/v1/captures", None)
            .await
            .refused(401, "unauthorized");
        daemon
            .ask("DELETE", "/api/v1/tokens/ci", None)
            .await
            .refused(404, "not-found");
        let audit = daemon.ask("GET", "/api/v1/audit", None).await;
        assert!(!audit.text().contains(&token), "{}", audit.text());
        assert_eq!(audit.json()["items"][2]["outcome"], "created");
    }

    #[tokio::test]
    async fn a_wish_that_cannot_be_met_is_refused() {
        let daemon = Daemon::start().await;
        let wish = |name: &str, role: &str| Some(json!({"name": name, "role": role}));
        let ask = async |wish| daemon.ask("POST", "/api/v1/tokens", wish).await;
        ask(wish("a b", "viewer")).await.refused(422, "invalid-content");
        ask(wish("a", "root")).await.refused(422, "invalid-content");
        ask(Some(json!({"name": "a", "role": "viewer", "expires": "soon"})))
            .await
            .refused(422, "invalid-content");
        assert_eq!(ask(wish("a", "viewer")).await.status, 201);
        ask(wish("a", "viewer")).await.refused(409, "token-exists");
        let long = json!({"name": "x".repeat(2 << 20), "role": "viewer"});
        ask(Some(long)).await.refused(413, "too-large");
    }
}
