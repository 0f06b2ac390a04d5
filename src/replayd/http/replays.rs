//! `/api/v1/replays`: what is sent again.

use super::access::{Operator, Viewer};
use super::answer::{self, Page};
use super::audit::Act;
use super::input::{Id, Json, Query};
use super::openapi::ProblemBody;
use super::{Console, error};
use crate::app::access::Who;
use crate::app::replays::{
    Answer, Decision, OnDoubt, PlanView, ReplayError, ReplayPage, ReplaySpec, ReplayView, StepPage, StepView, Why,
    without_rules,
};
use crate::problem::Problem;
use ::http::header::LOCATION;
use ::http::{HeaderMap, HeaderValue, StatusCode};
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

/// How a replay goes on.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ResumeRequest {
    /// What becomes of requests whose outcome is unknown; not given = as the replay said.
    in_doubt: Option<OnDoubt>,
}

/// The answer to a replay's question; it is refused if that question is not open.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DecideRequest {
    /// `step` of the question.
    step: u64,
    /// `why` of the question.
    why: Why,
    /// `attempt` of the question; not given = any.
    attempt: Option<u32>,
    /// What becomes of the step.
    decision: Decision,
}

impl From<DecideRequest> for Answer {
    fn from(wish: DecideRequest) -> Self {
        Self {
            step: wish.step,
            why: wish.why,
            attempt: wish.attempt,
            decision: wish.decision,
        }
    }
}

/// Lists replays, the newest first.
#[utoipa::path(get, path = "/api/v1/replays", tag = "replays", security(("token" = ["viewer"])),
    params(("limit" = Option<u32>, Query, description = "rows of the page: 1 to 500, 50 if not given"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, body = Page<ReplayView>), (status = 304), (status = 400, body = ProblemBody)))]
pub(super) async fn list(
    _: Viewer,
    State(console): State<Console>,
    asked: HeaderMap,
    mut query: Query,
) -> Result<Response, Problem> {
    let limit = query.limit();
    let before = query.parsed::<i64>("cursor");
    query.end()?;
    let ReplayPage { replays: items, next } = console.replays.list(before, limit).await?;
    let next = next.map(|next| next.to_string());
    answer::json(&asked, &Page { items, next })
}

/// Starts a replay.
#[utoipa::path(post, path = "/api/v1/replays", tag = "replays", security(("token" = ["operator"])),
    request_body = ReplaySpec,
    responses((status = 201, body = ReplayView), (status = 403, body = ProblemBody), (status = 409, body = ProblemBody),
        (status = 422, body = ProblemBody)))]
pub(super) async fn start(
    Operator(who): Operator,
    State(console): State<Console>,
    query: Query,
    Json(spec): Json<ReplaySpec>,
) -> Result<Response, Problem> {
    query.end()?;
    begin(&console, &who, spec).await
}

/// Starts a replay of the last captured mutations, the oldest first; `count` of them, 1 if not given.
///
/// Where no target is named, it goes to the only one that is allowed.
#[utoipa::path(post, path = "/api/v1/replays/last", tag = "replays", security(("token" = ["operator"])),
    request_body = ReplaySpec,
    responses((status = 201, body = ReplayView), (status = 403, body = ProblemBody), (status = 409, body = ProblemBody),
        (status = 422, body = ProblemBody)))]
pub(super) async fn start_last(
    Operator(who): Operator,
    State(console): State<Console>,
    query: Query,
    Json(mut spec): Json<ReplaySpec>,
) -> Result<Response, Problem> {
    query.end()?;
    if spec.target.is_empty() {
        spec.target = console.replays.only_target()?;
    }
    spec.count = spec.count.or(Some(1));
    if spec.query.method.is_empty() {
        spec.query.method = "POST,PATCH,PUT,DELETE".into();
    }
    begin(&console, &who, spec).await
}

/// Starts a replay of the last captured mutations, under the name that the seed gives it.
#[utoipa::path(post, path = "/api/replay-last", tag = "replays", security(("token" = ["operator"])),
    request_body = ReplaySpec,
    responses((status = 201, body = ReplayView), (status = 403, body = ProblemBody), (status = 409, body = ProblemBody),
        (status = 422, body = ProblemBody)))]
pub(super) async fn replay_last(
    who: Operator,
    console: State<Console>,
    query: Query,
    spec: Json<ReplaySpec>,
) -> Result<Response, Problem> {
    start_last(who, console, query, spec).await
}

