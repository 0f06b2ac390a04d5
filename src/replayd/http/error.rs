//! What goes wrong above the store, as the one shape that both listeners answer with.

use crate::app::access::CreateError;
use crate::app::filter::FilterProblem;
use crate::problem::Problem;
use crate::store::StoreError;
use crate::store::access::Role;
use ::http::StatusCode;

/// Tells that the request is not valid.
pub(super) fn invalid(detail: impl Into<String>) -> Problem {
    problem(
        StatusCode::BAD_REQUEST,
        "invalid-request",
        "The request is not valid",
        detail,
    )
}

/// Tells of all fields that are not valid at once.
pub(super) fn invalid_fields(problems: &[FilterProblem]) -> Problem {
    let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
    invalid(told.join("; "))
}

/// Tells that a document was read, but holds what is not valid.
pub(super) fn unprocessable(detail: impl Into<String>) -> Problem {
    problem(
        StatusCode::UNPROCESSABLE_ENTITY,
        "invalid-content",
        "The content is not valid",
        detail,
    )
}

/// Tells that there is no such thing.
pub(super) fn missing(detail: impl Into<String>) -> Problem {
    problem(StatusCode::NOT_FOUND, "not-found", "There is nothing here", detail)
}

/// Tells that the state of things forbids it.
pub(super) fn conflict(slug: &'static str, detail: impl Into<String>) -> Problem {
    problem(StatusCode::CONFLICT, slug, "This conflicts with what is there", detail)
}

/// Tells that no token that counts was shown.
pub(super) fn unauthorized() -> Problem {
    problem(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        "The token is missing or does not count",
        "send `authorization: Bearer <token>`; <data_dir>/admin-token holds one, `replayd tokens create` makes more",
    )
}

/// Tells that the bearer may not do it.
pub(super) fn forbidden(has: Role, needs: Role) -> Problem {
    problem(
        StatusCode::FORBIDDEN,
        "forbidden",
        "The token does not allow it",
        format!("its role is {}, {} is needed", has.name(), needs.name()),
    )
}

/// Tells that there is too much of it.
pub(super) fn too_large(bytes_max: usize) -> Problem {
    problem(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too-large",
        "The content is too large",
        format!("at most {bytes_max} bytes are allowed"),
    )
}

/// Tells that nobody knows why.
pub(super) fn internal(error: &(dyn std::error::Error + 'static)) -> Problem {
    tracing::error!(error, "a request could not be answered");
    problem(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "The request could not be answered",
        "replayd's log says why",
    )
}

pub(super) fn problem(
    status: StatusCode,
    slug: &'static str,
    title: &'static str,
    detail: impl Into<String>,
) -> Problem {
    let detail = detail.into();
    Problem {
        status,
        slug,
        title,
        detail,
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "the store refused");
        if error.is_full() {
            return problem(
                StatusCode::SERVICE_UNAVAILABLE,
                "disk-full",
                "The disk is full",
                "nothing was written: free room on the disk, or delete captures, and send this again",
            );
        }
        problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "store-unavailable",
            "The store does not answer",
            "replayd's log says why",
        )
    }
}

impl From<CreateError> for Problem {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Store(error) => error.into(),
            CreateError::Draw(error) => internal(&error),
            CreateError::Taken { .. } => conflict("token-exists", error.to_string()),
            CreateError::Name { .. } | CreateError::Past => unprocessable(error.to_string()),
        }
    }
}
