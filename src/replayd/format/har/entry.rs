//! One entry of the log, as JSON. What is not read of others' files may be missing in them.

use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    pub(super) started_date_time: String,
    /// Units: milliseconds.
    #[serde(default)]
    pub(super) time: f64,
    pub(super) request: Request,
    pub(super) response: Response,
    #[serde(default)]
    pub(super) cache: Nothing,
    #[serde(default)]
    pub(super) timings: Timings,
    #[serde(default, rename = "_state", skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<String>,
    #[serde(default, rename = "_reason", skip_serializing_if = "String::is_empty")]
    pub(super) reason: String,
    #[serde(default, rename = "_notReplayable", skip_serializing_if = "String::is_empty")]
    pub(super) not_replayable: String,
    #[serde(default, rename = "_labels", skip_serializing_if = "Vec::is_empty")]
    pub(super) labels: Vec<String>,
}

/// An object that has to be there and says nothing.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Nothing {}

/// Units: milliseconds; send and receive are not told apart from the rest.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Timings {
    pub(super) send: f64,
    pub(super) wait: f64,
    pub(super) receive: f64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) url: String,
    #[serde(default)]
    pub(super) http_version: String,
    #[serde(default)]
    pub(super) cookies: Vec<Nothing>,
    pub(super) headers: Vec<Pair>,
    #[serde(default)]
    pub(super) query_string: Vec<Pair>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) post_data: Option<PostData>,
    #[serde(default = "unknown")]
    pub(super) headers_size: i64,
    #[serde(default = "unknown")]
    pub(super) body_size: i64,
    #[serde(default, rename = "_half", skip_serializing_if = "Marks::is_empty")]
    pub(super) marks: Marks,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Response {
    /// 0 = there was none.
    pub(super) status: i64,
    #[serde(default)]
    pub(super) status_text: String,
    #[serde(default)]
    pub(super) http_version: String,
    #[serde(default)]
    pub(super) cookies: Vec<Nothing>,
    #[serde(default)]
    pub(super) headers: Vec<Pair>,
    #[serde(default)]
    pub(super) content: Content,
    #[serde(default, rename = "redirectURL")]
    pub(super) redirect_url: String,
    #[serde(default = "unknown")]
    pub(super) headers_size: i64,
    #[serde(default = "unknown")]
    pub(super) body_size: i64,
    #[serde(default, rename = "_half", skip_serializing_if = "Marks::is_empty")]
    pub(super) marks: Marks,
}

/// What we note of a half that the format has no place for.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Marks {
    pub(super) truncated: bool,
    pub(super) redacted: String,
    pub(super) unfinished: bool,
}

impl Marks {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

const fn unknown() -> i64 {
    -1
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pair {
    pub(super) name: String,
    #[serde(default)]
    pub(super) value: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PostData {
    #[serde(default)]
    pub(super) mime_type: String,
    #[serde(default)]
    pub(super) params: Vec<Param>,
    #[serde(default)]
    pub(super) text: String,
    /// `base64`; empty = `text` is the body.
    #[serde(
        default,
        rename = "_encoding",
        alias = "encoding",
        skip_serializing_if = "String::is_empty"
    )]
    pub(super) encoding: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Param {
    pub(super) name: String,
    #[serde(default)]
    pub(super) value: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) file_name: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Content {
    pub(super) size: i64,
    pub(super) mime_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
    /// `base64`; empty = `text` is the body.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) encoding: String,
}