/// Works out what a replay would do; nothing is sent but the probe of the target's boot.
#[utoipa::path(post, path = "/api/v1/replays/plan", tag = "replays", security(("token" = ["operator"])),
    request_body = ReplaySpec,
    responses((status = 200, body = PlanView), (status = 403, body = ProblemBody), (status = 422, body = ProblemBody)))]
pub(super) async fn plan(
    Operator(_): Operator,
    State(console): State<Console>,
    query: Query,
    Json(spec): Json<ReplaySpec>,
) -> Result<Response, Problem> {
    query.end()?;
    answer::json(&HeaderMap::new(), &console.replays.plan(&spec).await?)
}

/// Shows one replay, and how far it is.
#[utoipa::path(get, path = "/api/v1/replays/{id}", tag = "replays", security(("token" = ["viewer"])),
    params(("id" = i64, Path)),
    responses((status = 200, body = ReplayView), (status = 304), (status = 404, body = ProblemBody)))]
pub(super) async fn show(
    _: Viewer,
    State(console): State<Console>,
    asked: HeaderMap,
    Id(id): Id,
    query: Query,
) -> Result<Response, Problem> {
    query.end()?;
    answer::json(&asked, &console.replays.replay(id).await?)
}

/// Lists the steps of a replay, in their order.
#[utoipa::path(get, path = "/api/v1/replays/{id}/steps", tag = "replays", security(("token" = ["viewer"])),
    params(("id" = i64, Path), ("limit" = Option<u32>, Query, description = "rows of the page: 1 to 500, 50 if not given"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, body = Page<StepView>), (status = 304), (status = 404, body = ProblemBody)))]
pub(super) async fn steps(
    _: Viewer,
    State(console): State<Console>,
    asked: HeaderMap,
    Id(id): Id,
    mut query: Query,
) -> Result<Response, Problem> {
    let limit = query.limit();
    let from = query.parsed::<u64>("cursor");
    query.end()?;
    let StepPage { steps: items, next } = console.replays.steps(id, from, limit).await?;
    let next = next.map(|next| next.to_string());
    answer::json(&asked, &Page { items, next })
}

