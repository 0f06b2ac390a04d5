//! `/api/v1/openapi.json`: the API, described for programs. The file beside `lib.rs` is what is served.

use super::access::Viewer;
use super::input::Query;
use crate::problem::Problem;
use ::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};

/// The description, as it is committed.
pub(crate) const FILE: &str = include_str!("../openapi.json");

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProblemBody {
    /// `urn:reprise:problem:` and a word that stays.
    r#type: String,
    /// What went wrong, the same each time.
    title: String,
    /// The status.
    status: u16,
    /// What went wrong this time, and what is allowed.
    detail: String,
}

/// What stands around the handlers' own descriptions.
#[derive(OpenApi)]
#[openapi(
    info(title = "replayd", description = "Captures and replays of the Reprise filter. A token's role stands as the scope \
        of each operation; admin may what operator may, operator what viewer may. Errors are RFC 9457 problems; every \
        operation answers 401 without a token that counts, 403 to a role that is not enough, 503 while the store does not \
        answer."),
    modifiers(&Bearer)
)]
pub(super) struct Frame;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = api.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// Serves the description.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "description", security(("token" = ["viewer"])),
    responses((status = 200, content_type = "application/json")))]
pub(super) async fn serve(_: Viewer, query: Query) -> Result<Response, Problem> {
    query.end()?;
    let kind = HeaderValue::from_static("application/json");
    Ok(([(CONTENT_TYPE, kind)], FILE).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::Daemon;
    use crate::store::access::Role;
    use serde_json::{Value, json};

    /// What the handlers say of themselves.
    fn described() -> String {
        let mut text = super::super::api().into_openapi().to_pretty_json().unwrap();
        text.push('\n');
        text
    }

    #[test]
    fn the_committed_description_is_what_the_handlers_say() {
        let described = described();
        if described != FILE {
            let new = std::env::temp_dir().join("openapi.json");
            std::fs::write(&new, &described).unwrap();
            panic!("openapi.json is not what the handlers say; {} is", new.display());
        }
    }

    #[test]
    fn the_description_is_openapi_3_1_and_names_a_role_for_each_operation() {
        let api: Value = serde_json::from_str(FILE).unwrap();
        assert_eq!(api["openapi"], "3.1.0");
        for (method, path, role) in operations() {
            assert!(Role::from_name(&role).is_some(), "{method} {path}: {role}");
        }
    }

    /// Every operation, and the role that it says it needs.
    fn operations() -> Vec<(String, String, String)> {
        let api: Value = serde_json::from_str(FILE).unwrap();
        let mut all = Vec::new();
        for (path, operations) in api["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                let role = operation["security"][0]["token"][0].as_str().unwrap();
                let path = path.replace("{id}", "1").replace("{name}", "nobody");
                all.push((method.to_uppercase(), path, role.to_owned()));
            }
        }
        assert!(all.len() > 20);
        all
    }

    #[tokio::test]
    async fn every_operation_asks_for_the_role_that_it_names() {
        let daemon = Daemon::start().await;
        let mut tokens = Vec::new();
        for role in Role::ALL {
            tokens.push((role, daemon.token(role).await));
        }
        for (method, path, needs) in operations() {
            let needs = Role::from_name(&needs).unwrap();
            daemon
                .ask_as("x", &method, &path, None)
                .await
                .refused(401, "unauthorized");
            for (role, token) in &tokens {
                let answer = daemon.ask_as(token, &method, &path, None).await;
                if *role < needs {
                    answer.refused(403, "forbidden");
                } else {
                    let answered = answer.status.as_u16();
                    assert!(
                        answered < 500 && answered != 401 && answered != 403,
                        "{method} {path} as {role:?}: {answered}"
                    );
                }
            }
        }
    }

    #[tokio::test]
    async fn an_operation_refuses_parameters_that_it_does_not_describe() {
        let daemon = Daemon::start().await;
        for (method, path, _) in operations() {
            let body = (method == "POST").then(|| json!({}));
            let answer = daemon.ask(&method, &format!("{path}?unheard=of"), body).await;
            assert!(
                (400..=422).contains(&answer.status.as_u16()),
                "{method} {path}: {}",
                answer.text()
            );
        }
    }

    #[tokio::test]
    async fn the_description_is_served_as_it_is_committed() {
        let daemon = Daemon::start().await;
        assert_eq!(daemon.ask("GET", "/api/v1/openapi.json", None).await.text(), FILE);
    }
}
