//! Problems: what a client is told when its request does not go through.

use crate::config::ProblemStyle;
use crate::http::write_pairs;
use crate::key::KeyError;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use serde_json::{Map, Value};

/// The last parts of the types whose status a document may change.
pub const SLUGS: [&str; 13] = [
    "key-missing",
    "key-malformed",
    "caller-missing",
    "outcome-unknown",
    "response-not-retained",
    "key-reused",
    "store-unavailable",
    "capacity",
    "misconfigured",
    "capture-unavailable",
    "restoring",
    "signature-used",
    "body-too-large",
];

/// Why a request does not go through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The route wants a key and there is none.
    KeyMissing {
        /// The header that should carry it.
        header: String,
    },
    /// The key header breaks a rule.
    KeyMalformed {
        /// The header.
        header: String,
        /// The rule.
        error: KeyError,
    },
    /// A request that cannot be protected (an upgrade) on a route that wants a key.
    NotProtectable,
    /// The route wants to know whose the key is, and nothing says so.
    CallerMissing,
    /// The first request still runs.
    InFlight {
        /// The status that the route wants for it.
        status: u16,
        /// Seconds after which a retry makes sense.
        retry_after_s: u8,
    },
    /// Nobody knows what became of the first request.
    OutcomeUnknown,
    /// The first response is known, but was not kept.
    ResponseNotRetained {
        /// Its status, if it is known.
        original_status: Option<u16>,
        /// Its `location`, if it had one.
        location: Option<Vec<u8>>,
    },
    /// The key belongs to another request.
    KeyReused,
    /// The store of keys does not answer.
    StoreUnavailable,
    /// The store of keys, or this caller's part of it, is full.
    Capacity,
    /// The route's configuration is wrong.
    Misconfigured,
    /// The request may run only once its capture is on disk, and it is not.
    CaptureUnavailable,
    /// The upstream lost its state, and is being restored.
    Restoring,
    /// The request is a copy of one that replayd signed.
    SignatureUsed,
    /// The route holds requests whole, and this one is longer than is held.
    BodyTooLarge {
        /// Bytes of the longest body that is held.
        max: u64,
    },
}

/// What a client reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// Statuses and bodies.
    #[default]
    Http,
    /// Trailers: the proxy turns every reply of its own into them.
    Grpc,
}