/// Lets an interrupted replay go on; what was answered is never sent again.
#[utoipa::path(post, path = "/api/v1/replays/{id}/resume", tag = "replays", security(("token" = ["operator"])),
    params(("id" = i64, Path)), request_body = ResumeRequest,
    responses((status = 202, body = ReplayView), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
pub(super) async fn resume(
    Operator(who): Operator,
    State(console): State<Console>,
    Id(id): Id,
    query: Query,
    Json(how): Json<ResumeRequest>,
) -> Result<Response, Problem> {
    query.end()?;
    let act = Act {
        who: &who,
        action: "replays.resume",
        detail: json!({ "id": id, "in_doubt": how.in_doubt }),
    };
    let work = console.replays.resume(id, how.in_doubt);
    console.audited(act, work, |()| "resumed".to_owned()).await?;
    shown(&console, id).await
}

/// Stops a replay so that it can be resumed.
#[utoipa::path(post, path = "/api/v1/replays/{id}/interrupt", tag = "replays", security(("token" = ["operator"])),
    params(("id" = i64, Path)),
    responses((status = 202, body = ReplayView), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
pub(super) async fn interrupt(
    Operator(who): Operator,
    State(console): State<Console>,
    Id(id): Id,
    query: Query,
) -> Result<Response, Problem> {
    query.end()?;
    let act = Act {
        who: &who,
        action: "replays.interrupt",
        detail: json!({ "id": id }),
    };
    let work = console.replays.interrupt(id);
    console.audited(act, work, |()| "interrupted".to_owned()).await?;
    shown(&console, id).await
}

/// Ends a replay for good.
#[utoipa::path(post, path = "/api/v1/replays/{id}/cancel", tag = "replays", security(("token" = ["operator"])),
    params(("id" = i64, Path)),
    responses((status = 202, body = ReplayView), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
pub(super) async fn cancel(
    Operator(who): Operator,
    State(console): State<Console>,
    Id(id): Id,
    query: Query,
) -> Result<Response, Problem> {
    query.end()?;
    let act = Act {
        who: &who,
        action: "replays.cancel",
        detail: json!({ "id": id }),
    };
    let work = console.replays.cancel(id);
    console.audited(act, work, |()| "cancelled".to_owned()).await?;
    shown(&console, id).await
}

/// Answers the question that a replay waits for.
#[utoipa::path(post, path = "/api/v1/replays/{id}/decide", tag = "replays", security(("token" = ["operator"])),
    params(("id" = i64, Path)), request_body = DecideRequest,
    responses((status = 202, body = ReplayView), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
pub(super) async fn decide(
    Operator(_): Operator,
    State(console): State<Console>,
    Id(id): Id,
    query: Query,
    Json(wish): Json<DecideRequest>,
) -> Result<Response, Problem> {
    query.end()?;
    console.replays.decide(id, wish.into()).await?;
    shown(&console, id).await
}

async fn begin(console: &Console, who: &Who, spec: ReplaySpec) -> Result<Response, Problem> {
    let act = Act {
        who,
        action: "replays.start",
        // The audit is for reading, and rules may hold secrets.
        detail: json!(without_rules(spec.clone())),
    };
    let work = console.replays.start(spec, &who.name);
    let id = console.audited(act, work, |id| format!("started {id}")).await?;
    let mut response = answer::accepted(StatusCode::CREATED, &console.replays.replay(id).await?)?;
    if let Ok(place) = HeaderValue::try_from(format!("/api/v1/replays/{id}")) {
        response.headers_mut().insert(LOCATION, place);
    }
    Ok(response)
}

async fn shown(console: &Console, id: i64) -> Result<Response, Problem> {
    answer::accepted(StatusCode::ACCEPTED, &console.replays.replay(id).await?)
}

impl From<ReplayError> for Problem {
    fn from(error: ReplayError) -> Self {
        let told = error.to_string();
        match error {
            ReplayError::NotFound { .. } => error::missing(told),
            ReplayError::Filter(problems) => {
                let told: Vec<_> = problems.iter().map(|problem| format!("query.{problem}")).collect();
                error::unprocessable(told.join("; "))
            }
            ReplayError::Invalid { .. } => error::unprocessable(told),
            ReplayError::Refused { .. } => {
                error::problem(StatusCode::FORBIDDEN, "replay-refused", "The replay may not run", told)
            }
            ReplayError::Busy { .. } => error::conflict("target-busy", told),
            ReplayError::WrongState { .. } => error::conflict("wrong-state", told),
            ReplayError::Store(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::app::replays::{Parts, Replays};
    use crate::config::{OnEarly, Target, base};
    use crate::http::tests::Daemon;
    use serde_json::json;

    /// A daemon with these targets; nobody listens there, and nothing is driven.
    async fn daemon(targets: &[(&str, bool)]) -> Daemon {
        let mut daemon = Daemon::with(&["/a", "/b"]).await;
        let target = |(name, allowed): &(&str, bool)| {
            let target = Target {
                url: base(&format!("http://127.0.0.1:1/{name}")).unwrap(),
                allowed: *allowed,
                honours_keys: false,
                gate: None,
                probe: None,
                credential: None,
                cluster: None,
                auto_restore: false,
                on_early: OnEarly::Stop,
                rules: Vec::new(),
            };
            ((*name).to_owned(), target)
        };
        let parts = Parts {
            targets: targets.iter().map(target).collect(),
            ..daemon.console.replays.parts().clone()
        };
        daemon.console.replays = Replays::new(parts);
        daemon
    }

    #[tokio::test]
    async fn the_last_capture_goes_to_the_only_target_that_may_have_it() {
        for path in ["/api/replay-last", "/api/v1/replays/last"] {
            let daemon = daemon(&[("shop", true), ("live", false)]).await;
            let begun = daemon.ask("POST", path, Some(json!({"count": 1}))).await;
            assert_eq!(begun.status, 201, "{}", begun.text());
            let spec = &begun.json()["spec"];
            assert_eq!((&spec["target"], &spec["count"]), (&json!("shop"), &json!(1)));
        }
    }

    #[tokio::test]
    async fn a_replay_of_the_last_asks_which_target_where_several_may_be_meant() {
        let several = daemon(&[("shop", true), ("stage", true), ("live", false)]).await;
        let ask = |daemon: Daemon| async move { daemon.ask("POST", "/api/replay-last", Some(json!({}))).await };
        let told = ask(several).await.refused(422, "invalid-content");
        assert!(told.ends_with("allowed are shop, stage"), "{told}");
        let told = ask(daemon(&[("live", false)]).await)
            .await
            .refused(422, "invalid-content");
        assert!(told.contains("no target in replayd.toml is allowed"), "{told}");
    }
}
