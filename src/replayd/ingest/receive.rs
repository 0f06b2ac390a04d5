//! Batches and journals: read within bounds, stored, acknowledged. What is in them is read beside this.
//!
//! A batch counts against the bound until the store is done with it, also where the proxy hung up long before.

use super::batch;
use super::{Intake, refuse};
use crate::problem::Problem;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use prost::Message as _;
use reprise_core::wire::{Ack, BATCH_BYTES_MAX, CONTENT_TYPE};
use std::error::Error;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task;
use tokio::time::timeout;

/// Seconds after which it makes sense to try again.
pub(super) const RETRY_AFTER_S: &str = "1";

/// Takes a batch of ended exchanges in.
pub(super) async fn batch(State(intake): State<Intake>, headers: HeaderMap, body: Body) -> Response {
    receive(&intake, "batch", &headers, body).await
}

/// Takes captures in that something waits for.
pub(super) async fn journal(State(intake): State<Intake>, headers: HeaderMap, body: Body) -> Response {
    receive(&intake, "journal", &headers, body).await
}

async fn receive(intake: &Intake, kind: &'static str, headers: &HeaderMap, body: Body) -> Response {
    match store(intake, headers, body).await {
        Ok(ack) => {
            intake.metrics.intake.count(kind, "stored");
            ([(header::CONTENT_TYPE, CONTENT_TYPE)], ack.encode_to_vec()).into_response()
        }
        Err(refusal) => {
            intake.metrics.intake.count(kind, refusal.outcome());
            refusal.into_response()
        }
    }
}

/// Why a batch is not stored; nothing of it is.
#[derive(Debug)]
enum Refusal {
    /// It is of another version, or no batch.
    ContentType,
    /// It is larger than any batch.
    TooLarge,
    /// It broke off on the way.
    BrokeOff(String),
    /// It did not come in time.
    Stalled,
    /// It is no batch.
    Malformed(batch::Malformed),
    /// Too much is in memory already.
    Overloaded,
    /// The disk, or the key of sealed values, refused.
    Store,
}

async fn store(intake: &Intake, headers: &HeaderMap, body: Body) -> Result<Ack, Refusal> {
    let told = headers
        .get(header::CONTENT_TYPE)
        .map_or(&b""[..], |value| value.as_bytes());
    let media_type = told.split(|byte| *byte == b';').next().unwrap_or_default();
    if !media_type.trim_ascii().eq_ignore_ascii_case(CONTENT_TYPE.as_bytes()) {
        return Err(Refusal::ContentType);
    }
    // Whoever loses power while it sends may not keep the others' room.
    let whole = read(&intake.budget, headers, body);
    let (bytes, held) = timeout(intake.patience, whole).await.map_err(|_| Refusal::Stalled)??;
    let intake = intake.clone();
    // A proxy that hangs up ends its handler, and not the job in the store: that one holds the bytes, and goes on.
    task::spawn(async move {
        let counted = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        intake.metrics.intake.bytes.inc_by(counted);
        let stored = append(&intake, &bytes).await;
        intake.metrics.intake.bytes.dec_by(counted);
        drop(held);
        stored
    })
    .await
    .unwrap_or_else(|error| {
        tracing::error!(error = &error as &dyn Error, "a batch was given up");
        Err(Refusal::Store)
    })
}

async fn append(intake: &Intake, bytes: &[u8]) -> Result<Ack, Refusal> {
    let batch = batch::parse(bytes, intake.clock.now()).map_err(Refusal::Malformed)?;
    let appended = intake.captures.append(batch).await.map_err(|error| {
        tracing::error!(error = &error as &dyn Error, "a batch was not stored");
        Refusal::Store
    })?;
    intake.metrics.intake.stored.inc_by(appended.stored);
    intake.metrics.intake.duplicates.inc_by(appended.duplicates);
    Ok(Ack {
        ranges: appended.ranges,
        policy_tag: intake.policy.encoded().tag,
    })
}

/// Reads the body within the bound of one batch and within what all batches together may hold.
async fn read(
    budget: &Arc<Semaphore>,
    headers: &HeaderMap,
    mut body: Body,
) -> Result<(Vec<u8>, OwnedSemaphorePermit), Refusal> {
    let told = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    let len: usize = told.and_then(|value| value.parse().ok()).unwrap_or_default();
    let mut held = hold(budget, len)?;
    let mut bytes = Vec::with_capacity(len);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Refusal::BrokeOff(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        bytes.extend_from_slice(&data);
        if bytes.len() > held.num_permits() {
            held.merge(hold(budget, bytes.len() - held.num_permits())?);
        }
        if bytes.len() > BATCH_BYTES_MAX {
            return Err(Refusal::TooLarge);
        }
    }
    Ok((bytes, held))
}

fn hold(budget: &Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
    if bytes > BATCH_BYTES_MAX {
        return Err(Refusal::TooLarge);
    }
    let permits = u32::try_from(bytes).map_err(|_| Refusal::TooLarge)?;
    Arc::clone(budget)
        .try_acquire_many_owned(permits)
        .map_err(|_| Refusal::Overloaded)
}

impl Refusal {
    const fn outcome(&self) -> &'static str {
        match self {
            Self::ContentType | Self::TooLarge | Self::BrokeOff(_) | Self::Stalled | Self::Malformed(_) => "refused",
            Self::Overloaded => "overloaded",
            Self::Store => "failed",
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let again = [(header::RETRY_AFTER, RETRY_AFTER_S)];
        match self {
            Self::ContentType => refuse(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "content-type",
                "This is no batch that replayd understands",
                format!("the content type {CONTENT_TYPE} is allowed"),
            )
            .into_response(),
            Self::TooLarge => refuse(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too-large",
                "The batch is too large",
                format!("{BATCH_BYTES_MAX} bytes are allowed"),
            )
            .into_response(),
            Self::BrokeOff(problem) => malformed(problem).into_response(),
            Self::Stalled => refuse(
                StatusCode::REQUEST_TIMEOUT,
                "stalled",
                "The batch did not come in time",
                "nothing of it was stored; send it again as it is".to_owned(),
            )
            .into_response(),
            Self::Malformed(problem) => malformed(problem.to_string()).into_response(),
            Self::Overloaded => (
                again,
                refuse(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "overloaded",
                    "Too many batches wait for the disk",
                    "send the batch again as it is".to_owned(),
                ),
            )
                .into_response(),
            Self::Store => (
                again,
                refuse(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "store-unavailable",
                    "The store does not take the batch",
                    "nothing of it was stored; send it again as it is. replayd's log says why".to_owned(),
                ),
            )
                .into_response(),
        }
    }
}

fn malformed(problem: String) -> Problem {
    refuse(
        StatusCode::BAD_REQUEST,
        "malformed-batch",
        "The batch cannot be read; nothing of it was stored",
        problem,
    )
}
