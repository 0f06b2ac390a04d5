//! How a list of captures goes, as people write it: its order and its columns.

use crate::store::captures::{CaptureColumn, CaptureOrder};

/// What a list may be ordered by.
pub(crate) const ORDERS: [(&str, CaptureColumn); 4] = [
    ("created", CaptureColumn::BeganAt),
    ("id", CaptureColumn::Id),
    ("status", CaptureColumn::Status),
    ("latency", CaptureColumn::Latency),
];

/// Every column of a list.
pub(crate) const COLUMNS: [&str; 28] = [
    "id",
    "created",
    "method",
    "host",
    "path",
    "target",
    "status",
    "state",
    "reason",
    "latency_ms",
    "labels",
    "principal",
    "route",
    "cluster",
    "client",
    "peer",
    "scheme",
    "protocol",
    "request_id",
    "boot_id",
    "not_replayable",
    "request_bytes",
    "response_bytes",
    "truncated",
    "redacted",
    "sealed",
    "received",
    "stream",
];

/// Reads an order: a column, with a `-` before it if the largest comes first.
pub(crate) fn order(text: &str) -> Result<CaptureOrder, String> {
    let (descending, name) = text.strip_prefix('-').map_or((false, text), |name| (true, name));
    let by = ORDERS.iter().find(|(each, _)| *each == name).map(|(_, by)| *by);
    by.map(|by| CaptureOrder { by, descending }).ok_or_else(|| {
        format!("`{text}` is not an order; allowed are created, id, status, latency, and each with a `-` before it")
    })
}

/// Reads names of columns, separated by commas; none = `__all__`.
pub(crate) fn columns(text: &str) -> Result<Vec<String>, String> {
    if text == "__all__" {
        return Ok(Vec::new());
    }
    let check = |name: &str| {
        let name = name.trim();
        let known = COLUMNS.contains(&name).then(|| name.to_owned());
        known.ok_or_else(|| {
            format!(
                "`{name}` is not a column; the columns are {}, and __all__ for all of them",
                COLUMNS.join(", ")
            )
        })
    };
    text.split(',').map(check).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_turned_round_by_its_sign() {
        let want = |descending| CaptureOrder {
            by: CaptureColumn::Latency,
            descending,
        };
        assert_eq!((order("latency"), order("-latency")), (Ok(want(false)), Ok(want(true))));
        assert!(order("size").unwrap_err().contains("allowed are created"));
    }

    #[test]
    fn columns_are_told_apart_from_what_is_none() {
        assert_eq!(columns("id, method"), Ok(vec!["id".to_owned(), "method".to_owned()]));
        assert_eq!(columns("__all__"), Ok(vec![]));
        assert!(columns("id,body").unwrap_err().contains("`body` is not a column"));
    }
}