/// A response that Reprise makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its status for a client that reads gRPC.
    pub grpc_status: Option<u8>,
    /// Its headers in the host's serialised form.
    pub pairs: Vec<u8>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Problem {
    /// The last part of the problem's `type`.
    #[must_use]
    pub const fn slug(&self) -> &'static str {
        match self {
            Self::KeyMissing { .. } => "key-missing",
            Self::KeyMalformed { .. } | Self::NotProtectable => "key-malformed",
            Self::CallerMissing => "caller-missing",
            Self::InFlight { .. } => "in-flight",
            Self::OutcomeUnknown => "outcome-unknown",
            Self::ResponseNotRetained { .. } => "response-not-retained",
            Self::KeyReused => "key-reused",
            Self::StoreUnavailable => "store-unavailable",
            Self::Capacity => "capacity",
            Self::Misconfigured => "misconfigured",
            Self::CaptureUnavailable => "capture-unavailable",
            Self::Restoring => "restoring",
            Self::SignatureUsed => "signature-used",
            Self::BodyTooLarge { .. } => "body-too-large",
        }
    }

    const fn title(&self) -> &'static str {
        match self {
            Self::KeyMissing { .. } => "Idempotency-Key is missing",
            Self::KeyMalformed { .. } => "Idempotency-Key is malformed",
            Self::NotProtectable => "An upgrade cannot be protected by an Idempotency-Key",
            Self::CallerMissing => "The caller is not known",
            Self::InFlight { .. } => "A request is outstanding for this Idempotency-Key",
            Self::OutcomeUnknown => "The outcome of the first request is unknown",
            Self::ResponseNotRetained { .. } => "The first response was not retained",
            Self::KeyReused => "Idempotency-Key is already used",
            Self::StoreUnavailable => "The store of idempotency keys is unavailable",
            Self::Capacity => "The store of idempotency keys is full",
            Self::Misconfigured => "The idempotency settings of this route are wrong",
            Self::CaptureUnavailable => "The request cannot be captured",
            Self::Restoring => "The application is being restored",
            Self::SignatureUsed => "The signature was used before",
            Self::BodyTooLarge { .. } => "The request's body is too large",
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::KeyMissing { header } => {
                format!("This operation requires the header {header}: one value, unique for the operation.")
            }
            Self::KeyMalformed { header, error } => format!("In the header {header}, {error}."),
            Self::NotProtectable => {
                "This route requires a key, and an upgraded connection has no response to keep.".into()
            }
            Self::CallerMissing => {
                "Keys belong to their callers on this route, and the request does not say who sends it.".into()
            }
            Self::InFlight { .. } => "The first request with this key still runs. Retry with the same key.".into(),
            Self::OutcomeUnknown => {
                "It may or may not have taken effect, so it is not run again. Look before you use a new key.".into()
            }
            Self::ResponseNotRetained { .. } => {
                "The first request was answered, but its response was too large or not of a kind to be kept.".into()
            }
            Self::KeyReused => {
                "The first request with this key was another one: a new operation needs a new key.".into()
            }
            Self::StoreUnavailable => {
                "This request did not run; an earlier one with this key may have. Retry with the same key.".into()
            }
            Self::Capacity => "Nothing ran. Retry later with the same key.".into(),
            Self::Misconfigured => {
                "This request did not run; an earlier one with this key may have. The proxy's log has the reason."
                    .into()
            }
            Self::CaptureUnavailable => {
                "This route runs a request only once it is on disk. It did not run. Retry later.".into()
            }
            Self::Restoring => "It restarted without its state. This request did not run. Retry later.".into(),
            Self::SignatureUsed => "A signed request goes through once. This one did not run.".into(),
            Self::BodyTooLarge { max } => {
                format!("This route holds a request whole before it runs, up to {max} bytes of body. Nothing ran.")
            }
        }
    }

    /// Gives the status: the document's, if it has one for this problem.
    fn status(&self, style: &ProblemStyle) -> u16 {
        let mut statuses = style.statuses.iter();
        let named = statuses.find(|(slug, _)| slug == self.slug());
        named.map_or_else(|| self.own_status(), |(_, status)| *status)
    }

    const fn own_status(&self) -> u16 {
        match self {
            Self::CallerMissing => 401,
            Self::KeyMissing { .. } | Self::KeyMalformed { .. } | Self::NotProtectable => 400,
            Self::InFlight { status, .. } => *status,
            Self::OutcomeUnknown | Self::ResponseNotRetained { .. } | Self::SignatureUsed => 409,
            Self::KeyReused => 422,
            Self::BodyTooLarge { .. } => 413,
            Self::StoreUnavailable
            | Self::Capacity
            | Self::Misconfigured
            | Self::CaptureUnavailable
            | Self::Restoring => 503,
        }
    }

    /// Gives gRPC's status.
    ///
    /// Source: <https://grpc.github.io/grpc/core/md_doc_statuscodes.html>.
    const fn grpc_status(&self) -> u8 {
        match self {
            Self::KeyMissing { .. } | Self::KeyMalformed { .. } | Self::NotProtectable | Self::KeyReused => 3,
            Self::CallerMissing => 16,
            Self::BodyTooLarge { .. } => 8,
            Self::InFlight { .. } => 10,
            Self::OutcomeUnknown => 2,
            Self::ResponseNotRetained { .. } | Self::SignatureUsed => 9,
            Self::Misconfigured => 13,
            Self::StoreUnavailable | Self::Capacity | Self::CaptureUnavailable | Self::Restoring => 14,
        }
    }

    /// Seconds for `retry-after`; none where a retry of the same request does not help.
    const fn retry_after_s(&self) -> Option<u8> {
        match self {
            Self::InFlight { retry_after_s, .. } => Some(*retry_after_s),
            Self::StoreUnavailable | Self::Capacity | Self::CaptureUnavailable | Self::Restoring => Some(1),
            Self::KeyMissing { .. }
            | Self::KeyMalformed { .. }
            | Self::NotProtectable
            | Self::CallerMissing
            | Self::OutcomeUnknown
            | Self::ResponseNotRetained { .. }
            | Self::KeyReused
            | Self::SignatureUsed
            | Self::BodyTooLarge { .. }
            | Self::Misconfigured => None,
        }
    }

    /// Puts the problem into the client's words.
    ///
    /// Shape: `application/problem+json` with `type`, `title`, `status`, `detail`, and `original_status` and `location`
    /// where a response was not retained; `link` where the document names a page. For gRPC the title alone, which the
    /// proxy makes `grpc-message` of.
    ///
    /// Source: RFC 9457; draft-ietf-httpapi-idempotency-key-header-07 §2.7.
    #[must_use]
    pub fn reply(&self, style: &ProblemStyle, dialect: Dialect) -> Reply {
        if dialect == Dialect::Grpc {
            return Reply {
                status: self.status(style),
                grpc_status: Some(self.grpc_status()),
                pairs: Vec::new(),
                body: self.title().into(),
            };
        }
        let retry_after = self.retry_after_s().map(|seconds| seconds.to_string());
        let link = style
            .docs_url
            .as_ref()
            .map(|url| format!("<{url}>; rel=\"describedby\""));
        let location = if let Self::ResponseNotRetained { location, .. } = self {
            location.as_deref()
        } else {
            None
        };
        let content_type: (&[u8], &[u8]) = (b"content-type", b"application/problem+json");
        let optional: [(&[u8], Option<&[u8]>); 4] = [
            (b"cache-control", Some(b"no-store")),
            (b"retry-after", retry_after.as_ref().map(String::as_bytes)),
            (b"link", link.as_ref().map(String::as_bytes)),
            (b"location", location),
        ];
        let optional = optional.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let mut pairs = Vec::new();
        write_pairs(core::iter::once(content_type).chain(optional), &mut pairs);
        Reply {
            status: self.status(style),
            grpc_status: None,
            pairs,
            body: self.body(style),
        }
    }

    fn body(&self, style: &ProblemStyle) -> Vec<u8> {
        let mut members = Map::new();
        members.insert("type".into(), Value::from(format!("{}{}", style.base, self.slug())));
        members.insert("title".into(), Value::from(self.title()));
        members.insert("status".into(), Value::from(self.status(style)));
        members.insert("detail".into(), Value::from(self.detail()));
        if let Self::ResponseNotRetained {
            original_status,
            location,
        } = self
        {
            if let Some(status) = original_status {
                members.insert("original_status".into(), Value::from(*status));
            }
            if let Some(location) = location {
                members.insert("location".into(), Value::from(String::from_utf8_lossy(location)));
            }
        }
        Value::Object(members).to_string().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Pairs;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn style() -> ProblemStyle {
        ProblemStyle {
            base: "urn:reprise:problem:".into(),
            docs_url: Some("https://docs.test/p".into()),
            statuses: Vec::new(),
        }
    }

    fn header(reply: &Reply, name: &str) -> Option<String> {
        let value = Pairs::new(&reply.pairs).first(name.as_bytes())?;
        Some(String::from_utf8_lossy(value).into_owned())
    }

    #[track_caller]
    fn check(problem: &Problem, status: u16, slug: &str, retry_after: Option<&str>) {
        let reply = problem.reply(&style(), Dialect::Http);
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(reply.status, status);
        assert_eq!(body["status"], status);
        assert_eq!(body["type"], format!("urn:reprise:problem:{slug}"));
        assert_eq!(header(&reply, "retry-after").as_deref(), retry_after);
        assert_eq!(
            header(&reply, "content-type").as_deref(),
            Some("application/problem+json")
        );
        assert_eq!(
            header(&reply, "link"),
            Some("<https://docs.test/p>; rel=\"describedby\"".into())
        );
    }

    #[test]
    fn each_problem_has_its_status_and_type() {
        let header = String::from("idempotency-key");
        check(
            &Problem::KeyMissing { header: header.clone() },
            400,
            "key-missing",
            None,
        );
        check(
            &Problem::KeyMalformed {
                header,
                error: KeyError::Empty,
            },
            400,
            "key-malformed",
            None,
        );
        check(&Problem::NotProtectable, 400, "key-malformed", None);
        check(
            &Problem::InFlight {
                status: 423,
                retry_after_s: 0,
            },
            423,
            "in-flight",
            Some("0"),
        );
        check(&Problem::CallerMissing, 401, "caller-missing", None);
        check(&Problem::OutcomeUnknown, 409, "outcome-unknown", None);
        check(&Problem::KeyReused, 422, "key-reused", None);
        check(&Problem::StoreUnavailable, 503, "store-unavailable", Some("1"));
        check(&Problem::Capacity, 503, "capacity", Some("1"));
        check(&Problem::Misconfigured, 503, "misconfigured", None);
        check(&Problem::CaptureUnavailable, 503, "capture-unavailable", Some("1"));
        check(&Problem::Restoring, 503, "restoring", Some("1"));
        check(&Problem::SignatureUsed, 409, "signature-used", None);
        check(&Problem::BodyTooLarge { max: 1024 }, 413, "body-too-large", None);
    }

    #[test]
    fn a_grpc_client_gets_the_title_and_a_status_of_grpc() {
        let missing = Problem::KeyMissing { header: "k".into() };
        let reply = missing.reply(&style(), Dialect::Grpc);
        assert_eq!(
            (reply.grpc_status, &reply.body[..]),
            (Some(3), &b"Idempotency-Key is missing"[..])
        );
        assert_eq!(Pairs::new(&reply.pairs).count(), 0);
        assert_eq!(missing.reply(&style(), Dialect::Http).grpc_status, None);
    }

    #[test]
    fn a_document_may_give_a_problem_another_status() {
        let style = ProblemStyle {
            statuses: [("key-reused".into(), 409)].into(),
            ..style()
        };
        let reply = Problem::KeyReused.reply(&style, Dialect::Http);
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!((reply.status, &body["status"]), (409, &Value::from(409)));
        assert_eq!(Problem::Capacity.reply(&style, Dialect::Http).status, 503);
    }

    #[test]
    fn a_response_that_was_not_retained_shows_status_and_location() {
        let problem = Problem::ResponseNotRetained {
            original_status: Some(201),
            location: Some(b"/x".to_vec()),
        };
        let reply = problem.reply(&style(), Dialect::Http);
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(
            (&body["original_status"], &body["location"]),
            (&Value::from(201), &Value::from("/x"))
        );
        assert_eq!(header(&reply, "location").as_deref(), Some("/x"));
    }

    #[test]
    fn a_body_that_is_too_large_is_told_the_bound() {
        let reply = Problem::BodyTooLarge { max: 1024 }.reply(&style(), Dialect::Http);
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(
            body["detail"],
            "This route holds a request whole before it runs, up to 1024 bytes of body. Nothing ran."
        );
        let reply = Problem::BodyTooLarge { max: 1024 }.reply(&style(), Dialect::Grpc);
        assert_eq!(reply.grpc_status, Some(8));
    }

    #[test]
    fn without_a_page_there_is_no_link() {
        let style = ProblemStyle {
            docs_url: None,
            ..style()
        };
        assert_eq!(header(&Problem::KeyReused.reply(&style, Dialect::Http), "link"), None);
    }

    #[test]
    fn a_broken_rule_is_told_with_its_place() {
        let error = KeyError::TooLong { len: 256 };
        let reply = Problem::KeyMalformed {
            header: "x-key".into(),
            error,
        }
        .reply(&style(), Dialect::Http);
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(
            body["detail"],
            "In the header x-key, the key has 256 bytes; at most 255 are allowed."
        );
    }
}
